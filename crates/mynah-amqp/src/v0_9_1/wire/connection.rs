//! The class connection: what two peers agree on before anything else (section 1.4 of the reference).

use alloc::vec::Vec;

use super::fields::{Argument, Arguments, Fields, LongStr, ShortStr};
use super::method::{MethodId, MethodSpec, Sender, encode_frame, methods};
use super::table::Table;
use crate::v0_9_1::Malformed;

/// The number of the class.
pub const CLASS: u16 = 10;

methods! { 10;
    /// Begins the negotiation.
    Start<'b> = 10 Server "connection.start" [] {
        /// 0
        version_major: u8,
        /// 9
        version_minor: u8,
        /// What the server says of itself.
        server_properties: Table<'b>,
        /// Names of SASL mechanisms, with spaces between.
        mechanisms: LongStr<'b>,
        /// Names of locales, with spaces between.
        locales: LongStr<'b>,
    } []

    /// Chooses a mechanism and a locale.
    StartOk<'b> = 11 Client "connection.start-ok" [] {
        /// What the client says of itself.
        client_properties: Table<'b>,
        /// The SASL mechanism.
        mechanism: ShortStr<'b>,
        /// Its first message.
        response: LongStr<'b>,
        /// The locale.
        locale: ShortStr<'b>,
    } []

    /// Goes on with a mechanism.
    Secure<'b> = 20 Server "connection.secure" [] {
        /// What the mechanism has to say.
        challenge: LongStr<'b>,
    } []

    /// Answers a challenge.
    SecureOk<'b> = 21 Client "connection.secure-ok" [] {
        /// What the mechanism has to say.
        response: LongStr<'b>,
    } []

    /// Proposes limits.
    Tune = 30 Server "connection.tune" [] {
        /// The highest channel number; 0: any.
        channel_max: u16,
        /// Bytes of the largest frame; 0: any.
        frame_max: u32,
        /// Seconds between heartbeats; 0: none.
        heartbeat: u16,
    } []

    /// Settles the limits.
    TuneOk = 31 Client "connection.tune-ok" [] {
        /// The highest channel number.
        channel_max: u16,
        /// Bytes of the largest frame.
        frame_max: u32,
        /// Seconds between heartbeats; 0: none.
        heartbeat: u16,
    } []

    /// Opens a virtual host.
    Open<'b> = 40 Client "connection.open" [] {
        /// Its name.
        virtual_host: ShortStr<'b>,
    } [ShortStr<'b>, bool]

    /// The virtual host is open.
    OpenOk = 41 Server "connection.open-ok" [] {} [ShortStr<'_>]

    /// Ends the connection.
    Close<'b> = 50 Both "connection.close" [] {
        /// Why, as a number.
        reply_code: u16,
        /// Why, in words.
        reply_text: ShortStr<'b>,
        /// Class of the method that caused it, or 0.
        class_id: u16,
        /// The method that caused it, or 0.
        method_id: u16,
    } []

    /// Confirms the end; nothing follows.
    CloseOk = 51 Both "connection.close-ok" [] {} []

    /// The server takes no publications for now (RabbitMQ).
    Blocked<'b> = 60 Server "connection.blocked" [] {
        /// Why.
        reason: ShortStr<'b>,
    } []

    /// The server takes publications again (RabbitMQ).
    Unblocked = 61 Server "connection.unblocked" [] {} []

    /// Renews what the client proves its identity by (RabbitMQ).
    UpdateSecret<'b> = 70 Client "connection.update-secret" [] {
        /// The new secret.
        new_secret: LongStr<'b>,
        /// Why.
        reason: ShortStr<'b>,
    } []

    /// The new secret is taken (RabbitMQ).
    UpdateSecretOk = 71 Server "connection.update-secret-ok" [] {} []
}
