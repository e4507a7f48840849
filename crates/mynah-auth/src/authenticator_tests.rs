//! Tests of the authenticator: who gets in by what, what it costs, and what nobody can tell.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use mynah_model::{Groups, TenantId};

use super::*;
use crate::peer::{Channel, Door};
use crate::sasl::Answer;
use crate::sasl::client::{Client, OneMessage, Scram};
use crate::users::file::tests::cheap_hash;
use crate::users::{Tenants, User, UsersFile};

const NOW: Instant = Instant::from_micros(1_000_000);

fn verifier(password: &[u8]) -> ScramVerifier {
    ScramVerifier::derive(ScramHash::Sha256, password, b"a salt of sixtee", NonZeroU32::new(4_096).unwrap())
}

fn file() -> UsersFile {
    let mut file = UsersFile::new(Path::new("users"));
    let mut add = |name: &str, change: &dyn Fn(&mut User)| {
        let mut user = User::new(name);
        change(&mut user);
        file.add(user).unwrap();
    };
    add("ada", &|ada| {
        ada.password = Some(cheap_hash(b"engine"));
        ada.groups = Groups::from_iter(["ops"]);
    });
    add("sam", &|sam| sam.scram_sha_256 = Some(verifier(b"pencil")));
    add("loc", &|loc| {
        (loc.password, loc.scram_sha_256) = (Some(cheap_hash(b"engine")), Some(verifier(b"pencil")));
        loc.locked = true;
    });
    add("cer", &|cer| cer.certificate = Some([7; 32]));
    file
}

fn authenticator_of(file: &UsersFile) -> Arc<Authenticator> {
    let users = Users::new(file, &Tenants::default(), None).unwrap();
    Arc::new(Authenticator::new(users, ThrottleSettings::default(), None, |_| {}).unwrap())
}

fn peer() -> Peer {
    let door = Door {
        listener: "mqtt".into(),
        protocol: "mqtt",
        tenant: TenantId::DEFAULT,
        is_named: false,
        anonymous: false,
        passwords: true,
        plaintext_auth: false,
        identity_from: None,
    };
    let address = Some("192.0.2.1".parse().unwrap());
    Peer {
        door: Arc::new(door),
        client_id: None,
        address,
        is_local: false,
        certificate: None,
        key_of: None,
        channel: None,
    }
}

/// A peer by TLS that has shown a certificate.
fn certified(from: IdentityFrom, sha256: [u8; 32]) -> Peer {
    let door = Door { identity_from: Some(from), ..(*peer().door).clone() };
    let certificate = Certificate {
        sha256,
        subject: "CN=ada".into(),
        common_name: Some("ada".into()),
        names: ["sam".into(), "x".into()].into(),
    };
    let channel = Some(Channel { exporter: Some([1; 32].into()), server_end_point: None });
    Peer { door: Arc::new(door), certificate: Some(Arc::new(certificate)), channel, ..peer() }
}

fn named(result: Result<Login, Reason>) -> Result<String, Reason> {
    result.map(|login| login.identity.name().to_owned())
}

/// Talks to the end; says who the peer is then.
fn talk(own: &Arc<Authenticator>, peer: Peer, client: &mut dyn Client) -> Result<String, Reason> {
    let mut server = own.begin(peer, client.name())?;
    let mut said = client.first();
    loop {
        match server.step(NOW, &said)? {
            Answer::Challenge(challenge) => said = client.step(&challenge).unwrap(),
            Answer::Proved { login, last_word } => {
                client.finish(&last_word.unwrap_or_default()).unwrap();
                return Ok(login.identity.name().to_owned());
            }
        }
    }
}

fn scram(user: &str, password: &str) -> Scram {
    Scram::new(ScramHash::Sha256, user, password, b"mine", None).unwrap()
}

#[test]
fn a_password_proves_its_user_whatever_is_kept_of_it() {
    let own = authenticator_of(&file());
    let login = own.verify_password(NOW, &peer(), "ada", b"engine").unwrap();
    assert_eq!(login.identity, Identity::user(TenantId::DEFAULT, "ada"));
    assert!(login.groups.contains("ops"));
    let verify = |user, password| named(own.verify_password(NOW, &peer(), user, password));
    assert_eq!(verify("sam", b"pencil"), Ok("sam".to_owned()));
    assert_eq!(verify("\u{AD}sam", b"pencil"), Ok("sam".to_owned()), "as SASLprep compares");
    for (user, password) in [("ada", &b"Engine"[..]), ("Ada", b"engine"), ("eve", b"engine"), ("cer", b"")] {
        assert_eq!(verify(user, password), Err(Reason::BadCredentials), "{user}");
    }
}

