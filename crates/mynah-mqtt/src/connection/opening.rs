//! Before a session is open: CONNECT and its answer (sections 3.1.4 and 3.2).

use alloc::boxed::Box;

use core::num::NonZeroU32;

use mynah_model::{Expiry, Instant, Reason};
use mynah_stack::{Command, Opened, Outbound, Step};

use super::{ServerConnection, State, Terms};
use crate::flow::{Exchanging, OutboundAliases, Turn};
use crate::framing::{REMAINING_LENGTH_MAX, next_unit};
use crate::wire::properties::ConnackProperties;
use crate::wire::{Connack, ConnackV5, Connect, ConnectField, ConnectReturnCode, PacketType, ReasonCode};
use crate::{Error, Refused, Settings, UnknownLevel, Violation, error, mapping};

/// CONNACK of MQTT 5.0 with reason code 0x84 and no properties: the level is not spoken here.
const UNSUPPORTED_PROTOCOL_VERSION: [u8; 5] = [PacketType::Connack.first_byte(), 3, 0, 0x84, 0];

impl ServerConnection {
    pub(super) fn step_connect<'b>(&mut self, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        let mut field = ConnectField::Start;
        match self.read_connect(input, &mut field) {
            Ok(None) => Step::Idle,
            Ok(Some(connect)) => {
                self.state = State::Opening;
                let receive_max = self.config.settings().receive_max.get();
                Step::Command(Command::Open(Box::new(mapping::open(&connect, receive_max))))
            }
            Err(error) => self.refuse_error(error, field, out),
        }
    }

    /// Reads the first packet. What is not CONNECT shows at its first byte. After an error, `field` is where it is.
    fn read_connect<'b>(
        &mut self,
        input: &mut &'b [u8],
        field: &mut ConnectField,
    ) -> Result<Option<Connect<'b>>, Error> {
        let settings = self.config.settings();
        if input.first().is_some_and(|first| first >> 4 != PacketType::Connect as u8) {
            return Err(Violation::FirstPacketNotConnect.into());
        }
        let Some(unit) = next_unit(input, self.version, settings.connect_packet_bytes_max)? else {
            return Ok(None);
        };
        self.version = Connect::version(unit.body).unwrap_or_default();
        let connect = Connect::decode_noting(unit.flags, unit.body, settings.text_rule, field)?;
        if connect.version.has_properties() {
            self.agree(&connect);
        }
        let config = &self.config;
        check_connect(&connect, config.settings())?;
        if !self.terms.keep_alive_replaced {
            self.keep_alive = connect.keep_alive;
        }
        Ok(Some(connect))
    }

    /// Notes what a client of MQTT 5.0 wants.
    fn agree(&mut self, connect: &Connect<'_>) {
        let properties = &connect.properties;
        let settings = self.config.settings();
        let aliases_max = properties.topic_alias_maximum.unwrap_or(0).min(settings.outbound_topic_alias_max);
        // Not to promise anything is to ask for more.
        let keep_alive_max = settings.keep_alive_max.map(core::num::NonZeroU16::get);
        let too_long = keep_alive_max.filter(|&max| connect.keep_alive == 0 || connect.keep_alive > max);
        self.terms = Terms {
            packet_bytes_max: properties.maximum_packet_size.map_or(u32::MAX, NonZeroU32::get),
            session_expiry: properties.session_expiry_interval.unwrap_or(0),
            problem_information: properties.request_problem_information.unwrap_or(true),
            response_information: properties.request_response_information.unwrap_or(false),
            keep_alive_replaced: too_long.is_some(),
            gives_aliases: aliases_max > 0,
        };
        if let Some(max) = too_long {
            self.keep_alive = max;
        }
        if aliases_max > 0 {
            self.beside().outbound_aliases = Some(OutboundAliases::new(aliases_max));
        }
        if let Some(method) = properties.authentication_method {
            self.beside().exchanging = Some(Exchanging::new(method));
        }
    }

    /// Ends a connection that has no session yet because of an error in what the client sent.
    #[cold]
    pub(super) fn refuse_error<'b>(
        &mut self,
        error: Error,
        field: ConnectField,
        out: &mut Outbound,
    ) -> Step<'b> {
        let settings = self.config.settings();
        let unknown_level = error == Error::Refused(Refused::UnknownProtocolLevel);
        if unknown_level && settings.unknown_level == UnknownLevel::AsV5 {
            out.append(&UNSUPPORTED_PROTOCOL_VERSION);
        } else if self.version.has_properties() {
            if let Some(code) = settings.answers.connack_code(error, field) {
                self.refuse_with(code, error, out);
            }
        } else if let Some(return_code) = error.connect_return_code() {
            refuse(return_code, out);
        }
        self.fail(error)
    }

    /// Answers CONNECT. A refusal is the last thing that is written ([MQTT-3.2.2-5]).
    pub(super) fn handle_opened(
        &mut self,
        now: Instant,
        result: Result<Opened<'_>, Reason>,
        out: &mut Outbound,
    ) {
        match result {
            Ok(opened) if self.version.has_properties() => {
                if !self.accept(&opened, out) {
                    // The client cannot be told that it is let in.
                    self.close(Reason::TooLarge);
                    return;
                }
                self.terms.session_expiry = mapping::seconds_of_expiry(opened.expiry);
            }
            Ok(opened) => {
                let session_present = opened.session_present && self.version.tells_session_present();
                out.append(&Connack { session_present, return_code: ConnectReturnCode::Accepted }.encode());
            }
            Err(reason) => {
                if self.version.has_properties() {
                    self.refuse_with(error::reason_code(reason, PacketType::Connack), reason, out);
                } else {
                    refuse(error::connect_return_code(reason), out);
                }
                self.close(reason);
                return;
            }
        }
        self.state = State::Open;
        self.heard_at = now;
    }

    /// Lets a client of MQTT 5.0 in, and says what is not as it would assume (section 3.2.2.3).
    fn accept(&mut self, opened: &Opened<'_>, out: &mut Outbound) -> bool {
        if let Some(exchanging) = self.exchanging() {
            exchanging.turn = Turn::Over;
        }
        let exchanging = self.beside.as_ref().and_then(|beside| beside.exchanging.as_ref());
        let settings = self.config.settings();
        let asked_for = mapping::expiry_of_seconds(self.terms.session_expiry);
        let properties = ConnackProperties {
            session_expiry_interval: reduced(asked_for, opened.expiry),
            assigned_client_identifier: opened
                .assigned_client_id
                .and_then(|id| core::str::from_utf8(id).ok()),
            server_keep_alive: self.terms.keep_alive_replaced.then_some(self.keep_alive),
            response_information: settings
                .response_information
                .as_deref()
                .filter(|_| self.terms.response_information),
            authentication_method: exchanging.map(Exchanging::method),
            authentication_data: opened.authentication.filter(|_| exchanging.is_some()),
            ..bounds(settings)
        };
        let session_present = opened.session_present;
        let connack = ConnackV5 { session_present, reason_code: ReasonCode::Success, properties };
        self.write(out, |size_max, packet| connack.encode(size_max, packet))
    }

    fn refuse_with(&self, code: ReasonCode, why: impl core::fmt::Display, out: &mut Outbound) {
        let why = self.explanation(why);
        let mut refusal = ConnackV5::refusal(code);
        refusal.properties.reason_string = why.as_deref();
        self.write(out, |size_max, packet| refusal.encode(size_max, packet));
    }
}

