//! What administrators ask for. It is done as what connections ask is, in the name of a connection that is none.

use std::collections::BTreeMap;

use mynah_core::administration::{BindingView, Declined, Order, Ordered};
use mynah_model::{Instant, Reason, TenantId};
use mynah_stack::{Bind, Declaration, Declare, Delete, Entity};

use crate::connections::ConnectionId;
use crate::engine::{Engine, Event};
use crate::journal::After;
use crate::named::{Fault, Reply, Request};

/// The slot of connections that are none.
const NOBODY: u32 = u32::MAX;
/// Orders of one worker that are not carried out yet.
const PENDING_MAX: usize = 1_024;

/// Whether something is asked for by an administrator, and not by a connection.
pub(crate) const fn is_order(id: ConnectionId) -> bool {
    id.slot == NOBODY
}

/// Orders that are not carried out yet.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    last: u32,
    pending: BTreeMap<u32, Pending>,
}

#[derive(Debug)]
struct Pending {
    tenant: TenantId,
    /// What has become of it, and what has to be stored before that is told.
    outcome: Option<(After, Ordered)>,
}

impl Orders {
    /// Whose space an order is about.
    pub(crate) fn tenant(&self, id: ConnectionId) -> Option<TenantId> {
        self.pending.get(&id.generation).filter(|_| is_order(id)).map(|pending| pending.tenant)
    }
}

impl From<Fault> for Declined {
    fn from(fault: Fault) -> Self {
        Self { reason: fault.reason, detail: (*fault.detail).into() }
    }
}

impl Engine {
    /// Carries out an order of somebody who may give it. Any worker can. What became of it is told by [`Event::Ordered`]
    /// with the number that is returned, when what it has changed is stored.
    pub fn handle_order(&mut self, now: Instant, tenant: TenantId, order: Order) -> u32 {
        self.orders.last = self.orders.last.wrapping_add(1);
        let number = self.orders.last;
        let declined = if self.stopping {
            Some(Reason::ShuttingDown)
        } else {
            (self.orders.pending.len() >= PENDING_MAX).then_some(Reason::ServerBusy)
        };
        if let Some(reason) = declined {
            let result = Err(Declined { reason, detail: Box::default() });
            self.events.push_back(Event::Ordered { number, result });
            return number;
        }
        self.orders.pending.insert(number, Pending { tenant, outcome: None });
        self.lane.journal.begin();
        let id = ConnectionId { slot: NOBODY, generation: number };
        self.carry_order_out(now, id, order);
        number
    }

    fn carry_order_out(&mut self, now: Instant, id: ConnectionId, order: Order) {
        let receipt = 0;
        match order {
            Order::DeclareQueue { name, settings } => {
                let fault = if settings.exclusive {
                    Some(Fault::new(
                        Reason::PreconditionFailed,
                        "a queue of one connection is declared by it",
                    ))
                } else {
                    name.is_empty().then(|| Fault::new(Reason::PreconditionFailed, "a queue needs a name"))
                };
                if let Some(fault) = fault {
                    return self.answer_queue(now, id, Reply::Declared { receipt, name, result: Err(fault) });
                }
                let declaration = Declaration::Queue(*settings);
                self.declare(now, id, Declare { receipt, entity: Entity::Queue(&name), declaration });
            }
            Order::DeclareExchange { name, settings } => {
                let declaration = Declaration::Exchange(*settings);
                self.declare(now, id, Declare { receipt, entity: Entity::Exchange(&name), declaration });
            }
            Order::DeleteQueue { name, if_unused, if_empty } => {
                self.delete(now, id, Delete { receipt, entity: Entity::Queue(&name), if_unused, if_empty });
            }
            Order::DeleteExchange { name, if_unused } => {
                let entity = Entity::Exchange(&name);
                self.delete(now, id, Delete { receipt, entity, if_unused, if_empty: false });
            }
            Order::Purge { name } => self.ask_queue(now, id, Request::Purge { receipt, name }),
            Order::Bind { binding, bound } => {
                let BindingView { source, destination, is_queue, key, .. } = &binding;
                let arguments = binding.arguments.to_vec();
                let destination =
                    if *is_queue { Entity::Queue(destination) } else { Entity::Exchange(destination) };
                let bind = Bind { receipt, source, destination, key, arguments };
                self.bind(now, id, bind, bound);
            }
        }
    }

    /// It is known what becomes of an order.
    pub(crate) fn end_order(&mut self, id: ConnectionId, reply: Reply) {
        let result = match reply {
            Reply::Declared { result, .. } => result.map(|_| 0),
            Reply::Deleted { result, .. } => result,
            Reply::Bound { result, .. } => result.map(|()| 0),
            _ => return,
        };
        let Some(pending) = self.orders.pending.get_mut(&id.generation) else { return };
        let after = self.lane.journal.after().unwrap_or_default();
        if after.mark > 0 {
            self.lane.journal.await_after(after, id);
        }
        pending.outcome = Some((after, result.map_err(Declined::from)));
        self.tell_orders();
    }

    /// Tells what became of orders, of those that are stored.
    pub(crate) fn tell_orders(&mut self) {
        let (journal, events) = (&self.lane.journal, &mut self.events);
        self.orders.pending.retain(|&number, pending| {
            let told = pending.outcome.take_if(|(after, _)| journal.is_past(*after));
            let waits = told.is_none();
            events.extend(told.map(|(_, result)| Event::Ordered { number, result }));
            waits
        });
    }
}