/// What nobody can tell apart costs the same work: one hash of the same kind.
#[test]
fn whoever_does_not_get_in_costs_one_hash_and_gets_one_answer() {
    let mut file = UsersFile::new(Path::new("users"));
    for (name, locked) in [("ada", false), ("loc", true)] {
        let mut user = User::new(name);
        (user.password, user.locked) = (Some(cheap_hash(b"engine")), locked);
        file.add(user).unwrap();
    }
    let own = authenticator_of(&file);
    for round in 1..=5 {
        for (user, password) in
            [("ada", &b"wrong"[..]), ("eve", b"engine"), ("loc", b"engine"), ("\u{7}", b"x")]
        {
            let before = own.hashed();
            let result = named(own.verify_password(NOW, &peer(), user, password));
            assert_eq!(result, Err(Reason::BadCredentials), "{user}");
            assert_eq!(own.hashed() - before, 1, "{user}");
            assert_eq!(own.recall(NOW, &peer(), user, password), None, "{user} in round {round}");
        }
    }
}

#[test]
fn a_password_is_hashed_once_and_again_when_its_line_changes() {
    let mut file = file();
    let own = authenticator_of(&file);
    let recall = |password| own.recall(NOW, &peer(), "ada", password).map(named);
    assert_eq!(recall(b"engine"), None);
    own.verify_password(NOW, &peer(), "ada", b"engine").unwrap();
    for _ in 0..100 {
        own.verify_password(NOW, &peer(), "ada", b"engine").unwrap();
        assert_eq!(recall(b"engine"), Some(Ok("ada".to_owned())));
    }
    assert_eq!((own.hashed(), recall(b"Engine")), (1, None));
    let reload = |file: &UsersFile| {
        own.replace_users(Users::new(file, &Tenants::default(), Some(&own.users())).unwrap())
    };
    file.user_mut(None, "sam").unwrap().locked = true;
    assert_eq!(reload(&file).len(), 1);
    assert_eq!(recall(b"engine"), Some(Ok("ada".to_owned())));
    file.user_mut(None, "ada").unwrap().password = Some(cheap_hash(b"builder"));
    assert_eq!(reload(&file), []);
    assert_eq!(recall(b"engine"), None);
    assert_eq!(named(own.verify_password(NOW, &peer(), "ada", b"engine")), Err(Reason::BadCredentials));
    file.remove(None, "ada").unwrap();
    assert_eq!(reload(&file), [(Identity::user(TenantId::DEFAULT, "ada"), Standing::Gone)]);
}

#[test]
fn who_guesses_too_often_waits_and_nothing_is_hashed_for_it() {
    let own = authenticator_of(&file());
    let mut last = Ok(String::new());
    for _ in 0..20 {
        last = named(own.verify_password(NOW, &peer(), "ada", b"wrong"));
    }
    assert_eq!((last, own.hashed()), (Err(Reason::ServerBusy), 6));
    assert_eq!(own.recall(NOW, &peer(), "ada", b"engine"), Some(Err(Reason::ServerBusy)));
    assert_eq!(named(own.verify_password(NOW, &peer(), "sam", b"pencil")), Ok("sam".to_owned()));
    let elsewhere = Peer { address: Some("192.0.2.2".parse().unwrap()), ..peer() };
    assert_eq!(named(own.verify_password(NOW, &elsewhere, "ada", b"engine")), Ok("ada".to_owned()));
    let later = NOW + Duration::from_secs(1);
    assert_eq!(named(own.verify_password(later, &peer(), "ada", b"engine")), Ok("ada".to_owned()));
}

#[test]
fn scram_proves_and_says_nothing_of_who_exists() {
    let own = authenticator_of(&file());
    assert_eq!(talk(&own, peer(), &mut scram("sam", "pencil")), Ok("sam".to_owned()));
    for (user, password) in [("sam", "pen"), ("eve", "pencil"), ("ada", "engine"), ("loc", "pencil")] {
        assert_eq!(talk(&own, peer(), &mut scram(user, password)), Err(Reason::BadCredentials), "{user}");
    }
    let challenge = |user: &str| {
        let mut server = own.begin(peer(), "SCRAM-SHA-256").unwrap();
        match server.step(NOW, &scram(user, "x").first()) {
            Ok(Answer::Challenge(challenge)) => {
                let text = String::from_utf8(challenge.into()).unwrap();
                text.split_once(",s=").unwrap().1.to_owned()
            }
            _ => panic!("a challenge was expected"),
        }
    };
    for user in ["sam", "eve", "ada", "loc"] {
        let (salt, iterations) =
            challenge(user).split_once(",i=").map(|(s, i)| (s.len(), i.to_owned())).unwrap();
        assert_eq!((salt, iterations.as_str()), (24, "4096"), "{user}");
        assert_eq!(challenge(user), challenge(user), "{user}");
    }
}

