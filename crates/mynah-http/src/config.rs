//! Limits and times of the HTTP data plane, each with a safe default.

use core::fmt;
use core::time::Duration;

/// Configuration of the HTTP data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Bytes of all header fields of a request, names and values; more is answered with 431.
    pub header_bytes_max: u32,
    /// Bytes of a request's path and query, at most 65,535; more is answered with 414.
    pub uri_bytes_max: u32,
    /// Bytes of a request's body; more is answered with 413.
    pub body_bytes_max: u32,
    /// Filters in one subscription.
    pub filters_max: u8,
    /// How often a stream carries a comment, so that both ends notice when the other is gone.
    pub heartbeat: Duration,
    /// How long a link may be silent before its request arrives.
    pub opening_timeout: Duration,
    /// How long a client may take to send a body that was asked for; after that the answer is 408.
    pub body_timeout: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            header_bytes_max: 16 << 10,
            uri_bytes_max: 8 << 10,
            body_bytes_max: 16 << 20,
            filters_max: 64,
            heartbeat: Duration::from_secs(15),
            opening_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
        }
    }
}

impl HttpConfig {
    /// Room for what a request head on a link holds beside the decoded URI and header fields: lengths and tags.
    const TAGS_BYTES_MAX: usize = 1_024;

    /// Header fields grow by lengths and tags when they are decoded: a user property that is nothing but `=,` becomes
    /// five bytes.
    const FIELDS_FACTOR: usize = 3;

    /// Checks that the values can be kept.
    ///
    /// # Errors
    /// Names the first value that cannot be, and its bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |name, bounds| Err(ConfigError { name, bounds });
        if !(256..=1 << 20).contains(&self.header_bytes_max) {
            return wrong("header_bytes_max", "256 to 1,048,576");
        }
        if !(64..=65_535).contains(&self.uri_bytes_max) {
            return wrong("uri_bytes_max", "64 to 65,535");
        }
        if !(1..=1 << 30).contains(&self.body_bytes_max) {
            return wrong("body_bytes_max", "1 to 1,073,741,824");
        }
        if self.filters_max == 0 {
            return wrong("filters_max", "1 to 255");
        }
        let times = Duration::from_millis(100)..=Duration::from_hours(1);
        for (name, value) in [
            ("heartbeat", self.heartbeat),
            ("opening_timeout", self.opening_timeout),
            ("body_timeout", self.body_timeout),
        ] {
            if !times.contains(&value) {
                return wrong(name, "0.1 s to 1 h");
            }
        }
        Ok(())
    }

    /// Bytes of a request head on a link, without its frame's header.
    #[must_use]
    pub(crate) const fn request_head_bytes_max(&self) -> usize {
        self.header_bytes_max as usize * Self::FIELDS_FACTOR
            + self.uri_bytes_max as usize
            + Self::TAGS_BYTES_MAX
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
        write!(f, "http.{} has to be {}", self.name, self.bounds)
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_kept() {
        assert_eq!(HttpConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_value_out_of_bounds_is_named() {
        let config = HttpConfig { uri_bytes_max: 65_536, ..HttpConfig::default() };
        assert_eq!(config.validate().unwrap_err().to_string(), "http.uri_bytes_max has to be 64 to 65,535");
        let config = HttpConfig { heartbeat: Duration::ZERO, ..HttpConfig::default() };
        assert_eq!(config.validate().unwrap_err().name, "heartbeat");
    }
}
