//! What an operator may set for an MQTT listener: typed, bounded, with safe defaults.

use alloc::boxed::Box;
use core::fmt;
use core::num::NonZeroU16;
use core::ops::RangeInclusive;
use core::time::Duration;

use mynah_model::Class;

use crate::TextRule;
use crate::connection::Answers;
use crate::framing::REMAINING_LENGTH_MAX;
use crate::wire::check_text;

/// The settings as they are written. [`Config::new`] checks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the largest packet that a client may send once its session is open; a client of MQTT 5.0 is told.
    /// Default 16 MiB.
    pub packet_bytes_max: usize,
    /// Bytes of the largest CONNECT: what a peer may make the server keep before it is known. Default 8 KiB.
    pub connect_packet_bytes_max: usize,
    /// How long a peer may take from the first byte to an open session. Default 10 s.
    pub connect_timeout: Duration,
    /// Seconds of the longest keep-alive that is accepted. A client that asks for more, or for none, has to be content
    /// with this one if it speaks MQTT 5.0, and is refused with return code 2 if not. Default: every keep-alive is
    /// accepted.
    pub keep_alive_max: Option<NonZeroU16>,
    /// Deliveries to one client that it has not confirmed. Default 1,024.
    pub receive_max: NonZeroU16,
    /// Publications of QoS 1 and 2 of one client that are not finished: what a client of MQTT 5.0 is told as Receive
    /// Maximum, and held to. Default 1,024.
    pub publications_max: NonZeroU16,
    /// Filters of one SUBSCRIBE or UNSUBSCRIBE. Default 10,000.
    pub filters_per_packet_max: usize,
    /// Whether the server chooses an identifier for a client that has none ([MQTT-3.1.3-6]). Default true.
    pub allow_empty_client_id: bool,
    /// What to do with control characters and non-characters in strings. Default: close the connection.
    pub text_rule: TextRule,
    /// How a CONNECT with a protocol level that no version of MQTT has is answered. Default: as MQTT 3.1.1 demands.
    pub unknown_level: UnknownLevel,
    /// The highest topic alias that a client may use; 0: none. Default 16.
    pub topic_alias_max: u16,
    /// Topics for which a client is sent an alias, if it allows as many. Default 16.
    pub outbound_topic_alias_max: u16,
    /// The highest QoS that a client may publish with, and be granted. Default 2.
    pub qos_max: Class,
    /// Whether clients may retain messages. Default true.
    pub retain_available: bool,
    /// Whether filters may have wildcards. Default true.
    pub wildcards_available: bool,
    /// Whether subscriptions may have identifiers. Default true.
    pub subscription_ids_available: bool,
    /// Whether subscriptions may be shared. Default true.
    pub shares_available: bool,
    /// Whether a payload that is said to be text is looked at. Default false.
    pub payload_format_check: bool,
    /// Whether failures are explained in words to clients of MQTT 5.0. Default true.
    pub reason_strings: bool,
    /// What a client of MQTT 5.0 is told that its response topics are to be made of, if it asks. Default: nothing.
    pub response_information: Option<Box<str>>,
    /// The server that clients of MQTT 5.0 are told to use when this one stops. Default: none.
    pub server_reference: Option<Box<str>>,
    /// How a subscription that its client may not make is answered in MQTT 5.0. Default: 0x87.
    pub subscribe_refused: SubscribeRefused,
    /// What a client gets whose subscriptions overlap. Default: one copy of a message.
    pub overlapping: Overlapping,
    /// How errors and oddities of clients of MQTT 5.0 are answered. Default: as the specification has it.
    pub answers: Answers,
}

/// The reason code in SUBACK for a subscription that its client may not make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubscribeRefused {
    /// 0x87, "not authorized".
    #[default]
    NotAuthorized,
    /// 0x80, "unspecified error", which is also what MQTT 3.1.1 has.
    Unspecified,
}