#[test]
fn parallel_proofs_are_no_way_around_the_throttle() {
    let own = authenticator_of(&file());
    let mut servers: Vec<_> = (0..50).map(|_| own.begin(peer(), "SCRAM-SHA-256").unwrap()).collect();
    let mut answers = Vec::new();
    for server in &mut servers {
        let mut client = scram("sam", "wrong");
        let Ok(Answer::Challenge(challenge)) = server.step(NOW, &client.first()) else { panic!("challenge") };
        answers.push(client.step(&challenge).unwrap());
    }
    let results =
        servers.iter_mut().zip(&answers).map(|(server, answer)| server.step(NOW, answer).err().unwrap());
    let looked_at = results.filter(|reason| *reason == Reason::BadCredentials).count();
    assert_eq!(looked_at, 6);
}

#[test]
fn an_exchange_ends_with_the_user() {
    let mut file = file();
    let own = authenticator_of(&file);
    let mut server = own.begin(peer(), "SCRAM-SHA-256").unwrap();
    let mut client = scram("sam", "pencil");
    let Ok(Answer::Challenge(challenge)) = server.step(NOW, &client.first()) else { panic!("challenge") };
    file.remove(None, "sam").unwrap();
    own.replace_users(Users::new(&file, &Tenants::default(), None).unwrap());
    let last = server.step(NOW, &client.step(&challenge).unwrap());
    assert_eq!(last.err(), Some(Reason::BadCredentials));
}

#[test]
fn certificates_name_their_owners_as_the_listener_reads_them() {
    let own = authenticator_of(&file());
    let verify = |from, sha256, user| named(own.verify_proof(NOW, &certified(from, sha256), user));
    assert_eq!(verify(IdentityFrom::CommonName, [1; 32], None), Ok("ada".to_owned()));
    assert_eq!(verify(IdentityFrom::CommonName, [1; 32], Some("ada")), Ok("ada".to_owned()));
    assert_eq!(verify(IdentityFrom::CommonName, [1; 32], Some("sam")), Err(Reason::BadCredentials));
    assert_eq!(verify(IdentityFrom::SubjectAlternativeName, [1; 32], None), Ok("sam".to_owned()));
    assert_eq!(verify(IdentityFrom::Fingerprint, [7; 32], None), Ok("cer".to_owned()));
    assert_eq!(verify(IdentityFrom::Fingerprint, [8; 32], None), Err(Reason::BadCredentials));
    assert_eq!(named(own.verify_proof(NOW, &peer(), None)), Err(Reason::BadCredentials));
    let named_by = |name: &str, sha256| {
        let mut peer = certified(IdentityFrom::CommonName, sha256);
        let certificate = Certificate {
            sha256,
            subject: Box::default(),
            common_name: Some(name.into()),
            names: Box::new([]),
        };
        peer.certificate = Some(Arc::new(certificate));
        own.verify_proof(NOW, &peer, None)
    };
    assert_eq!(
        named(named_by("stranger", [1; 32])),
        Ok("stranger".to_owned()),
        "its authority vouches for it"
    );
    assert!(named_by("ada", [1; 32]).unwrap().groups.contains("ops"));
    assert_eq!(named(named_by("loc", [1; 32])), Err(Reason::BadCredentials));
    assert_eq!(named(named_by("cer", [8; 32])), Err(Reason::BadCredentials), "another one than its own");
    assert_eq!(named(named_by("cer", [7; 32])), Ok("cer".to_owned()));
}

