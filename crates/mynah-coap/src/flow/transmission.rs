//! Confirmable messages on their way: what is not acknowledged is sent again with growing patience (RFC 7252, section
//! 4.2), and no more than `NSTART` at a time (section 4.7).

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{DeliveryId, Instant};

use super::Random;
use crate::CoapConfig;
use crate::wire::MessageId;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The answer to a request that was acknowledged by itself.
    Response,
    /// A notification of this observation, and the delivery that it carries.
    Notification(u32, Option<DeliveryId>),
    /// A request of ours, by its number.
    Call(u32),
    /// To see whether the peer is there.
    Ping,
}

/// A message that is not acknowledged.
#[derive(Debug)]
struct Transmission {
    id: MessageId,
    purpose: Purpose,
    /// When it is sent again.
    next_at: Instant,
    /// How long was waited before that.
    patience: Duration,
    /// How often it was sent again.
    attempts: u8,
    datagram: Vec<u8>,
}

/// All messages to one peer that are not acknowledged, and answers that wait until they may be sent.
#[derive(Debug, Default)]
pub(crate) struct Transmissions {
    under_way: Vec<Transmission>,
    waiting: VecDeque<Vec<u8>>,
    /// Memory of a message that is done.
    spare: Vec<u8>,
}

/// What is to be done with a message whose patience is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It is sent again as it is, or in another form: see [`Transmissions::datagram`].
    Again(MessageId, Purpose),
    /// Nobody acknowledged it: it is given up.
    Over(Purpose),
}

impl Transmissions {
    /// Whether one more may be sent.
    pub(crate) fn has_room(&self, config: &CoapConfig) -> bool {
        self.under_way.len() < usize::from(config.nstart)
    }

    /// Whether nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty() && self.waiting.is_empty()
    }

    /// Whether a message with this number is under way.
    pub(crate) fn has(&self, id: MessageId) -> bool {
        self.under_way.iter().any(|t| t.id == id)
    }

    /// Whether a notification of this observation is under way.
    pub(crate) fn notifies(&self, observation: u32) -> bool {
        self.under_way
            .iter()
            .any(|t| matches!(t.purpose, Purpose::Notification(number, _) if number == observation))
    }

    /// Begins a message; the datagram is to be written into what is returned.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        (id, purpose): (MessageId, Purpose),
        config: &CoapConfig,
        random: &mut Random,
    ) -> &mut Vec<u8> {
        let patience = first_patience(config, random);
        let datagram = core::mem::take(&mut self.spare);
        let next_at = now + patience;
        self.under_way.push(Transmission { id, purpose, next_at, patience, attempts: 0, datagram });
        let at = self.under_way.len() - 1;
        &mut self.under_way[at].datagram
    }

    /// Keeps an answer until it may be sent; its number is put in then.
    pub(crate) fn wait(&mut self, datagram: Vec<u8>) {
        self.waiting.push_back(datagram);
    }

    /// How many answers wait until they may be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// An answer that may be sent now.
    pub(crate) fn take_waiting(&mut self, config: &CoapConfig) -> Option<Vec<u8>> {
        if self.has_room(config) { self.waiting.pop_front() } else { None }
    }

    /// The datagram with this number, to be sent or written anew.
    pub(crate) fn datagram(&mut self, id: MessageId) -> Option<&mut Vec<u8>> {
        self.under_way.iter_mut().find(|t| t.id == id).map(|t| &mut t.datagram)
    }

    /// A message is sent again in another form, and so under another number.
    pub(crate) fn renumber(&mut self, id: MessageId, to: MessageId) {
        if let Some(found) = self.under_way.iter_mut().find(|t| t.id == id) {
            found.id = to;
        }
    }

    /// The peer has spoken of a message: it is no longer under way.
    pub(crate) fn end(&mut self, id: MessageId) -> Option<Purpose> {
        let at = self.under_way.iter().position(|t| t.id == id)?;
        Some(self.remove(at))
    }

    /// Forgets the messages of an observation that is over.
    pub(crate) fn end_observation(&mut self, observation: u32) {
        while let Some(at) = self
            .under_way
            .iter()
            .position(|t| matches!(t.purpose, Purpose::Notification(number, _) if number == observation))
        {
            self.remove(at);
        }
    }

    /// Forgets a request that is given up.
    pub(crate) fn end_call(&mut self, number: u32) {
        if let Some(at) = self.under_way.iter().position(|t| t.purpose == Purpose::Call(number)) {
            self.remove(at);
        }
    }

    /// The next message whose patience is over by `now`. One that is sent again has twice the patience.
    pub(crate) fn due(&mut self, now: Instant, config: &CoapConfig) -> Option<Due> {
        let at = self.under_way.iter().position(|t| t.next_at <= now)?;
        let transmission = &mut self.under_way[at];
        if transmission.attempts >= config.retransmit_max {
            return Some(Due::Over(self.remove(at)));
        }
        transmission.attempts += 1;
        transmission.patience *= 2;
        transmission.next_at = now + transmission.patience;
        Some(Due::Again(transmission.id, transmission.purpose))
    }

    /// When [`Transmissions::due`] has something.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.under_way.iter().map(|t| t.next_at).min()
    }

    fn remove(&mut self, at: usize) -> Purpose {
        let Transmission { purpose, mut datagram, .. } = self.under_way.swap_remove(at);
        datagram.clear();
        self.spare = datagram;
        purpose
    }
}

