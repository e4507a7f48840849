//! Both interfaces over a broker without workers.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use mynah_core::WorkerId;
use mynah_core::administration::ConnectionView;
use mynah_model::{Argument, ChannelDescription, Description, Identity, TenantId};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::accounts::{Secret, UserChange};
use crate::testing::Plain;
use crate::{Asker, Broker, MetricsSource, Readiness, Snapshot, router};

struct Empty;

impl MetricsSource for Empty {
    fn snapshot(&self) -> Snapshot {
        Snapshot::new("0")
    }
}

struct Site {
    router: Router,
    broker: Arc<Plain>,
}

impl Site {
    fn new() -> Self {
        let broker = Arc::new(Plain::default());
        let asked: Arc<dyn Broker> = Arc::clone(&broker) as Arc<dyn Broker>;
        Self { router: router(Empty, asked, Readiness::default()), broker }
    }

    /// Status and document, for nobody in particular.
    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask_as(None, method, path, body).await
    }

    /// Status and document.
    async fn ask_as(&self, user: Option<&str>, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let mut request = Request::builder().method(method).uri(path).body(body).unwrap();
        if let Some(user) = user {
            let nobody = Asker::anonymous(([127, 0, 0, 1], 1).into(), TenantId::DEFAULT, "m");
            let identity = Identity::user(TenantId::DEFAULT, user);
            request.extensions_mut().insert(Asker { identity, ..nobody });
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into()))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, document) = self.ask("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {document}");
        document
    }
}

