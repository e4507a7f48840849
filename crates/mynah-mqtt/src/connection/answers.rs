//! How errors and oddities of a client of MQTT 5.0 are answered: as the specification has it, or as Mosquitto does where
//! the two differ. Every deviation has its place here and nowhere else.

use mynah_model::{Class, Reason};

use crate::error::publish_reason_code;
use crate::framing::Unit;
use crate::wire::{ConnectField, PacketType, ReasonCode};
use crate::{Error, Malformed, Version, Violation};

/// Whose answers a client of MQTT 5.0 gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// Those that the specification names, or that follow from its words.
    #[default]
    Specification,
    /// Those of Mosquitto, for clients that were tested against it: other reason codes for some errors, none at all for
    /// some, and Success for identifiers that are not known.
    Mosquitto,
}

/// A packet, or what there is of it, that an error was found in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Culprit<'b> {
    packet_type: Option<PacketType>,
    body: &'b [u8],
}

impl<'b> Culprit<'b> {
    /// A packet that could not be taken from `input`, at its start.
    pub(super) fn unread(input: &'b [u8]) -> Self {
        let packet_type = input.first().and_then(|first| PacketType::from_number(first >> 4, Version::V5));
        Self { packet_type, body: &[] }
    }
}

impl<'b> From<Unit<'b>> for Culprit<'b> {
    fn from(unit: Unit<'b>) -> Self {
        Self { packet_type: Some(unit.packet_type), body: unit.body }
    }
}

impl Answers {
    /// The reason code of the DISCONNECT that ends an open connection after an error; without one it is closed in
    /// silence.
    pub(super) fn disconnect_code(self, error: Error, culprit: Culprit<'_>) -> Option<ReasonCode> {
        if self == Self::Mosquitto
            && let Some(code) = mosquitto_disconnect_code(error, culprit)
        {
            return code;
        }
        match (error, culprit.packet_type) {
            // Who leaves does not listen.
            (Error::Violation(Violation::ReasonCode), Some(PacketType::Disconnect)) => None,
            _ => Some(error.reason_code()),
        }
    }

    /// The reason code of the CONNACK that refuses a CONNECT with an error in this field; without one the connection is
    /// closed in silence.
    pub(super) fn connack_code(self, error: Error, field: ConnectField) -> Option<ReasonCode> {
        if self == Self::Mosquitto
            && let Some(code) = mosquitto_connack_code(error, field)
        {
            return code;
        }
        match error {
            // What is hardly a CONNECT.
            Error::Malformed(Malformed::Flags) => None,
            _ => Some(error.reason_code()).filter(|code| code.is_allowed_in(PacketType::Connack)),
        }
    }

    /// The reason code of PUBREL and PUBCOMP.
    pub(super) const fn release_code(self, known: bool) -> ReasonCode {
        match self {
            Self::Specification if !known => ReasonCode::PacketIdentifierNotFound,
            Self::Specification | Self::Mosquitto => ReasonCode::Success,
        }
    }

    /// The reason code of PUBACK and PUBREC.
    pub(super) fn publish_code(self, class: Class, result: Result<bool, Reason>) -> ReasonCode {
        match (self, class, result) {
            (Self::Mosquitto, Class::ExactlyOnce, Ok(_)) => ReasonCode::Success,
            (Self::Mosquitto, _, Err(Reason::TopicInvalid)) => ReasonCode::NotAuthorized,
            _ => publish_reason_code(result),
        }
    }
}

/// Where Mosquitto answers otherwise, what it answers.
fn mosquitto_disconnect_code(error: Error, culprit: Culprit<'_>) -> Option<Option<ReasonCode>> {
    use PacketType::{Auth, Connack, Disconnect, Pingreq, Pingresp, Publish, Pubrel, Subscribe, Unsubscribe};
    Some(match (error, culprit.packet_type) {
        (Error::Malformed(malformed), packet_type) => match (malformed, packet_type) {
            (Malformed::PropertyMisplaced, Some(Subscribe | Unsubscribe)) => return None,
            (Malformed::PropertyMisplaced | Malformed::PacketType, _)
            | (Malformed::Flags, Some(Connack | Pubrel | Disconnect | Auth)) => {
                Some(ReasonCode::ProtocolError)
            }
            (Malformed::PacketIdZero, Some(Subscribe | Unsubscribe)) => Some(ReasonCode::MalformedPacket),
            (Malformed::RemainingLength, _) | (Malformed::TrailingBytes, Some(Pingreq)) => None,
            _ => return None,
        },
        (Error::Violation(violation), packet_type) => match (violation, packet_type) {
            (Violation::UnexpectedPacket, Some(Pingresp)) if !culprit.body.is_empty() => None,
            // Not an empty Response Topic.
            (Violation::TopicEmpty, Some(Publish)) if !culprit.body.starts_with(&[0, 0]) => return None,
            (
                Violation::TopicEmpty
                | Violation::SubscribeEmpty
                | Violation::UnsubscribeEmpty
                | Violation::MaximumQos
                | Violation::RetainHandling,
                _,
            ) => Some(ReasonCode::MalformedPacket),
            _ => return None,
        },
        (Error::Refused(_), _) => return None,
    })
}

fn mosquitto_connack_code(error: Error, field: ConnectField) -> Option<Option<ReasonCode>> {
    Some(match (error, field) {
        (Error::Malformed(Malformed::PropertyMisplaced), _) => Some(ReasonCode::ProtocolError),
        (
            Error::Malformed(Malformed::NotUtf8 | Malformed::Nul | Malformed::Discouraged),
            ConnectField::ClientId,
        ) => Some(ReasonCode::ClientIdentifierNotValid),
        (Error::Malformed(_), ConnectField::Start | ConnectField::Credentials)
        | (Error::Violation(Violation::WillQos), _) => None,
        _ => return None,
    })
}