/// What is well-formed and not taken here.
fn check_connect(connect: &Connect<'_>, settings: &Settings) -> Result<(), Error> {
    let is_v5 = connect.version.has_properties();
    // Before MQTT 5.0, without an identifier there is nothing to find a session by again ([MQTT-3.1.3-7],
    // [MQTT-3.1.3-8]); after, the client is told the one that it has.
    let empty_allowed = connect.version.allows_empty_client_id() && settings.allow_empty_client_id;
    if connect.client_id.is_empty() && !(empty_allowed && (connect.clean_session || is_v5)) {
        return Err(Refused::ClientId.into());
    }
    let too_long = |max: u16| connect.keep_alive == 0 || connect.keep_alive > max;
    if !is_v5 && settings.keep_alive_max.is_some_and(|max| too_long(max.get())) {
        return Err(Refused::KeepAlive.into());
    }
    if let Some(will) = &connect.will {
        if will.class > settings.qos_max {
            return Err(Refused::Qos.into());
        }
        if will.retain && !settings.retain_available {
            return Err(Refused::Retain.into());
        }
        let is_text = will.properties.payload_format_indicator == Some(true);
        if settings.payload_format_check && is_text && core::str::from_utf8(will.message).is_err() {
            return Err(Refused::PayloadFormat.into());
        }
    }
    Ok(())
}

/// The bounds that every client of MQTT 5.0 is told of, where they differ from those of the protocol.
fn bounds<'s>(settings: &Settings) -> ConnackProperties<'s> {
    let told = |available: bool| (!available).then_some(false);
    let packet_bytes_max = u32::try_from(settings.packet_bytes_max).ok().and_then(NonZeroU32::new);
    ConnackProperties {
        topic_alias_maximum: Some(settings.topic_alias_max).filter(|&max| max > 0),
        maximum_packet_size: packet_bytes_max.filter(|max| (max.get() as usize) < REMAINING_LENGTH_MAX + 5),
        receive_maximum: Some(settings.publications_max).filter(|max| max.get() < u16::MAX),
        maximum_qos: (settings.qos_max != mynah_model::Class::ExactlyOnce)
            .then_some(settings.qos_max == mynah_model::Class::AtLeastOnce),
        retain_available: told(settings.retain_available),
        wildcard_subscription_available: told(settings.wildcards_available),
        subscription_identifier_available: told(settings.subscription_ids_available),
        shared_subscription_available: told(settings.shares_available),
        ..ConnackProperties::default()
    }
}

/// The Session Expiry Interval that a client is told, if it is not the one that it asked for.
fn reduced(asked_for: Expiry, granted: Expiry) -> Option<u32> {
    (granted != asked_for).then(|| mapping::seconds_of_expiry(granted))
}

/// A refusal never claims a session ([MQTT-3.2.2-4]).
fn refuse(return_code: ConnectReturnCode, out: &mut Outbound) {
    out.append(&Connack { session_present: false, return_code }.encode());
}
