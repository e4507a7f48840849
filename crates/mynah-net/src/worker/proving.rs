//! Proving who a peer is: what it said is looked at elsewhere, and the verdict comes back.

use std::sync::Arc;

use mynah_engine::{Attempt, ConnectionId};
use mynah_model::Instant;

use super::Worker;
use crate::caller::Caller;
use crate::mailbox::Verification;
use crate::verifier::Verdict;

impl Worker {
    pub(super) fn verify(&mut self, now: Instant, connection: ConnectionId, listener: u16, attempt: Attempt) {
        let (Some(socket), Some(verifier)) = (self.sockets.get(connection), &self.verifier) else { return };
        let dialogue = socket.dialogue.take();
        let peer = socket.transport.peer();
        let is_behind_proxy =
            self.entrances.get(usize::from(listener)).is_some_and(|e| !e.proxies.is_empty());
        let caller = Caller {
            listener,
            tenant: self.engine.claimed_tenant(connection),
            client_id: self
                .engine
                .claimed_client_id(connection)
                .and_then(|id| str::from_utf8(id).ok())
                .map(Box::from),
            address: peer.ip(),
            is_local: !is_behind_proxy && peer.is_local(),
            proof: self.engine.proof(connection).map(Arc::clone),
            channel: socket.transport.channel_binding(),
        };
        let reply_to = Arc::clone(self.mailbox());
        let verification = Verification { connection, caller, attempt, dialogue, reply_to };
        match verifier.recall(now, &verification) {
            Some(verdict) => self.verified(now, connection, verdict),
            None => verifier.send(verification),
        }
    }

    pub(super) fn verified(&mut self, now: Instant, id: ConnectionId, verdict: Verdict) {
        match verdict {
            Verdict::Challenge(challenge, dialogue) => {
                // Without its socket the connection has ended, and the exchange with it.
                let Some(socket) = self.sockets.get(id) else { return };
                socket.dialogue = Some(dialogue);
                self.engine.handle_challenge(now, id, &challenge);
            }
            Verdict::Proved(authenticated) => self.engine.handle_authenticated(now, id, Ok(authenticated)),
            Verdict::Refused(reason) => self.engine.handle_authenticated(now, id, Err(reason)),
            Verdict::NotHeard => self.engine.handle_unverified(now, id),
        }
        self.note_readable(id);
    }
}
