//! What the management listeners ask of the workers, for the tenant of each listener.

use std::future::ready;
use std::sync::{Arc, OnceLock};

use axum::Router;
use mynah_admin::accounts::{UserChange, UserView};
use mynah_admin::messages::{Fetch, Fetched, Publication};
use mynah_admin::{Answer, Asker, MetricsSource, Readiness};
use mynah_core::administration::{
    BindingView, ConnectionName, ConnectionView, Declined, ExchangeView, Names, Order, Ordered, QueueView,
};
use mynah_core::rules::Rules;
use mynah_engine::{Changed, Engine, shown};
use mynah_net::Steward;
use tokio::sync::{mpsc, oneshot, watch};

use crate::accounts::{Accounts, Reread};
use crate::authentication::Authentication;
use crate::broker::Links;
use crate::config::Listener;
use crate::courier::Courier;
use crate::herald::{Gate, Herald};
use crate::management::{Guard, guarded};

/// The way to the workers, as soon as there are any.
pub(crate) type Workers = Arc<OnceLock<Steward>>;

/// The space of the tenant whose administrators come in at a listener.
pub(crate) struct Space {
    workers: Workers,
    gate: Gate,
    courier: Courier,
    accounts: Accounts,
}

impl Space {
    pub(crate) const fn new(workers: Workers, gate: Gate, courier: Courier, accounts: Accounts) -> Self {
        Self { workers, gate, courier, accounts }
    }

    /// Has all workers look at something.
    fn look<T: Send + 'static>(
        &self,
        look: impl Fn(&Engine) -> Vec<T> + Clone + Send + 'static,
    ) -> Answer<Vec<T>> {
        let Some(steward) = self.workers.get() else { return Box::pin(ready(None)) };
        let (seen, mut parts) = mpsc::unbounded_channel();
        steward.look(&move |engine: &Engine| drop(seen.send(look(engine))));
        let workers = usize::from(steward.shared().workers());
        Box::pin(async move {
            let (mut all, mut heard) = (Vec::new(), 0);
            while let Some(part) = parts.recv().await {
                all.extend(part);
                heard += 1;
            }
            (heard == workers).then_some(all)
        })
    }
}

impl mynah_admin::Broker for Space {
    fn queues(&self, names: Names, with_bindings: bool) -> Answer<Vec<QueueView>> {
        let tenant = self.gate.tenant;
        let count = match names {
            Names::One(_) => 1,
            Names::After(_, count) => count,
        };
        let seen = self.look(move |engine| engine.queues(tenant, &names, with_bindings));
        Box::pin(async move {
            let mut queues = seen.await?;
            queues.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            queues.truncate(count);
            Some(queues)
        })
    }

    fn exchanges(&self) -> Option<(Vec<ExchangeView>, Vec<BindingView>)> {
        let shared = self.workers.get()?.shared();
        Some((shared.exchanges(self.gate.tenant), shared.links(self.gate.tenant)))
    }

    fn connections(&self, count: usize) -> Answer<Vec<ConnectionView>> {
        let (tenant, listener) = (self.gate.tenant, Arc::clone(&self.gate.listener));
        let seen = self.look(move |engine| engine.connection_views(tenant, 0, count));
        Box::pin(async move {
            let mut connections = seen.await?;
            // Those of this listener are there for a request, and go with it.
            connections.retain(|connection| *connection.listener != *listener);
            connections.truncate(count);
            Some(connections)
        })
    }

    fn users(&self, _: &Asker) -> Answer<Result<Vec<UserView>, Declined>> {
        Box::pin(self.accounts.clone().users())
    }

    fn change_users(&self, asker: &Asker, change: UserChange) -> Answer<Result<(), Declined>> {
        Box::pin(self.accounts.clone().change(asker.clone(), change))
    }

    fn publish(&self, asker: &Asker, publication: Publication) -> Answer<Result<bool, Declined>> {
        Box::pin(self.courier.clone().publish(asker.clone(), publication))
    }

