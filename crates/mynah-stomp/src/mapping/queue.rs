//! What headers say of a queue, as RabbitMQ has them (`x-message-ttl` and the like).

use alloc::boxed::Box;
use core::num::{NonZeroU8, NonZeroU32, NonZeroU64};
use core::time::Duration;

use mynah_model::{DeadLetter, Durability, Overflow, QueueSettings, StreamSettings};

use crate::Violation;
use crate::wire::{Headers, truth};

/// The settings that the headers of a frame ask for, beside those of `base`; absent if they ask for none.
pub(crate) fn settings(
    headers: Headers<'_>,
    base: QueueSettings,
) -> Result<Option<QueueSettings>, Violation> {
    let mut settings = base;
    let mut says = false;
    let (mut dead_letter_key, mut dead_letter_exchange) = (None, None);
    let mut stream = StreamSettings::default();
    let mut is_stream = false;
    for (name, value) in headers.iter() {
        let millis = |name| number(name, &value).map(Duration::from_millis);
        match &*name {
            "durable" => settings.durable = truth("durable", &value)?,
            "auto-delete" => settings.auto_delete = truth("auto-delete", &value)?,
            "exclusive" => settings.exclusive = truth("exclusive", &value)?,
            "x-expires" => settings.expires = Some(millis("x-expires")?),
            "x-message-ttl" => settings.message_ttl = Some(millis("x-message-ttl")?),
            "x-max-length" => settings.length_max = Some(number("x-max-length", &value)?),
            "x-max-length-bytes" => settings.bytes_max = Some(number("x-max-length-bytes", &value)?),
            "x-overflow" => settings.overflow = overflow(&value)?,
            "x-max-priority" => settings.priority_max = Some(priority_max(&value)?),
            "x-delivery-limit" => {
                let limit = number("x-delivery-limit", &value)?;
                settings.delivery_limit = NonZeroU32::new(u32::try_from(limit).unwrap_or(u32::MAX));
            }
            "x-single-active-consumer" => {
                settings.single_active_consumer = truth("x-single-active-consumer", &value)?;
            }
            "x-consumer-timeout" => settings.lease_max = Some(millis("x-consumer-timeout")?),
            "x-dead-letter-exchange" => dead_letter_exchange = Some(Box::from(value.as_bytes())),
            "x-dead-letter-routing-key" => dead_letter_key = Some(Box::from(value.as_bytes())),
            "x-durability" => {
                let known = Durability::from_name(value.as_bytes());
                settings.durability = known.ok_or(Violation::HeaderValue("x-durability"))?;
            }
            "x-queue-type" => is_stream = queue_type(&value)?,
            "x-max-age" => stream.age_max = Some(age(&value)?),
            _ => continue,
        }
        says = true;
    }
    if let Some(exchange) = dead_letter_exchange {
        settings.dead_letter = Some(DeadLetter { exchange, key: dead_letter_key });
    }
    if is_stream {
        stream.bytes_max = settings.bytes_max.take().and_then(NonZeroU64::new);
        settings.stream = Some(stream);
    }
    Ok(says.then_some(settings))
}

fn number(name: &'static str, value: &str) -> Result<u64, Violation> {
    let is_number = value.bytes().all(|octet| octet.is_ascii_digit());
    value.parse().ok().filter(|_| is_number).ok_or(Violation::HeaderValue(name))
}

fn priority_max(value: &str) -> Result<NonZeroU8, Violation> {
    let number = number("x-max-priority", value)?;
    u8::try_from(number).ok().and_then(NonZeroU8::new).ok_or(Violation::HeaderValue("x-max-priority"))
}

fn overflow(value: &str) -> Result<Overflow, Violation> {
    match value {
        "drop-head" => Ok(Overflow::DropHead),
        "reject-publish" => Ok(Overflow::RejectPublish),
        "reject-publish-dlx" => Ok(Overflow::RejectPublishDeadLetter),
        _ => Err(Violation::HeaderValue("x-overflow")),
    }
}

/// Whether the queue is a stream; the other types differ in nothing here.
fn queue_type(value: &str) -> Result<bool, Violation> {
    match value {
        "stream" => Ok(true),
        "classic" | "quorum" => Ok(false),
        _ => Err(Violation::HeaderValue("x-queue-type")),
    }
}

/// A number and its unit: `Y`, `M`, `D`, `h`, `m` or `s`.
fn age(value: &str) -> Result<Duration, Violation> {
    let wrong = Violation::HeaderValue("x-max-age");
    let unit = value.chars().next_back().ok_or(wrong)?;
    let seconds = match unit {
        'Y' => 365 * 86_400,
        'M' => 30 * 86_400,
        'D' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong),
    };
    let number = number("x-max-age", value.strip_suffix(unit).unwrap_or_default())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;
    use crate::wire::Command;

    fn read(lines: &str) -> Result<Option<QueueSettings>, Violation> {
        let rules = Command::Subscribe.header_rules(Version::V1_2);
        settings(Headers::decode(lines.as_bytes(), rules).unwrap(), QueueSettings::DURABLE)
    }

    #[test]
    fn headers_of_queues_are_read_as_rabbitmq_does() {
        assert_eq!(read("id:1\ndestination:/queue/a\n"), Ok(None));
        let settings = read(
            "durable:False\nx-durability:memory\nauto-delete:true\nx-message-ttl:1500\nx-max-length:10\nx-overflow:reject-publish\n\
             x-max-priority:5\nx-dead-letter-exchange:dlx\nx-dead-letter-routing-key:k\nx-delivery-limit:3\n",
        );
        let expected = QueueSettings {
            durable: false,
            durability: Durability::Memory,
            auto_delete: true,
            message_ttl: Some(Duration::from_millis(1_500)),
            length_max: Some(10),
            overflow: Overflow::RejectPublish,
            priority_max: NonZeroU8::new(5),
            delivery_limit: NonZeroU32::new(3),
            dead_letter: Some(DeadLetter { exchange: (*b"dlx").into(), key: Some((*b"k").into()) }),
            ..QueueSettings::DURABLE
        };
        assert_eq!(settings, Ok(Some(expected)));
        let stream = read("x-queue-type:stream\nx-max-age:2h\nx-max-length-bytes:100\n").unwrap().unwrap();
        let expected =
            StreamSettings { bytes_max: NonZeroU64::new(100), age_max: Some(Duration::from_secs(7_200)) };
        assert_eq!((stream.stream, stream.bytes_max), (Some(expected), None));
    }

    #[test]
    fn what_a_header_cannot_say_is_a_violation_of_its_own() {
        for (line, name) in [
            ("durable:yes\n", "durable"),
            ("x-message-ttl:-1\n", "x-message-ttl"),
            ("x-message-ttl:\n", "x-message-ttl"),
            ("x-max-priority:0\n", "x-max-priority"),
            ("x-max-priority:256\n", "x-max-priority"),
            ("x-overflow:explode\n", "x-overflow"),
            ("x-queue-type:lazy\n", "x-queue-type"),
            ("x-durability:disk\n", "x-durability"),
            ("x-max-age:2\n", "x-max-age"),
            ("x-max-age:s\n", "x-max-age"),
            ("x-max-age:ä\n", "x-max-age"),
        ] {
            assert_eq!(read(line), Err(Violation::HeaderValue(name)), "{line}");
        }
    }
}
