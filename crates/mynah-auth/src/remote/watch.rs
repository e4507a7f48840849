//! Whether somebody who is asked answers: told when that changes, not at each question.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the last answer was of use.
#[derive(Debug)]
pub(super) struct Watch {
    /// Who is asked, for the log.
    who: &'static str,
    fails: AtomicBool,
}

impl Watch {
    pub(super) const fn new(who: &'static str) -> Self {
        Self { who, fails: AtomicBool::new(false) }
    }

    pub(super) fn answers(&self) {
        if self.fails.swap(false, Ordering::Relaxed) {
            tracing::info!(who = self.who, "answers again");
        }
    }

    pub(super) fn fails(&self, why: impl fmt::Display) {
        if self.fails.swap(true, Ordering::Relaxed) {
            tracing::debug!(who = self.who, %why, "still no answer of use");
        } else {
            tracing::error!(who = self.who, %why, "no answer of use: who depends on it is not let in");
        }
    }
}
