//! The class confirm (RabbitMQ): publications that are answered.

use alloc::vec::Vec;

use super::fields::{Argument, Arguments, Fields};
use super::method::{MethodId, MethodSpec, Sender, encode_frame, methods};
use crate::v0_9_1::Malformed;

/// The number of the class.
pub const CLASS: u16 = 85;

methods! { 85;
    /// From now on the publications of the channel are answered.
    Select = 10 Client "confirm.select" [] {
        /// No answer is wanted to this.
        nowait: bool,
    } []

    /// They will be.
    SelectOk = 11 Server "confirm.select-ok" [] {} []
}
