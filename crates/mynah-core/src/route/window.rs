//! The topics that were asked for last: what is published by several, or again and again, is found once.

use alloc::vec::Vec;

use mynah_model::{TenantId, Topic};

use super::Route;
use crate::Stamp;

/// A slot for each of some hashes, in which the topic stands that was asked for last.
#[derive(Debug)]
pub(super) struct Window {
    /// A power of two of slots.
    slots: Vec<Recent>,
}

/// A topic, and its route.
#[derive(Debug, Default)]
pub(super) struct Recent {
    hash: u64,
    tenant: TenantId,
    pub(super) stamp: Stamp,
    /// Empty in a vacant slot: no topic is. The memory is used again.
    topic: Vec<u8>,
    pub(super) route: Route,
}

impl Window {
    /// A topic that is longer leaves no memory behind.
    const TOPIC_BYTES_KEPT: usize = 256;

    /// A window of at least as many slots.
    pub(super) fn new(slots: usize) -> Self {
        let mut window = Self { slots: Vec::new() };
        window.slots.resize_with(slots.next_power_of_two(), Recent::default);
        window
    }

    /// The slot of a topic with this hash.
    pub(super) fn at(&mut self, hash: u64) -> &mut Recent {
        // Other bits than those by which the doorkeeper and the table go.
        let at = (hash >> 32) as usize & (self.slots.len() - 1);
        &mut self.slots[at]
    }
}

impl Recent {
    /// Whether this topic stands in the slot.
    pub(super) fn is(&self, hash: u64, tenant: TenantId, topic: Topic<'_>) -> bool {
        self.hash == hash && self.tenant == tenant && self.topic == topic.as_bytes()
    }

    /// Puts a topic into the slot, in the place of the one that is there.
    pub(super) fn fill(
        &mut self,
        hash: u64,
        tenant: TenantId,
        topic: Topic<'_>,
        stamp: Stamp,
        route: Route,
    ) -> &Route {
        (self.hash, self.tenant, self.stamp, self.route) = (hash, tenant, stamp, route);
        self.topic.clear();
        self.topic.shrink_to(Window::TOPIC_BYTES_KEPT);
        self.topic.extend_from_slice(topic.as_bytes());
        &self.route
    }

    /// Vacates the slot.
    pub(super) fn take(&mut self) -> (Stamp, Route) {
        self.topic.clear();
        (self.stamp, core::mem::take(&mut self.route))
    }
}
