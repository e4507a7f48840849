//! Errors in families, and the one place where reasons of the broker become codes and closes of the protocol.
//!
//! [`Malformed`] is about bytes, [`Violation`] about a rule that names itself, [`Refused`] about what the
//! specification allows and this end does not take. A statement id is one of MQTT 3.1.1 (OASIS Standard) or, for what only
//! MQTT 5.0 has, one of that.

mod codes;

use core::fmt;

use mynah_model::{Class, Reason};
use mynah_stack::SubscribeResult;

use crate::wire::{ConnectReturnCode, SubscribeReturnCode};

pub use codes::{publish_reason_code, reason_code, subscribe_reason_code};

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are not a packet.
    Malformed(Malformed),
    /// The packet breaks a rule.
    Violation(Violation),
    /// The packet is correct, but not taken here.
    Refused(Refused),
}

/// How bytes fail to be a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Packet type 0, or 15 before MQTT 5.0 (section 2.2.1).
    PacketType,
    /// The flags of the fixed header are not the ones that the packet type demands.
    Flags,
    /// The remaining length has more than four bytes (section 2.2.3), or in MQTT 5.0 more than it needs.
    RemainingLength,
    /// A field ends behind the packet (section 2.2.3).
    Truncated,
    /// Something follows the last field (section 2.2.3).
    TrailingBytes,
    /// A string is not UTF-8.
    NotUtf8,
    /// A string holds U+0000.
    Nul,
    /// A string holds a control character or a non-character, see [`crate::TextRule`].
    Discouraged,
    /// A packet identifier is zero.
    PacketIdZero,
    /// Both QoS bits of a PUBLISH are set.
    PublishQos,
    /// A requested QoS is not 0, 1 or 2, or a reserved bit beside it is set.
    SubscribeQos,
    /// A SUBACK holds a return code that is not defined.
    SubackCode,
    /// A reserved bit of the options of a subscription is set.
    SubscribeOptions,
    /// A variable byte integer has more bytes than it needs, or more than four.
    VariableByteInteger,
    /// A property that does not exist.
    PropertyId,
    /// A property that this packet does not have (section 2.2.2.2 of MQTT 5.0).
    PropertyMisplaced,
    /// A CONNACK's acknowledge flags are not 0 or 1, or its return code is reserved.
    Connack,
}

/// A rule that a peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The first packet of a client is not CONNECT.
    FirstPacketNotConnect,
    /// A client sent CONNECT twice.
    SecondConnect,
    /// The protocol name is neither `MQTT` nor a known older one.
    ProtocolName,
    /// The reserved connect flag is set.
    ReservedConnectFlag,
    /// The will flag is not set, but will QoS or will retain are.
    WillFlagsWithoutWill,
    /// Will QoS is 3.
    WillQos,
    /// There is a password, but no user name.
    PasswordWithoutUserName,
    /// DUP is set on a PUBLISH with QoS 0.
    DupAtMostOnce,
    /// A topic name holds a wildcard character.
    TopicWildcard,
    /// A topic name or filter is empty.
    TopicEmpty,
    /// A wildcard does not stand alone, or `#` is not last.
    FilterWildcard,
    /// A SUBSCRIBE without a filter.
    SubscribeEmpty,
    /// An UNSUBSCRIBE without a filter.
    UnsubscribeEmpty,
    /// A packet that only the other end may send, or not at this time.
    UnexpectedPacket,
    /// An acknowledgement of something that was not sent, or of another kind than was asked for.
    UnexpectedAcknowledgement,
    /// A PUBLISH of QoS 2 was answered twice and comes again without DUP.
    RepeatedWithoutDup,
    /// A refused connection that claims a session.
    SessionPresentInRefusal,
    /// A session that the client had asked to be discarded.
    UnexpectedSession,
    /// A property is there more than once.
    PropertyRepeated,
    /// A property has a value that it may not have.
    PropertyValue,
    /// A topic alias is 0 or above the maximum.
    TopicAlias,
    /// A topic alias stands for no topic.
    TopicAliasUnknown,
    /// Authentication Data without an Authentication Method.
    AuthenticationDataAlone,
    /// A step of authentication that nobody asked for, or by another method than that of CONNECT.
    AuthenticationStep,
    /// A reason code that does not exist, or that this packet does not have.
    ReasonCode,
    /// Retain Handling is 3.
    RetainHandling,
    /// A requested QoS is 3.
    MaximumQos,
    /// No Local on a shared subscription.
    NoLocalShared,
    /// A subscription identifier in a client's PUBLISH.
    SubscriptionIdentifierFromClient,
    /// More publications than this end said that it takes.
    ReceiveMaximum,
}

