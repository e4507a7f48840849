//! Bindings come and go.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use mynah_model::{Argument, ExchangeKind, Filter, Reason};

use super::declare::ExchangeError;
use super::places::{Place, Places};
use super::{BindingTerms, Endpoint, ExchangeRef, Exchanges, headers, ring};

/// That somebody wants messages of an exchange.
#[derive(Debug)]
pub(super) struct Binding {
    /// Of tenant and key.
    hash: u64,
    pub(super) source: ExchangeRef,
    pub(super) destination: Endpoint,
    pub(super) key: Box<[u8]>,
    pub(super) arguments: Box<[(Box<str>, Argument)]>,
    place: Place,
    /// Where it stands in the list of its place.
    at_place: u32,
    /// Where it stands in the list of its destination.
    at_endpoint: u32,
}

impl Binding {
    fn is(&self, source: ExchangeRef, destination: Endpoint, terms: &BindingTerms<'_>) -> bool {
        self.source == source
            && self.destination == destination
            && *self.key == *terms.key
            && *self.arguments == *terms.arguments
    }
}

impl Exchanges {
    /// Binds a destination to an exchange. `name` is the destination's, by which a consistent-hash exchange places it.
    /// Returns whether the binding is new.
    ///
    /// # Errors
    /// [`Reason::NotFound`], [`Reason::QuotaExceeded`]; [`Reason::PreconditionFailed`] for a weight or an `x-match` that
    /// cannot be read; [`Reason::FilterInvalid`].
    pub fn bind(
        &mut self,
        source: ExchangeRef,
        destination: Endpoint,
        name: &[u8],
        terms: &BindingTerms<'_>,
    ) -> Result<bool, ExchangeError> {
        let exchange = self.get(source);
        let exchange = exchange.ok_or_else(|| ExchangeError::new(Reason::NotFound, "no such exchange"))?;
        let weight = demand_readable(exchange.settings.kind, terms)?;
        let hash = self.hash.text(exchange.tenant, terms.key);
        let same = |&at: &u32| self.binding(at).is_some_and(|binding| binding.is(source, destination, terms));
        if self.by_terms.find(hash, same).is_some() {
            return Ok(false);
        }
        if self.by_terms.len() >= self.bounds.bindings_max {
            let detail = format!("there are {} bindings already", self.bounds.bindings_max);
            return Err(ExchangeError::new(Reason::QuotaExceeded, detail));
        }
        let at = self.vacant_bindings.pop().unwrap_or(self.bindings.len() as u32);
        let hashes = self.hash.clone();
        let Some(exchange) = self.get_mut(source) else { return Ok(false) };
        exchange.was_used = true;
        let (place, at_place) = exchange.places.add(terms.key, at);
        if let Places::ConsistentHash(_, ring) = &mut exchange.places {
            ring.add(&hashes, destination, name, weight, at);
        }
        let of_endpoint = self.of_endpoint.entry(destination).or_default();
        of_endpoint.push(at);
        let binding = Binding {
            hash,
            source,
            destination,
            key: terms.key.into(),
            arguments: terms.arguments.into(),
            place,
            at_place,
            at_endpoint: (of_endpoint.len() - 1) as u32,
        };
        if at as usize == self.bindings.len() {
            self.bindings.push(Some(binding));
        } else {
            self.bindings[at as usize] = Some(binding);
        }
        let bindings = &self.bindings;
        let hash_of = |&at: &u32| bindings[at as usize].as_ref().map_or(0, |binding| binding.hash);
        self.by_terms.insert_unique(hash, at, hash_of);
        Ok(true)
    }

    /// Undoes a binding. Returns whether it was there. An exchange that goes when nothing is bound to it is gone then.
    pub fn unbind(&mut self, source: ExchangeRef, destination: Endpoint, terms: &BindingTerms<'_>) -> bool {
        let Some(exchange) = self.get(source) else { return false };
        let hash = self.hash.text(exchange.tenant, terms.key);
        let same = |&at: &u32| self.binding(at).is_some_and(|binding| binding.is(source, destination, terms));
        let Some(&at) = self.by_terms.find(hash, same) else { return false };
        self.remove(at);
        self.end_if_deserted(source);
        true
    }

    /// Whether a destination is bound in just this way.
    #[must_use]
    pub fn is_bound(&self, source: ExchangeRef, destination: Endpoint, terms: &BindingTerms<'_>) -> bool {
        let Some(exchange) = self.get(source) else { return false };
        let hash = self.hash.text(exchange.tenant, terms.key);
        let same = |&at: &u32| self.binding(at).is_some_and(|binding| binding.is(source, destination, terms));
        self.by_terms.find(hash, same).is_some()
    }

    /// A destination is gone: nothing is routed to it from here on. Its bindings go by [`Exchanges::forget_some`].
    pub fn forget(&mut self, destination: Endpoint) {
        if self.of_endpoint.contains_key(&destination) {
            self.forgotten.insert(destination);
        }
    }

