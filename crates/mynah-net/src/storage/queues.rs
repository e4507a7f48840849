//! Named queues as records of the store: what was said of one, and how a message became a dead letter.

use std::time::Duration;

use mynah_core::History;
use mynah_model::{
    DeadLetter, Death, DeathReason, Durability, Expiry, Instant, Overflow, QueueSettings, StreamSettings,
    WallTime,
};
use mynah_store::{Options, OptionsBuf, OwnerValue};

use super::Wall;

/// Options of a queue. Times are milliseconds, numbers have eight bytes; what is absent was not said.
mod option {
    pub(super) const SHOWN: u8 = 1;
    pub(super) const FLAGS: u8 = 2;
    pub(super) const EXPIRES: u8 = 3;
    pub(super) const MESSAGE_TTL: u8 = 4;
    pub(super) const LENGTH_MAX: u8 = 5;
    pub(super) const BYTES_MAX: u8 = 6;
    pub(super) const OVERFLOW: u8 = 7;
    pub(super) const DEAD_LETTER: u8 = 8;
    pub(super) const DEAD_LETTER_KEY: u8 = 9;
    pub(super) const PRIORITY_MAX: u8 = 10;
    pub(super) const DELIVERY_LIMIT: u8 = 11;
    pub(super) const LEASE_MAX: u8 = 12;
    pub(super) const STREAM: u8 = 13;
    pub(super) const STREAM_BYTES_MAX: u8 = 14;
    pub(super) const STREAM_AGE_MAX: u8 = 15;
}

const AUTO_DELETE: u64 = 1;
const SINGLE_ACTIVE_CONSUMER: u64 = 2;
const DURABILITY_INTERVAL: u64 = 4;
const DURABILITY_MEMORY: u64 = 8;

/// Options of an entry of a queue, beside those of entries of sessions.
pub(super) mod entry {
    /// When it is wanted no longer, or when it came.
    pub(crate) const TIME: u8 = 16;
    /// The exchange that a dead letter came by.
    pub(crate) const EXCHANGE: u8 = 17;
    /// The key that it came with.
    pub(crate) const KEY: u8 = 18;
    /// How it became one, once for each of its deaths.
    pub(crate) const DEATH: u8 = 19;
}

/// The option of a lease of a queue's entry that says how often it has failed.
pub(super) const FAILED: u8 = 1;
/// The one that says before which time nobody gets it.
pub(super) const UNTIL: u8 = 2;

/// What is kept of a queue.
pub(super) fn value<'o>(
    options: &'o mut OptionsBuf,
    settings: &QueueSettings,
    next_sequence: u64,
    shown: u64,
) -> OwnerValue<'o> {
    *options = OptionsBuf::new();
    let mut number = |option: u8, number: Option<u64>| {
        if let Some(number) = number {
            options.push(option, &number.to_le_bytes());
        }
    };
    let flags = u64::from(settings.auto_delete) * AUTO_DELETE
        + u64::from(settings.single_active_consumer) * SINGLE_ACTIVE_CONSUMER
        + match settings.durability {
            Durability::Sync => 0,
            Durability::Interval => DURABILITY_INTERVAL,
            Durability::Memory => DURABILITY_MEMORY,
        };
    number(option::SHOWN, Some(shown));
    number(option::FLAGS, Some(flags));
    number(option::EXPIRES, settings.expires.map(millis));
    number(option::MESSAGE_TTL, settings.message_ttl.map(millis));
    number(option::LENGTH_MAX, settings.length_max);
    number(option::BYTES_MAX, settings.bytes_max);
    number(
        option::OVERFLOW,
        match settings.overflow {
            Overflow::DropHead => None,
            Overflow::RejectPublish => Some(1),
            Overflow::RejectPublishDeadLetter => Some(2),
        },
    );
    number(option::PRIORITY_MAX, settings.priority_max.map(|max| max.get().into()));
    number(option::DELIVERY_LIMIT, settings.delivery_limit.map(|max| max.get().into()));
    number(option::LEASE_MAX, settings.lease_max.map(millis));
    if let Some(stream) = settings.stream {
        number(option::STREAM, Some(0));
        number(option::STREAM_BYTES_MAX, stream.bytes_max.map(core::num::NonZeroU64::get));
        number(option::STREAM_AGE_MAX, stream.age_max.map(millis));
    }
    if let Some(letter) = &settings.dead_letter {
        options.push(option::DEAD_LETTER, &letter.exchange);
        if let Some(key) = &letter.key {
            options.push(option::DEAD_LETTER_KEY, key);
        }
    }
    OwnerValue {
        identity: &[],
        anonymous: false,
        expiry: Expiry::Never,
        receive_max: 0,
        detached_at: None,
        head: next_sequence,
        options: options.as_options(),
    }
}

