//! The server's half of a handshake, from a hello with a good cookie on.
//!
//! ```text
//! Offer --> KeyExchange --------------------> Finished --> an association
//!       `-> Certificate -> KeyExchange -> Verify ^
//! ```
//!
//! What asymmetric cryptography takes its time with is done one step at a time, when the caller says so.

use std::sync::Arc;

use mynah_model::Instant;
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::rand::SecureRandom;

use super::flights::Flights;
use crate::alert::Alert;
use crate::association::{Association, LastFlight};
use crate::cookie::equal;
use crate::credentials::{Certification, Credentials};
use crate::datagrams::Datagrams;
use crate::peer::PeerIdentity;
use crate::protection::Keys;
use crate::replay::Replay;
use crate::secrets::{self, Bound, MASTER_BYTES, Master};
use crate::suite::Suite;
use crate::wire::hello::{self, ClientHello, Extensions};
use crate::wire::message::{self, HEADER_BYTES, Signed};
use crate::wire::reader::Reader;
use crate::wire::record::{self, Record};

/// Bytes of the name by which a peer says which key it has.
const IDENTITY_BYTES_MAX: usize = 128;
/// A record with a Finished message that came before the keys that open it.
const EARLY_BYTES_MAX: usize = 128;
/// How often a flight is sent again because the peer has repeated its own.
const REPEATS_MAX: u8 = 8;

/// What a step of a handshake is given.
pub(crate) struct Turn<'t> {
    pub(crate) now: Instant,
    pub(crate) random: &'t dyn SecureRandom,
    /// Whether one step of asymmetric cryptography may be done.
    pub(crate) may_work: bool,
    pub(crate) out: &'t mut Datagrams,
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The datagram said nothing that belongs to it.
    None,
    Some,
    Done,
}

/// Why a handshake ends before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The peer is told this.
    Told(Alert),
    /// The peer has told us this.
    Heard(Alert),
}

impl From<Alert> for Failure {
    fn from(alert: Alert) -> Self {
        Self::Told(alert)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Offer,
    Certificate,
    KeyExchange,
    Verify,
    Finished,
}

/// A handshake that a peer with a good cookie has begun.
pub(crate) struct Server {
    credentials: Arc<dyn Credentials>,
    server_name: Option<Box<str>>,
    suite: Suite,
    client_random: [u8; 32],
    server_random: [u8; 32],
    asked: Extensions<'static>,
    flights: Flights,
    expects: Expects,
    /// It goes on when there is time for asymmetric cryptography.
    waits: bool,
    ephemeral: Option<Box<EphemeralPrivateKey>>,
    identity: PeerIdentity,
    master: Master,
    /// What protects what the client says, and what the server says.
    remote: Option<Box<Keys>>,
    local: Option<Box<Keys>>,
    replay: Replay,
    early: Option<(u64, Box<[u8]>)>,
    repeats_left: u8,
    /// Messages that were said or heard in their turn.
    steps: u8,
}

impl Server {
    /// Begins; `hello` is the whole message with its header, which came in the record with this number.
    pub(crate) fn new(
        credentials: Arc<dyn Credentials>,
        hello: &[u8],
        sequence: u16,
        record: u64,
    ) -> Result<Self, Alert> {
        let said = ClientHello::read(&hello[HEADER_BYTES..]).ok_or(Alert::DECODE_ERROR)?;
        let server_name: Option<Box<str>> = said.extensions.server_name.map(Box::from);
        let has_certificate = credentials.chain(server_name.as_deref()).is_some();
        let suite = said.choose(credentials.has_keys(), has_certificate).ok_or(Alert::HANDSHAKE_FAILURE)?;
        let mut flights = Flights::new(sequence.saturating_add(1), sequence, record);
        if suite.is_psk() || credentials.certification() == Certification::None {
            flights.forget_messages();
        }
        flights.hear(hello);
        let asked = Extensions { server_name: None, groups: None, schemes: None, ..said.extensions };
        Ok(Self {
            credentials,
            server_name,
            suite,
            client_random: *said.random,
            server_random: [0; 32],
            asked,
            flights,
            expects: Expects::Offer,
            waits: false,
            ephemeral: None,
            identity: PeerIdentity::Nobody,
            master: [0; MASTER_BYTES],
            remote: None,
            local: None,
            replay: Replay::default(),
            early: None,
            repeats_left: REPEATS_MAX,
            steps: 0,
        })
    }

