//! The routes of the management listener.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mynah_core::administration::Names;
use prometheus_client::encoding::text;

use crate::refusal::Refusal;
use crate::request::DOCUMENT_MAX;
use crate::{Broker, MetricsSource, QueueCounts, Readiness, api, collector, rabbitmq};

/// The media type of the metrics (OpenMetrics 1.0).
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The answer of `/readyz` while the broker takes no traffic (RFC 9457).
const NOT_READY: &str = r#"{"type":"urn:mynah:problem:not-ready","title":"Not ready","status":503,"detail":"the broker is starting or stopping"}"#;

/// Queues that metrics tell apart: those with the first names.
const QUEUES_MAX: usize = 100;

/// `/metrics`, `/healthz` and `/livez` (the process answers), `/readyz` (the broker takes traffic), `/admin/v1` and `/api`.
pub fn router(source: impl MetricsSource, broker: Arc<dyn Broker>, ready: Readiness) -> Router {
    let (source, asked) = (Arc::new(source), Arc::clone(&broker));
    let metrics = move || async move { metrics(&*source, &*asked).await };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readyz(&ready) }))
        .merge(api::routes(Arc::clone(&broker)))
        .merge(rabbitmq::routes(broker))
        .layer(from_fn(take_whole))
        .layer(from_fn(demand_no_page))
}

/// Takes the whole document in before anything is answered: a connection whose client is still sending when it hears the answer
/// could not be used again.
async fn take_whole(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match to_bytes(body, DOCUMENT_MAX).await {
        Ok(document) => next.run(Request::from_parts(parts, Body::from(document))).await,
        Err(_) => {
            let detail = "the document is too long, or was cut off".to_owned();
            Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, detail }.problem()
        }
    }
}

/// A page in somebody's browser can ask whatever the browser can reach, but for changes it says where it is from (Fetch, "append
/// a request `Origin` header"). No page is served here that could want any.
async fn demand_no_page(request: Request, next: Next) -> Response {
    if !request.method().is_safe() && request.headers().contains_key(header::ORIGIN) {
        let detail = "a page changes nothing here".to_owned();
        return Refusal { status: StatusCode::FORBIDDEN, detail }.problem();
    }
    next.run(request).await
}

async fn metrics(source: &impl MetricsSource, broker: &dyn Broker) -> Response {
    let mut snapshot = source.snapshot();
    let queues = broker.queues(Names::After(None, QUEUES_MAX), false).await;
    snapshot.queues = queues.iter().flatten().map(QueueCounts::from).collect();
    let mut exposition = String::with_capacity(8 << 10);
    match text::encode(&mut exposition, &collector::registry(snapshot)) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], exposition).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn readyz(ready: &Readiness) -> Response {
    if ready.is_ready() {
        return "ready\n".into_response();
    }
    let fields = [(header::CONTENT_TYPE, "application/problem+json"), (header::RETRY_AFTER, "5")];
    (StatusCode::SERVICE_UNAVAILABLE, fields, NOT_READY).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::Snapshot;
    use crate::testing::Plain;

    struct Empty;

    impl MetricsSource for Empty {
        fn snapshot(&self) -> Snapshot {
            Snapshot::new("0")
        }
    }

    async fn get(router: &Router, path: &str) -> (u16, String, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let content_type =
            response.headers().get("content-type").map_or("", |v| v.to_str().unwrap()).to_owned();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, content_type, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn metrics_are_served_as_openmetrics() {
        let router = router(Empty, Arc::new(Plain::default()), Readiness::default());
        let (status, content_type, body) = get(&router, "/metrics").await;
        assert_eq!((status, content_type.as_str()), (200, METRICS_TYPE));
        assert!(body.contains("mynah_build_info{version=\"0\"} 1\n"), "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
    }

    #[tokio::test]
    async fn health_and_readiness_are_told() {
        let ready = Readiness::default();
        let router = router(Empty, Arc::new(Plain::default()), ready.clone());
        assert_eq!(get(&router, "/healthz").await.2, "ok\n");
        assert_eq!(get(&router, "/livez").await.2, "ok\n");
        let (status, content_type, body) = get(&router, "/readyz").await;
        assert_eq!(
            (status, content_type.as_str(), body.as_str()),
            (503, "application/problem+json", NOT_READY)
        );
        ready.set(true);
        assert_eq!(get(&router, "/readyz").await.0, 200);
        assert!(ready.flag().load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(get(&router, "/nothing").await.0, 404);
    }
}
