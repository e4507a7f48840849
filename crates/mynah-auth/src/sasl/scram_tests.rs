//! Tests of SCRAM: the examples of its specifications, channel binding, and everything that may be wrong with a message.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::credential::from_base64;
use crate::sasl::client::{Client, Scram};
use crate::sasl::tests::{Village, begin, challenge, proved};

fn village(hash: ScramHash, salt: &[u8], password: &str) -> Village {
    let iterations = NonZeroU32::new(4_096).unwrap();
    let verifier = ScramVerifier::derive(hash, password.as_bytes(), salt, iterations);
    Village { verifier: Some(verifier), binding: None }
}

/// A server whose part of the nonce is this text.
fn server(hash: ScramHash, binds: bool, village: Village, nonce: &str) -> Server {
    Server { nonce: nonce.to_owned(), ..Server::new(hash, binds, Box::new(village), b"") }
}

#[test]
fn the_example_of_rfc_5802_is_understood() {
    // Section 5.
    let salt = from_base64("QSXCR+Q6sek8bf92").unwrap();
    let village = village(ScramHash::Sha1, &salt, "pencil");
    let mut server = server(ScramHash::Sha1, false, village, "3rfcNHYJY1ZVvWVs7j");
    let first = server.step(Instant::ZERO, b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
    assert_eq!(challenge(first), "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
    let last = server.step(
        Instant::ZERO,
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    );
    assert_eq!(proved(last), ("user".to_owned(), Some(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=".to_vec())));
}

#[test]
fn the_example_of_rfc_7677_is_understood() {
    // Section 3.
    let salt = from_base64("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let village = village(ScramHash::Sha256, &salt, "pencil");
    let mut server = server(ScramHash::Sha256, false, village, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    let first = server.step(Instant::ZERO, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let expected = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert_eq!(challenge(first), expected);
    let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let said = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_vec();
    assert_eq!(proved(server.step(Instant::ZERO, last)), ("user".to_owned(), Some(said)));
}

/// Both sides talk to the end; the client is satisfied with the server.
fn talk(client: &mut Scram, server: &mut dyn Mechanism) -> Result<String, Reason> {
    let Answer::Challenge(challenge) = server.step(Instant::ZERO, &client.first())? else {
        panic!("a challenge was expected")
    };
    let answer = client.step(&challenge).unwrap();
    let (name, last_word) = proved(Ok(server.step(Instant::ZERO, &answer)?));
    client.finish(&last_word.unwrap()).unwrap();
    Ok(name)
}

#[test]
fn client_and_server_understand_each_other() {
    for hash in [ScramHash::Sha1, ScramHash::Sha256] {
        let village = || village(hash, b"salt", "IX");
        let mut client = Scram::new(hash, "us,er=", "I\u{AD}X", b"mine", None).unwrap();
        let mut server = begin(client.name(), village());
        assert_eq!(talk(&mut client, &mut *server), Ok("us,er=".to_owned()));
        let mut wrong = Scram::new(hash, "user", "Ix", b"mine", None).unwrap();
        assert_eq!(talk(&mut wrong, &mut *begin(hash.name(), village())), Err(Reason::BadCredentials));
    }
}

#[test]
fn an_exchange_is_bound_to_its_channel() {
    let hash = ScramHash::Sha256;
    let village = || Village { binding: Some(b"this channel"), ..village(hash, b"salt", "pencil") };
    let client = |binding| Scram::new(hash, "user", "pencil", b"mine", binding).unwrap();
    let mut bound = client(Some(("tls-exporter", &b"this channel"[..])));
    assert_eq!(bound.name(), "SCRAM-SHA-256-PLUS");
    let mut server = begin(bound.name(), village());
    assert_eq!(talk(&mut bound, &mut *server), Ok("user".to_owned()));
    for (wrong, mechanism) in [
        (client(Some(("tls-exporter", b"another channel"))), hash.plus_name()),
        (client(Some(("tls-unique", b"this channel"))), hash.plus_name()),
        (client(Some(("tls-exporter", b"this channel"))), hash.name()),
        (client(None), hash.plus_name()),
    ] {
        let mut wrong = wrong;
        assert_eq!(talk(&mut wrong, &mut *begin(mechanism, village())), Err(Reason::BadCredentials));
    }
    // Who could bind and was told that the server cannot is being deceived, unless the server cannot.
    let first = b"y,,n=user,r=abc";
    assert_eq!(begin(hash.name(), village()).step(Instant::ZERO, first).err(), Some(Reason::BadCredentials));
    let unbound = Village { binding: None, ..village() };
    assert!(challenge(begin(hash.name(), unbound).step(Instant::ZERO, first)).starts_with("r=abc"));
}

#[test]
fn nobody_acts_for_another() {
    let begin = || begin("SCRAM-SHA-256", village(ScramHash::Sha256, b"salt", "pencil"));
    assert_eq!(begin().step(Instant::ZERO, b"n,a=ada,n=user,r=abc").err(), Some(Reason::NotAuthorized));
    assert!(challenge(begin().step(Instant::ZERO, b"n,a=user,n=user,r=abc")).starts_with("r=abc"));
}

#[test]
fn what_is_not_a_message_proves_nothing() {
    let begin = || begin("SCRAM-SHA-256", village(ScramHash::Sha256, b"salt", "pencil"));
    for first in [
        "",
        "n",
        "n,,",
        "n,,n=user",
        "n,,r=abc",
        "n,,n=,r=abc",
        "n,,n=user,r=",
        "n,,n=us=er,r=abc",
        "x,,n=user,r=abc",
        "n,user,n=user,r=abc",
        "n,,m=x,n=user,r=abc",
        "n,,n=user,r=a\u{7}c",
        "n,,n=user,r=ä",
    ] {
        assert_eq!(
            begin().step(Instant::ZERO, first.as_bytes()).err(),
            Some(Reason::BadCredentials),
            "{first}"
        );
    }
    let long = format!("n,,n=user,r={}", "x".repeat(MESSAGE_BYTES_MAX));
    assert_eq!(begin().step(Instant::ZERO, long.as_bytes()).err(), Some(Reason::BadCredentials));
    for last in
        ["", "c=biws", "c=biws,r=abc,p=AAAA", "c=biws,r=abcbm9uY2U=", "c=biws,r=abcbm9uY2U=,p=!", "p=AAAA"]
    {
        let mut server = begin();
        challenge(server.step(Instant::ZERO, b"n,,n=user,r=abc"));
        assert_eq!(server.step(Instant::ZERO, last.as_bytes()).err(), Some(Reason::BadCredentials), "{last}");
    }
}

proptest! {
    /// Any name is read as it was written.
    #[test]
    fn names_survive_their_escapes(name in any::<String>()) {
        let written = to_saslname(&name);
        prop_assert!(!written.contains(','));
        prop_assert_eq!(saslname(&written), Some(name));
    }

    /// Whatever a peer says, the answer is a challenge or a refusal, never a panic and never a proof.
    #[test]
    fn noise_proves_nothing(first in any::<Vec<u8>>(), second in "c=biws,r=abcbm9uY2U=,p=[A-Za-z0-9+/=]{0,60}") {
        let mut server = begin("SCRAM-SHA-256", village(ScramHash::Sha256, b"salt", "pencil"));
        let proves = matches!(server.step(Instant::ZERO, &first), Ok(Answer::Proved { .. }));
        prop_assert!(!proves);
        let mut server = begin("SCRAM-SHA-256", village(ScramHash::Sha256, b"salt", "pencil"));
        challenge(server.step(Instant::ZERO, b"n,,n=user,r=abc"));
        prop_assert!(server.step(Instant::ZERO, second.as_bytes()).is_err());
    }
}
