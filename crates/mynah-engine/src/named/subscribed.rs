//! Subscriptions to topics of queues: a session that has one consumes from the queue while it is connected.
//!
//! Such a subscription is one of the session's like any other, but no index knows it. What the queue hands out gets an
//! identifier of the session's beside the number of its lease, so that it counts towards what the peer takes at a time, and
//! is settled as the session's own deliveries are. An identifier of an exactly-once delivery that the peer has received
//! stays with the session until it is completed, also on another connection; the message has left its queue then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mynah_core::rules::Action;
use mynah_core::{Entry, LeaseState, SessionRef, Taking};
use mynah_model::{
    Class, Credit, CreditChange, DeliveryId, Filter, Instant, LeaseSettlement, Reason, SubscriptionOptions,
    Topic,
};
use mynah_stack::{
    ConsumerId, Flow, Outcome, Settle, SettleLeases, Settlement, SubscribeRequest, SubscribeResult,
    Subscribed,
};

use super::delivering::Lent;
use super::request::{Consuming, Fault, Reply, Request};
use super::{Tap, queue_of};
use crate::connections::{Connection, ConnectionId};
use crate::engine::Engine;
use crate::waiting::Held;

/// Set in the numbers of consumers that no stack has chosen.
const SUBSCRIBED: u32 = 1 << 31;

/// Whether a consumer is a subscription.
pub(super) const fn is_subscribed(consumer: ConsumerId) -> bool {
    consumer.0 & SUBSCRIBED != 0
}

/// What a consumer that is a subscription has beside.
#[derive(Debug)]
pub(super) struct Subscription {
    filter: Arc<[u8]>,
    options: SubscriptionOptions,
    /// Deliveries that are settled and for which it has no credit again yet.
    spent: u32,
}

/// What a connection has under way of its subscriptions to queues.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// How many consumers there have been.
    made: u32,
    /// Deliveries that the peer has not settled, nor received.
    lent: BTreeMap<DeliveryId, (ConsumerId, u64)>,
    /// Deliveries that wait until the peer takes more: no more than the consumers had credit for.
    waiting: VecDeque<Lent>,
    answers: Vec<Answer>,
}

impl UnderWay {
    /// The number of another consumer that no stack chooses.
    pub(super) const fn number(&mut self) -> u32 {
        self.made = (self.made + 1) & !SUBSCRIBED;
        self.made
    }

    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// The answer to a request to subscribe, until all queues have been heard.
#[derive(Debug)]
struct Answer {
    receipt: u16,
    results: Vec<SubscribeResult>,
    /// Whom it waits for, with their places in the results.
    awaited: Vec<(usize, ConsumerId)>,
}

impl Engine {
    /// Keeps a subscription to a queue's topic. Returns the consumer that is to be begun; none if there is one already.
    pub(crate) fn attach_to_topic_of_queue(
        &mut self,
        now: Instant,
        id: ConnectionId,
        request: &SubscribeRequest<'_>,
    ) -> Result<Option<ConsumerId>, Reason> {
        let SubscribeRequest { filter, share, options } = *request;
        let connection = self.lane.connections.get(id).ok_or(Reason::Disconnected)?;
        let is_exact = filter.as_exact().is_some() && share.is_none() && !options.no_local;
        let name =
            queue_of(filter.as_bytes()).filter(|_| is_exact && connection.stack.consumes_by_subscribing());
        let name = name.ok_or(Reason::FilterInvalid)?;
        self.may(now, id, Action::Consume, &name).map_err(|fault| fault.reason)?;
        self.keep_subscription(id, None, filter, options)?;
        let known = self.tap_of_filter(id, filter.as_bytes());
        if let Some(subscription) = known {
            subscription.options = options;
            return Ok(None);
        }
        self.make_tap(id, &name, filter, options).map(Some)
    }