    /// Whether a hello is the one that has begun this.
    pub(crate) fn began_with(&self, hello: &ClientHello<'_>) -> bool {
        self.client_random == *hello.random
    }

    /// Whether it waits for its turn to do what takes time.
    pub(crate) const fn waits(&self) -> bool {
        self.waits
    }

    /// How often it has gone on.
    pub(crate) const fn steps(&self) -> u8 {
        self.steps
    }

    /// Who the peer says it is.
    pub(crate) const fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let keys = [&self.remote, &self.local].into_iter().flatten().map(|keys| keys.bytes()).sum::<usize>();
        size_of::<Self>() + self.flights.bytes() + keys
    }

    pub(crate) fn again_at(&self) -> Option<Instant> {
        self.flights.again_at()
    }

    pub(crate) fn send_again(&mut self, now: Instant, out: &mut Datagrams) {
        self.flights.send_again(now, out);
    }

    /// The peer has not heard the last flight.
    pub(crate) fn repeat(&mut self, now: Instant, out: &mut Datagrams) {
        if let Some(left) = self.repeats_left.checked_sub(1) {
            self.repeats_left = left;
            self.flights.send_again(now, out);
        }
    }

    pub(crate) fn alert(&mut self, alert: Alert, out: &mut Datagrams) {
        self.flights.alert(alert, out);
    }

    /// Takes a datagram in.
    pub(crate) fn receive(&mut self, turn: &mut Turn<'_>, mut datagram: &[u8]) -> Result<Progress, Failure> {
        let (mut is_ours, mut is_repeated) = (false, false);
        while let Some(record) = record::next(&mut datagram) {
            match (record.epoch(), record.kind) {
                (0, record::HANDSHAKE) => {
                    is_ours = true;
                    is_repeated |= self.take_in(record.body)?;
                }
                (0, record::ALERT) => {
                    is_ours = true;
                    if let Some(alert) = Alert::final_of(record.body) {
                        return Err(Failure::Heard(alert));
                    }
                }
                (0, record::CHANGE_CIPHER_SPEC) => is_ours = true,
                (1, record::HANDSHAKE) => {
                    is_ours = true;
                    self.go_on(turn)?;
                    if self.finish(turn, &record)? {
                        return Ok(Progress::Done);
                    }
                }
                _ => {}
            }
        }
        if !is_ours {
            return Ok(Progress::None);
        }
        let progress = self.go_on(turn)?;
        if is_repeated && progress != Progress::Done {
            self.repeat(turn.now, turn.out);
        }
        Ok(progress)
    }

    /// Returns whether something came that was read already.
    fn take_in(&mut self, mut body: &[u8]) -> Result<bool, Alert> {
        let mut is_repeated = false;
        while let Some(fragment) = message::next(&mut body) {
            if fragment.kind == message::FINISHED {
                return Err(Alert::UNEXPECTED_MESSAGE);
            }
            is_repeated |= !self.flights.take_in(&fragment)?;
        }
        Ok(is_repeated)
    }

