//! Keys: what a record is about. Ordered bytes, so that all of one session or queue stands together.

use mynah_model::TenantId;

use super::fields::Fields;

/// Bytes of the longest key: what the store behind the state can hold.
pub const KEY_BYTES_MAX: usize = 65_000;

/// What an owner of entries is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum OwnerKind {
    /// A session; its queue is its backlog.
    Session = 0,
    /// A named queue.
    Queue = 1,
    /// An exchange.
    Exchange = 2,
}

/// A session, a named queue or an exchange, and the shard that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner<'k> {
    /// The tenant.
    pub tenant: TenantId,
    /// The partition of durable state.
    pub shard: u16,
    /// Which of them.
    pub kind: OwnerKind,
    /// The client identifier, or the name of the queue or the exchange.
    pub name: &'k [u8],
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key<'k> {
    /// Something that the broker remembers about itself, such as the key of a hash.
    Setting {
        /// The tenant.
        tenant: TenantId,
        /// Its name.
        name: &'k [u8],
    },
    /// That a session, a queue or an exchange is there.
    Owner(Owner<'k>),
    /// A filter of a session or a queue, or what a queue or an exchange is bound to.
    Subscription(Owner<'k>, &'k [u8]),
    /// The identifier of an exactly-once publication of a session that is not complete.
    Received(Owner<'k>, u16),
    /// One of the parts of something that is done in parts, such as an exactly-once publication: what it is a part of, and
    /// its own number.
    Part(Owner<'k>, u64, u64),
    /// The will of a session.
    Will(Owner<'k>),
    /// How far the delivery of an entry has come.
    Lease(Owner<'k>, u64),
    /// A message in a queue, by its sequence number.
    Entry(Owner<'k>, u64),
    /// The value of a topic.
    Retained {
        /// The tenant.
        tenant: TenantId,
        /// The partition of durable state.
        shard: u16,
        /// The topic.
        topic: &'k [u8],
    },
    /// A message that is published later.
    Delayed {
        /// The tenant.
        tenant: TenantId,
        /// The partition of durable state.
        shard: u16,
        /// Its number.
        id: u64,
    },
    /// How far a bridge has come.
    Bridge {
        /// The tenant.
        tenant: TenantId,
        /// The partition of durable state.
        shard: u16,
        /// Its name.
        name: &'k [u8],
    },
}

/// The first byte of a key. Recovery yields keys in this order: what is referred to, before what refers.
pub(crate) mod tag {
    pub(crate) const META: u8 = 0;
    pub(crate) const PAYLOAD: u8 = 1;
    pub(crate) const SETTING: u8 = 2;
    pub(crate) const OWNER: u8 = 3;
    pub(crate) const SUBSCRIPTION: u8 = 4;
    pub(crate) const RECEIVED: u8 = 5;
    pub(crate) const WILL: u8 = 6;
    pub(crate) const LEASE: u8 = 7;
    pub(crate) const ENTRY: u8 = 8;
    pub(crate) const RETAINED: u8 = 9;
    pub(crate) const DELAYED: u8 = 10;
    pub(crate) const BRIDGE: u8 = 11;
    pub(crate) const PART: u8 = 12;
    /// After every other.
    pub(crate) const END: u8 = 255;
}

impl<'k> Key<'k> {
    /// The tenant that the key belongs to.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        match *self {
            Self::Setting { tenant, .. }
            | Self::Retained { tenant, .. }
            | Self::Delayed { tenant, .. }
            | Self::Bridge { tenant, .. } => tenant,
            Self::Owner(owner)
            | Self::Subscription(owner, _)
            | Self::Received(owner, _)
            | Self::Part(owner, _, _)
            | Self::Will(owner)
            | Self::Lease(owner, _)
            | Self::Entry(owner, _) => owner.tenant,
        }
    }

    /// The partition that the key is in; zero for settings.
    #[must_use]
    pub fn shard(&self) -> u16 {
        match *self {
            Self::Setting { .. } => 0,
            Self::Retained { shard, .. } | Self::Delayed { shard, .. } | Self::Bridge { shard, .. } => shard,
            Self::Owner(owner)
            | Self::Subscription(owner, _)
            | Self::Received(owner, _)
            | Self::Part(owner, _, _)
            | Self::Will(owner)
            | Self::Lease(owner, _)
            | Self::Entry(owner, _) => owner.shard,
        }
    }

    /// How many bytes [`Key::encode`] appends.
    pub(crate) const fn bytes_len(&self) -> usize {
        match *self {
            Self::Setting { name, .. } | Self::Bridge { name, .. } => NAMED_BYTES + name.len(),
            Self::Retained { topic, .. } => NAMED_BYTES + topic.len(),
            Self::Delayed { .. } => NAMED_BYTES + 8,
            Self::Owner(owner) | Self::Will(owner) => OWNED_BYTES + owner.name.len(),
            Self::Subscription(owner, filter) => OWNED_BYTES + owner.name.len() + filter.len(),
            Self::Received(owner, _) => OWNED_BYTES + owner.name.len() + 2,
            Self::Part(owner, ..) => OWNED_BYTES + owner.name.len() + 16,
            Self::Lease(owner, _) | Self::Entry(owner, _) => OWNED_BYTES + owner.name.len() + 8,
        }
    }

    /// Appends the bytes of the key.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Setting { tenant, name } => named(out, tag::SETTING, tenant, 0, name),
            Self::Owner(owner) => owned(out, tag::OWNER, owner),
            Self::Subscription(owner, filter) => {
                owned(out, tag::SUBSCRIPTION, owner);
                out.extend_from_slice(filter);
            }
            Self::Received(owner, id) => {
                owned(out, tag::RECEIVED, owner);
                out.extend_from_slice(&id.to_be_bytes());
            }
            Self::Part(owner, of, number) => {
                owned(out, tag::PART, owner);
                out.extend_from_slice(&of.to_be_bytes());
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Will(owner) => owned(out, tag::WILL, owner),
            Self::Lease(owner, sequence) => {
                owned(out, tag::LEASE, owner);
                out.extend_from_slice(&sequence.to_be_bytes());
            }
            Self::Entry(owner, sequence) => {
                owned(out, tag::ENTRY, owner);
                out.extend_from_slice(&sequence.to_be_bytes());
            }
            Self::Retained { tenant, shard, topic } => named(out, tag::RETAINED, tenant, shard, topic),
            Self::Delayed { tenant, shard, id } => {
                named(out, tag::DELAYED, tenant, shard, &id.to_be_bytes());
            }
            Self::Bridge { tenant, shard, name } => named(out, tag::BRIDGE, tenant, shard, name),
        }
    }

    /// The key with these bytes.
    pub(crate) fn decode(bytes: &'k [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let tag = fields.u8()?;
        let tenant = TenantId::new(fields.u16_ordered()?);
        let shard = fields.u16_ordered()?;
        let key = match tag {
            tag::SETTING if shard == 0 => Self::Setting { tenant, name: fields.rest() },
            tag::OWNER => Self::Owner(owner(tenant, shard, &mut fields)?),
            tag::SUBSCRIPTION => Self::Subscription(owner(tenant, shard, &mut fields)?, fields.rest()),
            tag::RECEIVED => Self::Received(owner(tenant, shard, &mut fields)?, fields.u16_ordered()?),
            tag::WILL => Self::Will(owner(tenant, shard, &mut fields)?),
            tag::LEASE => Self::Lease(owner(tenant, shard, &mut fields)?, fields.u64_ordered()?),
            tag::ENTRY => Self::Entry(owner(tenant, shard, &mut fields)?, fields.u64_ordered()?),
            tag::RETAINED => Self::Retained { tenant, shard, topic: fields.rest() },
            tag::DELAYED => Self::Delayed { tenant, shard, id: fields.u64_ordered()? },
            tag::BRIDGE => Self::Bridge { tenant, shard, name: fields.rest() },
            tag::PART => {
                let owner = owner(tenant, shard, &mut fields)?;
                Self::Part(owner, fields.u64_ordered()?, fields.u64_ordered()?)
            }
            _ => return None,
        };
        fields.is_empty().then_some(key)
    }
}

/// Bytes before a name: tag, tenant and shard; for an owner its kind and the length as well.
const NAMED_BYTES: usize = 5;
const OWNED_BYTES: usize = NAMED_BYTES + 3;

fn named(out: &mut Vec<u8>, tag: u8, tenant: TenantId, shard: u16, name: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&tenant.number().to_be_bytes());
    out.extend_from_slice(&shard.to_be_bytes());
    out.extend_from_slice(name);
}

/// Appends what all keys of an owner with this tag start with.
pub(crate) fn owned(out: &mut Vec<u8>, tag: u8, owner: Owner<'_>) {
    named(out, tag, owner.tenant, owner.shard, &[owner.kind as u8]);
    // A longer name makes a key that is too long, which is refused before this is looked at.
    out.extend_from_slice(&(owner.name.len() as u16).to_be_bytes());
    out.extend_from_slice(owner.name);
}

fn owner<'k>(tenant: TenantId, shard: u16, fields: &mut Fields<'k>) -> Option<Owner<'k>> {
    let kind = match fields.u8()? {
        0 => OwnerKind::Session,
        1 => OwnerKind::Queue,
        2 => OwnerKind::Exchange,
        _ => return None,
    };
    let length = fields.u16_ordered()?;
    Some(Owner { tenant, shard, kind, name: fields.bytes(usize::from(length))? })
}

