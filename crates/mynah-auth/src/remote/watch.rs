//! Whether somebody who is asked answers: told when that changes, not at each question. While there are no answers of
//! use, one question at a time finds out whether that is still so, and nobody else has to wait for it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the last answer was of use.
#[derive(Debug)]
pub(super) struct Watch {
    /// Who is asked, for the log.
    who: &'static str,
    fails: AtomicBool,
    /// Whether somebody asks although the last answer was of no use.
    is_probed: AtomicBool,
}

/// The right to ask.
pub(super) struct Admission<'w>(Option<&'w AtomicBool>);

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if let Some(is_probed) = self.0 {
            is_probed.store(false, Ordering::Relaxed);
        }
    }
}

impl Watch {
    pub(super) const fn new(who: &'static str) -> Self {
        Self { who, fails: AtomicBool::new(false), is_probed: AtomicBool::new(false) }
    }

    /// The right to ask, none if the last answer was of no use and somebody else is about to hear the next.
    pub(super) fn admit(&self) -> Option<Admission<'_>> {
        if !self.fails.load(Ordering::Relaxed) {
            return Some(Admission(None));
        }
        let was_probed = self.is_probed.swap(true, Ordering::Relaxed);
        (!was_probed).then(|| Admission(Some(&self.is_probed)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_there_are_no_answers_one_question_at_a_time_finds_out() {
        let watch = Watch::new("nobody");
        let both = [watch.admit(), watch.admit()];
        assert!(both.iter().all(Option::is_some));
        watch.fails("a reason");
        let probe = watch.admit();
        assert!(probe.is_some() && watch.admit().is_none());
        drop(both);
        assert!(watch.admit().is_none(), "those of before are no probes");
        drop(probe);
        assert!(watch.admit().is_some());
        watch.answers();
        assert!([watch.admit(), watch.admit()].iter().all(Option::is_some));
    }
}
