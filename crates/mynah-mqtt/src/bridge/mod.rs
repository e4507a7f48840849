//! A bridge: a connection that this broker makes to another one, so that topics cross.
//!
//! ```text
//!      core                    bridge                       remote broker
//!       | <-- Open -------------- | -- CONNECT --> CONNACK -- |
//!       | --- Opened -----------> | -- SUBSCRIBE (in) ------> |
//!       | <-- Subscribe (out) --- |                           |
//!       | --- delivery ---------> | -- PUBLISH -------------> |
//!       | <-- Settle ------------ | <- PUBACK, PUBREC, … ---- |
//!       | <-- Publish ----------- | <- PUBLISH -------------- |
//!       | --- Published --------> | -- PUBACK, PUBREC, … ---> |
//! ```
//!
//! Towards the remote broker it is a client, towards the core a connection like others with a session of its own: what
//! cannot cross waits in the backlog of the session, a packet identifier is the delivery's, and nothing is acknowledged to
//! either side before the other side has done so. So a guarantee holds from end to end.
//!
//! A message does not come back: the core is asked to spare the session what it publishes itself, a remote broker of MQTT 5.0
//! likewise (No Local), and one of MQTT 3.1.1 that knows bridges by a bit of the protocol level. A message of a higher QoS
//! than the remote broker takes, or larger, or with a name that it cannot have there, does not cross and is counted as
//! dropped.

mod established;
mod opening;
mod topics;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU16, Ordering};
use core::time::Duration;

use mynah_model::{Instant, Layout, Reason};
use mynah_stack::{Close, Connection, Delivery, LayoutCodec, Outbound, Outcome, Protocol, Step};

pub use topics::{Direction, TopicRule};

use crate::Error;
use crate::client::{Ending, Misuse, Options, Taken, Terms};
use crate::mapping::{self, MqttCodec};
use crate::wire::{Disconnect, DisconnectV5, PacketId, Pingreq, ReasonCode};
use topics::Rule;

/// How a bridge is made.
#[derive(Clone)]
pub struct Settings {
    /// How it connects; the version decides what is spoken. [`Options::clean_session`] also says whether the session here
    /// outlives a connection.
    pub options: Options,
    /// The name of its session here.
    pub session: Box<[u8]>,
    /// Deliveries that may wait for the remote broker's acknowledgement.
    pub receive_max: u16,
    /// Whether a remote broker of MQTT 3.1.1 is told that this is a bridge, by the high bit of the protocol level:
    /// Mosquitto then sends no message back and keeps the RETAIN flag as it was published. Others refuse it.
    pub bridge_bit: bool,
    /// Who hears what happens.
    pub watch: Arc<dyn Watch>,
}

/// Hears what happens on a bridge, for logs and metrics. Called on the worker that has the connection.
pub trait Watch: Send + Sync {
    /// The remote broker has let the bridge in.
    fn connected(&self);
    /// The remote broker, or the bridge, has ended the connection, or did not begin it.
    fn ended(&self, ending: Ending);
    /// A message has come from the remote broker.
    fn message_in(&self);
    /// A message has gone to the remote broker.
    fn message_out(&self);
}

/// A bridge, as one of the broker's protocols: each connection that it accepts is one that was made to the remote broker.
#[derive(Clone)]
pub struct Bridge {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    connect: Vec<u8>,
    rules: Vec<Rule>,
    connections: AtomicU16,
}

impl Bridge {
    /// A bridge for these topics.
    ///
    /// # Errors
    /// The options make no CONNECT, or a rule has a filter that is none.
    pub fn new(settings: Settings, topics: &[TopicRule<'_>]) -> Result<Self, Misuse> {
        let rules = topics.iter().map(|rule| Rule::new(rule).map_err(Misuse::Invalid));
        Self::with_rules(settings, rules.collect::<Result<_, _>>()?)
    }

    /// Another bridge for the same topics. Their filters, which stay as long as the program, are kept once.
    ///
    /// # Errors
    /// The options make no CONNECT.
    pub fn with_settings(&self, settings: Settings) -> Result<Self, Misuse> {
        Self::with_rules(settings, self.shared.rules.clone())
    }

    fn with_rules(settings: Settings, rules: Vec<Rule>) -> Result<Self, Misuse> {
        let mut connect = Vec::new();
        settings.options.encode_connect(&mut connect)?;
        if settings.bridge_bit {
            opening::set_bridge_bit(&mut connect);
        }
        let connections = AtomicU16::new(0);
        Ok(Self { shared: Arc::new(Shared { settings, connect, rules, connections }) })
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("options", &self.shared.settings.options).finish_non_exhaustive()
    }
}

impl Protocol for Bridge {
    fn name(&self) -> &'static str {
        "mqtt-bridge"
    }

    fn accept(&self, now: Instant) -> Box<dyn Connection> {
        Box::new(BridgeConnection::new(Arc::clone(&self.shared), now))
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        Arc::new(MqttCodec)
    }
}

/// A connection to the remote broker.
struct BridgeConnection {
    shared: Arc<Shared>,
    state: State,
    terms: Terms,
    taken: Taken,
    /// Seconds, as this end or the remote broker chose them.
    keep_alive: u16,
    sent_at: Instant,
    pinged_at: Option<Instant>,
    /// Names the SUBSCRIBE.
    subscribe_id: PacketId,
    /// The SUBSCRIBE is not answered yet.
    subscribing: bool,
    /// The core has not been asked for subscriptions yet.
    wants_filters: bool,
    /// Whether the remote broker has the session of an earlier connection.
    session_present: bool,
    /// Identifiers of QoS 2 that a remote broker without an earlier session has used since.
    used: BTreeSet<PacketId>,
    /// Identifiers that the core is forgetting since the remote broker has lost its session.
    forgetting: BTreeSet<u16>,
    /// Memory for the name of a topic.
    name: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// CONNECT is to be sent: at once, when the timer is looked at.
    New {
        since: Instant,
    },
    AwaitingConnack {
        since: Instant,
    },
    /// The core has been asked for the session.
    Opening {
        since: Instant,
    },
    Open,
    Closing(Close),
}

