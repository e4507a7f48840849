//! Everything that can go wrong with a request, and the single map to statuses and problem details (RFC 9457).

use core::fmt;

use mynah_model::Reason;
use serde_json::json;

use crate::wire::{PathError, QueryError};

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No resource has this path.
    UnknownPath,
    /// The resource has no such method; these it has.
    MethodNotAllowed(&'static str),
    /// The path does not spell a topic.
    Path(PathError),
    /// The query is not one for this resource.
    Query(QueryError),
    /// This header field says what it cannot say.
    Field(&'static str, &'static str),
    /// A `Mynah-` header field that is not known: ignoring it would be a silent loss.
    UnknownField(String),
    /// The Authorization field cannot be used.
    Authorization(&'static str),
    /// The path and query are longer than so many bytes.
    UriTooLong(u32),
    /// The header fields are longer than so many bytes.
    FieldsTooLarge(u32),
    /// The body is longer than so many bytes.
    BodyTooLarge(u32),
    /// The client did not finish the body that it announced, or not in time.
    BodyIncomplete,
    /// The topic has no retained value.
    NoValue,
    /// Nothing can be a lease of this name.
    UnknownLease,
    /// The lease is over, or was settled before.
    LeaseGone,
    /// Nobody answers requests there.
    NobodyAnswers,
    /// The reply to the request did not come in time.
    NoAnswer,
    /// The broker is not ready.
    NotReady,
    /// The broker ended the request without an answer.
    Interrupted,
    /// The core refused.
    Refused(Reason),
}

/// The machine-readable part of a problem: status, last part of its type's name, title.
type Face = (u16, &'static str, &'static str);

impl Problem {
    /// The media type of a problem's body.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// What the Retry-After of a 503 says, in seconds.
    pub const RETRY_AFTER_SECS: &'static str = "5";

    /// What the Retry-After of a 429 says, in seconds: what rates are counted by.
    pub const RATE_RETRY_AFTER_SECS: &'static str = "1";

    const fn face(&self) -> Face {
        match self {
            Self::UnknownPath => (404, "unknown-path", "Unknown path"),
            Self::MethodNotAllowed(_) => (405, "method-not-allowed", "Method not allowed"),
            Self::Path(_) => (400, "bad-topic", "Bad topic"),
            Self::Query(QueryError::Filter(..)) => (400, "bad-filter", "Bad filter"),
            Self::Query(_) => (400, "bad-query", "Bad query"),
            Self::Field(..) | Self::UnknownField(_) => (400, "bad-header", "Bad header field"),
            Self::Authorization(_) => UNAUTHORIZED,
            Self::UriTooLong(_) => (414, "uri-too-long", "URI too long"),
            Self::FieldsTooLarge(_) => (431, "headers-too-large", "Header fields too large"),
            Self::BodyTooLarge(_) => TOO_LARGE,
            Self::BodyIncomplete => (408, "request-timeout", "Request timeout"),
            Self::NoValue => (404, "no-value", "No value"),
            Self::UnknownLease => (404, "unknown-lease", "Unknown lease"),
            Self::LeaseGone => (410, "lease-gone", "Lease gone"),
            Self::NobodyAnswers => (504, "nobody-answers", "Nobody answers"),
            Self::NoAnswer => (504, "no-answer", "No answer"),
            Self::NotReady => (503, "not-ready", "Not ready"),
            Self::Interrupted => (503, "interrupted", "Interrupted"),
            Self::Refused(reason) => refused_face(*reason),
        }
    }

    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.face().0
    }

    /// Header fields that the status demands beside Content-Type: names in lower case, values.
    #[must_use]
    pub const fn field(&self) -> Option<(&'static str, &'static str)> {
        match (self, self.status()) {
            (Self::MethodNotAllowed(allow), _) => Some(("allow", allow)),
            (_, 401) => Some(("www-authenticate", CHALLENGES)),
            (_, 429) => Some(("retry-after", Self::RATE_RETRY_AFTER_SECS)),
            (_, 503) => Some(("retry-after", Self::RETRY_AFTER_SECS)),
            _ => None,
        }
    }

    /// The body: one JSON object (RFC 9457, section 3).
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let (status, name, title) = self.face();
        let problem_type = format!("urn:mynah:problem:{name}");
        json!({ "type": problem_type, "title": title, "status": status, "detail": self.to_string() })
            .to_string()
            .into_bytes()
    }
}

/// How a client may say who it is (RFC 9110, section 11.6.1; RFC 7617 and RFC 6750).
const CHALLENGES: &str = "Basic realm=\"mynah\", charset=\"UTF-8\", Bearer realm=\"mynah\"";

const UNAUTHORIZED: Face = (401, "unauthorized", "Unauthorized");
const TOO_LARGE: Face = (413, "too-large", "Content too large");

