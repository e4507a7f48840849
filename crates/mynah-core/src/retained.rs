//! Retained values: the last value of each topic, in topic order.
//!
//! A value whose deadline has come is seen by nobody from then on; [`RetainedStore::expire`] takes it out of the store.
//!
//! In topic order `/` is lower than every other byte, so that all topics below another stand together, right after it.

mod expiring;
mod order;
mod scan;
#[cfg(test)]
mod tests;
mod tree;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use mynah_model::{Condition, Filter, Instant, Limits, Message, Reason, TenantId, Topic, ValueTag};

use crate::hash::KeyedHash;
use expiring::Expiring;
use scan::Next;
use tree::Tree;

/// How far a walk over retained values has come: what is at or after it is still to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    from: Vec<u8>,
}

impl Cursor {
    /// The cursor of a walk that has come past `topic`.
    #[must_use]
    pub fn after(topic: Topic<'_>) -> Self {
        let mut cursor = Self::default();
        cursor.move_after(topic);
        cursor
    }

    /// The cursor that has these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self { from: bytes.into() }
    }

    /// What a store keeps of the cursor.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.from
    }

    /// Moves to the place right after `topic`: no byte ranks lower than `/`.
    fn move_after(&mut self, topic: Topic<'_>) {
        self.from.clear();
        self.from.extend_from_slice(topic.as_bytes());
        self.from.push(b'/');
    }
}

