//! The adapter: HTTP requests through the router, over links of memory and over a real listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use mynah_http::{HttpConfig, adapter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::core::Core;

fn router(core: &Core, config: HttpConfig) -> Router {
    adapter::router(core.clone(), config, Arc::new(AtomicBool::new(true)))
}

async fn send(core: &Core, request: Request<Body>) -> Response<Body> {
    router(core, HttpConfig::default()).oneshot(request).await.unwrap()
}

fn request(method: &str, target: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(target).body(body.into()).unwrap()
}

async fn body(response: Response<Body>) -> Vec<u8> {
    to_bytes(response.into_body(), 1 << 26).await.unwrap().to_vec()
}

fn field<'r>(response: &'r Response<Body>, name: &str) -> &'r str {
    response.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn a_value_is_put_read_and_deleted() {
    let core = Core::new(HttpConfig::default());
    let value = vec![b'v'; 1_000_000];
    let mut put = request("PUT", "/v1/topics/a/b%20c", value.clone());
    put.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let response = send(&core, put).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(body(response).await, b"");

    let response = send(&core, request("GET", "/v1/topics/a/b%20c", "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(field(&response, "content-type"), "application/json");
    assert_eq!(field(&response, "content-length"), "1000000");
    assert_eq!(body(response).await, value);

    let response = send(&core, request("HEAD", "/v1/topics/a/b%20c", "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(field(&response, "content-length"), "1000000");
    assert_eq!(body(response).await, b"");

    let response = send(&core, request("DELETE", "/v1/topics/a/b%20c", "")).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let response = send(&core, request("GET", "/v1/topics/a/b%20c", "")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(field(&response, "content-type"), "application/problem+json");
    let json: serde_json::Value = serde_json::from_slice(&body(response).await).unwrap();
    assert_eq!(json["type"], "urn:mynah:problem:no-value");
}

fn with(mut request: Request<Body>, fields: &[(&'static str, &str)]) -> Request<Body> {
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_value_is_changed_only_by_who_knows_it() {
    let core = Core::new(HttpConfig::default());
    let put = |fields: &[(&'static str, &str)], body: &'static str| {
        let request = with(request("PUT", "/v1/topics/a", body), fields);
        let core = core.clone();
        async move { send(&core, request).await.status().as_u16() }
    };
    assert_eq!(put(&[("if-match", "*")], "1").await, 412);
    assert_eq!(put(&[("if-none-match", "*")], "1").await, 204);
    assert_eq!(put(&[("if-none-match", "*")], "2").await, 412);
    let response = send(&core, request("GET", "/v1/topics/a", "")).await;
    let tag = field(&response, "etag").to_owned();
    assert_eq!(field(&response, "cache-control"), "no-cache");
    assert_eq!(body(response).await, b"1");

    let unchanged = [("if-none-match", tag.as_str())];
    for method in ["GET", "HEAD"] {
        let response = send(&core, with(request(method, "/v1/topics/a", ""), &unchanged)).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(field(&response, "etag"), tag);
        assert_eq!(body(response).await, b"");
    }
    assert_eq!(put(&[("if-match", tag.as_str())], "2").await, 204);
    assert_eq!(put(&[("if-match", tag.as_str())], "3").await, 412);
    let response = send(&core, with(request("GET", "/v1/topics/a", ""), &unchanged)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(body(response).await, b"2");
    let delete = with(request("DELETE", "/v1/topics/a", ""), &[("if-match", &tag)]);
    let response = send(&core, delete).await;
    assert_eq!(response.status(), StatusCode::PRECONDITION_FAILED);
    let json: serde_json::Value = serde_json::from_slice(&body(response).await).unwrap();
    assert_eq!(json["type"], "urn:mynah:problem:precondition-failed");
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let core = Core::new(HttpConfig::default());
    let fields = [
        ("content-type", "a/b"),
        ("mynah-property", "k=1"),
        ("mynah-property", "k=2"),
        ("mynah-expiry", "60"),
    ];
    send(&core, with(request("PUT", "/v1/topics/a", "value"), &fields)).await;
    let get = send(&core, request("GET", "/v1/topics/a", "")).await;
    let head = send(&core, request("HEAD", "/v1/topics/a", "")).await;
    assert_eq!(get.status(), head.status());
    let shown = |response: &Response<Body>| {
        let mut headers = response.headers().clone();
        let left: f64 = headers.remove("mynah-expiry").unwrap().to_str().unwrap().parse().unwrap();
        assert!((50.0..=60.0).contains(&left), "{left}");
        headers
    };
    assert_eq!(shown(&get), shown(&head));
    assert_eq!(field(&head, "content-length"), "5");
    assert_eq!(head.headers().get_all("mynah-property").iter().count(), 2);
    assert_eq!((body(get).await, body(head).await), (b"value".to_vec(), Vec::new()));
    let missing = send(&core, request("HEAD", "/v1/topics/b", "")).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn options_are_told_without_a_link() {
    let core = Core::new(HttpConfig::default());
    for (target, allow) in [
        ("/v1/topics/a", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
        ("/v1/topics?filter=a", "GET, HEAD, OPTIONS"),
    ] {
        let response = send(&core, request("OPTIONS", target, "")).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(field(&response, "allow"), allow);
    }
    let response = send(&core, request("OPTIONS", "/nowhere", "")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(core.peers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn problems_need_no_link() {
    let core = Core::new(HttpConfig::default());
    for (method, target, status) in [
        ("GET", "/nowhere", 404),
        ("PATCH", "/v1/topics/a", 405),
        ("GET", "/v1/topics/a%2Fb", 400),
        ("GET", "/v1/topics", 400),
    ] {
        let response = send(&core, request(method, target, "")).await;
        assert_eq!(response.status().as_u16(), status, "{target}");
        assert_eq!(field(&response, "content-type"), "application/problem+json");
    }
    assert!(core.peers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refused_peer_is_challenged_before_its_body_is_read() {
    let core = Core::new(HttpConfig::default());
    let unread = Body::from_stream(Unread);
    let mut put = request("PUT", "/v1/topics/a", unread);
    put.headers_mut().insert("authorization", "Basic YmFkOng=".parse().unwrap());
    let response = send(&core, put).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(field(&response, "www-authenticate").starts_with("Basic "));
}

/// A body that fails the test if somebody reads it.
struct Unread;

impl futures_core::Stream for Unread {
    type Item = Result<axum::body::Bytes, std::io::Error>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        panic!("the body was read");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let config = HttpConfig { body_bytes_max: 10, ..HttpConfig::default() };
    let core = Core::new(config.clone());
    let mut announced = request("PUT", "/v1/topics/a", "12345678901");
    announced.headers_mut().insert("content-length", "11".parse().unwrap());
    for request in [announced, request("PUT", "/v1/topics/a", "12345678901")] {
        let response = router(&core, config.clone()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    let fits = router(&core, config).oneshot(request("PUT", "/v1/topics/a", "1234567890")).await.unwrap();
    assert_eq!(fits.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_busy_or_broken_broker_is_unavailable() {
    for (busy, broken, name) in [(true, false, "busy"), (false, true, "interrupted")] {
        let mut core = Core::new(HttpConfig::default());
        (core.busy, core.broken) = (busy, broken);
        let response = send(&core, request("PUT", "/v1/topics/a", "x")).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(field(&response, "retry-after"), "5");
        let json: serde_json::Value = serde_json::from_slice(&body(response).await).unwrap();
        assert_eq!(json["type"], format!("urn:mynah:problem:{name}"));
    }
}

#[tokio::test]
async fn health_and_readiness_are_told() {
    let ready = Arc::new(AtomicBool::new(false));
    let core = Core::new(HttpConfig::default());
    let router = adapter::router(core, HttpConfig::default(), Arc::clone(&ready));
    let get = |target| router.clone().oneshot(request("GET", target, ""));
    let health = get("/healthz").await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    assert_eq!(body(health).await, b"ok\n");
    let response = get("/readyz").await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(field(&response, "content-type"), "application/problem+json");
    ready.store(true, Ordering::Relaxed);
    assert_eq!(get("/readyz").await.unwrap().status(), StatusCode::OK);
}

/// A server on a real socket.
async fn listen(core: &Core, config: HttpConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router(core, config).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// Reads until `end` has come.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(end) {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut text)).await;
        assert_ne!(read.unwrap().unwrap(), 0, "the stream ended: {}", String::from_utf8_lossy(&text));
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_stream_brings_retained_values_then_live_ones_and_ends_with_its_client() {
    let config = HttpConfig { heartbeat: Duration::from_millis(100), ..HttpConfig::default() };
    let core = Core::new(config.clone());
    let address = listen(&core, config).await;
    send(&core, request("PUT", "/v1/topics/a", "kept")).await;

    let mut client = TcpStream::connect(address).await.unwrap();
    let local = client.local_addr().unwrap();
    client.write_all(b"GET /v1/topics?filter=%23 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let text = read_until(&mut client, "true}").await;
    assert!(text.contains("kept"), "{text}");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("content-type: text/event-stream\r\n"), "{text}");
    assert!(core.peers.lock().unwrap().contains(&local));

    send(&core, request("POST", "/v1/topics/b", "live")).await;
    let text = read_until(&mut client, "false}").await;
    assert!(text.contains(r#"data: {"topic":"b","payload":"live","qos":1,"retain":false}"#), "{text}");
    send(&core, request("DELETE", "/v1/topics/a", "")).await;
    read_until(&mut client, "event: delete").await;
    read_until(&mut client, ": heartbeat").await;

    assert_eq!(core.link_count(), 1);
    drop(client);
    for _ in 0..500 {
        if core.link_count() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the link outlived its client");
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_its_sender_is_let_in() {
    let config = HttpConfig { body_timeout: Duration::from_millis(200), ..HttpConfig::default() };
    let core = Core::new(config.clone());
    let address = listen(&core, config).await;
    let head = "PUT /v1/topics/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n";

    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(format!("{head}Authorization: Basic YmFkOng=\r\n\r\n").as_bytes()).await.unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 401 "));

    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"body").await.unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 204 "));

    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(format!("{head}\r\nbo").as_bytes()).await.unwrap();
    let text = read_until(&mut client, "request-timeout").await;
    assert!(text.contains("HTTP/1.1 408 "), "{text}");
}

#[tokio::test]
async fn chunked_bodies_and_keep_alive_work() {
    let core = Core::new(HttpConfig::default());
    let address = listen(&core, HttpConfig::default()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let put = b"PUT /v1/topics/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    client.write_all(put).await.unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 204 "));
    client.write_all(b"GET /v1/topics/a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let text = read_until(&mut client, "abcde").await;
    assert!(text.contains("content-length: 5\r\n"), "{text}");
}
