//! While a session is open: packets become commands.

use alloc::borrow::Cow;

use mynah_model::{Class, DeliveryId, Instant, Reason, SubscriptionId};
use mynah_stack::{
    Command, Outbound, Publish as PublishCommand, Settle, Settlement, Step, Subscribe as SubscribeCommand,
    SubscribeRequest, Unsubscribe as UnsubscribeCommand, UnsubscribeRequest,
};

use super::answers::Culprit;
use super::{Answers, Begun, ServerConnection};
use crate::flow::Unfinished;
use crate::framing::{Unit, next_unit};
use crate::mapping::NamedFilter;
use crate::wire::properties::{Property, PropertyId};
use crate::wire::{
    Ack, AckType, AckV5, Disconnect, DisconnectV5, PacketId, PacketType, Pingreq, Pingresp, Publish,
    ReasonCode, Subscribe, SubscribeEntry, Unsubscribe,
};
use crate::{Error, Malformed, Overlapping, Refused, Violation, mapping};

/// What a packet came to.
enum Received<'b> {
    Command(Command<'b>),
    Answered,
    /// The client leaves. Whether its will is wanted.
    GoodBye {
        publish_will: bool,
    },
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
                Err(error) => return self.fail_open(error, Culprit::unread(input), out),
            };
            self.heard_at = now;
            self.partial_bytes = 0;
            // The hot path: the version is asked for once, and a publication without properties goes straight into its
            // command.
            if unit.packet_type == PacketType::Publish {
                if !self.version.has_properties() {
                    return match self.receive_publish(unit) {
                        Ok(publish) => Step::Command(Command::Publish(command(&publish, unit.body, now))),
                        Err(error) => self.fail_open(error, unit.into(), out),
                    };
                }
                match self.receive_publish_v5(unit) {
                    Ok(publish) if publish.section().is_empty() => {
                        return Step::Command(Command::Publish(command(&publish, unit.body, now)));
                    }
                    Ok(publish) => match self.receive_with_properties(now, publish, unit.body, out) {
                        Ok(Some(publish)) => return Step::Command(Command::Publish(publish)),
                        Ok(None) => continue,
                        Err(error) => return self.fail_open(error, unit.into(), out),
                    },
                    Err(error) => return self.fail_open(error, unit.into(), out),
                }
            }
            match self.receive(unit, out) {
                Ok(Received::Command(command)) => return Step::Command(command),
                Ok(Received::Answered) => {}
                Ok(Received::GoodBye { publish_will }) => {
                    return self.close_with(Reason::Disconnected, publish_will);
                }
                Err(error) => return self.fail_open(error, unit.into(), out),
            }
        }
    }

    #[inline]
    fn receive<'b>(&mut self, unit: Unit<'b>, out: &mut Outbound) -> Result<Received<'b>, Error> {
        match unit.packet_type {
            PacketType::Puback => self.receive_settlement(AckType::Puback, unit.body, Settlement::Accepted),
            PacketType::Pubrec => self.receive_settlement(AckType::Pubrec, unit.body, Settlement::Received),
            PacketType::Pubcomp => {
                self.receive_settlement(AckType::Pubcomp, unit.body, Settlement::Completed)
            }
            PacketType::Pubrel => {
                let (id, _) = self.decode_ack(AckType::Pubrel, unit.body)?;
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
            PacketType::Disconnect => self.receive_disconnect(unit.body),
            PacketType::Connect => Err(Violation::SecondConnect.into()),
            PacketType::Auth => self.receive_auth(unit.body).map(Received::Command),
            PacketType::Publish
            | PacketType::Connack
            | PacketType::Suback
            | PacketType::Unsuback
            | PacketType::Pingresp => Err(Violation::UnexpectedPacket.into()),
        }
    }

    /// Reads a PUBLISH before MQTT 5.0.
    #[inline(always)]
    fn receive_publish<'b>(&mut self, unit: Unit<'b>) -> Result<Publish<'b>, Error> {
        let publish = Publish::decode_v3(unit.flags, unit.body, self.config.settings().text_rule)?;
        self.check_publish(&publish, unit.body.len())?;
        Ok(publish)
    }

    /// Reads a PUBLISH of MQTT 5.0.
    #[inline(always)]
    fn receive_publish_v5<'b>(&mut self, unit: Unit<'b>) -> Result<Publish<'b>, Error> {
        let publish = Publish::decode_v5(unit.flags, unit.body, self.config.settings().text_rule)?;
        self.check_publish(&publish, unit.body.len())?;
        if let Some(id) = publish.packet_id {
            self.count(publish.class, id)?;
        }
        Ok(publish)
    }

    #[inline(always)]
    fn check_publish(&mut self, publish: &Publish<'_>, body_len: usize) -> Result<(), Error> {
        let settings = self.config.settings();
        if publish.class > settings.qos_max {
            return Err(Refused::Qos.into());
        }
        if publish.retain && !settings.retain_available {
            return Err(Refused::Retain.into());
        }
        if publish.class == Class::ExactlyOnce {
            self.note_begun(publish.packet_id, publish.dup, body_len)?;
        }
        Ok(())
    }

    /// Goes on with a PUBLISH that has properties. None if it is answered already.
    // By value and out of line, so that a publication without properties stays in registers.
    #[inline(never)]
    fn receive_with_properties<'b>(
        &mut self,
        now: Instant,
        publish: Publish<'b>,
        body: &'b [u8],
        out: &mut Outbound,
    ) -> Result<Option<PublishCommand<'b>>, Error> {
        let publish = &publish;
        publish.check_from_client()?;
        let receipt = publish.packet_id.map_or(0, PacketId::number);
        let with_name = match publish.topic_alias() {
            Some(alias) if publish.topic.as_bytes().is_empty() => {
                let max = self.config.settings().topic_alias_max;
                let beside = self.beside.as_ref().filter(|_| alias.get() <= max);
                let topic = match beside {
                    _ if alias.get() > max => return Err(Violation::TopicAlias.into()),
                    None => None,
                    Some(beside) => beside.inbound_aliases.get(alias),
                };
                Some(mapping::with_topic(publish, topic.ok_or(Violation::TopicAliasUnknown)?, now))
            }
            Some(alias) => {
                let max = self.config.settings().topic_alias_max;
                self.beside().inbound_aliases.set(alias, publish.topic, max)?;
                None
            }
            None => None,
        };
        if self.config.settings().payload_format_check && !is_as_it_says(publish) {
            return self.refuse_payload(publish, out);
        }
        let (header, native) = match with_name {
            Some((header, native)) => (header, Cow::Owned(native)),
            None => (mapping::header(publish, now), Cow::Borrowed(body)),
        };
        Ok(Some(PublishCommand::new(header, native, receipt)))
    }

    /// Refuses a payload that is not the text that it is said to be.
    fn refuse_payload<'b>(
        &mut self,
        publish: &Publish<'_>,
        out: &mut Outbound,
    ) -> Result<Option<PublishCommand<'b>>, Error> {
        let error = Refused::PayloadFormat;
        let ack_type = match publish.class {
            Class::AtMostOnce => return Err(error.into()),
            Class::AtLeastOnce => {
                self.unanswered = self.unanswered.saturating_sub(1);
                AckType::Puback
            }
            Class::ExactlyOnce => AckType::Pubrec,
        };
        if let Some(id) = publish.packet_id {
            let code = ReasonCode::PayloadFormatInvalid;
            self.refuse_publish(ack_type, id, code, Error::from(error), out);
        }
        Ok(None)
    }

    /// Counts a publication of MQTT 5.0 against Receive Maximum ([MQTT-3.3.4-7]); one that is repeated counts once.
    fn count(&mut self, class: Class, id: PacketId) -> Result<(), Violation> {
        let unfinished = self.beside.as_ref().map(|beside| &beside.unfinished);
        if class == Class::ExactlyOnce && unfinished.is_some_and(|unfinished| unfinished.contains(id)) {
            return Ok(());
        }
        let count = usize::from(self.unanswered) + unfinished.map_or(0, Unfinished::len);
        if count >= usize::from(self.config.settings().publications_max.get()) {
            return Err(Violation::ReceiveMaximum);
        }
        match class {
            Class::ExactlyOnce => self.beside().unfinished.begin(id),
            _ => self.unanswered += 1,
        }
        Ok(())
    }

    /// Notes a PUBLISH of QoS 2. Each repetition is answered ([MQTT-4.3.3-2]), and those after a lost connection come
    /// with DUP ([MQTT-3.3.1-1]). A client that has had two answers, and sends it again as if it were new, does not
    /// listen and would do so for ever: this closes the connection, as Mosquitto does. The session still knows the
    /// identifier, so that the message is not published twice. MQTT 5.0 demands an answer each time ([MQTT-4.3.3-10]).
    fn note_begun(&mut self, id: Option<PacketId>, dup: bool, body_len: usize) -> Result<(), Error> {
        const TIMES_MAX: u8 = 2;
        if self.version.has_properties() && self.config.settings().answers == Answers::Specification {
            return Ok(());
        }
        let Some(id) = id.filter(|_| !dup) else { return Ok(()) };
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

    /// Reads an acknowledgement: of what, and whether the client refuses it.
    #[inline]
    fn decode_ack(&self, ack_type: AckType, body: &[u8]) -> Result<(PacketId, bool), Error> {
        if self.version.has_properties() {
            let ack = AckV5::decode(ack_type, body, self.config.settings().text_rule)?;
            return Ok((ack.ack.packet_id, ack.reason_code.is_failure()));
        }
        Ok((Ack::decode(ack_type, body)?.packet_id, false))
    }

    fn receive_settlement<'b>(
        &self,
        ack_type: AckType,
        body: &[u8],
        accepted: Settlement,
    ) -> Result<Received<'b>, Error> {
        let (id, is_refused) = self.decode_ack(ack_type, body)?;
        let delivery = DeliveryId::new(id.number()).ok_or(Malformed::PacketIdZero)?;
        // What PUBCOMP says cannot be refused any more.
        let settlement = match ack_type {
            AckType::Puback | AckType::Pubrec if is_refused => Settlement::Rejected,
            _ => accepted,
        };
        Ok(Received::Command(Command::Settle(Settle { delivery, settlement })))
    }

    #[inline(never)]
    fn receive_subscribe<'b>(&self, body: &'b [u8]) -> Result<Received<'b>, Error> {
        let settings = self.config.settings();
        let subscribe =
            Subscribe::decode(body, settings.filters_per_packet_max, settings.text_rule, self.version)?;
        let number = subscribe.properties.and_then(|properties| properties.subscription_identifier);
        if number.is_some() && !settings.subscription_ids_available {
            return Err(Refused::SubscriptionIds.into());
        }
        let id = number.and_then(|number| SubscriptionId::new(number.get()));
        let request = |entry| self.subscribe_request(entry, id);
        Ok(Received::Command(Command::Subscribe(SubscribeCommand {
            receipt: subscribe.packet_id.number(),
            requests: subscribe.entries.iter().map(request).collect::<Result<_, _>>()?,
        })))
    }

    /// One entry of a SUBSCRIBE. What a client of MQTT 5.0 may know not to ask for ends the connection, and is refused to
    /// others.
    fn subscribe_request<'b>(
        &self,
        entry: &SubscribeEntry<'b>,
        id: Option<SubscriptionId>,
    ) -> Result<Result<SubscribeRequest<'b>, Reason>, Error> {
        let settings = self.config.settings();
        let allowed = NamedFilter::new(entry.filter).map_err(Error::from).and_then(|named| {
            if named.share.is_some() && !settings.shares_available {
                return Err(Refused::Shares.into());
            }
            if named.filter.as_exact().is_none() && !settings.wildcards_available {
                return Err(Refused::Wildcards.into());
            }
            Ok(named)
        });
        let named = match allowed {
            Ok(named) => named,
            Err(error) if self.version.has_properties() => return Err(error),
            Err(_) => return Ok(Err(Reason::FilterInvalid)),
        };
        let separate = settings.overlapping == Overlapping::Each;
        let class_max = entry.class_max.min(settings.qos_max);
        let entry = SubscribeEntry { class_max, ..*entry };
        Ok(mapping::subscribe_request(&entry, named, id, separate))
    }

    #[inline(never)]
    fn receive_unsubscribe<'b>(&self, body: &'b [u8]) -> Result<Received<'b>, Error> {
        let settings = self.config.settings();
        let unsubscribe =
            Unsubscribe::decode(body, settings.filters_per_packet_max, settings.text_rule, self.version)?;
        let is_v5 = self.version.has_properties();
        let request = |filter| match NamedFilter::new(filter) {
            Ok(named) => Ok(UnsubscribeRequest { filter: named.filter, share: named.share }),
            Err(violation) if is_v5 => Err(violation),
            // Nobody has subscribed to it.
            Err(_) => Ok(UnsubscribeRequest { filter, share: None }),
        };
        Ok(Received::Command(Command::Unsubscribe(UnsubscribeCommand {
            receipt: unsubscribe.packet_id.number(),
            requests: unsubscribe.filters.into_iter().map(request).collect::<Result<_, _>>()?,
        })))
    }

    /// The will is discarded ([MQTT-3.1.2-10], [MQTT-3.14.4-3]), unless a client of MQTT 5.0 says otherwise.
    #[cold]
    fn receive_disconnect<'b>(&mut self, body: &[u8]) -> Result<Received<'b>, Error> {
        if !self.version.has_properties() {
            return Disconnect::decode(body).map(|_| Received::GoodBye { publish_will: false });
        }
        let disconnect = DisconnectV5::decode(body, self.config.settings().text_rule)?;
        if let Some(seconds) = disconnect.properties.session_expiry_interval {
            // A session that was to end now cannot be kept any more (section 3.14.2.2.2).
            if seconds != 0 && self.terms.session_expiry == 0 {
                return Err(Violation::PropertyValue.into());
            }
            self.beside().expiry = Some(mapping::expiry_of_seconds(seconds));
        }
        Ok(Received::GoodBye { publish_will: disconnect.reason_code != ReasonCode::Success })
    }
}

/// A publication whose packet has this body.
#[inline(always)]
fn command<'b>(publish: &Publish<'_>, body: &'b [u8], now: Instant) -> PublishCommand<'b> {
    let receipt = publish.packet_id.map_or(0, PacketId::number);
    PublishCommand::new(mapping::header(publish, now), Cow::Borrowed(body), receipt)
}

/// Whether a payload that is said to be text is.
fn is_as_it_says(publish: &Publish<'_>) -> bool {
    publish.section().find(PropertyId::PayloadFormatIndicator) != Some(Property::PayloadFormatIndicator(true))
        || core::str::from_utf8(publish.payload).is_ok()
}