    fn fetch(&self, asker: &Asker, fetch: Fetch) -> Answer<Result<Vec<Fetched>, Declined>> {
        Box::pin(self.courier.clone().fetch(asker.clone(), fetch))
    }

    fn disconnect(&self, asker: &Asker, connection: ConnectionName, why: &str) -> Answer<bool> {
        let Some(steward) = self.workers.get() else { return Box::pin(ready(None)) };
        let ConnectionName { worker, slot, generation } = connection;
        let name = format!("connection {}.{slot}.{generation}", worker.0);
        let why = if why.is_empty() { String::new() } else { format!(": {}", shown(why.as_bytes())) };
        let detail = format!("{name} closed, by {asker} at {}{why}", self.gate.listener);
        let (told, was_there) = oneshot::channel();
        steward.disconnect(self.gate.tenant, connection, move |was_there| {
            let _ = told.send(was_there);
        });
        let herald = self.courier.herald().clone();
        Box::pin(async move {
            let was_there = was_there.await.ok()?;
            if was_there {
                herald.changed(Changed::Connections, detail);
            }
            Some(was_there)
        })
    }

    fn order(&self, asker: &Asker, order: Order) -> Answer<Ordered> {
        let Some(steward) = self.workers.get() else { return Box::pin(ready(None)) };
        let what = described(&order);
        let detail = format!("{what}, by {asker} at {}", self.gate.listener);
        let (told, outcome) = oneshot::channel();
        steward.order(self.gate.tenant, order, move |ordered| drop(told.send(ordered)));
        let herald = self.courier.herald().clone();
        Box::pin(async move {
            let outcome = outcome.await.ok()?;
            match &outcome {
                Ok(_) => herald.changed(Changed::Queues, detail),
                Err(declined) => {
                    herald.unchanged(Changed::Queues, format!("{detail}: {}", declined.reason));
                }
            }
            Some(outcome)
        })
    }
}

/// What all management listeners of a broker share.
pub(crate) struct Desk<'a> {
    workers: &'a Workers,
    authentication: Option<&'a Authentication>,
    rules: &'a watch::Sender<Arc<Rules>>,
    rereading: &'a mpsc::Sender<Reread>,
    herald: &'a Herald,
}

impl<'a> Desk<'a> {
    pub(crate) const fn new(
        workers: &'a Workers,
        authentication: Option<&'a Authentication>,
        rules: &'a watch::Sender<Arc<Rules>>,
        rereading: &'a mpsc::Sender<Reread>,
        herald: &'a Herald,
    ) -> Self {
        Self { workers, authentication, rules, rereading, herald }
    }

    /// What is served at a listener, whose messages go by these links.
    pub(crate) fn router(
        &self,
        listener: &Listener,
        links: Links,
        metrics: Arc<impl MetricsSource>,
        ready: Readiness,
    ) -> Router {
        let Self { workers, authentication, rules, rereading, herald } = *self;
        let gate = Gate::new(listener);
        let courier = Courier::new(links, authentication, herald);
        let accounts = Accounts::new(&gate, authentication, rules.subscribe(), rereading.clone(), herald);
        let space = Space::new(workers.clone(), gate, courier, accounts);
        let guard = Guard::at(listener, authentication, rules.subscribe(), herald);
        guarded(mynah_admin::router(metrics, Arc::new(space), ready), guard)
    }
}

/// What an order is about, for the audit.
fn described(order: &Order) -> String {
    let name = shown(order.name());
    match order {
        Order::DeclareQueue { .. } => format!("queue {name} declared"),
        Order::DeclareExchange { .. } => format!("exchange {name} declared"),
        Order::DeleteQueue { .. } => format!("queue {name} deleted"),
        Order::DeleteExchange { .. } => format!("exchange {name} deleted"),
        Order::Purge { .. } => format!("queue {name} purged"),
        Order::Bind { binding, bound } => {
            let kind = if binding.is_queue { "queue" } else { "exchange" };
            let done = if *bound { "bound to" } else { "no longer bound to" };
            format!("{kind} {name} {done} {}", shown(&binding.source))
        }
    }
}
