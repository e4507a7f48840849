//! Enhanced authentication (section 4.12 of MQTT 5.0): AUTH before CONNACK and after.

use mynah_model::Reason;
use mynah_stack::{Command, Exchange, Outbound, Step};

use super::{ServerConnection, State};
use crate::flow::Turn;
use crate::framing::next_unit;
use crate::wire::properties::AuthProperties;
use crate::wire::{Auth, ConnectField, PacketType, ReasonCode};
use crate::{Error, Violation};

impl ServerConnection {
    /// Reads what a client says before CONNACK that has been challenged: AUTH, or that it leaves ([MQTT-3.1.2-30]).
    pub(super) fn step_challenged<'b>(&mut self, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        let unit = match next_unit(input, self.version, self.config.settings().connect_packet_bytes_max) {
            Ok(Some(unit)) => unit,
            Ok(None) => return Step::Idle,
            Err(error) => return self.refuse_error(error, ConnectField::End, out),
        };
        let heard = match unit.packet_type {
            PacketType::Auth => self.receive_auth(unit.body),
            PacketType::Disconnect => return self.close_with(Reason::Disconnected, false),
            _ => Err(Violation::UnexpectedPacket.into()),
        };
        match heard {
            Ok(command) => {
                self.state = State::Opening;
                Step::Command(command)
            }
            Err(error) => self.refuse_error(error, ConnectField::End, out),
        }
    }

    /// Reads a step of the client's authentication.
    pub(super) fn receive_auth<'b>(&mut self, body: &[u8]) -> Result<Command<'b>, Error> {
        let text_rule = self.config.settings().text_rule;
        let exchanging = self.exchanging().ok_or(Violation::AuthenticationStep)?;
        let auth = Auth::decode(body, text_rule)?;
        exchanging.hear(&auth)?;
        let data = auth.properties.authentication_data.unwrap_or_default();
        Ok(Command::Authenticate(alloc::boxed::Box::new(Exchange {
            method: exchanging.method().into(),
            data: data.into(),
        })))
    }

    /// Asks the client to go on ([MQTT-4.12.0-2]).
    pub(super) fn challenge(&mut self, data: &[u8], out: &mut Outbound) {
        self.say_auth(ReasonCode::ContinueAuthentication, Some(data), Turn::Client, out);
    }

    /// The end of an exchange of an open session.
    pub(super) fn handle_authenticated(&mut self, result: Result<Option<&[u8]>, Reason>, out: &mut Outbound) {
        match result {
            Ok(data) => self.say_auth(ReasonCode::Success, data, Turn::Over, out),
            Err(reason) => {
                self.take_leave(reason, out);
                self.close(reason);
            }
        }
    }

    fn say_auth(&mut self, reason_code: ReasonCode, data: Option<&[u8]>, turn: Turn, out: &mut Outbound) {
        let Some(exchanging) = self.exchanging() else { return };
        exchanging.turn = turn;
        let method = alloc::string::String::from(exchanging.method());
        let properties = AuthProperties {
            authentication_method: Some(&method),
            authentication_data: data,
            ..AuthProperties::default()
        };
        let auth = Auth { reason_code, properties };
        if !self.write(out, |size_max, packet| auth.encode(size_max, packet)) {
            // The client cannot be told what it needs.
            self.close(Reason::TooLarge);
        }
    }
}
