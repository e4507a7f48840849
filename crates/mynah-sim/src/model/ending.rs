//! Beginnings and ends: connections get sessions and lose them, wills wait, sessions run out.

use mynah_model::{Instant, Reason};
use mynah_mqtt::wire::ReasonCode;
use mynah_stack::Close;

use super::publication::{Farewell, Said, after};
use super::session::{Session, Waiting};
use super::shares::Who;
use super::{Model, Publisher, Violation, violation};
use crate::shape::SHARES;

/// A moment in which the broker may or may not have done yet what is due: its timers are that coarse.
const COARSENESS: std::time::Duration = std::time::Duration::from_millis(3);

impl Model {
    /// A connection gets its session. One that used it before was ended.
    pub(super) fn open(&mut self, engine: usize, link: usize, present: bool) -> Result<(), Violation> {
        let (client, clean) = (self.peers[link].client, self.peers[link].opening.clean);
        if let Some(session) = &self.sessions[client] {
            if session.engine != engine {
                return violation(format!("client {client} has a session on two engines: double take-over"));
            }
            if let Some(old) = session.link {
                return violation(format!("connection {link} took over from {old}, which was not ended"));
            }
        }
        if clean {
            self.discard(client)?;
        }
        let expected = self.sessions[client].is_some();
        if expected != present {
            return violation(format!("connection {link}: session present is {present}, not {expected}"));
        }
        self.incarnations += u64::from(!expected);
        let session = self.sessions[client].get_or_insert_with(|| Session::new(self.incarnations, engine));
        let peer = &mut self.peers[link];
        (session.link, session.lifetime) = (Some(link), peer.opening.lifetime);
        (session.detached_at, session.will) = (None, None);
        let smallest = [session.packet_bytes_max, peer.opening.packet_bytes_max];
        session.packet_bytes_max = smallest.into_iter().flatten().min();
        (peer.incarnation, peer.opened_at, peer.present) = (Some(session.incarnation), self.now, present);
        self.shares.change(self.now);
        Ok(())
    }

    /// The broker tells a connection that its session was taken away.
    pub(super) fn ended(&mut self, engine: usize, link: usize, reason: Reason) -> Result<(), Violation> {
        if reason != Reason::TakenOver {
            return violation(format!("connection {link} is ended: {reason}"));
        }
        self.peers[link].told_ended = true;
        self.tally.take_overs += 1;
        self.detach(engine, link, Farewell { publish_will: true, lifetime: None })
    }

    pub(super) fn closed(&mut self, engine: usize, link: usize, close: Close) -> Result<(), Violation> {
        let peer = &mut self.peers[link];
        if peer.told_ended || peer.is_over {
            return Ok(());
        }
        if peer.incarnation.is_none() && close.reason == Reason::OpeningTimeout {
            peer.is_over = true;
            return Ok(());
        }
        match peer.said.pop_front() {
            Some(Said::Disconnect(farewell)) => self.detach(engine, link, farewell),
            said => violation(format!("connection {link} is closed: {}; it said {said:?}", close.reason)),
        }
    }

    /// The broker finds that the peer is gone.
    pub(crate) fn peer_gone(&mut self, engine: usize, link: usize) -> Result<(), Violation> {
        self.now += 1;
        let peer = &mut self.peers[link];
        if peer.is_over || peer.incarnation.is_none() {
            peer.is_over = true;
            return Ok(());
        }
        self.detach(engine, link, Farewell { publish_will: true, lifetime: None })
    }

    /// A connection ends: its session stays or goes, its will is published or waits.
    fn detach(&mut self, engine: usize, link: usize, farewell: Farewell) -> Result<(), Violation> {
        let (clock, peer) = (self.clock, &mut self.peers[link]);
        peer.is_over = true;
        let (client, delay) = (peer.client, peer.opening.will_delay);
        let will = peer.opening.will.clone().filter(|_| farewell.publish_will);
        let Some(session) = &mut self.sessions[client] else { return Ok(()) };
        session.link = None;
        session.detached_at = Some(clock);
        session.lifetime = farewell.lifetime.or(session.lifetime);
        session.will =
            will.map(|publication| Waiting { publication, publisher: link, due: after(clock, delay) });
        self.shares.change(self.now);
        if session.lifetime == Some(0) {
            return self.discard(client);
        }
        let who = (client, session.incarnation);
        self.withdraw(who, false);
        if delay == 0 {
            self.publish_will(engine, who);
        }
        Ok(())
    }

