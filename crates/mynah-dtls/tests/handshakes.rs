//! Handshakes that are done, whatever the path does, and those that fail.

use mynah_dtls::{
    Alert, Certification, ClientSettings, Credentials, Datagrams, PeerIdentity, SecureDatagram, SharedKey,
    Suite,
};

use crate::path::{Fate, KEY, Path, Wallet, settings};

fn done(suite: Suite, own: bool, certification: Certification) -> (PeerIdentity, PeerIdentity) {
    let own = own.then(|| Wallet::new(true, Certification::None));
    let own = own.or_else(|| (!suite.is_psk()).then(|| Wallet::new(false, Certification::None)));
    let mut path = Path::new(settings(&[suite]), own, Wallet::new(true, certification));
    path.run(&|_| Fate::Arrives);
    assert_eq!(path.established.1.as_ref().unwrap().suite(), suite);
    assert_eq!(path.server.half_open(), 0);
    path.talk()
}

#[test]
fn each_suite_leads_to_an_association_in_which_both_know_who_the_other_is() {
    let sensor = PeerIdentity::PreSharedKey(b"sensor"[..].into());
    for suite in Suite::ALL {
        let (server, client) = done(suite, true, Certification::Required);
        if suite.is_psk() {
            assert_eq!((&server, &client), (&sensor, &sensor));
        } else {
            assert!(matches!(&server, PeerIdentity::Certificate(_)));
            assert!(matches!(&client, PeerIdentity::Certificate(_)));
            assert_ne!(server, client);
            assert_eq!(done(suite, true, Certification::None).1, PeerIdentity::Nobody);
            assert_eq!(done(suite, false, Certification::Optional).1, PeerIdentity::Nobody);
        }
    }
}

#[test]
fn a_handshake_is_done_whichever_datagram_is_lost_or_comes_late_or_twice() {
    for suite in [Suite::PskCcm8, Suite::EcdsaGcm] {
        for number in 0..10 {
            for fate in [Fate::Lost, Fate::Late, Fate::Twice] {
                let own = Wallet::new(true, Certification::None);
                let server = Wallet::new(true, Certification::Required);
                let mut path = Path::new(settings(&[suite]), Some(own), server);
                path.run(&|sent| if sent == number { fate } else { Fate::Arrives });
                assert_eq!(path.failed, (None, None), "{suite:?} {number}");
                path.talk();
            }
        }
    }
}

#[test]
fn a_handshake_is_done_over_a_path_that_loses_every_third_datagram() {
    for offset in 0..3 {
        let (own, server) =
            (Wallet::new(true, Certification::None), Wallet::new(true, Certification::Required));
        let mut path = Path::new(settings(&[Suite::EcdsaCcm8]), Some(own), server);
        path.run(&|sent| if sent % 3 == offset { Fate::Lost } else { Fate::Arrives });
        path.talk();
    }
}

// RFC 6347, section 4.2.1.
#[test]
fn nothing_long_is_said_before_a_cookie_came_back() {
    let mut path = Path::new(settings(&[Suite::PskCcm8]), None, Wallet::new(true, Certification::None));
    path.run(&|_| Fate::Arrives);
    let (heard, said) = path.before;
    assert!(heard > 0 && said <= 3 * heard, "{heard} bytes came, {said} bytes went");
}

/// The server tells nobody which of the two it was.
#[test]
fn a_wrong_key_and_an_unknown_identity_are_refused_alike() {
    for (identity, key) in [(&b"sensor"[..], &b"another sixteen."[..]), (b"nobody", KEY)] {
        let key = Some(SharedKey { identity: identity.into(), key: key.into() });
        let settings = ClientSettings { suites: vec![Suite::PskGcm], key, server_name: None };
        let mut path = Path::new(settings, None, Wallet::new(false, Certification::None));
        path.run(&|_| Fate::Arrives);
        assert_eq!(path.failed.0, Some(Alert::DECRYPT_ERROR));
        let refusal = path.failed.1.unwrap();
        assert_eq!((refusal.alert, refusal.is_heard), (Alert::DECRYPT_ERROR, false));
        assert_eq!(refusal.identity, PeerIdentity::PreSharedKey(identity.into()));
        assert!(path.established.1.is_none() && path.server.half_open() == 0);
    }
}

