//! What administrators see.

use core::ops::Bound;

use mynah_core::SessionRef;
use mynah_core::administration::{
    BINDINGS_SHOWN_MAX, BindingView, ConnectionView, ExchangeView, Names, QueueView,
};
use mynah_core::exchange::{BindingTerms, Endpoint, TOPIC_SPACE};
use mynah_model::TenantId;

use crate::engine::Engine;
use crate::named::Taps;
use crate::shared::Shared;

impl Engine {
    /// Queues of this worker, in the order of their names; with their bindings, [`BINDINGS_SHOWN_MAX`] in all, if these are
    /// wanted.
    #[must_use]
    pub fn queues(&self, tenant: TenantId, names: &Names, with_bindings: bool) -> Vec<QueueView> {
        let mut room = if with_bindings { BINDINGS_SHOWN_MAX } else { 0 };
        let queues = &self.lane.queues;
        let found: Vec<SessionRef> = match names {
            Names::One(name) => queues.find(tenant, name).into_iter().collect(),
            Names::After(after, count) => {
                let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                queues.named(tenant, from).take(*count).collect()
            }
        };
        found.into_iter().filter_map(|queue| self.view(queue, &mut room)).collect()
    }

    fn view(&self, queue: SessionRef, room: &mut usize) -> Option<QueueView> {
        let owned = self.lane.queues.get(queue)?;
        let kernel = &owned.kernel;
        let topics = owned.filters.iter().take(*room).map(|filter| BindingView {
            source: TOPIC_SPACE.into(),
            destination: owned.name.clone(),
            is_queue: true,
            key: filter.clone(),
            arguments: Box::default(),
        });
        let mut bindings: Vec<BindingView> = topics.collect();
        if *room > bindings.len() {
            let more = *room - bindings.len();
            bindings.extend(self.shared.bindings_of(Endpoint::Queue(queue), &owned.name, true, more));
        }
        *room -= bindings.len();
        Some(QueueView {
            name: owned.name.clone(),
            worker: self.worker,
            settings: kernel.settings().clone(),
            ready: kernel.ready_len() as u64,
            ready_bytes: kernel.ready_bytes(),
            leased: kernel.leased_len() as u64,
            delayed: kernel.delayed_len() as u64,
            tally: kernel.tally(),
            consumers: kernel.consumer_views().collect(),
            bindings,
        })
    }

    /// Connections of this worker, of one tenant, that have a session: up to `count` from a slot on.
    #[must_use]
    pub fn connection_views(&self, tenant: TenantId, from: u32, count: usize) -> Vec<ConnectionView> {
        let ids = self.lane.connections.ids().into_iter().filter(|id| id.slot >= from);
        let view = |id| {
            let connection = self.lane.connections.get(id)?;
            connection.session().filter(|_| connection.tenant == tenant)?;
            let door = self.shared.listeners.get(usize::from(connection.listener))?;
            Some(ConnectionView {
                worker: self.worker,
                slot: id.slot,
                generation: id.generation,
                identity: connection.identity.as_ref()?.name().to_owned(),
                address: connection.address.map(|address| address.to_string()),
                listener: door.name.clone(),
                protocol: door.protocol.name(),
                consumers: connection.taps.as_deref().map_or(0, Taps::len),
                description: connection.stack.describe(),
            })
        };
        ids.filter_map(view).take(count).collect()
    }
}

impl Shared {
    /// The exchanges of a tenant, in the order of their names, beside the default one.
    #[must_use]
    pub fn exchanges(&self, tenant: TenantId) -> Vec<ExchangeView> {
        let exchanges = self.read_exchanges();
        let listed = exchanges.list(tenant).into_iter();
        listed
            .map(|(name, settings)| ExchangeView { name: name.into(), settings: settings.clone() })
            .collect()
    }

    /// What exchanges of a tenant are bound to, [`BINDINGS_SHOWN_MAX`] in all.
    #[must_use]
    pub fn links(&self, tenant: TenantId) -> Vec<BindingView> {
        let mut links = Vec::new();
        for ExchangeView { name, .. } in self.exchanges(tenant) {
            let Some(exchange) = self.read_exchanges().find(tenant, &name) else { continue };
            let room = BINDINGS_SHOWN_MAX - links.len();
            links.extend(self.bindings_of(Endpoint::Exchange(exchange), &name, false, room));
        }
        links
    }

    fn bindings_of(
        &self,
        destination: Endpoint,
        name: &[u8],
        is_queue: bool,
        count: usize,
    ) -> Vec<BindingView> {
        let exchanges = self.read_exchanges();
        let view = |(source, BindingTerms { key, arguments })| {
            Some(BindingView {
                source: exchanges.name(source)?.into(),
                destination: name.into(),
                is_queue,
                key: key.into(),
                arguments: arguments.into(),
            })
        };
        exchanges.bindings_of(destination).filter_map(view).take(count).collect()
    }
}
