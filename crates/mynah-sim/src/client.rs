//! A client of MQTT 3.1.1 or 5.0 that keeps its session over connections and can be lazy. It is written for the
//! simulation, on the wire codec alone, so that it shares no decision with the stack that it tests.

mod aliases;
mod hearing;

use std::collections::{BTreeSet, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};
use std::rc::Rc;

use mynah_model::{Class, Filter, Topic};
use mynah_mqtt::wire::properties::{
    ConnectProperties, Property, Section, SubscribeProperties, UnsubscribeProperties, WillProperties,
};
use mynah_mqtt::wire::{
    Ack, AckType, Connect, Disconnect, DisconnectV5, PacketId, Pingreq, Publish, ReasonCode, Subscribe,
    SubscribeEntry, Unsubscribe, Will,
};
use mynah_stack::Settlement;

use aliases::Aliases;
pub(crate) use hearing::{Arrival, Heard};

use crate::model::{Farewell, Publication, Said};
use crate::shape::Profile;
use crate::wish::Wish;

/// Identifiers that a client uses, so few that each is used again and again; more than it ever has outstanding.
const IDS: u16 = 32;

/// How a client connects.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) clean: bool,
    pub(crate) will: Option<Rc<Publication>>,
    /// Seconds that the will waits.
    pub(crate) will_delay: u32,
    /// Seconds that the session outlives the connection; for ever, if absent.
    pub(crate) lifetime: Option<u32>,
    /// Deliveries that the client takes before it has acknowledged one.
    pub(crate) receive_max: u16,
    /// Bytes of the largest packet that the client takes.
    pub(crate) packet_bytes_max: Option<u32>,
    /// Topic aliases that the broker may give.
    pub(crate) aliases_max: u16,
    /// Whether credentials are sent.
    pub(crate) names_itself: bool,
}

/// A publication that is not completely acknowledged.
struct Outgoing {
    id: u16,
    publication: Rc<Publication>,
    /// PUBREC has come: what is outstanding is the release.
    released: bool,
    /// The connection on which it was sent last.
    link: usize,
}

/// A SUBSCRIBE or UNSUBSCRIBE that is not answered.
struct Request {
    id: u16,
    /// For SUBSCRIBE, the classes asked for.
    classes: Option<Vec<Class>>,
}

/// A client and what it keeps between connections.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) profile: Profile,
    /// The connection in use.
    pub(crate) link: Option<usize>,
    /// Whether CONNACK has come on it.
    pub(crate) is_open: bool,
    /// Whether it was opened with a session that ends with it.
    pub(crate) is_clean: bool,
    /// The client does not read at the moment.
    pub(crate) stalled: bool,
    /// The client does not acknowledge at the moment.
    pub(crate) withholds: bool,
    /// Bytes that wait for the link.
    pub(crate) out: Vec<u8>,
    /// What those bytes say, for the model.
    pub(crate) said: Vec<Said>,
    input: Vec<u8>,
    outgoing: VecDeque<Outgoing>,
    /// Identifiers of publications whose PUBACK or PUBREC is to come on this connection, in that order.
    pubacks: VecDeque<u16>,
    pubrecs: VecDeque<u16>,
    requests: Vec<Request>,
    /// Exactly-once messages that have come and are not released.
    received: BTreeSet<u16>,
    withheld: Vec<(Ack, Said)>,
    aliases: Aliases,
    receive_max: u16,
    packet_bytes_max: Option<u32>,
    aliases_max: u16,
    /// Deliveries of this connection that are not acknowledged.
    unacknowledged: BTreeSet<u16>,
    last_id: u16,
    /// Publications so far.
    numbers: u32,
    /// Connections so far.
    connections: u32,
}

impl Client {
    pub(crate) fn new(name: String, profile: Profile) -> Self {
        Self {
            name,
            profile,
            link: None,
            is_open: false,
            is_clean: !profile.is_persistent(),
            stalled: false,
            withholds: false,
            out: Vec::new(),
            said: Vec::new(),
            input: Vec::new(),
            outgoing: VecDeque::new(),
            pubacks: VecDeque::new(),
            pubrecs: VecDeque::new(),
            requests: Vec::new(),
            received: BTreeSet::new(),
            withheld: Vec::new(),
            aliases: Aliases::default(),
            receive_max: u16::MAX,
            packet_bytes_max: None,
            aliases_max: 0,
            unacknowledged: BTreeSet::new(),
            last_id: 0,
            numbers: 0,
            connections: 0,
        }
    }

