//! The class queue (section 1.7 of the reference).

use alloc::vec::Vec;

use super::fields::{Argument, Arguments, Fields, ShortStr};
use super::method::{MethodId, MethodSpec, Sender, encode_frame, methods};
use super::table::Table;
use crate::v0_9_1::Malformed;

/// The number of the class.
pub const CLASS: u16 = 50;

methods! { 50;
    /// Makes a queue, or looks whether it is there.
    Declare<'b> = 10 Client "queue.declare" [u16] {
        /// Name; empty: the server chooses one.
        queue: ShortStr<'b>,
        /// Only look.
        passive: bool,
        /// Survives a restart.
        durable: bool,
        /// For this connection only, and gone with it.
        exclusive: bool,
        /// Goes with its last consumer.
        auto_delete: bool,
        /// No answer is wanted.
        no_wait: bool,
        /// More.
        arguments: Table<'b>,
    } []

    /// The queue is there.
    DeclareOk<'b> = 11 Server "queue.declare-ok" [] {
        /// Name.
        queue: ShortStr<'b>,
        /// Messages that are ready.
        message_count: u32,
        /// Consumers.
        consumer_count: u32,
    } []

    /// Lets a queue get messages of an exchange.
    Bind<'b> = 20 Client "queue.bind" [u16] {
        /// The queue; empty: the one that was declared last.
        queue: ShortStr<'b>,
        /// The exchange.
        exchange: ShortStr<'b>,
        /// Which messages.
        routing_key: ShortStr<'b>,
        /// No answer is wanted.
        no_wait: bool,
        /// More.
        arguments: Table<'b>,
    } []

    /// The binding is there.
    BindOk = 21 Server "queue.bind-ok" [] {} []

    /// Discards what is ready in a queue.
    Purge<'b> = 30 Client "queue.purge" [u16] {
        /// The queue; empty: the one that was declared last.
        queue: ShortStr<'b>,
        /// No answer is wanted.
        no_wait: bool,
    } []

    /// The queue is empty.
    PurgeOk = 31 Server "queue.purge-ok" [] {
        /// Messages that were discarded.
        message_count: u32,
    } []

    /// Deletes a queue.
    Delete<'b> = 40 Client "queue.delete" [u16] {
        /// The queue; empty: the one that was declared last.
        queue: ShortStr<'b>,
        /// Only if it has no consumers.
        if_unused: bool,
        /// Only if it has no messages.
        if_empty: bool,
        /// No answer is wanted.
        no_wait: bool,
    } []

    /// The queue is gone.
    DeleteOk = 41 Server "queue.delete-ok" [] {
        /// Messages that were discarded.
        message_count: u32,
    } []

    /// Removes a binding.
    Unbind<'b> = 50 Client "queue.unbind" [u16] {
        /// The queue; empty: the one that was declared last.
        queue: ShortStr<'b>,
        /// The exchange.
        exchange: ShortStr<'b>,
        /// Which messages.
        routing_key: ShortStr<'b>,
        /// More.
        arguments: Table<'b>,
    } []

    /// The binding is gone.
    UnbindOk = 51 Server "queue.unbind-ok" [] {} []
}
