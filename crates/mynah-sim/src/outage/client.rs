//! Clients whose sessions outlive connections and outages: producers, consumers, and one that reads retained values.

use core::num::NonZeroU16;
use std::collections::BTreeMap;

use mynah_crash::ledger::{Arrival, Publication};
use mynah_crash::payload::{self, MessageId};
use mynah_model::{Class, Instant};
use mynah_mqtt::Version;
use mynah_mqtt::client::{Client as Mqtt, Event, Options, OptionsV5};
use mynah_mqtt::mapping::EXPIRY_NEVER;
use mynah_mqtt::wire::PacketId;
use mynah_stack::testing::Sequence;

use super::broker::Broker;
use super::{Books, group};

/// Producers, by the part of their topics that names them.
pub(super) const TOPICS: [&str; 3] = ["0", "1", "2"];
/// Publications of one producer that wait for acknowledgement.
const IN_FLIGHT_MAX: usize = 16;
/// Turns after its subscription in which a reader has heard everything.
const READER_TURNS: u32 = 60;

/// What consumers subscribe to. Filters of one session do not overlap.
const CONSUMERS: [(&str, &[(&str, Class)]); 9] = [
    ("everything", &[("event/#", Class::ExactlyOnce), ("value/#", Class::ExactlyOnce)]),
    ("one-lane", &[("event/+/0", Class::AtLeastOnce)]),
    ("two-lanes", &[("event/+/1", Class::ExactlyOnce), ("event/+/2", Class::ExactlyOnce)]),
    ("one-producer", &[("event/0/#", Class::ExactlyOnce)]),
    ("changing", &[("value/+/0", Class::AtLeastOnce), ("event/+/2", Class::ExactlyOnce)]),
    ("at-least-once", &[("event/#", Class::AtLeastOnce)]),
    ("member-0", &[(group::FILTER, Class::ExactlyOnce)]),
    ("member-1", &[(group::FILTER, Class::ExactlyOnce)]),
    ("member-2", &[(group::FILTER, Class::ExactlyOnce)]),
];

/// The topics for retained values of a producer.
pub(super) fn value_topics(producer: &str) -> [String; 2] {
    [format!("value/{producer}/0"), format!("value/{producer}/1")]
}

/// What is known of a subscription that is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Wanted,
    Asked(PacketId),
    On,
    Unwanted,
    Ending(PacketId),
    Off,
}

