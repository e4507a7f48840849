//! Limits and times of a CoAP listener: typed, bounded, with safe defaults.

use core::fmt;
use core::time::Duration;

use crate::wire::{BlockSize, TOKEN_BYTES_MAX};

/// Configuration of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoapConfig {
    /// `ACK_TIMEOUT` (RFC 7252, section 4.8). Default 2 s.
    pub ack_timeout: Duration,
    /// `ACK_RANDOM_FACTOR` in hundredths. Default 150.
    pub ack_random_factor: u16,
    /// Whose paths are there beside our own. Default none.
    pub compat: Compat,
    /// `MAX_RETRANSMIT`. Default 4.
    pub retransmit_max: u8,
    /// `NSTART`: confirmable messages to one peer that are not acknowledged. Default 1.
    pub nstart: u8,
    /// How long a request may take before it is acknowledged by itself. Default 1 s.
    pub separate_after: Duration,
    /// Requests of one peer that are worked on at a time; one more is answered 4.29. Default 16.
    pub exchanges_max: u8,
    /// Message ids of one peer that are remembered. Default 128.
    pub dedup_messages_max: u16,
    /// Bytes of the answers to one peer that are remembered with them. Default 16 KiB.
    pub dedup_bytes_max: u32,
    /// Bytes of a message over a reliable transport. Default 64 KiB.
    pub message_bytes_max: u32,
    /// Bytes of a token. Default 32.
    pub token_bytes_max: u16,
    /// Bytes of a block that is sent, unless the peer wants less: 16 to 1,024. Default 1,024.
    pub block_bytes: u16,
    /// Bytes of a body, in one piece or in blocks; more is answered 4.13. Default 1 MiB.
    pub body_bytes_max: u32,
    /// Bodies of one peer that are put together from blocks at a time. Default 2.
    pub uploads_max: u8,
    /// Bytes of all bodies of all peers that are being put together. Default 64 MiB.
    pub uploads_bytes_max: u32,
    /// Bodies that one peer is reading in blocks. Default 4.
    pub downloads_max: u8,
    /// Bytes of all bodies that all peers are reading in blocks; one more is read as it is at each block. Default 64 MiB.
    pub downloads_bytes_max: u32,
    /// Observations of one peer. Default 64.
    pub observations_max: u16,
    /// Filters in one request. Default 16.
    pub filters_max: u8,
    /// Messages that wait for one observation in stream mode; the oldest is dropped for a new one. Default 256.
    pub stream_messages_max: u16,
    /// Confirmed deliveries to one peer that are not acknowledged. Default 32.
    pub receive_max: u16,
    /// How long somebody's answer is waited for, at most. Default 20 s.
    pub request_timeout: Duration,
    /// Registrations in the directory of a tenant; 0: there is none. Default 10,000.
    pub registrations_max: u32,
    /// Bytes of the links of one registration in the directory. Default 8 KiB.
    pub registration_bytes_max: u32,
    /// An observation gets a confirmable notification, and a silent peer is asked whether it is there, this often (RFC
    /// 7641, section 4.5). Default 1 h.
    pub observe_probe: Duration,
    /// How long an association without observations is kept when nothing is heard. Default 300 s.
    pub idle: Duration,
    /// How many times as large as its request an answer may be before the peer's address is known to be its own (RFC
    /// 9175, section 2.4); 0: any. Default 3.
    pub amplification_max: u8,
    /// `DEFAULT_LEISURE`: how long an answer to a request that came to a group of hosts waits at most (RFC 7252, section
    /// 8.2). Default 5 s.
    pub leisure: Duration,
}

/// Paths of another broker that clients of it may go on using.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// None.
    #[default]
    None,
    /// EMQX: `/ps/…` is `/t/…`, and `/mqtt/connection` is answered.
    Emqx,
}

impl Default for CoapConfig {
    fn default() -> Self {
        Self {
            compat: Compat::None,
            ack_timeout: Duration::from_secs(2),
            ack_random_factor: 150,
            retransmit_max: 4,
            nstart: 1,
            separate_after: Duration::from_secs(1),
            exchanges_max: 16,
            dedup_messages_max: 128,
            dedup_bytes_max: 16 << 10,
            message_bytes_max: 64 << 10,
            token_bytes_max: 32,
            block_bytes: 1_024,
            body_bytes_max: 1 << 20,
            uploads_max: 2,
            uploads_bytes_max: 64 << 20,
            downloads_max: 4,
            downloads_bytes_max: 64 << 20,
            observations_max: 64,
            filters_max: 16,
            stream_messages_max: 256,
            receive_max: 32,
            request_timeout: Duration::from_secs(20),
            registrations_max: 10_000,
            registration_bytes_max: 8 << 10,
            observe_probe: Duration::from_hours(1),
            idle: Duration::from_secs(300),
            amplification_max: 3,
            leisure: Duration::from_secs(5),
        }
    }
}

/// `MAX_LATENCY` (section 4.8.2).
const LATENCY_MAX: Duration = Duration::from_secs(100);

