//! The server's half of a connection.
//!
//! ```text
//!                  CONNECT              Opened(Ok): CONNACK 0
//! AwaitingConnect ----------> Opening --------------------------> Open
//!        |                       | Opened(Err): CONNACK n           | DISCONNECT, error, timeout, Ended, shutdown
//!        +-----------------------+------------> Closing <-----------+
//! ```
//!
//! Invariants: nothing is written before CONNACK and nothing after the state is `Closing`; input is read only in
//! `AwaitingConnect` and `Open`; a packet is decoded once.

mod established;
mod opening;

use alloc::sync::Arc;
use core::time::Duration;

use mynah_model::{DeliveryId, Instant, Layout, Reason};
use mynah_stack::{Close, Connection, Delivery, Outbound, Outcome, Step};

use crate::wire::{Ack, AckType, PacketId, Publish};
use crate::{Config, Error, Version, mapping};

/// A connection from a client.
#[derive(Debug)]
pub struct ServerConnection {
    config: Arc<Config>,
    state: State,
    /// When the peer was accepted, and since then when it last showed that it is alive.
    heard_at: Instant,
    /// How many bytes of an incomplete packet have been seen: more of them are a sign of life too.
    partial_bytes: u32,
    /// Seconds within which the client promises a packet; 0 promises nothing.
    keep_alive: u16,
    version: Version,
    begun: Option<Begun>,
    failure: Option<Error>,
}

/// The last exchange of QoS 2 that a PUBLISH without DUP began, while it is not released.
#[derive(Clone, Copy, Debug)]
struct Begun {
    id: PacketId,
    /// Bytes of the packet's body: another length is another message, with an identifier that was not free.
    body_len: u32,
    /// How often it has come.
    times: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitingConnect,
    Opening,
    Open,
    Closing(Close),
}

impl ServerConnection {
    /// A connection that was accepted at `now`.
    #[must_use]
    pub fn new(config: Arc<Config>, now: Instant) -> Self {
        Self {
            config,
            state: State::AwaitingConnect,
            heard_at: now,
            partial_bytes: 0,
            keep_alive: 0,
            version: Version::default(),
            begun: None,
            failure: None,
        }
    }

    /// What the peer did wrong, if that is why the connection closes.
    #[must_use]
    pub const fn failure(&self) -> Option<Error> {
        self.failure
    }

    /// Closes without a good-bye of the client: the will is wanted ([MQTT-3.1.2-8]).
    fn close<'b>(&mut self, reason: Reason) -> Step<'b> {
        self.close_with(Close::new(reason, true))
    }

    fn close_with<'b>(&mut self, close: Close) -> Step<'b> {
        self.state = State::Closing(close);
        Step::Close(close)
    }

    fn fail<'b>(&mut self, error: Error) -> Step<'b> {
        self.failure = Some(error);
        self.close(error.reason())
    }

    /// Notes what is left of the input: more of it than before is a sign of life.
    fn note_partial(&mut self, now: Instant, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        if len > self.partial_bytes {
            self.heard_at = now;
        }
        self.partial_bytes = len;
    }
}

impl Connection for ServerConnection {
    #[inline]
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        match self.state {
            State::Open => self.step_open(now, input, out),
            State::AwaitingConnect => self.step_connect(input, out),
            State::Opening => Step::Idle,
            State::Closing(close) => Step::Close(close),
        }
    }

    fn deliver(&mut self, _now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        if self.state != State::Open {
            return true;
        }
        match delivery {
            Delivery::Message { frame, class, id, retain, redelivered, .. } => {
                frame.write(out, Publish::first_byte(class, redelivered, retain), id);
            }
            Delivery::Release { id } => release(id, out),
        }
        true
    }

    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        match (self.state, outcome) {
            (State::Closing(_), _) => {}
            (_, Outcome::Ended(reason)) => {
                self.close(reason);
            }
            (State::Opening, Outcome::Opened(result)) => self.handle_opened(now, result, out),
            (State::Open, outcome) => self.handle_open_outcome(outcome, out),
            // Nothing else was asked for.
            (State::AwaitingConnect | State::Opening, _) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, _out: &mut Outbound) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::AwaitingConnect | State::Opening => self.close(Reason::OpeningTimeout),
            State::Open => self.close(Reason::KeepAliveTimeout),
            State::Closing(close) => Step::Close(close),
        };
    }

    /// The version has no packet for a server's good-bye: the connection is closed. Wills are not published, because
    /// the broker, and not a client, is what ends.
    fn handle_shutdown(&mut self, _now: Instant, _out: &mut Outbound) {
        if !matches!(self.state, State::Closing(_)) {
            self.close_with(Close::new(Reason::ShuttingDown, false));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::AwaitingConnect | State::Opening => {
                Some(self.heard_at + self.config.settings().connect_timeout)
            }
            State::Open if self.keep_alive == 0 => None,
            // One and a half times the keep alive ([MQTT-3.1.2-24]).
            State::Open => Some(self.heard_at + Duration::from_millis(1_500 * u64::from(self.keep_alive))),
            State::Closing(_) => None,
        }
    }

    fn layout(&self) -> Layout {
        mapping::layout(self.version)
    }

    fn input_bytes_max(&self) -> usize {
        match self.state {
            State::Open => self.config.settings().packet_bytes_max,
            State::AwaitingConnect | State::Opening | State::Closing(_) => {
                self.config.settings().connect_packet_bytes_max
            }
        }
    }
}

/// Answers the PUBREC of a delivery, now or in a resumed session ([MQTT-4.3.3-1]).
fn release(id: DeliveryId, out: &mut Outbound) {
    acknowledge(AckType::Pubrel, PacketId::from(id), out);
}

fn acknowledge(ack_type: AckType, packet_id: PacketId, out: &mut Outbound) {
    out.append(&Ack { ack_type, packet_id }.encode());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand idle connections are to cost little.
    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<ServerConnection>() <= 64, "{}", size_of::<ServerConnection>());
    }
}
