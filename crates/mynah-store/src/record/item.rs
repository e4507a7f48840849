//! Items: a key with its value. A value starts with its version; what comes after the fixed fields are options.

use std::time::Duration;

use mynah_model::{Class, Expiry, RetainHandling, SubscriptionId, SubscriptionOptions, WallTime};

use super::fields::{Fields, Options};
use super::key::{Key, tag};

/// Names a message in the store: entries, retained values, wills and delayed messages refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadId(pub u64);

/// The value of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'v> {
    /// Of [`Key::Setting`], [`Key::Bridge`] and [`Key::Part`]: bytes that only their owner understands.
    Bytes(&'v [u8]),
    /// Of [`Key::Owner`].
    Owner(OwnerValue<'v>),
    /// Of [`Key::Subscription`].
    Subscription(SubscriptionValue<'v>),
    /// Of [`Key::Received`].
    Received,
    /// Of [`Key::Will`].
    Will(WillValue<'v>),
    /// Of [`Key::Lease`].
    Lease(LeaseValue<'v>),
    /// Of [`Key::Entry`].
    Entry(EntryValue<'v>),
    /// Of [`Key::Retained`].
    Retained(PayloadId),
    /// Of [`Key::Delayed`].
    Delayed(DelayedValue<'v>),
}

/// What is kept of a session or a named queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnerValue<'v> {
    /// The name of the identity that made it.
    pub identity: &'v [u8],
    /// Whether that identity is the anonymous one of a listener.
    pub anonymous: bool,
    /// How long it outlives its connection.
    pub expiry: Expiry,
    /// Unconfirmed deliveries that the peer takes at a time.
    pub receive_max: u16,
    /// When the last connection ended; none while there is one. Whoever finds none after a restart takes the time of
    /// the restart.
    pub detached_at: Option<WallTime>,
    /// The entries before this one are gone: where reading starts, and the least that the next number can be.
    pub head: u64,
    /// Whatever else.
    pub options: Options<'v>,
}

/// What is kept of a subscription.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubscriptionValue<'v> {
    /// How its messages are delivered.
    pub options: SubscriptionOptions,
    /// Whatever else, such as a share or a selector.
    pub more: Options<'v>,
}

/// What is kept of a will.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WillValue<'v> {
    /// The message.
    pub payload: PayloadId,
    /// How long it waits after the connection.
    pub delay: Duration,
    /// How long it is wanted from when it is published.
    pub lifetime: Option<Duration>,
    /// When it goes out, once the connection has ended.
    pub due: Option<WallTime>,
    /// Whatever else.
    pub options: Options<'v>,
}

/// What is kept of a delivery that is not settled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaseValue<'v> {
    /// The identifier within the session, MQTT's packet identifier.
    pub delivery: u16,
    /// Whether the peer has the message and will not take it again (it sent PUBREC).
    pub received: bool,
    /// How often the entry was handed out.
    pub count: u32,
    /// Whatever else.
    pub options: Options<'v>,
}

/// What is kept of a message in a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntryValue<'v> {
    /// The message.
    pub payload: PayloadId,
    /// The guarantee of this delivery.
    pub class: Class,
    /// Whether the receiver sees the message as a retained value.
    pub retain: bool,
    /// Whatever else, such as subscription identifiers.
    pub options: Options<'v>,
}

/// What is kept of a message that is published later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DelayedValue<'v> {
    /// The message.
    pub payload: PayloadId,
    /// When.
    pub due: WallTime,
    /// Whatever else, such as the queue that it goes to.
    pub options: Options<'v>,
}

/// The version of the values that are written.
const VERSION: u8 = 1;

const NEVER: u64 = u64::MAX;
const WITH_CONNECTION: u64 = u64::MAX - 1;

