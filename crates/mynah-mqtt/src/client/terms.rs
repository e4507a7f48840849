//! What a server takes, as its CONNACK says (section 3.2.2.3 of MQTT 5.0).

use core::num::NonZeroU16;

use mynah_model::Class;

use crate::framing::REMAINING_LENGTH_MAX;
use crate::wire::ReasonCode;
use crate::wire::properties::ConnackProperties;

/// Bytes of the largest packet that MQTT can spell.
pub(crate) const PACKET_BYTES_MAX: usize = REMAINING_LENGTH_MAX + 5;

/// What a server takes. What it does not speak of it takes, and before MQTT 5.0 it speaks of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Publications of QoS 1 and 2 that it takes at the same time.
    pub receive_max: u16,
    /// Bytes of the largest packet.
    pub packet_bytes_max: usize,
    /// The highest QoS.
    pub class_max: Class,
    /// Whether it has retained messages.
    pub retain: bool,
    /// The highest topic alias; 0 for none.
    pub topic_alias_max: u16,
    /// Whether filters may have wildcards.
    pub wildcards: bool,
    /// Whether subscriptions may have identifiers.
    pub subscription_ids: bool,
    /// Whether subscriptions may be shared.
    pub shared: bool,
}

impl Terms {
    /// Those of a server that sets none.
    pub const NONE: Self = Self {
        receive_max: u16::MAX,
        packet_bytes_max: PACKET_BYTES_MAX,
        class_max: Class::ExactlyOnce,
        retain: true,
        topic_alias_max: 0,
        wildcards: true,
        subscription_ids: true,
        shared: true,
    };

    /// Why the server would not take such a PUBLISH, if it would not ([MQTT-3.2.2-11], [MQTT-3.2.2-14],
    /// [MQTT-3.2.2-15] of MQTT 5.0).
    #[must_use]
    pub fn refusal(&self, class: Class, retain: bool, packet_len: usize) -> Option<ReasonCode> {
        if packet_len > self.packet_bytes_max {
            Some(ReasonCode::PacketTooLarge)
        } else if class > self.class_max {
            Some(ReasonCode::QosNotSupported)
        } else if retain && !self.retain {
            Some(ReasonCode::RetainNotSupported)
        } else {
            None
        }
    }
}

impl From<&ConnackProperties<'_>> for Terms {
    fn from(said: &ConnackProperties<'_>) -> Self {
        Self {
            receive_max: said.receive_maximum.map_or(u16::MAX, NonZeroU16::get),
            packet_bytes_max: said
                .maximum_packet_size
                .map_or(PACKET_BYTES_MAX, |max| PACKET_BYTES_MAX.min(max.get() as usize)),
            class_max: match said.maximum_qos {
                None => Class::ExactlyOnce,
                Some(true) => Class::AtLeastOnce,
                Some(false) => Class::AtMostOnce,
            },
            retain: said.retain_available.unwrap_or(true),
            topic_alias_max: said.topic_alias_maximum.unwrap_or(0),
            wildcards: said.wildcard_subscription_available.unwrap_or(true),
            subscription_ids: said.subscription_identifier_available.unwrap_or(true),
            shared: said.shared_subscription_available.unwrap_or(true),
        }
    }
}