/// What is correct and still not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The protocol level is not one that is served under this protocol name.
    ProtocolLevel,
    /// The protocol level is not one of any version of MQTT.
    UnknownProtocolLevel,
    /// The client identifier is empty, and that is not allowed here or not without a clean session.
    ClientId,
    /// The keep-alive is longer than this server takes.
    KeepAlive,
    /// The packet is larger than this end takes.
    PacketTooLarge,
    /// A SUBSCRIBE or UNSUBSCRIBE has more filters than this end takes in one packet.
    TooManyFilters,
    /// A payload that is said to be text is not.
    PayloadFormat,
    /// A message is to be retained, and this end retains none.
    Retain,
    /// The QoS is higher than this end takes.
    Qos,
    /// A filter has wildcards, and this end takes none.
    Wildcards,
    /// A subscription is shared, and this end has no shared ones.
    Shares,
    /// A subscription has an identifier, and this end takes none.
    SubscriptionIds,
}

impl Malformed {
    /// The normative statement that demands the closing of the connection.
    #[must_use]
    pub const fn statement(self) -> &'static str {
        match self {
            Self::Flags => "MQTT-2.2.2-2",
            Self::NotUtf8 => "MQTT-1.5.3-1",
            Self::Nul => "MQTT-1.5.3-2",
            Self::PacketIdZero => "MQTT-2.3.1-1",
            Self::PublishQos => "MQTT-3.3.1-4",
            Self::SubscribeQos => "MQTT-3-8.3-4",
            Self::SubackCode => "MQTT-3.9.3-2",
            Self::SubscribeOptions => "MQTT-3.8.3-5",
            Self::VariableByteInteger => "MQTT-1.5.5-1",
            Self::PropertyId | Self::PropertyMisplaced => "MQTT-4.13.1-1",
            Self::PacketType
            | Self::RemainingLength
            | Self::Truncated
            | Self::TrailingBytes
            | Self::Discouraged
            | Self::Connack => "MQTT-4.8.0-1",
        }
    }
}

impl Violation {
    /// The normative statement that is broken.
    #[must_use]
    pub const fn statement(self) -> &'static str {
        match self {
            Self::FirstPacketNotConnect => "MQTT-3.1.0-1",
            Self::SecondConnect => "MQTT-3.1.0-2",
            Self::ProtocolName => "MQTT-3.1.2-1",
            Self::ReservedConnectFlag => "MQTT-3.1.2-3",
            Self::WillFlagsWithoutWill => "MQTT-3.1.2-11",
            Self::WillQos => "MQTT-3.1.2-14",
            Self::PasswordWithoutUserName => "MQTT-3.1.2-22",
            Self::DupAtMostOnce => "MQTT-3.3.1-2",
            Self::RepeatedWithoutDup => "MQTT-3.3.1-1",
            Self::TopicWildcard => "MQTT-3.3.2-2",
            Self::TopicEmpty => "MQTT-4.7.3-1",
            Self::FilterWildcard => "MQTT-4.7.1-2",
            Self::SubscribeEmpty => "MQTT-3.8.3-3",
            Self::UnsubscribeEmpty => "MQTT-3.10.3-2",
            Self::UnexpectedPacket | Self::UnexpectedAcknowledgement => "MQTT-4.8.0-1",
            Self::SessionPresentInRefusal | Self::UnexpectedSession => "MQTT-3.2.2-4",
            Self::TopicAlias => "MQTT-3.3.2-8",
            Self::TopicAliasUnknown => "MQTT-4.13.1-1",
            Self::NoLocalShared => "MQTT-3.8.3-4",
            Self::SubscriptionIdentifierFromClient => "MQTT-3.3.4-6",
            Self::ReceiveMaximum => "MQTT-3.3.4-9",
            Self::ReasonCode => "MQTT-3.14.2-1",
            Self::AuthenticationStep => "MQTT-4.12.0-5",
            Self::PropertyRepeated
            | Self::PropertyValue
            | Self::AuthenticationDataAlone
            | Self::RetainHandling
            | Self::MaximumQos => "MQTT-4.13.1-1",
        }
    }
}

