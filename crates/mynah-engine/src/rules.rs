//! Rules at work: what each connection may do, and what a change of the rules ends.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use mynah_core::rules::{
    Action, Address, Decisions, Grant, Mandate, Names, Object, Peer, Resolver, Rights, Rules, tells_of_peers,
};
use mynah_core::{Session, SessionKey, SessionRef};
use mynah_model::{Filter, Groups, Identity, Instant, MessageView, Reason, Topic};

use crate::audit::AuditKind;
use crate::connections::{Admission, Connection, ConnectionId, Connections};
use crate::engine::Engine;
use crate::lane::Lane;
use crate::named::stands_for_others;
use crate::proof::Proof;
use crate::restraint::Restraint;
use crate::shared::Shared;

/// A connection does not remember a longer topic.
const PERMITTED_BYTES_MAX: usize = 256;
/// Sessions and subscriptions that are looked at in one turn after the rules have changed.
const REVIEW_BUDGET: usize = 512;

/// What a worker knows of the rules and of what they say.
pub(crate) struct Judge {
    resolver: Resolver,
    decisions: Decisions,
    /// Who is at the sessions that have no connection.
    standings: BTreeMap<SessionRef, Standing>,
    /// There are rules.
    has_rules: bool,
    /// Somebody with a mandate has come. It may still be here, or away.
    has_mandates: bool,
    /// Deliveries to some session are looked at.
    looks_at_deliveries: bool,
    /// The slot of the session where the review of the rules of now goes on.
    review: Option<u32>,
}

/// What is known of whose a session is, while it has no connection.
struct Standing {
    identity: Identity,
    client_id: Box<[u8]>,
    groups: Groups,
    proof: Option<Arc<Proof>>,
    address: Option<Address>,
    listener: Option<u16>,
    mandate: Option<Arc<Mandate>>,
    rights: Option<Rights>,
}

impl Standing {
    fn peer<'p>(&'p self, shared: &'p Shared) -> Peer<'p> {
        Peer {
            groups: &self.groups,
            address: self.address,
            ..proved(&self.identity, self.proof.as_deref(), self.listener, shared)
        }
    }

    /// Whether the peer was here since the broker started and had rules: otherwise no more than its name is known.
    const fn is_known(&self) -> bool {
        self.listener.is_some()
    }
}

fn proved<'p>(
    identity: &'p Identity,
    proof: Option<&'p Proof>,
    listener: Option<u16>,
    shared: &'p Shared,
) -> Peer<'p> {
    let door = listener.and_then(|listener| shared.listeners.get(usize::from(listener)));
    let certificate = proof.and_then(Proof::certificate);
    Peer {
        sha256: certificate.map(|certificate| &certificate.sha256),
        common_name: certificate.and_then(|certificate| certificate.common_name.as_deref()),
        ..Peer::new(identity, door.map_or("", |door| door.protocol.name()))
    }
}

/// Who is at a connection, as rules see it; none before that is known.
pub(crate) fn peer_of<'p>(shared: &'p Shared, connection: &'p Connection) -> Option<Peer<'p>> {
    Some(Peer {
        groups: &connection.groups,
        address: connection.address,
        ..proved(
            connection.identity.as_ref()?,
            connection.proof.as_deref(),
            Some(connection.listener),
            shared,
        )
    })
}

/// Whether a session has a subscription to what tells of other peers.
fn sees_peers(session: &Session) -> bool {
    session.subscriptions().any(|(_, filter, _)| tells_of_peers(filter.as_bytes()))
}

/// Whether a peer is on this machine; none is the address of one that came without the internet.
pub(crate) fn is_local(address: Option<Address>) -> bool {
    address.is_none_or(Address::is_loopback)
}

impl Judge {
    pub(crate) fn new(rules: &Arc<Rules>, capacity: usize) -> Self {
        Self {
            resolver: Resolver::new(Arc::clone(rules)),
            decisions: Decisions::new(capacity),
            standings: BTreeMap::new(),
            has_rules: !rules.is_empty(),
            has_mandates: false,
            looks_at_deliveries: false,
            review: None,
        }
    }

    /// Whether nothing is to be decided about anybody.
    #[inline]
    pub(crate) const fn is_idle(&self) -> bool {
        !self.has_rules && !self.has_mandates
    }

    /// Somebody comes with a mandate, or without one.
    pub(crate) const fn note_mandate(&mut self, mandate: Option<&Mandate>) {
        self.has_mandates |= mandate.is_some();
    }

