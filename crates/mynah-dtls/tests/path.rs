//! A client and a demultiplexer with a path between them, and what they know of each other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mynah_dtls::{
    Alert, Association, Certification, Client, ClientSettings, Credentials, Datagrams, Demultiplexer,
    PeerAddress, PeerIdentity, SecureDatagram, SharedKey, Suite, Verdict,
};
use mynah_model::Instant;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};

pub(crate) const KEY: &[u8] = b"sixteen bytes...";
pub(crate) const SCHEME: u16 = 0x0403;

/// One who has keys. A certificate is here no more than the public key, behind a byte that says whether it is good.
pub(crate) struct Wallet {
    pub(crate) has_keys: bool,
    pub(crate) pair: Option<EcdsaKeyPair>,
    pub(crate) certification: Certification,
    pub(crate) is_good: bool,
    /// Bytes behind the key in the certificate.
    pub(crate) padding: usize,
}

impl Wallet {
    pub(crate) fn new(has_certificate: bool, certification: Certification) -> Self {
        let random = SystemRandom::new();
        let pair = has_certificate.then(|| {
            let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap()
        });
        Self { has_keys: true, pair, certification, is_good: true, padding: 0 }
    }

    pub(crate) fn certificate(&self) -> Option<Box<[u8]>> {
        let key = self.pair.as_ref()?.public_key().as_ref();
        Some([&[u8::from(self.is_good)][..], key, &vec![0; self.padding]].concat().into())
    }
}

impl Credentials for Wallet {
    fn has_keys(&self) -> bool {
        self.has_keys
    }

    fn pre_shared_key(&self, identity: &[u8]) -> Option<Box<[u8]>> {
        (identity == b"sensor").then(|| KEY.into())
    }

    fn chain(&self, _: Option<&str>) -> Option<Arc<[Box<[u8]>]>> {
        Some([self.certificate()?].into())
    }

    fn sign(&self, _: Option<&str>, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.pair.as_ref()?.sign(&SystemRandom::new(), message).ok()?;
        Some(signature.as_ref().into())
    }

    fn certification(&self) -> Certification {
        self.certification
    }

    fn schemes(&self) -> Vec<u16> {
        vec![SCHEME]
    }

    fn judge(&self, chain: &[&[u8]]) -> Result<(), Alert> {
        if chain[0].first() == Some(&1) { Ok(()) } else { Err(Alert::UNKNOWN_CA) }
    }

    fn verify(&self, certificate: &[u8], scheme: u16, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &certificate[1..66]);
        scheme == SCHEME && key.verify(message, signature).is_ok()
    }
}

pub(crate) fn peer(port: u16) -> PeerAddress {
    let mut ip = [0; 16];
    ip[10..].copy_from_slice(&[0xFF, 0xFF, 192, 0, 2, 7]);
    PeerAddress { ip, port, scope: 0, local: [0; 16] }
}

pub(crate) fn settings(suites: &[Suite]) -> ClientSettings {
    let key = Some(SharedKey { identity: b"sensor"[..].into(), key: KEY.into() });
    ClientSettings { suites: suites.into(), key, server_name: Some("broker.example".into()) }
}

pub(crate) fn demultiplexer(wallet: Wallet) -> Demultiplexer {
    Demultiplexer::new(Instant::ZERO, Arc::new(wallet), Box::new(SystemRandom::new())).unwrap()
}

/// What the path does to the datagram with this number, of all that go either way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    Lost,
    Twice,
    /// Behind the next one.
    Late,
}

/// Both ends, until the handshake is over.
pub(crate) struct Path {
    pub(crate) now: Instant,
    pub(crate) client: Client,
    pub(crate) server: Demultiplexer,
    to_server: VecDeque<Vec<u8>>,
    to_client: VecDeque<Vec<u8>>,
    sent: usize,
    pub(crate) established: (Option<Association>, Option<Box<Association>>),
    pub(crate) failed: (Option<Alert>, Option<mynah_dtls::Refusal>),
    /// Bytes that went to the server and to the client before the server kept anything.
    pub(crate) before: (usize, usize),
}

impl Path {
    pub(crate) fn new(settings: ClientSettings, own: Option<Wallet>, server: Wallet) -> Self {
        let mut out = Datagrams::default();
        let own = own.map(|wallet| Arc::new(wallet) as Arc<dyn Credentials>);
        let client = Client::new(Instant::ZERO, settings, own, &SystemRandom::new(), &mut out).unwrap();
        let mut path = Self {
            now: Instant::ZERO,
            client,
            server: demultiplexer(server),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            sent: 0,
            established: (None, None),
            failed: (None, None),
            before: (0, 0),
        };
        path.carry(&out, true, &|_| Fate::Arrives);
        path
    }

