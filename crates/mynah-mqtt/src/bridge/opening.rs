//! Until the session is open: CONNECT and CONNACK with the remote broker, then the session here.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::{Expiry, Instant, Reason};
use mynah_stack::{Command, Open, Opened, Outbound, SessionRequest, Step};

use super::{BridgeConnection, State};
use crate::client::{Ending, Terms};
use crate::framing::{FixedHeader, next_unit};
use crate::wire::properties::SubscribeProperties;
use crate::wire::{
    Connack, ConnackV5, ConnectReturnCode, PacketType, ReasonCode, RetainHandling, Subscribe, SubscribeEntry,
    TextRule,
};
use crate::{Error, Refused, Version, Violation};

/// The bit of the protocol level by which a bridge tells a broker of MQTT 3.1.1 what it is.
const BRIDGE: u8 = 0x80;

/// Bytes of the largest acknowledgement.
const ACK_BYTES_MAX: usize = 5;

/// Sets the bit in a CONNECT of MQTT 3.1.1; others have no such bit.
pub(super) fn set_bridge_bit(connect: &mut [u8]) {
    let Ok(Some(header)) = FixedHeader::decode(connect, Version::V3_1_1) else { return };
    let level = header.header_len + 2 + Version::V3_1_1.protocol_name().len();
    if let Some(level) = connect.get_mut(level).filter(|level| **level == Version::V3_1_1.protocol_level()) {
        *level |= BRIDGE;
    }
}

impl BridgeConnection {
    /// Waits for CONNACK, and asks for the session when the remote broker lets the bridge in.
    pub(super) fn step_connack<'b>(&mut self, now: Instant, input: &mut &'b [u8]) -> Step<'b> {
        match self.receive_connack(input) {
            Ok(None) => Step::Idle,
            Ok(Some(Ok(()))) => {
                self.state = State::Opening { since: now };
                self.shared.settings.watch.connected();
                Step::Command(Command::Open(Box::new(self.request())))
            }
            Ok(Some(Err(ending))) => self.end(Reason::Disconnected, ending),
            Err(error) => self.end(error.reason(), Ending::Failed(error)),
        }
    }

    fn receive_connack(&mut self, input: &mut &[u8]) -> Result<Option<Result<(), Ending>>, Error> {
        let (version, size_max) = (self.options().version, self.options().packet_bytes_max);
        let Some(unit) = next_unit(input, version, size_max)? else { return Ok(None) };
        if unit.packet_type != PacketType::Connack {
            return Err(Violation::UnexpectedPacket.into());
        }
        let is_older = self.is_v5() && unit.body.len() == 2;
        if !self.is_v5() || is_older {
            let version = if is_older { Version::V3_1_1 } else { version };
            let connack = Connack::decode(unit.body, version)?;
            if connack.return_code != ConnectReturnCode::Accepted || is_older {
                return Ok(Some(Err(Ending::Refused(connack.return_code))));
            }
            self.session_present = connack.session_present;
            return Ok(Some(Ok(())));
        }
        let connack = ConnackV5::decode(unit.body, TextRule::AcceptDiscouraged)?;
        if connack.reason_code != ReasonCode::Success {
            return Ok(Some(Err(Ending::NotAdmitted(connack.reason_code))));
        }
        self.session_present = connack.session_present;
        self.terms = Terms::from(&connack.properties);
        if self.terms.packet_bytes_max < ACK_BYTES_MAX {
            return Err(Refused::PacketTooLarge.into());
        }
        if connack.session_present && self.options().clean_session {
            return Err(Violation::UnexpectedSession.into());
        }
        self.keep_alive = connack.properties.server_keep_alive.unwrap_or(self.keep_alive);
        Ok(Some(Ok(())))
    }

    /// The session here: its unconfirmed deliveries are those that the remote broker takes.
    fn request(&self) -> Open {
        let settings = &self.shared.settings;
        let is_clean = settings.options.clean_session;
        let session = SessionRequest {
            client_id: settings.session.clone(),
            clean_start: is_clean,
            expiry: if is_clean { Expiry::WithConnection } else { Expiry::Never },
        };
        Open { session: Some(session), ..Open::new(settings.receive_max.min(self.terms.receive_max)) }
    }

    pub(super) fn handle_opened(
        &mut self,
        now: Instant,
        result: Result<Opened<'_>, Reason>,
        out: &mut Outbound,
    ) {
        match result {
            Ok(_) => {
                self.state = State::Open;
                self.sent_at = now;
                self.subscribe(now, out);
            }
            Err(reason) => {
                self.take_leave(ReasonCode::Success, out);
                self.end(reason, Ending::Disconnected);
            }
        }
    }

    /// Subscribes at the remote broker to what is to come in.
    fn subscribe(&mut self, now: Instant, out: &mut Outbound) {
        let has_options = self.is_v5();
        let entry = |rule: &super::Rule| SubscribeEntry {
            no_local: has_options,
            retain_as_published: has_options,
            retain_handling: RetainHandling::SendIfNew,
            ..SubscribeEntry::new(rule.remote.filter, rule.class_max)
        };
        let entries: Vec<_> = self.shared.rules.iter().filter(|rule| rule.is_in()).map(entry).collect();
        if entries.is_empty() {
            return;
        }
        let properties = has_options.then(SubscribeProperties::default);
        let mut packet = Vec::new();
        Subscribe { packet_id: self.subscribe_id, properties, entries }.encode(&mut packet);
        if packet.len() > self.terms.packet_bytes_max {
            self.fail(Refused::PacketTooLarge.into(), out);
            return;
        }
        self.send(now, &packet, out);
        self.subscribing = true;
    }
}
