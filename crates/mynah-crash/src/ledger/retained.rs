//! Retained values: which one a topic may have, given what its only writer tried and what was acknowledged.

/// The writes to one topic from the last acknowledged one on, in their order.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// Sequence, and whether it clears the value.
    writes: Vec<(u32, bool)>,
    /// Whether the first write was acknowledged; otherwise the topic may also be as if none had been tried.
    is_settled: bool,
    /// Whether a write ever cleared the value.
    pub(super) was_cleared: bool,
}

impl Writes {
    pub(super) fn attempt(&mut self, sequence: u32, clears: bool) {
        self.writes.push((sequence, clears));
        self.was_cleared |= clears;
    }

    /// Nothing older than an acknowledged write may be seen again.
    pub(super) fn acknowledge(&mut self, sequence: u32) {
        if let Some(at) = self.writes.iter().position(|&(write, _)| write == sequence) {
            self.writes.drain(..at);
            self.is_settled = true;
        }
    }

    /// Whether the value of this write, or none, may be what the topic has.
    pub(super) fn allows(&self, value: Option<u32>) -> bool {
        match value {
            None => !self.is_settled || self.writes.iter().any(|&(_, clears)| clears),
            Some(sequence) => self.writes.iter().any(|&(write, clears)| write == sequence && !clears),
        }
    }

    /// The writes whose value may be seen, for a report.
    pub(super) fn shown(&self) -> String {
        let write = |&(sequence, clears): &(u32, bool)| {
            if clears { format!("{sequence} (clears)") } else { sequence.to_string() }
        };
        let writes: Vec<_> = self.writes.iter().map(write).collect();
        let first = if self.is_settled { "the first acknowledged" } else { "none acknowledged" };
        format!("writes {}, {first}", writes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_acknowledged_value_or_a_later_attempt_is_allowed() {
        let mut writes = Writes::default();
        assert!(writes.allows(None));
        writes.attempt(3, false);
        assert!(writes.allows(None) && writes.allows(Some(3)) && !writes.allows(Some(2)));
        writes.acknowledge(3);
        assert!(!writes.allows(None) && writes.allows(Some(3)));
        writes.attempt(5, true);
        writes.attempt(8, false);
        assert!(writes.allows(None) && writes.allows(Some(3)) && writes.allows(Some(8)));
        assert!(!writes.allows(Some(5)));
        writes.acknowledge(5);
        assert!(writes.allows(None) && !writes.allows(Some(3)) && writes.allows(Some(8)));
        writes.acknowledge(8);
        assert!(!writes.allows(None) && writes.allows(Some(8)));
    }
}