impl Error {
    /// The reason by which the broker knows the error.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Violation(Violation::ReceiveMaximum) => Reason::QuotaExceeded,
            Self::Malformed(_) | Self::Violation(_) => Reason::ProtocolViolation,
            Self::Refused(Refused::ProtocolLevel | Refused::UnknownProtocolLevel | Refused::KeepAlive) => {
                Reason::ProtocolViolation
            }
            Self::Refused(Refused::ClientId) => Reason::ClientIdRefused,
            Self::Refused(Refused::PacketTooLarge | Refused::TooManyFilters) => Reason::TooLarge,
            Self::Refused(
                Refused::PayloadFormat
                | Refused::Retain
                | Refused::Qos
                | Refused::Wildcards
                | Refused::Shares
                | Refused::SubscriptionIds,
            ) => Reason::ProtocolViolation,
        }
    }

    /// The return code that a CONNECT with this error is answered with before the connection is closed; without one
    /// it is closed at once ([MQTT-3.1.4-1], [MQTT-3.2.2-6]).
    #[must_use]
    pub const fn connect_return_code(self) -> Option<ConnectReturnCode> {
        match self {
            Self::Refused(Refused::ProtocolLevel | Refused::UnknownProtocolLevel) => {
                Some(ConnectReturnCode::UnacceptableProtocolLevel)
            }
            Self::Refused(Refused::ClientId | Refused::KeepAlive) => {
                Some(ConnectReturnCode::IdentifierRejected)
            }
            Self::Refused(
                Refused::PacketTooLarge
                | Refused::TooManyFilters
                | Refused::PayloadFormat
                | Refused::Retain
                | Refused::Qos
                | Refused::Wildcards
                | Refused::Shares
                | Refused::SubscriptionIds,
            )
            | Self::Malformed(_)
            | Self::Violation(_) => None,
        }
    }
}

/// The return code that tells a client why it was not let in (section 3.2.2.3).
#[must_use]
pub const fn connect_return_code(reason: Reason) -> ConnectReturnCode {
    match reason {
        Reason::BadCredentials => ConnectReturnCode::BadUserNameOrPassword,
        Reason::NotAuthorized | Reason::ProofExpired => ConnectReturnCode::NotAuthorized,
        Reason::ClientIdRefused => ConnectReturnCode::IdentifierRejected,
        Reason::Disconnected
        | Reason::ProtocolViolation
        | Reason::BadAuthenticationMethod
        | Reason::TopicInvalid
        | Reason::FilterInvalid
        | Reason::QuotaExceeded
        | Reason::RateExceeded
        | Reason::NotFound
        | Reason::Locked
        | Reason::PreconditionFailed
        | Reason::QueueFull
        | Reason::SelectorInvalid
        | Reason::StorageFull
        | Reason::ConditionFailed
        | Reason::TooLarge
        | Reason::ServerBusy
        | Reason::TakenOver
        | Reason::KeepAliveTimeout
        | Reason::OpeningTimeout
        | Reason::SlowConsumer
        | Reason::Administrative
        | Reason::ShuttingDown => ConnectReturnCode::ServerUnavailable,
    }
}

/// The return code of one filter in a SUBACK: MQTT 3.1.1 has one code for all refusals. MQTT 3.1 has none and does not
/// use the six high bits, so a client that ignores them takes it for QoS 0, and one that does not is not misled.
#[must_use]
pub const fn subscribe_return_code(result: SubscribeResult) -> SubscribeReturnCode {
    match result {
        Ok(class) => SubscribeReturnCode::Granted(class),
        Err(_) => SubscribeReturnCode::Failure,
    }
}

/// What a publisher of a confirmed class sees of a refused publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishReaction {
    /// The usual acknowledgement; the message is dropped ([MQTT-3.3.5-2]).
    Acknowledge,
    /// No acknowledgement, the connection is closed: the client keeps the message and may try again later.
    Close,
}

/// How a refused publication is answered. MQTT 3.1.1 has no negative acknowledgement.
#[must_use]
pub const fn publish_reaction(reason: Reason) -> PublishReaction {
    match reason {
        Reason::NotAuthorized | Reason::TopicInvalid => PublishReaction::Acknowledge,
        Reason::Disconnected
        | Reason::ProtocolViolation
        | Reason::BadCredentials
        | Reason::BadAuthenticationMethod
        | Reason::ProofExpired
        | Reason::ClientIdRefused
        | Reason::FilterInvalid
        | Reason::QuotaExceeded
        | Reason::RateExceeded
        | Reason::NotFound
        | Reason::Locked
        | Reason::PreconditionFailed
        | Reason::QueueFull
        | Reason::SelectorInvalid
        | Reason::StorageFull
        | Reason::ConditionFailed
        | Reason::TooLarge
        | Reason::ServerBusy
        | Reason::TakenOver
        | Reason::KeepAliveTimeout
        | Reason::OpeningTimeout
        | Reason::SlowConsumer
        | Reason::Administrative
        | Reason::ShuttingDown => PublishReaction::Close,
    }
}

/// The class that the broker grants by a SUBACK, or nothing.
impl From<SubscribeReturnCode> for Option<Class> {
    fn from(code: SubscribeReturnCode) -> Self {
        match code {
            SubscribeReturnCode::Granted(class) => Some(class),
            SubscribeReturnCode::Failure => None,
        }
    }
}

