//! Tests of the HTTP hook: what it is asked, what its answers mean, and that nobody is let in when there is none of use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mynah_model::{Identity, TenantId};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::server::{Behaviour, Server};
use super::*;
use crate::Grant;

const TENANT: TenantId = TenantId::new(9);

fn settings(endpoint: EndpointSettings) -> HookSettings {
    HookSettings {
        endpoint,
        timeout: Duration::from_millis(500),
        concurrency: 4,
        cache: Duration::from_secs(60),
        cache_denied: Duration::from_secs(5),
        cache_entries_max: 100,
    }
}

fn hook(server: &Server) -> Hook {
    Hook::new(settings(server.endpoint())).unwrap()
}

fn login<'l>(user: &'l str, password: &'l [u8]) -> Login<'l> {
    Login { tenant: TENANT, user, password: Some(password), ..Login::default() }
}

fn said(body: Value) -> Behaviour {
    Behaviour::Answer(200, body.to_string().into_bytes())
}

fn granted(name: &str, groups: &[&str]) -> Judgement {
    let groups = groups.iter().map(|group| (*group).into()).collect();
    let identity = Identity::user(TENANT, name);
    Judgement::Granted(Grant { identity, groups, rights: None, valid_until: None })
}

#[tokio::test]
async fn the_hook_learns_all_that_is_known_and_its_word_counts() {
    let server = Server::start(said(json!({ "result": "allow" }))).await;
    let hook = hook(&server);
    let full = Login {
        client_id: Some("c\"1"),
        address: Some([192, 0, 2, 7].into()),
        listener: Some("devices"),
        protocol: Some("mqtt"),
        certificate: Some(Certificate {
            subject: "CN=thing,O=x",
            common_name: Some("thing"),
            fingerprint: "00ff",
        }),
        ..login("ada", b"engine")
    };
    assert_eq!(hook.ask(&full).await, Ok(granted("ada", &[])));
    server
        .behave(said(json!({ "result": "allow", "identity": "lovelace", "groups": ["a", "b"], "more": 1 })));
    assert_eq!(hook.ask(&login("ada", b"\xff")).await, Ok(granted("lovelace", &["a", "b"])));
    server.behave(said(json!({ "result": "deny" })));
    assert_eq!(hook.ask(&Login { password: None, ..login("ada", b"") }).await, Ok(Judgement::Denied));
    server.behave(said(json!({ "result": "ignore" })));
    assert_eq!(hook.ask(&login("eve", b"x")).await, Ok(Judgement::Ignored));

    let asked = server.asked();
    assert!(asked[0].head.starts_with("POST /ask HTTP/1.1\r\n"), "{}", asked[0].head);
    assert!(asked[0].head.contains("content-type: application/json"), "{}", asked[0].head);
    let body = |at: usize| serde_json::from_str::<Value>(&asked[at].body).unwrap();
    let certificate = json!({ "subject": "CN=thing,O=x", "common_name": "thing", "fingerprint": "00ff" });
    assert_eq!(
        body(0),
        json!({
            "user": "ada", "password": "engine", "client_id": "c\"1", "address": "192.0.2.7",
            "listener": "devices", "protocol": "mqtt", "certificate": certificate,
        })
    );
    assert_eq!(body(1), json!({ "user": "ada", "password_base64": "/w==" }));
    assert_eq!(body(2), json!({ "user": "ada" }));
    assert_eq!(server.connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn answers_are_kept_as_long_as_both_sides_allow() {
    let server = Server::start(said(json!({ "result": "allow", "cache_s": 0 }))).await;
    let hook = hook(&server);
    let asked_after = async |password: &'static [u8]| {
        let answers = [hook.ask(&login("ada", password)).await, hook.ask(&login("ada", password)).await];
        assert_eq!(answers[0], answers[1]);
        server.asked().len()
    };
    assert_eq!(asked_after(b"1").await, 2, "the hook wants to be asked each time");
    server.behave(said(json!({ "result": "allow", "cache_s": 10 })));
    assert_eq!(asked_after(b"2").await, 3);
    server.behave(said(json!({ "result": "deny" })));
    assert_eq!(asked_after(b"3").await, 4, "a refusal is kept too");
    assert_eq!(asked_after(b"4").await, 5, "another password is another question");
    let elsewhere = Login { address: Some([192, 0, 2, 7].into()), ..login("ada", b"4") };
    assert_eq!(hook.ask(&elsewhere).await, Ok(Judgement::Denied));
    assert_eq!(server.asked().len(), 6, "another address is another question");
    hook.forget();
    assert_eq!(asked_after(b"2").await, 7);
    let never = HookSettings { cache: Duration::ZERO, ..settings(server.endpoint()) };
    let never = Hook::new(never).unwrap();
    server.behave(said(json!({ "result": "allow", "cache_s": 3600 })));
    for _ in 0..2 {
        assert_eq!(never.ask(&login("ada", b"2")).await, Ok(granted("ada", &[])));
    }
    assert_eq!(server.asked().len(), 9, "the configuration says the most");
}

#[tokio::test]
async fn nobody_is_let_in_by_an_answer_that_is_not_understood() {
    let server = Server::start(said(json!({}))).await;
    let hook = hook(&server);
    let allow = b"{\"result\":\"allow\"}";
    let padded = [&allow[..], &[b' '; 64 << 10]].concat();
    let wrong = [
        said(json!({})),
        said(json!("allow")),
        said(json!({ "result": "Allow" })),
        said(json!({ "result": true })),
        said(json!({ "result": "allow", "identity": "" })),
        said(json!({ "result": "allow", "identity": "a\nb" })),
        said(json!({ "result": "allow", "identity": 1 })),
        said(json!({ "result": "allow", "groups": "staff" })),
        said(json!({ "result": "allow", "groups": vec!["g"; 257] })),
        said(json!({ "result": "allow", "cache_s": -1 })),
        Behaviour::Answer(200, Vec::new()),
        Behaviour::Answer(200, b"{\"result\":\"allow\"".to_vec()),
        Behaviour::Answer(200, padded),
        Behaviour::Answer(201, allow.to_vec()),
        Behaviour::Answer(302, allow.to_vec()),
        Behaviour::Answer(401, allow.to_vec()),
        Behaviour::Answer(500, allow.to_vec()),
        Behaviour::Bytes(Vec::new()),
        Behaviour::Bytes(b"allow".to_vec()),
        Behaviour::Bytes(allow.to_vec()),
        Behaviour::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"result\":\"allow\"}".to_vec()),
        Behaviour::Bytes([&b"HTTP/1.1 200 OK\r\nx: "[..], &vec![b'x'; 1 << 20]].concat()),
        Behaviour::Endless,
    ];
    for (at, behaviour) in wrong.into_iter().enumerate() {
        server.behave(behaviour);
        assert_eq!(hook.ask(&login("ada", b"engine")).await, Err(Unavailable), "answer {at}");
    }
    // None of this was kept.
    server.behave(said(json!({ "result": "allow" })));
    assert_eq!(hook.ask(&login("ada", b"engine")).await, Ok(granted("ada", &[])));
}

