//! A broker of queues and exchanges without workers.

use std::future::ready;
use std::sync::{Mutex, MutexGuard};

use mynah_core::administration::{
    BindingView, ConnectionName, ConnectionView, Declined, ExchangeView, Names, Order, Ordered, QueueView,
};
use mynah_core::{Tally, WorkerId};
use mynah_model::Reason;

use crate::accounts::{Permissions, UserChange, UserView};
use crate::messages::{Afterwards, Fetch, Fetched, Publication};
use crate::{Answer, Asker, Broker};

/// What is there.
#[derive(Debug, Default)]
pub(crate) struct There {
    pub(crate) queues: Vec<QueueView>,
    pub(crate) exchanges: Vec<ExchangeView>,
    pub(crate) links: Vec<BindingView>,
    pub(crate) connections: Vec<ConnectionView>,
    pub(crate) messages: Vec<Fetched>,
    pub(crate) users: Vec<UserView>,
    pub(crate) changes: Vec<UserChange>,
    pub(crate) is_stopping: bool,
}

/// Carries orders out at once.
#[derive(Debug, Default)]
pub(crate) struct Plain(Mutex<There>);

impl Plain {
    pub(crate) fn there(&self) -> MutexGuard<'_, There> {
        self.0.lock().unwrap()
    }
}

fn absent() -> Ordered {
    Err(Declined { reason: Reason::NotFound, detail: "there is no queue of this name".into() })
}

impl There {
    fn carry_out(&mut self, order: Order) -> Ordered {
        let at = self.queues.iter().position(|queue| *queue.name == *order.name());
        match order {
            Order::DeclareQueue { name, settings } => {
                if at.is_some_and(|at| self.queues[at].settings != *settings) {
                    return Err(Declined { reason: Reason::PreconditionFailed, detail: "other".into() });
                }
                if at.is_none() {
                    self.queues.push(QueueView {
                        name,
                        worker: WorkerId(0),
                        settings: *settings,
                        ready: 2,
                        ready_bytes: 20,
                        leased: 1,
                        delayed: 0,
                        tally: Tally { came: 3, ..Tally::default() },
                        consumers: Vec::new(),
                        bindings: Vec::new(),
                    });
                }
            }
            Order::DeclareExchange { name, settings } => {
                self.exchanges.push(ExchangeView { name, settings: *settings });
            }
            Order::DeleteQueue { .. } => {
                let Some(at) = at else { return absent() };
                return Ok(self.queues.remove(at).ready);
            }
            Order::DeleteExchange { name, .. } => self.exchanges.retain(|exchange| exchange.name != name),
            Order::Purge { .. } => {
                let Some(at) = at else { return absent() };
                return Ok(std::mem::take(&mut self.queues[at].ready));
            }
            Order::Bind { binding, bound } => {
                let list = match at {
                    Some(at) if binding.is_queue => &mut self.queues[at].bindings,
                    None if binding.is_queue => return absent(),
                    _ => &mut self.links,
                };
                list.retain(|other| *other != binding);
                list.extend(bound.then_some(binding));
            }
        }
        Ok(0)
    }
}

impl Broker for Plain {
    fn queues(&self, names: Names, _: bool) -> Answer<Vec<QueueView>> {
        let there = self.there();
        let mut queues = there.queues.clone();
        queues.sort_by(|one, other| one.name.cmp(&other.name));
        match names {
            Names::One(name) => queues.retain(|queue| queue.name == name),
            Names::After(after, count) => {
                queues.retain(|queue| after.as_ref().is_none_or(|after| queue.name > *after));
                queues.truncate(count);
            }
        }
        Box::pin(ready((!there.is_stopping).then_some(queues)))
    }

    fn exchanges(&self) -> Option<(Vec<ExchangeView>, Vec<BindingView>)> {
        let there = self.there();
        (!there.is_stopping).then(|| (there.exchanges.clone(), there.links.clone()))
    }

    fn connections(&self, _: usize) -> Answer<Vec<ConnectionView>> {
        Box::pin(ready(Some(self.there().connections.clone())))
    }

    fn disconnect(&self, _: &Asker, connection: ConnectionName, _: &str) -> Answer<bool> {
        let connections = &mut self.there().connections;
        let count = connections.len();
        connections.retain(|view| view.slot != connection.slot);
        Box::pin(ready(Some(connections.len() < count)))
    }

    fn users(&self, _: &Asker) -> Answer<Result<Vec<UserView>, Declined>> {
        Box::pin(ready(Some(Ok(self.there().users.clone()))))
    }

    fn change_users(&self, _: &Asker, change: UserChange) -> Answer<Result<(), Declined>> {
        let mut there = self.there();
        match &change {
            UserChange::Put { name, groups, .. } => {
                let permissions = Permissions { configure: true, write: true, read: false };
                there.users.retain(|user| user.name != *name);
                there.users.push(UserView { name: name.clone(), groups: groups.clone(), permissions });
            }
            UserChange::Remove(names) => there.users.retain(|user| !names.contains(&user.name)),
        }
        there.changes.push(change);
        Box::pin(ready(Some(Ok(()))))
    }

    fn publish(&self, _: &Asker, publication: Publication) -> Answer<Result<bool, Declined>> {
        let Publication { exchange, key, payload, properties } = publication;
        let mut there = self.there();
        let routed = there.queues.iter().any(|queue| *queue.name == *key.as_bytes());
        let fetched = Fetched { exchange, key, payload, redelivered: false, left: 0, properties };
        there.messages.extend(routed.then_some(fetched));
        Box::pin(ready((!there.is_stopping).then_some(Ok(routed))))
    }

    fn fetch(&self, _: &Asker, fetch: Fetch) -> Answer<Result<Vec<Fetched>, Declined>> {
        let messages = &mut self.there().messages;
        let count = messages.len().min(fetch.count);
        let fetched = if fetch.then == Afterwards::GiveBack {
            messages[..count].to_vec()
        } else {
            messages.drain(..count).collect()
        };
        Box::pin(ready(Some(Ok(fetched))))
    }

    fn order(&self, _: &Asker, order: Order) -> Answer<Ordered> {
        let mut there = self.there();
        Box::pin(ready((!there.is_stopping).then(|| there.carry_out(order))))
    }
}