impl From<Malformed> for Error {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl From<Violation> for Error {
    fn from(error: Violation) -> Self {
        Self::Violation(error)
    }
}

impl From<Refused> for Error {
    fn from(error: Refused) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::PacketType => "reserved packet type",
            Self::Flags => "wrong flags in the fixed header",
            Self::RemainingLength => "remaining length with too many bytes",
            Self::Truncated => "a field ends behind the packet",
            Self::TrailingBytes => "bytes behind the last field",
            Self::NotUtf8 => "a string is not UTF-8",
            Self::Nul => "a string holds U+0000",
            Self::Discouraged => "a string holds a control character or a non-character",
            Self::PacketIdZero => "packet identifier 0",
            Self::PublishQos => "QoS 3",
            Self::SubscribeQos => "requested QoS is not 0, 1 or 2",
            Self::SubackCode => "undefined return code in SUBACK",
            Self::SubscribeOptions => "a reserved bit in the options of a subscription",
            Self::VariableByteInteger => "a variable byte integer with too many bytes",
            Self::PropertyId => "unknown property",
            Self::PropertyMisplaced => "a property that the packet does not have",
            Self::Connack => "undefined flag or return code in CONNACK",
        };
        write!(f, "{what} [{}]", self.statement())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::FirstPacketNotConnect => "the first packet is not CONNECT",
            Self::SecondConnect => "a second CONNECT",
            Self::ProtocolName => "unknown protocol name",
            Self::ReservedConnectFlag => "reserved connect flag set",
            Self::WillFlagsWithoutWill => "will QoS or will retain without a will",
            Self::WillQos => "will QoS 3",
            Self::PasswordWithoutUserName => "password without user name",
            Self::DupAtMostOnce => "DUP with QoS 0",
            Self::TopicWildcard => "wildcard in a topic name",
            Self::TopicEmpty => "empty topic name or filter",
            Self::FilterWildcard => "misplaced wildcard in a topic filter",
            Self::SubscribeEmpty => "SUBSCRIBE without a filter",
            Self::UnsubscribeEmpty => "UNSUBSCRIBE without a filter",
            Self::UnexpectedPacket => "a packet that is not expected from this end",
            Self::UnexpectedAcknowledgement => "an acknowledgement that was not asked for",
            Self::SessionPresentInRefusal => "session present in a refusal",
            Self::UnexpectedSession => "a session where the client has none",
            Self::PropertyRepeated => "a property that is repeated",
            Self::PropertyValue => "a property with a value that it may not have",
            Self::TopicAlias => "topic alias 0 or above the maximum",
            Self::TopicAliasUnknown => "a topic alias that stands for no topic",
            Self::AuthenticationDataAlone => "authentication data without a method",
            Self::AuthenticationStep => "a step of authentication that was not asked for",
            Self::ReasonCode => "a reason code that the packet does not have",
            Self::RetainHandling => "retain handling 3",
            Self::MaximumQos => "requested QoS 3",
            Self::NoLocalShared => "no local on a shared subscription",
            Self::SubscriptionIdentifierFromClient => "a subscription identifier in a client's PUBLISH",
            Self::ReceiveMaximum => "more publications than the receive maximum",
            Self::RepeatedWithoutDup => "a third PUBLISH of QoS 2 without DUP before its release",
        };
        write!(f, "{what} [{}]", self.statement())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProtocolLevel => "protocol level not served",
            Self::UnknownProtocolLevel => "unknown protocol level",
            Self::ClientId => "client identifier not accepted",
            Self::KeepAlive => "keep-alive longer than accepted",
            Self::PacketTooLarge => "packet larger than accepted",
            Self::TooManyFilters => "more filters in one packet than accepted",
            Self::PayloadFormat => "a payload that is not the text it is said to be",
            Self::Retain => "retained messages are not accepted",
            Self::Qos => "QoS higher than accepted",
            Self::Wildcards => "filters with wildcards are not accepted",
            Self::Shares => "shared subscriptions are not accepted",
            Self::SubscriptionIds => "subscription identifiers are not accepted",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Violation(error) => error.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn an_error_says_what_is_wrong_and_which_statement_it_breaks() {
        for (error, said) in [
            (Error::Malformed(Malformed::Nul), "a string holds U+0000 [MQTT-1.5.3-2]"),
            (Error::Violation(Violation::SecondConnect), "a second CONNECT [MQTT-3.1.0-2]"),
            (Error::Refused(Refused::KeepAlive), "keep-alive longer than accepted"),
        ] {
            assert_eq!(error.to_string(), said);
        }
    }
}