    /// What a group's member has not settled goes to others.
    fn withdraw(&mut self, who: Who, has_ended: bool) {
        let sessions = &self.sessions;
        let has_other = |share: &'static str| {
            let others = sessions.iter().enumerate().filter(|(client, _)| *client != who.0);
            let mut others = others.filter_map(|(_, session)| session.as_ref());
            others.any(|session| session.shares(share) && (has_ended || session.link.is_some()))
        };
        let withdrawn = self.shares.withdraw(who, has_ended, has_other);
        if let Some(session) = &mut self.sessions[who.0] {
            session.withdraw(&withdrawn);
        }
    }

    /// Groups that have no members are owed nothing any more.
    pub(super) fn dissolve(&mut self) {
        for share in SHARES {
            if !self.sessions.iter().flatten().any(|session| session.shares(share)) {
                self.shares.dissolve(share);
            }
        }
    }

    /// A session ends, and its will need not wait any longer.
    fn discard(&mut self, client: usize) -> Result<(), Violation> {
        let Some(mut session) = self.sessions[client].take() else { return Ok(()) };
        self.tally.ended += session.held(self.clock);
        self.shares.change(self.now);
        let who = (client, session.incarnation);
        self.withdraw(who, true);
        self.dissolve();
        session.check_gaps(self.clock)?;
        if let Some(will) = session.will.take() {
            self.tally.wills += 1;
            self.distribute(session.engine, Publisher { link: will.publisher, who }, &will.publication);
        }
        Ok(())
    }

    fn publish_will(&mut self, engine: usize, who: Who) {
        let will = self.sessions[who.0].as_mut().and_then(|session| session.will.take());
        if let Some(will) = will {
            self.tally.wills += 1;
            self.distribute(engine, Publisher { link: will.publisher, who }, &will.publication);
        }
    }

    /// An engine looks at the time: everything that is due on it happens, in order.
    pub(crate) fn time_comes(&mut self, engine: usize) -> Result<(), Violation> {
        self.now += 1;
        for client in self.due(engine) {
            let Some(session) = &self.sessions[client] else { continue };
            let who = (client, session.incarnation);
            if session.due()[0].is_some_and(|end| end <= self.clock) {
                self.discard(client)?;
            } else {
                self.publish_will(engine, who);
            }
        }
        Ok(())
    }

    /// The clients of whose sessions the end or the will is due on an engine, the first first.
    fn due(&self, engine: usize) -> Vec<usize> {
        let due = |session: &Session| session.due().into_iter().flatten().min();
        let all = self.sessions.iter().enumerate().filter_map(|(client, session)| {
            let session = session.as_ref().filter(|session| session.engine == engine)?;
            Some((due(session).filter(|due| *due <= self.clock)?, client))
        });
        let mut all: Vec<(Instant, usize)> = all.collect();
        all.sort_unstable();
        all.into_iter().map(|(_, client)| client).collect()
    }

    /// An engine sees no reason to look at the time.
    pub(crate) fn time_passes(&self, engine: usize) -> Result<(), Violation> {
        match self.due(engine).first() {
            Some(client) => violation(format!("engine {engine} sleeps while client {client} is due")),
            None => Ok(()),
        }
    }

    /// Whether something is due so closely before now that the broker may not have noticed yet.
    pub(crate) fn is_undecided(&self) -> bool {
        let due = self.sessions.iter().flatten().flat_map(Session::due).flatten();
        due.into_iter().any(|due| due <= self.clock && self.clock < due + COARSENESS)
    }

    /// The broker takes leave of a client.
    pub(super) fn dismissed(&self, link: usize, code: ReasonCode) -> Result<(), Violation> {
        if code == ReasonCode::SessionTakenOver && self.was_taken_over(link) {
            return Ok(());
        }
        violation(format!("connection {link} is dismissed with {code:?}"))
    }
}
