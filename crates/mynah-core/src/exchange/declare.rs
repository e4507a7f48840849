//! Exchanges come and go.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use mynah_model::{ExchangeKind, ExchangeSettings, Reason, TenantId};

use super::places::Places;
use super::{Endpoint, Exchange, ExchangeRef, Exchanges, Slot};

/// The exchange that is the topic space.
pub const TOPIC_SPACE: &[u8] = b"amq.topic";

/// What every tenant has from the start, beside the default exchange, which has no name and leads to the queue that the key
/// names.
const PREDECLARED: [(&[u8], ExchangeKind); 5] = [
    (b"amq.direct", ExchangeKind::Direct),
    (b"amq.fanout", ExchangeKind::Fanout),
    (TOPIC_SPACE, ExchangeKind::Topic),
    (b"amq.headers", ExchangeKind::Headers),
    (b"amq.match", ExchangeKind::Headers),
];

/// An exchange that went of itself, because nothing is bound to it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whose it was.
    pub tenant: TenantId,
    /// Its name.
    pub name: Box<[u8]>,
    /// The number that it was declared with.
    pub number: u64,
    /// Whether it was declared as durable.
    pub durable: bool,
}

/// Why something about exchanges cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeError {
    /// In the broker's words.
    pub reason: Reason,
    /// What exactly, for people.
    pub detail: String,
}

impl ExchangeError {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl core::error::Error for ExchangeError {}

impl Exchanges {
    /// Makes what every tenant has from the start.
    ///
    /// # Errors
    /// [`Reason::QuotaExceeded`].
    pub fn predeclare(&mut self, tenant: TenantId) -> Result<(), ExchangeError> {
        PREDECLARED.iter().try_for_each(|(name, kind)| {
            self.declare_any(tenant, name, ExchangeSettings::durable(*kind), 0).map(drop)
        })
    }

    /// Makes an exchange, or finds the one that is there. Also returns whether it is new. `number` is to tell it from others
    /// that had the name; those that are there from the start have 0.
    ///
    /// # Errors
    /// [`Reason::PreconditionFailed`] if it is there and other than was said; [`Reason::NotAuthorized`] for a new one whose
    /// name is empty or begins with `amq.`, as those are the broker's; [`Reason::QuotaExceeded`].
    pub fn declare(
        &mut self,
        tenant: TenantId,
        name: &[u8],
        settings: ExchangeSettings,
        number: u64,
    ) -> Result<(ExchangeRef, bool), ExchangeError> {
        if self.find(tenant, name).is_none() {
            Self::demand_free(name)?;
        }
        self.declare_any(tenant, name, settings, number)
    }

    fn declare_any(
        &mut self,
        tenant: TenantId,
        name: &[u8],
        settings: ExchangeSettings,
        number: u64,
    ) -> Result<(ExchangeRef, bool), ExchangeError> {
        if let Some(found) = self.find(tenant, name) {
            let there = self.settings(found).map_or(Ok(()), |there| equivalent(name, there, &settings));
            return there.map(|()| (found, false));
        }
        if self.by_name.len() >= self.bounds.exchanges_max {
            let detail = format!("there are {} exchanges already", self.bounds.exchanges_max);
            return Err(ExchangeError::new(Reason::QuotaExceeded, detail));
        }
        let slot = self.vacant.pop().unwrap_or(self.slots.len() as u32);
        if slot as usize == self.slots.len() {
            self.slots.push(Slot::default());
        }
        let places = Places::new(settings.kind, self.hash.seed());
        let at = &mut self.slots[slot as usize];
        at.exchange = Some(Exchange { tenant, name: name.into(), settings, number, places, was_used: false });
        let made = ExchangeRef { slot, generation: at.generation };
        let (keyed, slots) = (&self.hash, &self.slots);
        self.by_name.insert_unique(keyed.text(tenant, name), slot, |&slot| {
            let exchange = slots[slot as usize].exchange.as_ref();
            exchange.map_or(0, |exchange| keyed.text(exchange.tenant, &exchange.name))
        });
        Ok((made, true))
    }

