//! Declarations: two of one queue have to say the same.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Debug;
use core::time::Duration;

use mynah_model::{DeadLetter, Overflow, QueueSettings, StreamSettings};

use super::NamedQueue;

impl NamedQueue {
    /// Which setting of the queue differs from what somebody says who declares it again, with both values.
    #[must_use]
    pub fn differs_from(&self, said: &QueueSettings) -> Option<String> {
        let is = &self.settings;
        differs("durable", &is.durable, &said.durable)
            .or_else(|| differs("durability", &is.durability.name(), &said.durability.name()))
            .or_else(|| differs("exclusive", &is.exclusive, &said.exclusive))
            .or_else(|| differs("auto-delete", &is.auto_delete, &said.auto_delete))
            .or_else(|| times("expires", is.expires, said.expires))
            .or_else(|| times("message-ttl", is.message_ttl, said.message_ttl))
            .or_else(|| differs("max-length", &number(is.length_max), &number(said.length_max)))
            .or_else(|| differs("max-length-bytes", &number(is.bytes_max), &number(said.bytes_max)))
            .or_else(|| differs("overflow", &overflow(is.overflow), &overflow(said.overflow)))
            .or_else(|| differs("dead-letter-exchange", &exchange(is), &exchange(said)))
            .or_else(|| differs("dead-letter-routing-key", &key(is), &key(said)))
            .or_else(|| differs("max-priority", &number(is.priority_max), &number(said.priority_max)))
            .or_else(|| differs("delivery-limit", &number(is.delivery_limit), &number(said.delivery_limit)))
            .or_else(|| {
                let (is, said) = (&is.single_active_consumer, &said.single_active_consumer);
                differs("single-active-consumer", is, said)
            })
            .or_else(|| times("consumer-timeout", is.lease_max, said.lease_max))
            .or_else(|| differs("queue-type", &kind(is), &kind(said)))
            .or_else(|| stream(is.stream?, said.stream?))
    }
}

fn stream(is: StreamSettings, said: StreamSettings) -> Option<String> {
    differs("max-length-bytes", &number(is.bytes_max), &number(said.bytes_max))
        .or_else(|| times("max-age", is.age_max, said.age_max))
}

fn differs<T: PartialEq + Debug>(name: &str, is: &T, said: &T) -> Option<String> {
    let shown = |value: &T| format!("{value:?}").replace('"', "");
    (is != said).then(|| format!("{name} is '{}', not '{}'", shown(is), shown(said)))
}

fn times(name: &str, is: Option<Duration>, said: Option<Duration>) -> Option<String> {
    let millis = |time: Option<Duration>| number(time.map(|time| time.as_millis()));
    differs(name, &millis(is), &millis(said))
}

fn number(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "none".into(), |number| number.to_string())
}

const fn overflow(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::DropHead => "drop-head",
        Overflow::RejectPublish => "reject-publish",
        Overflow::RejectPublishDeadLetter => "reject-publish-dlx",
    }
}

const fn kind(settings: &QueueSettings) -> &'static str {
    if settings.stream.is_some() { "stream" } else { "queue" }
}

fn exchange(settings: &QueueSettings) -> String {
    let text = |letter: &DeadLetter| String::from_utf8_lossy(&letter.exchange).into_owned();
    settings.dead_letter.as_ref().map_or_else(|| "none".into(), text)
}

fn key(settings: &QueueSettings) -> String {
    let key = settings.dead_letter.as_ref().and_then(|letter| letter.key.as_deref());
    key.map_or_else(|| "none".into(), |key| String::from_utf8_lossy(key).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_model::Instant;

    #[test]
    fn a_declaration_that_differs_is_told_both_values() {
        let queue = NamedQueue::new(QueueSettings::DURABLE, 0, Instant::ZERO);
        let same = QueueSettings::DURABLE;
        assert_eq!(queue.differs_from(&same), None);
        let letter = DeadLetter { exchange: (*b"dead").into(), key: None };
        for (said, text) in [
            (QueueSettings { durable: false, ..same.clone() }, "durable is 'true', not 'false'"),
            (
                QueueSettings { message_ttl: Some(Duration::from_secs(1)), ..same.clone() },
                "message-ttl is 'none', not '1000'",
            ),
            (
                QueueSettings { overflow: Overflow::RejectPublish, ..same.clone() },
                "overflow is 'drop-head', not 'reject-publish'",
            ),
            (
                QueueSettings { dead_letter: Some(letter), ..same.clone() },
                "dead-letter-exchange is 'none', not 'dead'",
            ),
            (
                QueueSettings { stream: Some(StreamSettings::default()), ..same },
                "queue-type is 'queue', not 'stream'",
            ),
        ] {
            assert_eq!(queue.differs_from(&said).as_deref(), Some(text));
        }
    }
}
