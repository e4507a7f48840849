//! Every value that a topic ever had, in the order of time.

use std::collections::BTreeMap;
use std::rc::Rc;

use mynah_model::{Filter, Instant, Topic};

use super::Publication;
use super::shares::Who;

/// The history of retained values.
#[derive(Default)]
pub(crate) struct History {
    topics: BTreeMap<String, Vec<Change>>,
}

/// From this moment on the topic has this value, or none.
struct Change {
    at: u64,
    value: Option<Value>,
}

/// A value that a topic had.
#[derive(Clone)]
pub(crate) struct Value {
    pub(crate) publication: Rc<Publication>,
    /// When it is no longer wanted.
    pub(crate) deadline: Option<Instant>,
    /// The session that published it.
    pub(crate) publisher: Who,
}

impl History {
    /// A publication becomes the value of its topic; one without payload leaves the topic without a value.
    pub(crate) fn set(&mut self, at: u64, value: Value) {
        let topic = value.publication.topic.clone();
        let value = Some(value).filter(|value| !value.publication.payload.is_empty());
        self.topics.entry(topic).or_default().push(Change { at, value });
    }

    /// What the topic had for its value at some time from `since` on.
    pub(crate) fn values_since(&self, topic: &str, since: u64) -> impl Iterator<Item = &Value> {
        let changes = self.topics.get(topic).map_or(&[][..], |changes| changes);
        let first = changes.iter().rposition(|change| change.at <= since).unwrap_or(0);
        changes[first..].iter().filter_map(|change| change.value.as_ref())
    }

    /// Whether the topic had a value at every moment from `since` on, and none that may have been too old.
    pub(crate) fn has_value_since(&self, topic: &str, since: u64) -> bool {
        let changes = self.topics.get(topic).map_or(&[][..], |changes| changes);
        let first = changes.iter().rposition(|change| change.at <= since);
        let lasts = |value: &Value| value.deadline.is_none();
        first.is_some_and(|first| changes[first..].iter().all(|c| c.value.as_ref().is_some_and(lasts)))
    }

    /// The topics that ever had a value, or lost one.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }
}

/// Whether a filter selects a topic, by definition.
pub(crate) fn selects(filter: &str, topic: &str) -> bool {
    Filter::from_checked(filter.as_bytes()).matches(Topic::from_checked(topic.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_knows_what_was_when() {
        let mut history = History::default();
        let publication = |payload: &str| {
            let publication = Publication::new("a/b", payload.as_bytes().to_vec(), 0, true, None);
            Value { publication, deadline: None, publisher: (0, 1) }
        };
        history.set(2, publication("one"));
        history.set(5, publication("two"));
        let since = |history: &History, at| {
            history.values_since("a/b", at).map(|value| value.publication.payload.clone()).collect::<Vec<_>>()
        };
        assert_eq!(since(&history, 1), [b"one", b"two"]);
        assert_eq!(since(&history, 5), [b"two"]);
        assert!(history.has_value_since("a/b", 2) && !history.has_value_since("a/b", 1));
        history.set(7, publication(""));
        assert!(!history.has_value_since("a/b", 2));
        assert!(since(&history, 7).is_empty());
    }
}