    /// Deletes an exchange: nothing is routed by it from here on. What was bound to it, and it to others, goes bit by bit, see
    /// [`Exchanges::forget_some`]. Returns whether it was there.
    ///
    /// # Errors
    /// [`Reason::NotAuthorized`] for one of the broker's own; [`Reason::PreconditionFailed`] if something is bound to it,
    /// and `if_unused` is set.
    pub fn delete(&mut self, tenant: TenantId, name: &[u8], if_unused: bool) -> Result<bool, ExchangeError> {
        Self::demand_free(name)?;
        let Some(exchange) = self.find(tenant, name) else { return Ok(false) };
        let is_used = self.get(exchange).is_some_and(|exchange| !exchange.places.is_empty());
        if if_unused && is_used {
            let detail = format!("exchange '{}' is in use", name.escape_ascii());
            return Err(ExchangeError::new(Reason::PreconditionFailed, detail));
        }
        self.end(exchange);
        Ok(true)
    }

    /// An exchange goes, from whatever cause.
    pub(super) fn end(&mut self, exchange: ExchangeRef) {
        let Some(at) = self.slots.get_mut(exchange.slot as usize) else { return };
        let Some(gone) = at.exchange.take() else { return };
        at.generation = at.generation.wrapping_add(1);
        self.vacant.push(exchange.slot);
        let hash = self.hash.text(gone.tenant, &gone.name);
        if let Ok(entry) = self.by_name.find_entry(hash, |&slot| slot == exchange.slot) {
            entry.remove();
        }
        let bound = gone.places.all();
        if !bound.is_empty() {
            self.orphans.push(bound);
        }
        self.forget(Endpoint::Exchange(exchange));
    }

    /// An exchange goes that goes when nothing is bound to it any more, if that is the case.
    pub(super) fn end_if_deserted(&mut self, exchange: ExchangeRef) {
        let Some(found) = self.get(exchange) else { return };
        if !(found.settings.auto_delete && found.was_used && found.places.is_empty()) {
            return;
        }
        let Exchange { tenant, ref name, number, ref settings, .. } = *found;
        let ended = Ended { tenant, name: name.clone(), number, durable: settings.durable };
        self.ended.push(ended);
        self.end(exchange);
    }

    /// The exchanges that went of themselves since this was asked last.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        core::mem::take(&mut self.ended)
    }

    /// Names that begin with `amq.`, and the empty one, are the broker's (AMQP 0-9-1, `exchange.declare`, rule "reserved").
    fn demand_free(name: &[u8]) -> Result<(), ExchangeError> {
        if name.is_empty() || name.starts_with(b"amq.") {
            let detail = format!("exchange name '{}' is reserved", name.escape_ascii());
            return Err(ExchangeError::new(Reason::NotAuthorized, detail));
        }
        Ok(())
    }
}

/// Whether what is declared is what is there.
fn equivalent(name: &[u8], there: &ExchangeSettings, said: &ExchangeSettings) -> Result<(), ExchangeError> {
    let name = name.escape_ascii();
    let differs = |what: &str, said: &dyn fmt::Display, there: &dyn fmt::Display| {
        let detail = format!(
            "inequivalent arg '{what}' for exchange '{name}': received '{said}' but current is '{there}'"
        );
        Err(ExchangeError::new(Reason::PreconditionFailed, detail))
    };
    if there.kind != said.kind {
        return differs("type", &said.kind.name(), &there.kind.name());
    }
    for (what, there, said) in [
        ("durable", there.durable, said.durable),
        ("auto_delete", there.auto_delete, said.auto_delete),
        ("internal", there.internal, said.internal),
        ("x-delayed-type", there.delayed, said.delayed),
    ] {
        if there != said {
            return differs(what, &said, &there);
        }
    }
    let shown = |alternate: &Option<Box<[u8]>>| {
        alternate.as_ref().map_or_else(|| "none".into(), |name| format!("{}", name.escape_ascii()))
    };
    if there.alternate != said.alternate {
        return differs("alternate-exchange", &shown(&said.alternate), &shown(&there.alternate));
    }
    if there.hash_on != said.hash_on {
        return differs("hash-on", &format!("{:?}", said.hash_on), &format!("{:?}", there.hash_on));
    }
    Ok(())
}
