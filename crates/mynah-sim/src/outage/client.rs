//! Clients whose sessions outlive connections and outages: producers, consumers, and one that reads retained values.

use core::num::NonZeroU16;
use std::collections::{BTreeMap, BTreeSet};

use mynah_crash::ledger::{Arrival, Publication};
use mynah_crash::payload::{self, MessageId};
use mynah_model::{Class, Instant, Message};
use mynah_mqtt::Version;
use mynah_mqtt::client::{Client as Mqtt, Event, LastWill, Options, OptionsV5};
use mynah_mqtt::mapping::EXPIRY_NEVER;
use mynah_mqtt::wire::PacketId;
use mynah_stack::testing::Sequence;

use super::books::Books;
use super::broker::{Broker, Speaks};
use super::{Keeping, group, replays, wills};

/// Producers, by the part of their topics that names them.
pub(super) const TOPICS: [&str; 3] = ["0", "1", "2"];
/// Publications of one producer that wait for acknowledgement.
const IN_FLIGHT_MAX: usize = 16;
/// Turns after its subscription in which a reader has heard everything.
const READER_TURNS: u32 = 60;

/// What consumers subscribe to. Filters of one session do not overlap.
const CONSUMERS: [(&str, &[(&str, Class)]); 12] = [
    ("everything", &[("event/#", Class::ExactlyOnce), ("value/#", Class::ExactlyOnce)]),
    ("one-lane", &[("event/+/0", Class::AtLeastOnce)]),
    ("two-lanes", &[("event/+/1", Class::ExactlyOnce), ("event/+/2", Class::ExactlyOnce)]),
    ("one-producer", &[("event/0/#", Class::ExactlyOnce)]),
    ("changing", &[("value/+/0", Class::AtLeastOnce), ("event/+/2", Class::ExactlyOnce)]),
    ("at-least-once", &[("event/#", Class::AtLeastOnce)]),
    ("member-0", &[(group::FILTER, Class::ExactlyOnce)]),
    ("member-1", &[(group::FILTER, Class::ExactlyOnce)]),
    ("member-2", &[(group::FILTER, Class::ExactlyOnce)]),
    ("heir", &[(wills::FILTER, Class::ExactlyOnce)]),
    ("collector-0", &[(replays::FILTER, Class::ExactlyOnce)]),
    ("collector-1", &[(replays::FILTER, Class::ExactlyOnce)]),
];
/// The consumer whose last subscription ends and begins again.
const CHANGING: &str = "changing";
/// Clients with wills; every other one has a session that is kept.
const MOURNERS: usize = 3;

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
#[derive(Clone)]
pub(super) enum Role {
    Producer {
        number: u16,
        sequence: u32,
        pending: BTreeMap<PacketId, MessageId>,
    },
    Consumer {
        wishes: Vec<(&'static str, Class, State)>,
    },
    /// Sets the values that are replayed to collectors. `done`: those that were acknowledged.
    Keeper {
        pending: BTreeMap<PacketId, MessageId>,
        done: BTreeSet<MessageId>,
    },
    /// Has a will for each of its connections, which are numbered.
    Mourner {
        connection: u32,
        is_leaving: bool,
    },
    Reader {
        values: BTreeMap<String, Vec<u8>>,
        turns: Option<u32>,
    },
}

impl Role {
    pub(super) const fn reader() -> Self {
        Self::Reader { values: BTreeMap::new(), turns: None }
    }

    /// Whether the client's session outlives its connections.
    const fn has_kept_session(&self, place: usize) -> bool {
        match self {
            Self::Reader { .. } => false,
            Self::Mourner { .. } => place.is_multiple_of(2),
            _ => true,
        }
    }

    /// Whether the client is a member of the group.
    fn is_member(&self) -> bool {
        matches!(self, Self::Consumer { wishes } if wishes.iter().any(|(filter, ..)| *filter == group::FILTER))
    }
}

/// A client with its session.
pub(super) struct Client {
    place: usize,
    version: Version,
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
    let roles = roles.chain([Role::Keeper { pending: BTreeMap::new(), done: BTreeSet::new() }]);
    let mourner = Role::Mourner { connection: 0, is_leaving: false };
    let roles = roles.chain(std::iter::repeat_n(mourner, MOURNERS));
    roles.enumerate().map(|(place, role)| Client::new(place, role, sequence.between(0, 1))).collect()
}

impl Client {
    pub(super) fn new(place: usize, role: Role, version: u64) -> Result<Self, String> {
        // A client of MQTT 5.0 can say how much it takes at a time.
        let version = if version == 0 && !role.is_member() { Version::V3_1_1 } else { Version::V5 };
        let mqtt = Mqtt::new(options(place, &role, version)).map_err(|misuse| misuse.to_string())?;
        Ok(Self { place, version, mqtt, role, link: None, input: Vec::new(), last_words: None })
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
                Role::Keeper { pending, .. } => pending.is_empty(),
                Role::Mourner { is_leaving, .. } => !is_leaving,
                Role::Reader { .. } => true,
            }
    }