/// What a client gets for a message that several of its subscriptions match (section 3.3.4 of MQTT 5.0 allows both).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlapping {
    /// One copy, with the identifiers of all.
    #[default]
    Once,
    /// One copy for each.
    Each,
}

/// How a CONNECT with a protocol level that no version of MQTT has is answered before the connection is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownLevel {
    /// CONNACK with return code 1, as [MQTT-3.1.2-2] of MQTT 3.1.1 demands.
    #[default]
    AsV3_1_1,
    /// CONNACK of MQTT 5.0 with reason code 0x84, as that version allows and Mosquitto does.
    AsV5,
}

impl Default for Settings {
    fn default() -> Self {
        const RECEIVE_MAX: NonZeroU16 = NonZeroU16::new(1_024).unwrap();
        const TOPIC_ALIAS_MAX: u16 = 16;
        Self {
            packet_bytes_max: 16 << 20,
            connect_packet_bytes_max: 8 << 10,
            connect_timeout: Duration::from_secs(10),
            keep_alive_max: None,
            receive_max: RECEIVE_MAX,
            publications_max: RECEIVE_MAX,
            filters_per_packet_max: 10_000,
            allow_empty_client_id: true,
            text_rule: TextRule::RefuseDiscouraged,
            unknown_level: UnknownLevel::AsV3_1_1,
            topic_alias_max: TOPIC_ALIAS_MAX,
            outbound_topic_alias_max: TOPIC_ALIAS_MAX,
            qos_max: Class::ExactlyOnce,
            retain_available: true,
            wildcards_available: true,
            subscription_ids_available: true,
            shares_available: true,
            payload_format_check: false,
            reason_strings: true,
            response_information: None,
            server_reference: None,
            subscribe_refused: SubscribeRefused::NotAuthorized,
            overlapping: Overlapping::Once,
            answers: Answers::Specification,
        }
    }
}

/// Settings that have been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(Settings);

impl Config {
    /// What [`Settings::packet_bytes_max`] may be.
    pub const PACKET_BYTES_MAX: RangeInclusive<usize> = 1_024..=REMAINING_LENGTH_MAX + 5;
    /// What [`Settings::connect_packet_bytes_max`] may be; it is also not more than `packet_bytes_max`.
    pub const CONNECT_PACKET_BYTES_MAX: RangeInclusive<usize> = 128..=1 << 20;
    /// What [`Settings::connect_timeout`] may be.
    pub const CONNECT_TIMEOUT: RangeInclusive<Duration> =
        Duration::from_millis(100)..=Duration::from_secs(600);
    /// What [`Settings::filters_per_packet_max`] may be.
    pub const FILTERS_PER_PACKET_MAX: RangeInclusive<usize> = 1..=1_000_000;

    /// What [`Settings::topic_alias_max`] and [`Settings::outbound_topic_alias_max`] may be: each alias keeps a topic.
    pub const TOPIC_ALIAS_MAX: RangeInclusive<u16> = 0..=1_000;
    /// Bytes that [`Settings::response_information`] and [`Settings::server_reference`] may have.
    pub const TEXT_BYTES: RangeInclusive<usize> = 1..=1_024;

