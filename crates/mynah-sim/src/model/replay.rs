//! Retained values on their way to new subscriptions. Which of several overlapping subscriptions a value came for
//! cannot be seen, so that what came and what had to come are matched as two sets.

use std::rc::Rc;

use mynah_model::{Class, Instant};
use mynah_mqtt::wire::RetainHandling;

use super::Publication;
use super::retained::{History, Value, selects};
use super::session::{Way, is_told};
use super::shares::Who;
use crate::client::Arrival;
use crate::wish::Wish;

/// The replays of one session and what came of them.
#[derive(Default)]
pub(crate) struct Replays {
    subscriptions: Vec<Subscription>,
    values: Vec<Came>,
}

/// A subscription that is to get the retained values.
struct Subscription {
    wish: Wish,
    /// When it was made, and on which connection.
    since: u64,
    link: usize,
    /// It was replaced or removed: the rest need not come.
    is_over: bool,
}

/// A value that came, and the subscriptions that it can have come for.
struct Came {
    topic: String,
    can_be_for: Vec<usize>,
}

impl Subscription {
    fn class(&self, publication: &Publication) -> Class {
        publication.class.min(self.wish.class_max)
    }

    fn is_spared(&self, value: &Value, who: Who) -> bool {
        self.wish.no_local && value.publisher.0 == who.0
    }

    fn can_be_named(&self, arrival: &Arrival) -> bool {
        arrival.told.as_ref().is_none_or(|told| told.ids.iter().copied().eq(self.wish.id))
    }
}

impl Replays {
    /// A subscription is made or renewed.
    pub(crate) fn subscribe(&mut self, wish: Wish, is_new: bool, since: u64, link: usize) {
        let is_replayed = match wish.handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        // Without a replay of its own, one that is under way goes on as the subscription is now.
        let under_way = self.subscriptions.iter().filter(|s| s.wish.name == wish.name).map(|s| s.since);
        let under_way: Vec<u64> = if is_new { Vec::new() } else { under_way.collect() };
        self.end(wish.name);
        let renewed = |since| Subscription { wish, since, link, is_over: true };
        self.subscriptions.extend(under_way.into_iter().map(renewed));
        if is_replayed {
            self.subscriptions.push(Subscription { wish, since, link, is_over: false });
        }
    }

    pub(crate) fn end(&mut self, filter: &'static str) {
        for subscription in self.subscriptions.iter_mut().filter(|s| s.wish.name == filter) {
            subscription.is_over = true;
        }
    }

    /// A value came. Returns what was published, and until when it is wanted, unless no subscription can have been
    /// meant: each gets one value of a topic, and only what the topic had since it was made.
    pub(crate) fn come(
        &mut self,
        arrival: &Arrival,
        way: Way,
        who: Who,
        history: &History,
    ) -> Option<(Rc<Publication>, Option<Instant>)> {
        let mut found = None;
        let mut can_be_for = Vec::new();
        for (at, subscription) in self.subscriptions.iter().enumerate() {
            let is_later = subscription.since > way.sent_at;
            // What comes with DUP was sent on an earlier connection.
            if !selects(subscription.wish.name, &arrival.topic)
                || is_later
                || arrival.dup && subscription.since >= way.opened_at
                || !subscription.can_be_named(arrival)
            {
                continue;
            }
            let is_it = |value: &&Value| {
                value.publication.payload == arrival.payload
                    && subscription.class(&value.publication) == arrival.class
                    && !subscription.is_spared(value, who)
                    && (arrival.dup || value.deadline.is_none_or(|deadline| deadline > way.sent))
                    && is_told(arrival, value.deadline, way.sent)
            };
            if let Some(value) = history.values_since(&arrival.topic, subscription.since).find(is_it) {
                found = Some((Rc::clone(&value.publication), value.deadline));
                can_be_for.push(at);
            }
        }
        self.values.push(Came { topic: arrival.topic.clone(), can_be_for });
        let came = self.values.iter().filter(|value| value.topic == arrival.topic);
        let wishes: Vec<Vec<usize>> = came.map(|value| value.can_be_for.clone()).collect();
        found.filter(|_| unmatched(&wishes, self.subscriptions.len()).is_none())
    }

    /// A filter and a topic whose value it had to get and did not. `link` is the connection that still lives.
    pub(crate) fn missing<'h>(
        &self,
        link: Option<usize>,
        who: Who,
        packet_bytes_max: Option<u32>,
        history: &'h History,
    ) -> Option<(&'static str, &'h str)> {
        history.topics().find_map(|topic| {
            let values: Vec<&Came> = self.values.iter().filter(|value| value.topic == topic).collect();
            let due: Vec<usize> = (0..self.subscriptions.len())
                .filter(|&at| self.is_due(at, topic, link, history))
                .filter(|&at| {
                    let all = |value: &Value| {
                        let size = value.publication.payload.len() + 60;
                        !self.subscriptions[at].is_spared(value, who)
                            && packet_bytes_max.is_none_or(|max| size <= max as usize)
                    };
                    history.values_since(topic, self.subscriptions[at].since).all(all)
                })
                .collect();
            let came_for = |&at: &usize| {
                (0..values.len()).filter(|&value| values[value].can_be_for.contains(&at)).collect()
            };
            let wishes: Vec<Vec<usize>> = due.iter().map(came_for).collect();
            unmatched(&wishes, values.len()).map(|at| (self.subscriptions[due[at]].wish.name, topic))
        })
    }

    /// Whether a subscription must have got a value of the topic: it had one all the time, and none that can be lost
    /// with its connection.
    fn is_due(&self, at: usize, topic: &str, link: Option<usize>, history: &History) -> bool {
        let subscription = &self.subscriptions[at];
        let mut values = history.values_since(topic, subscription.since);
        !subscription.is_over
            && selects(subscription.wish.name, topic)
            && history.has_value_since(topic, subscription.since)
            && (link == Some(subscription.link)
                || values.all(|value| subscription.class(&value.publication).is_confirmed()))
    }
}

/// Gives everybody one of the things that it can have, no thing twice. Returns who gets none, if somebody must go
/// without.
fn unmatched(wishes: &[Vec<usize>], things: usize) -> Option<usize> {
    let mut owners = vec![None; things];
    (0..wishes.len()).find(|&who| !find_thing(who, wishes, &mut owners, &mut vec![false; things]))
}

/// Finds a thing for `who`; its owner looks for another one.
fn find_thing(who: usize, wishes: &[Vec<usize>], owners: &mut [Option<usize>], asked: &mut [bool]) -> bool {
    for &thing in &wishes[who] {
        if std::mem::replace(&mut asked[thing], true) {
            continue;
        }
        let is_free = match owners[thing] {
            None => true,
            Some(owner) => find_thing(owner, wishes, owners, asked),
        };
        if is_free {
            owners[thing] = Some(who);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_goes_without_only_if_nothing_else_is_possible() {
        assert_eq!(unmatched(&[vec![0, 1], vec![0], vec![1, 2]], 3), None);
        assert_eq!(unmatched(&[vec![0, 1], vec![0], vec![1]], 2), Some(2));
        assert_eq!(unmatched(&[vec![]], 1), Some(0));
    }
}
