//! What a client makes of the packets that come: answers to the broker, and reports to the model.

use std::fmt;
use std::rc::Rc;

use mynah_model::Class;
use mynah_mqtt::TextRule;
use mynah_mqtt::framing::{Unit, next_unit, packet_len};
use mynah_mqtt::wire::properties::{Property, PropertyId};
use mynah_mqtt::wire::{
    Ack, AckType, AckV5, Connack, ConnackV5, ConnectReturnCode, DisconnectV5, PacketId, PacketType, Publish,
    ReasonCode, Suback, SubackV5, SubscribeReturnCode, Unsuback, UnsubackV5,
};

use super::Client;
use crate::model::{Publication, Violation, label, violation};

/// Something that came.
#[derive(Debug)]
pub(crate) enum Heard {
    Connected {
        present: bool,
    },
    Message(Arrival),
    /// PUBACK or PUBREC.
    Acknowledged(Rc<Publication>),
    /// SUBACK or UNSUBACK.
    Answered {
        id: u16,
    },
    /// DISCONNECT.
    Dismissed(ReasonCode),
}

/// What only a client of MQTT 5.0 is told of a message.
#[derive(Debug)]
pub(crate) struct Told {
    /// Subscription identifiers, in ascending order.
    pub(crate) ids: Vec<u32>,
    /// Seconds that the message is still wanted.
    pub(crate) remaining: Option<u32>,
}

const RULE: TextRule = TextRule::AcceptDiscouraged;

/// A PUBLISH from the broker.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) dup: bool,
    pub(crate) class: Class,
    pub(crate) retain: bool,
    pub(crate) id: Option<u16>,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) told: Option<Told>,
    /// For exactly-once: whether the client hands it to its program, since it was not there yet.
    pub(crate) is_new: bool,
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, id, topic, payload, told, .. } = self;
        write!(f, "`{}` on {topic} (QoS {}", label(payload), class.number())?;
        if let Some(id) = id {
            write!(f, ", id {id}")?;
        }
        if let Some(Told { ids, remaining }) = told {
            write!(f, ", by {ids:?}")?;
            remaining.map_or(Ok(()), |seconds| write!(f, ", for {seconds} s"))?;
        }
        f.write_str(if self.retain { ", retained" } else { "" })?;
        f.write_str(if self.dup { ", DUP)" } else { ")" })
    }
}

