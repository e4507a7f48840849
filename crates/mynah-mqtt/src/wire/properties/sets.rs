//! The properties of each packet as a struct, to be read and written by name.
//!
//! PUBLISH has none: its properties are read from their section, one at a time, by who needs them.

use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};

use mynah_model::UserProperties;

use super::property::Property;
use super::section::Section;
use crate::framing::packet_len;
use crate::wire::fields::{push_variable, variable_len};

macro_rules! property_sets {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $property:ident($value:ty),)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'b> {
            $($(#[$field_doc])* pub $field: Option<$value>,)*
            /// What the application says beside, see [`Property::UserProperty`].
            pub user: UserProperties<'b>,
        }

        impl Default for $name<'_> {
            fn default() -> Self {
                Self { $($field: None,)* user: UserProperties::EMPTY }
            }
        }

        impl<'b> From<Section<'b>> for $name<'b> {
            fn from(section: Section<'b>) -> Self {
                let mut set = Self::default();
                for property in section.iter() {
                    match property {
                        $(Property::$property(value) => set.$field = Some(value),)*
                        Property::UserProperty(_) => set.user = section.user(),
                        _ => {}
                    }
                }
                set
            }
        }

        impl<'b> $name<'b> {
            /// The properties in the order in which they are written.
            pub fn iter(self) -> impl Iterator<Item = Property<'b>> {
                let fields = [None, $(self.$field.map(Property::$property),)*];
                fields.into_iter().flatten().chain(self.user.texts().map(Property::UserProperty))
            }
        }
    )*};
}

property_sets! {
    /// The properties of CONNECT (section 3.1.2.11).
    ConnectProperties {
        /// Seconds for which the session outlives the connection, see [`Property::SessionExpiryInterval`].
        session_expiry_interval: SessionExpiryInterval(u32),
        /// Deliveries that the client takes at the same time; 65,535 if absent.
        receive_maximum: ReceiveMaximum(NonZeroU16),
        /// Bytes of the largest packet that the client takes.
        maximum_packet_size: MaximumPacketSize(NonZeroU32),
        /// The highest topic alias that the client takes; none if absent.
        topic_alias_maximum: TopicAliasMaximum(u16),
        /// Whether CONNACK may have Response Information; no if absent.
        request_response_information: RequestResponseInformation(bool),
        /// Whether explanations may be in packets that report a failure; yes if absent.
        request_problem_information: RequestProblemInformation(bool),
        /// The method of extended authentication.
        authentication_method: AuthenticationMethod(&'b str),
        /// What the method says; only with a method.
        authentication_data: AuthenticationData(&'b [u8]),
    }

    /// The properties of a will (section 3.1.3.2).
    WillProperties {
        /// Seconds from the end of the connection to the will; 0 if absent.
        will_delay_interval: WillDelayInterval(u32),
        /// Whether the message is text.
        payload_format_indicator: PayloadFormatIndicator(bool),
        /// Seconds for which the message is wanted.
        message_expiry_interval: MessageExpiryInterval(u32),
        /// What the message is.
        content_type: ContentType(&'b str),
        /// Where a reply is wanted.
        response_topic: ResponseTopic(&'b str),
        /// Ties a reply to the message.
        correlation_data: CorrelationData(&'b [u8]),
    }

    /// The properties of CONNACK (section 3.2.2.3). Clients that compare bytes expect the bounds in this order.
    ConnackProperties {
        /// The session's expiry, if it is not what the client asked for.
        session_expiry_interval: SessionExpiryInterval(u32),
        /// The highest topic alias that the server takes; none if absent.
        topic_alias_maximum: TopicAliasMaximum(u16),
        /// Bytes of the largest packet that the server takes.
        maximum_packet_size: MaximumPacketSize(NonZeroU32),
        /// Publications that the server takes at the same time; 65,535 if absent.
        receive_maximum: ReceiveMaximum(NonZeroU16),
        /// Whether the highest QoS is 1; if not, it is 0; 2 if absent.
        maximum_qos: MaximumQos(bool),
        /// Whether there are retained messages; yes if absent.
        retain_available: RetainAvailable(bool),
        /// The client identifier that the server chose.
        assigned_client_identifier: AssignedClientIdentifier(&'b str),
        /// Whether filters may have wildcards; yes if absent.
        wildcard_subscription_available: WildcardSubscriptionAvailable(bool),
        /// Whether subscriptions may have identifiers; yes if absent.
        subscription_identifier_available: SubscriptionIdentifierAvailable(bool),
        /// Whether subscriptions may be shared; yes if absent.
        shared_subscription_available: SharedSubscriptionAvailable(bool),
        /// The keep-alive that holds instead of the client's, in seconds.
        server_keep_alive: ServerKeepAlive(u16),
        /// What response topics are to be made of.
        response_information: ResponseInformation(&'b str),
        /// Another server to use.
        server_reference: ServerReference(&'b str),
        /// The method of extended authentication.
        authentication_method: AuthenticationMethod(&'b str),
        /// What the method says.
        authentication_data: AuthenticationData(&'b [u8]),
        /// For people.
        reason_string: ReasonString(&'b str),
    }

    /// The properties of PUBACK, PUBREC, PUBREL and PUBCOMP (section 3.4.2.2).
    AckProperties {
        /// For people.
        reason_string: ReasonString(&'b str),
    }

    /// The properties of SUBSCRIBE (section 3.8.2.1).
    SubscribeProperties {
        /// Names the subscriptions in the messages that they bring: 1 to 268,435,455.
        subscription_identifier: SubscriptionIdentifier(NonZeroU32),
    }

    /// The properties of SUBACK (section 3.9.2.1).
    SubackProperties {
        /// For people.
        reason_string: ReasonString(&'b str),
    }

    /// The properties of UNSUBSCRIBE (section 3.10.2.1).
    UnsubscribeProperties {}

    /// The properties of UNSUBACK (section 3.11.2.1).
    UnsubackProperties {
        /// For people.
        reason_string: ReasonString(&'b str),
    }

    /// The properties of DISCONNECT (section 3.14.2.2).
    DisconnectProperties {
        /// From a client: the session's expiry, which replaces that of CONNECT.
        session_expiry_interval: SessionExpiryInterval(u32),
        /// From a server: another server to use.
        server_reference: ServerReference(&'b str),
        /// For people.
        reason_string: ReasonString(&'b str),
    }

    /// The properties of AUTH (section 3.15.2.2).
    AuthProperties {
        /// The method of extended authentication.
        authentication_method: AuthenticationMethod(&'b str),
        /// What the method says.
        authentication_data: AuthenticationData(&'b [u8]),
        /// For people.
        reason_string: ReasonString(&'b str),
    }
}

/// Encodes properties with the length before them for a packet that has `other` bytes beside in what its remaining length
/// counts. Explanations that would make the packet larger than `size_max` bytes are left out ([MQTT-3.1.2-25],
/// [MQTT-3.4.2-2] and its like). None if the packet is larger without them.
pub(in crate::wire) fn encode_section<'b>(
    properties: impl Iterator<Item = Property<'b>>,
    other: usize,
    size_max: usize,
) -> Option<Vec<u8>> {
    let fits = |len: usize| packet_len(other + variable_len(len) + len) <= size_max;
    let mut section = Vec::new();
    for property in properties {
        if !property.id().is_explanation() || fits(section.len() + property.encoded_len()) {
            property.encode(&mut section);
        }
    }
    if !fits(section.len()) {
        return None;
    }
    let mut out = Vec::with_capacity(section.len() + 4);
    push_variable(section.len(), &mut out);
    out.append(&mut section);
    Some(out)
}