    /// Takes away up to `count` bindings of exchanges and of destinations that are gone. Returns whether there are more.
    pub fn forget_some(&mut self, mut count: usize) -> bool {
        while let Some(bound) = self.orphans.last_mut() {
            if count == 0 {
                return true;
            }
            count -= 1;
            match bound.pop() {
                Some(at) => self.discard(at),
                None => drop(self.orphans.pop()),
            }
        }
        while let Some(&destination) = self.forgotten.last() {
            while let Some(&at) = self.of_endpoint.get(&destination).and_then(|bindings| bindings.last()) {
                if count == 0 {
                    return true;
                }
                count -= 1;
                let source = self.binding(at).map(|binding| binding.source);
                self.remove(at);
                if let Some(source) = source {
                    self.end_if_deserted(source);
                }
            }
            self.forgotten.remove(&destination);
        }
        !self.orphans.is_empty()
    }

    /// How many bindings lead to a destination.
    #[must_use]
    pub fn bindings_len(&self, destination: Endpoint) -> usize {
        self.of_endpoint.get(&destination).map_or(0, Vec::len)
    }

    /// What a destination is bound to: exchange, key and arguments.
    pub fn bindings_of(
        &self,
        destination: Endpoint,
    ) -> impl Iterator<Item = (ExchangeRef, BindingTerms<'_>)> {
        let numbers = self.of_endpoint.get(&destination).map_or(&[][..], Vec::as_slice);
        let bindings = numbers.iter().filter_map(|&at| self.binding(at));
        bindings.filter(|binding| self.get(binding.source).is_some()).map(|binding| {
            (binding.source, BindingTerms { key: &binding.key, arguments: &binding.arguments })
        })
    }

    /// Who is bound to an exchange, in no order.
    pub fn bindings_from(&self, source: ExchangeRef) -> impl Iterator<Item = (Endpoint, BindingTerms<'_>)> {
        let numbers = self.get(source).map_or_else(Vec::new, |exchange| exchange.places.all());
        numbers.into_iter().filter_map(|at| self.binding(at)).map(|binding| {
            (binding.destination, BindingTerms { key: &binding.key, arguments: &binding.arguments })
        })
    }

    pub(super) fn binding(&self, at: u32) -> Option<&Binding> {
        self.bindings.get(at as usize)?.as_ref()
    }

    fn remove(&mut self, at: u32) {
        let Some(binding) = self.binding(at) else { return };
        let (source, place, at_place) = (binding.source, binding.place, binding.at_place);
        if self.get(source).is_none() {
            // It is among those of an exchange that is gone, which go by themselves.
            return self.leave_endpoint(at);
        }
        let key = self.bindings[at as usize].as_mut().map(|binding| core::mem::take(&mut binding.key));
        if let (Some(exchange), Some(key)) = (self.get_mut(source), key) {
            let moved = exchange.places.remove(&key, place, at_place);
            if let Places::ConsistentHash(_, ring) = &mut exchange.places {
                ring.remove(at);
            }
            if let Some(moved) = moved.and_then(|moved| self.bindings[moved as usize].as_mut()) {
                moved.at_place = at_place;
            }
        }
        self.discard(at);
    }

    /// Takes away a binding that stands in no list of an exchange any more.
    fn discard(&mut self, at: u32) {
        self.leave_endpoint(at);
        let Some(binding) = self.bindings.get_mut(at as usize).and_then(Option::take) else { return };
        self.vacant_bindings.push(at);
        if let Ok(entry) = self.by_terms.find_entry(binding.hash, |&other| other == at) {
            entry.remove();
        }
    }

    /// Takes a binding out of the list of its destination, if it stands there.
    fn leave_endpoint(&mut self, at: u32) {
        let Some(binding) = self.bindings[at as usize].as_mut() else { return };
        let place = core::mem::replace(&mut binding.at_endpoint, NOWHERE);
        let Some(of_endpoint) = self.of_endpoint.get_mut(&binding.destination) else { return };
        if place == NOWHERE {
            return;
        }
        of_endpoint.swap_remove(place as usize);
        let moved = of_endpoint.get(place as usize).copied();
        if of_endpoint.is_empty() {
            self.of_endpoint.remove(&binding.destination);
        }
        if let Some(moved) = moved.and_then(|moved| self.bindings[moved as usize].as_mut()) {
            moved.at_endpoint = place;
        }
    }
}

/// The place of a binding in the list of its destination, once it stands there no more.
const NOWHERE: u32 = u32::MAX;

/// Whether an exchange of this kind can go by the terms. Returns the weight, of those that have one.
fn demand_readable(kind: ExchangeKind, terms: &BindingTerms<'_>) -> Result<u32, ExchangeError> {
    match kind {
        ExchangeKind::ConsistentHash => return ring::weight(terms.key),
        ExchangeKind::Headers if !headers::are_readable(terms.arguments) => {
            let detail = "x-match is one of all, any, all-with-x and any-with-x";
            return Err(ExchangeError::new(Reason::PreconditionFailed, detail));
        }
        ExchangeKind::Topic if !terms.key.is_empty() => {
            if let Err(error) = Filter::new(terms.key) {
                return Err(ExchangeError::new(Reason::FilterInvalid, format!("{error}")));
            }
        }
        ExchangeKind::Direct | ExchangeKind::Fanout | ExchangeKind::Topic | ExchangeKind::Headers => {}
    }
    Ok(0)
}
