//! What a client makes of the packets that come: answers to the broker, and reports to the model.

use std::fmt;
use std::rc::Rc;

use mynah_model::Class;
use mynah_mqtt::framing::{Unit, next_unit};
use mynah_mqtt::wire::{
    Ack, AckType, Connack, ConnectReturnCode, PacketId, PacketType, Publish, Suback, SubscribeReturnCode,
    Unsuback,
};
use mynah_mqtt::{TextRule, Version};

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
}

/// A PUBLISH from the broker.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) dup: bool,
    pub(crate) class: Class,
    pub(crate) retain: bool,
    pub(crate) id: Option<u16>,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    /// For exactly-once: whether the client hands it to its program, since it was not there yet.
    pub(crate) is_new: bool,
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, id, topic, payload, .. } = self;
        write!(f, "`{}` on {topic} (QoS {}", label(payload), class.number())?;
        if let Some(id) = id {
            write!(f, ", id {id}")?;
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
        while let Some(unit) = next_unit(&mut rest, Version::V3_1_1, usize::MAX).map_err(malformed)? {
            heard.extend(self.receive(unit)?);
        }
        self.input = rest.to_vec();
        Ok(heard)
    }

    fn receive(&mut self, unit: Unit<'_>) -> Result<Option<Heard>, Violation> {
        if self.is_open == (unit.packet_type == PacketType::Connack) {
            return violation(format!("{} gets {:?} out of turn", self.name, unit.packet_type));
        }
        let id =
            |ack_type| Ack::decode(ack_type, unit.body).map(|ack| ack.packet_id.number()).map_err(malformed);
        match unit.packet_type {
            PacketType::Connack => self.receive_connack(unit.body).map(Some),
            PacketType::Publish => self.receive_publish(unit).map(Some),
            PacketType::Puback => self.receive_puback(id(AckType::Puback)?).map(Some),
            PacketType::Pubrec => self.receive_pubrec(id(AckType::Pubrec)?).map(Some),
            PacketType::Pubrel => {
                let id = id(AckType::Pubrel)?;
                self.received.remove(&id);
                self.answer(AckType::Pubcomp, id);
                Ok(None)
            }
            PacketType::Pubcomp => self.receive_pubcomp(id(AckType::Pubcomp)?).map(|()| None),
            PacketType::Suback => self.receive_suback(unit.body).map(Some),
            PacketType::Unsuback => {
                let id = Unsuback::decode(unit.body).map_err(malformed)?.packet_id.number();
                self.end_request(id, None).map(Some)
            }
            PacketType::Pingresp => Ok(None),
            other => violation(format!("{} gets {other:?}", self.name)),
        }
    }

    fn receive_connack(&mut self, body: &[u8]) -> Result<Heard, Violation> {
        let connack = Connack::decode(body, Version::V3_1_1).map_err(malformed)?;
        if connack.return_code != ConnectReturnCode::Accepted {
            return violation(format!("{} is refused: {}", self.name, connack.return_code));
        }
        self.is_open = true;
        if self.is_clean && self.persistent {
            self.forget();
        }
        if !connack.session_present {
            // The broker will give the identifiers of its earlier messages to others.
            self.received.clear();
        }
        if let Some(link) = self.link {
            self.resend(link);
        }
        Ok(Heard::Connected { present: connack.session_present })
    }

    fn receive_publish(&mut self, unit: Unit<'_>) -> Result<Heard, Violation> {
        let publish = Publish::decode(unit.flags, unit.body, TextRule::AcceptDiscouraged, Version::V3_1_1)
            .map_err(malformed)?;
        let id = publish.packet_id.map(PacketId::number);
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
            topic: String::from_utf8_lossy(publish.topic.as_bytes()).into_owned(),
            payload: publish.payload.to_vec(),
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
        let suback = Suback::decode(body).map_err(malformed)?;
        let granted =
            suback.return_codes.into_iter().map(SubscribeReturnCode::into).collect::<Option<Vec<_>>>();
        match granted {
            Some(granted) => self.end_request(suback.packet_id.number(), Some(granted)),
            None => violation(format!("{} is refused a subscription", self.name)),
        }
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

fn malformed(error: impl Into<mynah_mqtt::Error>) -> Violation {
    Violation(format!("a client gets a malformed packet: {}", error.into()))
}
