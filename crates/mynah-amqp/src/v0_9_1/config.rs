//! What an operator may set for a listener of AMQP 0-9-1: typed, bounded, with safe defaults.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};
use core::ops::RangeInclusive;
use core::time::Duration;

use super::wire::FRAME_MIN_SIZE;

/// The settings as they are written. [`Config::new`] checks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the largest frame, as it is proposed to clients. Default 128 KiB.
    pub frame_bytes_max: u32,
    /// Bytes of the largest frame of a peer that has not opened its virtual host yet. Default 8 KiB.
    pub open_frame_bytes_max: u32,
    /// The highest number of a channel, as it is proposed to clients. Default 2,047.
    pub channel_max: NonZeroU16,
    /// Seconds between heartbeats, as they are proposed to clients; 0: none. What a client chooses counts. Default 60.
    pub heartbeat: u16,
    /// How long a peer may take from its first byte until its virtual host is open. Default 10 s.
    pub connect_timeout: Duration,
    /// How long a peer may take to answer a close. Default 5 s.
    pub close_timeout: Duration,
    /// Bytes of the largest body of a message. Default 16 MiB.
    pub body_bytes_max: usize,
    /// Bytes of contents that are under way on all channels of a connection together, their properties included. Default
    /// 32 MiB.
    pub contents_bytes_max: usize,
    /// Publications of a connection that are not finished; with that many nothing more is read. Default 4,096.
    pub publications_max: NonZeroU16,
    /// Deliveries that a consumer without a bound of its own has unacknowledged at the most. Default 1,000,000.
    pub unacknowledged_max: NonZeroU32,
    /// Names of virtual hosts that lead here. Default `/`.
    pub virtual_hosts: Vec<Box<str>>,
    /// Names of tenants: a virtual host of such a name leads there, and then the client is let in, or not, when it opens
    /// its virtual host. Default none.
    pub tenants: Vec<Box<str>>,
    /// SASL mechanisms, in the order in which they are offered. Default PLAIN and AMQPLAIN.
    pub mechanisms: Vec<Mechanism>,
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// User name and password (RFC 4616).
    Plain,
    /// User name and password in a field table, of earlier versions.
    Amqplain,
    /// RFC 7677.
    ScramSha256,
    /// What TLS has shown (RFC 4422, appendix A).
    External,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Amqplain, Self::ScramSha256, Self::External];

    /// The mechanism's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Amqplain => "AMQPLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::External => "EXTERNAL",
        }
    }

    /// The mechanism of this name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().as_bytes() == name)
    }
}

impl Default for Settings {
    fn default() -> Self {
        const CHANNEL_MAX: NonZeroU16 = NonZeroU16::new(2_047).unwrap();
        const PUBLICATIONS_MAX: NonZeroU16 = NonZeroU16::new(4_096).unwrap();
        const UNACKNOWLEDGED_MAX: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();
        Self {
            frame_bytes_max: 128 << 10,
            open_frame_bytes_max: 8 << 10,
            channel_max: CHANNEL_MAX,
            heartbeat: 60,
            connect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            body_bytes_max: 16 << 20,
            contents_bytes_max: 32 << 20,
            publications_max: PUBLICATIONS_MAX,
            unacknowledged_max: UNACKNOWLEDGED_MAX,
            virtual_hosts: [Box::from("/")].into(),
            tenants: Vec::new(),
            mechanisms: [Mechanism::Plain, Mechanism::Amqplain].into(),
        }
    }
}

/// Settings that have been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(Settings);

impl Config {
    /// What [`Settings::frame_bytes_max`] may be.
    pub const FRAME_BYTES_MAX: RangeInclusive<u32> = FRAME_MIN_SIZE..=16 << 20;
    /// What [`Settings::open_frame_bytes_max`] may be; it is also not more than `frame_bytes_max`.
    pub const OPEN_FRAME_BYTES_MAX: RangeInclusive<u32> = FRAME_MIN_SIZE..=1 << 20;
    /// What [`Settings::connect_timeout`] and [`Settings::close_timeout`] may be.
    pub const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
    /// What [`Settings::body_bytes_max`] may be.
    pub const BODY_BYTES_MAX: RangeInclusive<usize> = 1_024..=512 << 20;