    /// What was published and is not answered to the end.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = MessageId> + '_ {
        let pending = match &self.role {
            Role::Producer { pending, .. } => Some(pending),
            _ => None,
        };
        pending.into_iter().flat_map(|pending| pending.values().copied())
    }

    /// The broker is gone. What it has said may still come, unless that was no promise yet.
    pub(super) fn lose_broker(&mut self, broker: &mut Broker, books: &Books) {
        if let Some(link) = self.link.take() {
            self.last_words = broker.link(link).map(|link| std::mem::take(&mut link.to_client));
        }
        if books.keeping() == Keeping::Interval {
            self.last_words = self.last_words.take().map(|_| Vec::new());
            match &mut self.role {
                Role::Consumer { wishes } => {
                    for (.., state) in wishes.iter_mut().filter(|(.., state)| *state == State::On) {
                        *state = State::Wanted;
                    }
                }
                Role::Keeper { pending, done } => {
                    // What is under way may have been promised and taken back: it is set again.
                    pending.clear();
                    done.retain(|value| books.replays.is_kept(*value));
                }
                _ => {}
            }
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
                self.connect(now, broker, books, sequence);
            }
            return;
        };
        let Some(link) = broker.link(number) else { return self.end(books) };
        link.to_broker.extend(self.mqtt.outbound().drain());
        let count = sequence.between(0, link.to_client.len() as u64) as usize;
        let bytes: Vec<u8> = link.to_client.drain(..count).collect();
        let is_over = link.broker_is_gone && link.to_client.is_empty();
        self.take_in(now, &bytes);
        if let Role::Mourner { is_leaving: true, .. } = self.role {
            // The broker closes when it has heard.
            if is_over {
                self.end(books);
            }
            return;
        }
        if !self.hear(books) || is_over {
            return self.end(books);
        }
        let per_thousand = match self.role {
            Role::Mourner { .. } => 60,
            _ if self.role.is_member() => 60,
            _ => 15,
        };
        if works && sequence.between(1, 1_000) <= per_thousand {
            if let Some(link) = broker.link(number) {
                link.client_is_gone = true;
            }
            return self.end(books);
        }
        self.act(now, books, sequence, works);
    }

    fn connect(&mut self, now: Instant, broker: &mut Broker, books: &mut Books, sequence: &mut Sequence) {
        if let Role::Mourner { connection, is_leaving } = &mut self.role {
            if !books.wills.is_awaited() {
                return;
            }
            (*connection, *is_leaving) = (*connection + 1, false);
            // The will is this connection's own.
            let Ok(mqtt) = Mqtt::new(options(self.place, &self.role, self.version)) else { return };
            self.mqtt = mqtt;
        }
        self.link = broker.connect(now, Speaks::Mqtt, sequence);
        if self.link.is_some() {
            self.mqtt.connect(now);
            if let Some(will) = self.will() {
                books.wills.ask(will);
            }
        }
    }

    /// The will of the connection.
    const fn will(&self) -> Option<MessageId> {
        match self.role {
            Role::Mourner { connection, .. } => Some(will(self.place, connection)),
            _ => None,
        }
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
        if let Some(will) = self.will() {
            books.wills.vanish(will);
        }
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
                Event::Message { message, dup, .. } => self.arrive(books, &message, dup),
                Event::Acknowledged { id, .. } => match &mut self.role {
                    Role::Producer { pending, .. } => {
                        pending.remove(&id).into_iter().for_each(|id| books.acknowledged(id));
                    }
                    Role::Keeper { pending, done } => {
                        if let Some(value) = pending.remove(&id) {
                            done.insert(value);
                            books.kept(value);
                        }
                    }
                    _ => {}
                },
                Event::Subscribed { id, granted, .. } => {
                    self.subscribed(books, id, granted.first().and_then(|class| class.ok()));
                }
                Event::Unsubscribed { id, .. } => {
                    if let Some((filter, _, state)) = find(&mut self.role, State::Ending(id)) {
                        *state = State::Off;
                        books.unsubscribed(self.place, filter);
                    }
                }
                Event::Closed { .. } => return false,
                _ => {}
            }
        }
        true
    }

    fn arrive(&mut self, books: &mut Books, message: &Message, dup: bool) {
        let topic = String::from_utf8_lossy(message.topic().as_bytes()).into_owned();
        let (payload, class, retain) = (message.payload(), message.header().class, message.header().retain);
        if let Role::Reader { values, .. } = &mut self.role {
            values.insert(topic, payload.to_vec());
        } else if topic.starts_with(group::TOPIC) {
            books.group.arrive(&topic, payload);
        } else if topic.starts_with(wills::TOPIC) {
            books.wills.arrive(&topic, payload);
        } else if topic.starts_with(replays::TOPIC) {
            books.replays.arrive(self.place, &topic, payload, retain);
        } else {
            books.ledger.arrive(self.place, Arrival { topic: &topic, payload, class, dup, retain });
        }
    }

    fn connected(&self, books: &mut Books, session_present: bool) {
        if self.role.has_kept_session(self.place) {
            books.connected(self.place, session_present);
        }
        if let Some(will) = self.will() {
            books.willed(will);
        }
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
            if *filter == replays::FILTER {
                books.replaying(self.place);
            }
            books.subscribed(self.place, filter, granted);
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
                let mut changes = works && sequence.between(1, 100) <= 2;
                changes &= CONSUMERS[*place - TOPICS.len()].0 == CHANGING;
                // What was asked for and what was granted are told apart by their order only.
                changes &= books.keeping() == Keeping::Sync;
                for (at, (filter, class, state)) in wishes.iter_mut().enumerate() {
                    let changes = changes || works && *filter == replays::FILTER && books.is_replayed(*place);
                    *state = match *state {
                        State::On if changes && at == last => State::Unwanted,
                        State::Off if changes => State::Wanted,
                        State::Wanted if *filter == replays::FILTER && !books.replays.is_complete() => {
                            continue;
                        }
                        other => other,
                    };
                    ask(now, mqtt, *place, (filter, *class, state), books);
                }
            }
            Role::Keeper { pending, done } => keep(now, mqtt, *place, pending, done),
            Role::Mourner { connection, is_leaving } => {
                if works && sequence.between(1, 100) <= 4 {
                    books.wills.leave(will(*place, *connection));
                    *is_leaving = true;
                    mqtt.disconnect(now);
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
        Role::Keeper { .. } => "keeper".to_owned(),
        Role::Mourner { .. } => format!("mourner-{place}"),
        Role::Reader { .. } => "reader".to_owned(),
    }
}