    /// Whether packets may be sent: also before CONNACK, unless the client does not know yet which session it has.
    pub(crate) fn may_send(&self) -> bool {
        let is_sure = self.is_clean != self.profile.is_persistent() && !self.profile.may_expire();
        self.link.is_some() && (self.is_open || is_sure)
    }

    /// Publications and requests that wait for an answer.
    pub(crate) fn outstanding(&self) -> usize {
        self.outgoing.len() + self.requests.len() + self.withheld.len()
    }

    /// Begins a connection.
    pub(crate) fn connect(&mut self, link: usize, opening: &Opening) {
        self.leave();
        self.link = Some(link);
        self.connections += 1;
        // The state of a clean session is not used in another one ([MQTT-3.1.2-6]).
        if self.is_clean {
            self.forget();
        }
        self.is_clean = opening.lifetime == Some(0);
        (self.receive_max, self.packet_bytes_max) = (opening.receive_max, opening.packet_bytes_max);
        self.aliases_max = opening.aliases_max;
        let user_name = opening.names_itself.then_some(&*self.name);
        let connect = Connect {
            version: self.profile.version,
            clean_session: opening.clean,
            keep_alive: 0,
            properties: ConnectProperties {
                session_expiry_interval: Some(opening.lifetime.unwrap_or(u32::MAX)),
                receive_maximum: NonZeroU16::new(opening.receive_max),
                maximum_packet_size: opening.packet_bytes_max.and_then(NonZeroU32::new),
                topic_alias_maximum: Some(opening.aliases_max),
                ..ConnectProperties::default()
            },
            client_id: &self.name,
            will: opening.will.as_deref().map(|publication| will(publication, opening.will_delay)),
            user_name,
            password: user_name.map(str::as_bytes),
        };
        connect.encode(&mut self.out);
    }

    /// The connection is no longer used.
    pub(crate) fn leave(&mut self) -> Option<usize> {
        self.is_open = false;
        self.out.clear();
        self.said.clear();
        self.input.clear();
        self.requests.clear();
        self.withheld.clear();
        self.pubacks.clear();
        self.pubrecs.clear();
        self.stalled = false;
        self.withholds = false;
        self.aliases = Aliases::default();
        self.unacknowledged.clear();
        self.link.take()
    }

    /// Whether the connection in use is the first of all.
    pub(crate) fn is_first(&self) -> bool {
        self.connections == 1
    }

    /// A number that names the client's next publication.
    pub(crate) fn next_number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    fn forget(&mut self) {
        self.outgoing.clear();
        self.received.clear();
    }

    pub(crate) fn publish(&mut self, publication: &Rc<Publication>) {
        let Some(link) = self.link else { return };
        let id = if publication.class.is_confirmed() { self.fresh_id() } else { 0 };
        self.send_publish(id, publication, false);
        if id != 0 {
            let publication = Rc::clone(publication);
            self.outgoing.push_back(Outgoing { id, publication, released: false, link });
        }
    }

    fn send_publish(&mut self, id: u16, publication: &Rc<Publication>, dup: bool) {
        let Publication { class, retain, .. } = **publication;
        let (mut topic, mut encoded) = (&*publication.topic, Vec::new());
        if let Some(lifetime) = publication.lifetime {
            Property::MessageExpiryInterval(lifetime).encode(&mut encoded);
        }
        let has_properties = self.profile.version.has_properties();
        let given = if has_properties && self.is_open { self.aliases.give(topic) } else { None };
        if let Some((alias, stands_alone)) = given
            && let Some(alias) = NonZeroU16::new(alias)
        {
            Property::TopicAlias(alias).encode(&mut encoded);
            topic = if stands_alone { "" } else { topic };
        }
        let properties = has_properties.then(|| Section::from_checked(&encoded));
        let (packet_id, payload) = (PacketId::new(id), &*publication.payload);
        let topic = Topic::from_checked(topic.as_bytes());
        Publish { dup, class, retain, topic, packet_id, properties, payload }.encode(&mut self.out);
        match class {
            Class::AtMostOnce => {}
            Class::AtLeastOnce => self.pubacks.push_back(id),
            Class::ExactlyOnce => self.pubrecs.push_back(id),
        }
        self.said.push(Said::Publish { id, publication: Rc::clone(publication) });
    }

