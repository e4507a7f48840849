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
//! assert!(matches!(client.poll_event(), Some(Event::Connected { session_present: false })));
//! let id = client.publish(now, "a/b", b"21.5", Class::AtLeastOnce, false)?;
//! client.handle_input(now, &mut &[0x40, 2, 0, 1][..]); // PUBACK
//! assert!(matches!(client.poll_event(), Some(Event::Acknowledged { id: done }) if Some(done) == id));
//! # Ok::<(), mynah_mqtt::client::Misuse>(())
//! ```
//!
//! A message is acknowledged when its event is taken: what a program has not seen comes again after a lost connection.
//! Without a clean session the next [`Client::connect`] goes on where the last connection ended.

mod event;
mod in_flight;
mod input;
mod options;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Class, Filter, Instant};
use mynah_stack::Outbound;

pub use event::{Ending, Event};
pub use options::{LastWill, Misuse, Options};

use crate::framing::REMAINING_LENGTH_MAX;
use crate::wire::{
    Ack, AckType, Disconnect, PacketId, Pingreq, Publish, Subscribe, SubscribeEntry, TextRule, Unsubscribe,
    check_topic_filter, check_topic_name,
};
use in_flight::InFlight;
use options::binary_field;

/// A client.
#[derive(Debug)]
pub struct Client {
    options: Options,
    state: State,
    out: Outbound,
    events: VecDeque<Waiting>,
    in_flight: InFlight,
    /// Identifiers of QoS 2 messages that have come and are not released.
    received: BTreeSet<PacketId>,
    /// Counts connections: an acknowledgement is sent only on the connection on which its message came.
    epoch: u32,
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
        options.connect()?;
        Ok(Self {
            options,
            state: State::Closed,
            out: Outbound::new(),
            events: VecDeque::new(),
            in_flight: InFlight::default(),
            received: BTreeSet::new(),
            epoch: 0,
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
        let mut packet = Vec::new();
        // The options were checked when the client was made.
        if let Ok(connect) = self.options.connect() {
            connect.encode(&mut packet);
        }
        self.send(now, &packet);
        self.epoch = self.epoch.wrapping_add(1);
        self.state = State::AwaitingConnack { since: now };
    }

    /// Publishes. A publication of QoS 1 or 2 has an identifier, by which its acknowledgement is known.
    ///
    /// # Errors
    /// The connection is not open, the topic is none, the packet is too large, or too much waits for acknowledgement.
    pub fn publish(
        &mut self,
        now: Instant,
        topic: &str,
        payload: &[u8],
        class: Class,
        retain: bool,
    ) -> Result<Option<PacketId>, Misuse> {
        self.check_open()?;
        let topic =
            check_topic_name(topic.as_bytes(), TextRule::AcceptDiscouraged).map_err(Misuse::Invalid)?;
        if !Publish::fits(topic.as_bytes().len(), payload.len()) {
            return Err(Misuse::TooLarge);
        }
        let packet_id = if class.is_confirmed() { Some(self.fresh_id()?) } else { None };
        let mut packet = Vec::new();
        Publish { dup: false, class, retain, topic, packet_id, properties: None, payload }
            .encode(&mut packet);
        self.send(now, &packet);
        if let Some(id) = packet_id {
            self.in_flight.add_publication(id, class, packet);
        }
        Ok(packet_id)
    }

    /// Subscribes to filters, each with the highest QoS that is wanted.
    ///
    /// # Errors
    /// The connection is not open, there is no filter or one that is none, or too much waits for an answer.
    pub fn subscribe(&mut self, now: Instant, filters: &[(&str, Class)]) -> Result<PacketId, Misuse> {
        self.check_open()?;
        let entry = |filter, class_max| Ok(SubscribeEntry::new(check_filter(filter)?, class_max));
        let entries: Vec<_> =
            filters.iter().map(|&(filter, class)| entry(filter, class)).collect::<Result<_, Misuse>>()?;
        check_request(entries.iter().map(|entry| 3 + entry.filter.as_bytes().len()))?;
        let packet_id = self.fresh_id()?;
        let mut packet = Vec::new();
        Subscribe { packet_id, properties: None, entries }.encode(&mut packet);
        self.send(now, &packet);
        self.in_flight.add_subscribe(packet_id, filters.len());
        Ok(packet_id)
    }

    /// Ends subscriptions.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub fn unsubscribe(&mut self, now: Instant, filters: &[&str]) -> Result<PacketId, Misuse> {
        self.check_open()?;
        let filters: Vec<_> =
            filters.iter().map(|&filter| check_filter(filter)).collect::<Result<_, Misuse>>()?;
        check_request(filters.iter().map(|filter| 2 + filter.as_bytes().len()))?;
        let packet_id = self.fresh_id()?;
        let mut packet = Vec::new();
        Unsubscribe { packet_id, properties: None, filters }.encode(&mut packet);
        self.send(now, &packet);
        self.in_flight.add_unsubscribe(packet_id);
        Ok(packet_id)
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

    /// Says good-bye: the will is not published ([MQTT-3.14.4-1], [MQTT-3.14.4-2]).
    pub fn disconnect(&mut self, now: Instant) {
        if self.state == State::Open {
            self.send(now, &Disconnect.encode());
        }
        self.close(Ending::Disconnected);
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
            (State::Open, None) if self.options.keep_alive == 0 => None,
            // [MQTT-3.1.2-23]
            (State::Open, None) => {
                Some(self.sent_at + Duration::from_secs(u64::from(self.options.keep_alive)))
            }
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

    fn check_open(&self) -> Result<(), Misuse> {
        if self.is_open() { Ok(()) } else { Err(Misuse::NotOpen) }
    }

    fn fresh_id(&self) -> Result<PacketId, Misuse> {
        self.in_flight.fresh_id(self.options.in_flight_max).ok_or(Misuse::InFlightFull)
    }

    fn send(&mut self, now: Instant, packet: &[u8]) {
        self.out.append(packet);
        self.sent_at = now;
    }

    fn acknowledge(&mut self, ack_type: AckType, packet_id: PacketId) {
        self.out.append(&Ack { ack_type, packet_id }.encode());
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(Waiting { event, ack: None });
    }

    fn close(&mut self, ending: Ending) {
        if self.state != State::Closed {
            self.end_connection();
            self.tell(Event::Closed(ending));
        }
    }

    fn end_connection(&mut self) {
        self.state = State::Closed;
        self.pinged_at = None;
        self.in_flight.forget_requests();
    }
}

fn check_filter(filter: &str) -> Result<Filter<'_>, Misuse> {
    check_topic_filter(binary_field(filter.as_bytes())?, TextRule::AcceptDiscouraged).map_err(Misuse::Invalid)
}

/// Checks that a request has a filter and fits a packet.
fn check_request(lens: impl ExactSizeIterator<Item = usize>) -> Result<(), Misuse> {
    if lens.len() == 0 {
        return Err(Misuse::NoFilter);
    }
    if 2 + lens.sum::<usize>() > REMAINING_LENGTH_MAX { Err(Misuse::TooLarge) } else { Ok(()) }
}
