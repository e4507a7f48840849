//! The class tx (section 1.9 of the reference): local transactions.

use alloc::vec::Vec;

use super::fields::{Arguments, Fields};
use super::method::{MethodId, MethodSpec, Sender, encode_frame, methods};
use crate::v0_9_1::Malformed;

/// The number of the class.
pub const CLASS: u16 = 90;

methods! { 90;
    /// From now on publications and acknowledgements of the channel wait for a commit.
    Select = 10 Client "tx.select" [] {} []

    /// They will.
    SelectOk = 11 Server "tx.select-ok" [] {} []

    /// Makes what waits happen.
    Commit = 20 Client "tx.commit" [] {} []

    /// It has happened.
    CommitOk = 21 Server "tx.commit-ok" [] {} []

    /// Forgets what waits.
    Rollback = 30 Client "tx.rollback" [] {} []

    /// It is forgotten.
    RollbackOk = 31 Server "tx.rollback-ok" [] {} []
}
