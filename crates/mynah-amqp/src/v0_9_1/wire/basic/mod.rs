//! The class basic (section 1.8 of the reference). The methods that come with every message are written by hand, see
//! [`transfer`] and [`acknowledge`].

mod acknowledge;
mod transfer;

use alloc::vec::Vec;

use super::fields::{Argument, Arguments, Domain, Fields, ShortStr};
use super::method::{MethodId, MethodSpec, Sender, encode_frame, methods};
use super::table::Table;
use crate::v0_9_1::Malformed;

pub use acknowledge::{Ack, Nack};
pub use transfer::{Deliver, GetOk, Publish};

/// The number of the class.
pub const CLASS: u16 = 60;

methods! { 60;
    /// Bounds what is delivered before it is acknowledged.
    Qos = 10 Client "basic.qos" [] {
        /// Bytes; 0: no bound.
        prefetch_size: u32,
        /// Messages; 0: no bound.
        prefetch_count: u16,
        /// For the channel rather than for each consumer to come (RabbitMQ).
        global: bool,
    } []

    /// The bound holds.
    QosOk = 11 Server "basic.qos-ok" [] {} []

    /// Starts a consumer.
    Consume<'b> = 20 Client "basic.consume" [u16] {
        /// The queue; empty: the one that was declared last.
        queue: ShortStr<'b>,
        /// Name of the consumer; empty: the server chooses one.
        consumer_tag: ShortStr<'b>,
        /// Not what this connection published.
        no_local: bool,
        /// Nothing is acknowledged.
        no_ack: bool,
        /// No other consumer.
        exclusive: bool,
        /// No answer is wanted.
        no_wait: bool,
        /// More.
        arguments: Table<'b>,
    } []

    /// The consumer is there.
    ConsumeOk<'b> = 21 Server "basic.consume-ok" [] {
        /// Its name.
        consumer_tag: ShortStr<'b>,
    } []

    /// Ends a consumer; from a server: it has ended (RabbitMQ).
    Cancel<'b> = 30 Both "basic.cancel" [] {
        /// Its name.
        consumer_tag: ShortStr<'b>,
        /// No answer is wanted.
        no_wait: bool,
    } []

    /// The consumer is gone.
    CancelOk<'b> = 31 Both "basic.cancel-ok" [] {
        /// Its name.
        consumer_tag: ShortStr<'b>,
    } []

    /// Gives back a message that was to be routed and was not.
    Return<'b> = 50 Server "basic.return" [] {
        /// Why, as a number.
        reply_code: u16,
        /// Why, in words.
        reply_text: ShortStr<'b>,
        /// Where it was published.
        exchange: ShortStr<'b>,
        /// Its routing key.
        routing_key: ShortStr<'b>,
    } []

    /// Asks for one message.
    Get<'b> = 70 Client "basic.get" [u16] {
        /// The queue; empty: the one that was declared last.
        queue: ShortStr<'b>,
        /// It is not acknowledged.
        no_ack: bool,
    } []

    /// There is none.
    GetEmpty = 72 Server "basic.get-empty" [] {} [ShortStr<'_>]

    /// Gives a message back.
    Reject = 90 Client "basic.reject" [] {
        /// Which delivery.
        delivery_tag: u64,
        /// It is to be delivered again.
        requeue: bool,
    } []

    /// Asks for what was delivered and not acknowledged, without an answer.
    RecoverAsync = 100 Client "basic.recover-async" [] {
        /// It may go to another consumer.
        requeue: bool,
    } []

    /// Asks for what was delivered and not acknowledged.
    Recover = 110 Client "basic.recover" [] {
        /// It may go to another consumer.
        requeue: bool,
    } []

    /// It will come.
    RecoverOk = 111 Server "basic.recover-ok" [] {} []
}
