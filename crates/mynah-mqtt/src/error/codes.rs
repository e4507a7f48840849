//! The reason codes of MQTT 5.0: for errors, and for the reasons of the broker.

use mynah_model::Reason;
use mynah_stack::SubscribeResult;

use super::{Error, Malformed, Refused, Violation};
use crate::wire::{PacketType, ReasonCode};

impl Malformed {
    /// The code that says it (section 4.13).
    #[must_use]
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            // "It is a Protocol Error": sections 2.2.1 and 3.8.3.1.
            Self::PacketIdZero | Self::SubscribeQos => ReasonCode::ProtocolError,
            Self::PacketType
            | Self::Flags
            | Self::RemainingLength
            | Self::Truncated
            | Self::TrailingBytes
            | Self::NotUtf8
            | Self::Nul
            | Self::Discouraged
            | Self::PublishQos
            | Self::SubackCode
            | Self::SubscribeOptions
            | Self::VariableByteInteger
            | Self::PropertyId
            | Self::PropertyMisplaced
            | Self::Connack => ReasonCode::MalformedPacket,
        }
    }
}

impl Violation {
    /// The code that says it (section 4.13).
    #[must_use]
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            // What sections 2.1.3, 3.1.2.3 to 3.1.2.7 and 4.7.1 call malformed, or do not name.
            Self::DupAtMostOnce
            | Self::ReservedConnectFlag
            | Self::WillFlagsWithoutWill
            | Self::WillQos
            | Self::PasswordWithoutUserName
            | Self::TopicWildcard
            | Self::FilterWildcard => ReasonCode::MalformedPacket,
            Self::ProtocolName => ReasonCode::UnsupportedProtocolVersion,
            Self::TopicAlias => ReasonCode::TopicAliasInvalid,
            Self::ReceiveMaximum => ReasonCode::ReceiveMaximumExceeded,
            Self::FirstPacketNotConnect
            | Self::SecondConnect
            | Self::TopicEmpty
            | Self::SubscribeEmpty
            | Self::UnsubscribeEmpty
            | Self::UnexpectedPacket
            | Self::UnexpectedAcknowledgement
            | Self::RepeatedWithoutDup
            | Self::SessionPresentInRefusal
            | Self::UnexpectedSession
            | Self::PropertyRepeated
            | Self::PropertyValue
            | Self::AuthenticationDataAlone
            | Self::AuthenticationStep
            | Self::TopicAliasUnknown
            | Self::ReasonCode
            | Self::RetainHandling
            | Self::MaximumQos
            | Self::NoLocalShared
            | Self::SubscriptionIdentifierFromClient => ReasonCode::ProtocolError,
        }
    }
}

impl Refused {
    /// The code that says it.
    #[must_use]
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::ProtocolLevel | Self::UnknownProtocolLevel => ReasonCode::UnsupportedProtocolVersion,
            Self::ClientId => ReasonCode::ClientIdentifierNotValid,
            Self::KeepAlive => ReasonCode::ImplementationSpecificError,
            Self::PacketTooLarge => ReasonCode::PacketTooLarge,
            Self::TooManyFilters => ReasonCode::QuotaExceeded,
            Self::PayloadFormat => ReasonCode::PayloadFormatInvalid,
            Self::Retain => ReasonCode::RetainNotSupported,
            Self::Qos => ReasonCode::QosNotSupported,
            Self::Wildcards => ReasonCode::WildcardSubscriptionsNotSupported,
            Self::Shares => ReasonCode::SharedSubscriptionsNotSupported,
            Self::SubscriptionIds => ReasonCode::SubscriptionIdentifiersNotSupported,
        }
    }
}

impl Error {
    /// The code of CONNACK or DISCONNECT that says it ([MQTT-4.13.1-1]).
    #[must_use]
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::Malformed(error) => error.reason_code(),
            Self::Violation(error) => error.reason_code(),
            Self::Refused(error) => error.reason_code(),
        }
    }
}

