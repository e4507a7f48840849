//! Errors in families, and the one place where they, and reasons of the broker, become reply codes.
//!
//! [`Malformed`] is about bytes, [`Violation`] about a rule of the protocol; what the broker does not do is a
//! [`Reason`]. Each becomes an [`Exception`]: a reply code of the specification with the method that caused it.

use alloc::borrow::Cow;
use core::fmt;

use mynah_model::Reason;

use super::wire::MethodId;

/// Why a connection or a channel cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are not a frame, or not what a frame of their type has.
    Malformed(Malformed),
    /// A rule is broken.
    Violation(Violation),
}

/// How bytes fail to be what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No type of frame has this number.
    FrameType(u8),
    /// The octet behind a frame is not the one that ends it.
    FrameEnd,
    /// A method ends before its last argument does.
    Truncated,
    /// Something follows the last argument.
    TrailingBytes,
    /// There is no such method.
    UnknownMethod(MethodId),
    /// A value in a table ends behind the table.
    TableTruncated,
    /// A value in a table has a type that does not exist.
    TableType(u8),
    /// Tables stand too deep in one another.
    TableDepth,
    /// The header of a content is of another class than its method.
    ContentClass,
    /// The weight in the header of a content is not zero.
    ContentWeight,
    /// A reserved flag of the properties is set.
    PropertyFlags,
    /// A heartbeat with a payload.
    HeartbeatPayload,
    /// What a client says of who it is, is not what its mechanism has it say.
    Credentials,
}

/// A rule that a peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The stream does not begin with the protocol header of this version.
    ProtocolHeader,
    /// A frame is larger than was agreed on.
    FrameTooLarge,
    /// A channel's number is higher than was agreed on.
    ChannelNumber,
    /// A method on a channel that is not open.
    ChannelNotOpen,
    /// A channel is opened that is open.
    ChannelOpen,
    /// A method of the connection on a channel, or of a channel on the connection.
    ChannelZero,
    /// A heartbeat on a channel.
    HeartbeatChannel,
    /// A header or body without the method before it.
    ContentWithoutMethod,
    /// Something else where the header or the body of a content has to come.
    ContentExpected,
    /// More bytes of a body than its header says.
    BodyTooLong,
    /// A method that this end sends, not takes.
    Sender,
    /// A method at another time than it may come.
    UnexpectedMethod,
    /// A limit that is higher than the one that was proposed, or too low.
    Tuning,
    /// Nothing came for longer than was agreed on.
    Silence,
    /// An answer to something that was not asked.
    UnexpectedAnswer,
}

/// The specification's reply codes, with the names that RabbitMQ begins reply texts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ReplyCode {
    /// It went well.
    ReplySuccess = 200,
    /// The content is too large.
    ContentTooLarge = 311,
    /// A message was not routed (RabbitMQ).
    NoRoute = 312,
    /// No consumer takes it at once.
    NoConsumers = 313,
    /// An operator, or the end of the server.
    ConnectionForced = 320,
    /// No such virtual host.
    InvalidPath = 402,
    /// The user may not do this.
    AccessRefused = 403,
    /// There is no such thing.
    NotFound = 404,
    /// Another connection has it for itself.
    ResourceLocked = 405,
    /// A condition is not met.
    PreconditionFailed = 406,
    /// The bytes are no frames.
    FrameError = 501,
    /// A frame holds what cannot be read.
    SyntaxError = 502,
    /// A method at the wrong time.
    CommandInvalid = 503,
    /// A channel was not opened, or twice.
    ChannelError = 504,
    /// A frame that does not belong here.
    UnexpectedFrame = 505,
    /// Not enough room.
    ResourceError = 506,
    /// It is not allowed, whoever asks.
    NotAllowed = 530,
    /// It is not done here.
    NotImplemented = 540,
    /// A fault of the server.
    InternalError = 541,
}

