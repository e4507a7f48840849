//! What a session has subscribed to, as far as its client knows, and what has come to it in which order.

use std::collections::BTreeMap;
use std::sync::Arc;

use mynah_model::Class;

use crate::payload::MessageId;

/// A subscription that was asked for. Times are numbers of events.
#[derive(Clone, Debug)]
struct Subscription {
    filter: String,
    class_max: Class,
    confirmed: Option<u64>,
    end_asked: Option<u64>,
    ended: Option<u64>,
}

/// Messages whose order is kept: of one producer, on one topic, published with one class.
type Lane = (u16, Arc<str>, Class);

#[derive(Debug, Default)]
pub(super) struct Session {
    /// Whether a CONNACK has come.
    pub(super) known: bool,
    subscriptions: Vec<Subscription>,
    /// The latest message of each lane.
    latest: BTreeMap<Lane, u32>,
}

impl Session {
    pub(super) fn ask(&mut self, filter: &str, class_max: Class) {
        self.subscriptions.push(Subscription {
            filter: filter.to_owned(),
            class_max,
            confirmed: None,
            end_asked: None,
            ended: None,
        });
    }

    /// The SUBACK for the latest time that the filter was asked for. Returns the class that was asked for.
    pub(super) fn confirm(&mut self, filter: &str, now: u64) -> Option<Class> {
        let latest = self.subscriptions.iter_mut().rev().find(|s| s.filter == filter)?;
        latest.confirmed = Some(now);
        Some(latest.class_max)
    }

    pub(super) fn ask_end(&mut self, filter: &str, now: u64) {
        for subscription in self.with(filter).filter(|s| s.end_asked.is_none()) {
            subscription.end_asked = Some(now);
        }
    }

    pub(super) fn end(&mut self, filter: &str, now: u64) {
        for subscription in self.with(filter).filter(|s| s.end_asked.is_some() && s.ended.is_none()) {
            subscription.ended = Some(now);
        }
    }

    fn with<'s>(&'s mut self, filter: &'s str) -> impl Iterator<Item = &'s mut Subscription> {
        self.subscriptions.iter_mut().filter(move |subscription| subscription.filter == filter)
    }

    /// Whether a message that was first attempted at this time has to come. Not if an end of the subscription was asked
    /// for: what waits may be dropped then ([MQTT-3.10.4-3]).
    pub(super) fn must_get(&self, topic: &str, attempted: u64) -> bool {
        self.subscriptions.iter().any(|subscription| {
            subscription.confirmed.is_some_and(|confirmed| confirmed < attempted)
                && subscription.end_asked.is_none()
                && matches(&subscription.filter, topic)
        })
    }

    /// The highest classes of the subscriptions by which a message may come.
    pub(super) fn classes_max<'s>(
        &'s self,
        topic: &'s str,
        attempted: u64,
    ) -> impl Iterator<Item = Class> + 's {
        self.subscriptions
            .iter()
            .filter(move |s| s.ended.is_none_or(|ended| attempted < ended) && matches(&s.filter, topic))
            .map(|subscription| subscription.class_max)
    }

    /// Notes the first arrival of a message. Returns the later one, if any, that came before it.
    pub(super) fn arrive(&mut self, id: MessageId, topic: &Arc<str>, class: Class) -> Option<u32> {
        let latest = self.latest.entry((id.producer, topic.clone(), class)).or_insert(id.sequence);
        if *latest > id.sequence {
            return Some(*latest);
        }
        *latest = id.sequence;
        None
    }
}

/// Whether a topic matches a filter, word by word as section 4.7 of MQTT 3.1.1 says it. On purpose not the broker's.
fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for level in filter.split('/') {
        match (level, levels.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(_)) => {}
            (level, Some(other)) if level == other => {}
            (_, Some(_)) => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    //= mqtt-3.1.1 [MQTT-4.7.1-2] [MQTT-4.7.1-3]
    #[test]
    fn filters_match_level_by_level() {
        for filter in ["#", "a/#", "a/b/#", "a/b", "a/+", "+/b", "+/+"] {
            assert!(matches(filter, "a/b"), "{filter}");
        }
        for filter in ["a", "+", "a/b/c", "a/c", "b/#", "a/b/+"] {
            assert!(!matches(filter, "a/b"), "{filter}");
        }
    }
}
