//! How much is told: so many events of a kind in a second. A flood is counted, and makes no flood of its own.

use std::sync::{Mutex, PoisonError};

use mynah_model::Instant;

use super::AuditKind;

/// Events of one kind that are told in a second, by all workers together.
const TOLD_MAX: u32 = 50;
const KINDS: usize = 5;

/// What was told of each kind.
#[derive(Debug, Default)]
pub(crate) struct Bounds([Mutex<Second>; KINDS]);

/// The second of the clock that was counted last.
#[derive(Debug, Default)]
struct Second {
    number: u64,
    told: u32,
    /// Since something was told last.
    left_out: u64,
}

impl Bounds {
    /// Something has happened. Returns how much of its kind was left out before, if it is to be told.
    pub(crate) fn admit(&self, now: Instant, kind: AuditKind) -> Option<u64> {
        let mut second = self.0[kind as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.as_micros() / 1_000_000;
        // Workers' clocks are read at different times: one that is behind does not begin a second again.
        if number > second.number {
            (second.number, second.told) = (number, 0);
        }
        if second.told == TOLD_MAX {
            second.left_out += 1;
            return None;
        }
        second.told += 1;
        Some(core::mem::take(&mut second.left_out))
    }
}