/// What a client does.
pub(super) enum Role {
    Producer { number: u16, sequence: u32, pending: BTreeMap<PacketId, MessageId> },
    Consumer { wishes: Vec<(&'static str, Class, State)> },
    Reader { values: BTreeMap<String, Vec<u8>>, turns: Option<u32> },
}

impl Role {
    pub(super) const fn reader() -> Self {
        Self::Reader { values: BTreeMap::new(), turns: None }
    }

    /// Whether the client is a member of the group.
    fn is_member(&self) -> bool {
        matches!(self, Self::Consumer { wishes } if wishes.iter().any(|(filter, ..)| *filter == group::FILTER))
    }
}

/// A client with its session.
pub(super) struct Client {
    place: usize,
    mqtt: Mqtt,
    role: Role,
    link: Option<u64>,
    input: Vec<u8>,
    /// What the broker that is gone has said, if its connection has not been found to be over.
    last_words: Option<Vec<u8>>,
}

/// All clients; their places are those of the ledger's peers.
pub(super) fn all(sequence: &mut Sequence) -> Result<Vec<Client>, String> {
    let producer = |number| Role::Producer { number, sequence: 0, pending: BTreeMap::new() };
    let consumer = |(_, wishes): (&str, &[(&'static str, Class)])| Role::Consumer {
        wishes: wishes.iter().map(|&(filter, class)| (filter, class, State::Wanted)).collect(),
    };
    let roles = (0..TOPICS.len() as u16).map(producer).chain(CONSUMERS.into_iter().map(consumer));
    roles.enumerate().map(|(place, role)| Client::new(place, role, sequence.between(0, 1))).collect()
}

impl Client {
    pub(super) fn new(place: usize, role: Role, version: u64) -> Result<Self, String> {
        let (name, clean_session) = (name(place, &role), matches!(role, Role::Reader { .. }));
        // A client of MQTT 5.0 can say how much it takes at a time.
        let shares = role.is_member();
        let version = if version == 0 && !shares { Version::V3_1_1 } else { Version::V5 };
        let session_expiry = if clean_session { 0 } else { EXPIRY_NEVER };
        let mut v5 = OptionsV5 { session_expiry, ..OptionsV5::default() };
        if shares {
            // A member that takes one at a time has a backlog that others get when it goes.
            v5.receive_max = NonZeroU16::MIN;
        }
        let options = Options { version, clean_session, v5, keep_alive: 0, ..Options::new(&name) };
        let mqtt = Mqtt::new(options).map_err(|misuse| misuse.to_string())?;
        Ok(Self { place, mqtt, role, link: None, input: Vec::new(), last_words: None })
    }

    pub(super) fn name(&self) -> String {
        name(self.place, &self.role)
    }

    /// The retained values, once all of them have come.
    pub(super) fn values(&self) -> Option<&BTreeMap<String, Vec<u8>>> {
        match &self.role {
            Role::Reader { values, turns } => {
                turns.is_some_and(|turns| turns > READER_TURNS).then_some(values)
            }
            _ => None,
        }
    }

    /// Whether nothing is outstanding.
    pub(super) fn is_idle(&self) -> bool {
        self.mqtt.is_open()
            && match &self.role {
                Role::Producer { pending, .. } => pending.is_empty(),
                Role::Consumer { wishes } => {
                    wishes.iter().all(|(.., state)| matches!(state, State::On | State::Off))
                }
                Role::Reader { .. } => true,
            }
    }

    /// The broker is gone. What it has said may still come.
    pub(super) fn lose_broker(&mut self, broker: &mut Broker) {
        if let Some(link) = self.link.take() {
            self.last_words = broker.link(link).map(|link| std::mem::take(&mut link.to_client));
        }
    }

    pub(super) fn turn(
        &mut self,
        now: Instant,
        broker: &mut Broker,
        books: &mut Books,
        sequence: &mut Sequence,
        works: bool,
    ) {
        if let Some(bytes) = self.last_words.take() {
            let count = sequence.between(0, bytes.len() as u64) as usize;
            self.take_in(now, &bytes[..count]);
            return self.end(books);
        }
        let Some(number) = self.link else {
            if !works || sequence.between(1, 100) <= 40 {
                self.link = broker.connect(now, sequence);
                if self.link.is_some() {
                    self.mqtt.connect(now);
                }
            }
            return;
        };
        let Some(link) = broker.link(number) else { return self.end(books) };
        link.to_broker.extend(self.mqtt.outbound().drain());
        let count = sequence.between(0, link.to_client.len() as u64) as usize;
        let bytes: Vec<u8> = link.to_client.drain(..count).collect();
        let is_over = link.broker_is_gone && link.to_client.is_empty();
        self.take_in(now, &bytes);
        if !self.hear(books) || is_over {
            return self.end(books);
        }
        let per_thousand = if self.role.is_member() { 60 } else { 15 };
        if works && sequence.between(1, 1_000) <= per_thousand {
            if let Some(link) = broker.link(number) {
                link.client_is_gone = true;
            }
            return self.end(books);
        }
        self.act(now, books, sequence, works);
    }

    fn take_in(&mut self, now: Instant, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let mut rest = self.input.as_slice();
        self.mqtt.handle_input(now, &mut rest);
        let consumed = self.input.len() - rest.len();
        self.input.drain(..consumed);
    }

    /// The connection is over.
    fn end(&mut self, books: &mut Books) {
        self.hear(books);
        self.mqtt.handle_end();
        self.hear(books);
        self.mqtt.outbound().drain();
        self.input.clear();
        self.link = None;
        if let Role::Consumer { wishes } = &mut self.role {
            // Answers do not come on another connection: ask again.
            for (.., state) in wishes {
                *state = match *state {
                    State::Asked(_) => State::Wanted,
                    State::Ending(_) => State::Unwanted,
                    other => other,
                };
            }
        }
    }

    /// Takes events, which acknowledges messages. Says whether the connection goes on.
    fn hear(&mut self, books: &mut Books) -> bool {
        while let Some(event) = self.mqtt.poll_event() {
            match event {
                Event::Connected { session_present, .. } => self.connected(books, session_present),
                Event::Message { message, dup, .. } => {
                    let topic = String::from_utf8_lossy(message.topic().as_bytes()).into_owned();
                    let (class, retain) = (message.header().class, message.header().retain);
                    if let Role::Reader { values, .. } = &mut self.role {
                        values.insert(topic, message.payload().to_vec());
                        continue;
                    }
                    if topic.starts_with(group::TOPIC) {
                        books.group.arrive(&topic, message.payload());
                        continue;
                    }
                    let arrival = Arrival { topic: &topic, payload: message.payload(), class, dup, retain };
                    books.ledger.arrive(self.place, arrival);
                }
                Event::Acknowledged { id, .. } => {
                    if let Role::Producer { pending, .. } = &mut self.role
                        && let Some(id) = pending.remove(&id)
                    {
                        books.ledger.acknowledge(id);
                        books.group.acknowledge(id);
                    }
                }
                Event::Subscribed { id, granted, .. } => {
                    self.subscribed(books, id, granted.first().and_then(|class| class.ok()));
                }
                Event::Unsubscribed { id, .. } => {
                    if let Some((filter, _, state)) = find(&mut self.role, State::Ending(id)) {
                        *state = State::Off;
                        books.ledger.unsubscribed(self.place, filter);
                    }
                }
                Event::Closed { .. } => return false,
                _ => {}
            }
        }
        true
    }

    fn connected(&self, books: &mut Books, session_present: bool) {
        if matches!(self.role, Role::Reader { .. }) {
            return;
        }
        books.ledger.connected(self.place, session_present);
        if let Role::Producer { pending, .. } = &self.role {
            for id in pending.values() {
                books.ledger.resend(*id);
            }
        }
    }

    fn subscribed(&mut self, books: &mut Books, id: PacketId, granted: Option<Class>) {
        if let Role::Reader { turns, .. } = &mut self.role {
            *turns = Some(0);
        } else if let Some((filter, _, state)) = find(&mut self.role, State::Asked(id)) {
            *state = State::On;
            if *filter == group::FILTER {
                books.group.joined();
            }
            books.ledger.subscribed(self.place, filter, granted);
        }
    }

    fn act(&mut self, now: Instant, books: &mut Books, sequence: &mut Sequence, works: bool) {
        if !self.mqtt.is_open() {
            return;
        }
        let Self { place, mqtt, role, .. } = self;
        match role {
            Role::Producer { number, sequence: last, pending } if works => {
                for _ in 0..sequence.between(0, 3) {
                    if mqtt.in_flight() < IN_FLIGHT_MAX {
                        publish(now, mqtt, (*number, last), pending, books, sequence);
                    }
                }
            }
            Role::Producer { .. } => {}
            Role::Consumer { wishes } => {
                let last = wishes.len() - 1;
                let changes = works && *place % 5 == 2 && sequence.between(1, 100) <= 2;
                for (at, (filter, class, state)) in wishes.iter_mut().enumerate() {
                    *state = match *state {
                        State::On if changes && at == last => State::Unwanted,
                        State::Off if changes => State::Wanted,
                        other => other,
                    };
                    ask(now, mqtt, *place, (filter, *class, state), books);
                }
            }
            Role::Reader { turns: Some(turns), .. } => *turns += 1,
            Role::Reader { .. } => {
                if mqtt.in_flight() == 0 {
                    let _ = mqtt.subscribe(now, &[("value/#", Class::AtMostOnce)]);
                }
            }
        }
    }
}

fn name(place: usize, role: &Role) -> String {
    match role {
        Role::Producer { number, .. } => format!("producer-{number}"),
        Role::Consumer { .. } => CONSUMERS[place - TOPICS.len()].0.to_owned(),
        Role::Reader { .. } => "reader".to_owned(),
    }
}

fn find(role: &mut Role, wanted: State) -> Option<&mut (&'static str, Class, State)> {
    let Role::Consumer { wishes } = role else { return None };
    wishes.iter_mut().find(|(.., state)| *state == wanted)
}

/// Sends the request that is due for a subscription.
fn ask(
    now: Instant,
    mqtt: &mut Mqtt,
    place: usize,
    (filter, class, state): (&str, Class, &mut State),
    books: &mut Books,
) {
    match *state {
        State::Wanted => {
            if let Ok(id) = mqtt.subscribe(now, &[(filter, class)]) {
                *state = State::Asked(id);
                books.ledger.subscribing(place, filter, class);
            }
        }
        State::Unwanted => {
            if let Ok(id) = mqtt.unsubscribe(now, &[filter]) {
                *state = State::Ending(id);
                books.ledger.unsubscribing(place, filter);
            }
        }
        State::Asked(_) | State::On | State::Ending(_) | State::Off => {}
    }
}

/// Publishes a message, which is in the ledger before it is on its way.
fn publish(
    now: Instant,
    mqtt: &mut Mqtt,
    (producer, last): (u16, &mut u32),
    pending: &mut BTreeMap<PacketId, MessageId>,
    books: &mut Books,
    sequence: &mut Sequence,
) {
    *last += 1;
    let id = MessageId { producer, sequence: *last };
    if sequence.between(1, 100) <= 25 {
        let topic = format!("{}{producer}", group::TOPIC);
        let payload = payload::encode(id, &topic, 60);
        if let Ok(Some(packet_id)) = mqtt.publish(now, &topic, &payload, Class::ExactlyOnce, false) {
            pending.insert(packet_id, id);
            books.group.attempt(id);
        }
        return;
    }
    let retain = sequence.between(1, 100) <= 25;
    let number = sequence.between(0, if retain { 1 } else { 2 });
    let topic = if retain {
        value_topics(TOPICS[usize::from(producer)])[number as usize].clone()
    } else {
        format!("event/{producer}/{number}")
    };
    let is_exact = if retain { number == 1 } else { sequence.between(0, 1) == 1 };
    let class = if is_exact { Class::ExactlyOnce } else { Class::AtLeastOnce };
    let clears = retain && sequence.between(1, 100) <= 10;
    let bytes = if sequence.between(0, 9) == 0 { 2_500 } else { 60 };
    let payload = if clears { Vec::new() } else { payload::encode(id, &topic, bytes) };
    let publication = Publication { topic: topic.as_str().into(), class, retain, clears, is_ordered: true };
    if let Ok(Some(packet_id)) = mqtt.publish(now, &topic, &payload, class, retain) {
        pending.insert(packet_id, id);
        books.ledger.attempt(id, publication);
    }
}