#[tokio::test]
async fn a_hook_that_is_slow_or_down_lets_nobody_in_and_does_not_hold_anybody_up() {
    let allow = json!({ "result": "allow" }).to_string().into_bytes();
    let server = Server::start(Behaviour::Late(Duration::from_secs(5), allow.clone())).await;
    let hook = Arc::new(hook(&server));
    let start = Instant::now();
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..20_u8 {
        let hook = Arc::clone(&hook);
        asked.spawn(async move { hook.ask(&login("ada", &[number])).await });
    }
    while let Some(answer) = asked.join_next().await {
        assert_eq!(answer.unwrap(), Err(Unavailable));
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(4), "{took:?}");
    assert!(server.most_at_once() <= 4, "{} at a time", server.most_at_once());

    // Now that this is known, one question finds out whether it is still so and the others need not wait.
    let (before, start) = (server.asked().len(), Instant::now());
    let mut probing = tokio::task::JoinSet::new();
    for number in 100..120_u8 {
        let hook = Arc::clone(&hook);
        probing.spawn(async move { (hook.ask(&login("ada", &[number])).await, start.elapsed()) });
    }
    let mut waited = 0;
    while let Some(answer) = probing.join_next().await {
        let (answer, took) = answer.unwrap();
        assert_eq!(answer, Err(Unavailable));
        waited += usize::from(took >= Duration::from_millis(500));
    }
    assert_eq!((server.asked().len() - before, waited), (1, 1));

    // Questions that wait for one another are all answered if that is possible in time.
    let patient = HookSettings { timeout: Duration::from_secs(10), ..settings(server.endpoint()) };
    let hook = Arc::new(Hook::new(patient).unwrap());
    server.behave(Behaviour::Late(Duration::from_millis(10), allow));
    let answers = (0..12_u8).map(|number| {
        let hook = Arc::clone(&hook);
        tokio::spawn(async move { hook.ask(&login("bob", &[number])).await })
    });
    for answer in answers.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), Ok(granted("bob", &[])));
    }
    server.stop().await;
    assert_eq!(hook.ask(&login("ada", b"engine")).await, Err(Unavailable));
    let known = hook.ask(&login("bob", &[3])).await;
    assert_eq!(known, Ok(granted("bob", &[])), "what it said not long ago still counts");
}

#[tokio::test]
async fn a_connection_that_ended_meanwhile_is_made_anew() {
    let allow = json!({ "result": "allow" }).to_string().into_bytes();
    let server = Server::start(Behaviour::Once(allow)).await;
    let hook = hook(&server);
    for number in 0..10_u8 {
        assert_eq!(hook.ask(&login("ada", &[number])).await, Ok(granted("ada", &[])), "{number}");
    }
    assert_eq!(server.connections(), 10);
}

/// A certificate for 127.0.0.1 that vouches for itself, in PEM, and what a server needs to show it.
fn certificate() -> (String, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (certificate.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn over_tls_only_a_server_with_a_good_certificate_is_asked() {
    let (pem, tls) = certificate();
    let (other, _) = certificate();
    let server = Server::over(Some(tls), said(json!({ "result": "allow" }))).await;
    let folder = std::env::temp_dir().join(format!("mynah-auth-hook-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let asked = async |name: &str, pem: &str, host: &str| {
        let ca = folder.join(name);
        std::fs::write(&ca, pem).unwrap();
        let url = format!("https://{host}:{}/ask", server.address.port());
        let hook = Hook::new(settings(EndpointSettings { url, ca: Some(ca), plaintext: false })).unwrap();
        hook.ask(&login("ada", b"engine")).await
    };
    assert_eq!(asked("good", &pem, "127.0.0.1").await, Ok(granted("ada", &[])));
    assert_eq!(asked("other", &other, "127.0.0.1").await, Err(Unavailable));
    assert_eq!(asked("name", &pem, "localhost").await, Err(Unavailable), "a certificate for another name");
    assert_eq!(server.asked().len(), 1, "nobody else learned the password");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_hook_shows_no_secrets() {
    let endpoint =
        EndpointSettings { url: "http://localhost/?key=secret".to_owned(), ca: None, plaintext: false };
    let hook = Hook::new(settings(endpoint)).unwrap();
    let shown = format!("{:?} {:?}", hook, login("ada", b"secret"));
    assert!(!shown.contains("secret"), "{shown}");
}
