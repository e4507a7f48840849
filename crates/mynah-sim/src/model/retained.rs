//! Every value that a topic ever had, in the order of time.

use std::collections::BTreeMap;
use std::rc::Rc;

use mynah_model::{Filter, Topic};

use super::Publication;

/// The history of retained values.
#[derive(Default)]
pub(crate) struct History {
    topics: BTreeMap<String, Vec<Change>>,
}

/// From this moment on the topic has this value, or none.
struct Change {
    at: u64,
    value: Option<Rc<Publication>>,
}

impl History {
    /// A publication becomes the value of its topic; one without payload leaves the topic without a value.
    pub(crate) fn set(&mut self, at: u64, publication: &Rc<Publication>) {
        let value = (!publication.payload.is_empty()).then(|| Rc::clone(publication));
        self.topics.entry(publication.topic.clone()).or_default().push(Change { at, value });
    }

    /// What the topic had for its value at some time from `since` on.
    pub(crate) fn values_since(&self, topic: &str, since: u64) -> impl Iterator<Item = &Rc<Publication>> {
        let changes = self.topics.get(topic).map_or(&[][..], |changes| changes);
        let first = changes.iter().rposition(|change| change.at <= since).unwrap_or(0);
        changes[first..].iter().filter_map(|change| change.value.as_ref())
    }

    /// Whether the topic had a value at every moment from `since` on.
    pub(crate) fn has_value_since(&self, topic: &str, since: u64) -> bool {
        let changes = self.topics.get(topic).map_or(&[][..], |changes| changes);
        let first = changes.iter().rposition(|change| change.at <= since);
        first.is_some_and(|first| changes[first..].iter().all(|change| change.value.is_some()))
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
        let publication = |payload: &str| Publication::new("a/b", payload.as_bytes().to_vec(), 0, true);
        history.set(2, &publication("one"));
        history.set(5, &publication("two"));
        let since = |history: &History, at| {
            history.values_since("a/b", at).map(|p| p.payload.clone()).collect::<Vec<_>>()
        };
        assert_eq!(since(&history, 1), [b"one", b"two"]);
        assert_eq!(since(&history, 5), [b"two"]);
        assert!(history.has_value_since("a/b", 2) && !history.has_value_since("a/b", 1));
        history.set(7, &publication(""));
        assert!(!history.has_value_since("a/b", 2));
        assert!(since(&history, 7).is_empty());
    }
}
