//! How much is told: so many events of a kind in a second. A flood is counted, and makes no flood of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mynah_model::Instant;

use super::AuditKind;

/// Events of one kind that are told in a second, by all workers together.
const TOLD_MAX: u32 = 50;

/// Whether an event is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It is; so many of its kind were left out before.
    Told(u64),
    /// It is counted.
    LeftOut {
        /// Nothing is counted before it that is not told: somebody has to look when the second is over
        /// ([`crate::Engine::watch_left_out`]).
        first: bool,
    },
}

/// What was told of each kind.
#[derive(Debug, Default)]
pub(crate) struct Bounds([Mutex<Second>; AuditKind::ALL.len()]);

/// The second of the clock that was counted last.
#[derive(Debug, Default)]
struct Second {
    number: u64,
    told: u32,
    /// Since something was told last.
    left_out: u64,
}

/// What is to be told of what was left out, when somebody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It was told with another event.
    Nothing,
    /// So much was left out, and nothing came after it.
    Count(u64),
    /// The second is not over.
    Later,
}

impl Bounds {
    /// Something has happened. Says whether it is to be told.
    pub(crate) fn admit(&self, now: Instant, kind: AuditKind) -> Admitted {
        let mut second = self.second(kind);
        let number = number(now);
        // Workers' clocks are read at different times: one that is behind does not begin a second again.
        if number > second.number {
            (second.number, second.told) = (number, 0);
        }
        if second.told == TOLD_MAX {
            second.left_out += 1;
            return Admitted::LeftOut { first: second.left_out == 1 };
        }
        second.told += 1;
        Admitted::Told(core::mem::take(&mut second.left_out))
    }

    /// What was left out of a kind in a second that is over.
    pub(crate) fn rest(&self, now: Instant, kind: AuditKind) -> Rest {
        let mut second = self.second(kind);
        match second.left_out {
            0 => Rest::Nothing,
            _ if number(now) <= second.number => Rest::Later,
            _ => Rest::Count(core::mem::take(&mut second.left_out)),
        }
    }

    fn second(&self, kind: AuditKind) -> MutexGuard<'_, Second> {
        self.0[kind as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(now: Instant) -> u64 {
    now.as_micros() / 1_000_000
}

/// When the second is over.
pub(crate) fn next_second(now: Instant) -> Instant {
    Instant::from_micros((number(now) + 1) * 1_000_000)
}