    fn tap_of_filter(&mut self, id: ConnectionId, filter: &[u8]) -> Option<&mut Subscription> {
        let taps = self.lane.connections.get_mut(id)?.taps.as_deref_mut()?;
        let mut live = taps.consumers.values_mut().filter(|tap| !tap.is_cancelled);
        live.find_map(|tap| {
            tap.subscribed.as_deref_mut().filter(|subscription| *subscription.filter == *filter)
        })
    }

    fn make_tap(
        &mut self,
        id: ConnectionId,
        name: &[u8],
        filter: Filter<'_>,
        options: SubscriptionOptions,
    ) -> Result<ConsumerId, Reason> {
        let worker = self.owner_of(id, name);
        let max = self.shared.limits.subscriptions_per_session_max;
        let connection = self.lane.connections.get_mut(id).ok_or(Reason::Disconnected)?;
        let taps = connection.taps.get_or_insert_default();
        if taps.consumers.len() >= max {
            return Err(Reason::QuotaExceeded);
        }
        let consumer = ConsumerId(SUBSCRIBED | taps.under_way.number());
        let subscription = Subscription { filter: filter.as_bytes().into(), options, spent: 0 };
        taps.consumers
            .insert(consumer, Tap { subscribed: Some(Box::new(subscription)), ..Tap::new(name, worker) });
        Ok(consumer)
    }

    /// Begins consumers for subscriptions, and answers when all have been heard of.
    pub(crate) fn begin_subscribed(
        &mut self,
        now: Instant,
        id: ConnectionId,
        receipt: u16,
        results: Vec<SubscribeResult>,
        awaited: Vec<(usize, ConsumerId)>,
    ) {
        let consumers: Vec<_> = awaited.iter().map(|(_, consumer)| *consumer).collect();
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let taps = connection.taps.get_or_insert_default();
        taps.under_way.answers.push(Answer { receipt, results, awaited });
        for consumer in consumers {
            self.begin_consumer(now, id, consumer);
        }
    }

    fn begin_consumer(&mut self, now: Instant, id: ConnectionId, consumer: ConsumerId) {
        let Some(connection) = self.lane.connections.get(id) else { return };
        let window = connection.session().and_then(|session| self.lane.sessions.get(session));
        let messages = window.map_or(1, |session| u32::from(session.receive_max));
        let tap = connection.taps.as_deref().and_then(|taps| taps.consumers.get(&consumer));
        let Some(name) = tap.map(|tap| tap.queue.clone()) else { return };
        let topic = Topic::from_checked(&name);
        let may_make = self.ask(id, |rights, names| rights.permits(Action::Configure, names, topic));
        let makes = matches!(may_make, Ok(Some(true) | None));
        let credit = Credit { messages, ..Credit::UNLIMITED };
        let taking = Taking::default();
        let consuming = Consuming { name, taking, offset: None, selector: None, credit, makes };
        self.ask_queue(now, id, Request::Consume(consumer, Box::new(consuming)));
    }

    /// A session has a connection again: it consumes from the queues that it has subscribed to.
    pub(crate) fn consume_again(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.lane.connections.get(id).filter(|c| c.stack.consumes_by_subscribing())
        else {
            return;
        };
        let Some(session) = connection.session().and_then(|session| self.lane.sessions.get(session)) else {
            return;
        };
        let own = session.subscriptions().filter(|(share, ..)| share.is_none());
        let queues = own.filter_map(|(_, filter, options)| {
            let name = queue_of(filter.as_bytes())?;
            Some((name, Box::<[u8]>::from(filter.as_bytes()), options))
        });
        for (name, filter, options) in queues.collect::<Vec<_>>() {
            if self.may(now, id, Action::Consume, &name).is_ok()
                && let Ok(consumer) = self.make_tap(id, &name, Filter::from_checked(&filter), options)
            {
                self.begin_consumer(now, id, consumer);
            }
        }
    }