    /// Deliveries to some session are to be looked at.
    pub(crate) const fn note_looking(&mut self) {
        self.looks_at_deliveries = true;
    }

    /// Whether deliveries to some session are looked at.
    #[inline]
    pub(crate) const fn is_looking(&self) -> bool {
        self.looks_at_deliveries && !self.is_idle()
    }

    pub(crate) fn forget(&mut self, session_ref: SessionRef) {
        self.standings.remove(&session_ref);
    }

    /// Asks the rules of now about a connection, if it was not asked yet.
    #[inline]
    fn renew<'c>(&mut self, shared: &Shared, connection: &'c mut Connection) -> Option<&'c Rights> {
        let is_current = connection.rights.as_ref().is_some_and(|rights| self.resolver.is_current(rights));
        if !is_current {
            self.resolve(shared, connection)?;
        }
        connection.rights.as_ref()
    }

    #[cold]
    fn resolve(&mut self, shared: &Shared, connection: &mut Connection) -> Option<()> {
        let peer = peer_of(shared, connection)?;
        let rights = self.resolver.resolve_within(&peer, connection.mandate.as_ref());
        connection.permitted.clear();
        connection.restraint = Restraint::new(rights.quota(), connection.restraint.as_deref()).map(Box::new);
        connection.rights = Some(rights);
        Some(())
    }

    /// The rules of now.
    pub(crate) const fn rules(&self) -> &Arc<Rules> {
        self.resolver.rules()
    }

    /// What the rules of now say of a session that has no connection.
    fn rights_of_standing(&mut self, shared: &Shared, session_ref: SessionRef) -> Option<&Rights> {
        let standing = self.standings.get_mut(&session_ref)?;
        let is_current = standing.rights.as_ref().is_some_and(|rights| self.resolver.is_current(rights));
        if !is_current {
            let mandate = standing.mandate.as_ref();
            standing.rights = Some(self.resolver.resolve_within(&standing.peer(shared), mandate));
        }
        standing.rights.as_ref()
    }
}

/// A session that a message would go to.
pub(crate) struct Receiver<'s> {
    pub(crate) reference: SessionRef,
    pub(crate) session: &'s Session,
    pub(crate) key: Option<&'s SessionKey>,
}

/// Whether a session whose subscriptions reach too far may see a message on this topic, which has this number. Of a
/// session whose peer is away and not known it is found out when it comes back.
pub(crate) fn may_see(
    judge: &mut Judge,
    connections: &mut Connections,
    shared: &Shared,
    receiver: &Receiver<'_>,
    topic: Topic<'_>,
    number: Option<NonZeroU64>,
) -> bool {
    let Receiver { reference, session, key } = *receiver;
    if judge.is_idle() {
        return true;
    }
    let rights = match session.connection {
        Some(slot) => connections.at(slot).and_then(|connection| judge.renew(shared, connection).cloned()),
        None if judge.standings.get(&reference).is_none_or(|standing| !standing.is_known()) => return true,
        None => judge.rights_of_standing(shared, reference).cloned(),
    };
    let Some(rights) = rights else { return false };
    if rights.is_free(Action::Subscribe) {
        return true;
    }
    judge.decisions.decide(&rights, Action::Subscribe, number, || {
        let client_id = key.map_or(&[][..], |key| &key.client_id);
        rights.permits(Action::Subscribe, Names::new(&session.identity, client_id), topic)
    })
}

impl Engine {
    /// Hears of other rules. They hold at once for what a peer does, and within the next turns for what it has: a
    /// subscription that is not permitted any more ends, and its connection with it, so that the peer knows; so does a
    /// connection that may not be any more.
    pub fn handle_rules(&mut self, rules: Arc<Rules>) {
        let judge = &mut self.lane.judge;
        judge.has_rules = !rules.is_empty();
        judge.resolver.replace(rules);
        judge.review = Some(0);
    }

    /// Asks the rules about a peer; none if there are none, and its mandate, if it has one.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn ask<T>(
        &mut self,
        id: ConnectionId,
        question: impl FnOnce(&Rights, Names<'_>) -> T,
    ) -> Result<Option<T>, Reason> {
        let Lane { judge, connections, sessions, .. } = &mut self.lane;
        let connection = connections.get_mut(id).ok_or(Reason::Disconnected)?;
        if !judge.has_rules && connection.mandate.is_none() {
            return Ok(None);
        }
        judge.renew(&self.shared, connection).ok_or(Reason::Disconnected)?;
        let key = connection.session().and_then(|session| sessions.key(session));
        let client_id = key.map_or(&[][..], |key| &key.client_id);
        let rights = connection.rights.as_ref().zip(connection.identity.as_ref());
        let (rights, identity) = rights.ok_or(Reason::Disconnected)?;
        Ok(Some(question(rights, Names::new(identity, client_id))))
    }

