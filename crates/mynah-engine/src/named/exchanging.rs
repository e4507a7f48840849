//! Exchanges and bindings come and go. All workers share the tables, and what a peer asks of exchanges is done there at once, so
//! that what it asks next finds it done; what is bound to a queue is at the queue's worker. The worker that owns an exchange's
//! name notes how the tables stand when it hears that something has changed: so it does not matter in which order it hears it.

use core::sync::atomic::Ordering;
use std::collections::BTreeMap;

use mynah_core::exchange::{Ended, Endpoint, ExchangeError, ExchangeRef, Exchanges, TOPIC_SPACE};
use mynah_core::rules::{Action, Grant, Object};
use mynah_core::{SessionRef, owner};
use mynah_model::{Argument, ExchangeSettings, Filter, Instant, Reason, TenantId};
use mynah_stack::{Bind, Declaration, Entity};

use super::keeping::QueueNote;
use super::linked::{Binding, ExchangeNote};
use super::replaying::retain_handling;
use super::request::{Asker, Fault, Noting, Reply, Request, Said, Wish, Word};
use crate::administration::is_order;
use crate::connections::ConnectionId;
use crate::engine::Engine;
use crate::inbox::Parcel;
use crate::journal::Note;

/// Bindings of what is gone that are removed in one turn.
const BINDINGS: usize = 512;
/// Bytes of names, key and arguments of one binding.
const BINDING_BYTES_MAX: usize = 32 << 10;

/// Exchanges by their names, with their numbers and the marks of what was noted of them.
pub(crate) type Noted = BTreeMap<(TenantId, Box<[u8]>), (u64, u64)>;

impl From<ExchangeError> for Fault {
    fn from(error: ExchangeError) -> Self {
        Self::new(error.reason, error.detail)
    }
}

fn no_such_exchange(name: &[u8]) -> Fault {
    Fault::new(Reason::NotFound, format!("there is no exchange '{}'", name.escape_ascii()))
}

impl Engine {
    pub(super) fn declare_exchange(
        &mut self,
        now: Instant,
        id: ConnectionId,
        receipt: u32,
        name: &[u8],
        declaration: Declaration,
    ) {
        let tenant = self.asker(id).tenant;
        let result = match declaration {
            Declaration::Exchange(settings) => {
                let durable = settings.durable;
                let allowed = self.may_declare(now, id, name, &settings);
                match allowed.and_then(|()| self.make_exchange(tenant, name, settings)) {
                    Ok(()) if durable => {
                        let reply = Reply::Declared { receipt, name: name.into(), result: Ok((0, 0)) };
                        return self.note_exchange(now, id, name, None, reply);
                    }
                    made => made,
                }
            }
            // Whether it is there anybody may ask. The default exchange always is.
            _ => {
                let is_there = name.is_empty() || self.shared.read_exchanges().find(tenant, name).is_some();
                is_there.then_some(()).ok_or_else(|| no_such_exchange(name))
            }
        };
        let result = result.map(|()| (0, 0));
        self.answer_queue(now, id, Reply::Declared { receipt, name: name.into(), result });
    }

    /// Who makes an exchange gives its messages to the alternate too.
    fn may_declare(
        &mut self,
        now: Instant,
        id: ConnectionId,
        name: &[u8],
        settings: &ExchangeSettings,
    ) -> Result<(), Fault> {
        self.may(now, id, Action::Configure, name)?;
        match &settings.alternate {
            Some(alternate) => self.may(now, id, Action::Configure, alternate),
            None => Ok(()),
        }
    }

    fn make_exchange(&self, tenant: TenantId, name: &[u8], settings: ExchangeSettings) -> Result<(), Fault> {
        let number = self.first_sequence + self.shared.exchange_numbers.fetch_add(1, Ordering::Relaxed);
        let mut exchanges = self.shared.write_exchanges();
        let (_, is_new) = exchanges.declare(tenant, name, settings, number)?;
        if is_new {
            self.shared.note_routing(tenant, &exchanges);
            self.shared.count_exchanges();
        }
        Ok(())
    }