    /// A session subscribes to a queue's topic no more. What has been delivered may still be settled.
    pub(crate) fn unsubscribe_from_queue(&mut self, now: Instant, id: ConnectionId, filter: Filter<'_>) {
        let Some(connection) = self.lane.connections.get(id) else { return };
        let Some(taps) = connection.taps.as_deref() else { return };
        let is_it = |tap: &Tap| {
            let subscription = tap.subscribed.as_deref();
            subscription.is_some_and(|subscription| *subscription.filter == *filter.as_bytes())
        };
        let mut live = taps.consumers.iter().filter(|(_, tap)| !tap.is_cancelled && is_it(tap));
        let Some(consumer) = live.next().map(|(consumer, _)| *consumer) else { return };
        if self.mark_cancelled(id, consumer, true) {
            self.ask_queue(now, id, Request::Cancel { consumer, keep: true });
        }
        let taps = self.lane.connections.get_mut(id).and_then(|connection| connection.taps.as_deref_mut());
        let Some(under_way) = taps.map(|taps| &mut taps.under_way) else { return };
        // What has not been delivered goes back.
        let waiting = core::mem::take(&mut under_way.waiting).into_iter();
        let (given_back, kept): (VecDeque<Lent>, _) = waiting.partition(|lent| lent.consumer == consumer);
        under_way.waiting = kept;
        for lent in given_back {
            self.settle_lease(now, id, (consumer, lent.lease), LeaseSettlement::RELEASED);
        }
    }

    /// A queue has spoken of a consumer that is a subscription.
    pub(super) fn answer_subscribed(
        &mut self,
        now: Instant,
        id: ConnectionId,
        consumer: ConsumerId,
        reply: &Reply,
    ) {
        let reason = match reply {
            Reply::Consuming { result: Ok(()), .. } => return self.answer_awaited(now, id, consumer, Ok(())),
            // It would have been made, had the peer the right to that.
            Reply::Consuming { result: Err(Fault { reason: Reason::NotFound, .. }), .. } => {
                Reason::NotAuthorized
            }
            Reply::Consuming { result: Err(fault), .. } => fault.reason,
            Reply::ConsumerEnded { reason, .. } => *reason,
            _ => return,
        };
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let session = connection.session();
        let tap = connection.taps.as_deref_mut().and_then(|taps| taps.consumers.remove(&consumer));
        let live = tap.filter(|tap| !tap.is_cancelled).and_then(|tap| tap.subscribed);
        if let Some((session, subscription)) = session.zip(live) {
            self.detach_from(session, None, Filter::from_checked(&subscription.filter));
        }
        self.answer_awaited(now, id, consumer, Err(reason));
    }

    fn answer_awaited(
        &mut self,
        now: Instant,
        id: ConnectionId,
        consumer: ConsumerId,
        result: Result<(), Reason>,
    ) {
        let Some(taps) = self.lane.connections.get_mut(id).and_then(|c| c.taps.as_deref_mut()) else {
            return;
        };
        let answers = &mut taps.under_way.answers;
        let waits = |answer: &Answer| answer.awaited.iter().position(|(_, awaited)| *awaited == consumer);
        let found = answers.iter().enumerate().find_map(|(at, answer)| Some((at, waits(answer)?)));
        let Some((at, which)) = found else { return };
        let (place, _) = answers[at].awaited.swap_remove(which);
        if let Err(reason) = result {
            answers[at].results[place] = Err(reason);
        }
        if !answers[at].awaited.is_empty() {
            return;
        }
        let Answer { receipt, results, .. } = answers.swap_remove(at);
        // What was kept of it was noted before the queue was heard.
        let after = self.lane.journal.after_all();
        if !self.lane.waits(id) || self.lane.journal.is_past(after) {
            self.lane.tell(now, id, Outcome::Subscribed { receipt, results: &results });
        } else {
            self.hold(id, after, Held::Subscribed { receipt, results });
        }
    }

