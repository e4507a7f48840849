//! The trace: the last events of a run, in words. It is kept only when a seed is run again because it failed.

use std::collections::VecDeque;

/// How many events are kept.
const LINES: usize = 150;

/// The last events.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    is_on: bool,
    lines: VecDeque<String>,
}

impl Trace {
    /// A trace that keeps what is noted, or nothing.
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on, lines: VecDeque::new() }
    }

    /// Notes an event; `line` is called only if it is kept.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.is_on {
            if self.lines.len() == LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(line());
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
