//! What is stored of exchanges and of what is bound to them, and what an earlier run has left of that.
//!
//! A binding is stored with its destination, and goes with it. It says which exchange it was made for by that one's number:
//! one that is left of an exchange that is gone holds for no other of the name.

use mynah_core::exchange::{BindingTerms, Endpoint, ExchangeRef};
use mynah_core::shard;
use mynah_model::{Argument, ExchangeSettings, TenantId};

use super::keeping::QueueName;
use crate::changes::Change;
use crate::engine::Engine;
use crate::journal::Note;

/// That a queue or an exchange wants messages of an exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The exchange whose messages are wanted.
    pub source: Box<[u8]>,
    /// Tells that exchange from others that had the name.
    pub number: u64,
    /// The key.
    pub key: Box<[u8]>,
    /// The arguments.
    pub arguments: Box<[(Box<str>, Argument)]>,
}

impl Binding {
    pub(super) fn terms(&self) -> BindingTerms<'_> {
        BindingTerms { key: &self.key, arguments: &self.arguments }
    }
}

/// A change of an exchange that is to be stored.
#[derive(Clone, Copy, Debug)]
pub enum ExchangeChange<'c> {
    /// It is there.
    There {
        /// What was said of it.
        settings: &'c ExchangeSettings,
        /// Tells it from others that had the name.
        number: u64,
    },
    /// It is gone, and what it was bound to is not any more.
    Ended,
    /// It is bound to another exchange, or is not any more.
    Binding(&'c Binding, bool),
}

/// A change as it is kept until the end of the turn.
#[derive(Debug)]
pub(crate) enum ExchangeNote {
    There(TenantId, Box<[u8]>, Box<ExchangeSettings>, u64),
    Ended(TenantId, Box<[u8]>),
    Binding(TenantId, Box<[u8]>, Box<Binding>, bool),
}

/// An exchange as a store has kept it.
#[derive(Debug)]
pub struct RestoredExchange {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: Box<[u8]>,
    /// What was said of it; absent of one that is there from the start.
    pub settings: Option<ExchangeSettings>,
    /// Tells it from others that had the name.
    pub number: u64,
    /// What it is bound to.
    pub bindings: Vec<Binding>,
}

impl Engine {
    /// The change that a note tells of.
    pub(crate) fn change_of_exchange<'c>(&self, note: &'c ExchangeNote) -> Change<'c> {
        let (tenant, name, change) = match note {
            ExchangeNote::There(tenant, name, settings, number) => {
                (*tenant, name, ExchangeChange::There { settings, number: *number })
            }
            ExchangeNote::Ended(tenant, name) => (*tenant, name, ExchangeChange::Ended),
            ExchangeNote::Binding(tenant, name, binding, bound) => {
                (*tenant, name, ExchangeChange::Binding(binding, *bound))
            }
        };
        Change::Exchange(QueueName { tenant, shard: shard(tenant, name, self.shared.seed), name }, change)
    }

    /// Takes in an exchange that this worker owns (see [`mynah_core::owner`]), before any queue. What it is bound to
    /// [`Engine::begin`] finds.
    pub fn restore_exchange(&mut self, restored: RestoredExchange) {
        let RestoredExchange { tenant, name, settings, number, bindings } = restored;
        if let Some(settings) = settings {
            let mut exchanges = self.shared.write_exchanges();
            // One that does not fit stays in the store.
            let _ = exchanges.declare(tenant, &name, settings, number);
            drop(exchanges);
            self.shared.count_exchanges();
        }
        self.links.extend(bindings.into_iter().map(|binding| (tenant, name.clone(), binding)));
    }

    /// Binds the exchanges of an earlier run to each other, when all are there.
    pub(crate) fn restore_links(&mut self) {
        for (tenant, name, binding) in core::mem::take(&mut self.links) {
            let destination = self.shared.read_exchanges().find(tenant, &name);
            let restored = destination.is_some_and(|destination| {
                self.restore_binding(tenant, Endpoint::Exchange(destination), &name, &binding)
            });
            if !restored {
                let note = ExchangeNote::Binding(tenant, name, Box::new(binding), false);
                self.lane.journal.note(Note::Exchange(note));
            }
        }
    }

    /// Returns whether the exchange is there that the binding was made for.
    pub(super) fn restore_binding(
        &self,
        tenant: TenantId,
        destination: Endpoint,
        name: &[u8],
        binding: &Binding,
    ) -> bool {
        let mut exchanges = self.shared.write_exchanges();
        let is_meant = |source: &ExchangeRef| exchanges.number(*source) == Some(binding.number);
        let Some(source) = exchanges.find(tenant, &binding.source).filter(is_meant) else { return false };
        let restored = exchanges.bind(source, destination, name, &binding.terms()).is_ok();
        self.shared.note_routing(tenant, &exchanges);
        restored
    }
}
