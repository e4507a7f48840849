//! Before a session is open: CONNECT and its answer (sections 3.1.4 and 3.2).

use alloc::boxed::Box;

use mynah_model::{Instant, Reason};
use mynah_stack::{Command, Opened, Outbound, Step};

use super::{ServerConnection, State};
use crate::framing::next_unit;
use crate::wire::{Connack, Connect, ConnectReturnCode, PacketType};
use crate::{Error, Refused, UnknownLevel, Version, Violation, error, mapping};

/// CONNACK of MQTT 5.0 with reason code 0x84 and no properties: the level is not spoken here.
const UNSUPPORTED_PROTOCOL_VERSION: [u8; 5] = [PacketType::Connack.first_byte(), 3, 0, 0x84, 0];

impl ServerConnection {
    pub(super) fn step_connect<'b>(&mut self, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        match self.read_connect(input) {
            Ok(None) => Step::Idle,
            Ok(Some(connect)) => {
                self.version = connect.version;
                self.keep_alive = connect.keep_alive;
                self.state = State::Opening;
                let receive_max = self.config.settings().receive_max.get();
                Step::Command(Command::Open(Box::new(mapping::open(&connect, receive_max))))
            }
            Err(error) => {
                let unknown_level = error == Error::Refused(Refused::UnknownProtocolLevel);
                if unknown_level && self.config.settings().unknown_level == UnknownLevel::AsV5 {
                    out.append(&UNSUPPORTED_PROTOCOL_VERSION);
                } else if let Some(return_code) = error.connect_return_code() {
                    refuse(return_code, out);
                }
                self.fail(error)
            }
        }
    }

    /// Reads the first packet. What is not CONNECT shows at its first byte.
    fn read_connect<'b>(&self, input: &mut &'b [u8]) -> Result<Option<Connect<'b>>, Error> {
        let settings = self.config.settings();
        if input.first().is_some_and(|first| first >> 4 != PacketType::Connect as u8) {
            return Err(Violation::FirstPacketNotConnect.into());
        }
        let Some(unit) = next_unit(input, self.version, settings.connect_packet_bytes_max)? else {
            return Ok(None);
        };
        if Connect::version(unit.flags, unit.body)? == Version::V5 {
            return Err(Refused::ProtocolLevel.into());
        }
        let connect = Connect::decode(unit.flags, unit.body, settings.text_rule)?;
        // Without an identifier there is nothing to find a session by again ([MQTT-3.1.3-7], [MQTT-3.1.3-8]).
        let empty_allowed = connect.version.allows_empty_client_id() && settings.allow_empty_client_id;
        if connect.client_id.is_empty() && !(connect.clean_session && empty_allowed) {
            return Err(Refused::ClientId.into());
        }
        let too_long = |max: u16| connect.keep_alive == 0 || connect.keep_alive > max;
        if settings.keep_alive_max.is_some_and(|max| too_long(max.get())) {
            return Err(Refused::KeepAlive.into());
        }
        Ok(Some(connect))
    }

    /// Answers CONNECT. A refusal is the last thing that is written ([MQTT-3.2.2-5]).
    pub(super) fn handle_opened(
        &mut self,
        now: Instant,
        result: Result<Opened<'_>, Reason>,
        out: &mut Outbound,
    ) {
        match result {
            Ok(opened) => {
                let session_present = opened.session_present && self.version.tells_session_present();
                out.append(&Connack { session_present, return_code: ConnectReturnCode::Accepted }.encode());
                self.state = State::Open;
                self.heard_at = now;
            }
            Err(reason) => {
                refuse(error::connect_return_code(reason), out);
                self.close(reason);
            }
        }
    }
}

/// A refusal never claims a session ([MQTT-3.2.2-4]).
fn refuse(return_code: ConnectReturnCode, out: &mut Outbound) {
    out.append(&Connack { session_present: false, return_code }.encode());
}
