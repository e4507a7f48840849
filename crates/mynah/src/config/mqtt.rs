//! `[mqtt]` and `[profile.NAME]`: the keys as they are written, how the ones of a profile stand over the others, and
//! what the stack takes.

use std::num::NonZeroU16;
use std::time::Duration;

use mynah_model::Class;
use mynah_mqtt::{Config, ConfigError, TextRule};
use serde::Deserialize;
use toml::Spanned;

use super::settings::Wrong;

macro_rules! keys {
    ($($name:ident: $value:ty = $default:expr,)*) => {
        /// `[mqtt]`
        #[derive(Clone, Debug, Deserialize)]
        #[cfg_attr(test, derive(serde::Serialize))]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct Mqtt {
            $($name: $value,)*
        }

        impl Default for Mqtt {
            fn default() -> Self {
                let settings = mynah_mqtt::Settings::default();
                Self { $($name: $default(&settings),)* }
            }
        }

        /// `[profile.NAME]`: what is otherwise than under `[mqtt]`.
        #[derive(Debug, Default, Deserialize)]
        #[cfg_attr(test, derive(serde::Serialize))]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct Profile {
            $($name: Option<$value>,)*
        }

        impl Mqtt {
            /// The keys of a profile, with these where it has none.
            pub(super) fn under(&self, profile: &Profile) -> Self {
                Self { $($name: profile.$name.clone().unwrap_or_else(|| self.$name.clone()),)* }
            }
        }
    };
}

type Settings = mynah_mqtt::Settings;

/// A value that no place of the file holds.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

keys! {
    packet_bytes_max: Spanned<usize> = |s: &Settings| unplaced(s.packet_bytes_max),
    connect_packet_bytes_max: Spanned<usize> = |s: &Settings| unplaced(s.connect_packet_bytes_max),
    connect_timeout_s: Spanned<u64> = |s: &Settings| unplaced(s.connect_timeout.as_secs()),
    keep_alive_s_max: Option<NonZeroU16> = |s: &Settings| s.keep_alive_max,
    receive_max: NonZeroU16 = |s: &Settings| s.receive_max,
    publications_max: NonZeroU16 = |s: &Settings| s.publications_max,
    filters_per_packet_max: Spanned<usize> = |s: &Settings| unplaced(s.filters_per_packet_max),
    allow_empty_client_id: bool = |s: &Settings| s.allow_empty_client_id,
    discouraged_characters: DiscouragedCharacters = |_: &Settings| DiscouragedCharacters::Refuse,
    unknown_level: UnknownLevel = |_: &Settings| UnknownLevel::V3_1_1,
    topic_alias_max: Spanned<u16> = |s: &Settings| unplaced(s.topic_alias_max),
    outbound_topic_alias_max: Spanned<u16> = |s: &Settings| unplaced(s.outbound_topic_alias_max),
    qos_max: Spanned<u8> = |s: &Settings| unplaced(s.qos_max.number()),
    retain_available: bool = |s: &Settings| s.retain_available,
    wildcards_available: bool = |s: &Settings| s.wildcards_available,
    subscription_ids_available: bool = |s: &Settings| s.subscription_ids_available,
    shares_available: bool = |s: &Settings| s.shares_available,
    payload_format_check: bool = |s: &Settings| s.payload_format_check,
    reason_strings: bool = |s: &Settings| s.reason_strings,
    response_information: Option<Spanned<String>> = |_: &Settings| None,
    server_reference: Option<Spanned<String>> = |_: &Settings| None,
    subscribe_refused: SubscribeRefused = |_: &Settings| SubscribeRefused::NotAuthorized,
    overlapping: Overlapping = |_: &Settings| Overlapping::Once,
    answers: Answers = |_: &Settings| Answers::Specification,
}

/// What is done with control characters and non-characters in the strings of MQTT.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
enum DiscouragedCharacters {
    Refuse,
    Accept,
}

/// In which version a CONNECT is answered whose protocol level belongs to none.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
enum UnknownLevel {
    #[serde(rename = "3.1.1")]
    V3_1_1,
    #[serde(rename = "5.0")]
    V5,
}