    /// Whether the rules permit a publication, which counts towards the limits that they set.
    #[inline(never)]
    pub(crate) fn may_publish_by_rules(
        &mut self,
        now: Instant,
        id: ConnectionId,
        view: MessageView<'_>,
        topic: Topic<'_>,
    ) -> Result<(), Reason> {
        let Lane { judge, connections, sessions, .. } = &mut self.lane;
        let connection = connections.get_mut(id).ok_or(Reason::Disconnected)?;
        judge.renew(&self.shared, connection).ok_or(Reason::Disconnected)?;
        if let Some(restraint) = &mut connection.restraint {
            let bytes = view.header.payload_range().len();
            match connection.identity.as_ref().filter(|_| connection.shares_rates) {
                Some(identity) => restraint.charge_one(now, bytes, identity, &self.shared.pace)?,
                None => connection.paused = restraint.charge(now, bytes)?,
            }
        }
        let retains = view.header.retain;
        let also = if retains { Action::Retain } else { Action::Publish };
        let Some(rights) = &connection.rights else { return Err(Reason::Disconnected) };
        // A request needs its own right besides, at the place that is asked.
        let asked = topic.as_bytes().strip_prefix(b"$request/").and_then(|asked| Topic::new(asked).ok());
        if rights.are_free(Action::Publish, also)
            && asked.is_none_or(|_| rights.are_free(Action::Request, Action::Request))
        {
            return Ok(());
        }
        // Most peers stay with their topic.
        if !retains && connection.permitted == topic.as_bytes() {
            return Ok(());
        }
        let number = Some(self.routes.number(view.header.tenant, topic));
        let Some(identity) = &connection.identity else { return Err(Reason::Disconnected) };
        let session = connection.session();
        let mut permits = |action| {
            judge.decisions.decide(rights, action, number, || {
                let key = session.and_then(|session| sessions.key(session));
                let client_id = key.map_or(&[][..], |key| &key.client_id);
                let topic = asked.filter(|_| action == Action::Request).unwrap_or(topic);
                rights.permits(action, Names::new(identity, client_id), topic)
            })
        };
        if asked.is_some() && !permits(Action::Request) {
            return Err(Reason::NotAuthorized);
        }
        if !permits(Action::Publish) || (retains && !permits(Action::Retain)) {
            return Err(Reason::NotAuthorized);
        }
        connection.permitted.clear();
        if topic.as_bytes().len() <= PERMITTED_BYTES_MAX {
            connection.permitted.extend_from_slice(topic.as_bytes());
        }
        Ok(())
    }

    /// Whether a will may be published, as the rules are now.
    pub(crate) fn may_publish_will(&mut self, session_ref: SessionRef, view: MessageView<'_>) -> bool {
        if view.topic().is_broker_owned() {
            return false;
        }
        if self.lane.judge.is_idle() {
            return true;
        }
        self.ensure_standing(session_ref);
        let judge = &mut self.lane.judge;
        let Some(rights) = judge.rights_of_standing(&self.shared, session_ref).cloned() else { return false };
        let Some(standing) = judge.standings.get(&session_ref) else { return false };
        let names = Names::new(&standing.identity, &standing.client_id);
        rights.permits(Action::Publish, names, view.topic())
            && (!view.header.retain || rights.permits(Action::Retain, names, view.topic()))
    }

    /// It is known who a peer is: asks whether it may connect, and makes it one of the connections of its identity.
    pub(crate) fn let_in(&mut self, id: ConnectionId, admission: &Admission) -> Result<(), Reason> {
        let Admission { open, identity, groups, mandate, .. } = admission;
        let Lane { judge, connections, sessions, .. } = &mut self.lane;
        let connection = connections.get_mut(id).ok_or(Reason::Disconnected)?;
        connection.identity = Some(identity.clone());
        connection.shares_rates = open.shares_rates;
        (connection.groups, connection.rights) = (groups.clone(), None);
        connection.mandate.clone_from(mandate);
        judge.note_mandate(mandate.as_deref());
        if judge.is_idle() {
            return Ok(());
        }
        let rights = judge.renew(&self.shared, connection).ok_or(Reason::Disconnected)?;
        if !rights.permits_at_all(Action::Connect) {
            return Err(Reason::NotAuthorized);
        }
        if let Some(max) = rights.quota().connections {
            // The connection that has the session now is about to end.
            let existing = open.session.as_ref();
            let existing = existing.and_then(|open| sessions.find(identity.tenant(), &open.client_id));
            let existing = existing.and_then(|session| sessions.get(session));
            let replaces = existing.is_some_and(|s| s.connection.is_some() && s.identity == *identity);
            if !self.shared.crowd.enter(identity, max.get().saturating_add(replaces.into())) {
                return Err(Reason::QuotaExceeded);
            }
            connection.counted = true;
        }
        Ok(())
    }

