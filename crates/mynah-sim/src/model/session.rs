//! One session as it ought to be: what it subscribed to, what is to come, what came, and what is on its way.

use std::rc::Rc;

use mynah_model::Class;
use mynah_stack::Settlement;

use super::replay::Replays;
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
    replays: Replays,
    /// Exactly-once publications of the client that are not complete.
    pub(crate) receipts: Vec<u16>,
    in_flight: Vec<InFlight>,
    /// How many deliveries may be unsettled.
    window: usize,
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
    /// The broker knows that the client has it.
    pub(crate) is_settled: bool,
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

/// A delivery that the broker does not know to be settled.
struct InFlight {
    id: u16,
    expected: usize,
    /// The broker knows that the client has it; only the release is to come.
    received: bool,
}

impl Session {
    pub(crate) fn new(incarnation: u64, engine: usize, window: usize) -> Self {
        Self {
            incarnation,
            engine,
            window,
            link: None,
            is_clean: false,
            subscriptions: Vec::new(),
            expected: Vec::new(),
            replays: Replays::default(),
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
        self.replays.begin(filter, class_max, at, link);
    }

    pub(crate) fn unsubscribe(&mut self, filter: &'static str) {
        self.subscriptions.retain(|(other, _)| *other != filter);
        self.replays.end(filter);
    }

    /// The broker hears what the client says of a delivery.
    pub(crate) fn settle(&mut self, id: u16, settlement: Settlement) {
        let Some(at) = self.in_flight.iter().position(|delivery| delivery.id == id) else { return };
        let delivery = &mut self.in_flight[at];
        self.expected[delivery.expected].is_settled = true;
        match settlement {
            Settlement::Received => delivery.received = true,
            Settlement::Accepted | Settlement::Completed | Settlement::Rejected => {
                self.in_flight.remove(at);
            }
        }
    }

    /// Messages that the session still holds for its client. Replayed values on their way, and those of QoS 0 that
    /// wait, are not known here.
    pub(crate) fn held(&self) -> u64 {
        self.expected.iter().filter(|e| e.class.is_confirmed() && !e.is_settled).count() as u64
    }

    /// A message comes on the connection `link`, which was opened at `opened_at`.
    pub(crate) fn receive(
        &mut self,
        link: usize,
        opened_at: u64,
        arrival: &Arrival,
        history: &History,
    ) -> Result<(), Violation> {
        let known = arrival.id.and_then(|id| self.in_flight.iter().find(|delivery| delivery.id == id));
        if let Some(InFlight { expected, received, .. }) = known {
            let (expected, received) = (*expected, *received);
            return self.receive_again(link, arrival, expected, received);
        }
        let at = if arrival.retain {
            self.find_replayed(link, arrival, opened_at, history)?
        } else {
            self.find_live(arrival)?
        };
        self.expected[at].came_on = Some(link);
        if !arrival.is_new {
            return violation(format!("{} was handed to the program before", arrival));
        }
        if arrival.dup && self.expected[at].at >= opened_at {
            return violation(format!("{} has DUP, but is newer than the connection", arrival));
        }
        if arrival.id.is_some() && self.in_flight.len() >= self.window {
            return violation(format!("{arrival} is one too many that is not settled"));
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
        violation(format!("{} {wrong}", arrival))
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
        violation(format!("{} {wrong}", arrival))
    }

    fn find_replayed(
        &mut self,
        link: usize,
        arrival: &Arrival,
        opened_at: u64,
        history: &History,
    ) -> Result<usize, Violation> {
        let Some(publication) = self.replays.come(arrival, opened_at, history) else {
            return violation(format!("{arrival} is not a retained value that is to come"));
        };
        self.expected.push(Expected {
            publication,
            class: arrival.class,
            retain: true,
            publisher: 0,
            at: 0,
            link: Some(link),
            came_on: None,
            is_settled: false,
            excused: false,
        });
        Ok(self.expected.len() - 1)
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
            if expected.class.is_confirmed() || self.is_alive_for(expected) && !self.is_excused(expected) {
                let topic = &expected.publication.topic;
                return violation(format!("{} on {topic} never comes", expected.name()));
            }
        }
        match self.replays.missing(self.link, history) {
            Some((filter, topic)) => {
                violation(format!("the retained value of {topic} never comes to {filter}"))
            }
            None => Ok(()),
        }
    }

    /// How many messages of QoS 0 are missing although their connection lives.
    pub(crate) fn missing(&self) -> usize {
        let is_missing = |expected: &&Expected| {
            expected.came_on.is_none()
                && self.is_alive_for(expected)
                && !expected.class.is_confirmed()
                && !self.came_as_another(expected)
        };
        self.expected.iter().filter(is_missing).count()
    }

    /// Whether the connection still lives that the session had when the message reached it.
    fn is_alive_for(&self, expected: &Expected) -> bool {
        expected.link.is_some() && expected.link == self.link
    }

    /// Whether a slow reader may have cost the message or one that looks the same.
    fn is_excused(&self, missing: &Expected) -> bool {
        self.came_as_another(missing) || self.twins(missing).any(|twin| twin.excused)
    }

    /// Whether a message that looks the same and was lost with an earlier connection was taken to have come instead.
    fn came_as_another(&self, missing: &Expected) -> bool {
        self.twins(missing).any(|twin| twin.link != missing.link && twin.came_on == missing.link)
    }

    /// The messages that look the same: a publication that was sent again, or another without payload.
    fn twins(&self, expected: &Expected) -> impl Iterator<Item = &Expected> {
        self.expected.iter().filter(move |other| {
            other.class == expected.class
                && !other.retain
                && other.publication.topic == expected.publication.topic
                && other.publication.payload == expected.publication.payload
        })
    }
}

impl Expected {
    pub(crate) fn name(&self) -> String {
        format!("`{}` of QoS {}", label(&self.publication.payload), self.class.number())
    }
}

/// The part of a payload that names it.
pub(crate) fn label(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session on connection 7, opened at 10, that is to get `one` and `two` from one publisher.
    fn session(class: Class, reached_at: u64) -> Session {
        let mut session = Session::new(1, 0, 2);
        session.link = Some(7);
        for payload in ["one", "two"] {
            let publication = Publication::new("a", payload.as_bytes().to_vec(), class.number(), false);
            session.expected.push(Expected {
                publication,
                class,
                retain: false,
                publisher: 3,
                at: reached_at,
                link: Some(7),
                came_on: None,
                is_settled: false,
                excused: false,
            });
        }
        session
    }

    fn arrival(payload: &str, class: Class, id: Option<u16>, dup: bool) -> Arrival {
        let (topic, payload) = ("a".to_owned(), payload.as_bytes().to_vec());
        Arrival { dup, class, retain: false, id, topic, payload, is_new: true }
    }

    fn receive(session: &mut Session, link: usize, arrival: &Arrival) -> Result<(), String> {
        session.receive(link, 10, arrival, &History::default()).map_err(|Violation(text)| text)
    }

    fn assert_says<T: std::fmt::Debug>(result: Result<T, String>, words: &str) {
        assert!(result.as_ref().is_err_and(|text| text.contains(words)), "{result:?}");
    }

    #[test]
    fn order_is_kept_and_nothing_comes_that_was_not_published() {
        let mut session = session(Class::AtMostOnce, 20);
        let class = Class::AtMostOnce;
        assert_says(receive(&mut session, 7, &arrival("six", class, None, false)), "is not expected");
        assert_eq!(receive(&mut session, 7, &arrival("two", class, None, false)), Ok(()));
        assert_says(receive(&mut session, 7, &arrival("one", class, None, false)), "is out of order");
        assert_says(receive(&mut session, 7, &arrival("two", class, None, false)), "came before");
        let gaps = session.check_gaps().map_err(|Violation(text)| text);
        assert_says(gaps, "`one` of QoS 0 on a is missing, what follows it came");
    }

    #[test]
    fn a_repetition_needs_another_connection_and_dup() {
        let class = Class::AtLeastOnce;
        let mut session = session(class, 20);
        assert_says(
            receive(&mut session, 7, &arrival("one", class, Some(1), true)),
            "newer than the connection",
        );
        let mut session = self::session(class, 5);
        assert_eq!(receive(&mut session, 7, &arrival("one", class, Some(1), true)), Ok(()));
        assert_says(
            receive(&mut session, 7, &arrival("one", class, Some(1), true)),
            "twice on one connection",
        );
        assert_says(receive(&mut session, 8, &arrival("one", class, Some(1), false)), "again without DUP");
        assert_says(receive(&mut session, 8, &arrival("two", class, Some(1), true)), "of another message");
        assert_eq!(receive(&mut session, 8, &arrival("one", class, Some(1), true)), Ok(()));
        session.settle(1, Settlement::Accepted);
        assert_says(receive(&mut session, 9, &arrival("one", class, Some(1), true)), "came before");
    }

    #[test]
    fn exactly_once_comes_once_to_the_program_and_not_after_its_pubrec() {
        let class = Class::ExactlyOnce;
        let mut session = session(class, 5);
        assert_eq!(receive(&mut session, 7, &arrival("one", class, Some(1), false)), Ok(()));
        assert_says(receive(&mut session, 8, &arrival("one", class, Some(1), true)), "twice to the program");
        let again = Arrival { is_new: false, ..arrival("one", class, Some(1), true) };
        assert_eq!(receive(&mut session, 8, &again), Ok(()));
        session.settle(1, Settlement::Received);
        assert_says(receive(&mut session, 9, &again), "after its PUBREC");
    }

    #[test]
    fn the_end_asks_for_everything_and_the_window_is_never_passed() {
        let class = Class::AtLeastOnce;
        let mut session = session(class, 20);
        session.window = 1;
        let end = |session: &Session| session.check_end(&History::default()).map_err(|Violation(text)| text);
        assert_eq!(receive(&mut session, 7, &arrival("one", class, Some(1), false)), Ok(()));
        assert_says(receive(&mut session, 7, &arrival("two", class, Some(2), false)), "one too many");
        assert_says(end(&session), "never settled");
        session.settle(1, Settlement::Accepted);
        assert_eq!(end(&session), Ok(()));
    }
}
