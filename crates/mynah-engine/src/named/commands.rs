//! What a connection asks about queues: whether it may, and who has to hear it.

use std::sync::Arc;

use mynah_core::rules::{Action, Object};
use mynah_core::selector::Selector;
use mynah_core::{Taking, WorkerId, owner};
use mynah_model::{DeadLetter, Instant, Reason, TenantId, Topic};
use mynah_stack::{
    Consume, ConsumeOptions, ConsumerId, Declaration, Declare, Delete, Entity, Flow, QueueCommand,
    SettleLeases,
};

use super::Tap;
use super::addresses::place;
use super::request::{Asker, Consuming, Fault, Reply, Request, Said, Wanted, Word};
use super::subscribed::is_subscribed;
use crate::administration::is_order;
use crate::connections::{Connection, ConnectionId};
use crate::engine::Engine;
use crate::inbox::Parcel;
use crate::publish::exceeds;
use crate::waiting::Held;

impl Engine {
    /// Carries out what a connection asks about queues.
    pub(crate) fn queue_command(&mut self, now: Instant, id: ConnectionId, command: QueueCommand<'_>) {
        if self.lane.connections.get(id).is_none_or(|connection| connection.session().is_none()) {
            return;
        }
        match command {
            QueueCommand::Declare(declare) => self.declare(now, id, *declare),
            QueueCommand::Delete(delete) => self.delete(now, id, delete),
            QueueCommand::Purge(purge) => {
                let (receipt, name) = (purge.receipt, purge.queue);
                match self.may(now, id, Action::Consume, name) {
                    Ok(()) => self.ask_queue(now, id, Request::Purge { receipt, name: name.into() }),
                    Err(fault) => self.answer_queue(now, id, Reply::Deleted { receipt, result: Err(fault) }),
                }
            }
            QueueCommand::Bind(bind) => self.bind(now, id, *bind, true),
            QueueCommand::Unbind(bind) => self.bind(now, id, *bind, false),
            QueueCommand::Consume(consume) => self.consume(now, id, *consume),
            QueueCommand::Cancel { consumer, keep } => {
                if self.mark_cancelled(id, consumer, keep) {
                    self.ask_queue(now, id, Request::Cancel { consumer, keep });
                } else {
                    self.answer_queue(now, id, Reply::Cancelled(consumer));
                }
            }
            QueueCommand::Flow(flow) => self.ask_queue(now, id, Request::Flow(flow)),
            QueueCommand::Settle(settle) => self.ask_queue(now, id, Request::Settle(settle)),
            QueueCommand::Transact(transaction) => self.transact(now, id, *transaction),
            QueueCommand::Hold(hold) => self.hold_leases(now, id, &hold),
        }
    }

    /// Whether a peer has a right to a queue.
    pub(super) fn may(
        &mut self,
        now: Instant,
        id: ConnectionId,
        action: Action,
        name: &[u8],
    ) -> Result<(), Fault> {
        if exceeds(name, &self.shared.limits) {
            return Err(Fault::new(Reason::QuotaExceeded, "the name is longer than it may be"));
        }
        if is_order(id) {
            return Ok(());
        }
        let topic = Topic::from_checked(name);
        match self.ask(id, |rights, names| rights.permits(action, names, topic)) {
            Ok(Some(false)) => {
                self.audit_action(now, id, action, Object::Topic(topic));
                Err(Fault::from(Reason::NotAuthorized))
            }
            Ok(Some(true) | None) => Ok(()),
            Err(reason) => Err(Fault::from(reason)),
        }
    }

    /// Whether a peer may say where the dead letters of a queue go: they are published there in nobody's name.
    fn may_bury(&mut self, now: Instant, id: ConnectionId, letter: Option<&DeadLetter>) -> Result<(), Fault> {
        let Some(DeadLetter { exchange, key }) = letter else { return Ok(()) };
        match key {
            Some(key) => self.may(now, id, Action::Publish, &place(exchange, key)),
            // To the queue that they were published to in the first place.
            None if exchange.is_empty() => Ok(()),
            None => self.may(now, id, Action::Configure, exchange),
        }
    }