/// What was said of a queue, and up to which number its entries may have been handed out.
pub(super) fn settings(options: Options<'_>) -> (QueueSettings, u64) {
    let number = |option: u8| read(options.get(option)?);
    let time = |option: u8| number(option).map(Duration::from_millis);
    let flags = number(option::FLAGS).unwrap_or_default();
    let key = options.get(option::DEAD_LETTER_KEY).map(Box::from);
    let narrow = |option: u8| number(option).and_then(|number| u32::try_from(number).ok());
    let settings = QueueSettings {
        durable: true,
        durability: match flags & (DURABILITY_INTERVAL | DURABILITY_MEMORY) {
            DURABILITY_INTERVAL => Durability::Interval,
            DURABILITY_MEMORY => Durability::Memory,
            _ => Durability::Sync,
        },
        exclusive: false,
        auto_delete: flags & AUTO_DELETE != 0,
        expires: time(option::EXPIRES),
        message_ttl: time(option::MESSAGE_TTL),
        length_max: number(option::LENGTH_MAX),
        bytes_max: number(option::BYTES_MAX),
        overflow: match number(option::OVERFLOW) {
            Some(1) => Overflow::RejectPublish,
            Some(2) => Overflow::RejectPublishDeadLetter,
            _ => Overflow::DropHead,
        },
        dead_letter: options
            .get(option::DEAD_LETTER)
            .map(|exchange| DeadLetter { exchange: exchange.into(), key }),
        priority_max: narrow(option::PRIORITY_MAX).and_then(|max| u8::try_from(max).ok()?.try_into().ok()),
        delivery_limit: narrow(option::DELIVERY_LIMIT).and_then(|max| max.try_into().ok()),
        single_active_consumer: flags & SINGLE_ACTIVE_CONSUMER != 0,
        lease_max: time(option::LEASE_MAX),
        stream: number(option::STREAM).map(|_| StreamSettings {
            bytes_max: number(option::STREAM_BYTES_MAX).and_then(|max| max.try_into().ok()),
            age_max: time(option::STREAM_AGE_MAX),
        }),
    };
    (settings, number(option::SHOWN).unwrap_or_default())
}

/// Adds what is kept of an entry beside its message.
pub(super) fn push_entry(
    options: &mut OptionsBuf,
    wall: Wall,
    time: Option<Instant>,
    history: Option<&History>,
) {
    if let Some(time) = time {
        options.push(entry::TIME, &wall.time(time).as_unix_millis().to_le_bytes());
    }
    let Some(history) = history else { return };
    options.push(entry::EXCHANGE, &history.exchange);
    options.push(entry::KEY, &history.key);
    for death in &history.deaths {
        options.push(entry::DEATH, &encode(death));
    }
}

