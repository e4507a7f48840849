//! Changes as records of the store. `recovery` reads what this writes.

use mynah_core::{GroupKey, Via};
use mynah_engine::{Binding, Change, ExchangeChange, QueueChange, QueueName, SessionName};
use mynah_model::{Class, Message, SubscriptionOptions, TenantId, WallTime};
use mynah_store::{
    Batch, BatchError, DelayedValue, EntryValue, Key, LeaseValue, Options, OptionsBuf, Owner, OwnerKind,
    OwnerValue, PayloadId, StoredMessage, SubscriptionValue, Value, WillValue,
};

use super::{Wall, exchanges, queues};

/// Options of an entry.
pub(super) mod entry {
    /// A subscription that it came by: the number that it has.
    pub(crate) const SUBSCRIPTION_ID: u8 = 1;
    /// The group that it came by: the length of its name in two bytes, the name, the filter.
    pub(crate) const GROUP: u8 = 2;
    /// The identifier under which it was handed out at once.
    pub(crate) const DELIVERY: u8 = 3;
}

/// Options of a session.
pub(super) mod session {
    /// Parts with lower numbers are not its own.
    pub(crate) const SINCE: u8 = 1;
}

/// Options of a message that is published later.
pub(super) mod delayed {
    /// The topic that it goes to, if that is not its own.
    pub(crate) const ADDRESS: u8 = 1;
}

/// Options of a subscription.
pub(super) mod subscription {
    /// Retained values are on their way to it: how far they have come.
    pub(crate) const REPLAY: u8 = 1;
}

/// What the broker owes stands like the queue of a session without a name, which no client has.
const fn outbox(tenant: TenantId, shard: u16) -> Owner<'static> {
    Owner { tenant, shard, kind: OwnerKind::Session, name: b"" }
}

/// The key of a subscription: its filter; one that is shared has the group's name with a NUL on either side before it,
/// which a filter cannot have.
pub(super) fn subscription_key(share: Option<&[u8]>, filter: &[u8]) -> Vec<u8> {
    match share {
        None => filter.to_vec(),
        Some(group) => [&[0], group, &[0], filter].concat(),
    }
}

/// The changes of one turn on their way into a batch.
#[derive(Debug)]
pub struct Records {
    wall: Wall,
    /// The message that was stored last: mostly it goes to several.
    last: Option<(*const u8, PayloadId)>,
    options: OptionsBuf,
}

impl Records {
    /// The next turn's changes.
    #[must_use]
    pub const fn new(wall: Wall) -> Self {
        Self { wall, last: None, options: OptionsBuf::new() }
    }

    /// Adds a change. `ids` gives names to messages, each once.
    ///
    /// # Errors
    /// It cannot be stored, see [`BatchError`].
    pub fn add(
        &mut self,
        batch: &mut Batch,
        ids: &mut dyn FnMut() -> PayloadId,
        change: &Change<'_>,
    ) -> Result<(), BatchError> {
        match *change {
            Change::Apart => Ok(()),
            Change::Session { session, identity, expiry, receive_max, detached_at, next_sequence, since } => {
                self.options = OptionsBuf::new();
                self.options.push(session::SINCE, &since.to_le_bytes());
                let value = OwnerValue {
                    identity: identity.name().as_bytes(),
                    anonymous: identity.is_anonymous(),
                    expiry,
                    receive_max,
                    detached_at: detached_at.map(|instant| self.wall.time(instant)),
                    head: next_sequence,
                    options: self.options.as_options(),
                };
                batch.put(&Key::Owner(owner(session)), &Value::Owner(value))
            }
            Change::SessionEnded(session) => batch.remove(owner(session)),
            Change::Subscription { session, share, filter, options, replay } => {
                let key = subscription_key(share, filter);
                let key = Key::Subscription(owner(session), &key);
                match options {
                    None => batch.delete(&key),
                    Some(options) => {
                        self.options = OptionsBuf::new();
                        if let Some(cursor) = replay {
                            self.options.push(subscription::REPLAY, cursor.as_bytes());
                        }
                        let value = SubscriptionValue { options, more: self.options.as_options() };
                        batch.put(&key, &Value::Subscription(value))
                    }
                }
            }
            Change::Received { session, id, complete } => {
                let key = Key::Received(owner(session), id);
                if complete { batch.delete(&key) } else { batch.put(&key, &Value::Received) }
            }
            Change::Will { session, will: None } => batch.delete(&Key::Will(owner(session))),
            Change::Will { session, will: Some(will) } => {
                let payload = self.payload(batch, ids, session.shard, &will.message);
                let (delay, lifetime) = (will.delay, will.lifetime);
                let value = WillValue { payload, delay, lifetime, due: None, options: Options::NONE };
                batch.put(&Key::Will(owner(session)), &Value::Will(value))
            }
            Change::Entry { .. } => self.entry(batch, ids, change),
            Change::Part { .. } | Change::PartGone { .. } => part(batch, change),
            Change::Errand { .. } | Change::ErrandDone { .. } => self.errand(batch, ids, change),
            Change::Lease { session, sequence, delivery, received } => {
                let (delivery, count) = (delivery.number(), 1);
                let value = LeaseValue { delivery, received, count, options: Options::NONE };
                batch.put(&Key::Lease(owner(session), sequence), &Value::Lease(value))?;
                if received { batch.delete(&Key::Entry(owner(session), sequence)) } else { Ok(()) }
            }
            Change::Settled { session, from, to } => batch.truncate(owner(session), from..to),
            Change::Queue(queue, change) => self.queue(batch, ids, queue, change),
            Change::Exchange(exchange, change) => self.exchange(batch, exchange, change),
            Change::Delayed { .. } | Change::DelayedDone { .. } => self.delayed(batch, ids, change),
            Change::Retained { shard, message } => self.retained(batch, ids, shard, message),
            Change::Cleared { tenant, shard, topic } => batch.delete(&Key::Retained { tenant, shard, topic }),
        }
    }

