//! Signs of life in both directions ("Heart-beating").

use core::time::Duration;

use mynah_model::Instant;

use crate::wire::HeartBeat;

/// How much longer than agreed on the other end may be silent: timing is never exact.
const TOLERANCE: u32 = 2;

/// When to give a sign of life, and when the other end is taken for dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeartBeats {
    send_every: Option<Duration>,
    hear_within: Option<Duration>,
    sent_at: Instant,
    heard_at: Instant,
}

impl HeartBeats {
    /// What follows from what both ends have said.
    pub(crate) fn new(now: Instant, ours: HeartBeat, theirs: HeartBeat) -> Self {
        Self {
            send_every: ours.towards(theirs),
            hear_within: theirs.towards(ours).map(|every| every * TOLERANCE),
            sent_at: now,
            heard_at: now,
        }
    }

    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent_at = now;
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Whether a sign of life is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.send_every.is_some_and(|every| self.sent_at + every <= now)
    }

    /// Whether the other end has been silent for too long.
    pub(crate) fn is_dead(&self, now: Instant) -> bool {
        self.hear_within.is_some_and(|within| self.heard_at + within <= now)
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let send = self.send_every.map(|every| self.sent_at + every);
        let hear = self.hear_within.map(|within| self.heard_at + within);
        [send, hear].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    //= stomp-1.2 [heart-beat-send]
    #[test]
    fn each_direction_has_its_own_time() {
        let ours = HeartBeat { sends: 10, wants: 20 };
        let mut beats = HeartBeats::new(at(0), ours, HeartBeat { sends: 30, wants: 15 });
        assert_eq!(beats.deadline(), Some(at(15)));
        assert!(!beats.is_due(at(14)) && beats.is_due(at(15)));
        beats.sent(at(50));
        assert_eq!(beats.deadline(), Some(at(60)));
        assert!(!beats.is_dead(at(59)) && beats.is_dead(at(60)));
        beats.heard(at(55));
        assert_eq!(beats.deadline(), Some(at(65)));
        assert_eq!(HeartBeats::new(at(0), ours, HeartBeat::default()).deadline(), None);
    }
}
