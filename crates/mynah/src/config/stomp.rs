//! `[stomp]`: the keys as they are written, and what the stack takes.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use mynah_stomp::mapping::Profile;
use mynah_stomp::{Config, ConfigError, Settings};
use serde::Deserialize;
use toml::Spanned;

use super::settings::Wrong;

/// `[stomp]`
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Stomp {
    destinations: Destinations,
    frame_bytes_max: Spanned<usize>,
    head_bytes_max: Spanned<usize>,
    headers_max: Spanned<usize>,
    connect_frame_bytes_max: Spanned<usize>,
    connect_timeout_s: Spanned<u64>,
    heart_beat_ms_min: Spanned<u64>,
    prefetch_messages: Spanned<NonZeroU32>,
    prefetch_bytes: Spanned<NonZeroU32>,
    prefetch_messages_max: NonZeroU32,
    prefetch_bytes_max: NonZeroU32,
    backlog_messages_max: NonZeroU32,
    backlog_bytes_max: NonZeroU32,
    subscriptions_max: Spanned<usize>,
    queues_max: Spanned<usize>,
    unanswered_max: NonZeroU16,
    transactions_max: Spanned<usize>,
    transaction_bytes_max: Spanned<usize>,
    transaction_frames_max: Spanned<usize>,
}

/// How destinations are spelled.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
enum Destinations {
    RabbitMq,
    ActiveMq,
    Plain,
}

impl From<Destinations> for Profile {
    fn from(destinations: Destinations) -> Self {
        match destinations {
            Destinations::RabbitMq => Self::RabbitMq,
            Destinations::ActiveMq => Self::ActiveMq,
            Destinations::Plain => Self::Plain,
        }
    }
}

/// The profile of this name.
pub(super) fn profile(name: &str) -> Option<Profile> {
    let name = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name);
    Destinations::deserialize(name).ok().map(Profile::from)
}

/// A value that no place of the file holds.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

impl Default for Stomp {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            destinations: Destinations::RabbitMq,
            frame_bytes_max: unplaced(settings.frame_octets_max),
            head_bytes_max: unplaced(settings.head_octets_max),
            headers_max: unplaced(settings.headers_max),
            connect_frame_bytes_max: unplaced(settings.connect_octets_max),
            connect_timeout_s: unplaced(settings.connect_timeout.as_secs()),
            heart_beat_ms_min: unplaced(
                u64::try_from(settings.heart_beat_min.as_millis()).unwrap_or(u64::MAX),
            ),
            prefetch_messages: unplaced(settings.prefetch_messages),
            prefetch_bytes: unplaced(settings.prefetch_octets),
            prefetch_messages_max: settings.prefetch_messages_max,
            prefetch_bytes_max: settings.prefetch_octets_max,
            backlog_messages_max: settings.backlog_messages_max,
            backlog_bytes_max: settings.backlog_octets_max,
            subscriptions_max: unplaced(settings.subscriptions_max),
            queues_max: unplaced(settings.queues_max),
            unanswered_max: NonZeroU16::new(settings.unanswered_max).unwrap_or(NonZeroU16::MIN),
            transactions_max: unplaced(settings.transactions_max),
            transaction_bytes_max: unplaced(settings.transaction_octets_max),
            transaction_frames_max: unplaced(settings.transaction_frames_max),
        }
    }
}

impl Stomp {
    /// What the stack takes.
    pub(super) fn settle(&self) -> Result<Config, Wrong> {
        let settings = Settings {
            profile: self.destinations.into(),
            frame_octets_max: *self.frame_bytes_max.get_ref(),
            head_octets_max: *self.head_bytes_max.get_ref(),
            headers_max: *self.headers_max.get_ref(),
            connect_octets_max: *self.connect_frame_bytes_max.get_ref(),
            connect_timeout: Duration::from_secs(*self.connect_timeout_s.get_ref()),
            heart_beat_min: Duration::from_millis(*self.heart_beat_ms_min.get_ref()),
            prefetch_messages: *self.prefetch_messages.get_ref(),
            prefetch_octets: *self.prefetch_bytes.get_ref(),
            prefetch_messages_max: self.prefetch_messages_max,
            prefetch_octets_max: self.prefetch_bytes_max,
            backlog_messages_max: self.backlog_messages_max,
            backlog_octets_max: self.backlog_bytes_max,
            subscriptions_max: *self.subscriptions_max.get_ref(),
            queues_max: *self.queues_max.get_ref(),
            unanswered_max: self.unanswered_max.get(),
            transactions_max: *self.transactions_max.get_ref(),
            transaction_octets_max: *self.transaction_bytes_max.get_ref(),
            transaction_frames_max: *self.transaction_frames_max.get_ref(),
        };
        Config::new(settings).map_err(|error| self.wrong(error))
    }

    /// The error with its place, in the words of the file.
    fn wrong(&self, error: ConfigError) -> Wrong {
        let (span, message) = match error {
            ConfigError::FrameOctetsMax => {
                (self.frame_bytes_max.span(), "frame_bytes_max must be 1024 to 268435456")
            }
            ConfigError::HeadOctetsMax => (
                self.head_bytes_max.span(),
                "head_bytes_max must be 512 to 1048576, and not more than frame_bytes_max",
            ),
            ConfigError::HeadersMax => (self.headers_max.span(), "headers_max must be 8 to 10000"),
            ConfigError::ConnectOctetsMax => (
                self.connect_frame_bytes_max.span(),
                "connect_frame_bytes_max must be 128 to 1048576, and not more than frame_bytes_max",
            ),
            ConfigError::ConnectTimeout => {
                (self.connect_timeout_s.span(), "connect_timeout_s must be 1 to 600 seconds")
            }
            ConfigError::HeartBeatMin => {
                (self.heart_beat_ms_min.span(), "heart_beat_ms_min must be 10 to 3600000")
            }
            ConfigError::PrefetchMessages => (
                self.prefetch_messages.span(),
                "prefetch_messages must not be more than prefetch_messages_max",
            ),
            ConfigError::PrefetchOctets => {
                (self.prefetch_bytes.span(), "prefetch_bytes must not be more than prefetch_bytes_max")
            }
            ConfigError::SubscriptionsMax => {
                (self.subscriptions_max.span(), "subscriptions_max must be 1 to 1000000")
            }
            ConfigError::QueuesMax | ConfigError::UnansweredMax => {
                (self.queues_max.span(), "queues_max must be 1 to 1000000")
            }
            ConfigError::TransactionsMax => {
                (self.transactions_max.span(), "transactions_max must be 1 to 1000000")
            }
            ConfigError::TransactionOctetsMax => {
                (self.transaction_bytes_max.span(), "transaction_bytes_max must be 1024 to 1073741824")
            }
            ConfigError::TransactionFramesMax => {
                (self.transaction_frames_max.span(), "transaction_frames_max must be 1 to 1000000")
            }
        };
        Wrong { span, message: message.to_owned() }
    }
}
