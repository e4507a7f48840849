//! Publishing: the fast lane from a peer's bytes to every live subscriber.

use std::sync::Arc;

use mynah_core::{DropReason, Found, Reader, Received, SessionRef, Target};
use mynah_model::{Class, Instant, Limits, Message, MessageView, Reason, Topic};
use mynah_stack::{Destination, Outcome, Publish, PublishIf};

use crate::connections::{Connection, ConnectionId};
use crate::deeds::{Taking, VALUE};
use crate::engine::Engine;
use crate::inbox::Ask;
use crate::item::Item;
use crate::journal::Note;
use crate::named::{is_named, stands_for_others};
use crate::spread::{Source, may_be_stored};
use crate::waiting::Held;

impl Engine {
    /// A peer publishes: checks that it may, distributes the message, and confirms it if its class wants that, or the peer.
    pub(crate) fn publish(&mut self, now: Instant, id: ConnectionId, publish: &mut Publish<'_>) {
        let is_dollar = publish.native.get(publish.header.topic.0 as usize) == Some(&b'$');
        if publish.to != Destination::Topic || publish.delay.is_some() || is_dollar {
            return self.publish_elsewhere(now, id, publish);
        }
        self.publish_as(now, id, publish, None);
    }

    /// The same, to the topic that stands for where it goes.
    #[inline(always)]
    pub(crate) fn publish_as(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publish: &mut Publish<'_>,
        address: Option<Topic<'_>>,
    ) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        publish.header.tenant = connection.tenant;
        publish.header.publisher = connection.publisher;
        let (from, class) = (connection.session(), publish.header.class);
        self.shared.counters(self.worker).messages_received(class).add(1);
        if publish.header.retain && stands_for_others(publish.view().topic().as_bytes()) {
            publish.header.retain = false; // a queue holds no value
        }
        let topic = address.unwrap_or_else(|| publish.view().topic());
        let result = match self.accept_publish(now, id, publish, topic) {
            Ok(Received::New) => {
                let mut item = Item::addressed(publish.view(), address);
                let kept = publish.header.retain || (class.is_confirmed() && self.lane.journal.is_on());
                if kept || class == Class::ExactlyOnce {
                    let origin = Origin { connection: id, receipt: publish.receipt, word: Word::First };
                    let spread = self.distribute_from(now, &mut item, from, origin);
                    if spread.told {
                        return;
                    }
                    Ok(spread.wanted)
                } else {
                    Ok(self.fan_out(now, &mut item, from, None))
                }
            }
            Ok(Received::Duplicate) => return self.confirm_again(now, id, publish.receipt),
            Ok(Received::Full) => Err(Reason::QuotaExceeded),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = result {
            self.count_refused(now, id, publish, reason);
        }
        if class.is_confirmed() || publish.confirm {
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
        let topic = publish.view().topic();
        // A queue holds no value.
        let refused = stands_for_others(topic.as_bytes()).then_some(Err(Reason::TopicInvalid));
        let result = match refused.unwrap_or_else(|| self.accept_publish(now, id, &publish, topic)) {
            Ok(Received::New) => {
                let mut item = Item::borrowed(publish.view());
                let retained = self.retain_if(now, &mut item, &conditions);
                retained.map(|retained| self.spread(now, &mut item, from, Some(origin), retained).wanted)
            }
            Ok(Received::Duplicate) => return self.confirm_again(now, id, receipt),
            Ok(Received::Full) => Err(Reason::QuotaExceeded),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = result {
            self.counters().publications_refused.add(1);
            self.audit_publish(now, id, &publish, reason);
        }
        self.tell(now, id, Outcome::Published { receipt, class, result });
    }

    /// A peer repeats an exactly-once publication that is under way: it is not told before what it said first is stored.
    pub(crate) fn confirm_again(&mut self, now: Instant, id: ConnectionId, receipt: u16) {
        let (class, result) = (Class::ExactlyOnce, Ok(true));
        let after = self.lane.journal.after_all();
        if !self.lane.waits(id) || self.lane.journal.is_past(after) {
            return self.tell(now, id, Outcome::Published { receipt, class, result });
        }
        self.hold(id, after, Held::Published { receipt, class, result });
    }

    /// A refused identifier is free for another publication.
    #[cold]
    pub(crate) fn count_refused(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publish: &Publish<'_>,
        reason: Reason,
    ) {
        self.counters().publications_refused.add(1);
        self.audit_publish(now, id, publish, reason);
        let from = self.lane.connections.get(id).and_then(Connection::session);
        if publish.header.class == Class::ExactlyOnce {
            self.forget_repeated(from, publish.receipt);
        }
    }

    /// Whether a peer may publish this, and whether it is new.
    #[inline(always)]
    pub(crate) fn accept_publish(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publish: &Publish<'_>,
        topic: Topic<'_>,
    ) -> Result<Received, Reason> {
        if let Err(reason) = self.may_publish(now, id, publish.view(), topic) {
            return self.refuse_publish(reason);
        }
        if !publish.header.class.is_confirmed() && !publish.header.retain {
            if publish.confirm {
                self.lane.journal.begin(); // what was noted before is not waited for
            }
            return Ok(Received::New); // nothing is stored
        }
        self.lane.journal.begin();
        if self.lane.journal.full && self.has_to_be_stored(id, publish, topic) {
            self.count_dropped(DropReason::StorageFull, 1);
            return Err(Reason::StorageFull);
        }
        if publish.header.class != Class::ExactlyOnce {
            return Ok(Received::New);
        }
        self.remember(id, publish)
    }

    /// Whether somebody would have to store this message, who has not yet.
    #[cold]
    fn has_to_be_stored(&mut self, id: ConnectionId, publish: &Publish<'_>, topic: Topic<'_>) -> bool {
        let (view, shared) = (publish.view(), &*self.shared);
        let session = self.lane.connections.get(id).and_then(|c| self.lane.sessions.get(c.session()?));
        let received = session.is_some_and(|s| s.received.as_slice().binary_search(&publish.receipt).is_ok());
        if received && view.header.class == Class::ExactlyOnce {
            return false;
        }
        let tenant = view.header.tenant;
        let find = |found: &mut Found| shared.find(view, topic, found);
        let route = self.routes.route(tenant, topic, &shared.generations, find);
        let wanted = view.header.class.is_confirmed() && may_be_stored(&self.lane, shared, route);
        // What takes a value away makes room.
        wanted || (view.header.retain && !view.payload().is_empty())
    }

    /// Nothing is remembered of what was refused: its exchange ends with the answer, where the protocol has one that says
    /// so, and elsewhere is completed whether or not the identifier is known.
    #[cold]
    fn refuse_publish(&mut self, reason: Reason) -> Result<Received, Reason> {
        self.lane.journal.begin(); // the answer waits for nothing that others have asked
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
    fn may_publish(
        &mut self,
        now: Instant,
        id: ConnectionId,
        view: MessageView<'_>,
        topic: Topic<'_>,
    ) -> Result<(), Reason> {
        if exceeds(topic.as_bytes(), &self.shared.limits) {
            return Err(Reason::TopicInvalid);
        }
        if topic.is_dollar() {
            self.may_name(view.header.tenant, topic)?;
        }
        if self.lane.judge.is_idle() { Ok(()) } else { self.may_publish_by_rules(now, id, view, topic) }
    }

    /// Gives a message of the broker's own, or a will, to all who want it: retained, delivered to the sessions of this
    /// worker, sent to the workers of others. `from` is the session whose will it is. Returns whether anybody wants it.
    pub(crate) fn distribute(&mut self, now: Instant, item: &mut Item<'_>, from: Option<SessionRef>) -> bool {
        let retained = item.view().header.retain && self.retain(now, item);
        self.spread(now, item, from, None, retained).wanted
    }

    /// Gives a message that tells who is here to those who want it. It is retained elsewhere, and stored nowhere.
    pub(crate) fn distribute_presence(&mut self, now: Instant, item: &mut Item<'_>) {
        self.fan_out(now, item, None, None);
    }

    /// Distributes what a peer has published. One that publishes an exactly-once message and subscribes to its own topic
    /// hears the answer first and the message in the middle of the exchange: this is the order that clients of such
    /// protocols know from elsewhere. No promise is early: the message was accepted and is retained, nothing after this
    /// can fail, and no byte leaves before the end of the turn. An answer that has to wait for the store comes later.
    #[inline(never)]
    fn distribute_from(
        &mut self,
        now: Instant,
        item: &mut Item<'_>,
        from: Option<SessionRef>,
        origin: Origin,
    ) -> Spread {
        let retained = item.view().header.retain && self.retain_from(now, item, from, origin.receipt);
        self.spread(now, item, from, Some(origin), retained)
    }

    /// Makes what a peer has published the value of its topic, unless that was done before a crash.
    fn retain_from(
        &mut self,
        now: Instant,
        item: &mut Item<'_>,
        from: Option<SessionRef>,
        receipt: u16,
    ) -> bool {
        let repeated = from.and_then(|session| self.repeated.get(&(session, receipt)));
        let had = repeated.is_some_and(|parts| parts.receivers.contains(&VALUE));
        let is_exact = item.view().header.class == Class::ExactlyOnce;
        !(had && is_exact) && self.retain(now, item)
    }

    /// Delivers a message to the sessions that want it, and tells the publisher, if it is to hear that first. `retained`:
    /// it has become the value of its topic.
    fn spread(
        &mut self,
        now: Instant,
        item: &mut Item<'_>,
        from: Option<SessionRef>,
        origin: Option<Origin>,
        retained: bool,
    ) -> Spread {
        let class = item.view().header.class;
        if (class.is_confirmed() || retained) && self.lane.journal.is_on() {
            return self.fan_out_stored(
                now,
                item,
                from,
                origin.map_or(Source::Broker, Source::Peer),
                retained,
            );
        }
        let first = origin.filter(|origin| origin.word == Word::First && class == Class::ExactlyOnce);
        let first = first.map(|origin| (origin.connection, origin.receipt));
        Spread { wanted: self.fan_out(now, item, from, first), told: first.is_some() }
    }

    /// Tells the publisher, if it is to hear it now, and delivers a message to the sessions that want it, where nothing is
    /// stored. Returns whether there are any.
    fn fan_out(
        &mut self,
        now: Instant,
        item: &mut Item<'_>,
        from: Option<SessionRef>,
        told: Option<(ConnectionId, u16)>,
    ) -> bool {
        let view = item.view();
        let (tenant, topic) = (view.header.tenant, item.topic());
        let shared = &*self.shared;
        // Nobody asks for it where no delivery is looked at.
        let number = self.lane.judge.is_looking().then(|| self.routes.number(tenant, topic));
        let find = |found: &mut Found| shared.find(view, topic, found);
        let route = self.routes.route(tenant, topic, &shared.generations, find);
        let counters = shared.counters(self.worker);
        if let Some((id, receipt)) = told {
            let (class, result) = (Class::ExactlyOnce, Ok(!route.is_empty()));
            self.lane.tell(now, id, Outcome::Published { receipt, class, result });
        }
        self.lane.begin(number);
        for target in route.local() {
            if target.hears(from) {
                self.lane.deliver(shared, counters, now, target, item);
            }
        }
        for (worker, targets) in route.remote() {
            let (message, targets) = (item.message().clone(), Arc::clone(targets));
            self.outboxes[usize::from(worker.0)].push(self.lane.parcel(message, targets, None));
        }
        for members in route.groups() {
            let may_see = |reader: &Reader| reader.may_see(item.view().topic());
            let member = members.choose(shared.limits.share_strategy, None, may_see);
            let Some(member) = member else { continue };
            let target = member.target();
            if target.session.worker == self.worker {
                self.lane.deliver_apart(shared, counters, now, target, item);
            } else {
                let (message, targets) = (item.message().clone(), Arc::clone(member.targets()));
                let parcel = self.lane.parcel(message, targets, None);
                self.outboxes[usize::from(target.session.worker.0)].push(parcel);
            }
        }
        !route.is_empty()
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
        let mut taking = Taking::of(ask.as_ref().and_then(|ask| ask.part.as_ref()));
        // Its time may have come on the way; a queue knows better what becomes of it then.
        if message.header().deadline.is_some_and(|deadline| deadline <= now) {
            let queues: Vec<Target> =
                targets.iter().filter(|target| is_named(target.session)).cloned().collect();
            self.count_dropped(DropReason::Expired, targets.len() - queues.len());
            self.deliver_to(now, message, &queues, &mut ask, &mut taking);
        } else {
            self.deliver_to(now, message, targets, &mut ask, &mut taking);
        }
        let Some(ask) = ask else { return };
        if let Some(part) = &ask.part
            && !taking.receivers.is_empty()
        {
            self.lane.journal.note(Note::Part(part.clone(), taking.receivers.into()));
        }
        self.answer(&ask);
    }

    fn deliver_to(
        &mut self,
        now: Instant,
        message: &Message,
        targets: &[Target],
        ask: &mut Option<Ask>,
        taking: &mut Taking,
    ) {
        let mut item = Item::shared(message);
        item.set_again(taking.deed.as_ref().is_some_and(|deed| deed.again));
        self.lane.begin(self.lane.judge.is_looking().then(|| self.routes.passing_number()));
        for target in targets {
            if target.via.is_some() && self.goes_to_another(now, message, target, ask, taking) {
                continue;
            }
            let shared = &*self.shared;
            let counters = shared.counters(self.worker);
            self.lane.deliver_once(shared, counters, now, target, &mut item, taking);
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
        if !known && !self.repeated.is_empty() {
            self.forget_repeated(Some(session_ref), receipt);
        }
        self.tell(now, id, Outcome::Completed { receipt, known });
    }
}

/// Whose publication it is.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) connection: ConnectionId,
    pub(crate) receipt: u16,
    pub(crate) word: Word,
}

/// When a publisher is told: before the first delivery, if nothing is to be stored, or after the last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    First,
    Last,
}

/// What became of a publication.
pub(crate) struct Spread {
    /// Whether anybody wants it.
    pub(crate) wanted: bool,
    /// Whether the publisher has been told.
    pub(crate) told: bool,
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
