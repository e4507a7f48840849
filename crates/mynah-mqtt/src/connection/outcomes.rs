//! What became of commands, as packets.

use alloc::vec::Vec;

use mynah_model::{Class, DeliveryId, Reason};
use mynah_stack::{Outbound, Outcome, SubscribeResult};

use super::ServerConnection;
use crate::SubscribeRefused;
use crate::error::{PublishReaction, publish_reaction, subscribe_reason_code, subscribe_return_code};
use crate::wire::properties::{AckProperties, SubackProperties, UnsubackProperties};
use crate::wire::{Ack, AckType, AckV5, PacketId, ReasonCode, Suback, SubackV5, Unsuback, UnsubackV5};

impl ServerConnection {
    pub(super) fn handle_open_outcome(&mut self, outcome: Outcome<'_>, out: &mut Outbound) {
        match outcome {
            Outcome::Published { receipt, class, result } => {
                let id = PacketId::new(receipt);
                match id {
                    Some(id) if self.version.has_properties() => self.answer_publish(id, class, result, out),
                    _ => self.acknowledge_publish(id, class, result, out),
                }
            }
            Outcome::Completed { receipt, known } => {
                if let Some(id) = PacketId::new(receipt) {
                    self.complete(id, known, out);
                }
            }
            Outcome::Subscribed { receipt, results } => {
                if let Some(id) = PacketId::new(receipt) {
                    self.answer_subscribe(id, results, out);
                }
            }
            Outcome::Unsubscribed { receipt, results } => {
                if let Some(id) = PacketId::new(receipt) {
                    self.answer_unsubscribe(id, results, out);
                }
            }
            Outcome::Received { id, known } => {
                self.release(id, self.config.settings().answers.release_code(known), out);
            }
            Outcome::Challenge(data) => self.challenge(data, out),
            Outcome::Authenticated(result) => self.handle_authenticated(result, out),
            // Nothing of this is asked for by this protocol while open, and the end is handled for all states.
            Outcome::Opened(_) | Outcome::Value(_) | Outcome::Queue(_) | Outcome::Ended(_) => {}
        }
    }

    /// Answers a publication before MQTT 5.0, where some refusals have no other word than the end.
    fn acknowledge_publish(
        &mut self,
        id: Option<PacketId>,
        class: Class,
        result: Result<bool, Reason>,
        out: &mut Outbound,
    ) {
        if let Err(reason) = result
            && publish_reaction(reason) == PublishReaction::Close
        {
            self.take_leave(reason, out);
            self.close(reason);
            return;
        }
        match (id, class) {
            (None, _) | (_, Class::AtMostOnce) => {}
            (Some(id), Class::AtLeastOnce) => acknowledge(AckType::Puback, id, out),
            (Some(id), Class::ExactlyOnce) => acknowledge(AckType::Pubrec, id, out),
        }
    }

    /// Answers a publication of MQTT 5.0. One that is refused is finished.
    fn answer_publish(
        &mut self,
        id: PacketId,
        class: Class,
        result: Result<bool, Reason>,
        out: &mut Outbound,
    ) {
        let ack_type = match class {
            Class::AtMostOnce => return,
            Class::AtLeastOnce => {
                self.unanswered = self.unanswered.saturating_sub(1);
                AckType::Puback
            }
            Class::ExactlyOnce => AckType::Pubrec,
        };
        let code = self.config.settings().answers.publish_code(class, result);
        if let Err(reason) = result {
            self.refuse_publish(ack_type, id, code, reason, out);
        } else {
            acknowledge_with(ack_type, id, code, out);
        }
    }

    /// Refuses a publication of MQTT 5.0.
    #[cold]
    pub(super) fn refuse_publish(
        &mut self,
        ack_type: AckType,
        id: PacketId,
        code: ReasonCode,
        why: impl core::fmt::Display,
        out: &mut Outbound,
    ) {
        if let Some(beside) = &mut self.beside {
            beside.unfinished.end(id);
        }
        let why = self.explanation(why);
        let properties = AckProperties { reason_string: why.as_deref(), ..AckProperties::default() };
        let ack = AckV5 { properties, ..AckV5::new(ack_type, id, code) };
        self.write(out, |size_max, packet| ack.encode(size_max, packet));
    }

    fn complete(&mut self, id: PacketId, known: bool, out: &mut Outbound) {
        if let Some(beside) = &mut self.beside {
            beside.unfinished.end(id);
        }
        let code = self.config.settings().answers.release_code(known);
        self.acknowledge_release(AckType::Pubcomp, id, code, out);
    }

    /// Answers the PUBREC of a delivery, now or in a resumed session ([MQTT-4.3.3-1]).
    pub(super) fn release(&self, id: DeliveryId, code: ReasonCode, out: &mut Outbound) {
        self.acknowledge_release(AckType::Pubrel, PacketId::from(id), code, out);
    }

    fn acknowledge_release(&self, ack_type: AckType, id: PacketId, code: ReasonCode, out: &mut Outbound) {
        let has_codes = self.version.has_properties();
        acknowledge_with(ack_type, id, if has_codes { code } else { ReasonCode::Success }, out);
    }

    /// One code for each filter, in the order of the SUBSCRIBE ([MQTT-3.8.4-5]).
    fn answer_subscribe(&self, packet_id: PacketId, results: &[SubscribeResult], out: &mut Outbound) {
        if !self.version.has_properties() {
            let return_codes = results.iter().copied().map(subscribe_return_code).collect();
            let mut packet = Vec::new();
            Suback { packet_id, return_codes }.encode(&mut packet);
            out.append(&packet);
            return;
        }
        let unspecified = self.config.settings().subscribe_refused == SubscribeRefused::Unspecified;
        let code = |result: &SubscribeResult| match subscribe_reason_code(*result) {
            ReasonCode::NotAuthorized if unspecified => ReasonCode::UnspecifiedError,
            code => code,
        };
        let why = results.iter().find_map(|result| result.err()).and_then(|reason| self.explanation(reason));
        let properties = SubackProperties { reason_string: why.as_deref(), ..SubackProperties::default() };
        let suback = SubackV5 { packet_id, properties, reason_codes: results.iter().map(code).collect() };
        self.write(out, |size_max, packet| suback.encode(size_max, packet));
    }

    /// Also if no filter was there ([MQTT-3.10.4-5]).
    fn answer_unsubscribe(&self, packet_id: PacketId, results: &[bool], out: &mut Outbound) {
        if !self.version.has_properties() {
            out.append(&Unsuback { packet_id }.encode());
            return;
        }
        let code = |&existed: &bool| {
            if existed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted }
        };
        let reason_codes = results.iter().map(code).collect();
        let unsuback = UnsubackV5 { packet_id, properties: UnsubackProperties::default(), reason_codes };
        self.write(out, |size_max, packet| unsuback.encode(size_max, packet));
    }
}

/// An acknowledgement of four bytes: of all versions, if it says Success.
fn acknowledge(ack_type: AckType, packet_id: PacketId, out: &mut Outbound) {
    out.append(&Ack { ack_type, packet_id }.encode());
}

/// An acknowledgement without properties.
fn acknowledge_with(ack_type: AckType, id: PacketId, code: ReasonCode, out: &mut Outbound) {
    if code == ReasonCode::Success {
        return acknowledge(ack_type, id, out);
    }
    let [high, low] = id.number().to_be_bytes();
    out.append(&[ack_type.packet_type().first_byte(), 3, high, low, code.number()]);
}