    /// Makes a delivery of a queue one of the session's, or lets it wait until the peer takes it.
    pub(super) fn deliver_subscribed(&mut self, now: Instant, id: ConnectionId, lent: &Lent) {
        let Some(connection) = self.lane.connections.get_mut(id).filter(|c| !c.is_closing()) else { return };
        let is_opening = connection.is_opening() || connection.resume.is_some();
        let session_ref = connection.session();
        let Some(taps) = connection.taps.as_deref_mut() else { return };
        let tap = taps.consumers.get(&lent.consumer).filter(|tap| !tap.is_cancelled);
        let Some(subscription) = tap.and_then(|tap| tap.subscribed.as_deref()) else {
            return self.settle_lease(now, id, (lent.consumer, lent.lease), LeaseSettlement::RELEASED);
        };
        let session = session_ref.and_then(|session| self.lane.sessions.get_mut(session));
        let Some(session) = session.filter(|_| !is_opening) else {
            return taps.under_way.waiting.push_back(lent.clone());
        };
        let class = lent.message.header().class.min(subscription.options.class_max);
        let mut delivery = None;
        if class.is_confirmed() {
            let entry = Entry::new(lent.message.clone(), class, false, None);
            delivery = match session.queue.lease_apart(entry, session.receive_max) {
                Ok(delivery) => Some(delivery),
                // It never will be taken.
                Err(_) if session.queue.is_empty() => {
                    return self.settle_lease(
                        now,
                        id,
                        (lent.consumer, lent.lease),
                        LeaseSettlement::Rejected,
                    );
                }
                Err(_) => return taps.under_way.waiting.push_back(lent.clone()),
            };
        }
        let (topic, ids) = (Arc::clone(&subscription.filter), subscription.options.id);
        let subscribed = Subscribed {
            topic: Topic::from_checked(&topic),
            class,
            id: delivery,
            subscription_ids: ids.as_slice(),
        };
        let taken = self.write_lent(now, id, lent, Some(&subscribed));
        self.note_lent(now, id, lent, delivery, taken);
    }

    /// Notes a delivery that has been written, or that the peer does not take.
    fn note_lent(
        &mut self,
        now: Instant,
        id: ConnectionId,
        lent: &Lent,
        delivery: Option<DeliveryId>,
        taken: bool,
    ) {
        let lease = (lent.consumer, lent.lease);
        let connection = self.lane.connections.get_mut(id);
        let taps = connection.and_then(|connection| connection.taps.as_deref_mut());
        match (delivery, taps) {
            (Some(delivery), Some(taps)) if taken => {
                taps.under_way.lent.insert(delivery, lease);
                return;
            }
            (Some(delivery), _) => self.free(id, delivery),
            (None, _) => {}
        }
        let settlement = if taken { LeaseSettlement::Accepted } else { LeaseSettlement::Rejected };
        self.settle_lease(now, id, lease, settlement);
    }

    /// An identifier of the session's is free again.
    fn free(&mut self, id: ConnectionId, delivery: DeliveryId) {
        let session = self.lane.connections.get(id).and_then(Connection::session);
        if let Some(session) = session.and_then(|session| self.lane.sessions.get_mut(session)) {
            session.queue.settle(delivery);
        }
    }

    /// Settles a lease, and gives its consumer credit again, once that is worth a word.
    fn settle_lease(
        &mut self,
        now: Instant,
        id: ConnectionId,
        (consumer, lease): (ConsumerId, u64),
        settlement: LeaseSettlement,
    ) {
        let settle = SettleLeases { consumer, first: lease, last: lease, settlement, receipt: None };
        self.ask_queue(now, id, Request::Settle(settle));
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let session = connection.session().and_then(|session| self.lane.sessions.get(session));
        let window = session.map_or(1, |session| u32::from(session.receive_max));
        let tap = connection.taps.as_deref_mut().and_then(|taps| taps.consumers.get_mut(&consumer));
        let Some(subscription) = tap.and_then(|tap| tap.subscribed.as_deref_mut()) else { return };
        subscription.spent += 1;
        if subscription.spent < window.div_ceil(2) {
            return;
        }
        let messages = core::mem::take(&mut subscription.spent);
        let change = CreditChange::Add(Credit { messages, bytes: 0 });
        self.ask_queue(now, id, Request::Flow(Flow { consumer, change, drain: false }));
    }