    pub(super) fn delete_exchange(
        &mut self,
        now: Instant,
        id: ConnectionId,
        receipt: u32,
        name: &[u8],
        if_unused: bool,
    ) {
        let tenant = self.asker(id).tenant;
        match self.unmake_exchange(tenant, name, if_unused) {
            Ok(true) => {
                let reply = Reply::Deleted { receipt, result: Ok(0) };
                self.note_exchange(now, id, name, None, reply);
            }
            result => {
                let result = result.map(|_| 0);
                self.answer_queue(now, id, Reply::Deleted { receipt, result });
            }
        }
    }

    /// Returns whether it was durable.
    fn unmake_exchange(&mut self, tenant: TenantId, name: &[u8], if_unused: bool) -> Result<bool, Fault> {
        let mut exchanges = self.shared.write_exchanges();
        let found = exchanges.find(tenant, name).and_then(|exchange| exchanges.settings(exchange));
        let durable = found.is_some_and(|settings| settings.durable);
        if !exchanges.delete(tenant, name, if_unused)? {
            return Err(no_such_exchange(name));
        }
        self.shared.note_routing(tenant, &exchanges);
        self.shared.count_exchanges();
        drop(exchanges);
        self.forgets = true;
        Ok(durable)
    }

    /// Something has changed about a durable exchange, or about what it is bound to: its worker notes that, and answers then.
    fn note_exchange(
        &mut self,
        now: Instant,
        id: ConnectionId,
        name: &[u8],
        binding: Option<Binding>,
        reply: Reply,
    ) {
        if !self.lane.journal.is_on() {
            return self.answer_queue(now, id, reply);
        }
        let noting = Noting { name: name.into(), binding, reply };
        self.ask_queue(now, id, Request::NoteExchange(Box::new(noting)));
    }

    pub(super) fn serve_noting(&mut self, now: Instant, asker: Asker, noting: Noting) {
        let Noting { name, binding, reply } = noting;
        match binding {
            None => self.note_standing(asker.tenant, name),
            Some(binding) => {
                let bound = self.is_linked(asker.tenant, &name, &binding);
                let note = ExchangeNote::Binding(asker.tenant, name, Box::new(binding), bound);
                self.lane.journal.note(Note::Exchange(note));
            }
        }
        self.reply(now, asker, reply);
    }

    /// Notes whether an exchange of this worker is there, unless that is stored.
    fn note_standing(&mut self, tenant: TenantId, name: Box<[u8]>) {
        let mark = self.lane.journal.mark();
        let exchanges = self.shared.read_exchanges();
        let found = exchanges.find(tenant, &name).filter(|found| is_durable(&exchanges, *found));
        let Some((settings, number)) =
            found.and_then(|found| exchanges.settings(found).zip(exchanges.number(found)))
        else {
            self.declared.remove(&(tenant, name.clone()));
            return self.lane.journal.note(Note::Exchange(ExchangeNote::Ended(tenant, name)));
        };
        let noted = self.declared.get(&(tenant, name.clone())).filter(|(other, _)| *other == number);
        // What an earlier run has left is stored.
        let is_stored = noted.map_or(number < self.first_sequence || number == 0, |(_, mark)| {
            self.lane.journal.is_stored(*mark)
        });
        if !is_stored {
            let note = ExchangeNote::There(tenant, name.clone(), Box::new(settings.clone()), number);
            self.lane.journal.note(Note::Exchange(note));
            self.declared.insert((tenant, name), (number, mark));
        }
    }

    fn is_linked(&self, tenant: TenantId, name: &[u8], binding: &Binding) -> bool {
        let exchanges = self.shared.read_exchanges();
        let ends = exchanges.find(tenant, &binding.source).zip(exchanges.find(tenant, name));
        ends.is_some_and(|(source, to)| {
            exchanges.number(source) == Some(binding.number)
                && exchanges.is_bound(source, Endpoint::Exchange(to), &binding.terms())
        })
    }