    fn entry(
        &mut self,
        batch: &mut Batch,
        ids: &mut dyn FnMut() -> PayloadId,
        change: &Change<'_>,
    ) -> Result<(), BatchError> {
        let Change::Entry { session, sequence, message, class, retain, via, delivery } = *change else {
            return Ok(());
        };
        let payload = self.payload(batch, ids, session.shard, message);
        self.options = OptionsBuf::new();
        if let Some(via) = via {
            self.push_via(via);
        }
        if let Some(delivery) = delivery {
            self.options.push(entry::DELIVERY, &delivery.number().to_le_bytes());
        }
        let value = EntryValue { payload, class, retain, options: self.options.as_options() };
        batch.put(&Key::Entry(owner(session), sequence), &Value::Entry(value))
    }

    fn retained(
        &mut self,
        batch: &mut Batch,
        ids: &mut dyn FnMut() -> PayloadId,
        shard: u16,
        message: &Message,
    ) -> Result<(), BatchError> {
        let payload = self.payload(batch, ids, shard, message);
        let (tenant, topic) = (message.header().tenant, message.topic());
        let key = Key::Retained { tenant, shard, topic: topic.as_bytes() };
        batch.put(&key, &Value::Retained(payload))
    }

    fn delayed(
        &mut self,
        batch: &mut Batch,
        ids: &mut dyn FnMut() -> PayloadId,
        change: &Change<'_>,
    ) -> Result<(), BatchError> {
        match *change {
            Change::Delayed { shard, number, message, due, address } => {
                let payload = self.payload(batch, ids, shard, message);
                self.options = OptionsBuf::new();
                if let Some(address) = address {
                    self.options.push(delayed::ADDRESS, address);
                }
                let (due, options) = (self.wall.time(due), self.options.as_options());
                let key = Key::Delayed { tenant: message.header().tenant, shard, id: number };
                batch.put(&key, &Value::Delayed(DelayedValue { payload, due, options }))
            }
            Change::DelayedDone { tenant, shard, number } => {
                batch.delete(&Key::Delayed { tenant, shard, id: number })
            }
            _ => Ok(()),
        }
    }

    fn queue(
        &mut self,
        batch: &mut Batch,
        ids: &mut dyn FnMut() -> PayloadId,
        queue: QueueName<'_>,
        change: QueueChange<'_>,
    ) -> Result<(), BatchError> {
        let QueueName { tenant, shard, name } = queue;
        let owner = Owner { tenant, shard, kind: OwnerKind::Queue, name };
        match change {
            QueueChange::There { settings, next_sequence, shown } => {
                let value = queues::value(&mut self.options, settings, next_sequence, shown);
                batch.put(&Key::Owner(owner), &Value::Owner(value))
            }
            QueueChange::Ended => batch.remove(owner),
            QueueChange::Filter(filter, true) => {
                let (options, more) = (SubscriptionOptions::new(Class::ExactlyOnce), Options::NONE);
                let value = SubscriptionValue { options, more };
                batch.put(&Key::Subscription(owner, filter), &Value::Subscription(value))
            }
            QueueChange::Filter(filter, false) => batch.delete(&Key::Subscription(owner, filter)),
            QueueChange::Binding(binding, bound) => self.binding(batch, owner, binding, bound),
            QueueChange::Entry { sequence, message, time, history } => {
                let payload = self.payload(batch, ids, shard, message);
                self.options = OptionsBuf::new();
                queues::push_entry(&mut self.options, self.wall, time, history);
                let (class, retain) = (message.header().class, false);
                let value = EntryValue { payload, class, retain, options: self.options.as_options() };
                batch.put(&Key::Entry(owner, sequence), &Value::Entry(value))
            }
            QueueChange::Counts { sequence, acquired, failed, until } => {
                self.options = OptionsBuf::new();
                self.options.push(queues::FAILED, &failed.to_le_bytes());
                if let Some(until) = until {
                    let until = self.wall.time(until).as_unix_millis();
                    self.options.push(queues::UNTIL, &until.to_le_bytes());
                }
                let options = self.options.as_options();
                let value = LeaseValue { delivery: 0, received: false, count: acquired, options };
                batch.put(&Key::Lease(owner, sequence), &Value::Lease(value))
            }
            QueueChange::Settled(from, to) => batch.truncate(owner, from..to),
        }
    }

