//! Option numbers: what each option may hold, and what its number says (RFC 7252, section 5.4.6 and table 4).

use core::fmt;
use core::ops::RangeInclusive;

/// The number of an option.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionNumber(pub u16);

/// What the definition of an option says of its occurrences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Bytes of a value.
    pub bytes: RangeInclusive<u16>,
    /// Whether it may be there more than once.
    pub is_repeatable: bool,
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $from:literal ..= $to:literal, $repeatable:literal;)*) => {
        impl OptionNumber {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// What the option is defined as; absent if it is not known.
            #[must_use]
            pub const fn definition(self) -> Option<Definition> {
                match self.0 {
                    $($number => Some(Definition { bytes: $from..=$to, is_repeatable: $repeatable }),)*
                    _ => None,
                }
            }
        }
    };
}

options! {
    /// If-Match
    IF_MATCH = 1, 0..=8, true;
    /// Uri-Host
    URI_HOST = 3, 1..=255, false;
    /// ETag
    ETAG = 4, 1..=8, true;
    /// If-None-Match
    IF_NONE_MATCH = 5, 0..=0, false;
    /// Observe (RFC 7641)
    OBSERVE = 6, 0..=3, false;
    /// Uri-Port
    URI_PORT = 7, 0..=2, false;
    /// Location-Path
    LOCATION_PATH = 8, 0..=255, true;
    /// Uri-Path
    URI_PATH = 11, 0..=255, true;
    /// Content-Format
    CONTENT_FORMAT = 12, 0..=2, false;
    /// Max-Age
    MAX_AGE = 14, 0..=4, false;
    /// Uri-Query
    URI_QUERY = 15, 0..=255, true;
    /// Hop-Limit (RFC 8768)
    HOP_LIMIT = 16, 1..=1, false;
    /// Accept
    ACCEPT = 17, 0..=2, false;
    /// Location-Query
    LOCATION_QUERY = 20, 0..=255, true;
    /// Block2 (RFC 7959)
    BLOCK2 = 23, 0..=3, false;
    /// Block1 (RFC 7959)
    BLOCK1 = 27, 0..=3, false;
    /// Size2 (RFC 7959)
    SIZE2 = 28, 0..=4, false;
    /// Proxy-Uri
    PROXY_URI = 35, 1..=1034, false;
    /// Proxy-Scheme
    PROXY_SCHEME = 39, 1..=255, false;
    /// Size1
    SIZE1 = 60, 0..=4, false;
    /// Echo (RFC 9175)
    ECHO = 252, 1..=40, false;
    /// No-Response (RFC 7967)
    NO_RESPONSE = 258, 0..=1, false;
    /// Request-Tag (RFC 9175)
    REQUEST_TAG = 292, 0..=8, true;
    /// The media type of a payload that has no Content-Format number: elective, safe to forward, of the numbers for
    /// experiments (RFC 7252, section 12.2).
    CONTENT_TYPE = 65_008, 1..=255, false;
}

impl OptionNumber {
    /// What may once be a part of a location: whoever does not know one of them does not understand the others (section
    /// 5.10.7).
    pub const LOCATION_RESERVED: [Self; 4] = [Self(128), Self(132), Self(136), Self(140)];

    /// Whether an endpoint that does not know it may not go on (section 5.4.1).
    #[must_use]
    pub const fn is_critical(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether a proxy that does not know it may not forward it (section 5.4.2).
    #[must_use]
    pub const fn is_unsafe(self) -> bool {
        self.0 & 2 == 2
    }

    /// Whether it is no part of a cache's key (section 5.4.6).
    #[must_use]
    pub const fn is_no_cache_key(self) -> bool {
        self.0 & 0x1e == 0x1c
    }
}

impl fmt::Debug for OptionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for OptionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= rfc7252 [5.4.6-1]
    #[test]
    fn numbers_say_what_table_4_says() {
        for (number, critical, not_safe, no_cache_key) in [
            (OptionNumber::IF_MATCH, true, false, false),
            (OptionNumber::URI_HOST, true, true, false),
            (OptionNumber::ETAG, false, false, false),
            (OptionNumber::OBSERVE, false, true, false),
            (OptionNumber::CONTENT_FORMAT, false, false, false),
            (OptionNumber::MAX_AGE, false, true, false),
            (OptionNumber::ACCEPT, true, false, false),
            (OptionNumber::BLOCK2, true, true, false),
            (OptionNumber::SIZE2, false, false, true),
            (OptionNumber::PROXY_URI, true, true, false),
            (OptionNumber::SIZE1, false, false, true),
            (OptionNumber::ECHO, false, false, true),
            (OptionNumber::NO_RESPONSE, false, true, false),
            (OptionNumber::REQUEST_TAG, false, false, false),
            (OptionNumber::CONTENT_TYPE, false, false, false),
        ] {
            assert_eq!(
                (number.is_critical(), number.is_unsafe(), number.is_no_cache_key()),
                (critical, not_safe, no_cache_key),
                "{number}"
            );
        }
        assert!(OptionNumber(9).definition().is_none());
    }
}