impl CoapConfig {
    /// Bytes of an answer, or of a notification, that any peer gets (RFC 9175, section 2.4). With the heads of Ethernet, IPv6
    /// and UDP, which are 62 bytes, it is three times the shortest request, which has 4: 3 * (62 + 4) - 62.
    pub const UNVERIFIED_BYTES: usize = 136;

    /// Checks that the values can be kept.
    ///
    /// # Errors
    /// Names the first value that cannot be, and its bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check =
            |holds: bool, name, bounds| if holds { Ok(()) } else { Err(ConfigError { name, bounds }) };
        let seconds = |from, to| Duration::from_millis(from)..=Duration::from_secs(to);
        check(seconds(100, 60).contains(&self.ack_timeout), "ack_timeout", "0.1 s to 60 s")?;
        check((100..=300).contains(&self.ack_random_factor), "ack_random_factor", "100 to 300")?;
        check(self.retransmit_max <= 10, "retransmit_max", "0 to 10")?;
        check((1..=16).contains(&self.nstart), "nstart", "1 to 16")?;
        check(self.separate_after < self.ack_timeout, "separate_after", "less than ack_timeout")?;
        check(self.exchanges_max >= 1, "exchanges_max", "1 to 255")?;
        check((8..=4_096).contains(&self.dedup_messages_max), "dedup_messages_max", "8 to 4,096")?;
        check((1_280..=16 << 20).contains(&self.dedup_bytes_max), "dedup_bytes_max", "1,280 to 16,777,216")?;
        check(
            (1_152..=16 << 20).contains(&self.message_bytes_max),
            "message_bytes_max",
            "1,152 to 16,777,216",
        )?;
        check(
            (8..=TOKEN_BYTES_MAX).contains(&usize::from(self.token_bytes_max)),
            "token_bytes_max",
            "8 to 65,535",
        )?;
        let block = usize::from(self.block_bytes);
        check(BlockSize::at_most(block).bytes() == block, "block_bytes", "16, 32, 64, … or 1,024")?;
        check((1_024..=256 << 20).contains(&self.body_bytes_max), "body_bytes_max", "1,024 to 268,435,456")?;
        check(self.uploads_bytes_max >= self.body_bytes_max, "uploads_bytes_max", "at least body_bytes_max")?;
        check(self.filters_max >= 1, "filters_max", "1 to 255")?;
        check(self.stream_messages_max >= 1, "stream_messages_max", "1 to 65,535")?;
        check(self.receive_max >= 1, "receive_max", "1 to 65,535")?;
        check(seconds(1_000, 240).contains(&self.request_timeout), "request_timeout", "1 s to 240 s")?;
        check(self.registration_bytes_max <= 1 << 20, "registration_bytes_max", "0 to 1,048,576")?;
        // Section 4.5 of RFC 7641: at least once in 24 hours.
        check(seconds(1_000, 86_400).contains(&self.observe_probe), "observe_probe", "1 s to 24 h")?;
        check(seconds(1_000, 86_400).contains(&self.idle), "idle", "1 s to 24 h")?;
        check(self.leisure <= Duration::from_secs(60), "leisure", "0 to 60 s")
    }

    /// `EXCHANGE_LIFETIME` (section 4.8.2): 247 s by default.
    #[must_use]
    pub fn exchange_lifetime(&self) -> Duration {
        self.transmit_span_max() + 2 * LATENCY_MAX + self.ack_timeout
    }

    /// `NON_LIFETIME` (section 4.8.2): 145 s by default.
    #[must_use]
    pub fn non_lifetime(&self) -> Duration {
        self.transmit_span_max() + LATENCY_MAX
    }

    /// `MAX_TRANSMIT_SPAN` (section 4.8.2): 45 s by default.
    fn transmit_span_max(&self) -> Duration {
        let doubled = (1_u32 << self.retransmit_max) - 1;
        self.ack_timeout * doubled * u32::from(self.ack_random_factor) / 100
    }
}

/// A value that cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field.
    pub name: &'static str,
    /// What it may be.
    pub bounds: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "coap.{} has to be {}", self.name, self.bounds)
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    //= rfc7252 [4.8-1]
    #[test]
    fn the_defaults_are_those_of_the_specification() {
        let config = CoapConfig::default();
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.exchange_lifetime(), Duration::from_secs(247));
        assert_eq!(config.non_lifetime(), Duration::from_secs(145));
    }

    #[test]
    fn a_value_out_of_bounds_is_named() {
        let config = CoapConfig { block_bytes: 100, ..CoapConfig::default() };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "coap.block_bytes has to be 16, 32, 64, … or 1,024"
        );
        let config = CoapConfig { separate_after: Duration::from_secs(2), ..CoapConfig::default() };
        assert_eq!(config.validate().unwrap_err().name, "separate_after");
        let config = CoapConfig { observe_probe: Duration::from_hours(25), ..CoapConfig::default() };
        assert_eq!(config.validate().unwrap_err().name, "observe_probe");
    }
}
