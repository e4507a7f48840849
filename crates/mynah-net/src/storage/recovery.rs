//! What an earlier run has left in the store, put together for the engines.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mynah_core::{Cursor, Entry, GroupKey, Kept, SessionKey, Via, owner};
use mynah_engine::{
    Engine, Parts, Restored, RestoredDelayed, RestoredEntry, RestoredErrand, RestoredExchange, RestoredQueue,
    RestoredSubscription, SessionName,
};
use mynah_model::{DeliveryId, Identity, Instant, Message, SubscriptionId, TenantId, WallTime, Will};
use mynah_store::{
    DelayedValue, EntryValue, Key, LeaseValue, Options, Owner, OwnerKind, OwnerValue, PayloadId,
    Recovered as Item, SubscriptionValue, Value, WillValue,
};

use super::records::{delayed, entry, session, subscription};
use super::{Wall, exchanges, queues};

/// How much was read from a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Sessions.
    pub sessions: usize,
    /// Messages in their queues.
    pub messages: usize,
    /// Retained values.
    pub values: usize,
}

/// What was read so far, put together item by item.
#[derive(Debug)]
pub struct Recovery {
    wall: Wall,
    messages: HashMap<PayloadId, Message>,
    sessions: BTreeMap<(TenantId, Box<[u8]>), Reading>,
    values: Vec<Message>,
    queues: BTreeMap<(TenantId, Box<[u8]>), ReadingQueue>,
    exchanges: BTreeMap<(TenantId, Box<[u8]>), RestoredExchange>,
    /// What the broker owes, by shard and number.
    errands: BTreeMap<(TenantId, u16, u64), RestoredErrand>,
    delayed: Vec<RestoredDelayed>,
    stale: Vec<Stale>,
    setting: Option<(u64, u64)>,
    entries: usize,
}

/// A session as far as it was read.
#[derive(Debug)]
struct Reading {
    restored: Restored,
    /// Leases whose entries have not come yet, or never will, by their numbers.
    leases: BTreeMap<u64, (DeliveryId, bool)>,
    /// Parts with lower numbers are not its own.
    since: u64,
}

/// How often an entry was acquired and has failed, and before which time nobody gets it.
type Counts = (u32, u32, Option<Instant>);

/// A queue as far as it was read.
#[derive(Debug)]
struct ReadingQueue {
    restored: RestoredQueue,
    /// How often entries were acquired and have failed, by their numbers.
    counts: BTreeMap<u64, Counts>,
}

/// A part that is left of something that is over.
#[derive(Debug)]
struct Stale {
    tenant: TenantId,
    shard: u16,
    name: Box<[u8]>,
    of: u64,
    number: u64,
}

impl Recovery {
    /// Nothing was read.
    #[must_use]
    pub fn new(wall: Wall) -> Self {
        let (messages, sessions, values, errands) =
            (HashMap::new(), BTreeMap::new(), Vec::new(), BTreeMap::new());
        let (stale, queues, exchanges) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let (delayed, setting, entries) = (Vec::new(), None, 0);
        Self {
            wall,
            messages,
            sessions,
            values,
            queues,
            exchanges,
            errands,
            delayed,
            stale,
            setting,
            entries,
        }
    }

    /// The seed and the number of the last run.
    pub(super) const fn setting(&self) -> Option<(u64, u64)> {
        self.setting
    }

    pub(super) fn recovered(&self) -> Recovered {
        let (sessions, messages, values) = (self.sessions.len(), self.entries, self.values.len());
        Recovered { sessions, messages, values }
    }