    /// Asks for subscriptions, which have the same identifier.
    pub(crate) fn subscribe(&mut self, wishes: Vec<Wish>) {
        let id = self.fresh_id();
        let entry = |wish: &Wish| SubscribeEntry {
            no_local: wish.no_local,
            retain_as_published: wish.as_published,
            retain_handling: wish.handling,
            ..SubscribeEntry::new(Filter::from_checked(wish.name.as_bytes()), wish.class_max)
        };
        let Some(packet_id) = PacketId::new(id) else { return };
        let subscription_identifier = wishes.first().and_then(|wish| wish.id).and_then(NonZeroU32::new);
        let properties = SubscribeProperties { subscription_identifier, ..SubscribeProperties::default() };
        let properties = self.profile.version.has_properties().then_some(properties);
        Subscribe { packet_id, properties, entries: wishes.iter().map(entry).collect() }
            .encode(&mut self.out);
        self.requests.push(Request { id, classes: Some(wishes.iter().map(|wish| wish.class_max).collect()) });
        self.said.push(Said::Subscribe { id, wishes });
    }

    pub(crate) fn unsubscribe(&mut self, names: Vec<&'static str>) {
        let id = self.fresh_id();
        let Some(packet_id) = PacketId::new(id) else { return };
        let filters = names.iter().map(|name| Filter::from_checked(name.as_bytes())).collect();
        let properties = self.profile.version.has_properties().then(UnsubscribeProperties::default);
        Unsubscribe { packet_id, properties, filters }.encode(&mut self.out);
        self.requests.push(Request { id, classes: None });
        self.said.push(Said::Unsubscribe { id, names });
    }

    pub(crate) fn ping(&mut self) {
        self.out.extend_from_slice(&Pingreq.encode());
    }

    pub(crate) fn disconnect(&mut self, farewell: Farewell) {
        if self.profile.version.has_properties() {
            let code =
                if farewell.publish_will { ReasonCode::DisconnectWithWill } else { ReasonCode::Success };
            let mut disconnect = DisconnectV5::new(code);
            disconnect.properties.session_expiry_interval = farewell.lifetime;
            let _fits = disconnect.encode(usize::MAX, &mut self.out);
        } else {
            self.out.extend_from_slice(&Disconnect.encode());
        }
        self.said.push(Said::Disconnect(farewell));
    }

    /// Acknowledges at once from here on, and what was withheld.
    pub(crate) fn stop_withholding(&mut self) {
        self.withholds = false;
        for (ack, said) in std::mem::take(&mut self.withheld) {
            self.say_ack(ack, said);
        }
    }

    fn say_ack(&mut self, ack: Ack, said: Said) {
        if matches!(ack.ack_type, AckType::Puback | AckType::Pubcomp) {
            self.unacknowledged.remove(&ack.packet_id.number());
        }
        self.out.extend_from_slice(&ack.encode());
        self.said.push(said);
    }

    fn answer(&mut self, ack_type: AckType, id: u16) {
        let Some(packet_id) = PacketId::new(id) else { return };
        let ack = Ack { ack_type, packet_id };
        let said = match ack_type {
            AckType::Pubrel => Said::Complete { id },
            AckType::Puback => Said::Settle { id, settlement: Settlement::Accepted },
            AckType::Pubrec => Said::Settle { id, settlement: Settlement::Received },
            AckType::Pubcomp => Said::Settle { id, settlement: Settlement::Completed },
        };
        if self.withholds {
            self.withheld.push((ack, said));
        } else {
            self.say_ack(ack, said);
        }
    }

    /// Sends again what was sent on an earlier connection and is not acknowledged.
    fn resend(&mut self, link: usize) {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        for sent in outgoing.iter_mut().filter(|sent| sent.link != link) {
            sent.link = link;
            if sent.released {
                self.answer(AckType::Pubrel, sent.id);
            } else {
                self.send_publish(sent.id, &sent.publication, true);
            }
        }
        self.outgoing = outgoing;
    }

    fn fresh_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id % IDS + 1;
            let id = self.last_id;
            if self.outgoing.iter().all(|o| o.id != id) && self.requests.iter().all(|r| r.id != id) {
                return id;
            }
        }
    }
}

fn will(publication: &Publication, delay: u32) -> Will<'_> {
    Will {
        topic: Topic::from_checked(publication.topic.as_bytes()),
        message: &publication.payload,
        class: publication.class,
        retain: publication.retain,
        properties: WillProperties {
            will_delay_interval: Some(delay),
            message_expiry_interval: publication.lifetime,
            ..WillProperties::default()
        },
    }
}
