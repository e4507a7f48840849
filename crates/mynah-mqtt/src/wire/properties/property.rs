//! The 27 properties (table 2-4): identifier, type, and where each may be.

use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};

use super::section::PropertyHolder;
use crate::wire::fields::{push_bytes, push_variable, variable_len};

/// The type of a property's value (section 2.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One byte that is 0 or 1.
    Flag,
    /// An integer of two bytes.
    Two,
    /// An integer of two bytes that is not 0.
    TwoNotZero,
    /// An integer of four bytes.
    Four,
    /// An integer of four bytes that is not 0.
    FourNotZero,
    /// A variable byte integer that is not 0.
    Variable,
    /// A string.
    Text,
    /// A string that is a topic name.
    TopicName,
    /// Binary data.
    Binary,
    /// Two strings.
    Pair,
}

macro_rules! properties {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $kind:ident($value:ty), $($holder:ident)|+;)*) => {
        /// The identifier of a property (table 2-4).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum PropertyId {
            $($(#[$doc])* $name = $number,)*
        }

        impl PropertyId {
            /// Every identifier, in ascending order.
            pub const ALL: [Self; 27] = [$(Self::$name),*];

            /// The identifier with this number.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            #[inline]
            pub(super) const fn kind(self) -> Kind {
                match self {
                    $(Self::$name => Kind::$kind,)*
                }
            }

            const fn holders(self) -> u16 {
                match self {
                    $(Self::$name => $(1 << PropertyHolder::$holder as u16)|+,)*
                }
            }
        }

        /// A property with its value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Property<'b> {
            $($(#[$doc])* $name($value),)*
        }

        impl Property<'_> {
            /// Which property.
            #[must_use]
            pub const fn id(&self) -> PropertyId {
                match self {
                    $(Self::$name(_) => PropertyId::$name,)*
                }
            }
        }
    };
}

