//! Publishing what may have to be stored: who gets a message, who stores that, and what the publisher's answer waits for.

use std::sync::Arc;

use mynah_core::{Found, GroupKey, Reader, Route, SessionRef, Target};
use mynah_model::{Class, Instant, Message, Topic};
use mynah_stack::Outcome;

use crate::connections::ConnectionId;
use crate::deeds::{ADDRESSED, Asking, Deed, Taking, VALUE};
use crate::engine::Engine;
use crate::item::Item;
use crate::journal::Note;
use crate::lane::Lane;
use crate::publish::{Origin, Spread, Word};
use crate::shared::Shared;

/// Where a message comes from.
pub(crate) enum Source {
    /// A peer has published it.
    Peer(Origin),
    /// The broker publishes it, which owes it from here on.
    Broker,
    /// The broker has owed it since an earlier run.
    Again(Arc<Deed>),
}

impl Engine {
    /// Delivers a message to the sessions that want it, as [`Engine::fan_out`] does, where changes are stored.
    #[inline(never)]
    pub(crate) fn fan_out_stored(
        &mut self,
        now: Instant,
        item: &mut Item<'_>,
        from: Option<SessionRef>,
        source: Source,
        retained: bool,
    ) -> Spread {
        let deed = self.deed(item, from, &source, retained);
        item.set_again(item.is_again() || deed.as_ref().is_some_and(|deed| deed.again));
        let (view, waits) = (item.view(), self.lane.journal.waits());
        let (tenant, topic, class) = (view.header.tenant, item.topic(), view.header.class);
        let shared = &*self.shared;
        let number = self.lane.judge.is_looking().then(|| self.routes.number(tenant, topic));
        let find = |found: &mut Found| shared.find(view, topic, found);
        let route = self.routes.route(tenant, topic, &shared.generations, find);
        let (counters, wanted) = (shared.counters(self.worker), !route.is_empty());
        let mut told = false;
        if let Source::Peer(Origin { connection, receipt, word: Word::First }) = source
            && class == Class::ExactlyOnce
            && !(self.lane.waits(connection)
                && (retained || has_to_wait(&self.lane, shared, connection, from, route)))
        {
            self.lane.tell(now, connection, Outcome::Published { receipt, class, result: Ok(wanted) });
            told = true;
        }
        self.lane.begin(number);
        let mut asking = Asking::new(self.worker, &self.lane.journal, deed.as_ref());
        let mut taking = Taking { deed, receivers: Vec::new() };
        for target in route.local().iter().filter(|target| target.hears(from)) {
            self.lane.deliver_once(shared, counters, now, target, item, &mut taking);
        }
        // What the broker owes it owes also where nobody waits for it.
        let asks = (waits || taking.deed.is_some()) && class.is_confirmed();
        for (worker, targets) in route.remote() {
            let ask = (asks && shared.stores(*worker)).then(|| asking.ask(&mut self.lane.journal));
            let (message, targets) = (item.message().clone(), Arc::clone(targets));
            self.outboxes[usize::from(worker.0)].push(self.lane.parcel(message, targets, ask));
        }
        for members in route.groups() {
            let may_see = |reader: &Reader| reader.may_see(item.view().topic());
            let member = members.choose(shared.limits.share_strategy, None, may_see);
            let Some(member) = member else { continue };
            let (target, worker) = (member.target(), member.target().session.worker);
            if worker == self.worker {
                self.lane.deliver_once(shared, counters, now, target, item, &mut taking);
            } else if !taking.has(|| self.lane.receiver(shared, target)) {
                let ask = (asks && shared.stores(worker)).then(|| asking.ask(&mut self.lane.journal));
                let (message, targets) = (item.message().clone(), Arc::clone(member.targets()));
                self.outboxes[usize::from(worker.0)].push(self.lane.parcel(message, targets, ask));
            }
        }
        if retained && self.note_value(item.message(), Some(&mut asking)) {
            taking.receivers.push(VALUE);
        }
        self.promise(item, from, &source, asking, taking);
        Spread { wanted, told }
    }

