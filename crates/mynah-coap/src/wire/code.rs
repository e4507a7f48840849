//! Codes: what a message is (RFC 7252, sections 3 and 12.1; RFC 8132, 8323 and 8516 add more).

use core::fmt;

/// A code: three bits of class, five bits of detail, written `c.dd`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u8);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $class:literal . $detail:literal),* $(,)?) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($class << 5 | $detail);)*
        }
    };
}

codes! {
    /// An empty message.
    EMPTY = 0 . 0,
    /// GET
    GET = 0 . 1,
    /// POST
    POST = 0 . 2,
    /// PUT
    PUT = 0 . 3,
    /// DELETE
    DELETE = 0 . 4,
    /// FETCH (RFC 8132)
    FETCH = 0 . 5,
    /// PATCH (RFC 8132)
    PATCH = 0 . 6,
    /// iPATCH (RFC 8132)
    IPATCH = 0 . 7,
    /// 2.01 Created
    CREATED = 2 . 1,
    /// 2.02 Deleted
    DELETED = 2 . 2,
    /// 2.03 Valid
    VALID = 2 . 3,
    /// 2.04 Changed
    CHANGED = 2 . 4,
    /// 2.05 Content
    CONTENT = 2 . 5,
    /// 2.31 Continue (RFC 7959)
    CONTINUE = 2 . 31,
    /// 4.00 Bad Request
    BAD_REQUEST = 4 . 0,
    /// 4.01 Unauthorized
    UNAUTHORIZED = 4 . 1,
    /// 4.02 Bad Option
    BAD_OPTION = 4 . 2,
    /// 4.03 Forbidden
    FORBIDDEN = 4 . 3,
    /// 4.04 Not Found
    NOT_FOUND = 4 . 4,
    /// 4.05 Method Not Allowed
    METHOD_NOT_ALLOWED = 4 . 5,
    /// 4.06 Not Acceptable
    NOT_ACCEPTABLE = 4 . 6,
    /// 4.08 Request Entity Incomplete (RFC 7959)
    REQUEST_ENTITY_INCOMPLETE = 4 . 8,
    /// 4.09 Conflict (RFC 8132)
    CONFLICT = 4 . 9,
    /// 4.12 Precondition Failed
    PRECONDITION_FAILED = 4 . 12,
    /// 4.13 Request Entity Too Large
    REQUEST_ENTITY_TOO_LARGE = 4 . 13,
    /// 4.15 Unsupported Content-Format
    UNSUPPORTED_CONTENT_FORMAT = 4 . 15,
    /// 4.29 Too Many Requests (RFC 8516)
    TOO_MANY_REQUESTS = 4 . 29,
    /// 5.00 Internal Server Error
    INTERNAL_SERVER_ERROR = 5 . 0,
    /// 5.01 Not Implemented
    NOT_IMPLEMENTED = 5 . 1,
    /// 5.02
    BAD_GATEWAY = 5 . 2,
    /// 5.03 Service Unavailable
    SERVICE_UNAVAILABLE = 5 . 3,
    /// 5.04 Gateway Timeout
    GATEWAY_TIMEOUT = 5 . 4,
    /// 5.05 Proxying Not Supported
    PROXYING_NOT_SUPPORTED = 5 . 5,
    /// 5.08 Hop Limit Reached (RFC 8768)
    HOP_LIMIT_REACHED = 5 . 8,
    /// 7.01 CSM (RFC 8323)
    CSM = 7 . 1,
    /// 7.02 Ping (RFC 8323)
    PING = 7 . 2,
    /// 7.03 Pong (RFC 8323)
    PONG = 7 . 3,
    /// 7.04 Release (RFC 8323)
    RELEASE = 7 . 4,
    /// 7.05 Abort (RFC 8323)
    ABORT = 7 . 5,
}

impl Code {
    /// The code that this byte spells.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte that spells the code.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// The class: 0 to 7.
    #[must_use]
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// The detail: 0 to 31.
    #[must_use]
    pub const fn detail(self) -> u8 {
        self.0 & 0x1f
    }

    /// Whether it is a method, known or not.
    #[must_use]
    pub const fn is_request(self) -> bool {
        self.class() == 0 && self.0 != 0
    }

    /// Whether it is a response: success, client error or server error.
    #[must_use]
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2 | 4 | 5)
    }

    /// Whether it is a response that says that a request was carried out.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }

    /// Whether it is a signal of a reliable transport.
    #[must_use]
    pub const fn is_signal(self) -> bool {
        self.class() == 7
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn codes_are_what_the_registry_says() {
        for (code, byte, text) in [
            (Code::GET, 0x01, "0.01"),
            (Code::IPATCH, 0x07, "0.07"),
            (Code::CONTENT, 0x45, "2.05"),
            (Code::CONTINUE, 0x5f, "2.31"),
            (Code::PRECONDITION_FAILED, 0x8c, "4.12"),
            (Code::TOO_MANY_REQUESTS, 0x9d, "4.29"),
            (Code::PROXYING_NOT_SUPPORTED, 0xa5, "5.05"),
            (Code::CSM, 0xe1, "7.01"),
        ] {
            assert_eq!((code.byte(), format!("{code}")), (byte, text.into()));
        }
        assert!(Code::GET.is_request() && !Code::EMPTY.is_request());
        assert!(Code::CONTENT.is_success() && Code::NOT_FOUND.is_response() && !Code::NOT_FOUND.is_success());
        assert!(Code::PONG.is_signal());
    }
}