/// The code by which a packet of this type tells a reason of the broker. One that the packet does not have becomes the
/// nearest that it has, see the table in the tests of this module.
#[must_use]
pub const fn reason_code(reason: Reason, packet_type: PacketType) -> ReasonCode {
    let code = match reason {
        Reason::Disconnected => ReasonCode::UnspecifiedError,
        Reason::ProtocolViolation => ReasonCode::ProtocolError,
        Reason::BadCredentials => ReasonCode::BadUserNameOrPassword,
        Reason::BadAuthenticationMethod => ReasonCode::BadAuthenticationMethod,
        Reason::NotAuthorized => ReasonCode::NotAuthorized,
        // "The maximum connection time authorized for this connection has been exceeded" (section 3.14.2.1).
        Reason::ProofExpired => ReasonCode::MaximumConnectTime,
        Reason::ClientIdRefused => ReasonCode::ClientIdentifierNotValid,
        Reason::TopicInvalid => ReasonCode::TopicNameInvalid,
        Reason::FilterInvalid | Reason::SelectorInvalid => ReasonCode::TopicFilterInvalid,
        Reason::QuotaExceeded | Reason::StorageFull | Reason::QueueFull => ReasonCode::QuotaExceeded,
        Reason::RateExceeded => ReasonCode::MessageRateTooHigh,
        Reason::NotFound => ReasonCode::TopicNameInvalid,
        Reason::Locked => ReasonCode::NotAuthorized,
        Reason::ConditionFailed | Reason::PreconditionFailed => ReasonCode::ImplementationSpecificError,
        Reason::TooLarge => ReasonCode::PacketTooLarge,
        Reason::ServerBusy => ReasonCode::ServerBusy,
        Reason::TakenOver => ReasonCode::SessionTakenOver,
        Reason::KeepAliveTimeout => ReasonCode::KeepAliveTimeout,
        Reason::OpeningTimeout => ReasonCode::MaximumConnectTime,
        Reason::SlowConsumer => ReasonCode::QuotaExceeded,
        Reason::Administrative => ReasonCode::AdministrativeAction,
        Reason::ShuttingDown => ReasonCode::ServerShuttingDown,
    };
    if code.is_allowed_in(packet_type) {
        return code;
    }
    let nearest = match reason {
        Reason::BadCredentials
        | Reason::BadAuthenticationMethod
        | Reason::ProofExpired
        | Reason::ClientIdRefused => ReasonCode::NotAuthorized,
        Reason::ShuttingDown if matches!(packet_type, PacketType::Connack) => ReasonCode::ServerUnavailable,
        Reason::TooLarge | Reason::ServerBusy | Reason::RateExceeded => ReasonCode::QuotaExceeded,
        _ => ReasonCode::UnspecifiedError,
    };
    if nearest.is_allowed_in(packet_type) { nearest } else { ReasonCode::UnspecifiedError }
}

/// The code of one filter in a SUBACK of MQTT 5.0.
#[must_use]
pub const fn subscribe_reason_code(result: SubscribeResult) -> ReasonCode {
    match result {
        Ok(class) => ReasonCode::granted(class),
        Err(reason) => reason_code(reason, PacketType::Suback),
    }
}