#[test]
fn only_the_users_file_proves_that_somebody_is_of_a_tenant_that_it_names() {
    let mut file = UsersFile::new(Path::new("users"));
    for name in ["ada", "cer"] {
        let mut user = User::new(name);
        (user.tenant, user.password) = (Some("factory".into()), Some(cheap_hash(b"steam")));
        file.add(user).unwrap();
    }
    let factory = TenantId::new(1);
    let tenants = Tenants::from_iter([("factory".into(), factory)]);
    let users = Users::new(&file, &tenants, None).unwrap();
    let own = Authenticator::new(users, ThrottleSettings::default(), None, |_| {}).unwrap();
    let named = |peer: Peer| Peer { door: Arc::new(peer.door.of_tenant(factory)), ..peer };
    let password = |peer: &Peer| own.verify_password(NOW, peer, "ada", b"steam");
    assert_eq!(password(&peer()).err(), Some(Reason::BadCredentials));
    assert_eq!(password(&named(peer())).unwrap().identity, Identity::user(factory, "ada"));
    let shown = |name: &str| {
        let certificate = Certificate { common_name: Some(name.into()), ..Certificate::default() };
        Peer { certificate: Some(Arc::new(certificate)), ..certified(IdentityFrom::CommonName, [9; 32]) }
    };
    let by_certificate = |peer: &Peer| own.verify_proof(NOW, peer, None).map(|login| login.identity);
    assert_eq!(by_certificate(&shown("eve")), Ok(Identity::user(TenantId::DEFAULT, "eve")));
    assert_eq!(
        by_certificate(&named(shown("eve"))),
        Err(Reason::BadCredentials),
        "no authority knows of tenants"
    );
    assert_eq!(by_certificate(&named(shown("cer"))), Ok(Identity::user(factory, "cer")));
    let open = Peer { door: Arc::new(Door { anonymous: true, ..(*peer().door).clone() }), ..peer() };
    assert!(
        own.mechanisms(&open).contains(&"ANONYMOUS") && !own.mechanisms(&named(open)).contains(&"ANONYMOUS")
    );
}

struct Issuer;

impl VerifyToken for Issuer {
    fn verify(&self, now: Instant, _: &Peer, _: Option<&str>, token: &str) -> Result<Login, Reason> {
        let identity = Identity::user(TenantId::DEFAULT, token);
        let valid_until = Some(now + Duration::from_secs(60));
        if token == "bad" {
            Err(Reason::BadCredentials)
        } else {
            Ok(Login { valid_until, ..Login::new(identity) })
        }
    }

    fn verify_stranger(
        &self,
        now: Instant,
        peer: &Peer,
        _: &str,
        password: &[u8],
    ) -> Option<Result<Login, Reason>> {
        Some(self.verify(now, peer, None, str::from_utf8(password).ok()?))
    }
}

#[test]
fn nothing_lets_in_whom_the_users_file_has_locked_or_somebody_else_than_the_token_is_for() {
    let users = Users::new(&file(), &Tenants::default(), None).unwrap();
    let issuer: Arc<dyn VerifyToken> = Arc::new(Issuer);
    let own = Arc::new(Authenticator::new(users, ThrottleSettings::default(), Some(issuer), |_| {}).unwrap());
    let said = |message: &str| {
        let mut bearer = own.begin(certified(IdentityFrom::CommonName, [1; 32]), "OAUTHBEARER").unwrap();
        match bearer.step(NOW, message.as_bytes()) {
            Ok(Answer::Proved { login, .. }) => Ok(login.identity.name().to_owned()),
            Ok(Answer::Challenge(_)) => Err(bearer.step(NOW, b"\x01").err().unwrap()),
            Err(reason) => Err(reason),
        }
    };
    assert_eq!(said("n,,\x01auth=Bearer bob\x01\x01"), Ok("bob".to_owned()));
    assert_eq!(said("n,a=bob,\x01auth=Bearer bob\x01\x01"), Ok("bob".to_owned()));
    assert_eq!(said("n,a=eve,\x01auth=Bearer bob\x01\x01"), Err(Reason::NotAuthorized));
    assert_eq!(said("n,,\x01auth=Bearer loc\x01\x01"), Err(Reason::BadCredentials));
    let stranger = |password: &[u8]| named(own.verify_password(NOW, &peer(), "stranger", password));
    assert_eq!(stranger(b"bob"), Ok("bob".to_owned()));
    assert_eq!(stranger(b"loc"), Err(Reason::BadCredentials));
}