impl BridgeConnection {
    fn new(shared: Arc<Shared>, now: Instant) -> Self {
        // Another identifier than that of the connection before: one that collides with a delivery does so once.
        let count = shared.connections.fetch_add(1, Ordering::Relaxed);
        let subscribe_id = PacketId::new(u16::MAX - count % 1_024).unwrap_or(PacketId::FIRST);
        let options = &shared.settings.options;
        Self {
            state: State::New { since: now },
            terms: Terms::NONE,
            taken: Taken::new(options.v5.topic_alias_max),
            keep_alive: options.keep_alive,
            sent_at: now,
            pinged_at: None,
            subscribe_id,
            subscribing: false,
            wants_filters: true,
            session_present: false,
            used: BTreeSet::new(),
            forgetting: BTreeSet::new(),
            name: Vec::new(),
            shared,
        }
    }

    fn options(&self) -> &Options {
        &self.shared.settings.options
    }

    fn is_v5(&self) -> bool {
        self.options().version.has_properties()
    }

    fn send(&mut self, now: Instant, packet: &[u8], out: &mut Outbound) {
        out.append(packet);
        self.sent_at = now;
    }

    /// Ends the connection and tells who watches.
    fn end<'b>(&mut self, reason: Reason, ending: Ending) -> Step<'b> {
        let close = Close::new(reason, false);
        if !matches!(self.state, State::Closing(_)) {
            self.state = State::Closing(close);
            self.shared.settings.watch.ended(ending);
        }
        Step::Close(close)
    }

    /// Ends the connection for what the remote broker did.
    fn fail<'b>(&mut self, error: Error, out: &mut Outbound) -> Step<'b> {
        if self.is_v5() && self.state == State::Open {
            self.take_leave(error.reason_code(), out);
        }
        self.end(error.reason(), Ending::Failed(error))
    }

    fn take_leave(&self, reason_code: ReasonCode, out: &mut Outbound) {
        if !self.is_v5() {
            out.append(&Disconnect.encode());
            return;
        }
        let mut packet = Vec::new();
        if DisconnectV5::new(reason_code).encode(self.terms.packet_bytes_max, &mut packet) {
            out.append(&packet);
        }
    }

    /// Ends the connection for what the core said: the other end hears that this one leaves.
    fn leave(&mut self, reason: Reason, out: &mut Outbound) {
        if self.state == State::Open {
            self.take_leave(ReasonCode::Success, out);
        }
        self.end(reason, Ending::Disconnected);
    }
}

impl Drop for BridgeConnection {
    /// Without a close of its own the transport was lost.
    fn drop(&mut self) {
        self.end(Reason::Disconnected, Ending::Lost);
    }
}

impl Connection for BridgeConnection {
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        match self.state {
            State::Open => self.step_open(now, input, out),
            State::AwaitingConnack { .. } => self.step_connack(now, input),
            State::New { .. } | State::Opening { .. } => Step::Idle,
            State::Closing(close) => Step::Close(close),
        }
    }

    fn deliver(&mut self, now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        if self.state != State::Open {
            return true;
        }
        self.deliver_open(now, delivery, out)
    }

    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        match (self.state, outcome) {
            (State::Closing(_), _) => {}
            (_, Outcome::Ended(reason)) => self.leave(reason, out),
            (State::Opening { .. }, Outcome::Opened(result)) => self.handle_opened(now, result, out),
            (State::Open, outcome) => self.handle_open_outcome(now, outcome, out),
            // Nothing else was asked for.
            (State::New { .. } | State::AwaitingConnack { .. } | State::Opening { .. }, _) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::New { .. } => {
                let shared = Arc::clone(&self.shared);
                self.send(now, &shared.connect, out);
                self.state = State::AwaitingConnack { since: now };
            }
            State::Open if self.pinged_at.is_none() => {
                self.send(now, &Pingreq.encode(), out);
                self.pinged_at = Some(now);
            }
            State::AwaitingConnack { .. } | State::Opening { .. } | State::Open => {
                self.end(Reason::KeepAliveTimeout, Ending::TimedOut);
            }
            State::Closing(_) => {}
        }
    }

    fn handle_shutdown(&mut self, _now: Instant, out: &mut Outbound) {
        self.leave(Reason::ShuttingDown, out);
    }

    fn deadline(&self) -> Option<Instant> {
        let patience = self.options().response_timeout;
        match (self.state, self.pinged_at) {
            (State::New { since }, _) => Some(since),
            (State::AwaitingConnack { since } | State::Opening { since }, _) => Some(since + patience),
            (State::Open, Some(since)) => Some(since + patience),
            (State::Open, None) if self.keep_alive == 0 => None,
            (State::Open, None) => Some(self.sent_at + Duration::from_secs(u64::from(self.keep_alive))),
            (State::Closing(_), _) => None,
        }
    }

    fn layout(&self) -> Layout {
        mapping::layout(self.options().version)
    }

    fn input_bytes_max(&self) -> usize {
        self.options().packet_bytes_max
    }
}
