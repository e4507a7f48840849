//! The client's half of a handshake.

use std::fmt;
use std::sync::Arc;

use mynah_model::Instant;
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::rand::SecureRandom;

use crate::alert::Alert;
use crate::association::Association;
use crate::cookie::equal;
use crate::credentials::Credentials;
use crate::datagrams::Datagrams;
use crate::handshake::Flights;
use crate::peer::PeerIdentity;
use crate::protection::Keys;
use crate::replay::Replay;
use crate::secrets::{self, Bound, Master};
use crate::suite::Suite;
use crate::wire::hello::{self, ServerHello};
use crate::wire::message::{self, HEADER_BYTES, Signed};
use crate::wire::reader::{numbers, put_u16};
use crate::wire::record::{self, Record};

/// With what a client comes.
#[derive(Clone, Debug, Default)]
pub struct ClientSettings {
    /// The suites that it offers, the best first.
    pub suites: Vec<Suite>,
    /// The key that it shares with the server, which the suites of keys ask for.
    pub key: Option<SharedKey>,
    /// The name of the server that it wants.
    pub server_name: Option<Box<str>>,
}

/// A key that a client shares with a server.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey {
    /// The identity under which the server knows it.
    pub identity: Box<[u8]>,
    /// The key.
    pub key: Box<[u8]>,
}

impl fmt::Debug for SharedKey {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedKey").field(&String::from_utf8_lossy(&self.identity)).finish()
    }
}

/// A handshake that a client has begun.
pub struct Client {
    settings: ClientSettings,
    /// Certificates, and the judgement of the server's.
    credentials: Option<Arc<dyn Credentials>>,
    client_random: [u8; 32],
    server: Option<Chosen>,
    flights: Flights,
    /// What the server has shown.
    certificate: Option<Box<[u8]>>,
    share: Option<Box<[u8]>>,
    /// The server asks for a certificate.
    is_asked: bool,
    secured: Option<Secured>,
}

/// What the server has chosen.
#[derive(Clone, Copy)]
struct Chosen {
    random: [u8; 32],
    suite: Suite,
    extended_master_secret: bool,
}

struct Secured {
    master: Master,
    remote: Keys,
}