    /// The peer speaks of a delivery. Returns whether it is one that a queue has lent.
    pub(crate) fn settle_lent(&mut self, now: Instant, id: ConnectionId, settle: Settle) -> bool {
        let Settle { delivery, settlement } = settle;
        let Some(connection) = self.lane.connections.get_mut(id) else { return false };
        let session = connection.session().and_then(|session| self.lane.sessions.get_mut(session));
        let Some((session, taps)) = session.zip(connection.taps.as_deref_mut()) else { return false };
        let Some(lease) = taps.under_way.lent.get(&delivery).copied() else { return false };
        let is_exact = match session.queue.lease(delivery) {
            Some(LeaseState::Sent(entry)) => entry.class == Class::ExactlyOnce,
            Some(LeaseState::Received) | None => return false,
        };
        let becomes = match settlement {
            Settlement::Rejected => LeaseSettlement::Rejected,
            Settlement::Received if is_exact => LeaseSettlement::Accepted,
            Settlement::Accepted if !is_exact => LeaseSettlement::Accepted,
            Settlement::Received | Settlement::Accepted | Settlement::Completed => {
                self.tell(now, id, Outcome::Ended(Reason::ProtocolViolation));
                return true;
            }
        };
        taps.under_way.lent.remove(&delivery);
        if settlement == Settlement::Received {
            session.queue.receive(delivery);
            self.lane.tell(now, id, Outcome::Received { id: delivery, known: true });
        } else {
            session.queue.settle(delivery);
        }
        self.settle_lease(now, id, lease, becomes);
        // What the session has itself and what queues have lent take turns.
        let first_own = lease.1.is_multiple_of(2);
        if !first_own {
            self.deliver_waiting(now, id);
        }
        if self.pump_connection(now, id.slot, 1) {
            self.lane.mark_pumping(id.slot);
        }
        self.deliver_waiting(now, id);
        true
    }

    /// Makes deliveries that have waited, as far as the peer takes them.
    pub(crate) fn deliver_waiting(&mut self, now: Instant, id: ConnectionId) {
        let count =
            |connection: &Connection| connection.taps.as_ref().map(|taps| taps.under_way.waiting.len());
        let waiting = self.lane.connections.get(id).and_then(count).unwrap_or_default();
        for _ in 0..waiting {
            let taps =
                self.lane.connections.get_mut(id).and_then(|connection| connection.taps.as_deref_mut());
            let Some(under_way) = taps.map(|taps| &mut taps.under_way) else { return };
            let Some(lent) = under_way.waiting.pop_front() else { return };
            let left = under_way.waiting.len();
            self.deliver_subscribed(now, id, &lent);
            let Some(taps) = self.lane.connections.get_mut(id).and_then(|c| c.taps.as_deref_mut()) else {
                return;
            };
            // It waits again: in its place.
            if taps.under_way.waiting.len() > left {
                taps.under_way.waiting.rotate_right(1);
                return;
            }
        }
    }

    /// A connection has ended: the identifiers of what queues have lent it are free. The leases end with their consumers.
    pub(crate) fn return_lent(&mut self, id: ConnectionId, session_ref: SessionRef) {
        let taps = self.lane.connections.get_mut(id).and_then(|connection| connection.taps.as_deref_mut());
        let Some(under_way) = taps.map(|taps| &mut taps.under_way) else { return };
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        for (delivery, _) in core::mem::take(&mut under_way.lent) {
            session.queue.settle(delivery);
        }
    }
}
