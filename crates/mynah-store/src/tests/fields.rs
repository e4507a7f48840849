//! One record of every kind, with every field that there is set: what the image `v2-fields` holds.

use core::num::NonZeroU64;
use std::time::Duration;

use mynah_model::{
    Class, Expiry, Layout, RetainHandling, SubscriptionId, SubscriptionOptions, TenantId, WallTime,
};

use crate::record::{
    Batch, DelayedValue, EntryValue, Key, LeaseValue, Options, OptionsBuf, Owner, OwnerKind, OwnerValue,
    PayloadId, StoredMessage, SubscriptionValue, Value, WillValue,
};

const TENANT: TenantId = TenantId::new(3);
const NATIVE: &[u8] = b"halls/3/pump\x00payload";

fn owner(kind: OwnerKind, name: &[u8]) -> Owner<'_> {
    Owner { tenant: TENANT, shard: 200, kind, name }
}

fn message(batch: &mut Batch, id: u64, class: Class) -> PayloadId {
    let message = StoredMessage {
        id: PayloadId(id),
        tenant: TENANT,
        layout: Layout { id: 2, version: 1 },
        class,
        retain: true,
        priority: 7,
        topic: (0, 12),
        payload: (13, 20),
        deadline: Some(WallTime::from_unix_millis(1_900_000_000_000)),
        publisher: NonZeroU64::new(0x0123_4567_89ab_cdef + id),
        native: NATIVE,
    };
    batch.payload(200, &message);
    message.id
}

fn options(pairs: &[(u8, &[u8])]) -> OptionsBuf {
    let mut options = OptionsBuf::new();
    pairs.iter().for_each(|(number, bytes)| assert!(options.push(*number, bytes)));
    options
}

/// Writes everything. What is there is also deleted, truncated and cleared, under other names.
pub(super) fn write(batch: &mut Batch) {
    let put = |batch: &mut Batch, key: Key<'_>, value: Value<'_>| batch.put(&key, &value).unwrap();
    let (session, queue) = (owner(OwnerKind::Session, b"pump-7"), owner(OwnerKind::Queue, b"alarms"));
    put(batch, Key::Setting { tenant: TenantId::DEFAULT, name: b"broker" }, Value::Bytes(b"seed and run"));
    batch.begin_group();
    for (own, anonymous, expiry) in
        [(session, false, Expiry::After(Duration::from_secs(3600))), (queue, true, Expiry::Never)]
    {
        let more = options(&[(1, &5u64.to_le_bytes()), (200, b"of a later version")]);
        let value = OwnerValue {
            identity: b"plant",
            anonymous,
            expiry,
            receive_max: 20,
            detached_at: Some(WallTime::from_unix_millis(1_700_000_000_000)),
            head: 4,
            options: more.as_options(),
        };
        put(batch, Key::Owner(own), Value::Owner(value));
    }
    let more = options(&[(1, b"halls/2")]);
    let subscription = SubscriptionOptions {
        no_local: true,
        separate: true,
        retain_as_published: true,
        retain_handling: RetainHandling::WhenNew,
        id: SubscriptionId::new(268_435_455),
        ..SubscriptionOptions::new(Class::ExactlyOnce)
    };
    let value = SubscriptionValue { options: subscription, more: more.as_options() };
    put(batch, Key::Subscription(session, b"halls/+/#"), Value::Subscription(value));
    batch.end_group();
    exchange(batch, queue);
    put(batch, Key::Received(session, 65_535), Value::Received);
    put(batch, Key::Part(session, 65_535, 1 << 40), Value::Bytes(&7u64.to_le_bytes()));
    let (id, more) = (message(batch, 1, Class::ExactlyOnce), options(&[(9, b"x")]));
    let value = WillValue {
        payload: id,
        delay: Duration::from_secs(30),
        lifetime: Some(Duration::from_secs(60)),
        due: Some(WallTime::from_unix_millis(1_700_000_030_000)),
        options: more.as_options(),
    };
    put(batch, Key::Will(session), Value::Will(value));
    entries(batch, session, queue);
    let id = message(batch, 4, Class::AtMostOnce);
    put(batch, Key::Retained { tenant: TENANT, shard: 17, topic: b"halls/3/pump" }, Value::Retained(id));
    let (id, more) = (message(batch, 5, Class::AtLeastOnce), options(&[(1, b"alarms")]));
    let due = WallTime::from_unix_millis(1_800_000_000_000);
    let value = DelayedValue { payload: id, due, options: more.as_options() };
    put(batch, Key::Delayed { tenant: TENANT, shard: 17, id: 99 }, Value::Delayed(value));
    put(batch, Key::Bridge { tenant: TENANT, shard: 17, name: b"cloud" }, Value::Bytes(b"position"));
    let gone = owner(OwnerKind::Session, b"gone");
    put(batch, Key::Received(gone, 1), Value::Received);
    batch.remove(gone).unwrap();
    put(batch, Key::Received(session, 2), Value::Received);
    batch.delete(&Key::Received(session, 2)).unwrap();
}

/// An exchange, and a queue that is bound to it.
fn exchange(batch: &mut Batch, queue: Owner<'_>) {
    let more = options(&[(1, &3u64.to_le_bytes()), (3, &2u64.to_le_bytes()), (4, b"spare")]);
    let value = OwnerValue {
        identity: b"",
        anonymous: false,
        expiry: Expiry::Never,
        receive_max: 0,
        detached_at: None,
        head: 0,
        options: more.as_options(),
    };
    batch.put(&Key::Owner(owner(OwnerKind::Exchange, b"events")), &Value::Owner(value)).unwrap();
    let more = options(&[(2, &3u64.to_le_bytes())]);
    let value =
        SubscriptionValue { options: SubscriptionOptions::new(Class::ExactlyOnce), more: more.as_options() };
    let key = Key::Subscription(queue, b"\0\x06\0events\x07\0halls/#");
    batch.put(&key, &Value::Subscription(value)).unwrap();
}

/// Entries with leases: one message for both queues, and one that is truncated again.
fn entries(batch: &mut Batch, session: Owner<'_>, queue: Owner<'_>) {
    let via = options(&[(1, &9u32.to_le_bytes()), (2, b"\x05\x00grouphalls/#"), (3, &6u16.to_le_bytes())]);
    let id = message(batch, 2, Class::ExactlyOnce);
    for (own, class) in [(session, Class::ExactlyOnce), (queue, Class::AtLeastOnce)] {
        let value = EntryValue { payload: id, class, retain: true, options: via.as_options() };
        batch.put(&Key::Entry(own, (2 << 40) + 5), &Value::Entry(value)).unwrap();
    }
    let more = options(&[(1, b"why")]);
    let value = LeaseValue { delivery: 6, received: false, count: 3, options: more.as_options() };
    batch.put(&Key::Lease(session, (2 << 40) + 5), &Value::Lease(value)).unwrap();
    let value = LeaseValue { delivery: 7, received: true, count: 1, options: Options::NONE };
    batch.put(&Key::Lease(session, (2 << 40) + 4), &Value::Lease(value)).unwrap();
    let id = message(batch, 3, Class::AtLeastOnce);
    let value = EntryValue { payload: id, class: Class::AtLeastOnce, retain: false, options: Options::NONE };
    batch.put(&Key::Entry(session, 3), &Value::Entry(value)).unwrap();
    batch.truncate(session, 1..4).unwrap();
}
