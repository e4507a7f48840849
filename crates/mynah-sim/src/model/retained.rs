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

    /// The topics that `filter` selects and that had a value at every moment from `since` on.
    pub(crate) fn always_since(&self, filter: &str, since: u64) -> impl Iterator<Item = &str> {
        let always = move |(topic, changes): (&'_ String, &'_ Vec<Change>)| {
            let first = changes.iter().rposition(|change| change.at <= since);
            let lasts = first.is_some_and(|first| changes[first..].iter().all(|change| change.value.is_some()));
            lasts && selects(filter, topic)
        };
        self.topics.iter().filter(move |&(topic, changes)| always((topic, changes))).map(|(topic, _)| &**topic)
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
        assert_eq!(history.always_since("a/#", 2).collect::<Vec<_>>(), ["a/b"]);
        assert_eq!(history.always_since("a/#", 1).count(), 0);
        history.set(7, &publication(""));
        assert_eq!(history.always_since("a/#", 2).count(), 0);
        assert!(since(&history, 7).is_empty());
    }
}
