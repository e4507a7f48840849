//! Publishing: the fast lane from a peer's bytes to every live subscriber.

use std::sync::Arc;

use mynah_core::{DropReason, Received, Route, SessionRef, Target, WorkerId};
use mynah_model::{Class, Identity, Instant, Limits, Message, MessageView, Reason, Topic};
use mynah_stack::{Outcome, Publish, PublishIf};

use crate::connections::ConnectionId;
use crate::engine::Engine;
use crate::inbox::{Ask, Parcel};
use crate::item::Item;
use crate::journal::{Note, Then};
use crate::lane::Lane;
use crate::shared::Shared;
use crate::waiting::Held;

impl Engine {
    /// A peer publishes: checks that it may, distributes the message, and confirms it if its class wants that.
    pub(crate) fn publish(&mut self, now: Instant, id: ConnectionId, publish: &mut Publish<'_>) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        publish.header.tenant = connection.tenant;
        publish.header.publisher = connection.publisher;
        let (from, class) = (connection.session(), publish.header.class);
        let origin = Origin { connection: id, receipt: publish.receipt, word: Word::First };
        self.shared.counters(self.worker).messages_received(class).add(1);
        let result = match self.accept_publish(id, publish) {
            Ok(Received::New) => {
                let mut item = Item::borrowed(publish.view());
                let spread = self.distribute_from(now, &mut item, from, origin);
                if spread.told {
                    return;
                }
                Ok(spread.wanted)
            }
            Ok(Received::Duplicate) => return self.confirm_again(now, id, publish.receipt),
            Ok(Received::Full) => Err(Reason::QuotaExceeded),
            Err(reason) => Err(reason),
        };
        if result.is_err() {
            self.counters().publications_refused.add(1);
        }
        if class.is_confirmed() {
            self.tell(now, id, Outcome::Published { receipt: publish.receipt, class, result });
        }
    }

    /// A peer publishes if the retained value is as it expects; it always hears what became of that.
    pub(crate) fn publish_if(&mut self, now: Instant, id: ConnectionId, command: PublishIf<'_>) {
        let PublishIf { mut publish, conditions } = command;
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        publish.header.tenant = connection.tenant;
        publish.header.publisher = connection.publisher;
        let (from, class, receipt) = (connection.session(), publish.header.class, publish.receipt);
        let origin = Origin { connection: id, receipt, word: Word::Last };
        self.shared.counters(self.worker).messages_received(class).add(1);
        let result = match self.accept_publish(id, &publish) {
            Ok(Received::New) => {
                let mut item = Item::borrowed(publish.view());
                let retained = self.retain_if(now, &mut item, &conditions);
                retained.map(|()| self.fan_out(now, &mut item, from, Some(origin)).wanted)
            }
            Ok(Received::Duplicate) => return self.confirm_again(now, id, receipt),
            Ok(Received::Full) => Err(Reason::QuotaExceeded),
            Err(reason) => Err(reason),
        };
        if result.is_err() {
            self.counters().publications_refused.add(1);
        }
        self.tell(now, id, Outcome::Published { receipt, class, result });
    }

    /// A peer repeats an exactly-once publication that is under way: it is not told before what it said first is stored.
    fn confirm_again(&mut self, now: Instant, id: ConnectionId, receipt: u16) {
        let (class, result) = (Class::ExactlyOnce, Ok(true));
        let after = self.lane.journal.after_all();
        if !self.lane.waits(id) || self.lane.journal.is_past(after) {
            return self.tell(now, id, Outcome::Published { receipt, class, result });
        }
        self.hold(id, after, Held::Published { receipt, class, result });
    }

    /// Whether a peer may publish this, and whether it is new.
    #[inline(always)]
    fn accept_publish(&mut self, id: ConnectionId, publish: &Publish<'_>) -> Result<Received, Reason> {
        if let Err(reason) = self.may_publish(id, publish.view().topic()) {
            return self.refuse_publish(reason);
        }
        if self.lane.journal.full && self.has_to_be_stored(publish.view()) {
            self.count_dropped(DropReason::StorageFull, 1);
            return Err(Reason::StorageFull);
        }
        if publish.header.class != Class::ExactlyOnce {
            return Ok(Received::New);
        }
        self.remember(id, publish)
    }

    /// Whether somebody would have to store this message.
    #[cold]
    fn has_to_be_stored(&mut self, view: MessageView<'_>) -> bool {
        let (tenant, topic, shared) = (view.header.tenant, view.topic(), &*self.shared);
        let route = self.routes.route(tenant, topic, &shared.generations, |found| {
            shared.read_index().matches(tenant, topic, &mut found.matches);
            shared.read_shares().matches(tenant, topic, &mut found.groups);
        });
        let wanted = view.header.class.is_confirmed() && may_be_stored(&self.lane, shared, route);
        // What takes a value away makes room.
        wanted || (view.header.retain && !view.payload().is_empty())
    }