    /// Another client takes the place of the one that has said hello.
    pub(crate) fn replace_client(&mut self, make: impl FnOnce(Instant, &mut Datagrams) -> Client) {
        let mut out = Datagrams::default();
        self.client = make(self.now, &mut out);
        self.to_server.clear();
        self.carry(&out, true, &|_| Fate::Arrives);
    }

    fn carry(&mut self, out: &Datagrams, to_server: bool, fate: &dyn Fn(usize) -> Fate) {
        let queue = if to_server { &mut self.to_server } else { &mut self.to_client };
        for datagram in out.iter() {
            match fate(self.sent) {
                Fate::Arrives => queue.push_back(datagram.into()),
                Fate::Lost => {}
                Fate::Twice => queue.extend([datagram.into(), datagram.into()]),
                Fate::Late => queue.insert(queue.len().saturating_sub(1), datagram.into()),
            }
            self.sent += 1;
        }
    }

    /// Goes on until nothing is under way, or a minute is over.
    pub(crate) fn run(&mut self, fate: &dyn Fn(usize) -> Fate) {
        while self.now < Instant::ZERO + Duration::from_secs(60) {
            self.exchange(fate);
            if self.established.0.is_some() && self.established.1.is_some() || self.failed.0.is_some() {
                return;
            }
            let deadlines = [self.client.deadline(), self.server.deadline()];
            let Some(next) = deadlines.into_iter().flatten().min() else { return };
            self.now = self.now.max(next);
            let mut out = Datagrams::default();
            if self.established.0.is_none() {
                self.client.handle_time(self.now, &mut out);
                self.carry(&out, true, fate);
            }
            out.clear();
            while self.server.handle_time(self.now, &mut out).is_some() {}
            self.carry(&out, false, fate);
        }
    }

    fn exchange(&mut self, fate: &dyn Fn(usize) -> Fate) {
        loop {
            let mut out = Datagrams::default();
            if let Some(datagram) = self.to_server.pop_front() {
                self.serve(&datagram, &mut out);
                if self.server.half_open() == 0 && self.established.1.is_none() {
                    self.before.0 += datagram.len();
                    self.before.1 += out.iter().map(<[u8]>::len).sum::<usize>();
                }
                self.carry(&out, false, fate);
            } else if let Some(datagram) = self.to_client.pop_front() {
                if let Some(association) = &mut self.established.0 {
                    association.open(&datagram, &mut Datagrams::default(), &mut out);
                } else {
                    match self.client.receive(self.now, &datagram, &SystemRandom::new(), &mut out) {
                        Ok(Some(association)) => self.established.0 = Some(association),
                        Ok(None) => {}
                        Err(alert) => self.failed.0 = Some(alert),
                    }
                }
                self.carry(&out, true, fate);
            } else {
                return;
            }
        }
    }

    fn serve(&mut self, datagram: &[u8], out: &mut Datagrams) {
        let is_known = self.established.1.is_some();
        let mut verdict = Verdict::Ignored;
        if !is_known || self.server.concerns(peer(1), datagram) {
            verdict = self.server.receive(self.now, peer(1), datagram, out);
        }
        if let (Verdict::Ignored, Some(association)) = (&verdict, &mut self.established.1) {
            association.open(datagram, &mut Datagrams::default(), out);
        }
        self.judge(verdict);
        while let Some((_, verdict)) = self.server.work(self.now, out) {
            self.judge(verdict);
        }
    }

    fn judge(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Established(association) => self.established.1 = Some(association),
            Verdict::Refused(refusal) => self.failed.1 = Some(refusal),
            Verdict::Ignored | Verdict::Taken => {}
        }
    }

    /// Both ends of what the handshake has led to, after they have talked.
    pub(crate) fn talk(&mut self) -> (PeerIdentity, PeerIdentity) {
        let (Some(client), Some(server)) = (&mut self.established.0, &mut self.established.1) else {
            panic!("the handshake is not done: {:?}", self.failed);
        };
        for said in [&b"one"[..], &[7; 1_100], b"three"] {
            let mut sealed = Vec::new();
            client.seal(said, &mut sealed).unwrap();
            let (mut plain, mut answers) = (Datagrams::default(), Datagrams::default());
            assert!(server.open(&sealed, &mut plain, &mut answers).is_genuine);
            assert_eq!(plain.iter().collect::<Vec<_>>(), [said]);
            plain.clear();
            assert!(!server.open(&sealed, &mut plain, &mut answers).is_genuine, "it came already");
            assert!(plain.is_empty() && answers.is_empty());
            sealed.clear();
            server.seal(said, &mut sealed).unwrap();
            assert!(client.open(&sealed, &mut plain, &mut answers).is_genuine);
            assert_eq!(plain.iter().collect::<Vec<_>>(), [said]);
        }
        (client.identity().clone(), server.identity().clone())
    }
}
