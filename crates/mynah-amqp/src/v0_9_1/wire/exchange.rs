//! The class exchange (section 1.6 of the reference), with RabbitMQ's bindings between exchanges.

use alloc::vec::Vec;

use super::fields::{Argument, Arguments, Fields, ShortStr};
use super::method::{MethodId, MethodSpec, Sender, encode_frame, methods};
use super::table::Table;
use crate::v0_9_1::Malformed;

/// The number of the class.
pub const CLASS: u16 = 40;

methods! { 40;
    /// Makes an exchange, or looks whether it is there.
    Declare<'b> = 10 Client "exchange.declare" [u16] {
        /// Name.
        exchange: ShortStr<'b>,
        /// Type, such as `topic`.
        r#type: ShortStr<'b>,
        /// Only look.
        passive: bool,
        /// Survives a restart.
        durable: bool,
        /// Goes with its last binding.
        auto_delete: bool,
        /// Nobody publishes to it.
        internal: bool,
        /// No answer is wanted.
        no_wait: bool,
        /// More.
        arguments: Table<'b>,
    } []

    /// The exchange is there.
    DeclareOk = 11 Server "exchange.declare-ok" [] {} []

    /// Deletes an exchange.
    Delete<'b> = 20 Client "exchange.delete" [u16] {
        /// Name.
        exchange: ShortStr<'b>,
        /// Only if nothing is bound to it.
        if_unused: bool,
        /// No answer is wanted.
        no_wait: bool,
    } []

    /// The exchange is gone.
    DeleteOk = 21 Server "exchange.delete-ok" [] {} []

    /// Lets an exchange pass on to another one (RabbitMQ).
    Bind<'b> = 30 Client "exchange.bind" [u16] {
        /// The exchange that gets the messages.
        destination: ShortStr<'b>,
        /// The exchange that they were published to.
        source: ShortStr<'b>,
        /// Which messages.
        routing_key: ShortStr<'b>,
        /// No answer is wanted.
        no_wait: bool,
        /// More.
        arguments: Table<'b>,
    } []

    /// The binding is there (RabbitMQ).
    BindOk = 31 Server "exchange.bind-ok" [] {} []

    /// Removes a binding between exchanges (RabbitMQ).
    Unbind<'b> = 40 Client "exchange.unbind" [u16] {
        /// The exchange that gets the messages.
        destination: ShortStr<'b>,
        /// The exchange that they were published to.
        source: ShortStr<'b>,
        /// Which messages.
        routing_key: ShortStr<'b>,
        /// No answer is wanted.
        no_wait: bool,
        /// More.
        arguments: Table<'b>,
    } []

    /// The binding is gone (RabbitMQ).
    UnbindOk = 51 Server "exchange.unbind-ok" [] {} []
}