    /// Checks settings.
    ///
    /// # Errors
    /// The first setting that is outside its bounds.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        if !Self::FRAME_BYTES_MAX.contains(&settings.frame_bytes_max) {
            return Err(ConfigError::FrameBytesMax);
        }
        let open = settings.open_frame_bytes_max;
        if !Self::OPEN_FRAME_BYTES_MAX.contains(&open) || open > settings.frame_bytes_max {
            return Err(ConfigError::OpenFrameBytesMax);
        }
        if !Self::TIMEOUT.contains(&settings.connect_timeout) {
            return Err(ConfigError::ConnectTimeout);
        }
        if !Self::TIMEOUT.contains(&settings.close_timeout) {
            return Err(ConfigError::CloseTimeout);
        }
        if !Self::BODY_BYTES_MAX.contains(&settings.body_bytes_max) {
            return Err(ConfigError::BodyBytesMax);
        }
        if settings.contents_bytes_max < settings.body_bytes_max {
            return Err(ConfigError::ContentsBytesMax);
        }
        let is_name = |name: &str| (1..=255).contains(&name.len());
        if settings.virtual_hosts.is_empty() || !settings.virtual_hosts.iter().all(|name| is_name(name)) {
            return Err(ConfigError::VirtualHosts);
        }
        if settings.mechanisms.is_empty() {
            return Err(ConfigError::Mechanisms);
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
    /// See [`Config::FRAME_BYTES_MAX`].
    FrameBytesMax,
    /// See [`Config::OPEN_FRAME_BYTES_MAX`].
    OpenFrameBytesMax,
    /// See [`Config::TIMEOUT`].
    ConnectTimeout,
    /// See [`Config::TIMEOUT`].
    CloseTimeout,
    /// See [`Config::BODY_BYTES_MAX`].
    BodyBytesMax,
    /// It is less than one body may have.
    ContentsBytesMax,
    /// There is none, or one without a name, or with one of more than 255 bytes.
    VirtualHosts,
    /// There is none.
    Mechanisms,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FrameBytesMax => "frame_bytes_max must be 4096 to 16777216 bytes",
            Self::OpenFrameBytesMax => {
                "open_frame_bytes_max must be 4096 to 1048576 bytes and not more than frame_bytes_max"
            }
            Self::ConnectTimeout => "connect_timeout must be 100 ms to 600 s",
            Self::CloseTimeout => "close_timeout must be 100 ms to 600 s",
            Self::BodyBytesMax => "body_bytes_max must be 1024 to 536870912 bytes",
            Self::ContentsBytesMax => "contents_bytes_max must not be less than body_bytes_max",
            Self::VirtualHosts => "virtual_hosts must have at least one name, each of 1 to 255 bytes",
            Self::Mechanisms => "mechanisms must have at least one name",
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
            (Settings { frame_bytes_max: 4_095, ..default() }, ConfigError::FrameBytesMax),
            (Settings { open_frame_bytes_max: 4_095, ..default() }, ConfigError::OpenFrameBytesMax),
            (Settings { frame_bytes_max: 4_096, ..default() }, ConfigError::OpenFrameBytesMax),
            (Settings { connect_timeout: Duration::ZERO, ..default() }, ConfigError::ConnectTimeout),
            (Settings { close_timeout: Duration::ZERO, ..default() }, ConfigError::CloseTimeout),
            (Settings { body_bytes_max: 1_023, ..default() }, ConfigError::BodyBytesMax),
            (Settings { contents_bytes_max: 1 << 20, ..default() }, ConfigError::ContentsBytesMax),
            (Settings { virtual_hosts: Vec::new(), ..default() }, ConfigError::VirtualHosts),
            (Settings { virtual_hosts: [Box::from("")].into(), ..default() }, ConfigError::VirtualHosts),
            (Settings { mechanisms: Vec::new(), ..default() }, ConfigError::Mechanisms),
        ] {
            assert_eq!(Config::new(settings), Err(error));
        }
    }
}