impl Client {
    /// Takes in bytes and answers them.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Result<Vec<Heard>, Violation> {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        let mut heard = Vec::new();
        let (version, max) = (self.profile.version, self.packet_bytes_max.unwrap_or(u32::MAX));
        while let Some(unit) = next_unit(&mut rest, version, usize::MAX).map_err(malformed)? {
            if packet_len(unit.body.len()) > max as usize {
                return violation(format!(
                    "{} gets {:?} of more than {max} bytes",
                    self.name, unit.packet_type
                ));
            }
            heard.extend(self.receive(unit)?);
        }
        self.input = rest.to_vec();
        Ok(heard)
    }

    fn receive(&mut self, unit: Unit<'_>) -> Result<Option<Heard>, Violation> {
        if self.is_open == (unit.packet_type == PacketType::Connack) {
            return violation(format!("{} gets {:?} out of turn", self.name, unit.packet_type));
        }
        match unit.packet_type {
            PacketType::Connack => self.receive_connack(unit.body).map(Some),
            PacketType::Publish => self.receive_publish(unit).map(Some),
            PacketType::Puback => self.receive_puback(self.ack(AckType::Puback, unit.body)?).map(Some),
            PacketType::Pubrec => self.receive_pubrec(self.ack(AckType::Pubrec, unit.body)?).map(Some),
            PacketType::Pubrel => {
                let id = self.ack(AckType::Pubrel, unit.body)?;
                self.received.remove(&id);
                self.answer(AckType::Pubcomp, id);
                Ok(None)
            }
            PacketType::Pubcomp => {
                self.receive_pubcomp(self.ack(AckType::Pubcomp, unit.body)?).map(|()| None)
            }
            PacketType::Suback => self.receive_suback(unit.body).map(Some),
            PacketType::Unsuback => self.receive_unsuback(unit.body).map(Some),
            PacketType::Pingresp => Ok(None),
            PacketType::Disconnect if self.profile.version.has_properties() => {
                let disconnect = DisconnectV5::decode(unit.body, RULE).map_err(malformed)?;
                Ok(Some(Heard::Dismissed(disconnect.reason_code)))
            }
            other => violation(format!("{} gets {other:?}", self.name)),
        }
    }

    /// The identifier of an acknowledgement. Nothing that the client does is refused.
    fn ack(&self, ack_type: AckType, body: &[u8]) -> Result<u16, Violation> {
        if !self.profile.version.has_properties() {
            return Ok(Ack::decode(ack_type, body).map_err(malformed)?.packet_id.number());
        }
        let ack = AckV5::decode(ack_type, body, RULE).map_err(malformed)?;
        match ack.reason_code {
            ReasonCode::Success
            | ReasonCode::NoMatchingSubscribers
            | ReasonCode::PacketIdentifierNotFound => Ok(ack.ack.packet_id.number()),
            code => violation(format!("{} gets {ack_type:?} with {code:?}", self.name)),
        }
    }

    /// Whether CONNACK says that there was a session.
    fn session_present(&self, body: &[u8]) -> Result<bool, Violation> {
        if self.profile.version.has_properties() {
            let connack = ConnackV5::decode(body, RULE).map_err(malformed)?;
            return match connack.reason_code {
                ReasonCode::Success => Ok(connack.session_present),
                code => violation(format!("{} is refused: {code:?}", self.name)),
            };
        }
        let connack = Connack::decode(body, self.profile.version).map_err(malformed)?;
        if connack.return_code != ConnectReturnCode::Accepted {
            return violation(format!("{} is refused: {}", self.name, connack.return_code));
        }
        Ok(connack.session_present)
    }

    fn receive_connack(&mut self, body: &[u8]) -> Result<Heard, Violation> {
        let present = self.session_present(body)?;
        self.is_open = true;
        let persistent = self.profile.is_persistent();
        if persistent && self.is_clean {
            self.forget();
        } else if persistent && self.profile.version.has_properties() && !present {
            // What was said on this connection is the new session's already.
            let link = self.link;
            self.outgoing.retain(|sent| Some(sent.link) == link);
        }
        if !present {
            // The broker will give the identifiers of its earlier messages to others.
            self.received.clear();
        }
        if let Some(link) = self.link {
            self.resend(link);
        }
        Ok(Heard::Connected { present })
    }

    fn receive_publish(&mut self, unit: Unit<'_>) -> Result<Heard, Violation> {
        let publish =
            Publish::decode(unit.flags, unit.body, RULE, self.profile.version).map_err(malformed)?;
        let mut topic = String::from_utf8_lossy(publish.topic.as_bytes()).into_owned();
        if let Some(alias) = publish.topic_alias() {
            let resolved = self.aliases.hear(alias.get(), &topic, self.aliases_max);
            let Some(resolved) = resolved else {
                return violation(format!("{} gets topic alias {alias}, which was not given", self.name));
            };
            topic = resolved;
        }
        let id = publish.packet_id.map(PacketId::number);
        if let Some(id) = id {
            self.unacknowledged.insert(id);
            if self.unacknowledged.len() > usize::from(self.receive_max) {
                return violation(format!("{} gets more than its Receive Maximum", self.name));
            }
        }
        let mut is_new = true;
        match (publish.class, id) {
            (Class::AtLeastOnce, Some(id)) => self.answer(AckType::Puback, id),
            (Class::ExactlyOnce, Some(id)) => {
                is_new = self.received.insert(id);
                self.answer(AckType::Pubrec, id);
            }
            _ => {}
        }
        Ok(Heard::Message(Arrival {
            dup: publish.dup,
            class: publish.class,
            retain: publish.retain,
            id,
            topic,
            payload: publish.payload.to_vec(),
            told: publish.properties.is_some().then(|| told(&publish)),
            is_new,
        }))
    }

    /// Acknowledgements come in the order of the publications ([MQTT-4.6.0-2], [MQTT-4.6.0-3]).
    fn receive_puback(&mut self, id: u16) -> Result<Heard, Violation> {
        let next = self.pubacks.pop_front();
        let at = self.outgoing.iter().position(|sent| sent.id == id);
        match at.and_then(|at| self.outgoing.remove(at)).filter(|_| next == Some(id)) {
            Some(sent) => Ok(Heard::Acknowledged(sent.publication)),
            None => violation(format!("{} gets PUBACK {id}, the next is {next:?}", self.name)),
        }
    }

    fn receive_pubrec(&mut self, id: u16) -> Result<Heard, Violation> {
        let next = self.pubrecs.pop_front();
        match self.outgoing.iter_mut().find(|sent| sent.id == id && !sent.released && next == Some(id)) {
            Some(sent) => {
                sent.released = true;
                let publication = Rc::clone(&sent.publication);
                self.answer(AckType::Pubrel, id);
                Ok(Heard::Acknowledged(publication))
            }
            None => violation(format!("{} gets PUBREC {id}, the next is {next:?}", self.name)),
        }
    }

    fn receive_pubcomp(&mut self, id: u16) -> Result<(), Violation> {
        match self.outgoing.iter().position(|sent| sent.id == id && sent.released) {
            Some(at) => {
                self.outgoing.remove(at);
                Ok(())
            }
            None => violation(format!("{} gets PUBCOMP {id} without PUBREL", self.name)),
        }
    }

    fn receive_suback(&mut self, body: &[u8]) -> Result<Heard, Violation> {
        let (id, granted) = if self.profile.version.has_properties() {
            let suback = SubackV5::decode(body, RULE).map_err(malformed)?;
            let granted = suback.reason_codes.iter().map(|code| Class::from_number(code.number()));
            (suback.packet_id, granted.collect::<Option<Vec<_>>>())
        } else {
            let suback = Suback::decode(body).map_err(malformed)?;
            let granted = suback.return_codes.into_iter().map(SubscribeReturnCode::into);
            (suback.packet_id, granted.collect())
        };
        match granted {
            Some(granted) => self.end_request(id.number(), Some(granted)),
            None => violation(format!("{} is refused a subscription", self.name)),
        }
    }

    fn receive_unsuback(&mut self, body: &[u8]) -> Result<Heard, Violation> {
        let id = if self.profile.version.has_properties() {
            let unsuback = UnsubackV5::decode(body, RULE).map_err(malformed)?;
            if let Some(code) = unsuback.reason_codes.iter().find(|code| code.number() >= 0x80) {
                return violation(format!("{} may not unsubscribe: {code:?}", self.name));
            }
            unsuback.packet_id
        } else {
            Unsuback::decode(body).map_err(malformed)?.packet_id
        };
        self.end_request(id.number(), None)
    }

    fn end_request(&mut self, id: u16, granted: Option<Vec<Class>>) -> Result<Heard, Violation> {
        match self.requests.iter().position(|request| request.id == id && request.classes == granted) {
            Some(at) => {
                self.requests.remove(at);
                Ok(Heard::Answered { id })
            }
            None => {
                violation(format!("{} gets an answer {id} that it did not ask for: {granted:?}", self.name))
            }
        }
    }
}

fn told(publish: &Publish<'_>) -> Told {
    let mut ids: Vec<u32> = publish
        .section()
        .iter()
        .filter_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id.get()),
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    let remaining = match publish.section().find(PropertyId::MessageExpiryInterval) {
        Some(Property::MessageExpiryInterval(seconds)) => Some(seconds),
        _ => None,
    };
    Told { ids, remaining }
}

fn malformed(error: impl Into<mynah_mqtt::Error>) -> Violation {
    Violation(format!("a client gets a malformed packet: {}", error.into()))
}
