//! What stands in front of a socket: which datagrams belong to handshakes, and what is kept for them.
//!
//! Invariants: nothing is kept for a peer that has not repeated a cookie; what is said to it is no longer than what it said;
//! a handshake that is new is never refused for want of room, the oldest goes; who is known already stays known until its new
//! handshake is done.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mynah_model::Instant;
use ring::rand::SecureRandom;

use crate::alert::Alert;
use crate::association::Association;
use crate::cookie::Cookies;
use crate::credentials::Credentials;
use crate::datagrams::Datagrams;
use crate::handshake::{Failure, Progress, Server, Turn};
use crate::peer::{PeerAddress, PeerIdentity, Prefix};
use crate::wire::hello::{self, ClientHello};
use crate::wire::message::{self, Fragment, HEADER_BYTES};
use crate::wire::record;

/// Handshakes that are under way at a time.
pub const HALF_OPEN_MAX: usize = 1_024;
/// Of those, by peers of one prefix: a /24 of IPv4, a /64 of IPv6.
pub const HALF_OPEN_PER_PREFIX_MAX: usize = 256;
/// How long a handshake is kept in which nothing happens.
const PATIENCE: Duration = Duration::from_secs(5);

/// Handshakes of one socket's peers.
pub struct Demultiplexer {
    credentials: Arc<dyn Credentials>,
    random: Box<dyn SecureRandom + Send>,
    cookies: Cookies,
    half_open: HashMap<PeerAddress, HalfOpen>,
    /// Peers by the numbers of their handshakes: the oldest first.
    order: BTreeMap<u64, PeerAddress>,
    /// When something is to be done for whom.
    timers: BTreeSet<(Instant, u64)>,
    prefixes: HashMap<Prefix, usize>,
    /// Handshakes that go on when there is time for asymmetric cryptography.
    waiting: VecDeque<u64>,
    last: u64,
}

struct HalfOpen {
    number: u64,
    server: Box<Server>,
    /// When it is dropped.
    until: Instant,
    timer: Instant,
    /// How often it had gone on then.
    steps: u8,
    /// It is in the queue of those that wait.
    is_queued: bool,
}

/// What came of a datagram, or of a step of a handshake.
pub enum Verdict {
    /// Nothing in it belongs to a handshake.
    Ignored,
    /// It belongs to one, or begins one.
    Taken,
    /// The handshake is done.
    Established(Box<Association>),
    /// The handshake has failed.
    Refused(Refusal),
}

/// A handshake that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub alert: Alert,
    /// Whether the peer has said so.
    pub is_heard: bool,
    /// Who the peer said it was.
    pub identity: PeerIdentity,
}

impl Demultiplexer {
    /// None if there is no randomness.
    #[must_use]
    pub fn new(
        now: Instant,
        credentials: Arc<dyn Credentials>,
        random: Box<dyn SecureRandom + Send>,
    ) -> Option<Self> {
        Some(Self {
            credentials,
            cookies: Cookies::new(now, &*random)?,
            random,
            half_open: HashMap::new(),
            order: BTreeMap::new(),
            timers: BTreeSet::new(),
            prefixes: HashMap::new(),
            waiting: VecDeque::new(),
            last: 0,
        })
    }