/// The code of a publication in a PUBACK or PUBREC of MQTT 5.0: of one that nobody has subscribed to too.
#[must_use]
pub const fn publish_reason_code(result: Result<bool, Reason>) -> ReasonCode {
    match result {
        Ok(true) => ReasonCode::Success,
        Ok(false) => ReasonCode::NoMatchingSubscribers,
        // PUBACK and PUBREC have the same codes.
        Err(reason) => reason_code(reason, PacketType::Puback),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= mqtt-5.0 [MQTT-4.13.1-1] [MQTT-4.13.2-1]
    #[test]
    fn an_error_has_a_code_that_connack_or_disconnect_can_carry() {
        for (error, number) in [
            (Malformed::Truncated.into(), 0x81),
            (Malformed::VariableByteInteger.into(), 0x81),
            (Malformed::PropertyId.into(), 0x81),
            (Malformed::PublishQos.into(), 0x81),
            (Violation::PropertyRepeated.into(), 0x82),
            (Violation::RetainHandling.into(), 0x82),
            (Violation::SecondConnect.into(), 0x82),
            (Violation::ReceiveMaximum.into(), 0x93),
            (Violation::TopicAlias.into(), 0x94),
            (Refused::ProtocolLevel.into(), 0x84),
            (Refused::ClientId.into(), 0x85),
            (Refused::PacketTooLarge.into(), 0x95),
            (Refused::PayloadFormat.into(), 0x99),
            (Refused::Retain.into(), 0x9A),
            (Refused::Qos.into(), 0x9B),
        ] {
            let error: Error = error;
            let code = error.reason_code();
            assert_eq!(code.number(), number, "{error}");
            assert!(code.is_allowed_in(PacketType::Connack) || code.is_allowed_in(PacketType::Disconnect));
        }
    }

    #[test]
    fn a_reason_of_the_broker_has_a_code_in_each_packet() {
        // CONNACK, PUBACK and PUBREC, SUBACK, UNSUBACK, DISCONNECT.
        for (reason, numbers) in [
            (Reason::Disconnected, [0x80, 0x80, 0x80, 0x80, 0x80]),
            (Reason::ProtocolViolation, [0x82, 0x80, 0x80, 0x80, 0x82]),
            (Reason::BadCredentials, [0x86, 0x87, 0x87, 0x87, 0x87]),
            (Reason::BadAuthenticationMethod, [0x8C, 0x87, 0x87, 0x87, 0x8C]),
            (Reason::NotAuthorized, [0x87, 0x87, 0x87, 0x87, 0x87]),
            (Reason::ProofExpired, [0x87, 0x87, 0x87, 0x87, 0xA0]),
            (Reason::ClientIdRefused, [0x85, 0x87, 0x87, 0x87, 0x87]),
            (Reason::TopicInvalid, [0x90, 0x90, 0x80, 0x80, 0x90]),
            (Reason::FilterInvalid, [0x80, 0x80, 0x8F, 0x8F, 0x8F]),
            (Reason::QuotaExceeded, [0x97, 0x97, 0x97, 0x80, 0x97]),
            (Reason::RateExceeded, [0x97, 0x97, 0x97, 0x80, 0x96]),
            (Reason::StorageFull, [0x97, 0x97, 0x97, 0x80, 0x97]),
            (Reason::QueueFull, [0x97, 0x97, 0x97, 0x80, 0x97]),
            (Reason::NotFound, [0x90, 0x90, 0x80, 0x80, 0x90]),
            (Reason::Locked, [0x87, 0x87, 0x87, 0x87, 0x87]),
            (Reason::PreconditionFailed, [0x83, 0x83, 0x83, 0x83, 0x83]),
            (Reason::SelectorInvalid, [0x80, 0x80, 0x8F, 0x8F, 0x8F]),
            (Reason::ConditionFailed, [0x83, 0x83, 0x83, 0x83, 0x83]),
            (Reason::TooLarge, [0x95, 0x97, 0x97, 0x80, 0x95]),
            (Reason::ServerBusy, [0x89, 0x97, 0x97, 0x80, 0x89]),
            (Reason::TakenOver, [0x80, 0x80, 0x80, 0x80, 0x8E]),
            (Reason::KeepAliveTimeout, [0x80, 0x80, 0x80, 0x80, 0x8D]),
            (Reason::OpeningTimeout, [0x80, 0x80, 0x80, 0x80, 0xA0]),
            (Reason::SlowConsumer, [0x97, 0x97, 0x97, 0x80, 0x97]),
            (Reason::Administrative, [0x80, 0x80, 0x80, 0x80, 0x98]),
            (Reason::ShuttingDown, [0x88, 0x80, 0x80, 0x80, 0x8B]),
        ] {
            let packets = [
                PacketType::Connack,
                PacketType::Puback,
                PacketType::Suback,
                PacketType::Unsuback,
                PacketType::Disconnect,
            ];
            for (packet_type, number) in packets.into_iter().zip(numbers) {
                let code = reason_code(reason, packet_type);
                assert_eq!(code.number(), number, "{reason} in {packet_type:?}");
                assert!(code.is_allowed_in(packet_type));
            }
            assert_eq!(reason_code(reason, PacketType::Pubrec).number(), numbers[1]);
        }
    }

    #[test]
    fn outcomes_have_codes() {
        use mynah_model::Class;
        let subscribed = [Ok(Class::AtMostOnce), Ok(Class::ExactlyOnce), Err(Reason::FilterInvalid)];
        assert_eq!(subscribed.map(|result| subscribe_reason_code(result).number()), [0, 2, 0x8F]);
        let published = [Ok(true), Ok(false), Err(Reason::NotAuthorized)];
        assert_eq!(published.map(|result| publish_reason_code(result).number()), [0, 0x10, 0x87]);
    }
}