    /// Binds a queue or an exchange to an exchange, or undoes that. A queue's binding to the topic space is a filter that is
    /// attached to it.
    pub(crate) fn bind(&mut self, now: Instant, id: ConnectionId, bind: Bind<'_>, bound: bool) {
        let Bind { receipt, source, destination, key, arguments } = bind;
        if let Err(fault) = self.may_bind(now, id, source, destination, key) {
            return self.answer_queue(now, id, Reply::Bound { receipt, result: Err(fault) });
        }
        let name = match destination {
            Entity::Queue(name) if source == TOPIC_SPACE => {
                let (name, filter) = (name.into(), key.into());
                let request = match retain_handling(&arguments) {
                    _ if !bound => Request::Detach { receipt, name, filter },
                    Ok(retained) => Request::Attach { receipt, name, filter, retained },
                    Err(fault) => {
                        return self.answer_queue(now, id, Reply::Bound { receipt, result: Err(fault) });
                    }
                };
                return self.ask_queue(now, id, request);
            }
            Entity::Queue(name) | Entity::Exchange(name) => name,
        };
        let (source, key, arguments) = (source.into(), key.into(), arguments.into());
        let mut binding = Binding { source, number: 0, key, arguments };
        if let Entity::Queue(name) = destination {
            let wish = Wish { receipt, name: name.into(), binding, bound };
            return self.ask_queue(now, id, Request::Bind(Box::new(wish)));
        }
        let tenant = self.asker(id).tenant;
        let found = self.shared.read_exchanges().find(tenant, name).ok_or_else(|| no_such_exchange(name));
        let to = found.map(Endpoint::Exchange);
        match to.and_then(|to| self.link(tenant, to, name, &mut binding, bound)) {
            Ok(stored) => {
                let reply = Reply::Bound { receipt, result: Ok(()) };
                if stored {
                    return self.note_exchange(now, id, name, Some(binding), reply);
                }
                self.answer_queue(now, id, reply);
            }
            Err(fault) => self.answer_queue(now, id, Reply::Bound { receipt, result: Err(fault) }),
        }
    }

    /// Whether a peer may have what an exchange routes in a queue or in another exchange: each consumer there sees all of it.
    fn may_bind(
        &mut self,
        now: Instant,
        id: ConnectionId,
        source: &[u8],
        destination: Entity<'_>,
        key: &[u8],
    ) -> Result<(), Fault> {
        let (Entity::Queue(name) | Entity::Exchange(name)) = destination;
        let is_default = |name: &[u8]| name.is_empty();
        if is_default(source) || (is_default(name) && destination == Entity::Exchange(b"")) {
            return Err(Fault::new(Reason::NotAuthorized, "nothing is bound to the default exchange"));
        }
        self.may(now, id, Action::Configure, name)?;
        if source != TOPIC_SPACE {
            return self.may(now, id, Action::Consume, source);
        }
        let filter =
            Filter::new(key).map_err(|error| Fault::new(Reason::FilterInvalid, error.to_string()))?;
        if is_order(id) {
            return Ok(());
        }
        match self.may_subscribe(id, filter) {
            Ok(Grant::Whole) => Ok(()),
            Ok(Grant::Partly | Grant::Refused) | Err(Reason::NotAuthorized) => {
                self.audit_look(now, id, Object::Filter(filter));
                Err(Fault::from(Reason::NotAuthorized))
            }
            Err(reason) => Err(Fault::from(reason)),
        }
    }

    pub(super) fn serve_bind(&mut self, asker: Asker, wish: Wish) -> Result<(), Fault> {
        let Wish { name, mut binding, bound, .. } = wish;
        let queue = self.find_for(asker, &name)?;
        let changed = self.link(asker.tenant, Endpoint::Queue(queue), &name, &mut binding, bound)?;
        if changed && self.lane.is_stored(queue) {
            self.lane.journal.note(Note::Queue(QueueNote::Binding(queue, Box::new(binding), bound)));
        }
        Ok(())
    }