    pub(crate) fn declare(&mut self, now: Instant, id: ConnectionId, declare: Declare<'_>) {
        let Declare { receipt, entity, declaration } = declare;
        let given = match entity {
            Entity::Queue(name) => name,
            Entity::Exchange(name) => return self.declare_exchange(now, id, receipt, name, declaration),
        };
        let name: Box<[u8]> = if given.is_empty() { self.random_name() } else { given.into() };
        let wanted = match declaration {
            Declaration::Queue(settings) => Wanted::Settings(Box::new(settings)),
            Declaration::OnFirstUse => Wanted::OnFirstUse,
            // What is neither a queue's declaration nor the question whether it is there says nothing of it.
            Declaration::Passive | Declaration::Exchange(_) => Wanted::Passive,
        };
        let allowed = match wanted {
            // Whether it is there anybody may ask.
            Wanted::Passive => Ok(()),
            Wanted::OnFirstUse => self.may(now, id, Action::Configure, &name),
            Wanted::Settings(ref settings) => self
                .may(now, id, Action::Configure, &name)
                .and_then(|()| self.may_bury(now, id, settings.dead_letter.as_ref())),
        };
        if let Err(fault) = allowed {
            return self.answer_queue(now, id, Reply::Declared { receipt, name, result: Err(fault) });
        }
        let is_exclusive = matches!(&wanted, Wanted::Settings(settings) if settings.exclusive);
        if let Some(connection) = self.lane.connections.get_mut(id).filter(|_| is_exclusive) {
            let exclusive = &mut connection.taps.get_or_insert_default().exclusive;
            if !exclusive.contains(&name) {
                exclusive.push(name.clone());
            }
        }
        self.ask_queue(now, id, Request::Declare { receipt, name, wanted });
    }

    pub(crate) fn delete(&mut self, now: Instant, id: ConnectionId, delete: Delete<'_>) {
        let Delete { receipt, entity, if_unused, if_empty } = delete;
        let (Entity::Queue(name) | Entity::Exchange(name)) = entity;
        if let Err(fault) = self.may(now, id, Action::Configure, name) {
            return self.answer_queue(now, id, Reply::Deleted { receipt, result: Err(fault) });
        }
        if let Entity::Exchange(name) = entity {
            return self.delete_exchange(now, id, receipt, name, if_unused);
        }
        self.ask_queue(now, id, Request::Delete { receipt, name: name.into(), if_unused, if_empty });
    }

    fn consume(&mut self, now: Instant, id: ConnectionId, consume: Consume<'_>) {
        let Consume { consumer, queue, options, credit } = consume;
        let to = self.owner_of(id, queue);
        let selector = options.selector.map(|text| Selector::parse(text).map(Arc::new)).transpose();
        let allowed = self.may(now, id, Action::Consume, queue).and_then(|()| {
            if let Err(error) = &selector {
                return Err(Fault::new(Reason::SelectorInvalid, error.to_string()));
            }
            let max = self.shared.limits.subscriptions_per_session_max;
            let connection = self.lane.connections.get_mut(id).ok_or(Reason::Disconnected)?;
            let taps = connection.taps.get_or_insert_default();
            if taps.consumers.get(&consumer).is_some_and(|tap| !tap.is_cancelled) {
                return Err(Fault::new(Reason::PreconditionFailed, "there is a consumer of this number"));
            }
            if taps.consumers.len() >= max {
                return Err(Fault::from(Reason::QuotaExceeded));
            }
            taps.consumers.insert(consumer, Tap::new(queue, to));
            Ok(connection.publisher)
        });
        let publisher = match allowed {
            Ok(publisher) => publisher,
            Err(fault) => {
                let reply = Reply::Consuming { consumer, result: Err(fault) };
                return self.lane.tell(now, id, reply.outcome());
            }
        };
        let ConsumeOptions { settled, exclusive, polls, priority, no_local, offset, .. } = options;
        let spares = publisher.filter(|_| no_local);
        let selector = selector.ok().flatten();
        let selects = selector.is_some();
        let taking = Taking { settled, exclusive, polls, priority, spares, selects, ..Taking::default() };
        let consuming = Consuming { name: queue.into(), taking, offset, selector, credit, makes: false };
        self.ask_queue(now, id, Request::Consume(consumer, Box::new(consuming)));
    }

    /// Returns whether the consumer is there.
    pub(super) fn mark_cancelled(&mut self, id: ConnectionId, consumer: ConsumerId, keep: bool) -> bool {
        let taps = self.lane.connections.get_mut(id).and_then(|connection| connection.taps.as_deref_mut());
        let tap = taps.and_then(|taps| taps.consumers.get_mut(&consumer));
        let Some(tap) = tap.filter(|tap| !tap.is_cancelled) else { return false };
        tap.is_cancelled = keep;
        true
    }

    fn tenant_of(&self, id: ConnectionId) -> TenantId {
        let connection = self.lane.connections.get(id).map(|connection| connection.tenant);
        connection.or_else(|| self.orders.tenant(id)).unwrap_or(TenantId::DEFAULT)
    }

