//! Errors in families, and the one place where reasons of the broker become what ERROR says.
//!
//! [`Malformed`] is about octets, [`Violation`] about a rule, [`Refused`] about what the specification allows and this end
//! does not take.

use core::fmt;

use mynah_model::Reason;

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The octets are not a frame.
    Malformed(Malformed),
    /// The frame breaks a rule.
    Violation(Violation),
    /// The frame is correct, but not taken here.
    Refused(Refused),
}

/// How octets fail to be a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The first line is no command.
    Command,
    /// A NUL before the blank line.
    NulInHead,
    /// A header line has no colon.
    HeaderWithoutColon,
    /// A header line begins with its colon.
    HeaderWithoutName,
    /// The headers are not UTF-8.
    NotUtf8,
    /// An escape that the version does not define.
    Escape,
    /// A carriage return in the middle of a line of STOMP 1.2.
    CarriageReturn,
    /// `content-length` is not a number.
    ContentLength,
    /// No NUL behind a body of the length that was said.
    BodyWithoutEnd,
}

/// A rule that a peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The first frame is not CONNECT or STOMP.
    FirstFrameNotConnect,
    /// CONNECT or STOMP came twice.
    SecondConnect,
    /// A frame that only the other end sends, or that this version does not have.
    UnexpectedFrame,
    /// A header is missing that the frame has to have.
    HeaderMissing(&'static str),
    /// A header has a value that it cannot have.
    HeaderValue(&'static str),
    /// A subscription with this `id` is there already.
    SubscriptionExists,
    /// There is no such subscription.
    SubscriptionUnknown,
    /// ACK or NACK of a message that this subscription has not got.
    MessageUnknown,
    /// A transaction of this name is open already.
    TransactionExists,
    /// There is no such transaction.
    TransactionUnknown,
}

/// What is correct and still not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// None of the versions that the client speaks.
    Version,
    /// The frame has more octets than this end takes.
    FrameTooLarge,
    /// Command and headers have more octets than this end takes.
    HeadTooLarge,
    /// The frame has more headers than this end takes.
    TooManyHeaders,
    /// The destination is not one of the forms of this listener's profile, or not of use in this frame.
    Destination,
    /// The connection has as many subscriptions as it may have.
    TooManySubscriptions,
    /// The connection has as many transactions as it may have.
    TooManyTransactions,
    /// What the transactions of the connection hold is as much as they may.
    TransactionTooLarge,
}

impl Error {
    /// What the broker is told.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Malformed(_) | Self::Violation(_) | Self::Refused(Refused::Version) => {
                Reason::ProtocolViolation
            }
            Self::Refused(Refused::FrameTooLarge | Refused::HeadTooLarge | Refused::TooManyHeaders) => {
                Reason::TooLarge
            }
            Self::Refused(Refused::Destination) => Reason::TopicInvalid,
            Self::Refused(
                Refused::TooManySubscriptions | Refused::TooManyTransactions | Refused::TransactionTooLarge,
            ) => Reason::QuotaExceeded,
        }
    }

    /// The header that is to blame, if it is a single one.
    #[must_use]
    pub const fn header(self) -> Option<&'static str> {
        match self {
            Self::Violation(Violation::HeaderMissing(name) | Violation::HeaderValue(name)) => Some(name),
            Self::Violation(Violation::SubscriptionExists | Violation::SubscriptionUnknown) => Some("id"),
            Self::Violation(Violation::TransactionExists | Violation::TransactionUnknown) => {
                Some("transaction")
            }
            Self::Malformed(Malformed::ContentLength | Malformed::BodyWithoutEnd) => Some("content-length"),
            Self::Refused(Refused::Version) => Some("accept-version"),
            Self::Refused(Refused::Destination) => Some("destination"),
            _ => None,
        }
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Violation(violation) => violation.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Command => "unknown command",
            Self::NulInHead => "NUL in the headers",
            Self::HeaderWithoutColon => "header without colon",
            Self::HeaderWithoutName => "header without name",
            Self::NotUtf8 => "headers are not UTF-8",
            Self::Escape => "undefined escape in a header",
            Self::CarriageReturn => "carriage return in a header",
            Self::ContentLength => "content-length is not a number",
            Self::BodyWithoutEnd => "no NUL behind the body",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstFrameNotConnect => "the first frame has to be CONNECT or STOMP",
            Self::SecondConnect => "already connected",
            Self::UnexpectedFrame => "frame not expected from a client of this version",
            Self::HeaderMissing(name) => return write!(f, "header {name} is missing"),
            Self::HeaderValue(name) => return write!(f, "header {name} has a value that it cannot have"),
            Self::SubscriptionExists => "subscription exists already",
            Self::SubscriptionUnknown => "no such subscription",
            Self::MessageUnknown => "no such message to acknowledge",
            Self::TransactionExists => "transaction exists already",
            Self::TransactionUnknown => "no such transaction",
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "no protocol version in common",
            Self::FrameTooLarge => "frame too large",
            Self::HeadTooLarge => "headers too large",
            Self::TooManyHeaders => "too many headers",
            Self::Destination => "destination not usable here",
            Self::TooManySubscriptions => "too many subscriptions",
            Self::TooManyTransactions => "too many transactions",
            Self::TransactionTooLarge => "transactions too large",
        })
    }
}

impl core::error::Error for Error {}

/// What ERROR says in its `message` header when the broker refused or ended something.
#[must_use]
pub const fn reason_message(reason: Reason) -> &'static str {
    match reason {
        Reason::Disconnected => "disconnected",
        Reason::ProtocolViolation => "protocol violation",
        Reason::BadCredentials | Reason::BadAuthenticationMethod => "bad login or passcode",
        Reason::ProofExpired => "the proof of who you are has ended",
        Reason::NotAuthorized => "access denied",
        Reason::ClientIdRefused => "client identifier refused",
        Reason::TopicInvalid | Reason::FilterInvalid => "destination not usable here",
        Reason::QuotaExceeded => "quota exceeded",
        Reason::RateExceeded => "rate exceeded",
        Reason::NotFound => "no such queue or exchange",
        Reason::Locked => "locked by another connection",
        Reason::PreconditionFailed => "does not fit what is there",
        Reason::QueueFull => "queue full",
        Reason::SelectorInvalid => "selector not readable",
        Reason::StorageFull => "no room to store it",
        Reason::ConditionFailed => "condition not met",
        Reason::TooLarge => "message too large",
        Reason::ServerBusy => "server busy",
        Reason::TakenOver => "session taken over",
        Reason::KeepAliveTimeout => "no heart-beat",
        Reason::OpeningTimeout => "no CONNECT in time",
        Reason::SlowConsumer => "slow consumer",
        Reason::Administrative => "closed by an administrator",
        Reason::ShuttingDown => "server shutting down",
    }
}