    /// Binds to an exchange, or undoes that. Returns whether it has changed anything that is to be stored.
    fn link(
        &mut self,
        tenant: TenantId,
        to: Endpoint,
        name: &[u8],
        binding: &mut Binding,
        bound: bool,
    ) -> Result<bool, Fault> {
        if bytes_of(name, binding) > BINDING_BYTES_MAX {
            return Err(Fault::new(Reason::QuotaExceeded, "the binding is longer than it may be"));
        }
        let mut exchanges = self.shared.write_exchanges();
        let source = exchanges.find(tenant, &binding.source);
        let source = source.ok_or_else(|| no_such_exchange(&binding.source))?;
        let durable = is_durable(&exchanges, source)
            && match to {
                Endpoint::Queue(_) => true,
                Endpoint::Exchange(to) => is_durable(&exchanges, to),
            };
        binding.number = exchanges.number(source).unwrap_or_default();
        let changed = if !bound {
            exchanges.unbind(source, to, &binding.terms())
        } else if exchanges.bindings_len(to) >= self.shared.limits.queue_bindings_max {
            return Err(Fault::from(Reason::QuotaExceeded));
        } else {
            exchanges.bind(source, to, name, &binding.terms())?
        };
        let ended = exchanges.take_ended();
        if changed {
            self.shared.note_routing(tenant, &exchanges);
        }
        drop(exchanges);
        self.exchanges_ended(ended);
        Ok(changed && durable)
    }

    /// Nothing is routed to a queue any more. Its bindings go bit by bit.
    pub(super) fn forget_queue(&mut self, tenant: TenantId, queue: SessionRef) {
        let endpoint = Endpoint::Queue(queue);
        if self.shared.read_exchanges().bindings_len(endpoint) == 0 {
            return;
        }
        let mut exchanges = self.shared.write_exchanges();
        exchanges.forget(endpoint);
        self.shared.note_routing(tenant, &exchanges);
        self.forgets = true;
    }

    /// Removes some of the bindings of queues and exchanges that are gone. Returns whether there are more.
    pub(super) fn forget_bindings(&mut self) -> bool {
        if core::mem::take(&mut self.forgets) {
            let mut exchanges = self.shared.write_exchanges();
            self.forgets = exchanges.forget_some(BINDINGS);
            let ended = exchanges.take_ended();
            drop(exchanges);
            self.exchanges_ended(ended);
        }
        self.forgets
    }

    /// Exchanges have gone of themselves: their workers note that.
    fn exchanges_ended(&mut self, ended: Vec<Ended>) {
        for ended in ended {
            self.shared.note_routing(ended.tenant, &self.shared.read_exchanges());
            self.shared.count_exchanges();
            self.forgets = true;
            if !ended.durable || !self.lane.journal.is_on() {
                continue;
            }
            let Ended { tenant, name, .. } = ended;
            let to = owner(tenant, &name, self.shared.workers(), self.shared.seed);
            if to == self.worker {
                self.exchange_ended(tenant, name);
            } else {
                let word = Word(Said::ExchangeEnded(tenant, name));
                self.outboxes[usize::from(to.0)].push(Parcel::Queue(Box::new(word)));
            }
        }
    }

    /// An exchange of this worker has gone of itself, unless there is another of the name by now.
    pub(super) fn exchange_ended(&mut self, tenant: TenantId, name: Box<[u8]>) {
        self.note_standing(tenant, name);
    }
}

fn is_durable(exchanges: &Exchanges, exchange: ExchangeRef) -> bool {
    exchanges.settings(exchange).is_some_and(|settings| settings.durable)
}

fn bytes_of(name: &[u8], binding: &Binding) -> usize {
    let value = |argument: &Argument| match argument {
        Argument::Text(text) => text.len(),
        Argument::Binary(bytes) => bytes.len(),
        _ => 8,
    };
    let arguments = binding.arguments.iter().map(|(name, argument)| name.len() + value(argument) + 8);
    name.len() + binding.source.len() + binding.key.len() + arguments.sum::<usize>()
}