impl ReplyCode {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether it ends the connection; the others end a channel.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        matches!(self as u16, 320 | 402 | 500..)
    }

    /// The name as RabbitMQ writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReplySuccess => "OK",
            Self::ContentTooLarge => "CONTENT_TOO_LARGE",
            Self::NoRoute => "NO_ROUTE",
            Self::NoConsumers => "NO_CONSUMERS",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::InvalidPath => "INVALID_PATH",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::ResourceError => "RESOURCE_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }
}

/// What ends a channel or a connection, as the peer hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Why, as a number.
    pub code: ReplyCode,
    /// The method that caused it, or [`MethodId::NONE`].
    pub method: MethodId,
    /// Why, in words.
    pub text: Cow<'static, str>,
}

impl Exception {
    /// An exception with words.
    #[must_use]
    pub fn new(code: ReplyCode, method: MethodId, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, method, text: text.into() }
    }

    /// What an error in `method` comes to.
    #[must_use]
    pub fn of_error(error: Error, method: MethodId) -> Self {
        let method = match error {
            Error::Malformed(Malformed::UnknownMethod(id)) => id,
            _ => method,
        };
        Self::new(error.reply_code(), method, alloc::string::ToString::to_string(&error))
    }

    /// Whether it ends the connection.
    #[must_use]
    pub fn is_hard(&self) -> bool {
        self.code.is_hard()
    }
}

impl fmt::Display for Exception {
    /// The reply text, in RabbitMQ's form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.code.name(), self.text)
    }
}

impl Error {
    /// The code of the specification.
    #[must_use]
    pub const fn reply_code(self) -> ReplyCode {
        match self {
            Self::Malformed(malformed) => malformed.reply_code(),
            Self::Violation(violation) => violation.reply_code(),
        }
    }
}

impl Malformed {
    const fn reply_code(self) -> ReplyCode {
        match self {
            Self::FrameType(_) | Self::FrameEnd | Self::HeartbeatPayload => ReplyCode::FrameError,
            Self::UnknownMethod(_) => ReplyCode::NotImplemented,
            Self::ContentClass => ReplyCode::UnexpectedFrame,
            Self::Truncated
            | Self::TrailingBytes
            | Self::TableTruncated
            | Self::TableType(_)
            | Self::TableDepth
            | Self::ContentWeight
            | Self::PropertyFlags
            | Self::Credentials => ReplyCode::SyntaxError,
        }
    }
}

impl Violation {
    const fn reply_code(self) -> ReplyCode {
        match self {
            Self::ProtocolHeader | Self::FrameTooLarge | Self::BodyTooLong => ReplyCode::FrameError,
            Self::ChannelNumber | Self::ChannelNotOpen | Self::ChannelOpen => ReplyCode::ChannelError,
            Self::HeartbeatChannel => ReplyCode::CommandInvalid,
            Self::ContentWithoutMethod | Self::ContentExpected => ReplyCode::UnexpectedFrame,
            Self::ChannelZero | Self::Sender | Self::UnexpectedMethod | Self::UnexpectedAnswer => {
                ReplyCode::CommandInvalid
            }
            Self::Tuning => ReplyCode::NotAllowed,
            Self::Silence => ReplyCode::ConnectionForced,
        }
    }
}

