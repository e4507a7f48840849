//! Reason codes of MQTT 5.0 (section 2.4): the number of each and the packets that may carry it.

use core::fmt;

use mynah_model::Class;

use super::PacketType;
use super::fields::Fields;
use crate::{Error, Violation};

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $($packet:ident)|+;)*) => {
        /// What became of a request, or why a connection ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $($(#[$doc])* $name = $number,)*
        }

        impl ReasonCode {
            /// Every code, in ascending order.
            pub const ALL: [Self; 43] = [$(Self::$name),*];

            /// The code with this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            const fn packets(self) -> u16 {
                match self {
                    $(Self::$name => $(1 << PacketType::$packet as u16)|+,)*
                }
            }
        }

        impl fmt::Display for ReasonCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

reason_codes! {
    /// It is done; in SUBACK, QoS 0 is granted; in DISCONNECT, the will is not wanted.
    Success = 0x00, "success",
        Connack | Puback | Pubrec | Pubrel | Pubcomp | Suback | Unsuback | Disconnect | Auth;
    /// Subscribed, with QoS 1 at most.
    GrantedQos1 = 0x01, "granted QoS 1", Suback;
    /// Subscribed, with QoS 2 at most.
    GrantedQos2 = 0x02, "granted QoS 2", Suback;
    /// The client leaves, and its will is wanted.
    DisconnectWithWill = 0x04, "disconnect with will message", Disconnect;
    /// The message was taken, and nobody has subscribed.
    NoMatchingSubscribers = 0x10, "no matching subscribers", Puback | Pubrec;
    /// There was no such subscription.
    NoSubscriptionExisted = 0x11, "no subscription existed", Unsuback;
    /// The authentication goes on.
    ContinueAuthentication = 0x18, "continue authentication", Auth;
    /// The client authenticates once more.
    ReAuthenticate = 0x19, "re-authenticate", Auth;
    /// Nothing is said of the reason.
    UnspecifiedError = 0x80, "unspecified error", Connack | Puback | Pubrec | Suback | Unsuback | Disconnect;
    /// The bytes are not a packet.
    MalformedPacket = 0x81, "malformed packet", Connack | Disconnect;
    /// The packet breaks a rule that has no code of its own.
    ProtocolError = 0x82, "protocol error", Connack | Disconnect;
    /// The packet is correct and not taken by this receiver.
    ImplementationSpecificError = 0x83, "implementation specific error",
        Connack | Puback | Pubrec | Suback | Unsuback | Disconnect;
    /// The version is not spoken here.
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version", Connack;
    /// The client identifier is not allowed.
    ClientIdentifierNotValid = 0x85, "client identifier not valid", Connack;
    /// The name or the password is wrong.
    BadUserNameOrPassword = 0x86, "bad user name or password", Connack;
    /// The client may not do this.
    NotAuthorized = 0x87, "not authorized", Connack | Puback | Pubrec | Suback | Unsuback | Disconnect;
    /// The server is not there for clients.
    ServerUnavailable = 0x88, "server unavailable", Connack;
    /// The server has no room at this moment.
    ServerBusy = 0x89, "server busy", Connack | Disconnect;
    /// The client is shut out.
    Banned = 0x8A, "banned", Connack;
    /// The server stops.
    ServerShuttingDown = 0x8B, "server shutting down", Disconnect;
    /// The method of authentication is not known or not the one of CONNECT.
    BadAuthenticationMethod = 0x8C, "bad authentication method", Connack | Disconnect;
    /// Nothing came for one and a half times the keep-alive.
    KeepAliveTimeout = 0x8D, "keep alive timeout", Disconnect;
    /// Another connection has the session.
    SessionTakenOver = 0x8E, "session taken over", Disconnect;
    /// The filter is correct and not served.
    TopicFilterInvalid = 0x8F, "topic filter invalid", Suback | Unsuback | Disconnect;
    /// The topic name is correct and not taken.
    TopicNameInvalid = 0x90, "topic name invalid", Connack | Puback | Pubrec | Disconnect;
    /// The packet identifier is in use.
    PacketIdentifierInUse = 0x91, "packet identifier in use", Puback | Pubrec | Suback | Unsuback;
    /// The packet identifier is not known.
    PacketIdentifierNotFound = 0x92, "packet identifier not found", Pubrel | Pubcomp;
    /// More publications than the receiver said that it takes.
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded", Disconnect;
    /// The topic alias is 0, above the maximum or stands for nothing.
    TopicAliasInvalid = 0x94, "topic alias invalid", Disconnect;
    /// The packet is larger than the receiver takes.
    PacketTooLarge = 0x95, "packet too large", Connack | Disconnect;
    /// Messages come too fast.
    MessageRateTooHigh = 0x96, "message rate too high", Disconnect;
    /// A limit is reached.
    QuotaExceeded = 0x97, "quota exceeded", Connack | Puback | Pubrec | Suback | Disconnect;
    /// An administrator ended the connection.
    AdministrativeAction = 0x98, "administrative action", Disconnect;
    /// The payload is not text although it says so.
    PayloadFormatInvalid = 0x99, "payload format invalid", Connack | Puback | Pubrec | Disconnect;
    /// There are no retained messages here.
    RetainNotSupported = 0x9A, "retain not supported", Connack | Disconnect;
    /// The QoS is higher than the server takes.
    QosNotSupported = 0x9B, "QoS not supported", Connack | Disconnect;
    /// For now, the client is to use another server.
    UseAnotherServer = 0x9C, "use another server", Connack | Disconnect;
    /// The client is to use another server.
    ServerMoved = 0x9D, "server moved", Connack | Disconnect;
    /// There are no shared subscriptions here.
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported", Suback | Disconnect;
    /// Connections come too fast.
    ConnectionRateExceeded = 0x9F, "connection rate exceeded", Connack | Disconnect;
    /// The connection has lasted as long as it may.
    MaximumConnectTime = 0xA0, "maximum connect time", Disconnect;
    /// There are no subscription identifiers here.
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported", Suback | Disconnect;
    /// There are no filters with wildcards here.
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported", Suback | Disconnect;
}

