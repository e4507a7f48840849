//! A client of DTLS and a demultiplexer with a path between them that changes, loses and repeats what it carries, and
//! strangers who send anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mynah_dtls::{
    Alert, Association, Certification, Client, ClientSettings, Credentials, Datagrams, Demultiplexer,
    HALF_OPEN_BYTES_MAX, PeerAddress, PeerIdentity, SecureDatagram, SharedKey, Suite, Verdict,
};
use mynah_model::Instant;
use ring::rand::SystemRandom;

use crate::script::Script;

const IDENTITY: &[u8] = b"sensor";
const KEY: &[u8] = b"sixteen letters.";

/// Keys, and what stands for certificates: nobody can sign for one here.
struct Wallet;

impl Credentials for Wallet {
    fn has_keys(&self) -> bool {
        true
    }

    fn pre_shared_key(&self, identity: &[u8]) -> Option<Box<[u8]>> {
        (identity == IDENTITY).then(|| KEY.into())
    }

    fn chain(&self, _: Option<&str>) -> Option<Arc<[Box<[u8]>]>> {
        Some([Box::from(&[7; 100][..])].into())
    }

    fn sign(&self, _: Option<&str>, _: &[u8]) -> Option<Vec<u8>> {
        Some(vec![7; 70])
    }

    fn certification(&self) -> Certification {
        Certification::Optional
    }

    fn schemes(&self) -> Vec<u16> {
        vec![0x0403]
    }

    fn judge(&self, _: &[&[u8]]) -> Result<(), Alert> {
        Ok(())
    }

    /// The server's is taken, so that handshakes go on.
    fn verify(&self, certificate: &[u8], _: u16, _: &[u8], signature: &[u8]) -> bool {
        certificate.len() == 100 && signature.len() == 70
    }
}

/// Runs the script in `data`.
///
/// # Panics
/// If a bound is broken, or somebody gets what the other has not said.
pub fn dtls(data: &[u8]) {
    let mut script = Script::new(data);
    let suite = Suite::ALL[usize::from(script.below(4))];
    let mut stage = Stage::new(suite);
    while !script.is_empty() {
        match script.below(6) {
            0 => stage.hear_stranger(script.byte(), script.piece(200)),
            1 => stage.carry(true, &mut script),
            2 => stage.carry(false, &mut script),
            3 => stage.wait(script.byte()),
            4 => drop(stage.to_server.pop_front()),
            _ => drop(stage.to_client.pop_front()),
        }
        stage.check();
    }
}

struct Stage {
    now: Instant,
    random: SystemRandom,
    client: Client,
    server: Demultiplexer,
    to_server: VecDeque<Vec<u8>>,
    to_client: VecDeque<Vec<u8>>,
    near: Option<Association>,
    far: Option<Box<Association>>,
}

fn peer(port: u16) -> PeerAddress {
    PeerAddress { ip: [0xFD; 16], port, scope: 0, local: [0; 16] }
}

impl Stage {
    fn new(suite: Suite) -> Self {
        let (now, random, mut out) = (Instant::ZERO, SystemRandom::new(), Datagrams::default());
        let key = SharedKey { identity: IDENTITY.into(), key: KEY.into() };
        let settings = ClientSettings { suites: vec![suite], key: Some(key), server_name: Some("x".into()) };
        let client = Client::new(now, settings, Some(Arc::new(Wallet)), &random, &mut out).unwrap();
        let server = Demultiplexer::new(now, Arc::new(Wallet), Box::new(SystemRandom::new())).unwrap();
        let to_server = out.iter().map(Vec::from).collect();
        let to_client = VecDeque::new();
        Self { now, random, client, server, to_server, to_client, near: None, far: None }
    }

