//! What an operator may set for a STOMP listener: typed, bounded, with safe defaults.

use core::fmt;
use core::num::NonZeroU32;
use core::ops::RangeInclusive;
use core::time::Duration;

use mynah_stack::Credit;

use crate::framing::FrameLimits;
use crate::mapping::Profile;

/// The settings as they are written. [`Config::new`] checks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How topics and wildcards are spelled in destinations. Default: as RabbitMQ has them.
    pub profile: Profile,
    /// Octets of the largest frame that a client may send once its session is open. Default 16 MiB and 64 KiB: a body of 16
    /// MiB with the largest head.
    pub frame_octets_max: usize,
    /// Octets of command and headers of a frame. Default 64 KiB.
    pub head_octets_max: usize,
    /// Headers of a frame. Default 256.
    pub headers_max: usize,
    /// Octets of the largest CONNECT: what a peer may make the server keep before it is known. Default 8 KiB.
    pub connect_octets_max: usize,
    /// How long a peer may take from the first octet to an open session, and at the end for what it waits for. Default 10 s.
    pub connect_timeout: Duration,
    /// The shortest time between two heart-beats, in either direction. Default 100 ms.
    pub heart_beat_min: Duration,
    /// Messages that a subscription may have under way without an acknowledgement, if it does not say. Default 100.
    pub prefetch_messages: NonZeroU32,
    /// Octets of the messages that a subscription may have under way, if it does not say; one message may be larger.
    /// Default 1 MiB.
    pub prefetch_octets: NonZeroU32,
    /// What a subscription may ask for at most, in messages. Default 65,535.
    pub prefetch_messages_max: NonZeroU32,
    /// What a subscription may ask for at most, in octets. Default 64 MiB.
    pub prefetch_octets_max: NonZeroU32,
    /// Messages that wait for a subscription to a topic that acknowledges; the oldest is dropped for a new one. Default
    /// 100,000.
    pub backlog_messages_max: NonZeroU32,
    /// Octets of the messages that wait for such a subscription. Default 64 MiB.
    pub backlog_octets_max: NonZeroU32,
    /// Subscriptions of one connection, temporary queues included. Default 1,000.
    pub subscriptions_max: usize,
    /// Queues that a connection keeps in mind to have been made, if they were not there, when it sent to them first. Default
    /// 10,000.
    pub queues_max: usize,
    /// Frames of one client that wait for what they asked for to be stored. Default 1,024.
    pub unanswered_max: u16,
    /// Transactions that one connection may have open. Default 100.
    pub transactions_max: usize,
    /// Octets that the open transactions of one connection may hold. Default 16 MiB.
    pub transaction_octets_max: usize,
    /// Frames that the open transactions of one connection may hold. Default 10,000.
    pub transaction_frames_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        const fn some(number: u32) -> NonZeroU32 {
            match NonZeroU32::new(number) {
                Some(number) => number,
                None => NonZeroU32::MIN,
            }
        }
        Self {
            profile: Profile::RabbitMq,
            frame_octets_max: (16 << 20) + (64 << 10),
            head_octets_max: 64 << 10,
            headers_max: 256,
            connect_octets_max: 8 << 10,
            connect_timeout: Duration::from_secs(10),
            heart_beat_min: Duration::from_millis(100),
            prefetch_messages: some(100),
            prefetch_octets: some(1 << 20),
            prefetch_messages_max: some(65_535),
            prefetch_octets_max: some(64 << 20),
            backlog_messages_max: some(100_000),
            backlog_octets_max: some(64 << 20),
            subscriptions_max: 1_000,
            queues_max: 10_000,
            unanswered_max: 1_024,
            transactions_max: 100,
            transaction_octets_max: 16 << 20,
            transaction_frames_max: 10_000,
        }
    }
}

/// Settings that have been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(Settings);