/// The retained values of all tenants.
#[derive(Debug)]
pub struct RetainedStore {
    messages_max: usize,
    bytes_max: usize,
    message_bytes_max: usize,
    tenants: BTreeMap<TenantId, Values>,
    expiring: Expiring,
    /// Makes the tags of values.
    hash: KeyedHash,
    len: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Values {
    by_topic: Tree,
    bytes: usize,
}

/// Values that one call of [`RetainedStore::page`] looks at, at most.
const LOOKS_MAX: usize = 256;

impl RetainedStore {
    /// An empty store whose tags come from `seed`.
    #[must_use]
    pub fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            messages_max: limits.retained_messages_max.min(Tree::VALUES_MAX),
            bytes_max: limits.retained_bytes_max,
            message_bytes_max: limits.retained_message_bytes_max,
            tenants: BTreeMap::new(),
            expiring: Expiring::default(),
            hash: KeyedHash::new(seed),
            len: 0,
            bytes: 0,
        }
    }

    /// Makes a message the value of its topic. One with an empty payload, or whose deadline has passed, leaves the topic
    /// without a value.
    ///
    /// # Errors
    /// The value that was there stays. [`Reason::TooLarge`]: the message is larger than one value may be.
    /// [`Reason::QuotaExceeded`]: the tenant has no room for it.
    pub fn set(&mut self, message: &Message, now: Instant) -> Result<(), Reason> {
        let tenant = message.header().tenant;
        let cost = message.cost_bytes();
        if message.payload().is_empty() || is_expired(message, now) {
            self.clear(tenant, message.topic());
            return Ok(());
        }
        if cost > self.message_bytes_max {
            return Err(Reason::TooLarge);
        }
        let values = self.tenants.entry(tenant).or_default();
        let place = values.by_topic.place_to_put(message.topic().as_bytes());
        let replaced = values.by_topic.at(place).map_or(0, Message::cost_bytes);
        let bytes = values.bytes - replaced + cost;
        if bytes > self.bytes_max || (replaced == 0 && values.by_topic.len() >= self.messages_max) {
            return Err(Reason::QuotaExceeded);
        }
        values.bytes = bytes;
        match values.by_topic.put(place, message.clone()) {
            Some(old) => self.expiring.remove(&old),
            None => self.len += 1,
        }
        self.expiring.insert(message);
        self.bytes = self.bytes - replaced + cost;
        Ok(())
    }

    /// Like [`RetainedStore::set`] if every condition holds for the value that is there.
    ///
    /// # Errors
    /// Like [`RetainedStore::set`], and [`Reason::ConditionFailed`].
    pub fn set_if(
        &mut self,
        message: &Message,
        conditions: &[Condition],
        now: Instant,
    ) -> Result<(), Reason> {
        if !self.holds(message.header().tenant, message.topic(), conditions, now) {
            return Err(Reason::ConditionFailed);
        }
        self.set(message, now)
    }

    /// Whether every condition holds for the value of a topic.
    #[must_use]
    pub fn holds(&self, tenant: TenantId, topic: Topic<'_>, conditions: &[Condition], now: Instant) -> bool {
        if conditions.is_empty() {
            return true;
        }
        let current = self.get(tenant, topic, now).map(|message| self.tag(message));
        conditions.iter().all(|condition| condition.holds(current))
    }

    /// The tag that names `message` as a state of its topic's value. Computed from all of it.
    #[must_use]
    pub fn tag(&self, message: &Message) -> ValueTag {
        ValueTag::from_number(self.hash.message(message.view()))
    }

    /// Takes out up to `max` values whose deadlines have come.
    pub fn expire(&mut self, now: Instant, max: usize) -> Vec<Message> {
        let mut expired = Vec::new();
        while expired.len() < max
            && let Some(message) = self.expiring.pop_due(now)
        {
            self.clear(message.header().tenant, message.topic());
            expired.push(message);
        }
        expired
    }

    /// The earliest deadline of all values.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.expiring.next_deadline()
    }

    /// The value of a topic.
    #[must_use]
    pub fn get(&self, tenant: TenantId, topic: Topic<'_>, now: Instant) -> Option<&Message> {
        let values = &self.tenants.get(&tenant)?.by_topic;
        let message = values.at(values.place(topic.as_bytes()))?;
        (!is_expired(message, now)).then_some(message)
    }

    /// Whether some topic with a value begins as every topic does that `filter` selects. If not, no value matches; to
    /// know costs one search.
    #[must_use]
    pub fn may_match(&self, tenant: TenantId, filter: Filter<'_>) -> bool {
        let Some(values) = self.tenants.get(&tenant).filter(|values| values.by_topic.len() > 0) else {
            return false;
        };
        let beginning = scan::first(filter);
        let nearest = values.by_topic.walk(&beginning).next();
        nearest.is_some_and(|message| message.topic().as_bytes().starts_with(&beginning))
    }

    /// Pushes the next values that match `filter`, at most `max` of them, in topic order, and moves `cursor` past what
    /// was looked at. Returns whether there may be more; a call may find nothing and still say so, because the work of
    /// one call is bounded.
    pub fn page(
        &self,
        tenant: TenantId,
        filter: Filter<'_>,
        cursor: &mut Cursor,
        max: usize,
        now: Instant,
        found: &mut Vec<Message>,
    ) -> bool {
        if let Some(topic) = filter.as_exact() {
            return self.page_of_one(tenant, topic, cursor, max, now, found);
        }
        let Some(values) = self.tenants.get(&tenant) else { return false };
        if cursor.from.is_empty() {
            cursor.from = scan::first(filter);
        }
        let mut room = max;
        let mut walk = values.by_topic.walk(&cursor.from);
        for _ in 0..LOOKS_MAX {
            let Some(message) = walk.next() else { return false };
            let topic = message.topic();
            match scan::look(filter, topic) {
                Next::Match if is_expired(message, now) => {}
                Next::Match if room == 0 => {
                    return true;
                }
                Next::Match => {
                    found.push(message.clone());
                    room -= 1;
                }
                Next::Step => {}
                Next::Seek(from) => {
                    walk.seek(&from);
                    cursor.from = from;
                    continue;
                }
                Next::End => return false,
            }
            cursor.move_after(topic);
        }
        true
    }

    fn page_of_one(
        &self,
        tenant: TenantId,
        topic: Topic<'_>,
        cursor: &mut Cursor,
        max: usize,
        now: Instant,
        found: &mut Vec<Message>,
    ) -> bool {
        if order::compare(&cursor.from, topic.as_bytes()).is_gt() {
            return false;
        }
        let Some(message) = self.get(tenant, topic, now) else { return false };
        if max == 0 {
            return true;
        }
        found.push(message.clone());
        cursor.move_after(topic);
        false
    }

    /// How many topics have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no topic has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self, tenant: TenantId, topic: Topic<'_>) {
        let Some(values) = self.tenants.get_mut(&tenant) else { return };
        let Some(message) = values.by_topic.remove(topic.as_bytes()) else { return };
        self.expiring.remove(&message);
        values.bytes -= message.cost_bytes();
        self.bytes -= message.cost_bytes();
        self.len -= 1;
    }
}

fn is_expired(message: &Message, now: Instant) -> bool {
    message.header().deadline.is_some_and(|deadline| deadline <= now)
}