impl<'v> Value<'v> {
    /// The message that the value refers to.
    #[must_use]
    pub fn payload(&self) -> Option<PayloadId> {
        match self {
            Self::Will(will) => Some(will.payload),
            Self::Entry(entry) => Some(entry.payload),
            Self::Retained(payload) => Some(*payload),
            Self::Delayed(delayed) => Some(delayed.payload),
            Self::Bytes(_) | Self::Owner(_) | Self::Subscription(_) | Self::Received | Self::Lease(_) => None,
        }
    }

    /// Whether a value of this kind stands under `key`.
    pub(crate) fn fits(&self, key: &Key<'_>) -> bool {
        matches!(
            (self, key),
            (Self::Bytes(_), Key::Setting { .. } | Key::Bridge { .. } | Key::Part(..))
                | (Self::Owner(_), Key::Owner(_))
                | (Self::Subscription(_), Key::Subscription(..))
                | (Self::Received, Key::Received(..))
                | (Self::Will(_), Key::Will(_))
                | (Self::Lease(_), Key::Lease(..))
                | (Self::Entry(_), Key::Entry(..))
                | (Self::Retained(_), Key::Retained { .. })
                | (Self::Delayed(_), Key::Delayed { .. })
        )
    }

    /// Appends the bytes of the value.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Owner(owner) => owner.encode(out),
            Self::Subscription(subscription) => subscription.encode(out),
            Self::Received => {}
            Self::Will(will) => {
                put_u64(out, will.payload.0);
                put_u64(out, millis(will.delay));
                put_u64(out, will.lifetime.map_or(NEVER, millis));
                put_u64(out, or_never(will.due));
                out.extend_from_slice(will.options.as_bytes());
            }
            Self::Lease(lease) => {
                out.extend_from_slice(&lease.delivery.to_le_bytes());
                out.push(u8::from(lease.received));
                out.extend_from_slice(&lease.count.to_le_bytes());
                out.extend_from_slice(lease.options.as_bytes());
            }
            Self::Entry(entry) => {
                put_u64(out, entry.payload.0);
                out.push(entry.class.number());
                out.push(u8::from(entry.retain));
                out.extend_from_slice(entry.options.as_bytes());
            }
            Self::Retained(payload) => put_u64(out, payload.0),
            Self::Delayed(delayed) => {
                put_u64(out, delayed.payload.0);
                put_u64(out, delayed.due.as_unix_millis());
                out.extend_from_slice(delayed.options.as_bytes());
            }
        }
    }

    /// The value under a key whose first byte is `kind`.
    pub(crate) fn decode(kind: u8, bytes: &'v [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.u8()? != VERSION {
            return None;
        }
        Some(match kind {
            tag::SETTING | tag::BRIDGE | tag::PART => Self::Bytes(fields.rest()),
            tag::OWNER => Self::Owner(OwnerValue::decode(fields)?),
            tag::SUBSCRIPTION => Self::Subscription(SubscriptionValue::decode(fields)?),
            tag::RECEIVED => Self::Received,
            tag::WILL => Self::Will(WillValue {
                payload: PayloadId(fields.u64()?),
                delay: Duration::from_millis(fields.u64()?),
                lifetime: Some(fields.u64()?).filter(|&ms| ms != NEVER).map(Duration::from_millis),
                due: unless_never(fields.u64()?),
                options: Options::new(fields.rest())?,
            }),
            tag::LEASE => Self::Lease(LeaseValue {
                delivery: fields.u16()?,
                received: flag(fields.u8()?)?,
                count: fields.u32()?,
                options: Options::new(fields.rest())?,
            }),
            tag::ENTRY => Self::Entry(EntryValue {
                payload: PayloadId(fields.u64()?),
                class: Class::from_number(fields.u8()?)?,
                retain: flag(fields.u8()?)?,
                options: Options::new(fields.rest())?,
            }),
            tag::RETAINED => Self::Retained(PayloadId(fields.u64()?)),
            tag::DELAYED => Self::Delayed(DelayedValue {
                payload: PayloadId(fields.u64()?),
                due: WallTime::from_unix_millis(fields.u64()?),
                options: Options::new(fields.rest())?,
            }),
            _ => return None,
        })
    }
}