    /// What has to be done in parts, if that is the case: an exactly-once publication of a session that is stored, or what
    /// the broker owes.
    fn deed(
        &mut self,
        item: &Item<'_>,
        from: Option<SessionRef>,
        source: &Source,
        retained: bool,
    ) -> Option<Arc<Deed>> {
        if let Source::Again(deed) = source {
            return Some(Arc::clone(deed));
        }
        let view = item.view();
        let publication = self.exact(item, from, source);
        if let Some(key) = &publication
            && self.repeated.contains_key(key)
        {
            return self.publication(key.0, key.1);
        }
        let concerned = matches!(source, Source::Broker) || publication.is_some();
        let alone = self.shared.workers() == 1 || view.topic().is_broker_owned();
        let matters = self.lane.journal.waits() || matches!(source, Source::Broker);
        if alone || !concerned || !matters {
            return None;
        }
        let (tenant, topic, shared) = (view.header.tenant, item.topic(), &*self.shared);
        let find = |found: &mut Found| shared.find(view, topic, found);
        let route = self.routes.route(tenant, topic, &shared.generations, find);
        let is_remote = route.remote().iter().any(|(worker, _)| shared.stores(*worker));
        let spreads = view.header.class.is_confirmed() && (is_remote || !route.groups().is_empty());
        match publication {
            _ if !spreads && !retained => None,
            Some((session, receipt)) => self.publication(session, receipt),
            None => Some(self.errand(tenant)),
        }
    }

    /// The session and the identifier of an exactly-once publication, if the session is stored.
    fn exact(&self, item: &Item<'_>, from: Option<SessionRef>, source: &Source) -> Option<(SessionRef, u16)> {
        let Source::Peer(Origin { receipt, .. }) = source else { return None };
        let from = from.filter(|_| item.view().header.class == Class::ExactlyOnce)?;
        self.lane.sessions.get(from).filter(|session| session.stored).map(|_| (from, *receipt))
    }

    /// Notes what follows from a message that this worker has taken in: what the broker owes, if others have to be asked,
    /// and that an exactly-once publication has arrived, when all have it.
    fn promise(
        &mut self,
        item: &mut Item<'_>,
        from: Option<SessionRef>,
        source: &Source,
        asking: Asking,
        taking: Taking,
    ) {
        let publication = self.exact(item, from, source);
        if asking.answers > 0 {
            if let (Source::Broker, Some(deed)) = (source, &taking.deed) {
                let key = |topic: Topic<'_>| {
                    Arc::new(GroupKey {
                        tenant: deed.tenant,
                        group: ADDRESSED.into(),
                        filter: topic.as_bytes().into(),
                    })
                };
                let elsewhere = item.address().map(key);
                self.lane.journal.note(Note::Errand(Arc::clone(deed), item.message().clone(), elsewhere));
            }
            return self.undertake(asking, taking, publication.map(|(session, _)| session));
        }
        match (publication, source, taking.deed) {
            (Some((session, _)), _, Some(deed)) => self.done(Some(session), &deed, 0..0),
            (Some((session, receipt)), _, None) => self.lane.journal.note(Note::Received(session, receipt)),
            (None, Source::Again(deed), _) => self.done(None, deed, 0..0),
            _ => {}
        }
    }

    /// Delivers again what an earlier run owed.
    pub(crate) fn distribute_again(
        &mut self,
        now: Instant,
        message: &Message,
        deed: Arc<Deed>,
        address: Option<Topic<'_>>,
    ) {
        let header = message.header();
        if header.deadline.is_some_and(|deadline| deadline <= now) {
            return self.done(None, &deed, 0..0);
        }
        let mut item = Item::addressed(message.view(), address);
        let retained = header.retain && !deed.had(VALUE) && self.retain(now, &mut item);
        self.fan_out_stored(now, &mut item, None, Source::Again(deed), retained);
    }
}

/// Whether a message on this route may have to be stored.
pub(crate) fn may_be_stored(lane: &Lane, shared: &Shared, route: &Route) -> bool {
    let stored = |target: &Target| lane.is_stored(target.session);
    route.local().iter().any(stored)
        || route.remote().iter().any(|(worker, _)| shared.stores(*worker))
        || !route.groups().is_empty()
}

/// Whether the answer to a publication may have to wait for the store.
fn has_to_wait(
    lane: &Lane,
    shared: &Shared,
    connection: ConnectionId,
    from: Option<SessionRef>,
    route: &Route,
) -> bool {
    let waiting = lane.connections.get(connection).and_then(|c| c.waiting.as_ref());
    from.and_then(|s| lane.sessions.get(s)).is_some_and(|s| s.stored)
        || waiting.is_some_and(|w| w.has_answers())
        || lane.journal.after().is_some()
        || may_be_stored(lane, shared, route)
}
