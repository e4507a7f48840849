//! One session as it ought to be: what it subscribed to, what is to come, what came, and what is on its way.

use std::rc::Rc;

use mynah_model::Class;

use super::retained::{History, selects};
use super::{Publication, Violation, violation};
use crate::client::Arrival;

/// A session from its making to its end.
pub(crate) struct Session {
    /// Tells the sessions of one client apart.
    pub(crate) incarnation: u64,
    /// The engine that owns it.
    pub(crate) engine: usize,
    /// The connection that uses it.
    pub(crate) link: Option<usize>,
    /// Whether it ends with its connection.
    pub(crate) is_clean: bool,
    pub(crate) subscriptions: Vec<(&'static str, Class)>,
    pub(crate) expected: Vec<Expected>,
    pub(crate) replays: Vec<Replay>,
    /// Exactly-once publications of the client that are not complete.
    pub(crate) receipts: Vec<u16>,
    in_flight: Vec<InFlight>,
}

/// A message that the session is to get.
pub(crate) struct Expected {
    pub(crate) publication: Rc<Publication>,
    pub(crate) class: Class,
    pub(crate) retain: bool,
    /// The connection that published it: within it, topic and class, order is kept.
    pub(crate) publisher: usize,
    /// When it reached the session, and on which connection that was.
    pub(crate) at: u64,
    pub(crate) link: Option<usize>,
    /// The connection on which it came last.
    pub(crate) came_on: Option<usize>,
    /// It reached the session in a moment when the engine counted messages that a slow reader costs.
    pub(crate) excused: bool,
}

impl Expected {
    fn is_ordered_with(&self, other: &Self) -> bool {
        self.publisher == other.publisher
            && self.class == other.class
            && !self.retain
            && !other.retain
            && self.publication.class == other.publication.class
            && self.publication.topic == other.publication.topic
    }

    fn is(&self, arrival: &Arrival) -> bool {
        self.class == arrival.class
            && self.retain == arrival.retain
            && self.publication.topic == arrival.topic
            && self.publication.payload == arrival.payload
    }
}

/// Retained values that a new subscription is to get.
pub(crate) struct Replay {
    pub(crate) filter: &'static str,
    pub(crate) class_max: Class,
    /// When the subscription was made, and on which connection.
    pub(crate) since: u64,
    pub(crate) link: usize,
    /// Topics whose value has come.
    pub(crate) came: Vec<String>,
    /// The subscription was replaced or removed: the rest need not come.
    pub(crate) is_over: bool,
}

/// A delivery that the broker does not know to be settled.
struct InFlight {
    id: u16,
    expected: usize,
    /// The broker knows that the client has it; only the release is to come.
    received: bool,
}

impl Session {
    pub(crate) fn new(incarnation: u64, engine: usize) -> Self {
        Self {
            incarnation,
            engine,
            link: None,
            is_clean: false,
            subscriptions: Vec::new(),
            expected: Vec::new(),
            replays: Vec::new(),
            receipts: Vec::new(),
            in_flight: Vec::new(),
        }
    }

    /// The class with which the session gets a publication; none if it does not want it.
    pub(crate) fn wants(&self, publication: &Publication) -> Option<Class> {
        let selected = self.subscriptions.iter().filter(|(filter, _)| selects(filter, &publication.topic));
        selected.map(|(_, class_max)| publication.class.min(*class_max)).max()
    }

    pub(crate) fn subscribe(&mut self, at: u64, link: usize, filter: &'static str, class_max: Class) {
        self.unsubscribe(filter);
        self.subscriptions.push((filter, class_max));
        self.replays.push(Replay { filter, class_max, since: at, link, came: Vec::new(), is_over: false });
    }

    pub(crate) fn unsubscribe(&mut self, filter: &'static str) {
        self.subscriptions.retain(|(other, _)| *other != filter);
        for replay in self.replays.iter_mut().filter(|replay| replay.filter == filter) {
            replay.is_over = true;
        }
    }

    /// The broker hears what the client says of a delivery.
    pub(crate) fn settle(&mut self, id: u16, is_final: bool) {
        if is_final {
            self.in_flight.retain(|delivery| delivery.id != id);
        } else if let Some(delivery) = self.in_flight.iter_mut().find(|delivery| delivery.id == id) {
            delivery.received = true;
        }
    }

    /// A message comes on the connection `link`, which was opened at `opened_at`.
    pub(crate) fn receive(
        &mut self,
        link: usize,
        opened_at: u64,
        arrival: &Arrival,
        history: &History,
        now: u64,
    ) -> Result<(), Violation> {
        let known = arrival.id.and_then(|id| self.in_flight.iter().find(|delivery| delivery.id == id));
        if let Some(InFlight { expected, received, .. }) = known {
            let (expected, received) = (*expected, *received);
            return self.receive_again(link, arrival, expected, received);
        }
        let (at, came) = if arrival.retain {
            (self.find_replayed(link, arrival, history, now)?, "it is replayed")
        } else {
            (self.find_live(arrival)?, "it reached the session")
        };
        self.expected[at].came_on = Some(link);
        if !arrival.is_new {
            return violation(format!("{} was handed to the program before", show(arrival)));
        }
        if arrival.dup && self.expected[at].at >= opened_at {
            return violation(format!("{} has DUP, but {came} after the connection was opened", show(arrival)));
        }
        if let Some(id) = arrival.id {
            self.in_flight.push(InFlight { id, expected: at, received: false });
        }
        Ok(())
    }