/// The message that the value under a key whose first byte is `kind` refers to.
pub(crate) fn payload_in(kind: u8, value: &[u8]) -> Option<u64> {
    if !matches!(kind, tag::WILL | tag::ENTRY | tag::RETAINED | tag::DELAYED) {
        return None;
    }
    let (_, rest) = value.split_first()?;
    rest.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

impl<'v> OwnerValue<'v> {
    fn encode(&self, out: &mut Vec<u8>) {
        let identity = &self.identity[..self.identity.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&(identity.len() as u16).to_le_bytes());
        out.extend_from_slice(identity);
        out.push(u8::from(self.anonymous));
        put_u64(out, expiry_number(self.expiry));
        out.extend_from_slice(&self.receive_max.to_le_bytes());
        put_u64(out, or_never(self.detached_at));
        put_u64(out, self.head);
        out.extend_from_slice(self.options.as_bytes());
    }

    fn decode(mut fields: Fields<'v>) -> Option<Self> {
        Some(Self {
            identity: fields.short()?,
            anonymous: flag(fields.u8()?)?,
            expiry: expiry(fields.u64()?),
            receive_max: fields.u16()?,
            detached_at: unless_never(fields.u64()?),
            head: fields.u64()?,
            options: Options::new(fields.rest())?,
        })
    }
}

impl<'v> SubscriptionValue<'v> {
    fn encode(&self, out: &mut Vec<u8>) {
        let SubscriptionOptions { class_max, retain_handling, retain_as_published, no_local, separate, id } =
            self.options;
        let bits = u8::from(retain_as_published) | u8::from(no_local) << 1 | u8::from(separate) << 2;
        out.extend_from_slice(&[class_max.number(), bits, retain_number(retain_handling)]);
        out.extend_from_slice(&id.map_or(0, SubscriptionId::number).to_le_bytes());
        out.extend_from_slice(self.more.as_bytes());
    }

    fn decode(mut fields: Fields<'v>) -> Option<Self> {
        let (class_max, bits) = (Class::from_number(fields.u8()?)?, fields.u8()?);
        let options = SubscriptionOptions {
            class_max,
            retain_handling: retain_handling(fields.u8()?)?,
            retain_as_published: bits & 1 != 0,
            no_local: bits & 2 != 0,
            separate: bits & 4 != 0,
            id: SubscriptionId::new(fields.u32()?),
        };
        Some(Self { options, more: Options::new(fields.rest())? })
    }
}

/// The number of MQTT 5, section 3.8.3.1.
pub(crate) const fn retain_number(handling: RetainHandling) -> u8 {
    match handling {
        RetainHandling::EachTime => 0,
        RetainHandling::WhenNew => 1,
        RetainHandling::Never => 2,
    }
}

pub(crate) const fn retain_handling(number: u8) -> Option<RetainHandling> {
    match number {
        0 => Some(RetainHandling::EachTime),
        1 => Some(RetainHandling::WhenNew),
        2 => Some(RetainHandling::Never),
        _ => None,
    }
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn or_never(time: Option<WallTime>) -> u64 {
    time.map_or(NEVER, WallTime::as_unix_millis)
}

fn unless_never(number: u64) -> Option<WallTime> {
    (number != NEVER).then(|| WallTime::from_unix_millis(number))
}

pub(crate) fn expiry_number(expiry: Expiry) -> u64 {
    match expiry {
        Expiry::WithConnection => WITH_CONNECTION,
        Expiry::After(duration) => millis(duration).min(WITH_CONNECTION - 1),
        Expiry::Never => NEVER,
    }
}

pub(crate) fn expiry(number: u64) -> Expiry {
    match number {
        NEVER => Expiry::Never,
        WITH_CONNECTION => Expiry::WithConnection,
        millis => Expiry::After(Duration::from_millis(millis)),
    }
}

fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