    /// Nothing is remembered of what was refused: its exchange ends with the answer, where the protocol has one that says
    /// so, and elsewhere is completed whether or not the identifier is known.
    #[cold]
    fn refuse_publish(&mut self, reason: Reason) -> Result<Received, Reason> {
        self.count_dropped(DropReason::NotAuthorized, 1);
        Err(reason)
    }

    /// Remembers the identifier of an exactly-once publication until the peer completes it.
    #[inline(never)]
    fn remember(&mut self, id: ConnectionId, publish: &Publish<'_>) -> Result<Received, Reason> {
        let session = self.lane.connections.get_mut(id).and_then(|c| c.session());
        let session = session.and_then(|s| self.lane.sessions.get_mut(s)).ok_or(Reason::Disconnected)?;
        Ok(session.received.receive(publish.receipt, self.shared.limits.received_max))
    }

    #[inline(always)]
    fn may_publish(&mut self, id: ConnectionId, topic: Topic<'_>) -> Result<(), Reason> {
        if exceeds(topic.as_bytes(), &self.shared.limits) {
            return Err(Reason::TopicInvalid);
        }
        if topic.is_broker_owned() {
            return Err(Reason::NotAuthorized);
        }
        if self.shared.access.is_unrestricted() { Ok(()) } else { self.may_publish_by_rules(id, topic) }
    }

    #[inline(never)]
    fn may_publish_by_rules(&mut self, id: ConnectionId, topic: Topic<'_>) -> Result<(), Reason> {
        let (identity, client_id) = self.actor(id).ok_or(Reason::Disconnected)?;
        let allowed = self.shared.access.may_publish(identity, client_id, topic);
        if allowed { Ok(()) } else { Err(Reason::NotAuthorized) }
    }

    /// Who acts on a connection: the identity, and the client identifier if the session has one.
    pub(crate) fn actor(&self, id: ConnectionId) -> Option<(&Identity, &[u8])> {
        let connection = self.lane.connections.get(id)?;
        let key = self.lane.sessions.key(connection.session()?);
        Some((connection.identity.as_ref()?, key.map_or(&[], |k| &k.client_id)))
    }

    /// Gives a message to all who want it: retained, delivered to the sessions of this worker, sent to the workers of
    /// others. `from` is the session that publishes it; none if that is the broker.
    #[inline]
    pub(crate) fn distribute(&mut self, now: Instant, item: &mut Item<'_>, from: Option<SessionRef>) {
        if item.view().header.retain {
            self.retain(now, item);
        }
        self.fan_out(now, item, from, None);
    }

    /// Distributes what a peer has published. One that publishes an exactly-once message and subscribes to its own topic
    /// hears the answer first and the message in the middle of the exchange: this is the order that clients of such
    /// protocols know from elsewhere. No promise is early: the message was accepted and is retained, nothing after this
    /// can fail, and no byte leaves before the end of the turn. An answer that has to wait for the store comes later.
    #[inline(always)]
    fn distribute_from(
        &mut self,
        now: Instant,
        item: &mut Item<'_>,
        from: Option<SessionRef>,
        origin: Origin,
    ) -> Spread {
        if item.view().header.retain {
            self.retain(now, item);
        }
        self.fan_out(now, item, from, Some(origin))
    }

