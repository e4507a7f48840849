//! Producers: by MQTT with a session that goes on over lost connections, and by HTTP and CoAP request by request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mynah_model::Class;
use mynah_mqtt::client::Event;
use mynah_mqtt::wire::PacketId;

use crate::connection::Connection;
use crate::ledger::Publication;
use crate::payload::{self, MessageId};
use crate::random::Random;
use crate::requests::{Method, Requests};
use crate::shared::{Phase, Shared};

/// Topics of each producer for events, and for retained values.
pub(crate) const EVENT_TOPICS: u64 = 3;
pub(crate) const VALUE_TOPICS: u64 = 2;

/// Publications of one producer that wait for acknowledgement.
const IN_FLIGHT_MAX: u16 = 32;

/// How long a turn waits for bytes.
const TURN: Duration = Duration::from_millis(2);

/// The topics for retained values of a producer.
pub(crate) fn value_topic(producer: u16, number: u64) -> String {
    format!("value/{producer}/{number}")
}

/// What a producer says next.
struct Source {
    producer: u16,
    sequence: u32,
    random: Random,
    by_requests: bool,
}

impl Source {
    fn next(&mut self) -> (MessageId, Publication, Vec<u8>) {
        self.sequence += 1;
        let id = MessageId { producer: self.producer, sequence: self.sequence };
        let retain = self.random.happens(25);
        let topics = if retain { VALUE_TOPICS } else { EVENT_TOPICS };
        let number = self.random.between(0..=topics - 1);
        let topic = if retain {
            value_topic(self.producer, number)
        } else {
            format!("event/{}/{number}", self.producer)
        };
        let is_exact = !self.by_requests && if retain { number == 1 } else { self.random.happens(50) };
        let class = if is_exact { Class::ExactlyOnce } else { Class::AtLeastOnce };
        let clears = retain && self.random.happens(10);
        // Mostly less than a sector, sometimes several pages.
        let bytes = match self.random.between(0..=19) {
            0 => self.random.between(4_000..=20_000),
            1..=4 => self.random.between(400..=1_600),
            _ => self.random.between(40..=200),
        };
        let payload = if clears {
            Vec::new()
        } else {
            payload::encode(id, &topic, usize::try_from(bytes).unwrap_or(0))
        };
        let publication =
            Publication { topic: topic.into(), class, retain, clears, is_ordered: !self.by_requests };
        (id, publication, payload)
    }
}

/// A producer by MQTT.
pub(crate) struct Producer {
    shared: Arc<Shared>,
    peer: usize,
    source: Source,
    connection: Connection,
    /// What waits for acknowledgement.
    pending: BTreeMap<PacketId, MessageId>,
}