/// `ACK_TIMEOUT` to `ACK_TIMEOUT * ACK_RANDOM_FACTOR`.
fn first_patience(config: &CoapConfig, random: &mut Random) -> Duration {
    let base = config.ack_timeout;
    let span = base * u32::from(config.ack_random_factor.saturating_sub(100)) / 100;
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    base + Duration::from_micros(random.up_to(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    //= rfc7252 [4.2-1] [4.2-2] [4.2-3]
    #[test]
    fn patience_doubles_until_the_message_is_given_up() {
        let config = CoapConfig::default();
        for stream in 0..50 {
            let mut random = Random::new([1, 2], stream);
            let mut transmissions = Transmissions::default();
            let id = MessageId(3);
            transmissions.begin(Instant::ZERO, (id, Purpose::Ping), &config, &mut random).push(1);
            let first = transmissions.deadline().unwrap().saturating_since(Instant::ZERO);
            assert!((2_000..=3_000).contains(&first.as_millis()));
            let mut now = Instant::ZERO + first;
            for attempt in 1..=4 {
                assert_eq!(transmissions.due(now, &config), Some(Due::Again(id, Purpose::Ping)));
                assert_eq!(transmissions.due(now, &config), None);
                assert_eq!(transmissions.deadline(), Some(now + first * (1 << attempt)));
                now = now + first * (1 << attempt);
            }
            assert_eq!(transmissions.due(now, &config), Some(Due::Over(Purpose::Ping)));
            assert!(transmissions.is_empty());
            // MAX_TRANSMIT_WAIT: 93 s at most.
            assert!(now.saturating_since(Instant::ZERO) <= Duration::from_secs(93));
        }
    }

    //= rfc7252 [4.7-1]
    #[test]
    fn no_more_than_nstart_are_under_way() {
        let (config, mut random) = (CoapConfig::default(), Random::new([0; 2], 0));
        let mut transmissions = Transmissions::default();
        assert!(transmissions.has_room(&config));
        let purpose = Purpose::Notification(7, None);
        transmissions.begin(Instant::ZERO, (MessageId(1), purpose), &config, &mut random);
        assert!(!transmissions.has_room(&config) && transmissions.notifies(7));
        transmissions.wait(Vec::from([1]));
        assert_eq!(transmissions.take_waiting(&config), None);
        assert_eq!(transmissions.end(MessageId(2)), None);
        assert_eq!(transmissions.end(MessageId(1)), Some(purpose));
        assert_eq!(transmissions.take_waiting(&config), Some(Vec::from([1])));
        assert!(transmissions.is_empty());
    }
}
