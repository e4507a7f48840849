//! The client's half of a connection, and what it keeps between connections.
//!
//! A program owns the transport and the clock. It calls [`Client::connect`] when the transport is there, writes
//! what [`Client::outbound`] holds, hands what it reads to [`Client::handle_input`], takes events from
//! [`Client::poll_event`] and calls [`Client::handle_timeout`] when [`Client::deadline`] has come:
//!
//! ```
//! use mynah_model::{Class, Instant};
//! use mynah_mqtt::client::{Client, Event, Options};
//!
//! let now = Instant::ZERO;
//! let mut client = Client::new(Options::new("sensor-7"))?;
//! client.connect(now);
//! assert_eq!(client.outbound().drain()[0], 0x10); // CONNECT, to be written to the transport
//!
//! client.handle_input(now, &mut &[0x20, 2, 0, 0][..]); // CONNACK, as it was read
//! assert!(matches!(client.poll_event(), Some(Event::Connected { session_present: false, .. })));
//! let id = client.publish(now, "a/b", b"21.5", Class::AtLeastOnce, false)?;
//! client.handle_input(now, &mut &[0x40, 2, 0, 1][..]); // PUBACK
//! assert!(matches!(client.poll_event(), Some(Event::Acknowledged { id: done, .. }) if Some(done) == id));
//! # Ok::<(), mynah_mqtt::client::Misuse>(())
//! ```
//!
//! A message is acknowledged when its event is taken: what a program has not seen comes again after a lost connection.
//! Without a clean session the next [`Client::connect`] goes on where the last connection ended.

mod aliases;
mod event;
mod in_flight;
mod input;
mod options;
mod properties;
mod request;
mod terms;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::Instant;
use mynah_stack::Outbound;

pub use event::{Ending, Event};
pub use options::{Authentication, LastWill, Misuse, Options, OptionsV5};
pub use properties::{MessageProperties, OwnedSection, UserPairs};
pub use request::{Leave, Publication, Subscription};
pub use terms::Terms;

pub(crate) use aliases::{Given, Taken};

use crate::Error;
use crate::wire::{Ack, AckType, DisconnectV5, PacketId, Pingreq};
use in_flight::InFlight;

/// A client.
#[derive(Debug)]
pub struct Client {
    options: Options,
    state: State,
    out: Outbound,
    events: VecDeque<Waiting>,
    in_flight: InFlight,
    /// Identifiers of QoS 2 messages that have come and are not released, with the connection on which they came last.
    received: BTreeMap<PacketId, u32>,
    /// Messages that the server has sent on this connection and that are not acknowledged to the end.
    unacknowledged: u16,
    /// Counts connections: an acknowledgement is sent only on the connection on which its message came.
    epoch: u32,
    terms: Terms,
    given: Given,
    taken: Taken,
    /// Seconds, as the client or its server chose them.
    keep_alive: u16,
    /// When a packet was last sent; acknowledgements are not counted, which costs a ping at the most.
    sent_at: Instant,
    pinged_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    AwaitingConnack { since: Instant },
    Open,
}

/// An event, and what taking it acknowledges.
#[derive(Debug)]
struct Waiting {
    event: Event,
    ack: Option<(u32, Ack)>,
}

impl Client {
    /// A client that is not connected.
    ///
    /// # Errors
    /// The options make no CONNECT.
    pub fn new(options: Options) -> Result<Self, Misuse> {
        options.encode_connect(&mut Vec::new())?;
        Ok(Self {
            keep_alive: options.keep_alive,
            options,
            state: State::Closed,
            out: Outbound::new(),
            events: VecDeque::new(),
            in_flight: InFlight::default(),
            received: BTreeMap::new(),
            unacknowledged: 0,
            epoch: 0,
            terms: Terms::NONE,
            given: Given::default(),
            taken: Taken::default(),
            sent_at: Instant::ZERO,
            pinged_at: None,
        })
    }

