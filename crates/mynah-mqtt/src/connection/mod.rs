//! The server's half of a connection.
//!
//! ```text
//!                  CONNECT              Opened(Ok): CONNACK 0
//! AwaitingConnect ----------> Opening --------------------------> Open
//!        |                      | ^ | Opened(Err): CONNACK n        | DISCONNECT, error, timeout, Ended, shutdown
//!        |      Challenge: AUTH v | | AUTH                          |
//!        |                Challenged +                              |
//!        +----------------------+------------> Closing <------------+
//! ```
//!
//! Invariants: nothing is written before CONNACK but AUTH, and nothing after the state is `Closing`; input is read only
//! in `AwaitingConnect`, `Challenged` and `Open`; a packet is decoded once. What only MQTT 5.0 has is kept beside, and
//! only while it is used.

mod answers;
mod authenticating;
mod delivering;
mod established;
mod leaving;
mod opening;
mod outcomes;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use mynah_model::{Expiry, Instant, Layout, Reason};
use mynah_stack::{Connection, Delivery, Outbound, Outcome, Step};

use crate::flow::{Exchanging, InboundAliases, OutboundAliases, Unfinished};
use crate::wire::PacketId;
use crate::{Config, Error, Version, mapping};

pub use answers::Answers;

/// A connection from a client.
#[derive(Debug)]
pub struct ServerConnection {
    config: Arc<Config>,
    beside: Option<Box<Beside>>,
    /// When the peer was accepted, and since then when it last showed that it is alive.
    heard_at: Instant,
    terms: Terms,
    /// How many bytes of an incomplete packet have been seen: more of them are a sign of life too.
    partial_bytes: u32,
    begun: Option<Begun>,
    /// Seconds within which the client promises a packet; 0 promises nothing.
    keep_alive: u16,
    /// Publications of QoS 1 that are not answered, in MQTT 5.0.
    unanswered: u16,
    state: State,
    version: Version,
    failure: Option<Error>,
}

/// What the client of MQTT 5.0 said in CONNECT, as far as it matters later.
#[derive(Debug)]
struct Terms {
    /// Bytes of the largest packet that the client takes.
    packet_bytes_max: u32,
    /// Seconds for which the session outlives the connection.
    session_expiry: u32,
    problem_information: bool,
    response_information: bool,
    /// Whether the keep-alive is not the client's.
    keep_alive_replaced: bool,
    /// Whether topics are sent with aliases.
    gives_aliases: bool,
}

impl Default for Terms {
    /// The terms of a client that says nothing, or speaks an older version.
    fn default() -> Self {
        Self {
            packet_bytes_max: u32::MAX,
            session_expiry: 0,
            problem_information: true,
            response_information: false,
            keep_alive_replaced: false,
            gives_aliases: false,
        }
    }
}

/// What few connections need.
#[derive(Debug, Default)]
struct Beside {
    unfinished: Unfinished,
    inbound_aliases: InboundAliases,
    outbound_aliases: Option<OutboundAliases>,
    exchanging: Option<Exchanging>,
    /// How long the session outlives the connection, as the client said in taking leave.
    expiry: Option<Expiry>,
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
    /// The client has to go on with its authentication.
    Challenged,
    Open,
    Closing {
        reason: Reason,
        publish_will: bool,
    },
}

impl ServerConnection {
    /// A connection that was accepted at `now`.
    #[must_use]
    pub fn new(config: Arc<Config>, now: Instant) -> Self {
        Self {
            config,
            beside: None,
            heard_at: now,
            terms: Terms::default(),
            partial_bytes: 0,
            begun: None,
            keep_alive: 0,
            unanswered: 0,
            state: State::AwaitingConnect,
            version: Version::default(),
            failure: None,
        }
    }

    /// What the peer did wrong, if that is why the connection closes.
    #[must_use]
    pub const fn failure(&self) -> Option<Error> {
        self.failure
    }

    fn beside(&mut self) -> &mut Beside {
        self.beside.get_or_insert_default()
    }

    fn exchanging(&mut self) -> Option<&mut Exchanging> {
        self.beside.as_mut()?.exchanging.as_mut()
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
        if self.state == State::Open {
            return self.step_open(now, input, out);
        }
        match self.state {
            State::Open | State::Opening => Step::Idle,
            State::AwaitingConnect => self.step_connect(input, out),
            State::Challenged => self.step_challenged(input, out),
            State::Closing { reason, publish_will } => Step::Close(self.closing(reason, publish_will)),
        }
    }

    fn deliver(&mut self, _now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        if self.state != State::Open {
            return true;
        }
        self.deliver_open(delivery, out)
    }

    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        match (self.state, outcome) {
            (State::Closing { .. }, _) => {}
            (_, Outcome::Ended(reason)) => {
                self.take_leave(reason, out);
                self.close(reason);
            }
            (State::Opening, Outcome::Opened(result)) => self.handle_opened(now, result, out),
            (State::Opening, Outcome::Challenge(data)) => {
                self.state = State::Challenged;
                self.challenge(data, out);
            }
            (State::Open, outcome) => self.handle_open_outcome(outcome, out),
            // Nothing else was asked for.
            (State::AwaitingConnect | State::Opening | State::Challenged, _) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::AwaitingConnect | State::Opening | State::Challenged => {
                self.close(Reason::OpeningTimeout);
            }
            State::Open => {
                self.take_leave(Reason::KeepAliveTimeout, out);
                self.close(Reason::KeepAliveTimeout);
            }
            State::Closing { .. } => {}
        }
    }

    /// Before MQTT 5.0 there is no packet for a server's good-bye: the connection is closed. Wills are not published,
    /// because the broker, and not a client, is what ends.
    fn handle_shutdown(&mut self, _now: Instant, out: &mut Outbound) {
        if !matches!(self.state, State::Closing { .. }) {
            self.take_leave(Reason::ShuttingDown, out);
            self.close_with(Reason::ShuttingDown, false);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::AwaitingConnect | State::Opening | State::Challenged => {
                Some(self.heard_at + self.config.settings().connect_timeout)
            }
            State::Open if self.keep_alive == 0 => None,
            // One and a half times the keep alive ([MQTT-3.1.2-24]).
            State::Open => Some(self.heard_at + Duration::from_millis(1_500 * u64::from(self.keep_alive))),
            State::Closing { .. } => None,
        }
    }

    fn layout(&self) -> Layout {
        mapping::layout(self.version)
    }

    fn consumes_by_subscribing(&self) -> bool {
        true
    }

    fn input_bytes_max(&self) -> usize {
        match self.state {
            State::Open => self.config.settings().packet_bytes_max,
            State::AwaitingConnect | State::Opening | State::Challenged | State::Closing { .. } => {
                self.config.settings().connect_packet_bytes_max
            }
        }
    }
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