impl Producer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        peer: usize,
        name: &str,
        mut random: Random,
    ) -> Result<Self, String> {
        let connection =
            Connection::new(name, IN_FLIGHT_MAX).map_err(|misuse| format!("{name}: {misuse}"))?;
        let producer = u16::try_from(peer).map_err(|error| error.to_string())?;
        let source = Source { producer, sequence: 0, random: random.fork(), by_requests: false };
        Ok(Self { shared, peer, source, connection, pending: BTreeMap::new() })
    }

    /// Works until the phase is over.
    pub(crate) fn run(mut self) {
        while self.shared.phase() != Phase::Stop {
            let is_open = self.shared.address().is_some_and(|to| self.connection.open(to.mqtt));
            if is_open {
                self.serve();
            }
            self.shared.set_idle(self.peer, false);
            let pause = self.source.random.between(2..=60);
            self.shared.sleep(Duration::from_millis(pause));
        }
    }

    /// One connection, to its end.
    fn serve(&mut self) {
        let stays = self.source.random.happens(50);
        let end = Instant::now() + Duration::from_millis(self.source.random.between(20..=800));
        let mut next = Instant::now();
        loop {
            self.connection.turn(TURN);
            if !self.hear() {
                return;
            }
            let (phase, now) = (self.shared.phase(), Instant::now());
            match phase {
                Phase::Stop => return self.connection.leave(),
                Phase::Drain => {
                    let is_idle = self.is_open() && self.pending.is_empty();
                    self.shared.set_idle(self.peer, is_idle);
                }
                Phase::Work if now > end && !stays => {
                    if self.source.random.happens(50) {
                        self.connection.cut();
                    } else {
                        self.connection.leave();
                    }
                    // What is left to be heard of it.
                    self.hear();
                    return;
                }
                Phase::Work => {
                    if now > next && self.is_open() {
                        self.publish();
                        next = now + Duration::from_millis(self.source.random.between(2..=14));
                    }
                }
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.connection.client().1.is_open()
    }

    /// Takes events. Says whether the connection goes on.
    fn hear(&mut self) -> bool {
        while let Some(event) = self.connection.poll() {
            let mut ledger = self.shared.ledger();
            match event {
                Event::Connected { session_present, .. } => {
                    ledger.connected(self.peer, session_present);
                    for id in self.pending.values() {
                        ledger.resend(*id);
                    }
                }
                Event::Acknowledged { id, .. } => {
                    if let Some(id) = self.pending.remove(&id) {
                        ledger.acknowledge(id);
                    }
                }
                Event::Closed { .. } => return false,
                _ => {}
            }
        }
        true
    }

    /// Publishes a few messages. They are in the ledger before they are on their way.
    fn publish(&mut self) {
        for _ in 0..self.source.random.between(1..=6) {
            let (now, client) = self.connection.client();
            if client.in_flight() >= usize::from(IN_FLIGHT_MAX) {
                return;
            }
            let (id, publication, payload) = self.source.next();
            let sent =
                client.publish(now, &publication.topic, &payload, publication.class, publication.retain);
            if let Ok(Some(packet_id)) = sent {
                self.pending.insert(packet_id, id);
                self.shared.ledger().attempt(id, publication);
            }
        }
    }
}

/// A producer by requests, each of which stands for itself.
pub(crate) struct Requester {
    shared: Arc<Shared>,
    peer: usize,
    source: Source,
}

impl Requester {
    pub(crate) fn new(shared: Arc<Shared>, peer: usize, mut random: Random) -> Result<Self, String> {
        let producer = u16::try_from(peer).map_err(|error| error.to_string())?;
        let source = Source { producer, sequence: 0, random: random.fork(), by_requests: true };
        Ok(Self { shared, peer, source })
    }

    /// Works until the phase is over, by connections of this kind.
    pub(crate) fn run<R: Requests>(mut self) {
        let mut connection: Option<R> = None;
        let mut unanswered = None;
        while self.shared.phase() != Phase::Stop {
            let is_idle = self.shared.phase() == Phase::Drain && unanswered.is_none();
            self.shared.set_idle(self.peer, is_idle);
            if !is_idle {
                if connection.is_none() {
                    let seed = self.source.random.draw();
                    connection = self.shared.address().and_then(|to| R::open(&to, seed).ok());
                }
                if let Some(open) = &mut connection
                    && !self.publish(open, &mut unanswered)
                {
                    connection = None;
                }
            }
            let pause = self.source.random.between(1..=12);
            self.shared.sleep(Duration::from_millis(pause));
        }
    }

    /// One request. Says whether the connection can be used again.
    fn publish(&mut self, connection: &mut impl Requests, unanswered: &mut Option<Request>) -> bool {
        let request = match unanswered.take() {
            Some(request) => {
                self.shared.ledger().resend(request.id);
                request
            }
            None => self.first(),
        };
        let method = match (request.publication.retain, request.publication.clears) {
            (true, true) => Method::Delete,
            (true, false) => Method::Put,
            (false, _) => Method::Post,
        };
        match connection.publish(method, &request.publication.topic, &request.payload) {
            Ok(true) => {
                self.shared.ledger().acknowledge(request.id);
                true
            }
            // Refused, or nobody knows: ask again, or leave it at that.
            _ if self.source.random.happens(50) => {
                *unanswered = Some(request);
                false
            }
            _ => {
                self.shared.ledger().give_up(request.id);
                false
            }
        }
    }

    fn first(&mut self) -> Request {
        let (id, publication, payload) = self.source.next();
        self.shared.ledger().attempt(id, publication.clone());
        Request { id, publication, payload }
    }
}

/// A request that publishes.
struct Request {
    id: MessageId,
    publication: Publication,
    payload: Vec<u8>,
}