    /// A connection of this worker as one that asks.
    pub(super) fn asker(&self, connection: ConnectionId) -> Asker {
        Asker { worker: self.worker, connection, tenant: self.tenant_of(connection) }
    }

    /// Hands a request to the worker of the queue.
    pub(crate) fn ask_queue(&mut self, now: Instant, id: ConnectionId, request: Request) {
        let asker = self.asker(id);
        let Some(to) = self.worker_of(id, &request) else { return self.ask_nobody(now, id, &request) };
        if to == self.worker {
            return self.serve(now, asker, request);
        }
        self.outboxes[usize::from(to.0)].push(Parcel::Queue(Box::new(Word(Said::Ask(asker, request)))));
    }

    /// A request is about a consumer that is not there.
    fn ask_nobody(&mut self, now: Instant, id: ConnectionId, request: &Request) {
        match *request {
            Request::Settle(SettleLeases { receipt: Some(receipt), .. }) => {
                self.answer_queue(now, id, Reply::Settled { receipt });
            }
            Request::Flow(Flow { consumer, drain: true, .. }) => {
                self.answer_queue(now, id, Reply::Drained(consumer));
            }
            _ => {}
        }
    }

    /// The worker that a request goes to; none if it is about a consumer that is not there.
    pub(super) fn worker_of(&mut self, id: ConnectionId, request: &Request) -> Option<WorkerId> {
        let consumer = match request {
            Request::Declare { name, .. }
            | Request::Delete { name, .. }
            | Request::Purge { name, .. }
            | Request::Attach { name, .. }
            | Request::Detach { name, .. }
            | Request::Publish { name, .. }
            | Request::EndExclusive { name } => {
                return Some(self.owner_of(id, name));
            }
            Request::Hold(_, wanting) => return Some(self.owner_of(id, &wanting.name)),
            Request::Bind(wish) => return Some(self.owner_of(id, &wish.name)),
            Request::NoteExchange(noting) => return Some(self.owner_of(id, &noting.name)),
            Request::Consume(consumer, _)
            | Request::Cancel { consumer, .. }
            | Request::Leave { consumer, .. } => consumer,
            Request::Flow(flow) => &flow.consumer,
            Request::Settle(settle) | Request::Pledge(settle) => &settle.consumer,
            Request::Redeem { queue, .. } => return Some(queue.worker),
        };
        let taps = self.lane.connections.get(id)?.taps.as_deref()?;
        taps.consumers.get(consumer).map(|tap| tap.worker)
    }

    pub(super) fn owner_of(&self, id: ConnectionId, name: &[u8]) -> WorkerId {
        owner(self.tenant_of(id), name, self.shared.workers(), self.shared.seed)
    }

    /// A connection of this worker hears what became of a request.
    pub(crate) fn answer_queue(&mut self, now: Instant, id: ConnectionId, reply: Reply) {
        if is_order(id) {
            return self.end_order(id, reply);
        }
        if self.lane.connections.get(id).is_none_or(Connection::is_closing) {
            return;
        }
        if let Some(consumer) = reply.consumer().filter(|consumer| is_subscribed(*consumer)) {
            return self.answer_subscribed(now, id, consumer, &reply);
        }
        let ended = match &reply {
            Reply::Consuming { consumer, result: Err(_) } | Reply::ConsumerEnded { consumer, .. } => {
                Some(*consumer)
            }
            Reply::Cancelled(consumer) | Reply::Held { taken_by: Some(consumer), .. } => Some(*consumer),
            _ => None,
        };
        let taps = self.lane.connections.get_mut(id).and_then(|connection| connection.taps.as_deref_mut());
        if let (Some(consumer), Some(taps)) = (ended, taps) {
            let keeps = matches!(reply, Reply::Cancelled(_));
            if taps.consumers.get(&consumer).is_some_and(|tap| !(keeps && tap.is_cancelled)) {
                taps.consumers.remove(&consumer);
            }
        }
        if reply.is_promise()
            && self.lane.waits(id)
            && let Some(after) = self.after(id)
        {
            return self.hold(id, after, Held::Queue(Box::new(reply)));
        }
        self.lane.tell(now, id, reply.outcome());
        // The stack may have waited for that.
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.is_answered = true;
        }
        self.lane.mark_pumping(id.slot);
    }

    fn random_name(&mut self) -> Box<[u8]> {
        let (high, low) = (self.random.next(), self.random.next());
        format!("amq.gen-{high:016x}{low:016x}").into_bytes().into()
    }
}