#[tokio::test]
async fn queues_are_declared_seen_purged_and_deleted() {
    let site = Site::new();
    let said = json!({ "durable": true, "arguments": { "x-message-ttl": 1500, "x-queue-type": "quorum" } });
    assert_eq!(site.ask("PUT", "/admin/v1/queues/a%2Fb", said.clone()).await.0, 204);
    let queue = site.get("/admin/v1/queues/a%2Fb").await;
    assert_eq!((&queue["name"], &queue["ready"], &queue["leased"]), (&json!("a/b"), &json!(2), &json!(1)));
    assert_eq!(queue["arguments"], json!({ "x-message-ttl": 1500 }));
    assert_eq!(site.ask("PUT", "/admin/v1/queues/a%2Fb", json!({})).await.0, 409);
    assert_eq!(site.ask("PUT", "/admin/v1/queues/c", Value::Null).await.0, 204);
    let names =
        |page: Value| page["items"].as_array().unwrap().iter().map(|q| q["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(site.get("/admin/v1/queues").await), [json!("a/b"), json!("c")]);
    assert_eq!(names(site.get("/admin/v1/queues?limit=1").await), [json!("a/b")]);
    assert_eq!(names(site.get("/admin/v1/queues?after=a%2Fb").await), [json!("c")]);
    assert_eq!(site.ask("GET", "/admin/v1/queues?limit=0", Value::Null).await.0, 400);
    let purge = site.ask("DELETE", "/admin/v1/queues/c/messages", Value::Null).await;
    assert_eq!(purge, (200, json!({ "messages": 2 })));
    let delete = site.ask("DELETE", "/admin/v1/queues/c", Value::Null).await;
    assert_eq!(delete, (200, json!({ "messages": 0 })));
    let (status, problem) = site.ask("DELETE", "/admin/v1/queues/c", Value::Null).await;
    assert_eq!((status, &problem["status"]), (404, &json!(404)));
}

#[tokio::test]
async fn what_cannot_be_used_is_told() {
    let site = Site::new();
    for (method, path, body, detail) in [
        ("PUT", "/admin/v1/queues/q", json!({ "durable": "yes" }), "durable has to be true or false"),
        (
            "PUT",
            "/admin/v1/queues/q",
            json!({ "arguments": { "x-max-priority": 256 } }),
            "x-max-priority has to be an integer of 0 to 255",
        ),
        (
            "PUT",
            "/admin/v1/queues/q",
            json!({ "arguments": { "x-queue-type": "stream", "x-expires": 5 } }),
            "a stream has no x-expires",
        ),
        ("PUT", "/admin/v1/queues/q", json!([]), "the document has to be an object"),
        ("PUT", "/admin/v1/exchanges/x", json!({ "type": "odd" }), "'odd' is no type of exchanges"),
        ("POST", "/admin/v1/bindings", json!({}), "destination_type has to be queue or exchange"),
    ] {
        let (status, problem) = site.ask(method, path, body).await;
        assert_eq!((status, problem["detail"].as_str().unwrap()), (400, detail));
    }
    assert!(site.broker.there().queues.is_empty());
}

#[tokio::test]
async fn bindings_are_named_by_their_keys() {
    let site = Site::new();
    site.ask("PUT", "/api/queues/%2F/q", json!({})).await;
    let (status, _) = site.ask("PUT", "/api/exchanges/%2F/x", json!({ "type": "topic" })).await;
    assert_eq!(status, 201);
    let path = "/api/bindings/%2F/e/x/q/q";
    assert_eq!(site.ask("POST", path, json!({ "routing_key": "a.*.#" })).await.0, 201);
    assert_eq!(&*site.broker.there().queues[0].bindings[0].key, b"a/+/#");
    let found = site.get(path).await;
    assert_eq!(
        (&found[0]["routing_key"], &found[0]["properties_key"]),
        (&json!("a.*.#"), &json!("a.%2A.%23"))
    );
    let all = site.get("/api/bindings").await;
    assert_eq!(all.as_array().unwrap().len(), 2, "one of them is the default exchange's");
    let arguments = json!({ "routing_key": "", "arguments": { "x-match": "any", "n": 1 } });
    assert_eq!(site.ask("POST", path, arguments).await.0, 201);
    let found = site.get(path).await;
    let key = found[1]["properties_key"].as_str().unwrap();
    assert_eq!(site.ask("DELETE", &format!("{path}/{key}"), Value::Null).await.0, 204);
    assert_eq!(site.ask("DELETE", &format!("{path}/{key}"), Value::Null).await.0, 404);
    assert_eq!(site.ask("DELETE", &format!("{path}/a.*.%23"), Value::Null).await.0, 204);
    assert_eq!(site.get(path).await, json!([]));
}

#[tokio::test]
async fn rabbitmq_lists_are_whole_or_in_pages() {
    let site = Site::new();
    for name in ["a", "b", "bb"] {
        site.ask("PUT", &format!("/api/queues/%2F/{name}"), json!({})).await;
    }
    assert_eq!(site.get("/api/queues").await.as_array().unwrap().len(), 3);
    let page = site.get("/api/queues/%2F?page=2&page_size=1&name=b").await;
    assert_eq!((&page["page_count"], &page["items"][0]["name"]), (&json!(2), &json!("bb")));
    assert_eq!(site.ask("GET", "/api/queues?page=0", Value::Null).await.0, 400);
    let overview = site.get("/api/overview").await;
    assert_eq!(overview["queue_totals"]["messages"], json!(9));
    let (status, problem) = site.ask("GET", "/api/queues/other", Value::Null).await;
    assert_eq!((status, &problem["error"]), (404, &json!("Not Found")));
    let (status, problem) = site.ask("PUT", "/api/queues/%2F/a", json!({ "auto_delete": true })).await;
    assert_eq!((status, &problem["error"]), (400, &json!("bad_request")));
}

#[tokio::test]
async fn definitions_come_back_as_they_were() {
    let site = Site::new();
    site.ask("PUT", "/api/queues/%2F/q", json!({ "arguments": { "x-max-length": 5 } })).await;
    site.ask("PUT", "/api/queues/%2F/fleeting", json!({ "durable": false })).await;
    site.ask("PUT", "/api/exchanges/%2F/x", json!({ "type": "direct" })).await;
    site.ask("POST", "/api/bindings/%2F/e/x/q/q", json!({ "routing_key": "k" })).await;
    let definitions = site.get("/api/definitions").await;
    assert_eq!(definitions["queues"].as_array().unwrap().len(), 1);
    let other = Site::new();
    let (status, done) = other.ask("POST", "/api/definitions", definitions.clone()).await;
    assert_eq!((status, done), (200, json!({ "done": 3, "not_done": [] })));
    assert_eq!(other.get("/api/definitions").await, definitions);
    let odd = json!({ "bindings": [{ "source": "x", "destination": "none", "destination_type": "queue" }] });
    let (_, done) = other.ask("POST", "/api/definitions", odd).await;
    assert_eq!((&done["done"], &done["not_done"][0]["what"]), (&json!(0), &json!("bindings[0] x to none")));
}

#[tokio::test]
async fn a_page_in_a_browser_changes_nothing() {
    let site = Site::new();
    for (origin, status) in [(true, 403), (false, 204)] {
        let mut request = Request::put("/admin/v1/queues/q").body(Body::empty()).unwrap();
        if origin {
            request.headers_mut().insert("origin", "http://elsewhere.example".parse().unwrap());
        }
        assert_eq!(site.router.clone().oneshot(request).await.unwrap().status(), status);
        assert_eq!(site.broker.there().queues.is_empty(), origin);
    }
}

#[tokio::test]
async fn without_workers_nothing_is_answered_but_that() {
    let site = Site::new();
    site.broker.there().is_stopping = true;
    for path in ["/admin/v1/queues", "/admin/v1/exchanges", "/api/overview", "/api/aliveness-test/%2F"] {
        assert_eq!(site.ask("GET", path, Value::Null).await.0, 503, "{path}");
    }
    let (status, metrics) = site.ask("GET", "/metrics", Value::Null).await;
    assert_eq!((status, metrics.as_str().unwrap().contains("mynah_queue")), (200, false));
}

#[tokio::test]
async fn metrics_tell_some_queues_apart() {
    let site = Site::new();
    for number in 0..120 {
        site.ask("PUT", &format!("/admin/v1/queues/q{number:03}"), json!({})).await;
    }
    let (_, metrics) = site.ask("GET", "/metrics", Value::Null).await;
    let metrics = metrics.as_str().unwrap();
    assert_eq!(metrics.matches("\nmynah_queue_ready{").count(), 100);
    assert!(metrics.contains("mynah_queue_ready{queue=\"q099\"} 2"));
}

#[tokio::test]
async fn connections_are_shown_with_their_channels_and_closed() {
    let site = Site::new();
    let channel =
        ChannelDescription { number: 7, consumers: 1, prefetch: 10, ..ChannelDescription::default() };
    let said = (Box::from("platform"), Argument::Text("Atari".into()));
    let description = Description { properties: vec![said], channels: vec![channel] };
    let view = |slot, description| ConnectionView {
        worker: WorkerId(1),
        slot,
        generation: 3,
        identity: "ada".to_owned(),
        address: None,
        listener: "amqp".to_owned(),
        protocol: "amqp091",
        consumers: 1,
        description,
    };
    site.broker.there().connections = vec![view(2, description), view(4, Description::default())];
    let shown = site.get("/api/connections/1.2.3").await;
    assert_eq!((&shown["channels"], &shown["client_properties"]["platform"]), (&json!(1), &json!("Atari")));
    assert_eq!(site.get("/api/connections/1.4.3").await["client_properties"], json!({}));
    let channels = site.get("/api/channels").await;
    assert_eq!((channels.as_array().unwrap().len(), &channels[0]["name"]), (1, &json!("1.2.3 (7)")));
    assert_eq!(site.get("/api/channels/1.2.3%20%287%29").await["prefetch_count"], json!(10));
    assert_eq!(site.get("/api/connections/1.2.3/channels").await, channels);
    assert_eq!(site.get("/admin/v1/channels").await["items"][0]["channel"], json!(7));
    assert_eq!(site.get("/admin/v1/connections").await["items"][0]["client"], json!({ "platform": "Atari" }));
    assert_eq!(site.get("/api/overview").await["object_totals"]["channels"], json!(1));
    assert_eq!(site.ask("DELETE", "/api/connections/1.2.3", json!({ "name": "1.2.3" })).await.0, 204);
    assert_eq!(site.ask("DELETE", "/admin/v1/connections/1.4.3", Value::Null).await.0, 204);
    for path in ["/api/connections/1.2.3", "/admin/v1/connections/1.4.3", "/api/connections/x"] {
        assert_eq!(site.ask("DELETE", path, Value::Null).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn messages_are_published_and_looked_at() {
    let site = Site::new();
    site.ask("PUT", "/api/queues/%2F/q", json!({})).await;
    let publish = async |message: Value| {
        let (status, told) = site.ask("POST", "/api/exchanges/%2F/amq.default/publish", message).await;
        (status, told)
    };
    let text = json!({ "routing_key": "q", "payload": "hé", "properties": { "priority": 3 } });
    assert_eq!(publish(text).await, (200, json!({ "routed": true })));
    let bytes =
        json!({ "routing_key": "q", "payload": "//8=", "payload_encoding": "base64", "properties": [] });
    assert_eq!(publish(bytes).await, (200, json!({ "routed": true })));
    assert_eq!(
        publish(json!({ "routing_key": "none", "payload": "" })).await,
        (200, json!({ "routed": false }))
    );
    for wrong in [
        json!({ "payload": 5 }),
        json!({ "payload": "x", "payload_encoding": "rot13" }),
        json!({ "payload": "x", "payload_encoding": "base64" }),
        json!({ "payload": "x", "properties": 1 }),
    ] {
        assert_eq!(publish(wrong.clone()).await.0, 400, "{wrong}");
    }
    let get = async |how: Value| site.ask("POST", "/api/queues/%2F/q/get", how).await;
    let (status, seen) = get(json!({ "count": "5", "ackmode": "ack_requeue_true", "truncate": 1 })).await;
    assert_eq!((status, seen.as_array().unwrap().len()), (200, 2));
    assert_eq!((&seen[0]["payload"], &seen[0]["payload_bytes"]), (&json!("h"), &json!(3)));
    let (_, seen) = get(json!({ "count": 5, "requeue": false, "encoding": "auto" })).await;
    assert_eq!((&seen[0]["payload"], &seen[0]["properties"]), (&json!("hé"), &json!({ "priority": 3 })));
    assert_eq!((&seen[1]["payload"], &seen[1]["payload_encoding"]), (&json!("//8="), &json!("base64")));
    assert_eq!(get(json!({ "count": 5 })).await, (200, json!([])));
    for wrong in [
        json!({ "count": 0 }),
        json!({ "count": 1001 }),
        json!({ "ackmode": "no" }),
        json!({ "encoding": 1 }),
    ] {
        assert_eq!(get(wrong.clone()).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn users_are_changed_by_somebody_who_has_logged_in() {
    let site = Site::new();
    let ask =
        async |method: &str, path: &str, body: Value| site.ask_as(Some("ada"), method, path, body).await;
    for (method, path) in [("GET", "/api/users"), ("PUT", "/api/users/eve"), ("GET", "/api/permissions")] {
        assert_eq!(site.ask(method, path, Value::Null).await.0, 401, "{method} {path}");
    }
    assert_eq!(
        ask("PUT", "/api/users/bob", json!({ "password": "p", "tags": "monitoring, x" })).await.0,
        201
    );
    let hash = json!({ "password_hash": "aGFzaA==", "tags": ["y"] });
    assert_eq!(ask("PUT", "/api/users/cy", hash).await.0, 201);
    assert_eq!(ask("PUT", "/api/users/dee", json!({ "password": "", "tags": 5 })).await.0, 400);
    let put = |name: &str, secret, groups: &[&str]| UserChange::Put {
        name: name.to_owned(),
        secret: Some(secret),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    let hash = Secret::Hash("rabbit_password_hashing_sha256$aGFzaA==".to_owned());
    assert_eq!(
        site.broker.there().changes,
        [put("bob", Secret::Password("p".to_owned()), &["monitoring", "x"]), put("cy", hash, &["y"])]
    );
    let (_, bob) = ask("GET", "/api/users/bob", Value::Null).await;
    assert_eq!((&bob["tags"][0], &bob["password_hash"]), (&json!("monitoring"), &json!("")));
    let (_, permissions) = ask("GET", "/api/users/bob/permissions", Value::Null).await;
    let own = json!({ "user": "bob", "vhost": "/", "configure": ".*", "write": ".*", "read": "^$" });
    assert_eq!(permissions, json!([own]));
    assert_eq!(ask("GET", "/api/vhosts/%2F/permissions", Value::Null).await.1[0], own);
    assert_eq!(ask("PUT", "/api/permissions/%2F/bob", own).await.0, 204);
    let more = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    assert_eq!(ask("PUT", "/api/permissions/%2F/bob", more).await.0, 400);
    assert_eq!(ask("DELETE", "/api/permissions/%2F/bob", Value::Null).await.0, 400);
    assert_eq!(ask("POST", "/api/users/bulk-delete", json!({ "users": ["bob", "zed"] })).await.0, 204);
    assert_eq!(ask("DELETE", "/api/users/cy", Value::Null).await.0, 204);
    assert_eq!(ask("GET", "/api/users", Value::Null).await.1, json!([]));
    assert_eq!(ask("GET", "/api/users/bob", Value::Null).await.0, 404);
}

#[tokio::test]
async fn there_is_one_virtual_host() {
    let site = Site::new();
    for (method, path, status) in [
        ("GET", "/api/vhosts/%2F", 200),
        ("GET", "/api/vhosts/x", 404),
        ("PUT", "/api/vhosts/%2F", 204),
        ("PUT", "/api/vhosts/x", 400),
        ("DELETE", "/api/vhosts/%2F", 400),
        ("DELETE", "/api/vhosts/x", 404),
    ] {
        assert_eq!(site.ask(method, path, Value::Null).await.0, status, "{method} {path}");
    }
    let node = site.get("/api/overview").await["contexts"][0]["node"].clone();
    let path = format!("/api/healthchecks/node/{}", node.as_str().unwrap());
    assert_eq!(site.get(&path).await, json!({ "status": "ok" }));
}