    fn exchange(
        &mut self,
        batch: &mut Batch,
        exchange: QueueName<'_>,
        change: ExchangeChange<'_>,
    ) -> Result<(), BatchError> {
        let QueueName { tenant, shard, name } = exchange;
        let owner = Owner { tenant, shard, kind: OwnerKind::Exchange, name };
        match change {
            ExchangeChange::There { settings, number } => {
                let value = exchanges::value(&mut self.options, settings, number);
                batch.put(&Key::Owner(owner), &Value::Owner(value))
            }
            ExchangeChange::Ended => batch.remove(owner),
            ExchangeChange::Binding(binding, bound) => self.binding(batch, owner, binding, bound),
        }
    }

    fn binding(
        &mut self,
        batch: &mut Batch,
        destination: Owner<'_>,
        binding: &Binding,
        bound: bool,
    ) -> Result<(), BatchError> {
        let key = exchanges::binding_key(binding);
        let key = Key::Subscription(destination, &key);
        if !bound {
            return batch.delete(&key);
        }
        self.options = OptionsBuf::new();
        self.options.push(exchanges::NUMBER, &binding.number.to_le_bytes());
        let options = SubscriptionOptions::new(Class::ExactlyOnce);
        let value = SubscriptionValue { options, more: self.options.as_options() };
        batch.put(&key, &Value::Subscription(value))
    }

    fn push_via(&mut self, via: &Via) {
        for id in &via.ids {
            self.options.push(entry::SUBSCRIPTION_ID, &id.number().to_le_bytes());
        }
        if let Some(key) = &via.group {
            self.push_group(key);
        }
    }

    fn push_group(&mut self, key: &GroupKey) {
        let length = u16::try_from(key.group.len()).unwrap_or(u16::MAX);
        let group = [&length.to_le_bytes(), &key.group[..usize::from(length)], &key.filter].concat();
        self.options.push(entry::GROUP, &group);
    }

    fn errand(
        &mut self,
        batch: &mut Batch,
        ids: &mut dyn FnMut() -> PayloadId,
        change: &Change<'_>,
    ) -> Result<(), BatchError> {
        match *change {
            Change::Errand { tenant, shard, number, message, group } => {
                let payload = self.payload(batch, ids, shard, message);
                self.options = OptionsBuf::new();
                if let Some(key) = group {
                    self.push_group(key);
                }
                let (class, retain) = (message.header().class, message.header().retain);
                let value = EntryValue { payload, class, retain, options: self.options.as_options() };
                batch.put(&Key::Entry(outbox(tenant, shard), number), &Value::Entry(value))
            }
            Change::ErrandDone { tenant, shard, number } => {
                batch.delete(&Key::Entry(outbox(tenant, shard), number))
            }
            _ => Ok(()),
        }
    }

    /// The name of a message in the store, where it is put if it was not the last one that was.
    fn payload(
        &mut self,
        batch: &mut Batch,
        ids: &mut dyn FnMut() -> PayloadId,
        shard: u16,
        message: &Message,
    ) -> PayloadId {
        // While a turn's changes are there, so are their messages: no other has the same place in memory.
        let place = message.view().native.as_ptr();
        if let Some((last, id)) = self.last
            && last == place
        {
            return id;
        }
        let id = ids();
        let deadline: Option<WallTime> = message.header().deadline.map(|deadline| self.wall.time(deadline));
        batch.payload(shard, &StoredMessage::new(id, message.view(), deadline));
        self.last = Some((place, id));
        id
    }
}

fn part(batch: &mut Batch, change: &Change<'_>) -> Result<(), BatchError> {
    match *change {
        Change::Part { session, of, number, receivers } => {
            let bytes: Vec<u8> = receivers.iter().flat_map(|receiver| receiver.to_le_bytes()).collect();
            batch.put(&Key::Part(owner(session), of, number), &Value::Bytes(&bytes))
        }
        Change::PartGone { session, of, number } => batch.delete(&Key::Part(owner(session), of, number)),
        _ => Ok(()),
    }
}

const fn owner(session: SessionName<'_>) -> Owner<'_> {
    let SessionName { tenant, shard, client_id } = session;
    Owner { tenant, shard, kind: OwnerKind::Session, name: client_id }
}
