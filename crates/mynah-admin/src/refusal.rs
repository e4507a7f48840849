//! Why something is not done: a status of HTTP and a text, in the forms of both interfaces.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use mynah_core::administration::{Declined, Ordered};
use mynah_model::Reason;
use serde_json::json;

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
}

impl Refusal {
    /// What was sent cannot be used.
    pub(crate) fn unusable(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: detail.into() }
    }

    /// There is nothing of this name.
    pub(crate) fn absent() -> Self {
        Self { status: StatusCode::NOT_FOUND, detail: "there is nothing of this name".to_owned() }
    }

    /// There are no workers, because the broker starts or stops.
    pub(crate) fn early() -> Self {
        let detail = "the broker is starting or stopping".to_owned();
        Self { status: StatusCode::SERVICE_UNAVAILABLE, detail }
    }

    /// Problem details (RFC 9457).
    pub(crate) fn problem(&self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({ "title": title, "status": self.status.as_u16(), "detail": self.detail });
        let fields = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, fields, body.to_string()).into_response()
    }

    /// As RabbitMQ has it.
    pub(crate) fn rabbitmq(&self) -> Response {
        let status = if self.status == StatusCode::CONFLICT { StatusCode::BAD_REQUEST } else { self.status };
        let title = status.canonical_reason().unwrap_or("Error");
        let error = title.to_ascii_lowercase().replace(' ', "_");
        let error = if status == StatusCode::NOT_FOUND { title.to_owned() } else { error };
        let body = json!({ "error": error, "reason": self.detail });
        (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }
}

impl From<Declined> for Refusal {
    fn from(declined: Declined) -> Self {
        let status = match declined.reason {
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::PreconditionFailed | Reason::Locked => StatusCode::CONFLICT,
            Reason::NotAuthorized => StatusCode::FORBIDDEN,
            Reason::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
            Reason::ServerBusy | Reason::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let detail =
            if declined.detail.is_empty() { declined.reason.to_string() } else { declined.detail.into() };
        Self { status, detail }
    }
}

/// What became of an order, if there was anybody to carry it out.
pub(crate) fn outcome(ordered: Option<Ordered>) -> Result<u64, Refusal> {
    Ok(ordered.ok_or_else(Refusal::early)??)
}

/// The bytes of a document as an answer.
pub(crate) fn document(body: &impl ToString) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
