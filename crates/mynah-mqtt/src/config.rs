//! What an operator may set for an MQTT listener: typed, bounded, with safe defaults.

use core::fmt;
use core::num::NonZeroU16;
use core::ops::RangeInclusive;
use core::time::Duration;

use crate::TextRule;
use crate::framing::REMAINING_LENGTH_MAX;

/// The settings as they are written. [`Config::new`] checks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the largest packet that a client may send once its session is open. Default 16 MiB.
    pub packet_bytes_max: usize,
    /// Bytes of the largest CONNECT: what a peer may make the server keep before it is known. Default 8 KiB.
    pub connect_packet_bytes_max: usize,
    /// How long a peer may take from the first byte to an open session. Default 10 s.
    pub connect_timeout: Duration,
    /// Seconds of the longest keep-alive that is accepted; a client that asks for more, or for none, is refused with
    /// return code 2. Default: every keep-alive is accepted.
    pub keep_alive_max: Option<NonZeroU16>,
    /// Deliveries to one client that it has not confirmed. Default 1,024.
    pub receive_max: NonZeroU16,
    /// Filters of one SUBSCRIBE or UNSUBSCRIBE. Default 10,000.
    pub filters_per_packet_max: usize,
    /// Whether the server chooses an identifier for a client that has none ([MQTT-3.1.3-6]). Default true.
    pub allow_empty_client_id: bool,
    /// What to do with control characters and non-characters in strings. Default: close the connection.
    pub text_rule: TextRule,
    /// How a CONNECT with a protocol level that no version of MQTT has is answered. Default: as MQTT 3.1.1 demands.
    pub unknown_level: UnknownLevel,
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
        Self {
            packet_bytes_max: 16 << 20,
            connect_packet_bytes_max: 8 << 10,
            connect_timeout: Duration::from_secs(10),
            keep_alive_max: None,
            receive_max: RECEIVE_MAX,
            filters_per_packet_max: 10_000,
            allow_empty_client_id: true,
            text_rule: TextRule::RefuseDiscouraged,
            unknown_level: UnknownLevel::AsV3_1_1,
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
        ] {
            assert_eq!(Config::new(settings), Err(error));
        }
    }
}