    /// Goes on as far as what has come allows.
    pub(crate) fn go_on(&mut self, turn: &mut Turn<'_>) -> Result<Progress, Failure> {
        loop {
            self.waits = false;
            let next = self.flights.peek();
            if self.expects != Expects::Offer && next.is_none() {
                break;
            }
            if !self.suite.is_psk() && !std::mem::take(&mut turn.may_work) {
                self.waits = true;
                return Ok(Progress::Some);
            }
            self.steps += 1;
            if self.expects == Expects::Offer {
                self.offer(turn)?;
            } else if let Some(message) = self.flights.pop() {
                self.read(turn, &message)?;
            }
        }
        if let Some((number, body)) = self.early.take_if(|_| self.remote.is_some()) {
            let record = Record { kind: record::HANDSHAKE, number, body: &body };
            if self.finish(turn, &record)? {
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::Some)
    }

    /// Says hello, and what the suite needs besides.
    fn offer(&mut self, turn: &mut Turn<'_>) -> Result<(), Alert> {
        turn.random.fill(&mut self.server_random).map_err(|_| Alert::INTERNAL_ERROR)?;
        let Self { flights, server_random, suite, asked, .. } = self;
        flights.begin_flight();
        flights
            .say(message::SERVER_HELLO, |out| hello::put_server_hello(server_random, *suite, asked, out))?;
        self.expects = Expects::KeyExchange;
        if !self.suite.is_psk() {
            self.offer_share(turn.random)?;
            if self.credentials.certification() != Certification::None {
                let schemes = self.credentials.schemes();
                let put = |out: &mut Vec<u8>| message::put_certificate_request(&schemes, out);
                self.flights.say(message::CERTIFICATE_REQUEST, put)?;
                self.expects = Expects::Certificate;
            }
        }
        self.flights.say(message::SERVER_HELLO_DONE, |_| ())?;
        self.flights.send(turn.now, true, turn.out);
        Ok(())
    }

    /// Shows the certificate, and a share of the key that it has signed.
    fn offer_share(&mut self, random: &dyn SecureRandom) -> Result<(), Alert> {
        let name = self.server_name.as_deref();
        let chain = self.credentials.chain(name).ok_or(Alert::INTERNAL_ERROR)?;
        self.flights.say(message::CERTIFICATE, |out| message::put_certificates(&chain, out))?;
        let failed = |_| Alert::INTERNAL_ERROR;
        let ephemeral = EphemeralPrivateKey::generate(&ECDH_P256, random).map_err(failed)?;
        let public = ephemeral.compute_public_key().map_err(failed)?;
        let mut signed = [self.client_random, self.server_random].concat();
        message::put_share(public.as_ref(), &mut signed);
        let signature = self.credentials.sign(name, &signed).ok_or(Alert::INTERNAL_ERROR)?;
        self.flights.say(message::SERVER_KEY_EXCHANGE, |out| {
            message::put_share(public.as_ref(), out);
            Signed::put(message::ECDSA_SHA256, &signature, out);
        })?;
        self.ephemeral = Some(Box::new(ephemeral));
        Ok(())
    }

    fn read(&mut self, turn: &Turn<'_>, heard: &[u8]) -> Result<(), Alert> {
        let body = &heard[HEADER_BYTES..];
        match (self.expects, heard[0]) {
            (Expects::Certificate, message::CERTIFICATE) => {
                self.flights.rest();
                self.read_certificate(body)?;
                self.flights.hear(heard);
                self.expects = Expects::KeyExchange;
                Ok(())
            }
            (Expects::KeyExchange, message::CLIENT_KEY_EXCHANGE) => {
                self.flights.rest();
                let premaster = self.read_key_exchange(turn, body)?;
                self.flights.hear(heard);
                let hash = self.flights.hash();
                let bound = if self.asked.extended_master_secret {
                    Bound::Session(hash.as_ref())
                } else {
                    Bound::Randoms(&self.client_random, &self.server_random)
                };
                self.master = secrets::master(&premaster, &bound);
                self.expects = Expects::Verify;
                if matches!(self.identity, PeerIdentity::Certificate(_)) { Ok(()) } else { self.derive() }
            }
            (Expects::Verify, message::CERTIFICATE_VERIFY) => {
                self.read_verify(body)?;
                self.flights.hear(heard);
                self.derive()
            }
            _ => Err(Alert::UNEXPECTED_MESSAGE),
        }
    }

    fn read_certificate(&mut self, body: &[u8]) -> Result<(), Alert> {
        let chain = message::certificates(body).ok_or(Alert::DECODE_ERROR)?;
        let Some(own) = chain.first() else {
            let may_be_nobody = self.credentials.certification() == Certification::Optional;
            self.flights.forget_messages();
            return if may_be_nobody { Ok(()) } else { Err(Alert::HANDSHAKE_FAILURE) };
        };
        self.credentials.judge(&chain)?;
        self.identity = PeerIdentity::Certificate((*own).into());
        Ok(())
    }

    fn read_key_exchange(&mut self, turn: &Turn<'_>, body: &[u8]) -> Result<Vec<u8>, Alert> {
        let mut reader = Reader(body);
        if let Some(ephemeral) = self.ephemeral.take() {
            let public = reader.short().ok_or(Alert::DECODE_ERROR)?;
            reader.end().ok_or(Alert::DECODE_ERROR)?;
            let public = UnparsedPublicKey::new(&ECDH_P256, public);
            return agree_ephemeral(*ephemeral, &public, <[u8]>::to_vec)
                .map_err(|_| Alert::ILLEGAL_PARAMETER);
        }
        let identity = reader.long().ok_or(Alert::DECODE_ERROR)?;
        reader.end().ok_or(Alert::DECODE_ERROR)?;
        if !(1..=IDENTITY_BYTES_MAX).contains(&identity.len()) {
            return Err(Alert::ILLEGAL_PARAMETER);
        }
        self.identity = PeerIdentity::PreSharedKey(identity.into());
        let key = self.credentials.pre_shared_key(identity);
        // An identity that nobody has cannot be told from a key that is wrong.
        let mut unknown = [0; 32];
        turn.random.fill(&mut unknown).map_err(|_| Alert::INTERNAL_ERROR)?;
        Ok(secrets::premaster_of_key(key.as_deref().unwrap_or(&unknown)))
    }

    /// The signature is over everything that was said before it.
    fn read_verify(&self, body: &[u8]) -> Result<(), Alert> {
        let PeerIdentity::Certificate(certificate) = &self.identity else {
            return Err(Alert::UNEXPECTED_MESSAGE);
        };
        let signed = Signed::read(&mut Reader(body)).ok_or(Alert::DECODE_ERROR)?;
        let messages = self.flights.messages();
        let is_good = self.credentials.verify(certificate, signed.scheme, messages, signed.signature);
        if is_good { Ok(()) } else { Err(Alert::DECRYPT_ERROR) }
    }

    /// Everything is said that the keys follow from, and no signature will be over it.
    fn derive(&mut self) -> Result<(), Alert> {
        self.flights.forget_messages();
        let keys = secrets::keys(self.suite, &self.master, &self.client_random, &self.server_random);
        let (remote, local) = keys.ok_or(Alert::INTERNAL_ERROR)?;
        (self.remote, self.local) = (Some(Box::new(remote)), Some(Box::new(local)));
        self.expects = Expects::Finished;
        Ok(())
    }

    /// Reads the Finished message and answers it. Returns whether that is done.
    fn finish(&mut self, turn: &mut Turn<'_>, record: &Record<'_>) -> Result<bool, Alert> {
        let Some(remote) = &self.remote else {
            if record.body.len() <= EARLY_BYTES_MAX {
                self.early = Some((record.number, record.body.into()));
            }
            return Ok(false);
        };
        let mut plain = Vec::new();
        if !remote.open(record, &mut plain) {
            // The keys do not fit: that of the peer is not the one that is known here.
            return Err(Alert::DECRYPT_ERROR);
        }
        self.replay.note(record.sequence());
        let mut rest = &plain[..];
        let fragment = message::next(&mut rest).ok_or(Alert::DECODE_ERROR)?;
        if fragment.kind != message::FINISHED || !fragment.is_whole() {
            return Err(Alert::UNEXPECTED_MESSAGE);
        }
        let expected = secrets::verify_data(&self.master, true, self.flights.hash().as_ref());
        if !equal(&expected, fragment.body) {
            return Err(Alert::DECRYPT_ERROR);
        }
        self.flights.hear(&plain);
        let data = secrets::verify_data(&self.master, false, self.flights.hash().as_ref());
        self.flights.begin_flight();
        let local = self.local.take().ok_or(Alert::INTERNAL_ERROR)?;
        self.flights.seal_with(local);
        self.flights.say(message::FINISHED, |out| out.extend(data))?;
        self.flights.send(turn.now, false, turn.out);
        Ok(true)
    }

    /// What the handshake has led to; None before it is done.
    pub(crate) fn into_association(mut self) -> Option<Association> {
        let finished = self.flights.messages().into();
        let (local, next) = self.flights.take_sealing()?;
        let last = LastFlight { finished, record: self.flights.record() };
        let identity = self.identity;
        Some(Association::new(self.suite, identity, (*self.remote?, *local), (next, self.replay), Some(last)))
    }
}
