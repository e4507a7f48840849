//! Where a message goes that is published to an exchange.

use alloc::vec::Vec;

use mynah_model::{ExchangeKind, HashOn, Properties, PropertyValue};

use super::places::Places;
use super::{Endpoint, Exchange, ExchangeRef, Exchanges, TOPIC_SPACE, headers};
use crate::SessionRef;
use crate::patterns::Space;

/// What an exchange has to know of a message.
#[derive(Clone, Copy, Debug)]
pub struct Routing<'m> {
    /// The routing key in canonical form; may be empty.
    pub key: &'m [u8],
    /// The properties.
    pub properties: &'m Properties<'m>,
}

/// Where a message goes; kept between two messages for its memory.
#[derive(Debug, Default)]
pub struct Routed {
    /// The queues, each once, in order.
    pub queues: Vec<SessionRef>,
    /// Whether it goes to those too who want its key as a topic.
    pub topic_space: bool,
    /// Whether another message with the same key may go elsewhere.
    pub varies: bool,
    /// The exchanges on the way: those from `next` on were not asked yet.
    visited: Vec<ExchangeRef>,
    next: usize,
    selected: Vec<u32>,
}

impl Routed {
    /// Whether nobody gets the message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty() && !self.topic_space
    }

    fn begin(&mut self, exchange: ExchangeRef) {
        (self.topic_space, self.varies, self.next) = (false, false, 0);
        self.queues.clear();
        self.visited.clear();
        self.visited.push(exchange);
    }

    /// An exchange gets the message once, however many ways lead to it.
    fn visit(&mut self, exchange: ExchangeRef) {
        if !self.visited.contains(&exchange) {
            self.visited.push(exchange);
        }
    }
}

impl Exchanges {
    /// Finds where a message goes that is published to `exchange`.
    pub fn route(&self, exchange: ExchangeRef, message: &Routing<'_>, routed: &mut Routed) {
        routed.begin(exchange);
        while let Some(&exchange) = routed.visited.get(routed.next) {
            routed.next += 1;
            if let Some(found) = self.get(exchange) {
                self.pass(found, message, routed);
            }
        }
        routed.queues.sort_unstable();
        routed.queues.dedup();
    }

    /// The same for a message that is published to the topic space: to the queues of exchanges that are bound to it. The
    /// topic index knows the others.
    pub fn route_beyond(&self, topic_space: ExchangeRef, message: &Routing<'_>, routed: &mut Routed) {
        self.route(topic_space, message, routed);
        routed.topic_space = false;
    }

    /// Whether an exchange leads anywhere.
    #[must_use]
    pub fn leads_on(&self, exchange: ExchangeRef) -> bool {
        self.get(exchange).is_some_and(|exchange| !exchange.places.is_empty())
    }

    /// Hands a message to all that an exchange leads to.
    fn pass(&self, exchange: &Exchange, message: &Routing<'_>, routed: &mut Routed) {
        let is_topic_space = *exchange.name == *TOPIC_SPACE;
        routed.topic_space |= is_topic_space;
        routed.varies |= match exchange.settings.kind {
            ExchangeKind::Headers => true,
            ExchangeKind::ConsistentHash => exchange.settings.hash_on != HashOn::Key,
            ExchangeKind::Direct | ExchangeKind::Fanout | ExchangeKind::Topic => false,
        };
        let mut selected = core::mem::take(&mut routed.selected);
        selected.clear();
        self.select(exchange, message, &mut selected);
        let mut found = false;
        for &at in &selected {
            let Some(destination) = self.destination(at) else { continue };
            found = true;
            match destination {
                Endpoint::Queue(queue) => routed.queues.push(queue),
                Endpoint::Exchange(exchange) => routed.visit(exchange),
            }
        }
        routed.selected = selected;
        if !found
            && !is_topic_space
            && let Some(alternate) = &exchange.settings.alternate
            && let Some(alternate) = self.find(exchange.tenant, alternate)
        {
            routed.visit(alternate);
        }
    }

    /// Where a binding leads, unless that is gone.
    fn destination(&self, at: u32) -> Option<Endpoint> {
        let destination = self.binding(at)?.destination;
        (!self.forgotten.contains(&destination)).then_some(destination)
    }

    /// Pushes the bindings of an exchange that a message concerns.
    fn select(&self, exchange: &Exchange, message: &Routing<'_>, selected: &mut Vec<u32>) {
        match &exchange.places {
            Places::Direct(by_key) => {
                selected.extend_from_slice(by_key.get(message.key).map_or(&[], Vec::as_slice));
            }
            Places::All(list) if exchange.settings.kind == ExchangeKind::Headers => {
                let is_met = |at: &&u32| {
                    let binding = self.binding(**at);
                    binding.is_some_and(|binding| headers::are_met(&binding.arguments, message.properties))
                };
                selected.extend(list.iter().filter(is_met));
            }
            Places::All(list) => selected.extend_from_slice(list),
            Places::Topic(patterns) => {
                let space = if *exchange.name == *TOPIC_SPACE { Space::Topics } else { Space::Own };
                patterns.select(message.key, space, selected);
            }
            Places::ConsistentHash(_, ring) => {
                let leads_on = |at: u32| self.destination(at).is_some();
                let with = |bytes: &[u8]| ring.select(&self.hash, bytes, leads_on);
                selected.extend(hashed(&exchange.settings.hash_on, message, with));
            }
        }
    }
}

/// Gives what an exchange hashes to `with`; of a message that does not say it, nothing at all.
fn hashed<R>(hash_on: &HashOn, message: &Routing<'_>, with: impl FnOnce(&[u8]) -> R) -> R {
    let properties = message.properties;
    match hash_on {
        HashOn::Key => with(message.key),
        HashOn::MessageId => with(properties.message_id.unwrap_or_default().as_bytes()),
        HashOn::Correlation => with(properties.correlation.unwrap_or_default()),
        HashOn::Created => with(&properties.created.unwrap_or_default().as_unix_millis().to_be_bytes()),
        HashOn::Property(name) => {
            let mut values = properties.user.iter().filter(|(key, _)| **key == **name);
            let value = values.next().map_or(PropertyValue::Text(""), |(_, value)| value);
            value.spelled(|text| with(text.as_bytes()))
        }
    }
}