impl Config {
    /// What [`Settings::frame_octets_max`] may be.
    pub const FRAME_OCTETS_MAX: RangeInclusive<usize> = 1_024..=256 << 20;
    /// What [`Settings::head_octets_max`] may be; it is also not more than `frame_octets_max`.
    pub const HEAD_OCTETS_MAX: RangeInclusive<usize> = 512..=1 << 20;
    /// What [`Settings::headers_max`] may be.
    pub const HEADERS_MAX: RangeInclusive<usize> = 8..=10_000;
    /// What [`Settings::connect_octets_max`] may be; it is also not more than `frame_octets_max`.
    pub const CONNECT_OCTETS_MAX: RangeInclusive<usize> = 128..=1 << 20;
    /// What [`Settings::connect_timeout`] may be.
    pub const CONNECT_TIMEOUT: RangeInclusive<Duration> =
        Duration::from_millis(100)..=Duration::from_secs(600);
    /// What [`Settings::heart_beat_min`] may be.
    pub const HEART_BEAT_MIN: RangeInclusive<Duration> =
        Duration::from_millis(10)..=Duration::from_secs(3_600);
    /// What [`Settings::subscriptions_max`], [`Settings::queues_max`], [`Settings::transactions_max`] and
    /// [`Settings::transaction_frames_max`] may be.
    pub const COUNT_MAX: RangeInclusive<usize> = 1..=1_000_000;
    /// What [`Settings::transaction_octets_max`] may be.
    pub const TRANSACTION_OCTETS_MAX: RangeInclusive<usize> = 1_024..=1 << 30;

    /// Checks settings.
    ///
    /// # Errors
    /// The first setting that is outside its bounds.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let s = &settings;
        let counts = [
            (ConfigError::SubscriptionsMax, s.subscriptions_max),
            (ConfigError::QueuesMax, s.queues_max),
            (ConfigError::TransactionsMax, s.transactions_max),
            (ConfigError::TransactionFramesMax, s.transaction_frames_max),
            (ConfigError::UnansweredMax, usize::from(s.unanswered_max)),
        ];
        let within = |max: usize| max <= s.frame_octets_max;
        let checks = [
            (ConfigError::FrameOctetsMax, Self::FRAME_OCTETS_MAX.contains(&s.frame_octets_max)),
            (
                ConfigError::HeadOctetsMax,
                Self::HEAD_OCTETS_MAX.contains(&s.head_octets_max) && within(s.head_octets_max),
            ),
            (ConfigError::HeadersMax, Self::HEADERS_MAX.contains(&s.headers_max)),
            (
                ConfigError::ConnectOctetsMax,
                Self::CONNECT_OCTETS_MAX.contains(&s.connect_octets_max) && within(s.connect_octets_max),
            ),
            (ConfigError::ConnectTimeout, Self::CONNECT_TIMEOUT.contains(&s.connect_timeout)),
            (ConfigError::HeartBeatMin, Self::HEART_BEAT_MIN.contains(&s.heart_beat_min)),
            (ConfigError::PrefetchMessages, s.prefetch_messages <= s.prefetch_messages_max),
            (ConfigError::PrefetchOctets, s.prefetch_octets <= s.prefetch_octets_max),
            (
                ConfigError::TransactionOctetsMax,
                Self::TRANSACTION_OCTETS_MAX.contains(&s.transaction_octets_max),
            ),
        ];
        let count_wrong = counts.into_iter().find(|(_, count)| !Self::COUNT_MAX.contains(count));
        let wrong = checks.into_iter().find(|(_, is_right)| !is_right);
        match wrong.map(|(error, _)| error).or(count_wrong.map(|(error, _)| error)) {
            Some(error) => Err(error),
            None => Ok(Self(settings)),
        }
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.0
    }

    /// The same settings, with destinations as this profile has them.
    #[must_use]
    pub fn with_profile(&self, profile: Profile) -> Self {
        Self(Settings { profile, ..self.0.clone() })
    }

    /// What a frame may have before the session is open, and after.
    pub(crate) fn limits(&self, is_open: bool) -> FrameLimits {
        let Settings { frame_octets_max, head_octets_max, connect_octets_max, headers_max, .. } = self.0;
        if is_open {
            FrameLimits { frame_octets_max, head_octets_max, headers_max }
        } else {
            FrameLimits {
                frame_octets_max: connect_octets_max,
                head_octets_max: connect_octets_max,
                headers_max,
            }
        }
    }

    /// What a subscription may have under way that asks for so many messages and octets; 0 asks for the most.
    pub(crate) fn prefetch(&self, messages: Option<u64>, octets: Option<u64>) -> Credit {
        let bounded = |asked: Option<u64>, default: NonZeroU32, max: NonZeroU32| match asked {
            None => default.get(),
            Some(0) => max.get(),
            Some(asked) => u32::try_from(asked).unwrap_or(u32::MAX).min(max.get()),
        };
        let s = &self.0;
        Credit {
            messages: bounded(messages, s.prefetch_messages, s.prefetch_messages_max),
            bytes: u64::from(bounded(octets, s.prefetch_octets, s.prefetch_octets_max)),
        }
    }
}

