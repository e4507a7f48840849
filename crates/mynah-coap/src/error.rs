//! Everything that a request can be refused for, and the single map to response codes.

use core::fmt;

use mynah_model::Reason;

use crate::wire::{Code, OptionNumber};

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No resource has this path.
    UnknownPath,
    /// The resource has no such method.
    Method,
    /// A critical option that is not known, or has a value that it cannot have.
    Option(OptionNumber),
    /// The request asks to be forwarded.
    Proxy,
    /// The path does not spell a topic.
    Path,
    /// A parameter of the query is not one for this resource, or cannot have this value.
    Query,
    /// The payload of a FETCH is not what selects topics.
    Selection,
    /// Several topics can only be observed.
    ObserveOnly,
    /// Hop-Limit is zero (RFC 8768, section 3).
    HopLimit,
    /// Blocks of size exponent 7 are of reliable transports (RFC 7959, section 2.2).
    BlockSize,
    /// The topic has no value.
    NoValue,
    /// The directory has no such registration.
    NoRegistration,
    /// The payload is no list of links, or there should be none.
    Links,
    /// Nobody is there to answer.
    NobodyAnswers,
    /// The answer did not come in time.
    NoAnswer,
    /// The value is not in the format that is asked for.
    NotAcceptable,
    /// The payload is in a format that is not served here.
    ContentFormat,
    /// The body is larger than so many bytes.
    TooLarge(u32),
    /// A block came that does not continue what is there.
    Incomplete,
    /// Too many requests of this peer are under way.
    TooManyRequests,
    /// There is no memory for what would have to be kept.
    NoMemory,
    /// The peer has to show that its address is its own (RFC 9175).
    Unverified,
    /// The core refused.
    Core(Reason),
}

impl Refusal {
    /// Seconds that a client is told to wait: the Max-Age of 4.29 and 5.03.
    pub const WAIT_SECS: u32 = 5;

    /// The response code.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::UnknownPath | Self::NoValue | Self::NoRegistration => Code::NOT_FOUND,
            Self::NobodyAnswers | Self::NoAnswer => Code::GATEWAY_TIMEOUT,
            Self::Method => Code::METHOD_NOT_ALLOWED,
            Self::Option(_) => Code::BAD_OPTION,
            Self::Proxy => Code::PROXYING_NOT_SUPPORTED,
            Self::Path
            | Self::Query
            | Self::Selection
            | Self::Links
            | Self::ObserveOnly
            | Self::HopLimit
            | Self::BlockSize => Code::BAD_REQUEST,
            Self::NotAcceptable => Code::NOT_ACCEPTABLE,
            Self::ContentFormat => Code::UNSUPPORTED_CONTENT_FORMAT,
            Self::TooLarge(_) => Code::REQUEST_ENTITY_TOO_LARGE,
            Self::Incomplete => Code::REQUEST_ENTITY_INCOMPLETE,
            Self::TooManyRequests => Code::TOO_MANY_REQUESTS,
            Self::NoMemory => Code::SERVICE_UNAVAILABLE,
            Self::Unverified => Code::UNAUTHORIZED,
            Self::Core(reason) => code_of(reason),
        }
    }

    /// Whether the client may come again, and is told when.
    #[must_use]
    pub const fn has_wait(self) -> bool {
        matches!(self.code(), Code::TOO_MANY_REQUESTS | Code::SERVICE_UNAVAILABLE)
    }
}

/// The map from the core's reasons. 4.01 is for a missing identity only; a right that is missing is 4.03.
const fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::BadCredentials | Reason::BadAuthenticationMethod | Reason::ProofExpired => Code::UNAUTHORIZED,
        Reason::NotAuthorized | Reason::ClientIdRefused => Code::FORBIDDEN,
        Reason::TopicInvalid
        | Reason::FilterInvalid
        | Reason::SelectorInvalid
        | Reason::ProtocolViolation => Code::BAD_REQUEST,
        Reason::NotFound => Code::NOT_FOUND,
        Reason::RateExceeded => Code::TOO_MANY_REQUESTS,
        Reason::ConditionFailed => Code::PRECONDITION_FAILED,
        Reason::TooLarge => Code::REQUEST_ENTITY_TOO_LARGE,
        Reason::TakenOver | Reason::Locked | Reason::PreconditionFailed => Code::CONFLICT,
        Reason::QuotaExceeded
        | Reason::StorageFull
        | Reason::QueueFull
        | Reason::ServerBusy
        | Reason::SlowConsumer
        | Reason::Administrative
        | Reason::ShuttingDown
        | Reason::KeepAliveTimeout
        | Reason::OpeningTimeout
        | Reason::Disconnected => Code::SERVICE_UNAVAILABLE,
    }
}

impl fmt::Display for Refusal {
    /// The diagnostic payload (RFC 7252, section 5.5.2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownPath => "topics are at /t/...",
            Self::Method => "no such method here",
            Self::Option(number) => return write!(f, "option {number}"),
            Self::Proxy => "this is no proxy",
            Self::Path => "the path spells no topic",
            Self::Query => "unknown or impossible query",
            Self::Selection => "CBOR {\"filters\": [...]} is wanted",
            Self::ObserveOnly => "several topics can only be observed",
            Self::HopLimit => "hop limit 0",
            Self::BlockSize => "no such block size",
            Self::NoValue => "the topic has no value",
            Self::NoRegistration => "no such registration",
            Self::Links => "not as links are here",
            Self::NobodyAnswers => "nobody is there to answer",
            Self::NoAnswer => "no answer in time",
            Self::NotAcceptable => "not in this format",
            Self::ContentFormat => "not in this format here",
            Self::TooLarge(max) => return write!(f, "at most {max} bytes"),
            Self::Incomplete => "a block is missing",
            Self::TooManyRequests => "too many requests at a time",
            Self::NoMemory => "no room at the moment",
            Self::Unverified => "repeat with Echo",
            Self::Core(reason) => return fmt::Display::fmt(reason, f),
        })
    }
}

impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_code() {
        for (reason, code) in [
            (Reason::BadCredentials, Code::UNAUTHORIZED),
            (Reason::NotAuthorized, Code::FORBIDDEN),
            (Reason::TopicInvalid, Code::BAD_REQUEST),
            (Reason::ConditionFailed, Code::PRECONDITION_FAILED),
            (Reason::TooLarge, Code::REQUEST_ENTITY_TOO_LARGE),
            (Reason::TakenOver, Code::CONFLICT),
            (Reason::StorageFull, Code::SERVICE_UNAVAILABLE),
        ] {
            assert_eq!(Refusal::Core(reason).code(), code, "{reason}");
        }
        assert!(Refusal::TooManyRequests.has_wait() && Refusal::NoMemory.has_wait());
        assert!(!Refusal::NoValue.has_wait());
    }
}
