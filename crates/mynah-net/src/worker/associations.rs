//! Associations: connections whose bytes come and go by a socket for datagrams that they share.

use std::net::SocketAddr;
use std::sync::Arc;

use mynah_core::DropReason;
use mynah_dtls::{Association, PeerIdentity, Refusal, SecureDatagram, Verdict};
use mynah_engine::{ConnectionId, Proof};
use mynah_model::Instant;

use super::Worker;
use crate::address::Peer;
use crate::caller::Caller;
use crate::datagrams::{Arrivals, LENGTH_BYTES, Path};
use crate::tls;
use crate::transport::Transport;

/// Calls that read one socket in one turn.
const BATCHES_PER_TURN: usize = 4;
/// Steps of handshakes that take time, at one socket in one turn: each is a tenth of a millisecond, or less.
const HANDSHAKES_PER_TURN: usize = 4;

impl Worker {
    /// Reads what has come at the sockets for datagrams.
    pub(super) fn read_datagrams(&mut self, now: Instant) {
        for place in 0..self.ports.len() {
            for _ in 0..BATCHES_PER_TURN {
                let Some(arrivals) = self.ports.receive(place) else { break };
                self.take_in_datagrams(now, place, &arrivals);
                self.ports.give_back(arrivals);
            }
        }
        for _ in 0..BATCHES_PER_TURN {
            let Some((place, arrivals)) = self.ports.receive_for_groups() else { break };
            self.take_in_datagrams(now, place, &arrivals);
            self.ports.give_back(arrivals);
        }
    }

    fn take_in_datagrams(&mut self, now: Instant, place: usize, arrivals: &Arrivals) {
        let mut dropped = arrivals.oversized;
        for number in 0..arrivals.len() {
            let (path, bytes) = arrivals.get(number);
            if self.ports.is_secure(place) {
                dropped += u64::from(!self.take_in_secure(now, place, path, &bytes[LENGTH_BYTES..]));
                continue;
            }
            match self.association(now, place, path).filter(|id| self.engine.wants_bytes(*id)) {
                Some(id) => self.engine.handle_bytes(now, id, bytes),
                None => dropped += 1,
            }
        }
        self.count_dropped(dropped);
    }

    /// The connection of a peer, made if it has none.
    fn association(&mut self, now: Instant, place: usize, path: Path) -> Option<ConnectionId> {
        if let Some(id) = self.ports.note_asked(place, path) {
            return Some(id);
        }
        if self.stop_at.is_some() {
            return None;
        }
        let id = self.engine.handle_accepted(now, self.ports.listener(place)).ok()?;
        self.ports.associate(place, path, id, None);
        self.install(now, id, Transport::Datagrams(place, path.peer));
        Some(id)
    }

    /// Takes in a datagram where peers come with DTLS. Returns whether it meant anything.
    fn take_in_secure(&mut self, now: Instant, place: usize, path: Path, datagram: &[u8]) -> bool {
        match self.ports.shake_hands(now, place, path, datagram) {
            Verdict::Ignored => {}
            verdict => {
                self.judge(now, place, path, verdict);
                return true;
            }
        }
        let Some(opened) = self.ports.open(place, path, datagram).filter(|opened| opened.is_genuine) else {
            return false;
        };
        let Some(id) = self.ports.note_asked(place, path) else { return false };
        let plain = self.ports.plain(place);
        let is_taken = plain.is_empty() || self.engine.wants_bytes(id);
        if is_taken && !plain.is_empty() {
            self.engine.handle_bytes(now, id, plain);
        }
        if opened.ended.is_some() {
            self.peer_closed(now, id);
        }
        is_taken
    }

    /// Lets handshakes go on that take time, a few of them.
    pub(super) fn work_on_handshakes(&mut self, now: Instant) {
        for place in 0..self.ports.len() {
            for _ in 0..HANDSHAKES_PER_TURN {
                let Some((path, verdict)) = self.ports.work(now, place) else { break };
                self.judge(now, place, path, verdict);
            }
        }
        self.ports.handle_time(now);
    }

    fn judge(&mut self, now: Instant, place: usize, path: Path, verdict: Verdict) {
        match verdict {
            Verdict::Ignored | Verdict::Taken => {}
            Verdict::Established(association) => self.establish(now, place, path, association),
            Verdict::Refused(refusal) => self.refuse(now, place, path.peer, &refusal),
        }
    }

    /// A handshake is done: its association takes the place of one that the peer had.
    fn establish(&mut self, now: Instant, place: usize, path: Path, association: Box<Association>) {
        if let Some(former) = self.ports.find(place, path.peer) {
            self.peer_closed(now, former);
        }
        if self.stop_at.is_some() {
            return;
        }
        let proof = match association.identity() {
            PeerIdentity::Certificate(der) => Some(Proof::Certificate(tls::describe(der))),
            PeerIdentity::PreSharedKey(user) => {
                str::from_utf8(user).ok().map(|user| Proof::PreSharedKey(user.into()))
            }
            PeerIdentity::Nobody => None,
        };
        match self.engine.handle_accepted(now, self.ports.listener(place)) {
            Ok(id) => {
                self.ports.associate(place, path, id, Some(association));
                if let Some(proof) = proof {
                    self.engine.handle_proof(id, Arc::new(proof));
                }
                self.install(now, id, Transport::Datagrams(place, path.peer));
            }
            Err(reason) => tracing::debug!(%reason, peer = %path.peer, "a peer was refused"),
        }
    }

    fn refuse(&self, now: Instant, place: usize, peer: SocketAddr, refusal: &Refusal) {
        let Refusal { alert, is_heard, identity } = refusal;
        tracing::debug!(%alert, by_peer = is_heard, %peer, "a handshake has failed");
        let (PeerIdentity::PreSharedKey(user), Some(verifier), false) = (identity, &self.verifier, is_heard)
        else {
            return;
        };
        let peer = Peer::Inet(peer);
        let caller = Caller {
            listener: self.ports.listener(place),
            address: peer.ip(),
            is_local: peer.is_local(),
            ..Caller::default()
        };
        verifier.verify().unproved(now, &caller, &String::from_utf8_lossy(user));
    }

    /// Takes what an association has to say; it leaves at the end of the turn.
    pub(super) fn take_datagrams(&mut self, id: ConnectionId, place: usize, peer: SocketAddr) {
        let Some(outbound) = self.engine.outbound(id) else { return };
        let (count, dropped) = self.ports.take(place, peer, outbound);
        self.engine.handle_written(id, count);
        self.count_dropped(dropped);
    }

    /// Sends what was taken.
    pub(super) fn send_datagrams(&mut self) {
        let refused = self.ports.send();
        self.count_dropped(refused);
    }

    fn count_dropped(&self, count: u64) {
        if count > 0 {
            self.engine.counters().dropped(DropReason::Datagram).add(count);
        }
    }
}