/// The key of a message in the state.
pub(crate) fn payload_key(id: u64) -> [u8; 9] {
    let mut key = [tag::PAYLOAD; 9];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}

/// The message that a key of the state is about.
pub(crate) fn payload_of(key: &[u8]) -> Option<u64> {
    let (&tag::PAYLOAD, rest) = key.split_first()? else { return None };
    rest.try_into().ok().map(u64::from_be_bytes)
}

/// The lowest bytes that come after every key that starts with `prefix`.
pub(crate) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 255 {
            end.push(last + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn keys<'k>(owner: Owner<'k>, text: &'k [u8], number: u64) -> Vec<Key<'k>> {
        let (tenant, shard) = (owner.tenant, owner.shard);
        vec![
            Key::Setting { tenant, name: text },
            Key::Owner(owner),
            Key::Subscription(owner, text),
            Key::Received(owner, number as u16),
            Key::Part(owner, number, number / 3),
            Key::Will(owner),
            Key::Lease(owner, number),
            Key::Entry(owner, number),
            Key::Retained { tenant, shard, topic: text },
            Key::Delayed { tenant, shard, id: number },
            Key::Bridge { tenant, shard, name: text },
        ]
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_written(
            (tenant, shard) in any::<(u16, u16)>(), kind in 0..3_usize,
            name in vec(any::<u8>(), 0..20), text in vec(any::<u8>(), 0..20), number in any::<u64>(),
        ) {
            let kind = [OwnerKind::Session, OwnerKind::Queue, OwnerKind::Exchange][kind];
            let owner = Owner { tenant: TenantId::new(tenant), shard, kind, name: &name };
            for key in keys(owner, &text, number) {
                let mut bytes = Vec::new();
                key.encode(&mut bytes);
                prop_assert_eq!(Key::decode(&bytes), Some(key));
                prop_assert_eq!(key.bytes_len(), bytes.len());
                prop_assert!(after(&bytes) > bytes);
            }
        }

        #[test]
        fn bytes_that_are_no_key_are_none_and_never_a_panic(bytes in vec(any::<u8>(), 0..40)) {
            if let Some(key) = Key::decode(&bytes) {
                let mut again = Vec::new();
                key.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn entries_of_a_queue_stand_together_in_their_order() {
        let owner = |name| Owner { tenant: TenantId::DEFAULT, shard: 1, kind: OwnerKind::Session, name };
        let encode = |key: Key<'_>| {
            let mut bytes = Vec::new();
            key.encode(&mut bytes);
            bytes
        };
        let keys = [
            Key::Entry(owner(b"a"), 1),
            Key::Entry(owner(b"a"), 256),
            Key::Entry(owner(b"b"), 0),
            Key::Entry(owner(b"aa"), 0),
        ];
        assert!(keys.map(encode).is_sorted());
        assert_eq!(payload_of(&payload_key(77)), Some(77));
    }
}
