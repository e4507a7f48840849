//! What a client does with the packets of its server.

use mynah_model::{Instant, MessageView};

use super::{Client, Ending, Event, State, Waiting};
use crate::framing::{Unit, next_unit};
use crate::wire::{
    Ack, AckType, Connack, ConnectReturnCode, PacketType, Pingresp, Publish, Suback, TextRule, Unsuback,
};
use crate::{Error, Violation, mapping};

impl Client {
    /// Reads packets from `input`, advancing it past what was consumed. What is left is presented again with the
    /// bytes that follow it, and after events have been taken: the client stops reading when
    /// [`super::Options::events_max`] of them wait.
    pub fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        while self.state != State::Closed && self.events.len() < self.options.events_max {
            let result = match next_unit(input, self.options.version, self.options.packet_bytes_max) {
                Ok(None) => return,
                Ok(Some(unit)) => self.receive(now, unit),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                return self.close(Ending::Failed(error));
            }
        }
    }

    fn receive(&mut self, now: Instant, unit: Unit<'_>) -> Result<(), Error> {
        match (self.state, unit.packet_type) {
            // The first packet of a server is CONNACK ([MQTT-3.2.0-1]).
            (State::AwaitingConnack { .. }, PacketType::Connack) => {
                self.receive_connack(now, Connack::decode(unit.body, self.options.version)?);
                Ok(())
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
        self.tell(Event::Connected { session_present: connack.session_present });
        // Also to a server that lost the session: a publication that may have arrived is better than one that is lost.
        self.in_flight.resend(&mut self.out);
        self.sent_at = now;
    }

    fn receive_open(&mut self, now: Instant, unit: Unit<'_>) -> Result<(), Error> {
        let ack = |ack_type| Ack::decode(ack_type, unit.body).map(|ack| ack.packet_id);
        match unit.packet_type {
            PacketType::Publish => self.receive_publish(now, unit)?,
            PacketType::Puback => {
                let id = ack(AckType::Puback)?;
                if self.in_flight.on_puback(id)? {
                    self.tell(Event::Acknowledged { id });
                }
            }
            PacketType::Pubrec => {
                let id = ack(AckType::Pubrec)?;
                self.in_flight.on_pubrec(id)?;
                self.acknowledge(AckType::Pubrel, id);
            }
            PacketType::Pubrel => {
                let id = ack(AckType::Pubrel)?;
                self.received.remove(&id);
                self.acknowledge(AckType::Pubcomp, id);
            }
            PacketType::Pubcomp => {
                let id = ack(AckType::Pubcomp)?;
                if self.in_flight.on_pubcomp(id) {
                    self.tell(Event::Acknowledged { id });
                }
            }
            PacketType::Suback => self.receive_suback(unit.body)?,
            PacketType::Unsuback => {
                let id = Unsuback::decode(unit.body)?.packet_id;
                if self.in_flight.on_unsuback(id)? {
                    self.tell(Event::Unsubscribed { id });
                }
            }
            PacketType::Pingresp => {
                Pingresp::decode(unit.body)?;
                self.pinged_at = None;
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

    fn receive_publish(&mut self, now: Instant, unit: Unit<'_>) -> Result<(), Error> {
        let publish =
            Publish::decode(unit.flags, unit.body, TextRule::AcceptDiscouraged, self.options.version)?;
        let ack = match (publish.class.number(), publish.packet_id) {
            (1, Some(packet_id)) => Some(Ack { ack_type: AckType::Puback, packet_id }),
            (2, Some(packet_id)) => {
                // A client that was not told of a lost session knows a new message by its clear DUP.
                let may_be_new = !publish.dup && !self.options.version.tells_session_present();
                if !self.received.insert(packet_id) && !may_be_new {
                    // It came before, and is in the program's hands or on the way there ([MQTT-4.3.3-2]).
                    self.acknowledge(AckType::Pubrec, packet_id);
                    return Ok(());
                }
                Some(Ack { ack_type: AckType::Pubrec, packet_id })
            }
            _ => None,
        };
        let message = MessageView { header: &mapping::header(&publish, now), native: unit.body }.to_message();
        let event = Event::Message { message, dup: publish.dup };
        self.events.push_back(Waiting { event, ack: ack.map(|ack| (self.epoch, ack)) });
        Ok(())
    }

    fn receive_suback(&mut self, body: &[u8]) -> Result<(), Error> {
        let suback = Suback::decode(body)?;
        let id = suback.packet_id;
        if self.in_flight.on_suback(id, suback.return_codes.len())? {
            let granted = suback.return_codes.into_iter().map(Into::into).collect();
            self.tell(Event::Subscribed { id, granted });
        }
        Ok(())
    }
}