#[test]
fn who_has_nothing_in_common_is_told_so() {
    let mut path = Path::new(settings(&[Suite::EcdsaCcm8]), None, Wallet::new(false, Certification::None));
    path.run(&|_| Fate::Arrives);
    assert_eq!(path.failed.0, Some(Alert::HANDSHAKE_FAILURE));
    let keyless = Wallet { has_keys: false, ..Wallet::new(true, Certification::None) };
    let mut path = Path::new(settings(&[Suite::PskCcm8, Suite::PskGcm]), None, keyless);
    path.run(&|_| Fate::Arrives);
    assert_eq!(path.failed.0, Some(Alert::HANDSHAKE_FAILURE));
}

#[test]
fn a_certificate_that_is_not_good_or_is_missing_ends_the_handshake() {
    let good = || Wallet::new(true, Certification::Required);
    let bad = || Wallet { is_good: false, ..good() };
    let run = |own, server| {
        let mut path = Path::new(settings(&[Suite::EcdsaGcm]), Some(own), server);
        path.run(&|_| Fate::Arrives);
        assert!(path.established.1.is_none());
        (path.failed.0, path.failed.1.map(|refusal| (refusal.alert, refusal.is_heard)))
    };
    let unknown = (Some(Alert::UNKNOWN_CA), Some((Alert::UNKNOWN_CA, false)));
    assert_eq!(run(bad(), good()), unknown);
    assert_eq!(run(good(), bad()).0, Some(Alert::UNKNOWN_CA), "the client refuses the server");
    let nobody = Wallet::new(false, Certification::None);
    let missing = (Some(Alert::HANDSHAKE_FAILURE), Some((Alert::HANDSHAKE_FAILURE, false)));
    assert_eq!(run(nobody, good()), missing);
}

/// The other half of the pair signs.
struct Thief(Wallet, Wallet);

impl Credentials for Thief {
    fn has_keys(&self) -> bool {
        false
    }
    fn pre_shared_key(&self, _: &[u8]) -> Option<Box<[u8]>> {
        None
    }
    fn chain(&self, name: Option<&str>) -> Option<std::sync::Arc<[Box<[u8]>]>> {
        self.0.chain(name)
    }
    fn sign(&self, name: Option<&str>, message: &[u8]) -> Option<Vec<u8>> {
        self.1.sign(name, message)
    }
    fn certification(&self) -> Certification {
        Certification::None
    }
    fn schemes(&self) -> Vec<u16> {
        self.0.schemes()
    }
    fn judge(&self, chain: &[&[u8]]) -> Result<(), Alert> {
        self.0.judge(chain)
    }
    fn verify(&self, certificate: &[u8], scheme: u16, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(certificate, scheme, message, signature)
    }
}

#[test]
fn who_shows_a_certificate_without_having_its_key_is_refused() {
    let wallet = || Wallet::new(true, Certification::Required);
    let mut path = Path::new(settings(&[Suite::EcdsaCcm8]), None, wallet());
    let thief = std::sync::Arc::new(Thief(wallet(), wallet()));
    let random = ring::rand::SystemRandom::new();
    path.replace_client(|now, out| {
        mynah_dtls::Client::new(now, settings(&[Suite::EcdsaCcm8]), Some(thief), &random, out).unwrap()
    });
    path.run(&|_| Fate::Arrives);
    assert_eq!(path.failed.0, Some(Alert::DECRYPT_ERROR));
    assert!(path.established.1.is_none());
}

#[test]
fn an_association_that_is_closed_says_so_and_is_over() {
    let mut path = Path::new(settings(&[Suite::PskCcm8]), None, Wallet::new(false, Certification::None));
    path.run(&|_| Fate::Arrives);
    let (client, server) = (path.established.0.as_mut().unwrap(), path.established.1.as_mut().unwrap());
    let mut sealed = Vec::new();
    client.close(&mut sealed);
    let opened = server.open(&sealed, &mut Datagrams::default(), &mut Datagrams::default());
    assert_eq!(opened.ended, Some(Alert::CLOSE_NOTIFY));
}

/// What CoAP's bars count with is 12 KiB, its own part included.
#[test]
fn an_association_is_small() {
    for suite in Suite::ALL {
        let own = Wallet { padding: 600, ..Wallet::new(true, Certification::None) };
        let server = Wallet { padding: 600, ..Wallet::new(true, Certification::Required) };
        let mut path = Path::new(settings(&[suite]), Some(own), server);
        path.run(&|_| Fate::Arrives);
        let bytes = path.established.1.unwrap().bytes();
        assert!(bytes <= 3 << 10, "{suite:?}: {bytes} bytes");
    }
}
