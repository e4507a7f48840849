//! Tests of tokens whose keys are published by a server: rotation, keys that nobody knows, a server that is down.

use std::time::Duration;

use mynah_model::{TenantId, WallTime};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::server::{Behaviour, Server};
use super::*;
use crate::jwt::minting::{Signer, jwks, with_secret};
use crate::jwt::{Algorithm, Policy, TokenError};

/// Seconds since 1970 at which the tests take place.
const NOW: u64 = 1_800_000_000;

/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(3_600);

fn policy(algorithms: &[Algorithm]) -> Policy {
    Policy {
        algorithms: algorithms.to_vec(),
        issuer: "issuer".into(),
        audience: vec!["mynah".into()],
        leeway: Duration::ZERO,
        identity_claim: "sub".into(),
        groups_claim: "groups".into(),
        tenant_claim: None,
        rights_claim: None,
        user_must_match: false,
    }
}

fn published(endpoint: EndpointSettings) -> JwksSettings {
    JwksSettings { endpoint, refresh: LONG, retry: LONG, stale_max: LONG, timeout: Duration::from_secs(5) }
}

fn tokens(jwks: JwksSettings) -> Tokens {
    let policy = policy(&[Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256]);
    Tokens::start(TokensSettings { policy, keys: Some(KeysFrom::Url(jwks)), secret_file: None }).unwrap()
}

fn keys(signers: &[&Signer]) -> Behaviour {
    Behaviour::Answer(200, jwks(signers).into_bytes())
}

fn claims() -> Value {
    json!({ "iss": "issuer", "aud": "mynah", "sub": "ada", "exp": NOW + 600 })
}

fn token(signer: &Signer) -> String {
    signer.token(Algorithm::EdDsa, &claims())
}

async fn judged(tokens: &Tokens, token: &str) -> Result<String, TokenError> {
    let now = WallTime::from_unix_millis(NOW * 1_000);
    let grant = tokens.verify(token, None, TenantId::DEFAULT, now).await?;
    Ok(grant.identity.name().to_owned())
}

