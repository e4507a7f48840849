//! Publishing: the fast lane from a peer's bytes to every live subscriber.

use std::sync::Arc;

use mynah_core::{DropReason, Reader, Received, SessionRef, Target};
use mynah_model::{Class, Identity, Instant, Limits, Message, Reason, Topic};
use mynah_stack::{Outcome, Publish, PublishIf};

use crate::connections::ConnectionId;
use crate::engine::Engine;
use crate::inbox::Parcel;
use crate::item::Item;
use crate::share::sees;

impl Engine {
    /// A peer publishes: checks that it may, distributes the message, and confirms it if its class wants that.
    pub(crate) fn publish(&mut self, now: Instant, id: ConnectionId, publish: &mut Publish<'_>) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        publish.header.tenant = connection.tenant;
        publish.header.publisher = connection.publisher;
        let (from, class, receipt) = (connection.session(), publish.header.class, publish.receipt);
        self.shared.counters(self.worker).messages_received(class).add(1);
        let result = match self.accept_publish(id, publish) {
            Ok(Received::New) => {
                let told = (class == Class::ExactlyOnce).then_some((id, receipt));
                let wanted = self.distribute_telling(now, &mut Item::borrowed(publish.view()), from, told);
                if told.is_some() {
                    return;
                }
                Ok(wanted)
            }
            Ok(Received::Duplicate) => Ok(true),
            Ok(Received::Full) => Err(Reason::QuotaExceeded),
            Err(reason) => Err(reason),
        };
        if result.is_err() {
            self.counters().publications_refused.add(1);
        }
        if class.is_confirmed() {
            self.tell(now, id, Outcome::Published { receipt, class, result });
        }
    }

    /// A peer publishes if the retained value is as it expects; it always hears what became of that.
    pub(crate) fn publish_if(&mut self, now: Instant, id: ConnectionId, command: PublishIf<'_>) {
        let PublishIf { mut publish, conditions } = command;
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        publish.header.tenant = connection.tenant;
        publish.header.publisher = connection.publisher;
        let (from, class, receipt) = (connection.session(), publish.header.class, publish.receipt);
        self.shared.counters(self.worker).messages_received(class).add(1);
        let result = match self.accept_publish(id, &publish) {
            Ok(Received::New) => {
                let mut item = Item::borrowed(publish.view());
                self.retain_if(now, &mut item, &conditions).map(|()| self.fan_out(now, &mut item, from, None))
            }
            Ok(Received::Duplicate) => Ok(true),
            Ok(Received::Full) => Err(Reason::QuotaExceeded),
            Err(reason) => Err(reason),
        };
        if result.is_err() {
            self.counters().publications_refused.add(1);
        }
        self.tell(now, id, Outcome::Published { receipt, class, result });
    }

    /// Whether a peer may publish this, and whether it is new.
    #[inline(always)]
    fn accept_publish(&mut self, id: ConnectionId, publish: &Publish<'_>) -> Result<Received, Reason> {
        if let Err(reason) = self.may_publish(id, publish.view().topic()) {
            return self.refuse_publish(reason);
        }
        if publish.header.class != Class::ExactlyOnce {
            return Ok(Received::New);
        }
        self.remember(id, publish)
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
    /// others. `from` is the session that publishes it; none if that is the broker. Returns whether anybody wants it.
    #[inline]
    pub(crate) fn distribute(&mut self, now: Instant, item: &mut Item<'_>, from: Option<SessionRef>) -> bool {
        self.distribute_telling(now, item, from, None)
    }

    /// Distributes, and tells the publisher of an exactly-once message before the first delivery: one that subscribes
    /// to its own topic hears the answer first and the message in the middle of the exchange, which is the order that
    /// clients of such protocols know from elsewhere. No promise is early: the message was accepted and is retained,
    /// nothing after this can fail, and no byte leaves before the end of the turn.
    #[inline(always)]
    fn distribute_telling(
        &mut self,
        now: Instant,
        item: &mut Item<'_>,
        from: Option<SessionRef>,
        told: Option<(ConnectionId, u16)>,
    ) -> bool {
        if item.view().header.retain {
            self.retain(now, item);
        }
        self.fan_out(now, item, from, told)
    }

    /// Tells the publisher, if it is to hear it now, and delivers a message to the sessions that want it. Returns
    /// whether there are any.
    fn fan_out(
        &mut self,
        now: Instant,
        item: &mut Item<'_>,
        from: Option<SessionRef>,
        told: Option<(ConnectionId, u16)>,
    ) -> bool {
        let view = item.view();
        let (tenant, topic) = (view.header.tenant, view.topic());
        let shared = &*self.shared;
        let route = self.routes.route(tenant, topic, &shared.generations, |found| {
            shared.read_index().matches(tenant, topic, &mut found.matches);
            shared.read_shares().matches(tenant, topic, &mut found.groups);
        });
        let counters = shared.counters(self.worker);
        if let Some((id, receipt)) = told {
            let (class, result) = (Class::ExactlyOnce, Ok(!route.is_empty()));
            self.lane.tell(now, id, Outcome::Published { receipt, class, result });
        }
        self.lane.frames.begin();
        for target in route.local() {
            if target.hears(from) {
                self.lane.deliver(shared, counters, now, target, item);
            }
        }
        for (worker, targets) in route.remote() {
            let (message, targets) = (item.message().clone(), Arc::clone(targets));
            self.outboxes[usize::from(worker.0)].push(Parcel::Deliver { message, targets });
        }
        for members in route.groups() {
            let may_see = |reader: &Reader| sees(shared, reader, item.view().topic());
            let member = members.choose(shared.limits.share_strategy, None, may_see);
            let Some(member) = member else { continue };
            let target = member.target();
            if target.session.worker == self.worker {
                self.lane.deliver_apart(shared, counters, now, target, item);
            } else {
                let (message, targets) = (item.message().clone(), Arc::clone(member.targets()));
                self.outboxes[usize::from(target.session.worker.0)]
                    .push(Parcel::Deliver { message, targets });
            }
        }
        !route.is_empty()
    }

    /// Delivers what another worker's publisher sent.
    pub(crate) fn deliver_parcel(&mut self, now: Instant, message: &Message, targets: &[Target]) {
        // Its time may have come on the way.
        if message.header().deadline.is_some_and(|deadline| deadline <= now) {
            return self.count_dropped(DropReason::Expired, targets.len());
        }
        let mut item = Item::shared(message);
        self.lane.frames.begin();
        for target in targets {
            if target.via.is_some() && self.goes_to_another(now, message, target) {
                continue;
            }
            let shared = &*self.shared;
            self.lane.deliver(shared, shared.counters(self.worker), now, target, &mut item);
        }
    }

    /// The publisher of an exactly-once publication has seen that it arrived.
    pub(crate) fn complete(&mut self, now: Instant, id: ConnectionId, receipt: u16) {
        let session = self.lane.connections.get_mut(id).and_then(|c| c.session());
        let session = session.and_then(|s| self.lane.sessions.get_mut(s));
        let known = session.is_some_and(|session| session.received.complete(receipt));
        self.tell(now, id, Outcome::Completed { receipt, known });
    }
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