#[test]
fn a_peer_gets_the_mechanisms_that_are_safe_for_it() {
    let users = || Users::new(&file(), &Tenants::default(), None).unwrap();
    let made =
        |tokens| Arc::new(Authenticator::new(users(), ThrottleSettings::default(), tokens, |_| {}).unwrap());
    let own = made(None);
    assert_eq!(own.mechanisms(&peer()), ["SCRAM-SHA-256"]);
    let with_door = |change: &dyn Fn(&mut Door)| {
        let mut door = (*peer().door).clone();
        change(&mut door);
        Peer { door: Arc::new(door), ..peer() }
    };
    let plaintext = with_door(&|door| door.plaintext_auth = true);
    assert_eq!(own.mechanisms(&plaintext), ["SCRAM-SHA-256"], "the network hears it");
    let local = Peer { is_local: true, ..plaintext };
    assert_eq!(own.mechanisms(&local), ["SCRAM-SHA-256", "PLAIN"]);
    assert_eq!(own.mechanisms(&with_door(&|door| door.anonymous = true)), ["SCRAM-SHA-256", "ANONYMOUS"]);
    let by_certificate = with_door(&|door| door.passwords = false);
    assert_eq!(own.mechanisms(&by_certificate), Vec::<&str>::new());
    assert_eq!(
        named(own.verify_password(NOW, &by_certificate, "ada", b"engine")),
        Err(Reason::BadCredentials)
    );
    assert_eq!(
        (own.recall(NOW, &by_certificate, "ada", b"engine").map(named), own.hashed()),
        (Some(Err(Reason::BadCredentials)), 0)
    );
    let tls = certified(IdentityFrom::CommonName, [1; 32]);
    let expected = ["EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "PLAIN"];
    assert_eq!(made(Some(Arc::new(Issuer))).mechanisms(&tls), expected);
    assert_eq!(own.begin(peer(), "PLAIN").err(), Some(Reason::BadAuthenticationMethod));
    assert_eq!(made(None).begin(tls, "SCRAM-SHA-1").err(), Some(Reason::BadAuthenticationMethod));
}

#[test]
fn every_mechanism_proves_who_the_peer_is() {
    let users = Users::new(&file(), &Tenants::default(), None).unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let on_login = move |event: &LoginEvent<'_>| {
        assert!(event.outcome.is_ok(), "{event:?}");
        count.fetch_add(1, Ordering::Relaxed);
    };
    let own =
        Authenticator::new(users, ThrottleSettings::default(), Some(Arc::new(Issuer)), on_login).unwrap();
    let own = Arc::new(own);
    let tls = || certified(IdentityFrom::CommonName, [1; 32]);
    let talk = |client: &mut dyn Client| talk(&own, tls(), client);
    assert_eq!(talk(&mut OneMessage::plain("ada", "engine")), Ok("ada".to_owned()));
    assert_eq!(talk(&mut OneMessage::external()), Ok("ada".to_owned()));
    let binding = Some(("tls-exporter", &[1; 32][..]));
    let mut bound = Scram::new(ScramHash::Sha256, "sam", "pencil", b"mine", binding).unwrap();
    assert_eq!(talk(&mut bound), Ok("sam".to_owned()));
    let mut bearer = own.begin(tls(), "OAUTHBEARER").unwrap();
    let Ok(Answer::Proved { login, .. }) = bearer.step(NOW, b"n,,\x01auth=Bearer bob\x01\x01") else {
        panic!("a proof")
    };
    assert_eq!(login.valid_until, Some(NOW + Duration::from_secs(60)));
    let open = Peer { door: Arc::new(Door { anonymous: true, ..(*peer().door).clone() }), ..peer() };
    let Ok(Answer::Proved { login, .. }) = own.begin(open, "ANONYMOUS").unwrap().step(NOW, b"trace") else {
        panic!()
    };
    assert!(login.identity.is_anonymous());
    assert_eq!(seen.load(Ordering::Relaxed), 5);
}

#[test]
fn what_is_told_of_a_login_holds_no_secret() {
    let users = Users::new(&file(), &Tenants::default(), None).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let on_login = move |event: &LoginEvent<'_>| {
        let outcome = event.outcome.err();
        log.lock().unwrap().push((
            event.user.map(str::to_owned),
            event.method,
            outcome,
            format!("{event:?}"),
        ));
    };
    let own = Authenticator::new(users, ThrottleSettings::default(), None, on_login).unwrap();
    for (user, password) in [("ada", "engine"), ("ada", "s3cret"), ("eve", "s3cret"), ("loc", "engine")] {
        let _ = own.verify_password(NOW, &peer(), user, password.as_bytes());
    }
    let told = told.lock().unwrap();
    let outcomes: Vec<_> = told.iter().map(|(_, _, outcome, _)| *outcome).collect();
    let expected = [None, Some(Refusal::WrongPassword), Some(Refusal::UnknownUser), Some(Refusal::Locked)];
    assert_eq!(outcomes, expected);
    assert!(told.iter().all(|(user, method, ..)| user.is_some() && *method == "password"));
    assert!(told.iter().all(|(.., text)| !text.contains("engine") && !text.contains("s3cret")));
}