    /// Takes what the store hands over. `progress` hears how many of how many of which are done.
    pub fn take(
        &mut self,
        item: Item<'_>,
        progress: &mut impl FnMut(&'static str, u64, u64),
    ) -> ControlFlow<()> {
        match item {
            Item::Restart => *self = Self::new(self.wall),
            Item::Payload(message) => {
                let deadline = message.deadline.map(|deadline| self.wall.instant(deadline));
                self.messages.insert(message.id, message.to_message(deadline));
            }
            Item::Progress(done, all) => progress("records", done, all),
            Item::Replayed(done, all) => progress("bytes of the journal", done, all),
            Item::Item(key, value) => drop(self.item(key, value)),
        }
        ControlFlow::Continue(())
    }

    /// What does not fit is what a later version has written, or belongs to nothing: it stays where it is.
    fn item(&mut self, key: Key<'_>, value: Value<'_>) -> Option<()> {
        if let Key::Owner(owner) | Key::Subscription(owner, _) | Key::Lease(owner, _) | Key::Entry(owner, _) =
            key
            && owner.kind == OwnerKind::Queue
        {
            return self.queue_item(owner, key, &value);
        }
        if let Key::Owner(owner) | Key::Subscription(owner, _) = key
            && owner.kind == OwnerKind::Exchange
        {
            return self.exchange_item(owner, key, &value);
        }
        match (key, value) {
            (Key::Setting { name: b"broker", .. }, Value::Bytes(bytes)) => {
                let (seed, rest) = bytes.split_first_chunk()?;
                self.setting = Some((u64::from_le_bytes(*seed), u64::from_le_bytes(*rest.first_chunk()?)));
            }
            (Key::Owner(owner), Value::Owner(value)) if owner.kind == OwnerKind::Session => {
                self.session(owner, &value)?;
            }
            (Key::Subscription(owner, key), Value::Subscription(SubscriptionValue { options, more })) => {
                let (share, filter) = match key.split_first() {
                    Some((0, rest)) => {
                        let end = rest.iter().position(|&byte| byte == 0)?;
                        (Some(rest[..end].into()), rest[end + 1..].into())
                    }
                    _ => (None, key.into()),
                };
                let replay = more.get(subscription::REPLAY).map(Cursor::from_bytes);
                let subscription = RestoredSubscription { share, filter, options, replay };
                self.reading(owner)?.restored.subscriptions.push(subscription);
            }
            (Key::Received(owner, id), Value::Received) => self.reading(owner)?.restored.received.push(id),
            (Key::Will(owner), Value::Will(WillValue { payload, delay, lifetime, .. })) => {
                let message = self.messages.get(&payload)?.clone();
                self.reading(owner)?.restored.will = Some(Will { message, delay, lifetime });
            }
            (Key::Lease(owner, sequence), Value::Lease(LeaseValue { delivery, received, .. })) => {
                self.reading(owner)?.leases.insert(sequence, (DeliveryId::new(delivery)?, received));
            }
            (Key::Entry(owner, sequence), Value::Entry(value)) if owner.name.is_empty() => {
                self.errand(owner, sequence, &value)?;
            }
            (Key::Entry(owner, sequence), Value::Entry(value)) => self.entry(owner, sequence, &value)?,
            (Key::Delayed { shard, id, .. }, Value::Delayed(DelayedValue { payload, due, options })) => {
                let message = self.messages.get(&payload)?.clone();
                let (due, address) = (self.wall.instant(due), options.get(delayed::ADDRESS).map(Box::from));
                self.delayed.push(RestoredDelayed { shard, number: id, message, due, address });
            }
            (Key::Part(owner, of, number), Value::Bytes(bytes)) => self.part(owner, of, number, bytes),
            (Key::Retained { .. }, Value::Retained(payload)) => {
                let message = self.messages.get(&payload)?.clone();
                self.values.push(message);
            }
            _ => {}
        }
        Some(())
    }

    /// One that is there from the start is stored only by what it is bound to.
    fn exchange_item(&mut self, owner: Owner<'_>, key: Key<'_>, value: &Value<'_>) -> Option<()> {
        let Owner { tenant, name, .. } = owner;
        let reading = self.exchanges.entry((tenant, name.into())).or_insert_with(|| RestoredExchange {
            tenant,
            name: name.into(),
            settings: None,
            number: 0,
            bindings: Vec::new(),
        });
        match (key, value) {
            (Key::Owner(_), Value::Owner(value)) => {
                let (settings, number) = exchanges::settings(value.options)?;
                (reading.settings, reading.number) = (Some(settings), number);
            }
            (Key::Subscription(_, key), Value::Subscription(value)) => {
                reading.bindings.push(exchanges::binding_of(key, value.more)?);
            }
            _ => {}
        }
        Some(())
    }

    fn queue_item(&mut self, owner: Owner<'_>, key: Key<'_>, value: &Value<'_>) -> Option<()> {
        let wall = self.wall;
        if let Value::Owner(value) = value {
            let (tenant, name, (settings, shown)) =
                (owner.tenant, owner.name.into(), queues::settings(value.options));
            let restored = RestoredQueue {
                tenant,
                name,
                settings,
                filters: Vec::new(),
                bindings: Vec::new(),
                entries: Vec::new(),
                next_sequence: value.head,
                shown,
            };
            let reading = ReadingQueue { restored, counts: BTreeMap::new() };
            self.queues.insert((tenant, owner.name.into()), reading);
            return Some(());
        }
        let reading = self.queues.get_mut(&(owner.tenant, owner.name.into()))?;
        match (key, value) {
            (Key::Subscription(_, key @ [0, ..]), Value::Subscription(value)) => {
                reading.restored.bindings.push(exchanges::binding_of(key, value.more)?);
            }
            (Key::Subscription(_, filter), _) => reading.restored.filters.push(filter.into()),
            (Key::Lease(_, sequence), Value::Lease(LeaseValue { count, options, .. })) => {
                let failed = options.get(queues::FAILED).and_then(|bytes| bytes.first_chunk());
                let failed = failed.map_or(0, |bytes| u32::from_le_bytes(*bytes));
                let until = options.get(queues::UNTIL).and_then(|bytes| bytes.first_chunk());
                let until = until.map(|bytes| WallTime::from_unix_millis(u64::from_le_bytes(*bytes)));
                reading.counts.insert(sequence, (*count, failed, until.map(|until| wall.instant(until))));
            }
            (Key::Entry(_, sequence), Value::Entry(value)) => {
                let message = self.messages.get(&value.payload)?.clone();
                let (time, history) = queues::entry_of(value.options, wall);
                let (acquired, failed, until) = reading.counts.remove(&sequence).unwrap_or_default();
                let counts = (acquired, failed);
                let entry = RestoredEntry { sequence, message, time, history, counts, until };
                reading.restored.entries.push(entry);
                self.entries += 1;
            }
            _ => {}
        }
        Some(())
    }

    fn session(&mut self, owner: Owner<'_>, value: &OwnerValue<'_>) -> Option<()> {
        let name = core::str::from_utf8(value.identity).ok()?;
        let identity = if value.anonymous {
            Identity::anonymous(owner.tenant, name)
        } else {
            Identity::user(owner.tenant, name)
        };
        let key = SessionKey { tenant: owner.tenant, client_id: owner.name.into() };
        // A session that had its connection until the crash counts from now.
        let now = self.wall.here();
        let since = value.options.get(session::SINCE).and_then(|bytes| bytes.first_chunk());
        let restored = Restored {
            key,
            identity,
            expiry: value.expiry,
            receive_max: value.receive_max,
            detached_at: value.detached_at.map_or(now, |time| self.wall.instant(time)),
            subscriptions: Vec::new(),
            received: Vec::new(),
            repeated: Vec::new(),
            will: None,
            queue: Vec::new(),
            next_sequence: value.head,
        };
        let since = since.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let reading = Reading { restored, leases: BTreeMap::new(), since };
        self.sessions.insert((owner.tenant, owner.name.into()), reading);
        Some(())
    }

    fn entry(&mut self, owner: Owner<'_>, sequence: u64, value: &EntryValue<'_>) -> Option<()> {
        let message = self.messages.get(&value.payload)?.clone();
        let via = via(owner.tenant, value.options);
        let entry = Entry { sequence, ..Entry::new(message, value.class, value.retain, via) };
        let at_once = value.options.get(entry::DELIVERY).and_then(|bytes| bytes.first_chunk());
        let at_once = at_once.and_then(|bytes| DeliveryId::new(u16::from_le_bytes(*bytes)));
        let reading = self.reading(owner)?;
        let leased = reading.leases.remove(&sequence).map(|(id, _)| id).or(at_once);
        reading.restored.queue.push(match leased {
            Some(id) => Kept::Sent(id, entry),
            None => Kept::Ready(entry),
        });
        self.entries += 1;
        Some(())
    }

    fn errand(&mut self, owner: Owner<'_>, number: u64, value: &EntryValue<'_>) -> Option<()> {
        let Owner { tenant, shard, .. } = owner;
        let message = self.messages.get(&value.payload)?.clone();
        let group = via(tenant, value.options).and_then(|via| via.group.clone());
        let errand = RestoredErrand { shard, number, message, group, parts: Parts::default() };
        self.errands.insert((tenant, shard, number), errand);
        Some(())
    }

    /// Parts come after what they are parts of.
    fn part(&mut self, owner: Owner<'_>, of: u64, number: u64, bytes: &[u8]) {
        let Owner { tenant, shard, name, .. } = owner;
        let Some(parts) = self.parts(owner, of, number) else {
            return self.stale.push(Stale { tenant, shard, name: name.into(), of, number });
        };
        let receiver = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        parts.numbers.push(number);
        parts.receivers.extend(bytes.chunks_exact(8).filter_map(receiver));
    }

    fn parts(&mut self, owner: Owner<'_>, of: u64, number: u64) -> Option<&mut Parts> {
        if owner.name.is_empty() {
            return Some(&mut self.errands.get_mut(&(owner.tenant, owner.shard, of))?.parts);
        }
        let receipt = u16::try_from(of).ok()?;
        let Reading { restored, since, .. } = self.reading(owner)?;
        if number < *since || restored.received.contains(&receipt) {
            return None;
        }
        if restored.repeated.last().is_none_or(|(last, _)| *last != receipt) {
            restored.repeated.push((receipt, Parts::default()));
        }
        restored.repeated.last_mut().map(|(_, parts)| parts)
    }

    fn reading(&mut self, owner: Owner<'_>) -> Option<&mut Reading> {
        self.sessions.get_mut(&(owner.tenant, owner.name.into()))
    }

    /// Gives each engine what is its own.
    pub fn hand_over(&mut self, engines: &mut [Engine], seed: u64, now: Instant) {
        self.messages = HashMap::new();
        let workers = u16::try_from(engines.len()).unwrap_or(u16::MAX);
        for ((tenant, client_id), reading) in core::mem::take(&mut self.sessions) {
            let Reading { mut restored, leases, .. } = reading;
            let taken = leases.into_iter().filter(|(_, (_, received))| *received);
            restored.queue.extend(taken.map(|(sequence, (id, _))| Kept::Received(id, sequence)));
            let to = owner(tenant, &client_id, workers, seed);
            if let Err(reason) = engines[usize::from(to.0)].restore_session(restored) {
                let client_id = String::from_utf8_lossy(&client_id);
                tracing::error!(%reason, %client_id, "a session does not fit; it stays in the store");
            }
        }
        for ((tenant, name), restored) in core::mem::take(&mut self.exchanges) {
            let to = owner(tenant, &name, workers, seed);
            engines[usize::from(to.0)].restore_exchange(restored);
        }
        for ((tenant, name), reading) in core::mem::take(&mut self.queues) {
            let to = owner(tenant, &name, workers, seed);
            engines[usize::from(to.0)].restore_queue(now, reading.restored);
        }
        for message in core::mem::take(&mut self.values) {
            let to = owner(message.header().tenant, message.topic().as_bytes(), workers, seed);
            engines[usize::from(to.0)].restore_value(now, &message);
        }
        for Stale { tenant, shard, name, of, number } in core::mem::take(&mut self.stale) {
            let to = owner(tenant, &name, workers, seed);
            let session = SessionName { tenant, shard, client_id: &name };
            engines[usize::from(to.0)].drop_part(session, of, number);
        }
        for errand in core::mem::take(&mut self.errands).into_values() {
            let worker = usize::from(errand.shard) % engines.len();
            engines[worker].restore_errand(errand);
        }
        for delayed in core::mem::take(&mut self.delayed) {
            let worker = usize::from(delayed.shard) % engines.len();
            engines[worker].restore_delayed(delayed);
        }
        for engine in engines {
            engine.begin(now);
        }
    }
}

/// The subscriptions that an entry came by.
fn via(tenant: TenantId, options: Options<'_>) -> Option<Arc<Via>> {
    let number = |bytes: &[u8]| SubscriptionId::new(u32::from_le_bytes(*bytes.first_chunk()?));
    let ids = options.iter().filter(|(option, _)| *option == entry::SUBSCRIPTION_ID);
    let ids: Box<[SubscriptionId]> = ids.filter_map(|(_, bytes)| number(bytes)).collect();
    let group = options.get(entry::GROUP).and_then(|bytes| {
        let (length, rest) = bytes.split_first_chunk()?;
        let (group, filter) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        Some(Arc::new(GroupKey { tenant, group: group.into(), filter: filter.into() }))
    });
    (!ids.is_empty() || group.is_some()).then(|| Arc::new(Via { ids, group }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_engine::{Binding, Change, ExchangeChange, QueueChange, QueueName};
    use mynah_model::{
        Class, ExchangeKind, ExchangeSettings, Header, Layout, MessageView, PRIORITY_DEFAULT, QueueSettings,
    };
    use mynah_store::{Durability, Store, StoreOptions};
    use std::time::Duration;

    use crate::clock::Clock;
    use crate::storage::Records;

    fn message(text: &str) -> Message {
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 0, version: 0 },
            class: Class::AtLeastOnce,
            retain: false,
            priority: PRIORITY_DEFAULT,
            topic: (0, 1),
            payload: (1, text.len() as u32),
            deadline: None,
            publisher: None,
        };
        MessageView { header: &header, native: text.as_bytes() }.to_message()
    }

    /// Stores changes of the queue `q` and closes the store.
    fn store(folder: &std::path::Path, wall: Wall, changes: &[QueueChange<'_>]) {
        let queue = QueueName { tenant: TenantId::DEFAULT, shard: 5, name: b"q" };
        let changes: Vec<_> = changes.iter().map(|change| Change::Queue(queue, *change)).collect();
        store_all(folder, wall, &changes);
    }

    fn store_all(folder: &std::path::Path, wall: Wall, changes: &[Change<'_>]) {
        let (store, _) = Store::open(StoreOptions::new(folder), &mut |_| ControlFlow::Continue(())).unwrap();
        let producer = store.producer(Box::new(|| ()));
        let mut batch = producer.batch();
        let mut records = Records::new(wall);
        for change in changes {
            records.add(&mut batch, &mut || store.new_payload_id(), change).unwrap();
        }
        let ticket = producer.submit(&mut batch, Durability::Sync).unwrap();
        while producer.synced() < ticket {
            assert!(producer.fatal().is_none());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn read(folder: &std::path::Path, wall: Wall) -> Recovery {
        let mut recovery = Recovery::new(wall);
        let take = &mut |item: Item<'_>| recovery.take(item, &mut |_, _, _| ());
        drop(Store::open(StoreOptions::new(folder), take).unwrap());
        recovery
    }

    #[test]
    fn a_queue_is_read_from_the_store_as_it_was_left() {
        let folder = std::env::temp_dir().join(format!("mynah-queue-{}", std::process::id()));
        let wall = Wall::now(Clock::start());
        let settings = QueueSettings { length_max: Some(9), ..QueueSettings::DURABLE };
        let there = QueueChange::There { settings: &settings, next_sequence: 40, shown: 41 };
        let messages = ["ta", "tb", "tc", "td"].map(message);
        let entry = |at: usize| QueueChange::Entry {
            sequence: 40 + at as u64,
            message: &messages[at],
            time: None,
            history: None,
        };
        let filters = [QueueChange::Filter(b"a/#", true), QueueChange::Filter(b"b", true)];
        let counts = QueueChange::Counts { sequence: 42, acquired: 3, failed: 2, until: None };
        store(
            &folder,
            wall,
            &[there, filters[0], filters[1], entry(0), entry(1), entry(2), entry(3), counts],
        );
        store(&folder, wall, &[QueueChange::Filter(b"b", false), QueueChange::Settled(40, 42)]);
        let recovery = read(&folder, wall);
        assert_eq!((recovery.recovered().messages, recovery.queues.len()), (2, 1));
        let queue = &recovery.queues[&(TenantId::DEFAULT, (*b"q").into())].restored;
        assert_eq!((&queue.settings, queue.next_sequence, queue.shown), (&settings, 40, 41));
        assert_eq!(queue.filters, [Box::from(*b"a/#")]);
        let entry = |e: &RestoredEntry| (e.sequence, e.message.payload().to_vec(), e.counts);
        let entries: Vec<_> = queue.entries.iter().map(entry).collect();
        assert_eq!(entries, [(42, b"c".to_vec(), (3, 2)), (43, b"d".to_vec(), (0, 0))]);
        store(&folder, wall, &[QueueChange::Ended]);
        assert!(read(&folder, wall).queues.is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn exchanges_and_what_is_bound_to_them_are_read_as_they_were_left() {
        let folder = std::env::temp_dir().join(format!("mynah-exchange-{}", std::process::id()));
        let wall = Wall::now(Clock::start());
        let binding = |source: &[u8], key: &[u8]| Binding {
            source: source.into(),
            number: 3,
            key: key.into(),
            arguments: Box::default(),
        };
        let [kept, undone, link] = [binding(b"x", b"a/#"), binding(b"x", b"b"), binding(b"x", b"")];
        let settings = QueueSettings::DURABLE;
        let there = QueueChange::There { settings: &settings, next_sequence: 1, shown: 0 };
        let queue = [there, QueueChange::Filter(b"f", true), QueueChange::Binding(&kept, true)];
        let undoing = [QueueChange::Binding(&undone, true), QueueChange::Binding(&undone, false)];
        store(&folder, wall, &[queue, [there, undoing[0], undoing[1]]].concat());
        let settings = ExchangeSettings::durable(ExchangeKind::Topic);
        let there = ExchangeChange::There { settings: &settings, number: 3 };
        let of =
            |name, change| Change::Exchange(QueueName { tenant: TenantId::DEFAULT, shard: 5, name }, change);
        store_all(&folder, wall, &[of(b"x", there), of(b"gone", there), of(b"gone", ExchangeChange::Ended)]);
        store_all(&folder, wall, &[of(b"amq.fanout", ExchangeChange::Binding(&link, true))]);
        let recovery = read(&folder, wall);
        let queue = &recovery.queues[&(TenantId::DEFAULT, (*b"q").into())].restored;
        assert_eq!((&queue.filters[..], &queue.bindings[..]), (&[Box::from(*b"f")][..], &[kept][..]));
        let exchange = |name: &[u8]| &recovery.exchanges[&(TenantId::DEFAULT, name.into())];
        assert_eq!((&exchange(b"x").settings, exchange(b"x").number), (&Some(settings), 3));
        assert_eq!(
            (&exchange(b"amq.fanout").settings, &exchange(b"amq.fanout").bindings),
            (&None, &vec![link])
        );
        assert_eq!(recovery.exchanges.len(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