    /// A connection is no longer one of its identity.
    pub(crate) fn leave_crowd(&mut self, id: ConnectionId) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        if core::mem::take(&mut connection.counted)
            && let Some(identity) = &connection.identity
        {
            self.shared.crowd.leave(identity);
        }
    }

    /// Remembers who has left a session behind.
    pub(crate) fn keep_standing(&mut self, id: ConnectionId, session_ref: SessionRef) {
        let Lane { judge, connections, sessions, .. } = &mut self.lane;
        let Some(connection) = connections.get_mut(id).filter(|_| !judge.is_idle()) else { return };
        let Some(identity) = &connection.identity else { return };
        let standing = Standing {
            identity: identity.clone(),
            client_id: sessions.key(session_ref).map_or_else(Box::default, |key| key.client_id.clone()),
            groups: connection.groups.clone(),
            proof: connection.proof.clone(),
            address: connection.address,
            listener: Some(connection.listener),
            mandate: connection.mandate.clone(),
            rights: connection.rights.take(),
        };
        judge.standings.insert(session_ref, standing);
    }

    /// Remembers as much as the session says, if nothing is known of its peer: it was restored, or left behind before
    /// there were rules.
    pub(crate) fn ensure_standing(&mut self, session_ref: SessionRef) {
        let Lane { judge, sessions, .. } = &mut self.lane;
        if judge.is_idle() || judge.standings.contains_key(&session_ref) {
            return;
        }
        let Some(session) = sessions.get(session_ref).filter(|session| session.connection.is_none()) else {
            return;
        };
        let standing = Standing {
            identity: session.identity.clone(),
            client_id: sessions.key(session_ref).map_or_else(Box::default, |key| key.client_id.clone()),
            groups: Groups::NONE,
            proof: None,
            address: None,
            listener: None,
            mandate: None,
            rights: None,
        };
        judge.standings.insert(session_ref, standing);
    }

    /// A session has a connection again: what its subscriptions may see is now for who came.
    pub(crate) fn resume_rights(&mut self, now: Instant, session_ref: SessionRef) {
        self.lane.judge.forget(session_ref);
        let is_idle = self.lane.judge.is_idle();
        if let Some(session) = self.lane.sessions.get_mut(session_ref) {
            session.checks_deliveries = !is_idle && !session.queue.is_drained();
        }
        if !is_idle || self.lane.sessions.get(session_ref).is_some_and(sees_peers) {
            self.review_subscriptions(now, session_ref);
        }
    }

    /// Looks at some of the sessions after the rules have changed. Returns whether there are more.
    pub(crate) fn review_some(&mut self, now: Instant) -> bool {
        let Some(mut slot) = self.lane.judge.review else { return false };
        let mut budget = REVIEW_BUDGET;
        while budget > 0 {
            let Some(session_ref) = self.lane.sessions.next_from(slot) else {
                self.lane.judge.review = None;
                return false;
            };
            slot = session_ref.slot + 1;
            let subscriptions = self.lane.sessions.get(session_ref).map_or(0, Session::subscriptions_len);
            budget = budget.saturating_sub(1 + subscriptions);
            self.review_session(now, session_ref);
        }
        self.lane.judge.review = Some(slot);
        true
    }

    /// Ends what a session has and may not have any more.
    pub(crate) fn review_session(&mut self, now: Instant, session_ref: SessionRef) {
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        session.checks_deliveries = !self.lane.judge.is_idle();
        let Some(slot) = session.connection else {
            self.ensure_standing(session_ref);
            let standing = self.lane.judge.standings.get(&session_ref);
            if standing.is_some_and(Standing::is_known) {
                self.review_subscriptions(now, session_ref);
            }
            return;
        };
        let Lane { judge, connections, .. } = &mut self.lane;
        let Some(connection) = connections.at(slot) else { return };
        let id = ConnectionId { slot, generation: connection.generation };
        let Some(rights) = judge.renew(&self.shared, connection) else { return };
        if !rights.permits_at_all(Action::Connect) {
            self.audit(now, AuditKind::Denied, |engine| {
                engine.denied(id, engine.actor(id), Action::Connect, Object::Nothing)
            });
            return self.expel(now, id, Reason::NotAuthorized);
        }
        let is_limited = rights.quota().connections.is_some();
        if is_limited
            && !connection.counted
            && let Some(identity) = &connection.identity
        {
            // Who is here stays; the limit is for those who come.
            connection.counted = self.shared.crowd.enter(identity, u32::MAX);
        }
        if self.review_subscriptions(now, session_ref) {
            return self.expel(now, id, Reason::NotAuthorized);
        }
        self.review_taps(now, id);
    }

    /// The rights of whoever a session is for, as far as they are known.
    pub(crate) fn known_rights(&self, session_ref: SessionRef) -> Option<Rights> {
        let Lane { judge, connections, sessions, .. } = &self.lane;
        match sessions.get(session_ref)?.connection {
            Some(slot) => connections.peek(slot)?.rights.clone(),
            None => judge.standings.get(&session_ref).filter(|s| s.is_known())?.rights.clone(),
        }
    }

    /// Tells the groups of a session how much its peer may see now.
    fn review_shares(&mut self, session_ref: SessionRef) {
        let Some(session) = self.lane.sessions.get(session_ref).filter(|session| session.has_shared) else {
            return;
        };
        let (is_online, rights) = (session.connection.is_some(), self.known_rights(session_ref));
        let names =
            Names::new(&session.identity, self.lane.sessions.key(session_ref).map_or(&[], |k| &k.client_id));
        let grant = |filter| rights.as_ref().map_or(Grant::Whole, |rights| rights.grant(names, filter));
        for (group, filter, options) in session.subscriptions() {
            if let Some(group) = group {
                self.publish_filter(session_ref, Some(group), filter, options, grant(filter));
            }
        }
        self.set_online(session_ref, is_online);
    }

    /// Ends the subscriptions of a session that are not permitted. Returns whether there were any.
    fn review_subscriptions(&mut self, now: Instant, session_ref: SessionRef) -> bool {
        let ended = self.end_subscriptions(now, session_ref);
        self.review_shares(session_ref);
        ended
    }

    fn end_subscriptions(&mut self, now: Instant, session_ref: SessionRef) -> bool {
        let Lane { judge, connections, sessions, .. } = &mut self.lane;
        let Some((session, key)) = sessions.get_mut_with_key(session_ref) else { return false };
        let (address, is_bound) = match session.connection {
            Some(slot) => connections.peek(slot).map(|c| (c.address, c.mandate.is_some())),
            None => judge.standings.get(&session_ref).map(|s| (s.address, s.mandate.is_some())),
        }
        .unwrap_or_default();
        // Without rules it matters only who is on this machine.
        let is_free_here = (!judge.has_rules && !is_bound).then(|| is_local(address));
        let rights = match session.connection {
            Some(slot) => connections.at(slot).and_then(|c| judge.renew(&self.shared, c).cloned()),
            None => judge.rights_of_standing(&self.shared, session_ref).cloned(),
        };
        let Some(rights) = rights else { return false };
        let was_looked_at = session.checks_deliveries && !session.queue.is_drained();
        if rights.is_free(Action::Subscribe) && !sees_peers(session) {
            session.checks_deliveries = was_looked_at;
            return false;
        }
        let names = Names::new(&session.identity, key.map_or(&[][..], |key| &key.client_id));
        let (mut refused, mut partly) = (Vec::<(Option<Box<[u8]>>, Box<[u8]>)>::new(), false);
        for (share, filter, _) in session.subscriptions() {
            let grant = match is_free_here {
                // Consumers are looked at on their own.
                _ if stands_for_others(filter.as_bytes()) => Grant::Whole,
                Some(true) => Grant::Whole,
                Some(false) if tells_of_peers(filter.as_bytes()) => Grant::Refused,
                Some(false) => Grant::Whole,
                None => rights.grant(names, filter),
            };
            match grant {
                Grant::Whole => {}
                Grant::Partly => partly = true,
                Grant::Refused => refused.push((share.map(Box::from), filter.as_bytes().into())),
            }
        }
        session.checks_deliveries = was_looked_at || partly || !refused.is_empty();
        if session.checks_deliveries {
            judge.note_looking();
        }
        for (share, filter) in &refused {
            self.audit_ended(now, session_ref, filter);
            self.detach_from(session_ref, share.as_deref(), Filter::from_checked(filter));
        }
        !refused.is_empty()
    }
}