    /// Checks settings.
    ///
    /// # Errors
    /// The first setting that is outside its bounds.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        if !Self::PACKET_BYTES_MAX.contains(&settings.packet_bytes_max) {
            return Err(ConfigError::PacketBytesMax);
        }
        let connect = settings.connect_packet_bytes_max;
        if !Self::CONNECT_PACKET_BYTES_MAX.contains(&connect) || connect > settings.packet_bytes_max {
            return Err(ConfigError::ConnectPacketBytesMax);
        }
        if !Self::CONNECT_TIMEOUT.contains(&settings.connect_timeout) {
            return Err(ConfigError::ConnectTimeout);
        }
        if !Self::FILTERS_PER_PACKET_MAX.contains(&settings.filters_per_packet_max) {
            return Err(ConfigError::FiltersPerPacketMax);
        }
        if !Self::TOPIC_ALIAS_MAX.contains(&settings.topic_alias_max) {
            return Err(ConfigError::TopicAliasMax);
        }
        if !Self::TOPIC_ALIAS_MAX.contains(&settings.outbound_topic_alias_max) {
            return Err(ConfigError::OutboundTopicAliasMax);
        }
        let is_text = |text: &Option<Box<str>>| {
            text.as_ref().is_none_or(|text| {
                Self::TEXT_BYTES.contains(&text.len())
                    && check_text(text.as_bytes(), TextRule::RefuseDiscouraged).is_ok()
            })
        };
        if !is_text(&settings.response_information) {
            return Err(ConfigError::ResponseInformation);
        }
        if !is_text(&settings.server_reference) {
            return Err(ConfigError::ServerReference);
        }
        Ok(Self(settings))
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.0
    }
}

/// A setting that is outside its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// See [`Config::PACKET_BYTES_MAX`].
    PacketBytesMax,
    /// See [`Config::CONNECT_PACKET_BYTES_MAX`].
    ConnectPacketBytesMax,
    /// See [`Config::CONNECT_TIMEOUT`].
    ConnectTimeout,
    /// See [`Config::FILTERS_PER_PACKET_MAX`].
    FiltersPerPacketMax,
    /// See [`Config::TOPIC_ALIAS_MAX`].
    TopicAliasMax,
    /// See [`Config::TOPIC_ALIAS_MAX`].
    OutboundTopicAliasMax,
    /// See [`Config::TEXT_BYTES`].
    ResponseInformation,
    /// See [`Config::TEXT_BYTES`].
    ServerReference,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PacketBytesMax => "packet_bytes_max must be 1024 to 268435460 bytes",
            Self::ConnectPacketBytesMax => {
                "connect_packet_bytes_max must be 128 to 1048576 bytes and not more than packet_bytes_max"
            }
            Self::ConnectTimeout => "connect_timeout must be 100 ms to 600 s",
            Self::FiltersPerPacketMax => "filters_per_packet_max must be 1 to 1000000",
            Self::TopicAliasMax => "topic_alias_max must be 0 to 1000",
            Self::OutboundTopicAliasMax => "outbound_topic_alias_max must be 0 to 1000",
            Self::ResponseInformation => {
                "response_information must have 1 to 1024 bytes and no control characters"
            }
            Self::ServerReference => "server_reference must have 1 to 1024 bytes and no control characters",
        })
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_bounds() {
        assert_eq!(Config::new(Settings::default()), Ok(Config::default()));
    }

    #[test]
    fn each_bound_is_checked() {
        let default = Settings::default;
        for (settings, error) in [
            (Settings { packet_bytes_max: 1_023, ..default() }, ConfigError::PacketBytesMax),
            (Settings { packet_bytes_max: 268_435_461, ..default() }, ConfigError::PacketBytesMax),
            (Settings { connect_packet_bytes_max: 127, ..default() }, ConfigError::ConnectPacketBytesMax),
            (Settings { packet_bytes_max: 8_191, ..default() }, ConfigError::ConnectPacketBytesMax),
            (Settings { connect_timeout: Duration::ZERO, ..default() }, ConfigError::ConnectTimeout),
            (Settings { filters_per_packet_max: 0, ..default() }, ConfigError::FiltersPerPacketMax),
            (Settings { topic_alias_max: 1_001, ..default() }, ConfigError::TopicAliasMax),
            (Settings { outbound_topic_alias_max: 1_001, ..default() }, ConfigError::OutboundTopicAliasMax),
            (
                Settings { response_information: Some("".into()), ..default() },
                ConfigError::ResponseInformation,
            ),
            (Settings { server_reference: Some("a\0".into()), ..default() }, ConfigError::ServerReference),
        ] {
            assert_eq!(Config::new(settings), Err(error));
        }
    }
}