impl Client {
    /// Begins: says hello.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(
        now: Instant,
        settings: ClientSettings,
        credentials: Option<Arc<dyn Credentials>>,
        random: &dyn SecureRandom,
        out: &mut Datagrams,
    ) -> Result<Self, Alert> {
        let mut client_random = [0; 32];
        random.fill(&mut client_random).map_err(|_| Alert::INTERNAL_ERROR)?;
        let mut client = Self {
            settings,
            credentials,
            client_random,
            server: None,
            flights: Flights::new(0, 0, 0),
            certificate: None,
            share: None,
            is_asked: false,
            secured: None,
        };
        client.hello(now, &[], out)?;
        Ok(client)
    }

    /// When [`Client::handle_time`] is to be called.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.flights.again_at()
    }

    /// Nothing has come for a while: says it again.
    pub fn handle_time(&mut self, now: Instant, out: &mut Datagrams) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.flights.send_again(now, out);
        }
    }

    /// Takes a datagram of the server in. Returns the association when the handshake is done; then the client is over.
    ///
    /// # Errors
    /// What the server was told, or has told, as the handshake fails.
    pub fn receive(
        &mut self,
        now: Instant,
        datagram: &[u8],
        random: &dyn SecureRandom,
        out: &mut Datagrams,
    ) -> Result<Option<Association>, Alert> {
        let result = self.read_datagram(now, datagram, random, out);
        if let Err((alert, true)) = result {
            self.flights.alert(alert, out);
        }
        result.map_err(|(alert, _)| alert)
    }

    /// An error comes with whether the server is to be told of it.
    fn read_datagram(
        &mut self,
        now: Instant,
        mut datagram: &[u8],
        random: &dyn SecureRandom,
        out: &mut Datagrams,
    ) -> Result<Option<Association>, (Alert, bool)> {
        let told = |alert| (alert, true);
        while let Some(record) = record::next(&mut datagram) {
            match (record.epoch(), record.kind) {
                (0, record::HANDSHAKE) => {
                    let mut body = record.body;
                    while let Some(fragment) = message::next(&mut body) {
                        self.flights.take_in(&fragment).map_err(told)?;
                    }
                    while let Some(message) = self.flights.pop() {
                        self.read(now, &message, random, out).map_err(told)?;
                    }
                }
                (0, record::ALERT) => {
                    if let Some(alert) = Alert::final_of(record.body) {
                        return Err((alert, false));
                    }
                }
                (1, record::HANDSHAKE) => {
                    if let Some(association) = self.finish(&record).map_err(told)? {
                        return Ok(Some(association));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn hello(&mut self, now: Instant, cookie: &[u8], out: &mut Datagrams) -> Result<(), Alert> {
        self.flights.begin_again();
        self.flights.begin_flight();
        let Self { settings, client_random, flights, .. } = self;
        let name = settings.server_name.as_deref();
        flights.say(message::CLIENT_HELLO, |out| {
            hello::put_client_hello(client_random, cookie, &settings.suites, name, out);
        })?;
        flights.send(now, true, out);
        Ok(())
    }

    fn read(
        &mut self,
        now: Instant,
        heard: &[u8],
        random: &dyn SecureRandom,
        out: &mut Datagrams,
    ) -> Result<(), Alert> {
        let body = &heard[HEADER_BYTES..];
        let suite = self.server.map(|server| server.suite);
        match (heard[0], suite) {
            (message::HELLO_VERIFY_REQUEST, None) => {
                let cookie = hello::requested_cookie(body).ok_or(Alert::DECODE_ERROR)?;
                return self.hello(now, cookie, out);
            }
            (message::SERVER_HELLO, None) => {
                let said = ServerHello::read(body).ok_or(Alert::HANDSHAKE_FAILURE)?;
                if !self.settings.suites.contains(&said.suite) {
                    return Err(Alert::ILLEGAL_PARAMETER);
                }
                let ServerHello { random, suite, extended_master_secret } = said;
                self.server = Some(Chosen { random: *random, suite, extended_master_secret });
            }
            (message::CERTIFICATE, Some(suite)) if !suite.is_psk() && self.certificate.is_none() => {
                let chain = message::certificates(body).ok_or(Alert::DECODE_ERROR)?;
                let own = chain.first().ok_or(Alert::BAD_CERTIFICATE)?;
                self.credentials.as_ref().ok_or(Alert::INTERNAL_ERROR)?.judge(&chain)?;
                self.certificate = Some((*own).into());
            }
            (message::SERVER_KEY_EXCHANGE, Some(suite)) if !suite.is_psk() => self.read_share(body)?,
            // A hint for who has more than one key.
            (message::SERVER_KEY_EXCHANGE, Some(_)) => {}
            (message::CERTIFICATE_REQUEST, Some(suite)) if !suite.is_psk() => {
                let schemes = message::requested_schemes(body).ok_or(Alert::DECODE_ERROR)?;
                self.is_asked = true;
                if !numbers(schemes).any(|scheme| scheme == message::ECDSA_SHA256) {
                    return Err(Alert::HANDSHAKE_FAILURE);
                }
            }
            (message::SERVER_HELLO_DONE, Some(_)) if body.is_empty() && self.secured.is_none() => {
                self.flights.hear(heard);
                return self.answer(now, random, out);
            }
            _ => return Err(Alert::UNEXPECTED_MESSAGE),
        }
        self.flights.rest();
        self.flights.hear(heard);
        Ok(())
    }

    fn read_share(&mut self, body: &[u8]) -> Result<(), Alert> {
        let share = message::server_share(body).ok_or(Alert::DECODE_ERROR)?;
        let (Some(server), Some(certificate), Some(credentials)) =
            (&self.server, &self.certificate, &self.credentials)
        else {
            return Err(Alert::UNEXPECTED_MESSAGE);
        };
        let signed = [&self.client_random[..], &server.random, share.params].concat();
        if !credentials.verify(certificate, share.signed.scheme, &signed, share.signed.signature) {
            return Err(Alert::DECRYPT_ERROR);
        }
        self.share = Some(share.public.into());
        Ok(())
    }

    /// Everything is known of the server: says the rest.
    fn answer(&mut self, now: Instant, random: &dyn SecureRandom, out: &mut Datagrams) -> Result<(), Alert> {
        let server = self.server.ok_or(Alert::UNEXPECTED_MESSAGE)?;
        self.flights.begin_flight();
        let chain = self.credentials.as_ref().filter(|_| self.is_asked).and_then(|own| own.chain(None));
        if self.is_asked {
            let chain = chain.as_deref().unwrap_or_default();
            self.flights.say(message::CERTIFICATE, |out| message::put_certificates(chain, out))?;
        }
        let (premaster, exchange) = self.exchange(server.suite, random)?;
        self.flights.say(message::CLIENT_KEY_EXCHANGE, |out| out.extend(exchange))?;
        let hash = self.flights.hash();
        let bound = if server.extended_master_secret {
            Bound::Session(hash.as_ref())
        } else {
            Bound::Randoms(&self.client_random, &server.random)
        };
        let master = secrets::master(&premaster, &bound);
        if let (Some(credentials), Some(_)) = (&self.credentials, chain) {
            let signature = credentials.sign(None, self.flights.messages()).ok_or(Alert::INTERNAL_ERROR)?;
            let put = |out: &mut Vec<u8>| Signed::put(message::ECDSA_SHA256, &signature, out);
            self.flights.say(message::CERTIFICATE_VERIFY, put)?;
        }
        let keys = secrets::keys(server.suite, &master, &self.client_random, &server.random);
        let (local, remote) = keys.ok_or(Alert::INTERNAL_ERROR)?;
        let data = secrets::verify_data(&master, true, self.flights.hash().as_ref());
        self.flights.seal_with(Box::new(local));
        self.flights.say(message::FINISHED, |out| out.extend(data))?;
        self.flights.send(now, true, out);
        self.secured = Some(Secured { master, remote });
        Ok(())
    }

    /// The premaster secret, and what the server makes it of.
    fn exchange(&self, suite: Suite, random: &dyn SecureRandom) -> Result<(Vec<u8>, Vec<u8>), Alert> {
        let mut said = Vec::new();
        if suite.is_psk() {
            let SharedKey { identity, key } = self.settings.key.as_ref().ok_or(Alert::INTERNAL_ERROR)?;
            put_u16(identity.len(), &mut said);
            said.extend_from_slice(identity);
            return Ok((secrets::premaster_of_key(key), said));
        }
        let share = self.share.as_deref().ok_or(Alert::UNEXPECTED_MESSAGE)?;
        let failed = |_| Alert::INTERNAL_ERROR;
        let ephemeral = EphemeralPrivateKey::generate(&ECDH_P256, random).map_err(failed)?;
        let public = ephemeral.compute_public_key().map_err(failed)?;
        said.push(public.as_ref().len() as u8);
        said.extend_from_slice(public.as_ref());
        let share = UnparsedPublicKey::new(&ECDH_P256, share);
        let premaster = agree_ephemeral(ephemeral, &share, <[u8]>::to_vec);
        Ok((premaster.map_err(|_| Alert::ILLEGAL_PARAMETER)?, said))
    }

    fn finish(&mut self, record: &Record<'_>) -> Result<Option<Association>, Alert> {
        let Some(secured) = &self.secured else { return Ok(None) };
        let mut plain = Vec::new();
        if !secured.remote.open(record, &mut plain) {
            return Ok(None);
        }
        let expected = secrets::verify_data(&secured.master, false, self.flights.hash().as_ref());
        let mut rest = &plain[..];
        let fragment = message::next(&mut rest).ok_or(Alert::DECODE_ERROR)?;
        if fragment.kind != message::FINISHED || !fragment.is_whole() || !equal(&expected, fragment.body) {
            return Err(Alert::DECRYPT_ERROR);
        }
        let mut replay = Replay::default();
        replay.note(record.sequence());
        let (Some(secured), Some((local, next)), Some(server)) =
            (self.secured.take(), self.flights.take_sealing(), self.server)
        else {
            return Err(Alert::INTERNAL_ERROR);
        };
        self.flights.rest();
        let identity = match self.certificate.take() {
            Some(certificate) => PeerIdentity::Certificate(certificate),
            None => self
                .settings
                .key
                .take()
                .map_or(PeerIdentity::Nobody, |key| PeerIdentity::PreSharedKey(key.identity)),
        };
        let keys = (secured.remote, *local);
        Ok(Some(Association::new(server.suite, identity, keys, (next, replay), None)))
    }
}
