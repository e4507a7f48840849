//! While the session is open: deliveries become PUBLISH, and what the remote broker sends becomes commands.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use mynah_model::{Class, DeliveryId, Instant, Reason, SubscriptionOptions, Topic};
use mynah_stack::{
    Command, Delivery, Frame, Outbound, Outcome, Publish as PublishCommand, Settle, Settlement, Step,
    Subscribe as SubscribeCommand, SubscribeRequest,
};

use super::{BridgeConnection, topics};
use crate::client::Ending;
use crate::error::{PublishReaction, publish_reaction, publish_reason_code};
use crate::framing::{Unit, next_unit, packet_len};
use crate::wire::{
    Ack, AckType, AckV5, DisconnectV5, PacketId, PacketType, Pingresp, Publish, ReasonCode, Suback, SubackV5,
    TextRule, read_variable, variable_bytes,
};
use crate::{Error, Violation, mapping};

/// A bridge takes what a broker forwards of others.
const RULE: TextRule = TextRule::AcceptDiscouraged;

/// What a packet came to.
enum Received<'b> {
    Command(Command<'b>),
    Answered,
    Ended(Ending),
}

impl BridgeConnection {
    pub(super) fn step_open<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Step<'b> {
        if core::mem::take(&mut self.wants_filters)
            && let Some(command) = self.filters()
        {
            return Step::Command(command);
        }
        loop {
            let before = *input;
            let unit = match next_unit(input, self.options().version, self.options().packet_bytes_max) {
                Ok(Some(unit)) => unit,
                Ok(None) => return Step::Idle,
                Err(error) => return self.fail(error, out),
            };
            match self.receive(now, unit, out) {
                Ok(Received::Command(command)) => {
                    if let Command::Complete { receipt } = command
                        && self.forgetting.contains(&receipt)
                        && unit.packet_type == PacketType::Publish
                    {
                        // The message itself comes after that.
                        *input = before;
                    }
                    return Step::Command(command);
                }
                Ok(Received::Answered) => {}
                Ok(Received::Ended(ending)) => return self.end(Reason::Disconnected, ending),
                Err(error) => return self.fail(error, out),
            }
        }
    }

    /// Asks the core for what is to go out.
    fn filters<'b>(&self) -> Option<Command<'b>> {
        let request = |rule: &super::Rule| {
            let options = SubscriptionOptions {
                retain_handling: mynah_model::RetainHandling::WhenNew,
                retain_as_published: true,
                no_local: true,
                ..SubscriptionOptions::new(rule.class_max.min(self.terms.class_max))
            };
            Ok(SubscribeRequest { filter: rule.local.filter, share: None, options })
        };
        let requests: Vec<_> = self.shared.rules.iter().filter(|rule| rule.is_out()).map(request).collect();
        (!requests.is_empty()).then(|| Command::Subscribe(SubscribeCommand { receipt: 0, requests }))
    }

    fn receive<'b>(
        &mut self,
        now: Instant,
        unit: Unit<'b>,
        out: &mut Outbound,
    ) -> Result<Received<'b>, Error> {
        match unit.packet_type {
            PacketType::Publish => self.receive_publish(now, unit, out),
            PacketType::Puback => self.receive_ack(AckType::Puback, unit.body, Settlement::Accepted),
            PacketType::Pubrec => self.receive_ack(AckType::Pubrec, unit.body, Settlement::Received),
            PacketType::Pubcomp => self.receive_ack(AckType::Pubcomp, unit.body, Settlement::Completed),
            PacketType::Pubrel => {
                let receipt = self.decode_ack(AckType::Pubrel, unit.body)?.0.number();
                Ok(Received::Command(Command::Complete { receipt }))
            }
            PacketType::Suback => self.receive_suback(unit.body),
            PacketType::Pingresp => {
                Pingresp::decode(unit.body)?;
                self.pinged_at = None;
                Ok(Received::Answered)
            }
            PacketType::Disconnect if self.is_v5() => {
                let code = DisconnectV5::decode(unit.body, RULE)?.reason_code;
                Ok(Received::Ended(Ending::Dismissed(code)))
            }
            PacketType::Connect
            | PacketType::Connack
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::Unsuback
            | PacketType::Pingreq
            | PacketType::Disconnect
            | PacketType::Auth => Err(Violation::UnexpectedPacket.into()),
        }
    }

    fn decode_ack(&self, ack_type: AckType, body: &[u8]) -> Result<(PacketId, ReasonCode), Error> {
        if self.is_v5() {
            AckV5::decode(ack_type, body, RULE).map(|ack| (ack.ack.packet_id, ack.reason_code))
        } else {
            Ack::decode(ack_type, body).map(|ack| (ack.packet_id, ReasonCode::Success))
        }
    }

    /// What the remote broker says of a delivery. One that it refuses is dropped, as it asks.
    fn receive_ack<'b>(
        &self,
        ack_type: AckType,
        body: &[u8],
        settlement: Settlement,
    ) -> Result<Received<'b>, Error> {
        let (id, code) = self.decode_ack(ack_type, body)?;
        let delivery = DeliveryId::new(id.number()).ok_or(Violation::UnexpectedAcknowledgement)?;
        let is_refused = code.is_failure() && ack_type != AckType::Pubcomp;
        let settlement = if is_refused { Settlement::Rejected } else { settlement };
        Ok(Received::Command(Command::Settle(Settle { delivery, settlement })))
    }

    fn receive_suback<'b>(&mut self, body: &[u8]) -> Result<Received<'b>, Error> {
        let (id, is_refused) = if self.is_v5() {
            let suback = SubackV5::decode(body, RULE)?;
            (suback.packet_id, suback.reason_codes.iter().find(|code| code.is_failure()).copied())
        } else {
            let suback = Suback::decode(body)?;
            let failed = suback.return_codes.contains(&crate::wire::SubscribeReturnCode::Failure);
            (suback.packet_id, failed.then_some(ReasonCode::UnspecifiedError))
        };
        if id != self.subscribe_id || !core::mem::take(&mut self.subscribing) {
            return Err(Violation::UnexpectedAcknowledgement.into());
        }
        // A bridge with half of its topics would lose messages without anybody's seeing it.
        Ok(is_refused.map_or(Received::Answered, |code| Received::Ended(Ending::NotSubscribed(code))))
    }

    fn receive_publish<'b>(
        &mut self,
        now: Instant,
        unit: Unit<'b>,
        out: &mut Outbound,
    ) -> Result<Received<'b>, Error> {
        let publish = Publish::decode(unit.flags, unit.body, RULE, self.options().version)?;
        if let Some(id) = self.stale_id(&publish) {
            self.forgetting.insert(id);
            return Ok(Received::Command(Command::Complete { receipt: id }));
        }
        let aliased = self.taken.resolve(&publish)?;
        let topic = aliased.unwrap_or(publish.topic);
        let crosses = topics::rename_in(&self.shared.rules, topic, &mut self.name);
        let receipt = publish.packet_id.map_or(0, PacketId::number);
        if !crosses {
            // What an earlier configuration subscribed to, or a filter that says more than its prefix.
            self.answer_publish(now, receipt, publish.class, None, out);
            return Ok(Received::Answered);
        }
        self.shared.settings.watch.message_in();
        let (header, native) = mapping::with_topic(&publish, Topic::from_checked(&self.name), now);
        let native = Cow::Owned(native);
        Ok(Received::Command(Command::Publish(PublishCommand::new(header, native, receipt))))
    }

    /// The identifier of a message of QoS 2 that the core may still know from a session that the remote broker has
    /// lost: a new message is not to be taken for a repeated one.
    fn stale_id(&mut self, publish: &Publish<'_>) -> Option<u16> {
        let id = publish.packet_id.filter(|_| publish.class == Class::ExactlyOnce)?;
        (!self.session_present && self.used.insert(id)).then(|| id.number())
    }

    pub(super) fn handle_open_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        match outcome {
            Outcome::Published { receipt, class, result } => match result {
                Err(reason) if publish_reaction(reason) == PublishReaction::Close => self.leave(reason, out),
                result => self.answer_publish(now, receipt, class, result.err(), out),
            },
            Outcome::Completed { receipt, known } => {
                if !self.forgetting.remove(&receipt)
                    && let Some(packet_id) = PacketId::new(receipt)
                {
                    self.go_on(now, AckType::Pubcomp, packet_id, known, out);
                }
            }
            Outcome::Received { id, known } => self.go_on(now, AckType::Pubrel, id.into(), known, out),
            Outcome::Subscribed { results, .. } => {
                if let Some(Err(reason)) = results.iter().find(|result| result.is_err()) {
                    self.leave(*reason, out);
                }
            }
            // Nothing of this is asked for, and the end is handled for all states.
            Outcome::Opened(_)
            | Outcome::Challenge(_)
            | Outcome::Authenticated(_)
            | Outcome::Unsubscribed { .. }
            | Outcome::Value(_)
            | Outcome::Queue(_)
            | Outcome::Ended(_) => {}
        }
    }

    /// Acknowledges a message of the remote broker, or refuses it as far as the version can.
    fn answer_publish(
        &mut self,
        now: Instant,
        receipt: u16,
        class: Class,
        refusal: Option<Reason>,
        out: &mut Outbound,
    ) {
        let Some(packet_id) = PacketId::new(receipt) else { return };
        let ack_type = match class {
            Class::AtMostOnce => return,
            Class::AtLeastOnce => AckType::Puback,
            Class::ExactlyOnce => AckType::Pubrec,
        };
        let code = refusal.filter(|_| self.is_v5()).map(|reason| publish_reason_code(Err(reason)));
        let ack = AckV5::new(ack_type, packet_id, code.unwrap_or(ReasonCode::Success));
        self.acknowledge(now, &ack, out);
    }

    /// Goes on in an exchange of QoS 2; in MQTT 5.0 it says if the core does not know of it.
    fn go_on(&mut self, now: Instant, ack_type: AckType, id: PacketId, known: bool, out: &mut Outbound) {
        let is_said = !known && self.is_v5();
        let code = if is_said { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success };
        self.acknowledge(now, &AckV5::new(ack_type, id, code), out);
    }

    fn acknowledge(&mut self, now: Instant, ack: &AckV5<'_>, out: &mut Outbound) {
        let mut packet = Vec::new();
        // It was checked that the remote broker takes the largest acknowledgement.
        if ack.encode(self.terms.packet_bytes_max, &mut packet) {
            self.send(now, &packet, out);
        }
    }

    pub(super) fn deliver_open(&mut self, now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        let (frame, class, id, retain, redelivered) = match delivery {
            Delivery::Message { frame, class, id, retain, redelivered, .. } => {
                (frame, class, id, retain, redelivered)
            }
            Delivery::Release { id } => {
                self.go_on(now, AckType::Pubrel, id.into(), true, out);
                return true;
            }
            Delivery::Leased(_) => return false, // nothing is consumed here
        };
        if self.subscribing && id.is_some_and(|id| PacketId::from(id) == self.subscribe_id) {
            // The delivery stays in the session; the next SUBSCRIBE has another identifier.
            self.end(Reason::Disconnected, Ending::Disconnected);
            return true;
        }
        if class > self.terms.class_max {
            return false;
        }
        let first = Publish::first_byte(class, redelivered, retain && self.terms.retain);
        let sent = self.write_renamed(frame, first, id, out);
        if sent {
            self.sent_at = now;
            self.shared.settings.watch.message_out();
        }
        sent
    }

    /// Writes an encoded PUBLISH under the name that its topic has at the remote broker. False if it cannot cross.
    fn write_renamed(
        &mut self,
        frame: &Frame,
        first: u8,
        id: Option<DeliveryId>,
        out: &mut Outbound,
    ) -> bool {
        let Some((remaining, topic, rest)) = parts(&frame.head) else { return false };
        if !topics::rename_out(&self.shared.rules, Topic::from_checked(topic), &mut self.name) {
            return false;
        }
        let remaining = remaining - topic.len() + self.name.len();
        let limit = self.terms.packet_bytes_max.min(crate::framing::REMAINING_LENGTH_MAX + 5);
        if packet_len(remaining) > limit {
            return false;
        }
        out.append(&[first]);
        let (length, count) = variable_bytes(remaining);
        out.append(&length[..count]);
        // A name that is longer does not cross.
        out.append(&(self.name.len() as u16).to_be_bytes());
        out.append(&self.name);
        match (id, rest.split_at_checked(2)) {
            (Some(id), Some((_, rest))) => {
                out.append(&id.number().to_be_bytes());
                out.append(rest);
            }
            _ => {
                out.append(rest);
            }
        }
        frame.write_body(out);
        true
    }
}

/// The remaining length, the topic and what follows it in the head of an encoded PUBLISH.
fn parts(head: &[u8]) -> Option<(usize, &[u8], &[u8])> {
    let (remaining, rest) = read_variable(head.get(1..)?)?;
    let (len, rest) = rest.split_first_chunk()?;
    let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    Some((remaining, topic, rest))
}
