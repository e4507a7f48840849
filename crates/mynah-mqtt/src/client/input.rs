//! What a client does with the packets of its server.

use alloc::vec::Vec;

use mynah_model::{Instant, MessageView, SubscriptionId};

use super::terms::PACKET_BYTES_MAX;
use super::{Client, Ending, Event, Given, OwnedSection, State, Terms, Waiting};
use crate::framing::{Unit, next_unit};
use crate::wire::properties::{Property, PropertyId, Section};
use crate::wire::{
    Ack, AckType, AckV5, Auth, Connack, ConnackV5, ConnectReturnCode, DisconnectV5, PacketId, PacketType,
    Pingresp, Publish, ReasonCode, Suback, SubackV5, TextRule, Unsuback, UnsubackV5,
};
use crate::{Error, Malformed, Refused, Violation, mapping};

/// Bytes of the largest acknowledgement that a client writes: a server that does not take it takes nothing.
const ACK_BYTES_MAX: usize = 5;

/// A client takes what servers forward of others.
const RULE: TextRule = TextRule::AcceptDiscouraged;

impl Client {
    /// Reads packets from `input`, advancing it past what was consumed. What is left is presented again with the
    /// bytes that follow it, and after events have been taken: the client stops reading when
    /// [`super::Options::events_max`] of them wait.
    pub fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        while self.state != State::Closed && self.events.len() < self.options.events_max {
            let limit = self.options.packet_bytes_max.min(PACKET_BYTES_MAX);
            let result = match next_unit(input, self.options.version, limit) {
                Ok(None) => return,
                Ok(Some(unit)) => self.receive(now, unit),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                return self.fail(error);
            }
        }
    }

    fn receive(&mut self, now: Instant, unit: Unit<'_>) -> Result<(), Error> {
        let has_properties = self.options.version.has_properties();
        match (self.state, unit.packet_type) {
            // The first packet of a server is CONNACK ([MQTT-3.2.0-1]), or an exchange of authentication comes before.
            (State::AwaitingConnack { .. }, PacketType::Connack) if has_properties => {
                self.receive_connack_v5(now, unit.body)
            }
            (State::AwaitingConnack { .. }, PacketType::Connack) => {
                self.receive_connack(now, Connack::decode(unit.body, self.options.version)?);
                Ok(())
            }
            (State::AwaitingConnack { .. } | State::Open, PacketType::Auth) => {
                self.receive_auth(now, unit.body)
            }
            (State::Open, _) => self.receive_open(now, unit),
            (State::AwaitingConnack { .. } | State::Closed, _) => Err(Violation::UnexpectedPacket.into()),
        }
    }

    fn receive_connack(&mut self, now: Instant, connack: Connack) {
        if connack.return_code != ConnectReturnCode::Accepted {
            return self.close(Ending::Refused(connack.return_code));
        }
        self.state = State::Open;
        if !connack.session_present && self.options.version.tells_session_present() {
            // The server will give the identifiers of its earlier messages to others.
            self.received.clear();
        }
        let (session_present, properties) = (connack.session_present, OwnedSection::default());
        self.tell(Event::Connected { session_present, properties });
        // Also to a server that lost the session: a publication that may have arrived is better than one that is lost.
        self.in_flight.resume(&mut self.out);
        self.sent_at = now;
        self.send_waiting(now);
    }

    fn receive_connack_v5(&mut self, now: Instant, body: &[u8]) -> Result<(), Error> {
        // A server that does not speak MQTT 5.0 says so in its own words.
        if let Ok(Connack { return_code: ConnectReturnCode::UnacceptableProtocolLevel, .. }) =
            Connack::decode(body, crate::Version::V3_1_1)
        {
            self.close(Ending::Refused(ConnectReturnCode::UnacceptableProtocolLevel));
            return Ok(());
        }
        let connack = ConnackV5::decode(body, RULE)?;
        let said = connack.properties;
        self.check_method(said.authentication_method)?;
        let properties: OwnedSection = said.iter().collect();
        if connack.reason_code != ReasonCode::Success {
            self.close_with(Ending::NotAdmitted(connack.reason_code), properties);
            return Ok(());
        }
        self.terms = Terms::from(&said);
        if self.terms.packet_bytes_max < ACK_BYTES_MAX {
            return Err(Refused::PacketTooLarge.into());
        }
        self.state = State::Open;
        // [MQTT-3.2.2-4]
        if connack.session_present && self.options.clean_session {
            return Err(Violation::UnexpectedSession.into());
        }
        self.given = Given::new(self.options.v5.given_aliases_max.min(self.terms.topic_alias_max));
        if let Some(seconds) = said.server_keep_alive {
            self.keep_alive = seconds;
        }
        if let Some(id) = said.assigned_client_identifier.filter(|_| self.options.client_id.is_empty()) {
            self.options.client_id = id.into();
        }
        self.tell(Event::Connected { session_present: connack.session_present, properties });
        self.resume(now, connack.session_present);
        Ok(())
    }

    /// Goes on with what an earlier connection left, in a session of the server or in a new one.
    fn resume(&mut self, now: Instant, session_present: bool) {
        if !session_present {
            self.received.clear();
            for id in self.in_flight.lose_session() {
                self.tell_acknowledged(id, ReasonCode::Success, OwnedSection::default());
            }
        }
        for (id, code) in self.in_flight.drop_refused(&self.terms) {
            self.tell_acknowledged(id, code, OwnedSection::default());
        }
        self.in_flight.resume(&mut self.out);
        self.sent_at = now;
        self.send_waiting(now);
    }

    /// Checks that a server speaks of the method that CONNECT named, and of none if it named none.
    fn check_method(&self, method: Option<&str>) -> Result<(), Error> {
        let asked = self.options.v5.authentication.as_ref().map(|authentication| &*authentication.method);
        match method {
            Some(_) if method != asked => Err(Violation::PropertyValue.into()),
            _ => Ok(()),
        }
    }

    fn receive_auth(&mut self, now: Instant, body: &[u8]) -> Result<(), Error> {
        if self.options.v5.authentication.is_none() {
            return Err(Violation::UnexpectedPacket.into());
        }
        let auth = Auth::decode(body, RULE)?;
        self.check_method(auth.properties.authentication_method)?;
        let properties = auth.properties.iter().collect();
        match (auth.reason_code, &mut self.state) {
            (ReasonCode::ContinueAuthentication, state) => {
                if let State::AwaitingConnack { since } = state {
                    *since = now;
                }
                self.tell(Event::Challenge { properties });
                Ok(())
            }
            // Before the connection is open CONNACK tells of success.
            (ReasonCode::Success, State::Open) => {
                self.tell(Event::Authenticated { properties });
                Ok(())
            }
            _ => Err(Violation::UnexpectedPacket.into()),
        }
    }

    fn receive_open(&mut self, now: Instant, unit: Unit<'_>) -> Result<(), Error> {
        match unit.packet_type {
            PacketType::Publish => self.receive_publish(now, unit)?,
            PacketType::Puback => self.receive_ack(now, AckType::Puback, unit.body)?,
            PacketType::Pubrec => self.receive_ack(now, AckType::Pubrec, unit.body)?,
            PacketType::Pubrel => self.receive_ack(now, AckType::Pubrel, unit.body)?,
            PacketType::Pubcomp => self.receive_ack(now, AckType::Pubcomp, unit.body)?,
            PacketType::Suback => self.receive_suback(unit.body)?,
            PacketType::Unsuback => self.receive_unsuback(unit.body)?,
            PacketType::Pingresp => {
                Pingresp::decode(unit.body)?;
                self.pinged_at = None;
            }
            PacketType::Disconnect if self.options.version.has_properties() => {
                self.receive_disconnect(unit.body)?;
            }
            PacketType::Connect
            | PacketType::Connack
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::Pingreq
            | PacketType::Disconnect
            | PacketType::Auth => return Err(Violation::UnexpectedPacket.into()),
        }
        Ok(())
    }

    fn receive_ack(&mut self, now: Instant, ack_type: AckType, body: &[u8]) -> Result<(), Error> {
        let (id, code, properties) = if self.options.version.has_properties() {
            let AckV5 { ack, reason_code, properties } = AckV5::decode(ack_type, body, RULE)?;
            (ack.packet_id, reason_code, properties.iter().collect())
        } else {
            (Ack::decode(ack_type, body)?.packet_id, ReasonCode::Success, OwnedSection::default())
        };
        let is_over = match ack_type {
            AckType::Puback => self.in_flight.on_puback(id)?,
            AckType::Pubrec if code.is_failure() => self.in_flight.on_refusal(id)?,
            AckType::Pubrec => {
                let is_known = self.in_flight.on_pubrec(id)?;
                self.acknowledge(AckType::Pubrel, id, is_known);
                false
            }
            AckType::Pubrel => {
                let epoch = self.received.remove(&id);
                if epoch == Some(self.epoch) {
                    self.unacknowledged -= 1;
                }
                self.acknowledge(AckType::Pubcomp, id, epoch.is_some());
                false
            }
            AckType::Pubcomp => self.in_flight.on_pubcomp(id),
        };
        if is_over {
            self.tell_acknowledged(id, code, properties);
            self.send_waiting(now);
        }
        Ok(())
    }

    /// Goes on in an exchange of QoS 2; in MQTT 5.0 it says if it does not know of it.
    fn acknowledge(&mut self, ack_type: AckType, packet_id: PacketId, is_known: bool) {
        if is_known || !self.options.version.has_properties() {
            self.out.append(&Ack { ack_type, packet_id }.encode());
            return;
        }
        let mut packet = Vec::new();
        let ack = AckV5::new(ack_type, packet_id, ReasonCode::PacketIdentifierNotFound);
        if ack.encode(self.terms.packet_bytes_max, &mut packet) {
            self.out.append(&packet);
        }
    }

    fn tell_acknowledged(&mut self, id: PacketId, reason_code: ReasonCode, properties: OwnedSection) {
        self.tell(Event::Acknowledged { id, reason_code, properties });
    }

    fn receive_publish(&mut self, now: Instant, unit: Unit<'_>) -> Result<(), Error> {
        let publish = Publish::decode(unit.flags, unit.body, RULE, self.options.version)?;
        let named = self.taken.resolve(&publish)?;
        let message = match named {
            Some(topic) => {
                let (header, native) = mapping::with_topic(&publish, topic, now);
                MessageView { header: &header, native: &native }.to_message()
            }
            None => MessageView { header: &mapping::header(&publish, now), native: unit.body }.to_message(),
        };
        let ack = match (publish.class.number(), publish.packet_id) {
            (1, Some(packet_id)) => {
                self.count_unacknowledged()?;
                Some(Ack { ack_type: AckType::Puback, packet_id })
            }
            (2, Some(packet_id)) => {
                let before = self.received.insert(packet_id, self.epoch);
                if before != Some(self.epoch) {
                    self.count_unacknowledged()?;
                }
                // A client that was not told of a lost session knows a new message by its clear DUP.
                let may_be_new = !publish.dup && !self.options.version.tells_session_present();
                if before.is_some() && !may_be_new {
                    // It came before, and is in the program's hands or on the way there ([MQTT-4.3.3-2]).
                    self.acknowledge(AckType::Pubrec, packet_id, true);
                    return Ok(());
                }
                Some(Ack { ack_type: AckType::Pubrec, packet_id })
            }
            _ => None,
        };
        let subscription_ids = subscription_ids(publish.section());
        let event = Event::Message { message, dup: publish.dup, subscription_ids };
        self.events.push_back(Waiting { event, ack: ack.map(|ack| (self.epoch, ack)) });
        Ok(())
    }

    /// Counts a message of the server against what the client takes at a time ([MQTT-3.3.4-9]).
    fn count_unacknowledged(&mut self) -> Result<(), Violation> {
        let max =
            if self.options.version.has_properties() { self.options.v5.receive_max.get() } else { u16::MAX };
        self.unacknowledged = self.unacknowledged.checked_add(1).ok_or(Violation::ReceiveMaximum)?;
        if self.unacknowledged > max { Err(Violation::ReceiveMaximum) } else { Ok(()) }
    }

    fn receive_suback(&mut self, body: &[u8]) -> Result<(), Error> {
        let (id, granted, properties): (_, Vec<_>, _) = if self.options.version.has_properties() {
            let suback = SubackV5::decode(body, RULE)?;
            let granted = suback.reason_codes.iter().map(|&code| code.to_granted()).collect();
            (suback.packet_id, granted, suback.properties.iter().collect())
        } else {
            let suback = Suback::decode(body)?;
            let granted = |code| Option::from(code).ok_or(ReasonCode::UnspecifiedError);
            let granted = suback.return_codes.into_iter().map(granted).collect();
            (suback.packet_id, granted, OwnedSection::default())
        };
        if self.in_flight.on_suback(id, granted.len())? {
            self.tell(Event::Subscribed { id, granted, properties });
        }
        Ok(())
    }

    fn receive_unsuback(&mut self, body: &[u8]) -> Result<(), Error> {
        let (id, reason_codes, properties) = if self.options.version.has_properties() {
            let unsuback = UnsubackV5::decode(body, RULE)?;
            (unsuback.packet_id, unsuback.reason_codes, unsuback.properties.iter().collect())
        } else {
            (Unsuback::decode(body)?.packet_id, Vec::new(), OwnedSection::default())
        };
        let codes = self.options.version.has_properties().then_some(reason_codes.len());
        if self.in_flight.on_unsuback(id, codes)? {
            self.tell(Event::Unsubscribed { id, reason_codes, properties });
        }
        Ok(())
    }

    fn receive_disconnect(&mut self, body: &[u8]) -> Result<(), Error> {
        let DisconnectV5 { reason_code, properties } = DisconnectV5::decode(body, RULE)?;
        // Only a client says this ([MQTT-3.14.2-2] and section 3.14.2.1).
        if properties.session_expiry_interval.is_some() {
            return Err(Malformed::PropertyMisplaced.into());
        }
        if reason_code == ReasonCode::DisconnectWithWill {
            return Err(Violation::ReasonCode.into());
        }
        self.close_with(Ending::Dismissed(reason_code), properties.iter().collect());
        Ok(())
    }
}

fn subscription_ids(section: Section<'_>) -> Vec<SubscriptionId> {
    if !section.has(PropertyId::SubscriptionIdentifier) {
        return Vec::new();
    }
    let number = |property| match property {
        Property::SubscriptionIdentifier(number) => SubscriptionId::new(number.get()),
        _ => None,
    };
    section.iter().filter_map(number).collect()
}