    /// A delivery comes again that the broker does not know to be settled.
    fn receive_again(
        &mut self,
        link: usize,
        arrival: &Arrival,
        at: usize,
        received: bool,
    ) -> Result<(), Violation> {
        let expected = &self.expected[at];
        let wrong = if !expected.is(arrival) {
            "has the identifier of another message that is not settled"
        } else if !arrival.dup {
            "comes again without DUP"
        } else if expected.came_on == Some(link) {
            "comes twice on one connection"
        } else if received {
            "comes again after its PUBREC"
        } else if arrival.class == Class::ExactlyOnce && arrival.is_new {
            "comes twice to the program"
        } else if self.later(at).any(|later| later.came_on == Some(link)) {
            "comes again out of order"
        } else {
            self.expected[at].came_on = Some(link);
            return Ok(());
        };
        violation(format!("{} {wrong}", show(arrival)))
    }

    /// The messages that have to come after the one at `at`.
    fn later(&self, at: usize) -> impl Iterator<Item = &Expected> {
        self.expected[at + 1..].iter().filter(move |later| later.is_ordered_with(&self.expected[at]))
    }

    fn find_live(&self, arrival: &Arrival) -> Result<usize, Violation> {
        let mut wrong = "is not expected";
        for (at, expected) in self.expected.iter().enumerate().filter(|(_, expected)| expected.is(arrival)) {
            if expected.came_on.is_some() {
                wrong = "came before";
            } else if self.later(at).any(|later| later.came_on.is_some()) {
                wrong = "is out of order";
            } else {
                return Ok(at);
            }
        }
        violation(format!("{} {wrong}", show(arrival)))
    }

    fn find_replayed(
        &mut self,
        link: usize,
        arrival: &Arrival,
        history: &History,
        now: u64,
    ) -> Result<usize, Violation> {
        let is_value = |value: &&Rc<Publication>, class_max: Class| {
            value.payload == arrival.payload && value.class.min(class_max) == arrival.class
        };
        for replay in &mut self.replays {
            if !selects(replay.filter, &arrival.topic) || replay.came.contains(&arrival.topic) {
                continue;
            }
            let mut values = history.values_since(&arrival.topic, replay.since);
            if let Some(value) = values.find(|value| is_value(value, replay.class_max)) {
                replay.came.push(arrival.topic.clone());
                self.expected.push(Expected {
                    publication: Rc::clone(value),
                    class: arrival.class,
                    retain: true,
                    publisher: 0,
                    // What comes repeated was sent at some time since the subscription was made.
                    at: if arrival.dup { replay.since } else { now },
                    link: Some(link),
                    came_on: None,
                    excused: false,
                });
                return Ok(self.expected.len() - 1);
            }
        }
        violation(format!("{} is not a retained value that is to come", show(arrival)))
    }

    /// Of what was sent on a connection only the end can be lost with it.
    pub(crate) fn check_gaps(&self) -> Result<(), Violation> {
        for (at, missing) in self.expected.iter().enumerate() {
            if missing.came_on.is_some() || missing.excused || missing.link.is_none() {
                continue;
            }
            let followed =
                self.later(at).any(|later| later.link == missing.link && later.came_on == missing.link);
            if followed && !self.is_excused(missing) {
                let Publication { topic, .. } = &*missing.publication;
                return violation(format!("{} on {topic} is missing, what follows it came", missing.name()));
            }
        }
        Ok(())
    }

    /// Checks that everything came that had to, at the end, when nothing is on its way any more.
    pub(crate) fn check_end(&self, history: &History) -> Result<(), Violation> {
        self.check_gaps()?;
        if let Some(delivery) = self.in_flight.first() {
            return violation(format!("delivery {} is never settled", delivery.id));
        }
        if let Some(receipt) = self.receipts.first() {
            return violation(format!("publication {receipt} of QoS 2 is never complete"));
        }
        for expected in self.expected.iter().filter(|expected| expected.came_on.is_none()) {
            let healthy = expected.link.is_some() && expected.link == self.link;
            if expected.class.is_confirmed() || healthy && !self.is_excused(expected) {
                let topic = &expected.publication.topic;
                return violation(format!("{} on {topic} never comes", expected.name()));
            }
        }
        self.replays.iter().filter(|replay| !replay.is_over).try_for_each(|r| self.check_replay(r, history))
    }

    fn check_replay(&self, replay: &Replay, history: &History) -> Result<(), Violation> {
        for topic in history.always_since(replay.filter, replay.since) {
            let class = |value: &Rc<Publication>| value.class.min(replay.class_max);
            let confirmed = history.values_since(topic, replay.since).all(|value| class(value).is_confirmed());
            // What is not confirmed may be lost with the connection.
            if (confirmed || self.link == Some(replay.link)) && replay.came.iter().all(|came| came != topic) {
                return violation(format!("the retained value of {topic} never comes to {}", replay.filter));
            }
        }
        Ok(())
    }

    /// Whether a slow reader may have cost the message, or one that looks the same.
    fn is_excused(&self, missing: &Expected) -> bool {
        let same = |other: &&Expected| {
            other.class == missing.class && Rc::ptr_eq(&other.publication, &missing.publication)
        };
        self.expected.iter().filter(same).any(|other| other.excused)
    }
}

impl Expected {
    pub(crate) fn name(&self) -> String {
        format!("`{}` of QoS {}", label(&self.publication.payload), self.class.number())
    }
}

/// A message in words.
fn show(arrival: &Arrival) -> String {
    let Arrival { class, id, topic, payload, .. } = arrival;
    let (retain, dup) = (if arrival.retain { " retained" } else { "" }, if arrival.dup { " DUP" } else { "" });
    let id = id.map_or(String::new(), |id| format!(" id {id}"));
    format!("`{}` on {topic} (QoS {}{retain}{dup}{id})", label(payload), class.number())
}

/// The part of a payload that names it.
pub(crate) fn label(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).trim_end_matches('.').to_owned()
}