/// A setting that is outside its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// [`Settings::frame_octets_max`].
    FrameOctetsMax,
    /// [`Settings::head_octets_max`].
    HeadOctetsMax,
    /// [`Settings::headers_max`].
    HeadersMax,
    /// [`Settings::connect_octets_max`].
    ConnectOctetsMax,
    /// [`Settings::connect_timeout`].
    ConnectTimeout,
    /// [`Settings::heart_beat_min`].
    HeartBeatMin,
    /// [`Settings::prefetch_messages`] is more than may be asked for.
    PrefetchMessages,
    /// [`Settings::prefetch_octets`] is more than may be asked for.
    PrefetchOctets,
    /// [`Settings::subscriptions_max`].
    SubscriptionsMax,
    /// [`Settings::queues_max`].
    QueuesMax,
    /// [`Settings::unanswered_max`].
    UnansweredMax,
    /// [`Settings::transactions_max`].
    TransactionsMax,
    /// [`Settings::transaction_octets_max`].
    TransactionOctetsMax,
    /// [`Settings::transaction_frames_max`].
    TransactionFramesMax,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FrameOctetsMax => "frame_octets_max has to be from 1024 to 268435456",
            Self::HeadOctetsMax => {
                "head_octets_max has to be from 512 to 1048576, and not more than frame_octets_max"
            }
            Self::HeadersMax => "headers_max has to be from 8 to 10000",
            Self::ConnectOctetsMax => {
                "connect_octets_max has to be from 128 to 1048576, and not more than frame_octets_max"
            }
            Self::ConnectTimeout => "connect_timeout has to be from 100 ms to 600 s",
            Self::HeartBeatMin => "heart_beat_min has to be from 10 ms to 3600 s",
            Self::PrefetchMessages => "prefetch_messages has to be at most prefetch_messages_max",
            Self::PrefetchOctets => "prefetch_octets has to be at most prefetch_octets_max",
            Self::SubscriptionsMax => "subscriptions_max has to be from 1 to 1000000",
            Self::QueuesMax => "queues_max has to be from 1 to 1000000",
            Self::UnansweredMax => "unanswered_max has to be from 1 to 65535",
            Self::TransactionsMax => "transactions_max has to be from 1 to 1000000",
            Self::TransactionOctetsMax => "transaction_octets_max has to be from 1024 to 1073741824",
            Self::TransactionFramesMax => "transaction_frames_max has to be from 1 to 1000000",
        })
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outside_their_bounds_are_named() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            Config::new(settings).err()
        };
        assert_eq!(with(|_| ()), None);
        assert_eq!(with(|s| s.frame_octets_max = 1), Some(ConfigError::FrameOctetsMax));
        assert_eq!(with(|s| s.frame_octets_max = 2_048), Some(ConfigError::HeadOctetsMax));
        assert_eq!(with(|s| s.headers_max = 0), Some(ConfigError::HeadersMax));
        assert_eq!(with(|s| s.connect_octets_max = 1), Some(ConfigError::ConnectOctetsMax));
        assert_eq!(with(|s| s.connect_timeout = Duration::ZERO), Some(ConfigError::ConnectTimeout));
        assert_eq!(with(|s| s.heart_beat_min = Duration::ZERO), Some(ConfigError::HeartBeatMin));
        assert_eq!(with(|s| s.prefetch_messages_max = NonZeroU32::MIN), Some(ConfigError::PrefetchMessages));
        assert_eq!(with(|s| s.prefetch_octets_max = NonZeroU32::MIN), Some(ConfigError::PrefetchOctets));
        assert_eq!(with(|s| s.subscriptions_max = 0), Some(ConfigError::SubscriptionsMax));
        assert_eq!(with(|s| s.queues_max = 0), Some(ConfigError::QueuesMax));
        assert_eq!(with(|s| s.unanswered_max = 0), Some(ConfigError::UnansweredMax));
        assert_eq!(with(|s| s.transactions_max = 0), Some(ConfigError::TransactionsMax));
        assert_eq!(with(|s| s.transaction_octets_max = 0), Some(ConfigError::TransactionOctetsMax));
        assert_eq!(with(|s| s.transaction_frames_max = 0), Some(ConfigError::TransactionFramesMax));
    }

    #[test]
    fn a_prefetch_is_a_default_or_what_is_asked_for_within_bounds() {
        let config = Config::default();
        let credit = |messages, bytes| Credit { messages, bytes };
        assert_eq!(config.prefetch(None, None), credit(100, 1 << 20));
        assert_eq!(config.prefetch(Some(1), Some(10)), credit(1, 10));
        assert_eq!(config.prefetch(Some(0), Some(u64::MAX)), credit(65_535, 64 << 20));
    }
}