    /// Begins a connection on a new transport. With a clean session, what an earlier connection left unacknowledged
    /// is forgotten ([MQTT-3.1.2-6]).
    pub fn connect(&mut self, now: Instant) {
        self.end_connection();
        self.out = Outbound::new();
        if self.options.clean_session {
            self.in_flight.clear();
            self.received.clear();
        }
        self.unacknowledged = 0;
        self.keep_alive = self.options.keep_alive;
        self.terms = Terms::NONE;
        self.given = Given::default();
        self.taken = Taken::new(self.options.v5.topic_alias_max);
        let mut packet = Vec::new();
        // The options were checked when the client was made.
        if self.options.encode_connect(&mut packet).is_ok() {
            self.send(now, &packet);
        }
        self.epoch = self.epoch.wrapping_add(1);
        self.state = State::AwaitingConnack { since: now };
    }

    /// Asks whether the server is alive. The client does so by itself when it has been silent for the keep-alive.
    ///
    /// # Errors
    /// The connection is not open.
    pub fn ping(&mut self, now: Instant) -> Result<(), Misuse> {
        self.check_open()?;
        self.send(now, &Pingreq.encode());
        self.pinged_at.get_or_insert(now);
        Ok(())
    }

    /// Hears that the transport is closed.
    pub fn handle_end(&mut self) {
        self.close(Ending::Lost);
    }

    /// Hears that the instant of [`Client::deadline`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.state == State::Open && self.pinged_at.is_none() {
            self.send(now, &Pingreq.encode());
            self.pinged_at = Some(now);
        } else {
            self.close(Ending::TimedOut);
        }
    }

    /// When the client wants [`Client::handle_timeout`] if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match (self.state, self.pinged_at) {
            (State::Closed, _) => None,
            (State::AwaitingConnack { since }, _) => Some(since + self.options.response_timeout),
            (State::Open, Some(since)) => Some(since + self.options.response_timeout),
            (State::Open, None) if self.keep_alive == 0 => None,
            // [MQTT-3.1.2-23]
            (State::Open, None) => Some(self.sent_at + Duration::from_secs(u64::from(self.keep_alive))),
        }
    }

    /// Takes the next event. A message is acknowledged by that.
    pub fn poll_event(&mut self) -> Option<Event> {
        let Waiting { event, ack } = self.events.pop_front()?;
        if let Some((epoch, ack)) = ack
            && epoch == self.epoch
            && self.state == State::Open
        {
            self.out.append(&ack.encode());
            // A message of QoS 2 is acknowledged to the end by PUBCOMP.
            if ack.ack_type == AckType::Puback {
                self.unacknowledged -= 1;
            }
        }
        Some(event)
    }

    /// Bytes for the transport.
    pub fn outbound(&mut self) -> &mut Outbound {
        &mut self.out
    }

    /// Whether the server has let the client in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether there is no connection: the transport, if any, is to be closed once the outbound bytes are written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// How many publications and requests wait for an answer.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// What the server takes, as it has said in letting the client in.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The client identifier: that of the options, or what the server of MQTT 5.0 has chosen instead of an empty one.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.options.client_id
    }

    fn check_open(&self) -> Result<(), Misuse> {
        if self.is_open() { Ok(()) } else { Err(Misuse::NotOpen) }
    }

    fn send(&mut self, now: Instant, packet: &[u8]) {
        self.out.append(packet);
        self.sent_at = now;
    }

    /// Sends the publications that wait, as far as the server takes them.
    fn send_waiting(&mut self, now: Instant) {
        let Self { in_flight, given, terms, out, sent_at, .. } = self;
        in_flight.send(terms.receive_max, |class, packet| {
            request::write_publish(class.is_confirmed(), packet, terms, given, out);
            *sent_at = now;
        });
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(Waiting { event, ack: None });
    }

    /// Ends the connection for what the server did; in MQTT 5.0 it is told ([MQTT-4.13.1-1]).
    fn fail(&mut self, error: Error) {
        if self.state == State::Open && self.options.version.has_properties() {
            let mut packet = Vec::new();
            if DisconnectV5::new(error.reason_code()).encode(self.terms.packet_bytes_max, &mut packet) {
                self.out.append(&packet);
            }
        }
        self.close(Ending::Failed(error));
    }

    fn close(&mut self, ending: Ending) {
        self.close_with(ending, OwnedSection::default());
    }

    fn close_with(&mut self, ending: Ending, properties: OwnedSection) {
        if self.state != State::Closed {
            self.end_connection();
            self.tell(Event::Closed { ending, properties });
        }
    }

    fn end_connection(&mut self) {
        self.state = State::Closed;
        self.pinged_at = None;
        self.in_flight.forget_requests();
    }
}
