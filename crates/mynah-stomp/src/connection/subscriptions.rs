//! The subscriptions of a connection.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_stack::Credit;

use crate::Version;
use crate::flow::Unacknowledged;
use crate::wire::{AckMode, Command, push_header};

/// Subscriptions in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    all: Vec<Subscription>,
    /// The last number that was given: numbers are not used again.
    last: u32,
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Names it to the broker.
    pub(super) number: u32,
    /// Names it to the client.
    pub(super) id: Option<Box<str>>,
    /// What the client calls the place that the messages come from.
    pub(super) destination: Box<str>,
    pub(super) ack: AckMode,
    pub(super) source: Source,
    /// Whether a stream is read, and messages say where in it they are.
    pub(super) is_stream: bool,
    /// What waits for an acknowledgement.
    pub(super) unacknowledged: Unacknowledged,
    /// The number of the last delivery.
    pub(super) delivered: u64,
    /// How each of its MESSAGE frames begins.
    pub(super) lead: Box<[u8]>,
}

/// Where the messages of a subscription come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From this filter, as they are published.
    Filter(Box<[u8]>),
    /// From this queue, by its own name.
    Queue(Box<[u8]>),
    /// From a queue that is bound to an exchange. `durable` is its name, if it outlives the connection.
    Bound { exchange: Box<[u8]>, durable: Option<Box<[u8]>> },
}

impl Subscription {
    pub(super) fn new(
        number: u32,
        id: Option<&str>,
        destination: &str,
        ack: AckMode,
        source: Source,
        prefetch: Credit,
        version: Version,
    ) -> Self {
        let mut lead = Vec::new();
        lead.extend_from_slice(Command::Message.text().as_bytes());
        lead.push(b'\n');
        if let Some(id) = id {
            push_header("subscription", id, version.escaping(), &mut lead);
        }
        Self {
            number,
            id: id.map(Box::from),
            destination: destination.into(),
            ack,
            source,
            is_stream: false,
            unacknowledged: Unacknowledged::new(prefetch),
            delivered: 0,
            lead: lead.into(),
        }
    }
}

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The number of the next subscription; none if all have been given.
    pub(super) fn next_number(&mut self) -> Option<u32> {
        if self.last == mynah_model::SubscriptionId::MAX {
            return None;
        }
        self.last += 1;
        Some(self.last)
    }

    /// Whether this number was ever given.
    pub(super) const fn was_given(&self, number: u32) -> bool {
        number != 0 && number <= self.last
    }

    pub(super) fn add(&mut self, subscription: Subscription) {
        self.all.push(subscription);
    }

    pub(super) fn by_number(&mut self, number: u32) -> Option<&mut Subscription> {
        let at = self.all.binary_search_by_key(&number, |subscription| subscription.number).ok()?;
        self.all.get_mut(at)
    }

    /// Whether there is one of this `id`.
    pub(super) fn has_id(&self, id: &str) -> bool {
        self.all.iter().any(|subscription| subscription.id.as_deref() == Some(id))
    }

    /// Whether messages come from this filter already.
    pub(super) fn has_filter(&self, filter: &[u8]) -> bool {
        self.all
            .iter()
            .any(|subscription| matches!(&subscription.source, Source::Filter(own) if **own == *filter))
    }

    /// Removes the one of this `id`, or, without one, the one without `id` that has this destination.
    pub(super) fn remove(&mut self, id: Option<&str>, destination: Option<&str>) -> Option<Subscription> {
        let is_it = |subscription: &Subscription| match id {
            Some(id) => subscription.id.as_deref() == Some(id),
            None => subscription.id.is_none() && Some(&*subscription.destination) == destination,
        };
        let at = self.all.iter().position(is_it)?;
        Some(self.all.remove(at))
    }
}