/// The map from the core's reasons. A full broker is 503 with Retry-After (`docs/mapping.md`, Full).
const fn refused_face(reason: Reason) -> Face {
    match reason {
        Reason::BadCredentials | Reason::BadAuthenticationMethod | Reason::ProofExpired => UNAUTHORIZED,
        Reason::NotAuthorized => (403, "forbidden", "Forbidden"),
        Reason::TopicInvalid => (400, "bad-topic", "Bad topic"),
        Reason::FilterInvalid => (400, "bad-filter", "Bad filter"),
        Reason::ProtocolViolation => (400, "bad-request", "Bad request"),
        Reason::ConditionFailed => (412, "precondition-failed", "Precondition failed"),
        Reason::TooLarge => TOO_LARGE,
        Reason::NotFound => (404, "no-such-queue", "No such queue"),
        Reason::Locked => (423, "locked", "Locked"),
        Reason::PreconditionFailed => (409, "mismatch", "Mismatch"),
        Reason::QueueFull => (503, "queue-full", "Queue full"),
        Reason::SelectorInvalid => (400, "bad-selector", "Bad selector"),
        Reason::ClientIdRefused | Reason::TakenOver => (409, "conflict", "Conflict"),
        Reason::KeepAliveTimeout | Reason::OpeningTimeout => (408, "request-timeout", "Request timeout"),
        Reason::QuotaExceeded => (503, "quota-exceeded", "Quota exceeded"),
        Reason::RateExceeded => (429, "too-many-requests", "Too many requests"),
        Reason::StorageFull => (507, "storage-full", "Insufficient storage"),
        Reason::ServerBusy | Reason::SlowConsumer => (503, "busy", "Busy"),
        Reason::Administrative => (503, "closed", "Closed by an administrator"),
        Reason::ShuttingDown => (503, "shutting-down", "Shutting down"),
        Reason::Disconnected => (503, "interrupted", "Interrupted"),
    }
}

impl fmt::Display for Problem {
    /// The problem's detail: what was wrong, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPath => f.write_str(
                "topics are at /v1/topics/{topic}, subscriptions at /v1/topics?filter={filter}, queues at \
                     /v1/queues/{queue}/messages and /v1/queues/{queue}/leases, requests at /v1/requests/{topic}",
            ),
            Self::MethodNotAllowed(allow) => write!(f, "this resource has the methods {allow}"),
            Self::Path(error) => error.fmt(f),
            Self::Query(error) => error.fmt(f),
            Self::Field(name, wrong) => write!(f, "header field {name}: {wrong}"),
            Self::UnknownField(name) => write!(f, "header field '{name}' is not known here"),
            Self::Authorization(wrong) => f.write_str(wrong),
            Self::UriTooLong(max) => write!(f, "path and query are longer than {max} bytes"),
            Self::FieldsTooLarge(max) => write!(f, "the header fields are longer than {max} bytes"),
            Self::BodyTooLarge(max) => write!(f, "the body is longer than {max} bytes"),
            Self::BodyIncomplete => f.write_str("the body was not complete in time"),
            Self::NoValue => f.write_str("the topic has no retained value"),
            Self::UnknownLease => f.write_str("this is not what a lease is named"),
            Self::LeaseGone => {
                f.write_str("the lease is not held any more: its time is over, or it was settled before")
            }
            Self::NobodyAnswers => f.write_str("nobody answers requests there"),
            Self::NoAnswer => f.write_str("the reply did not come in time; the request may have been carried out"),
            Self::NotReady => f.write_str("the broker is starting or stopping"),
            Self::Interrupted => {
                f.write_str("the broker ended the request without an answer; it may have been carried out")
            }
            Self::Refused(reason) => refused_detail(*reason, f),
        }
    }
}

fn refused_detail(reason: Reason, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match reason {
        Reason::BadCredentials => {
            f.write_str("the user name or the password is wrong, or is missing where one is demanded")
        }
        Reason::NotAuthorized => f.write_str("this identity may not do that"),
        Reason::ConditionFailed => {
            f.write_str("the retained value is not what If-Match or If-None-Match asks for: read it again")
        }
        Reason::RateExceeded => {
            f.write_str("this identity has published more than it may in this time: wait")
        }
        Reason::StorageFull => f.write_str(
            "there is no room on the broker's disk for what would have to be stored: try again when there is",
        ),
        other => fmt::Display::fmt(&other, f),
    }
}

impl core::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_status() {
        for (reason, status) in [
            (Reason::Disconnected, 503),
            (Reason::ProtocolViolation, 400),
            (Reason::BadCredentials, 401),
            (Reason::BadAuthenticationMethod, 401),
            (Reason::NotAuthorized, 403),
            (Reason::ClientIdRefused, 409),
            (Reason::TopicInvalid, 400),
            (Reason::FilterInvalid, 400),
            (Reason::QuotaExceeded, 503),
            (Reason::RateExceeded, 429),
            (Reason::StorageFull, 507),
            (Reason::NotFound, 404),
            (Reason::Locked, 423),
            (Reason::PreconditionFailed, 409),
            (Reason::QueueFull, 503),
            (Reason::SelectorInvalid, 400),
            (Reason::ConditionFailed, 412),
            (Reason::TooLarge, 413),
            (Reason::ServerBusy, 503),
            (Reason::TakenOver, 409),
            (Reason::KeepAliveTimeout, 408),
            (Reason::OpeningTimeout, 408),
            (Reason::SlowConsumer, 503),
            (Reason::ProofExpired, 401),
            (Reason::ShuttingDown, 503),
        ] {
            assert_eq!(Problem::Refused(reason).status(), status, "{reason}");
        }
    }

    #[test]
    fn a_problem_is_one_json_object() {
        let problem = Problem::Refused(Reason::NotAuthorized);
        assert_eq!(
            String::from_utf8(problem.body()).unwrap(),
            r#"{"detail":"this identity may not do that","status":403,"title":"Forbidden","type":"urn:mynah:problem:forbidden"}"#
        );
    }

    #[test]
    fn statuses_bring_the_fields_they_demand() {
        assert_eq!(Problem::MethodNotAllowed("GET").field(), Some(("allow", "GET")));
        let challenge = Problem::Refused(Reason::BadCredentials).field().unwrap();
        assert_eq!(challenge.0, "www-authenticate");
        assert!(challenge.1.starts_with("Basic "));
        assert_eq!(Problem::Refused(Reason::ServerBusy).field(), Some(("retry-after", "5")));
        assert_eq!(Problem::Refused(Reason::RateExceeded).field(), Some(("retry-after", "1")));
        assert_eq!(Problem::NoValue.field(), None);
    }
}
