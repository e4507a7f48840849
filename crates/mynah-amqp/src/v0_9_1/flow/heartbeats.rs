//! Heartbeats (section 4.2.7): when one has to be sent, and when the peer has been silent for too long.

use core::time::Duration;

use mynah_model::Instant;

/// The interval that was agreed on, and when each end was heard last.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeats {
    interval: Option<Duration>,
    heard_at: Instant,
    sent_at: Instant,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// A heartbeat is to be sent.
    Heartbeat,
    /// The peer is gone.
    Silence,
}

impl Heartbeats {
    /// Begins at `now` with an interval in seconds; 0: no heartbeats.
    #[must_use]
    pub fn new(seconds: u16, now: Instant) -> Self {
        let interval = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        Self { interval, heard_at: now, sent_at: now }
    }

    /// Something came from the peer.
    pub const fn note_heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Something was sent to the peer.
    pub const fn note_sent(&mut self, now: Instant) {
        self.sent_at = now;
    }

    /// When something is due: a heartbeat at half the interval, so that the peer hears one in each.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let interval = self.interval?;
        Some((self.sent_at + interval / 2).min(self.heard_at + 2 * interval))
    }

    /// What is due at `now`.
    #[must_use]
    pub fn due(&self, now: Instant) -> Due {
        match self.interval {
            Some(interval) if now >= self.heard_at + 2 * interval => Due::Silence,
            Some(interval) if now >= self.sent_at + interval / 2 => Due::Heartbeat,
            _ => Due::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= amqp-0-9-1 [4.2.7-silence]
    #[test]
    fn a_peer_is_gone_after_two_intervals_and_hears_one_in_each() {
        let at = |millis: u64| Instant::from_micros(millis * 1_000);
        let mut beats = Heartbeats::new(10, at(0));
        assert_eq!((beats.deadline(), beats.due(at(4_999))), (Some(at(5_000)), Due::Nothing));
        assert_eq!(beats.due(at(5_000)), Due::Heartbeat);
        beats.note_sent(at(18_000));
        assert_eq!((beats.deadline(), beats.due(at(20_000))), (Some(at(20_000)), Due::Silence));
        beats.note_heard(at(19_000));
        assert_eq!((beats.deadline(), beats.due(at(20_000))), (Some(at(23_000)), Due::Nothing));
        let none = Heartbeats::new(0, at(0));
        assert_eq!((none.deadline(), none.due(at(u64::MAX / 1_000))), (None, Due::Nothing));
    }
}