    /// Delivers a message to the sessions that want it, and tells the publisher, if it is to hear that first.
    fn fan_out(
        &mut self,
        now: Instant,
        item: &mut Item<'_>,
        from: Option<SessionRef>,
        origin: Option<Origin>,
    ) -> Spread {
        let view = item.view();
        let (tenant, topic, class) = (view.header.tenant, view.topic(), view.header.class);
        let shared = &*self.shared;
        let route = self.routes.route(tenant, topic, &shared.generations, |found| {
            shared.read_index().matches(tenant, topic, &mut found.matches);
            shared.read_shares().matches(tenant, topic, &mut found.groups);
        });
        let counters = shared.counters(self.worker);
        let wanted = !route.is_empty();
        let mut told = false;
        if let Some(Origin { connection, receipt, word: Word::First }) = origin
            && class == Class::ExactlyOnce
            && !(self.lane.waits(connection) && has_to_wait(&self.lane, shared, connection, from, route))
        {
            self.lane.tell(now, connection, Outcome::Published { receipt, class, result: Ok(wanted) });
            told = true;
        }
        self.lane.frames.begin();
        for target in route.local() {
            if target.hears(from) {
                self.lane.deliver(shared, counters, now, target, item);
            }
        }
        let asks = class.is_confirmed() && self.lane.journal.waits();
        let ask = Ask { from: self.worker, token: self.lane.journal.next_token() };
        let mut answers = 0;
        let mut send = |item: &mut Item<'_>, worker: WorkerId, targets: &Arc<[Target]>| {
            let ask = (asks && shared.stores(worker)).then_some(ask);
            answers += usize::from(ask.is_some());
            let (message, targets) = (item.message().clone(), Arc::clone(targets));
            self.outboxes[usize::from(worker.0)].push(Parcel::Deliver { message, targets, ask });
        };
        for (worker, targets) in route.remote() {
            send(item, *worker, targets);
        }
        for members in route.groups() {
            let Some(member) = members.choose(shared.limits.share_strategy, None) else { continue };
            let target = member.target();
            if target.session.worker == self.worker {
                self.lane.deliver_apart(shared, counters, now, target, item);
            } else {
                send(item, target.session.worker, member.targets());
            }
        }
        if self.lane.journal.is_on() {
            self.promise(class, from, origin, answers);
        }
        Spread { wanted, told }
    }

    /// Notes that an exactly-once publication has arrived: together with what it has brought here, after what it has
    /// brought elsewhere. So a repetition after a crash is never lost.
    fn promise(&mut self, class: Class, from: Option<SessionRef>, origin: Option<Origin>, answers: usize) {
        let stored = |session: &SessionRef| self.lane.sessions.get(*session).is_some_and(|s| s.stored);
        let received = origin.filter(|_| class == Class::ExactlyOnce);
        let received = received.and_then(|o| Some((o, from.filter(stored)?)));
        match received {
            None if answers == 0 => {}
            None => {
                self.lane.journal.ask(answers, Then::Nothing);
            }
            Some((Origin { receipt, .. }, session)) if answers == 0 => {
                self.lane.journal.note(Note::Received(session, receipt));
            }
            Some((Origin { connection, receipt, .. }, session)) => {
                let then = Then::Received { connection, session, receipt };
                self.lane.journal.ask(answers, then);
            }
        }
    }

    /// Delivers what another worker's publisher sent.
    pub(crate) fn deliver_parcel(
        &mut self,
        now: Instant,
        message: &Message,
        targets: &[Target],
        mut ask: Option<Ask>,
    ) {
        self.lane.journal.begin();
        // Its time may have come on the way.
        if message.header().deadline.is_some_and(|deadline| deadline <= now) {
            self.count_dropped(DropReason::Expired, targets.len());
        } else {
            self.deliver_to(now, message, targets, &mut ask);
        }
        if let Some(ask) = ask {
            self.answer(ask);
        }
    }

    fn deliver_to(&mut self, now: Instant, message: &Message, targets: &[Target], ask: &mut Option<Ask>) {
        let mut item = Item::shared(message);
        self.lane.frames.begin();
        for target in targets {
            if target.via.is_some() && self.goes_to_another(now, message, target, ask) {
                continue;
            }
            let shared = &*self.shared;
            self.lane.deliver(shared, shared.counters(self.worker), now, target, &mut item);
        }
    }

    /// The publisher of an exactly-once publication has seen that it arrived.
    pub(crate) fn complete(&mut self, now: Instant, id: ConnectionId, receipt: u16) {
        let Some(session_ref) = self.lane.connections.get_mut(id).and_then(|c| c.session()) else { return };
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        let known = session.received.complete(receipt);
        if known && session.stored {
            self.lane.journal.note(Note::Completed(session_ref, receipt));
        }
        self.tell(now, id, Outcome::Completed { receipt, known });
    }
}

/// Whose publication it is.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    connection: ConnectionId,
    receipt: u16,
    word: Word,
}

/// When a publisher is told: before the first delivery, if nothing is to be stored, or after the last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    First,
    Last,
}

/// What became of a publication.
struct Spread {
    /// Whether anybody wants it.
    wanted: bool,
    /// Whether the publisher has been told.
    told: bool,
}

/// Whether a message on this route may have to be stored.
fn may_be_stored(lane: &Lane, shared: &Shared, route: &Route) -> bool {
    let stored = |target: &Target| lane.sessions.get(target.session).is_some_and(|s| s.stored);
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

/// Whether a topic or filter is longer or has more segments than it may.
#[inline]
pub(crate) fn exceeds(name: &[u8], limits: &Limits) -> bool {
    // Segments are counted only where there can be too many.
    name.len() > limits.topic_bytes_max
        || (name.len() >= limits.topic_segments_max && segments(name) > limits.topic_segments_max)
}

#[inline(never)]
fn segments(name: &[u8]) -> usize {
    name.iter().filter(|&&b| b == b'/').count() + 1
}