/// When an entry is wanted no longer, or came, and how it became a dead letter.
pub(super) fn entry_of(options: Options<'_>, wall: Wall) -> (Option<Instant>, Option<History>) {
    let time = options.get(entry::TIME).and_then(read);
    let deaths = options.iter().filter(|(option, _)| *option == entry::DEATH);
    let history = options.get(entry::EXCHANGE).zip(options.get(entry::KEY)).map(|(exchange, key)| History {
        exchange: exchange.into(),
        key: key.into(),
        deaths: deaths.filter_map(|(_, bytes)| decode(bytes)).collect(),
    });
    (time.map(|millis| wall.instant(WallTime::from_unix_millis(millis))), history)
}

const REASONS: [DeathReason; 4] =
    [DeathReason::Rejected, DeathReason::Expired, DeathReason::MaxLength, DeathReason::DeliveryLimit];

/// The reason, how often, when, then queue, exchange and key, each with its length in two bytes.
fn encode(death: &Death) -> Vec<u8> {
    let reason = REASONS.iter().position(|reason| *reason == death.reason).unwrap_or_default();
    let mut bytes = vec![reason as u8];
    bytes.extend_from_slice(&death.count.to_le_bytes());
    bytes.extend_from_slice(&death.at.as_unix_millis().to_le_bytes());
    for part in [&death.queue, &death.exchange, &death.key] {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&part[..usize::from(length)]);
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Death> {
    let (&reason, bytes) = bytes.split_first()?;
    let (count, bytes) = bytes.split_first_chunk()?;
    let (at, mut bytes) = bytes.split_first_chunk()?;
    let mut part = || {
        let (length, rest) = bytes.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        bytes = rest;
        Some(Box::from(part))
    };
    Some(Death {
        reason: *REASONS.get(usize::from(reason))?,
        count: u64::from_le_bytes(*count),
        at: WallTime::from_unix_millis(u64::from_le_bytes(*at)),
        queue: part()?,
        exchange: part()?,
        key: part()?,
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn read(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_of_a_queue_is_read_again() {
        let plain = QueueSettings::DURABLE;
        let all = QueueSettings {
            auto_delete: true,
            expires: Some(Duration::from_millis(1)),
            message_ttl: Some(Duration::ZERO),
            length_max: Some(3),
            bytes_max: Some(4),
            overflow: Overflow::RejectPublishDeadLetter,
            dead_letter: Some(DeadLetter { exchange: (*b"x").into(), key: Some((*b"k").into()) }),
            priority_max: core::num::NonZeroU8::new(5),
            delivery_limit: core::num::NonZeroU32::new(6),
            single_active_consumer: true,
            lease_max: Some(Duration::from_millis(7)),
            stream: Some(StreamSettings {
                bytes_max: core::num::NonZeroU64::new(8),
                age_max: Some(Duration::from_secs(9)),
            }),
            ..plain.clone()
        };
        let interval = QueueSettings { durability: Durability::Interval, ..plain.clone() };
        let memory = QueueSettings { durability: Durability::Memory, ..plain.clone() };
        for said in [plain, all, interval, memory] {
            let mut options = OptionsBuf::new();
            let value = value(&mut options, &said, 10, 11);
            assert_eq!((settings(value.options), value.head), ((said, 11), 10));
        }
    }

    #[test]
    fn how_a_message_became_a_dead_letter_is_read_again() {
        let death = |reason| Death {
            queue: (*b"q").into(),
            reason,
            count: 3,
            at: WallTime::from_unix_millis(4),
            exchange: Box::default(),
            key: (*b"key").into(),
        };
        let deaths = REASONS.map(death).to_vec();
        let history = History { exchange: (*b"dlx").into(), key: (*b"k").into(), deaths };
        let wall = Wall::at(Instant::from_micros(5_000), 1_000);
        let mut options = OptionsBuf::new();
        push_entry(&mut options, wall, Some(Instant::from_micros(9_000)), Some(&history));
        let read = entry_of(options.as_options(), wall);
        assert_eq!(read, (Some(Instant::from_micros(9_000)), Some(history)));
        assert_eq!(entry_of(Options::NONE, wall), (None, None));
    }
}