    /// How many handshakes are under way.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Memory of all handshakes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.half_open.values().map(|half_open| size_of::<HalfOpen>() + half_open.server.bytes()).sum()
    }

    /// New handshakes are about these; those that are under way end with what they began with.
    pub fn replace_credentials(&mut self, credentials: Arc<dyn Credentials>) {
        self.credentials = credentials;
    }

    /// Whether a datagram of a peer that has an association may have something to do with another handshake. If
    /// [`Demultiplexer::receive`] then ignores it, it is for the association.
    #[must_use]
    pub fn concerns(&self, peer: PeerAddress, datagram: &[u8]) -> bool {
        let is_hello = datagram.first() == Some(&record::HANDSHAKE) && datagram.get(3..5) == Some(&[0, 0]);
        is_hello || (!self.half_open.is_empty() && self.half_open.contains_key(&peer))
    }

    /// Takes a datagram in. What is to be sent to its peer is added to `out`.
    pub fn receive(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        datagram: &[u8],
        out: &mut Datagrams,
    ) -> Verdict {
        if let Some((record, fragment, said)) = hello(datagram) {
            return match ClientHello::read(said) {
                Some(hello) => self.receive_hello(now, peer, (record, &fragment, &hello), out),
                None => Verdict::Ignored,
            };
        }
        let Some(half_open) = self.half_open.get_mut(&peer) else { return Verdict::Ignored };
        let mut turn = Turn { now, random: &*self.random, may_work: false, out };
        match half_open.server.receive(&mut turn, datagram) {
            Ok(Progress::None) => Verdict::Ignored,
            result => self.went_on(now, peer, result, out),
        }
    }

    /// Lets one handshake go on that waits for asymmetric cryptography; None if none does.
    pub fn work(&mut self, now: Instant, out: &mut Datagrams) -> Option<(PeerAddress, Verdict)> {
        loop {
            let number = self.waiting.pop_front()?;
            let Some(&peer) = self.order.get(&number) else { continue };
            let Some(half_open) = self.half_open.get_mut(&peer) else { continue };
            half_open.is_queued = false;
            let mut turn = Turn { now, random: &*self.random, may_work: true, out };
            let result = half_open.server.go_on(&mut turn);
            return Some((peer, self.went_on(now, peer, result, out)));
        }
    }

    /// Whether a handshake waits for that.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When [`Demultiplexer::handle_time`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// Says something again, or drops a handshake in which nothing has happened. Returns who it was; None if nothing was due.
    pub fn handle_time(&mut self, now: Instant, out: &mut Datagrams) -> Option<PeerAddress> {
        let &(_, number) = self.timers.first().filter(|(time, _)| *time <= now)?;
        let peer = *self.order.get(&number)?;
        let half_open = self.half_open.get_mut(&peer)?;
        if half_open.until <= now {
            self.drop_half_open(peer);
        } else {
            half_open.server.send_again(now, out);
            self.set_timer(peer);
        }
        Some(peer)
    }

    fn receive_hello(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        (record, fragment, hello): (u64, &Fragment<'_>, &ClientHello<'_>),
        out: &mut Datagrams,
    ) -> Verdict {
        if !self.cookies.is_good(now, peer, hello, &*self.random) {
            let cookie = self.cookies.bake(now, peer, hello, &*self.random);
            out.add(|bytes| put_verify_request(record, cookie.as_ref(), bytes));
            return Verdict::Taken;
        }
        if let Some(half_open) = self.half_open.get_mut(&peer).filter(|own| own.server.began_with(hello)) {
            half_open.server.repeat(now, out);
            return Verdict::Taken;
        }
        let mut whole = Vec::with_capacity(HEADER_BYTES + fragment.length);
        message::put_header(
            (fragment.kind, fragment.length, fragment.sequence),
            0,
            fragment.length,
            &mut whole,
        );
        whole.extend_from_slice(fragment.body);
        match Server::new(Arc::clone(&self.credentials), &whole, fragment.sequence, record) {
            Ok(server) => {
                self.insert(now, peer, server);
                let Some(half_open) = self.half_open.get_mut(&peer) else { return Verdict::Taken };
                let mut turn = Turn { now, random: &*self.random, may_work: false, out };
                let result = half_open.server.go_on(&mut turn);
                self.went_on(now, peer, result, out)
            }
            Err(alert) => {
                out.add(|bytes| record::put(record::ALERT, record, &alert.bytes(), bytes));
                Verdict::Refused(Refusal { alert, is_heard: false, identity: PeerIdentity::Nobody })
            }
        }
    }

    fn insert(&mut self, now: Instant, peer: PeerAddress, server: Server) {
        self.drop_half_open(peer);
        let prefix = peer.prefix();
        let in_prefix = self.prefixes.get(&prefix).copied().unwrap_or(0);
        let oldest = if in_prefix >= HALF_OPEN_PER_PREFIX_MAX {
            self.order.values().find(|other| other.prefix() == prefix).copied()
        } else if self.half_open.len() >= HALF_OPEN_MAX {
            self.order.values().next().copied()
        } else {
            None
        };
        if let Some(oldest) = oldest {
            self.drop_half_open(oldest);
        }
        self.last += 1;
        let (number, until) = (self.last, now + PATIENCE);
        self.order.insert(number, peer);
        self.timers.insert((until, number));
        *self.prefixes.entry(prefix).or_default() += 1;
        let server = Box::new(server);
        self.half_open
            .insert(peer, HalfOpen { number, server, until, timer: until, steps: 0, is_queued: false });
    }

    fn drop_half_open(&mut self, peer: PeerAddress) -> Option<Box<Server>> {
        let half_open = self.half_open.remove(&peer)?;
        self.order.remove(&half_open.number);
        self.timers.remove(&(half_open.timer, half_open.number));
        let prefix = peer.prefix();
        if let Some(count) = self.prefixes.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.prefixes.remove(&prefix);
            }
        }
        if self.half_open.is_empty() {
            // Who waited is gone too.
            self.waiting.clear();
        }
        Some(half_open.server)
    }

    fn set_timer(&mut self, peer: PeerAddress) {
        let Some(half_open) = self.half_open.get_mut(&peer) else { return };
        let again = half_open.server.again_at().unwrap_or(half_open.until);
        self.timers.remove(&(half_open.timer, half_open.number));
        half_open.timer = again.min(half_open.until);
        self.timers.insert((half_open.timer, half_open.number));
    }

    fn went_on(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        result: Result<Progress, Failure>,
        out: &mut Datagrams,
    ) -> Verdict {
        match result {
            Ok(Progress::Done) => {
                let association = self.drop_half_open(peer).and_then(|server| server.into_association());
                association.map_or(Verdict::Taken, |association| Verdict::Established(Box::new(association)))
            }
            Ok(_) => {
                if let Some(half_open) = self.half_open.get_mut(&peer) {
                    if std::mem::replace(&mut half_open.steps, half_open.server.steps())
                        != half_open.server.steps()
                    {
                        half_open.until = now + PATIENCE;
                    }
                    if half_open.server.waits() && !std::mem::replace(&mut half_open.is_queued, true) {
                        self.waiting.push_back(half_open.number);
                    }
                }
                self.set_timer(peer);
                Verdict::Taken
            }
            Err(failure) => {
                let Some(mut server) = self.drop_half_open(peer) else { return Verdict::Taken };
                let (alert, is_heard) = match failure {
                    Failure::Told(alert) => (alert, false),
                    Failure::Heard(alert) => (alert, true),
                };
                if !is_heard {
                    server.alert(alert, out);
                }
                Verdict::Refused(Refusal { alert, is_heard, identity: server.identity().clone() })
            }
        }
    }
}

/// A hello that a datagram begins with: the number of its record, and its message. One that comes in pieces cannot be
/// answered without keeping something, and is left out.
fn hello(mut datagram: &[u8]) -> Option<(u64, Fragment<'_>, &[u8])> {
    let record = record::next(&mut datagram)?;
    if (record.epoch(), record.kind) != (0, record::HANDSHAKE) {
        return None;
    }
    let mut body = record.body;
    let fragment = message::next(&mut body)?;
    let is_hello = fragment.kind == message::CLIENT_HELLO && fragment.is_whole();
    is_hello.then_some((record.sequence(), fragment, fragment.body))
}

/// Asks a peer to say hello again, with this cookie. The record has the number of the one with the hello, so that nothing
/// has to be kept.
fn put_verify_request(record: u64, cookie: &[u8], out: &mut Vec<u8>) {
    let mut body = Vec::new();
    hello::put_verify_request(cookie, &mut body);
    let length = body.len();
    let number = record::number(0, record);
    record::put_header(record::HANDSHAKE, number, HEADER_BYTES + length, out);
    message::put_header((message::HELLO_VERIFY_REQUEST, length, 0), 0, length, out);
    out.extend(body);
}