/// What a client says in CONNECT.
fn options(place: usize, role: &Role, version: Version) -> Options {
    let clean_session = !role.has_kept_session(place);
    let session_expiry = if clean_session { 0 } else { EXPIRY_NEVER };
    let mut v5 = OptionsV5 { session_expiry, ..OptionsV5::default() };
    if role.is_member() {
        // A member that takes one at a time has a backlog that others get when it goes.
        v5.receive_max = NonZeroU16::MIN;
    }
    let will = match role {
        Role::Mourner { connection, .. } => {
            let topic = format!("{}{place}", wills::TOPIC);
            let payload = payload::encode(will(place, *connection), &topic, 60);
            Some(LastWill { class: Class::ExactlyOnce, ..LastWill::new(&topic, &payload) })
        }
        _ => None,
    };
    Options { version, clean_session, will, v5, keep_alive: 0, ..Options::new(&name(place, role)) }
}

/// The name of the will of a connection.
const fn will(place: usize, connection: u32) -> MessageId {
    MessageId { producer: place as u16, sequence: connection }
}

/// Sets the values that are replayed, until all of them are there.
fn keep(
    now: Instant,
    mqtt: &mut Mqtt,
    place: usize,
    pending: &mut BTreeMap<PacketId, MessageId>,
    done: &BTreeSet<MessageId>,
) {
    for number in 0..replays::VALUES {
        let value = MessageId { producer: place as u16, sequence: number };
        if done.contains(&value) || pending.values().any(|other| *other == value) {
            continue;
        }
        if mqtt.in_flight() >= IN_FLIGHT_MAX {
            break;
        }
        let topic = format!("{}{number}", replays::TOPIC);
        let payload = payload::encode(value, &topic, 60);
        if let Ok(Some(id)) = mqtt.publish(now, &topic, &payload, Class::ExactlyOnce, true) {
            pending.insert(id, value);
        }
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
                if filter == replays::FILTER {
                    books.replays.ask(place);
                }
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