impl ReasonCode {
    /// The number of the code.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether the code reports a failure.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.number() >= 0x80
    }

    /// Whether a packet of this type may carry the code.
    #[must_use]
    pub const fn is_allowed_in(self, packet_type: PacketType) -> bool {
        self.packets() & 1 << packet_type as u16 != 0
    }

    /// The code in SUBACK that grants this class.
    #[must_use]
    pub const fn granted(class: Class) -> Self {
        match class {
            Class::AtMostOnce => Self::Success,
            Class::AtLeastOnce => Self::GrantedQos1,
            Class::ExactlyOnce => Self::GrantedQos2,
        }
    }

    /// What a code of SUBACK grants.
    ///
    /// # Errors
    /// The code itself, if it grants nothing.
    pub const fn to_granted(self) -> Result<Class, Self> {
        match self {
            Self::Success => Ok(Class::AtMostOnce),
            Self::GrantedQos1 => Ok(Class::AtLeastOnce),
            Self::GrantedQos2 => Ok(Class::ExactlyOnce),
            code => Err(code),
        }
    }

    /// The code with this number, if a packet of this type may carry it.
    pub(super) fn decode(number: u8, packet_type: PacketType) -> Result<Self, Violation> {
        Self::from_number(number).filter(|code| code.is_allowed_in(packet_type)).ok_or(Violation::ReasonCode)
    }

    /// The codes in the payload of SUBACK and UNSUBACK: at least one.
    pub(super) fn decode_list(
        fields: Fields<'_>,
        packet_type: PacketType,
    ) -> Result<alloc::vec::Vec<Self>, Error> {
        let codes: alloc::vec::Vec<_> =
            fields.0.iter().map(|&number| Self::decode(number, packet_type)).collect::<Result<_, _>>()?;
        if codes.is_empty() { Err(Violation::ReasonCode.into()) } else { Ok(codes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number() {
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::from_number(code.number()), Some(code));
        }
        let count = (0..=u8::MAX).filter(|&number| ReasonCode::from_number(number).is_some()).count();
        assert_eq!(count, ReasonCode::ALL.len());
    }

    //= mqtt-5.0 [MQTT-3.2.2-8] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.9.3-2]
    //= mqtt-5.0 [MQTT-3.11.3-2] [MQTT-3.14.2-1] [MQTT-3.15.2-1]
    /// Each packet has as many codes as its table in section 3; DISCONNECT has one more, 0x8C, by section 2.4.
    #[test]
    fn each_packet_has_the_codes_of_its_table() {
        for (packet_type, count) in [
            (PacketType::Connect, 0),
            (PacketType::Connack, 22),
            (PacketType::Publish, 0),
            (PacketType::Puback, 9),
            (PacketType::Pubrec, 9),
            (PacketType::Pubrel, 2),
            (PacketType::Pubcomp, 2),
            (PacketType::Suback, 12),
            (PacketType::Unsuback, 7),
            (PacketType::Disconnect, 30),
            (PacketType::Auth, 3),
        ] {
            let found = ReasonCode::ALL.iter().filter(|code| code.is_allowed_in(packet_type)).count();
            assert_eq!(found, count, "{packet_type:?}");
        }
    }
}