/// The code by which a client hears a reason of the broker.
#[must_use]
pub const fn reply_code(reason: Reason) -> ReplyCode {
    match reason {
        Reason::Disconnected
        | Reason::TakenOver
        | Reason::KeepAliveTimeout
        | Reason::OpeningTimeout
        | Reason::SlowConsumer
        | Reason::ServerBusy
        | Reason::Administrative
        | Reason::ShuttingDown => ReplyCode::ConnectionForced,
        Reason::ProtocolViolation => ReplyCode::CommandInvalid,
        Reason::BadCredentials
        | Reason::NotAuthorized
        | Reason::ProofExpired
        | Reason::BadAuthenticationMethod => ReplyCode::AccessRefused,
        Reason::ClientIdRefused => ReplyCode::NotAllowed,
        Reason::NotFound => ReplyCode::NotFound,
        Reason::Locked => ReplyCode::ResourceLocked,
        Reason::TopicInvalid
        | Reason::FilterInvalid
        | Reason::SelectorInvalid
        | Reason::PreconditionFailed
        | Reason::ConditionFailed => ReplyCode::PreconditionFailed,
        Reason::QuotaExceeded | Reason::RateExceeded | Reason::StorageFull | Reason::QueueFull => {
            ReplyCode::ResourceError
        }
        Reason::TooLarge => ReplyCode::ContentTooLarge,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Violation(violation) => violation.fmt(f),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameType(number) => write!(f, "no type of frame has the number {number}"),
            Self::FrameEnd => f.write_str("a frame does not end with the octet 0xCE"),
            Self::Truncated => f.write_str("it ends before its last field does"),
            Self::TrailingBytes => f.write_str("something follows its last field"),
            Self::UnknownMethod(id) => write!(f, "there is no {id}"),
            Self::TableTruncated => f.write_str("a field ends behind its table"),
            Self::TableType(letter) => {
                write!(f, "no type of field has the letter '{}'", letter.escape_ascii())
            }
            Self::TableDepth => f.write_str("tables stand too deep in one another"),
            Self::ContentClass => f.write_str("the content header is not of class basic"),
            Self::ContentWeight => f.write_str("the weight of a content header is not 0"),
            Self::PropertyFlags => f.write_str("a reserved flag of the properties is set"),
            Self::HeartbeatPayload => f.write_str("a heartbeat has a payload"),
            Self::Credentials => f.write_str("the response is not one of its mechanism"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProtocolHeader => "the protocol header is not that of AMQP 0-9-1",
            Self::FrameTooLarge => "a frame is larger than the frame-max that was agreed on",
            Self::ChannelNumber => "the channel's number is higher than the channel-max that was agreed on",
            Self::ChannelNotOpen => "the channel is not open",
            Self::ChannelOpen => "the channel is open already",
            Self::ChannelZero => "the method is not for this channel",
            Self::HeartbeatChannel => "a heartbeat is on a channel",
            Self::ContentWithoutMethod => "there is a content without a method",
            Self::ContentExpected => "the content of a method is expected",
            Self::BodyTooLong => "the body is longer than its content header says",
            Self::Sender => "only the other end sends this method",
            Self::UnexpectedMethod => "the method may not come at this time",
            Self::Tuning => "a limit is not within what was proposed",
            Self::Silence => "nothing was heard for two heartbeats",
            Self::UnexpectedAnswer => "it answers nothing that was asked",
        })
    }
}

impl core::error::Error for Error {}

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

#[cfg(test)]
mod tests {
    use super::*;

    //= amqp-0-9-1 [1.1-hard] [1.1-soft]
    #[test]
    fn hard_errors_are_those_of_section_1_2() {
        let hard = [320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541];
        for code in [
            ReplyCode::ContentTooLarge,
            ReplyCode::NoRoute,
            ReplyCode::NoConsumers,
            ReplyCode::ConnectionForced,
            ReplyCode::InvalidPath,
            ReplyCode::AccessRefused,
            ReplyCode::NotFound,
            ReplyCode::ResourceLocked,
            ReplyCode::PreconditionFailed,
            ReplyCode::FrameError,
            ReplyCode::SyntaxError,
            ReplyCode::CommandInvalid,
            ReplyCode::ChannelError,
            ReplyCode::UnexpectedFrame,
            ReplyCode::ResourceError,
            ReplyCode::NotAllowed,
            ReplyCode::NotImplemented,
            ReplyCode::InternalError,
        ] {
            assert_eq!(code.is_hard(), hard.contains(&code.number()), "{code:?}");
        }
    }

    #[test]
    fn a_reply_text_begins_with_the_name_of_its_code() {
        let id = MethodId::new(60, 33);
        let exception = Exception::of_error(Malformed::UnknownMethod(id).into(), MethodId::NONE);
        assert_eq!(exception.method, id);
        assert_eq!(
            alloc::string::ToString::to_string(&exception),
            "NOT_IMPLEMENTED - there is no method 60.33"
        );
    }
}