    fn hear_stranger(&mut self, port: u8, datagram: &[u8]) {
        let mut out = Datagrams::default();
        let kept = self.server.half_open();
        let address = peer(2 + u16::from(port % 4));
        let verdict = self.server.receive(self.now, address, datagram, &mut out);
        let said: usize = out.iter().map(<[u8]>::len).sum();
        assert!(said <= 3 * datagram.len(), "{said} bytes for {}", datagram.len());
        assert!(!matches!(verdict, Verdict::Established(_)));
        assert_eq!(self.server.half_open(), kept, "nobody could know a cookie");
    }

    /// Brings the next datagram to where it goes, changed or not, and perhaps leaves it to come again.
    fn carry(&mut self, to_server: bool, script: &mut Script<'_>) {
        let way = if to_server { &mut self.to_server } else { &mut self.to_client };
        let Some(mut datagram) = way.pop_front() else { return };
        match script.below(8) {
            0 => way.push_back(datagram.clone()),
            1 => {
                let (at, bits) = (usize::from(script.number()), script.byte());
                let length = datagram.len();
                datagram[at % length] ^= bits;
            }
            2 => datagram.truncate(usize::from(script.number())),
            3 => datagram.extend_from_slice(script.piece(60)),
            _ => {}
        }
        if to_server { self.serve(&datagram) } else { self.hear_server(&datagram) }
    }

    fn serve(&mut self, datagram: &[u8]) {
        let mut out = Datagrams::default();
        let mut verdict = Verdict::Ignored;
        if self.far.is_none() || self.server.concerns(peer(1), datagram) {
            verdict = self.server.receive(self.now, peer(1), datagram, &mut out);
        }
        if let (Verdict::Ignored, Some(far)) = (&verdict, &mut self.far) {
            let mut plain = Datagrams::default();
            let opened = far.open(datagram, &mut plain, &mut out);
            assert!(plain.iter().all(|plain| plain == b"hello"));
            if opened.ended.is_some() {
                self.far = None;
            }
        }
        self.judge(verdict);
        while let Some((_, verdict)) = self.server.work(self.now, &mut out) {
            self.judge(verdict);
        }
        self.to_client.extend(out.iter().map(Vec::from));
    }

    fn judge(&mut self, verdict: Verdict) {
        if let Verdict::Established(far) = verdict {
            let expected = match far.suite().is_psk() {
                true => PeerIdentity::PreSharedKey(IDENTITY.into()),
                // It has none, or could not have signed for it.
                false => PeerIdentity::Nobody,
            };
            assert!(matches!(far.identity(), PeerIdentity::Certificate(_)) || *far.identity() == expected);
            self.far = Some(far);
        }
    }

    fn hear_server(&mut self, datagram: &[u8]) {
        let mut out = Datagrams::default();
        if let Some(near) = &mut self.near {
            let mut plain = Datagrams::default();
            near.open(datagram, &mut plain, &mut out);
            assert!(plain.is_empty(), "the server has said nothing");
        } else if let Ok(Some(mut near)) = self.client.receive(self.now, datagram, &self.random, &mut out) {
            let mut sealed = Vec::new();
            near.seal(b"hello", &mut sealed).unwrap();
            self.to_server.push_back(sealed);
            self.near = Some(near);
        }
        self.to_server.extend(out.iter().map(Vec::from));
    }

    fn wait(&mut self, tenths: u8) {
        self.now = self.now + Duration::from_millis(u64::from(tenths) * 100);
        let mut out = Datagrams::default();
        if self.near.is_none() {
            self.client.handle_time(self.now, &mut out);
            self.to_server.extend(out.iter().map(Vec::from));
            out.clear();
        }
        while self.server.handle_time(self.now, &mut out).is_some() {}
        self.to_client.extend(out.iter().map(Vec::from));
    }

    fn check(&mut self) {
        assert!(self.server.half_open() <= 1);
        assert!(self.server.bytes() <= HALF_OPEN_BYTES_MAX + 256, "{} bytes", self.server.bytes());
        self.to_server.truncate(32);
        self.to_client.truncate(32);
    }
}
