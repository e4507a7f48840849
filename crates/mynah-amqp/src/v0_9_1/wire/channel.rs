//! The class channel (section 1.5 of the reference).

use alloc::vec::Vec;

use super::fields::{Argument, Arguments, Fields, LongStr, ShortStr};
use super::method::{MethodId, MethodSpec, Sender, encode_frame, methods};
use crate::v0_9_1::Malformed;

/// The number of the class.
pub const CLASS: u16 = 20;

methods! { 20;
    /// Opens the channel whose number the frame has.
    Open = 10 Client "channel.open" [] {} [ShortStr<'_>]

    /// The channel is open.
    OpenOk = 11 Server "channel.open-ok" [] {} [LongStr<'_>]

    /// Stops or starts what the other end sends as content.
    Flow = 20 Both "channel.flow" [] {
        /// Whether it may send.
        active: bool,
    } []

    /// Confirms a flow.
    FlowOk = 21 Both "channel.flow-ok" [] {
        /// Whether it sends.
        active: bool,
    } []

    /// Ends the channel.
    Close<'b> = 40 Both "channel.close" [] {
        /// Why, as a number.
        reply_code: u16,
        /// Why, in words.
        reply_text: ShortStr<'b>,
        /// Class of the method that caused it, or 0.
        class_id: u16,
        /// The method that caused it, or 0.
        method_id: u16,
    } []

    /// Confirms the end of the channel.
    CloseOk = 41 Both "channel.close-ok" [] {} []
}