/// The reason code for a subscription that its client may not make.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
enum SubscribeRefused {
    #[serde(rename = "0x87")]
    NotAuthorized,
    #[serde(rename = "0x80")]
    Unspecified,
}

/// How often a client gets a message that several of its subscriptions match.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
enum Overlapping {
    Once,
    Each,
}

/// Whose answers clients of MQTT 5.0 get.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
enum Answers {
    Specification,
    Mosquitto,
}

impl Mqtt {
    /// What the stack takes.
    pub(super) fn settle(&self) -> Result<Config, Wrong> {
        let qos_max = Class::from_number(*self.qos_max.get_ref())
            .ok_or_else(|| Wrong::at(&self.qos_max, "qos_max must be 0, 1 or 2"))?;
        let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.get_ref().as_str().into());
        let settings = mynah_mqtt::Settings {
            packet_bytes_max: *self.packet_bytes_max.get_ref(),
            connect_packet_bytes_max: *self.connect_packet_bytes_max.get_ref(),
            connect_timeout: Duration::from_secs(*self.connect_timeout_s.get_ref()),
            keep_alive_max: self.keep_alive_s_max,
            receive_max: self.receive_max,
            publications_max: self.publications_max,
            filters_per_packet_max: *self.filters_per_packet_max.get_ref(),
            allow_empty_client_id: self.allow_empty_client_id,
            text_rule: match self.discouraged_characters {
                DiscouragedCharacters::Refuse => TextRule::RefuseDiscouraged,
                DiscouragedCharacters::Accept => TextRule::AcceptDiscouraged,
            },
            unknown_level: match self.unknown_level {
                UnknownLevel::V3_1_1 => mynah_mqtt::UnknownLevel::AsV3_1_1,
                UnknownLevel::V5 => mynah_mqtt::UnknownLevel::AsV5,
            },
            topic_alias_max: *self.topic_alias_max.get_ref(),
            outbound_topic_alias_max: *self.outbound_topic_alias_max.get_ref(),
            qos_max,
            retain_available: self.retain_available,
            wildcards_available: self.wildcards_available,
            subscription_ids_available: self.subscription_ids_available,
            shares_available: self.shares_available,
            payload_format_check: self.payload_format_check,
            reason_strings: self.reason_strings,
            response_information: text(&self.response_information),
            server_reference: text(&self.server_reference),
            subscribe_refused: match self.subscribe_refused {
                SubscribeRefused::NotAuthorized => mynah_mqtt::SubscribeRefused::NotAuthorized,
                SubscribeRefused::Unspecified => mynah_mqtt::SubscribeRefused::Unspecified,
            },
            overlapping: match self.overlapping {
                Overlapping::Once => mynah_mqtt::Overlapping::Once,
                Overlapping::Each => mynah_mqtt::Overlapping::Each,
            },
            answers: match self.answers {
                Answers::Specification => mynah_mqtt::Answers::Specification,
                Answers::Mosquitto => mynah_mqtt::Answers::Mosquitto,
            },
        };
        Config::new(settings).map_err(|error| self.wrong(error))
    }

    /// The error with its place.
    fn wrong(&self, error: ConfigError) -> Wrong {
        let text = |text: &Option<Spanned<String>>| text.as_ref().map_or(0..0, Spanned::span);
        let span = match error {
            ConfigError::PacketBytesMax => self.packet_bytes_max.span(),
            ConfigError::ConnectPacketBytesMax => self.connect_packet_bytes_max.span(),
            ConfigError::ConnectTimeout => self.connect_timeout_s.span(),
            ConfigError::FiltersPerPacketMax => self.filters_per_packet_max.span(),
            ConfigError::TopicAliasMax => self.topic_alias_max.span(),
            ConfigError::OutboundTopicAliasMax => self.outbound_topic_alias_max.span(),
            ConfigError::ResponseInformation => text(&self.response_information),
            ConfigError::ServerReference => text(&self.server_reference),
        };
        Wrong { span, message: error.to_string() }
    }
}
