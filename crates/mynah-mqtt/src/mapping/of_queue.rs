//! A message that a queue hands out, as a subscriber to the queue's topic gets it: under the filter that it has
//! subscribed to. In MQTT 5.0 the topic that the message was published to is in a user property, [`TOPIC`], unless it went
//! to the queue by its name; earlier versions have no word for it.

use alloc::vec::Vec;

use mynah_model::Topic;

use super::user_property::TOPIC;
use crate::wire::properties::{Property, Section};

/// What comes before the names of queues in their topics.
const QUEUES: &[u8] = b"$queue/";

/// Properties for a subscriber to `queue`, the topic of a queue, of a message that was published to `topic`. What else
/// there is under the name of the property is not the broker's, and left out.
#[must_use]
pub fn properties_of_queue(properties: &[u8], topic: Topic<'_>, queue: Topic<'_>) -> Vec<u8> {
    let section = Section::from_checked(properties);
    let mut out = Vec::with_capacity(properties.len() + TOPIC.len() + topic.as_bytes().len() + 5);
    for (property, encoded) in section.iter().zip(section.iter_encoded()) {
        if !matches!(property, Property::UserProperty((TOPIC, _))) {
            out.extend_from_slice(encoded.1);
        }
    }
    let name = queue.as_bytes().strip_prefix(QUEUES).unwrap_or_default();
    let is_by_name = topic == queue || topic.as_bytes() == name;
    if let Ok(topic) = core::str::from_utf8(topic.as_bytes())
        && !is_by_name
    {
        Property::UserProperty((TOPIC, topic)).encode(&mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(said: &[Property<'_>], topic: &str) -> Vec<u8> {
        let mut properties = Vec::new();
        said.iter().for_each(|property| property.encode(&mut properties));
        properties_of_queue(
            &properties,
            Topic::from_checked(topic.as_bytes()),
            Topic::from_checked(b"$queue/jobs"),
        )
    }

    #[test]
    fn the_topic_of_a_message_is_told_by_the_broker_alone() {
        let mine = Property::UserProperty(("a", "1"));
        let forged = Property::UserProperty((TOPIC, "elsewhere"));
        let mut expected = Vec::new();
        mine.encode(&mut expected);
        for topic in ["$queue/jobs", "jobs"] {
            assert_eq!(told(&[forged, mine], topic), expected, "{topic}");
        }
        Property::UserProperty((TOPIC, "t/x")).encode(&mut expected);
        assert_eq!(told(&[forged, mine, forged], "t/x"), expected);
    }
}
