//! The routes of the management listener.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text;

use crate::{MetricsSource, Readiness, collector};

/// The media type of the metrics (OpenMetrics 1.0).
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The answer of `/readyz` while the broker takes no traffic (RFC 9457).
const NOT_READY: &str = r#"{"type":"urn:mynah:problem:not-ready","title":"Not ready","status":503,"detail":"the broker is starting or stopping"}"#;

/// `/metrics`, `/healthz` and `/livez` (the process answers) and `/readyz` (the broker takes traffic).
pub fn router(source: impl MetricsSource, ready: Readiness) -> Router {
    let registry = Arc::new(collector::registry(source));
    let metrics = move || async move {
        let mut exposition = String::with_capacity(8 << 10);
        match text::encode(&mut exposition, &registry) {
            Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], exposition).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readyz(&ready) }))
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
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::Snapshot;

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
        let router = router(Empty, Readiness::default());
        let (status, content_type, body) = get(&router, "/metrics").await;
        assert_eq!((status, content_type.as_str()), (200, METRICS_TYPE));
        assert!(body.contains("mynah_build_info{version=\"0\"} 1\n"), "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
    }

    #[tokio::test]
    async fn health_and_readiness_are_told() {
        let ready = Readiness::default();
        let router = router(Empty, ready.clone());
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
