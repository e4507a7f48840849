//! While a session is open: packets become commands, outcomes become packets.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use mynah_model::{Class, DeliveryId, Instant, Reason};
use mynah_stack::{
    Close, Command, Outbound, Outcome, Publish as PublishCommand, Settle, Settlement, Step,
    Subscribe as SubscribeCommand, SubscribeResult, Unsubscribe as UnsubscribeCommand, UnsubscribeRequest,
};

use super::{Begun, ServerConnection, acknowledge, release};
use crate::error::{PublishReaction, publish_reaction, subscribe_return_code};
use crate::framing::{Unit, next_unit};
use crate::wire::{
    Ack, AckType, Disconnect, PacketId, PacketType, Pingreq, Pingresp, Publish, Suback, Subscribe, Unsuback,
    Unsubscribe,
};
use crate::{Error, Violation, mapping};

/// What a packet came to.
enum Received<'b> {
    Command(Command<'b>),
    Answered,
    GoodBye,
}

impl ServerConnection {
    /// Reads packets until one is a matter of the core, or the input ends.
    #[inline]
    pub(super) fn step_open<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Step<'b> {
        loop {
            let unit = match next_unit(input, self.version, self.config.settings().packet_bytes_max) {
                Ok(Some(unit)) => unit,
                Ok(None) => {
                    self.note_partial(now, input.len());
                    return Step::Idle;
                }
                Err(error) => return self.fail(error),
            };
            self.heard_at = now;
            self.partial_bytes = 0;
            // The hot path: a publication is moved once, straight into its command.
            if unit.packet_type == PacketType::Publish {
                return match self.receive_publish(now, unit) {
                    Ok(publish) => Step::Command(Command::Publish(publish)),
                    Err(error) => self.fail(error),
                };
            }
            match self.receive(now, unit, out) {
                Ok(Received::Command(command)) => return Step::Command(command),
                Ok(Received::Answered) => {}
                Ok(Received::GoodBye) => {
                    // The will is discarded ([MQTT-3.1.2-10], [MQTT-3.14.4-3]).
                    return self.close_with(Close::new(Reason::Disconnected, false));
                }
                Err(error) => return self.fail(error),
            }
        }
    }

    #[inline]
    fn receive<'b>(
        &mut self,
        now: Instant,
        unit: Unit<'b>,
        out: &mut Outbound,
    ) -> Result<Received<'b>, Error> {
        match unit.packet_type {
            PacketType::Publish => {
                self.receive_publish(now, unit).map(Command::Publish).map(Received::Command)
            }
            PacketType::Puback => settle(AckType::Puback, unit.body, Settlement::Accepted),
            PacketType::Pubrec => settle(AckType::Pubrec, unit.body, Settlement::Received),
            PacketType::Pubcomp => settle(AckType::Pubcomp, unit.body, Settlement::Completed),
            PacketType::Pubrel => {
                let id = Ack::decode(AckType::Pubrel, unit.body)?.packet_id;
                self.begun = self.begun.filter(|begun| begun.id != id);
                Ok(Received::Command(Command::Complete { receipt: id.number() }))
            }
            PacketType::Subscribe => self.receive_subscribe(unit.body),
            PacketType::Unsubscribe => self.receive_unsubscribe(unit.body),
            PacketType::Pingreq => {
                Pingreq::decode(unit.body)?;
                out.append(&Pingresp.encode());
                Ok(Received::Answered)
            }
            PacketType::Disconnect => Disconnect::decode(unit.body).map(|_| Received::GoodBye),
            PacketType::Connect => Err(Violation::SecondConnect.into()),
            PacketType::Connack
            | PacketType::Suback
            | PacketType::Unsuback
            | PacketType::Pingresp
            | PacketType::Auth => Err(Violation::UnexpectedPacket.into()),
        }
    }

    #[inline]
    fn receive_publish<'b>(&mut self, now: Instant, unit: Unit<'b>) -> Result<PublishCommand<'b>, Error> {
        let publish = Publish::decode(unit.flags, unit.body, self.config.settings().text_rule, self.version)?;
        if publish.class == Class::ExactlyOnce {
            self.note_begun(&publish, unit.body.len())?;
        }
        Ok(PublishCommand {
            header: mapping::header(&publish, now),
            native: Cow::Borrowed(unit.body),
            receipt: publish.packet_id.map_or(0, PacketId::number),
        })
    }

    /// Notes a PUBLISH of QoS 2. Each repetition is answered ([MQTT-4.3.3-2]), and those after a lost connection come
    /// with DUP ([MQTT-3.3.1-1]). A client that has had two answers, and sends it again as if it were new, does not
    /// listen and would do so for ever: this closes the connection, as Mosquitto does. The session still knows the
    /// identifier, so that the message is not published twice.
    fn note_begun(&mut self, publish: &Publish<'_>, body_len: usize) -> Result<(), Error> {
        const TIMES_MAX: u8 = 2;
        let Some(id) = publish.packet_id.filter(|_| !publish.dup) else { return Ok(()) };
        // The remaining length of a packet has 28 bits.
        let body_len = body_len as u32;
        let same = self.begun.filter(|begun| (begun.id, begun.body_len) == (id, body_len));
        let times = same.map_or(1, |begun| begun.times + 1);
        if times > TIMES_MAX {
            return Err(Violation::RepeatedWithoutDup.into());
        }
        self.begun = Some(Begun { id, body_len, times });
        Ok(())
    }

    fn receive_subscribe<'b>(&self, body: &'b [u8]) -> Result<Received<'b>, Error> {
        let settings = self.config.settings();
        let subscribe =
            Subscribe::decode(body, settings.filters_per_packet_max, settings.text_rule, self.version)?;
        Ok(Received::Command(Command::Subscribe(SubscribeCommand {
            receipt: subscribe.packet_id.number(),
            requests: subscribe.entries.iter().map(mapping::subscribe_request).collect(),
        })))
    }

    fn receive_unsubscribe<'b>(&self, body: &'b [u8]) -> Result<Received<'b>, Error> {
        let settings = self.config.settings();
        let unsubscribe =
            Unsubscribe::decode(body, settings.filters_per_packet_max, settings.text_rule, self.version)?;
        let request = |filter| UnsubscribeRequest { filter, share: None };
        Ok(Received::Command(Command::Unsubscribe(UnsubscribeCommand {
            receipt: unsubscribe.packet_id.number(),
            requests: unsubscribe.filters.into_iter().map(request).collect(),
        })))
    }

    pub(super) fn handle_open_outcome(&mut self, outcome: Outcome<'_>, out: &mut Outbound) {
        match outcome {
            Outcome::Published { receipt, class, result } => {
                self.handle_published(receipt, class, result, out);
            }
            Outcome::Completed { receipt } => {
                if let Some(id) = PacketId::new(receipt) {
                    acknowledge(AckType::Pubcomp, id, out);
                }
            }
            Outcome::Subscribed { receipt, results } => answer_subscribe(receipt, results, out),
            Outcome::Unsubscribed { receipt, .. } => {
                // Also if no filter was there ([MQTT-3.10.4-5]).
                if let Some(packet_id) = PacketId::new(receipt) {
                    out.append(&Unsuback { packet_id }.encode());
                }
            }
            Outcome::Received { id } => release(id, out),
            // Nothing of this is asked for by this protocol while open, and the end is handled for all states.
            Outcome::Opened(_)
            | Outcome::Challenge(_)
            | Outcome::Authenticated(_)
            | Outcome::Value(_)
            | Outcome::Ended(_) => {}
        }
    }

    fn handle_published(
        &mut self,
        receipt: u16,
        class: Class,
        result: Result<bool, Reason>,
        out: &mut Outbound,
    ) {
        if let Err(reason) = result
            && publish_reaction(reason) == PublishReaction::Close
        {
            self.close(reason);
            return;
        }
        let Some(id) = PacketId::new(receipt) else { return };
        match class {
            Class::AtMostOnce => {}
            Class::AtLeastOnce => acknowledge(AckType::Puback, id, out),
            Class::ExactlyOnce => acknowledge(AckType::Pubrec, id, out),
        }
    }
}

fn settle<'b>(ack_type: AckType, body: &[u8], settlement: Settlement) -> Result<Received<'b>, Error> {
    let number = Ack::decode(ack_type, body)?.packet_id.number();
    let delivery = DeliveryId::new(number).ok_or(crate::Malformed::PacketIdZero)?;
    Ok(Received::Command(Command::Settle(Settle { delivery, settlement })))
}

/// One code for each filter, in the order of the SUBSCRIBE ([MQTT-3.8.4-5]).
fn answer_subscribe(receipt: u16, results: &[SubscribeResult], out: &mut Outbound) {
    let Some(packet_id) = PacketId::new(receipt) else { return };
    let return_codes = results.iter().copied().map(subscribe_return_code).collect();
    let mut packet = Vec::new();
    Suback { packet_id, return_codes }.encode(&mut packet);
    out.append(&packet);
}