properties! {
    /// Whether the payload is UTF-8 text.
    PayloadFormatIndicator = 0x01, Flag(bool), Publish | Will;
    /// Seconds for which the message is wanted.
    MessageExpiryInterval = 0x02, Four(u32), Publish | Will;
    /// What the payload is, in the application's words.
    ContentType = 0x03, Text(&'b str), Publish | Will;
    /// Where a reply is wanted: a topic name.
    ResponseTopic = 0x08, TopicName(&'b str), Publish | Will;
    /// Ties a reply to its request.
    CorrelationData = 0x09, Binary(&'b [u8]), Publish | Will;
    /// Names a subscription: 1 to 268,435,455.
    SubscriptionIdentifier = 0x0B, Variable(NonZeroU32), Publish | Subscribe;
    /// Seconds for which the session outlives the connection; 0xFFFFFFFF for ever.
    SessionExpiryInterval = 0x11, Four(u32), Connect | Connack | Disconnect;
    /// The client identifier that the server chose.
    AssignedClientIdentifier = 0x12, Text(&'b str), Connack;
    /// The keep-alive that the server wants, in seconds.
    ServerKeepAlive = 0x13, Two(u16), Connack;
    /// The name of the method of extended authentication.
    AuthenticationMethod = 0x15, Text(&'b str), Connect | Connack | Auth;
    /// What the method says.
    AuthenticationData = 0x16, Binary(&'b [u8]), Connect | Connack | Auth;
    /// Whether Reason String and User Property may be in packets that report a failure.
    RequestProblemInformation = 0x17, Flag(bool), Connect;
    /// Seconds from the end of the connection to the will.
    WillDelayInterval = 0x18, Four(u32), Will;
    /// Whether CONNACK may have Response Information.
    RequestResponseInformation = 0x19, Flag(bool), Connect;
    /// What response topics are to be made of.
    ResponseInformation = 0x1A, Text(&'b str), Connack;
    /// Another server to use.
    ServerReference = 0x1C, Text(&'b str), Connack | Disconnect;
    /// For people: what is behind the reason code.
    ReasonString = 0x1F, Text(&'b str),
        Connack | Puback | Pubrec | Pubrel | Pubcomp | Suback | Unsuback | Disconnect | Auth;
    /// Publications of QoS 1 and 2 that the sender takes at the same time.
    ReceiveMaximum = 0x21, TwoNotZero(NonZeroU16), Connect | Connack;
    /// The highest topic alias that the sender takes.
    TopicAliasMaximum = 0x22, Two(u16), Connect | Connack;
    /// Stands for the topic name.
    TopicAlias = 0x23, TwoNotZero(NonZeroU16), Publish;
    /// Whether the highest QoS that the server takes is 1; if not, it is 0.
    MaximumQos = 0x24, Flag(bool), Connack;
    /// Whether the server has retained messages.
    RetainAvailable = 0x25, Flag(bool), Connack;
    /// A name and a value that mean something to the application.
    UserProperty = 0x26, Pair((&'b str, &'b str)),
        Connect | Connack | Publish | Will | Puback | Pubrec | Pubrel | Pubcomp | Subscribe | Suback
            | Unsubscribe | Unsuback | Disconnect | Auth;
    /// Bytes of the largest packet that the sender takes.
    MaximumPacketSize = 0x27, FourNotZero(NonZeroU32), Connect | Connack;
    /// Whether the server takes filters with wildcards.
    WildcardSubscriptionAvailable = 0x28, Flag(bool), Connack;
    /// Whether the server takes subscription identifiers.
    SubscriptionIdentifierAvailable = 0x29, Flag(bool), Connack;
    /// Whether the server takes shared subscriptions.
    SharedSubscriptionAvailable = 0x2A, Flag(bool), Connack;
}

impl PropertyId {
    /// Whether the property may be in this packet, or in a will.
    #[must_use]
    pub const fn is_allowed_in(self, holder: PropertyHolder) -> bool {
        self.holders() & 1 << holder as u16 != 0
    }

    /// Whether the property may be there more than once. A server names every subscription that a PUBLISH is for.
    #[must_use]
    pub const fn may_repeat_in(self, holder: PropertyHolder) -> bool {
        match self {
            Self::UserProperty => true,
            Self::SubscriptionIdentifier => matches!(holder, PropertyHolder::Publish),
            _ => false,
        }
    }

    /// Whether the property explains and may be left out: a sender does so rather than exceed the Maximum Packet Size.
    #[must_use]
    pub const fn is_explanation(self) -> bool {
        matches!(self, Self::ReasonString | Self::UserProperty)
    }
}

impl Property<'_> {
    /// Bytes of the property with its identifier.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        1 + match self {
            Self::PayloadFormatIndicator(_)
            | Self::RequestProblemInformation(_)
            | Self::RequestResponseInformation(_)
            | Self::MaximumQos(_)
            | Self::RetainAvailable(_)
            | Self::WildcardSubscriptionAvailable(_)
            | Self::SubscriptionIdentifierAvailable(_)
            | Self::SharedSubscriptionAvailable(_) => 1,
            Self::ServerKeepAlive(_)
            | Self::ReceiveMaximum(_)
            | Self::TopicAliasMaximum(_)
            | Self::TopicAlias(_) => 2,
            Self::MessageExpiryInterval(_)
            | Self::SessionExpiryInterval(_)
            | Self::WillDelayInterval(_)
            | Self::MaximumPacketSize(_) => 4,
            Self::SubscriptionIdentifier(number) => variable_len(number.get() as usize),
            Self::CorrelationData(bytes) | Self::AuthenticationData(bytes) => 2 + bytes.len(),
            Self::ContentType(text)
            | Self::ResponseTopic(text)
            | Self::AssignedClientIdentifier(text)
            | Self::AuthenticationMethod(text)
            | Self::ResponseInformation(text)
            | Self::ServerReference(text)
            | Self::ReasonString(text) => 2 + text.len(),
            Self::UserProperty((name, value)) => 4 + name.len() + value.len(),
        }
    }

    /// Writes the property. No string and no data has more than 65,535 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.id() as u8);
        match *self {
            Self::PayloadFormatIndicator(flag)
            | Self::RequestProblemInformation(flag)
            | Self::RequestResponseInformation(flag)
            | Self::MaximumQos(flag)
            | Self::RetainAvailable(flag)
            | Self::WildcardSubscriptionAvailable(flag)
            | Self::SubscriptionIdentifierAvailable(flag)
            | Self::SharedSubscriptionAvailable(flag) => out.push(u8::from(flag)),
            Self::ServerKeepAlive(number) | Self::TopicAliasMaximum(number) => {
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::ReceiveMaximum(number) | Self::TopicAlias(number) => {
                out.extend_from_slice(&number.get().to_be_bytes());
            }
            Self::MessageExpiryInterval(number)
            | Self::SessionExpiryInterval(number)
            | Self::WillDelayInterval(number) => out.extend_from_slice(&number.to_be_bytes()),
            Self::MaximumPacketSize(number) => out.extend_from_slice(&number.get().to_be_bytes()),
            Self::SubscriptionIdentifier(number) => push_variable(number.get() as usize, out),
            Self::CorrelationData(bytes) | Self::AuthenticationData(bytes) => push_bytes(bytes, out),
            Self::ContentType(text)
            | Self::ResponseTopic(text)
            | Self::AssignedClientIdentifier(text)
            | Self::AuthenticationMethod(text)
            | Self::ResponseInformation(text)
            | Self::ServerReference(text)
            | Self::ReasonString(text) => push_bytes(text.as_bytes(), out),
            Self::UserProperty((name, value)) => {
                push_bytes(name.as_bytes(), out);
                push_bytes(value.as_bytes(), out);
            }
        }
    }
}