#[tokio::test]
async fn the_first_token_waits_for_the_keys_and_later_ones_do_not() {
    let signer = Signer::ed25519("one");
    let server = Server::start(Behaviour::Late(Duration::from_millis(100), jwks(&[&signer]).into())).await;
    let tokens = tokens(published(server.endpoint()));
    for _ in 0..10 {
        assert_eq!(judged(&tokens, &token(&signer)).await.as_deref(), Ok("ada"));
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].head.starts_with("GET /ask HTTP/1.1\r\n"), "{}", asked[0].head);
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_found_with_published_keys_too() {
    let (signer, rsa) = (Signer::ed25519("one"), Signer::rsa("two"));
    let server = Server::start(keys(&[&signer, &rsa])).await;
    let tokens = tokens(published(server.endpoint()));
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signer.token(Algorithm::EdDsa, &claims)
    };
    let none = crate::jwt::minting::unsigned(&json!({ "alg": "none" }), &claims()) + ".";
    let header = json!({ "alg": "HS256", "kid": "two" });
    let confused = with_secret(&rsa.public_bytes(), &header, &claims());
    for (token, expected) in [
        (with("exp", (NOW - 1).into()), TokenError::Expired),
        (with("nbf", (NOW + 1).into()), TokenError::NotYetValid),
        (with("aud", "another".into()), TokenError::Audience),
        (with("iss", "another".into()), TokenError::Issuer),
        (with("sub", Value::Null), TokenError::Claim),
        (none, TokenError::Algorithm),
        (confused, TokenError::Algorithm),
        ("eyJ.a.b".to_owned(), TokenError::Malformed),
    ] {
        assert_eq!(judged(&tokens, &token).await, Err(expected), "{token}");
    }
    assert_eq!(judged(&tokens, &rsa.token(Algorithm::Rs256, &claims())).await.as_deref(), Ok("ada"));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn keys_change_hands_without_a_break() {
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    let server = Server::start(keys(&[&old])).await;
    let tokens = std::sync::Arc::new(tokens(published(server.endpoint())));
    assert!(judged(&tokens, &token(&old)).await.is_ok());
    server.behave(keys(&[&old, &new]));
    // All come at once; one fetches, the others wait for it.
    let waiting = (0..20).map(|_| {
        let (tokens, token) = (std::sync::Arc::clone(&tokens), token(&new));
        tokio::spawn(async move { judged(&tokens, &token).await })
    });
    for judged in waiting.collect::<Vec<_>>() {
        assert_eq!(judged.await.unwrap().as_deref(), Ok("ada"));
    }
    assert!(judged(&tokens, &token(&old)).await.is_ok());
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_is_forgotten_at_the_next_refresh() {
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    let server = Server::start(keys(&[&old])).await;
    let tokens = tokens(JwksSettings { refresh: Duration::from_millis(50), ..published(server.endpoint()) });
    assert!(judged(&tokens, &token(&old)).await.is_ok());
    server.behave(keys(&[&new]));
    for _ in 0..100 {
        if judged(&tokens, &token(&old)).await == Err(TokenError::UnknownKey) {
            assert!(judged(&tokens, &token(&new)).await.is_ok());
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the old key is still taken");
}

#[tokio::test]
async fn a_storm_of_unknown_keys_is_no_storm_at_the_issuer() {
    let signer = Signer::ed25519("one");
    let server = Server::start(keys(&[&signer])).await;
    let tokens = tokens(published(server.endpoint()));
    assert!(judged(&tokens, &token(&signer)).await.is_ok());
    for number in 0..200 {
        let stranger = Signer::ed25519(&format!("stranger {number}"));
        assert_eq!(judged(&tokens, &token(&stranger)).await, Err(TokenError::UnknownKey));
    }
    assert_eq!(server.asked().len(), 2, "the first of them had the keys fetched, and none after it");
    assert!(judged(&tokens, &token(&signer)).await.is_ok());
}

#[tokio::test]
async fn keys_hold_for_a_time_while_their_server_is_down() {
    let signer = Signer::ed25519("one");
    let server = Server::start(keys(&[&signer])).await;
    let tokens = tokens(JwksSettings {
        refresh: Duration::from_millis(20),
        retry: Duration::from_millis(20),
        stale_max: Duration::from_secs(3),
        ..published(server.endpoint())
    });
    assert!(judged(&tokens, &token(&signer)).await.is_ok());
    server.behave(Behaviour::Answer(503, Vec::new()));
    let before = server.asked().len();
    while server.asked().len() < before + 5 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(judged(&tokens, &token(&signer)).await.is_ok(), "the keys of before");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(judged(&tokens, &token(&signer)).await, Err(TokenError::KeysUnavailable));
    for wrong in [&b""[..], b"{\"keys\":[]}", b"<html>", &[b' '; 300 << 10]] {
        server.behave(Behaviour::Answer(200, wrong.to_vec()));
        assert_eq!(
            judged(&tokens, &token(&signer)).await,
            Err(TokenError::KeysUnavailable),
            "{:.20?}",
            wrong
        );
    }
    server.behave(keys(&[&signer]));
    let mut tries = 0..500;
    while judged(&tokens, &token(&signer)).await.is_err() {
        assert!(tries.next().is_some(), "the server is back, and its keys are not taken");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_any_keys_nobody_is_let_in() {
    let signer = Signer::ed25519("one");
    let server = Server::start(keys(&[&signer])).await;
    let endpoint = server.endpoint();
    server.stop().await;
    let timeout = Duration::from_millis(500);
    let tokens = tokens(JwksSettings { timeout, ..published(endpoint) });
    for _ in 0..3 {
        assert_eq!(judged(&tokens, &token(&signer)).await, Err(TokenError::KeysUnavailable));
    }
    assert_eq!(judged(&tokens, "eyJ.a.b").await, Err(TokenError::Malformed));
}

fn folder(test: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("mynah-auth-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn keys_and_secrets_of_files_are_read_again() {
    let folder = folder("tokens");
    let (key_file, secret_file) = (folder.join("keys"), folder.join("secret"));
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    let secret = [b's'; 32];
    std::fs::write(&key_file, jwks(&[&old])).unwrap();
    std::fs::write(&secret_file, [&secret[..], b"\n"].concat()).unwrap();
    let settings = TokensSettings {
        policy: policy(&[Algorithm::EdDsa, Algorithm::Hs256]),
        keys: Some(KeysFrom::File(key_file.clone())),
        secret_file: Some(secret_file.clone()),
    };
    let tokens = Tokens::start(settings.clone()).unwrap();
    let symmetric = with_secret(&secret, &json!({ "alg": "HS256" }), &claims());
    assert!(judged(&tokens, &token(&old)).await.is_ok());
    assert!(judged(&tokens, &symmetric).await.is_ok());
    assert_eq!(judged(&tokens, &token(&new)).await, Err(TokenError::UnknownKey));
    std::fs::write(&key_file, jwks(&[&new])).unwrap();
    tokens.reload().unwrap();
    assert!(judged(&tokens, &token(&new)).await.is_ok());
    std::fs::write(&secret_file, "short").unwrap();
    let error = tokens.reload().unwrap_err().to_string();
    assert_eq!(error, format!("{}: the secret has less than 32 bytes", secret_file.display()));
    assert!(judged(&tokens, &symmetric).await.is_ok(), "all stays as it was");
    assert!(!format!("{tokens:?}").contains("ssss"), "secrets are not shown");

    let refused = |change: fn(&mut TokensSettings)| {
        let mut settings = settings.clone();
        change(&mut settings);
        Tokens::start(settings).unwrap_err().to_string()
    };
    assert!(refused(|s| s.secret_file = None).starts_with("HS256 needs secret_file"));
    assert!(refused(|s| s.keys = None).starts_with("public keys are needed"));
    assert!(refused(|s| s.policy.algorithms = vec![Algorithm::Hs256]).starts_with("public keys are needed"));
    assert!(refused(|s| s.keys = Some(KeysFrom::File("no/such/file".into()))).starts_with("no/such/file: "));
    assert!(
        refused(|s| s.keys = Some(KeysFrom::File("Cargo.toml".into()))).starts_with("Cargo.toml: this is ")
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
