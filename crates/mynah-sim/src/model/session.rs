//! One session as it ought to be: what it subscribed to, what is to come, what came, and what is on its way.

use std::rc::Rc;

use mynah_model::{Class, Instant};
use mynah_stack::Settlement;

use super::expected::Expected;
use super::replay::Replays;
use super::retained::{History, selects};
use super::shares::Who;
use super::{Publication, Violation, after, violation};
use crate::client::Arrival;
use crate::wish::Wish;

/// A session from its making to its end.
pub(crate) struct Session {
    /// Tells the sessions of one client apart.
    pub(crate) incarnation: u64,
    /// The engine that owns it.
    pub(crate) engine: usize,
    /// The connection that uses it.
    pub(crate) link: Option<usize>,
    /// Seconds that it outlives its connection; for ever, if absent.
    pub(crate) lifetime: Option<u32>,
    /// When its last connection ended.
    pub(crate) detached_at: Option<Instant>,
    /// The will of that connection and when it is due, if it waits.
    pub(crate) will: Option<Waiting>,
    pub(crate) subscriptions: Vec<Wish>,
    pub(crate) expected: Vec<Expected>,
    pub(crate) replays: Replays,
    /// Exactly-once publications of the client that are not complete.
    pub(crate) receipts: Vec<u16>,
    in_flight: Vec<InFlight>,
    /// The smallest bound of a packet that any of its connections had.
    pub(crate) packet_bytes_max: Option<u32>,
}

/// A will that waits for its time.
pub(crate) struct Waiting {
    pub(crate) publication: Rc<Publication>,
    pub(crate) publisher: usize,
    pub(crate) due: Instant,
}

/// How a message came: on which connection, when that was opened, and when the broker wrote it.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) link: usize,
    pub(crate) opened_at: u64,
    pub(crate) sent_at: u64,
    pub(crate) sent: Instant,
    /// How many deliveries may be unsettled on the connection.
    pub(crate) window: usize,
}

/// What a session wants of a publication.
pub(crate) struct Wanted {
    pub(crate) class: Class,
    pub(crate) retain: bool,
    pub(crate) ids: Vec<u32>,
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
            lifetime: None,
            detached_at: None,
            will: None,
            subscriptions: Vec::new(),
            expected: Vec::new(),
            replays: Replays::default(),
            receipts: Vec::new(),
            in_flight: Vec::new(),
            packet_bytes_max: None,
        }
    }

    /// When the session ends, and when its will is published, if nobody comes back.
    pub(crate) fn due(&self) -> [Option<Instant>; 2] {
        let end = self.detached_at.zip(self.lifetime).map(|(at, seconds)| after(at, seconds));
        [end, self.will.as_ref().map(|will| will.due)]
    }

    /// How the session gets a publication, which may be its own; none if it does not want it.
    pub(crate) fn wants(&self, publication: &Publication, is_own: bool) -> Option<Wanted> {
        let selected = |wish: &&Wish| {
            !(wish.is_shared() || is_own && wish.no_local) && selects(wish.name, &publication.topic)
        };
        let selected: Vec<&Wish> = self.subscriptions.iter().filter(selected).collect();
        let class = selected.iter().map(|wish| publication.class.min(wish.class_max)).max()?;
        let retain = publication.retain && selected.iter().any(|wish| wish.as_published);
        let mut ids: Vec<u32> = selected.iter().filter_map(|wish| wish.id).collect();
        ids.sort_unstable();
        ids.dedup();
        Some(Wanted { class, retain, ids })
    }

    /// Whether the session is a member of a group.
    pub(crate) fn shares(&self, share: &str) -> bool {
        self.subscriptions.iter().any(|wish| wish.name == share)
    }

    pub(crate) fn subscribe(&mut self, at: u64, link: usize, wish: Wish) {
        let before = self.subscriptions.iter().position(|other| other.name == wish.name);
        match before {
            Some(place) => self.subscriptions[place] = wish,
            None => self.subscriptions.push(wish),
        }
        if !wish.is_shared() {
            self.replays.subscribe(wish, before.is_none(), at, link);
        }
    }

    pub(crate) fn unsubscribe(&mut self, name: &'static str) {
        self.subscriptions.retain(|wish| wish.name != name);
        self.replays.end(name);
    }

    /// Other members of their groups are to get these messages: for this session it is as if they were settled.
    pub(crate) fn withdraw(&mut self, owed: &[usize]) {
        for (at, expected) in self.expected.iter_mut().enumerate() {
            if !expected.is_settled && expected.owed.is_some_and(|one| owed.contains(&one)) {
                expected.withdrawn = true;
                self.in_flight.retain(|delivery| delivery.expected != at);
            }
        }
    }

    /// The broker hears what the client says of a delivery. Returns which message of a group it is.
    pub(crate) fn settle(&mut self, id: u16, settlement: Settlement) -> Option<usize> {
        let at = self.in_flight.iter().position(|delivery| delivery.id == id)?;
        let delivery = &mut self.in_flight[at];
        let expected = &mut self.expected[delivery.expected];
        expected.is_settled = true;
        let owed = expected.owed;
        match settlement {
            Settlement::Received => delivery.received = true,
            Settlement::Accepted | Settlement::Completed | Settlement::Rejected => {
                self.in_flight.remove(at);
            }
        }
        owed
    }

    /// Messages that the session still holds for its client. Replayed values on their way, those of QoS 0 that wait, and
    /// those of groups are not known here.
    pub(crate) fn held(&self, clock: Instant) -> u64 {
        let is_held = |expected: &&Expected| {
            expected.class.is_confirmed()
                && !expected.is_settled
                && expected.owed.is_none()
                && !expected.may_be_dropped(clock, self.packet_bytes_max)
        };
        self.expected.iter().filter(is_held).count() as u64
    }

    /// A message comes.
    pub(crate) fn receive(
        &mut self,
        way: Way,
        who: Who,
        arrival: &Arrival,
        history: &History,
    ) -> Result<(), Violation> {
        // What became too large for the client is not repeated, and its identifier is free.
        let clock = way.sent;
        self.in_flight.retain(|delivery| {
            let expected = &self.expected[delivery.expected];
            Some(delivery.id) != arrival.id
                || expected.is(arrival)
                || !expected.may_be_dropped(clock, self.packet_bytes_max)
        });
        let known = arrival.id.and_then(|id| self.in_flight.iter().find(|delivery| delivery.id == id));
        if let Some(InFlight { expected, received, .. }) = known {
            let (expected, received) = (*expected, *received);
            return self.receive_again(way, arrival, expected, received);
        }
        let at = match self.find_live(way, arrival) {
            Ok(at) => at,
            Err(_) if arrival.retain => self.find_replayed(way, who, arrival, history)?,
            Err(wrong) => return Err(wrong),
        };
        self.expected[at].came_on = Some(way.link);
        if !arrival.is_new {
            return violation(format!("{} was handed to the program before", arrival));
        }
        if self.expected[at].withdrawn {
            return Ok(()); // the last bytes of a connection that had ended
        }
        let is_kept = |delivery: &&InFlight| {
            !self.expected[delivery.expected].may_be_dropped(way.sent, self.packet_bytes_max)
        };
        let unsettled = self.in_flight.iter().filter(is_kept).count();
        if arrival.id.is_some() && !arrival.dup && unsettled >= way.window {
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
        way: Way,
        arrival: &Arrival,
        at: usize,
        received: bool,
    ) -> Result<(), Violation> {
        let (link, expected) = (way.link, &self.expected[at]);
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
        } else if !expected.is_judged(arrival)
            && !is_told(arrival, expected.deadline, way.sent)
            && !self.twins(expected).any(|twin| is_told(arrival, twin.deadline, way.sent))
        {
            "comes again with a wrong remaining time"
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

    fn find_live(&self, way: Way, arrival: &Arrival) -> Result<usize, Violation> {
        let mut wrong = "is not expected";
        // What reached the session after this was written is something else.
        let could_be = |expected: &Expected| {
            expected.at <= way.sent_at
                && (!expected.withdrawn || expected.link == Some(way.link) || self.link != Some(way.link))
        };
        let all = self.expected.iter().enumerate();
        for (at, expected) in all.filter(|(_, e)| e.is(arrival) && !e.replayed && could_be(e)) {
            if expected.came_on.is_some() {
                wrong = "came before";
            } else if self.later(at).any(|later| later.came_on.is_some()) {
                wrong = "is out of order";
            } else if arrival.dup && expected.at >= way.opened_at {
                wrong = "has DUP, but is newer than the connection";
            } else if !expected.is_judged(arrival) && !is_told(arrival, expected.deadline, way.sent) {
                wrong = "is told a wrong remaining time";
            } else if !arrival.dup && expected.deadline.is_some_and(|deadline| deadline <= way.sent) {
                wrong = "comes after its time";
            } else {
                return Ok(at);
            }
        }
        violation(format!("{} {wrong}", arrival))
    }

    fn find_replayed(
        &mut self,
        way: Way,
        who: Who,
        arrival: &Arrival,
        history: &History,
    ) -> Result<usize, Violation> {
        let Some((publication, deadline)) = self.replays.come(arrival, way, who, history) else {
            return violation(format!("{arrival} is not a retained value that is to come"));
        };
        let ids = arrival.told.as_ref().map_or(Vec::new(), |told| told.ids.clone());
        self.expected.push(Expected {
            retain: true,
            replayed: true,
            ids,
            deadline,
            ..Expected::live(&publication, arrival.class, Some(way.link))
        });
        Ok(self.expected.len() - 1)
    }

    /// Of what was sent on a connection only the end can be lost with it.
    pub(crate) fn check_gaps(&self, clock: Instant) -> Result<(), Violation> {
        for (at, missing) in self.expected.iter().enumerate() {
            if missing.came_on.is_some() || missing.excused || missing.withdrawn || missing.link.is_none() {
                continue;
            }
            if missing.may_be_dropped(clock, self.packet_bytes_max) {
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
    pub(crate) fn check_end(&self, who: Who, clock: Instant, history: &History) -> Result<(), Violation> {
        self.check_gaps(clock)?;
        let is_kept = |delivery: &&InFlight| {
            !self.expected[delivery.expected].may_be_dropped(clock, self.packet_bytes_max)
        };
        if let Some(delivery) = self.in_flight.iter().find(is_kept) {
            return violation(format!("delivery {} is never settled", delivery.id));
        }
        if let Some(receipt) = self.receipts.first() {
            return violation(format!("publication {receipt} of QoS 2 is never complete"));
        }
        for expected in self.expected.iter().filter(|expected| expected.came_on.is_none()) {
            let is_due = |e: &&Expected| !e.withdrawn && !e.may_be_dropped(clock, self.packet_bytes_max);
            // What was sent again and came twice cannot be told apart.
            let came = self.twins(expected).filter(|twin| twin.came_on.is_some()).count();
            let due = self.twins(expected).filter(is_due).count();
            if !is_due(&expected) || expected.class.is_confirmed() && came >= due {
                continue;
            }
            if expected.class.is_confirmed() || self.is_alive_for(expected) && !self.is_excused(expected) {
                let topic = &expected.publication.topic;
                return violation(format!("{} on {topic} never comes", expected.name()));
            }
        }
        match self.replays.missing(self.link, who, self.packet_bytes_max, history) {
            Some((filter, topic)) => {
                violation(format!("the retained value of {topic} never comes to {filter}"))
            }
            None => Ok(()),
        }
    }

    /// How many messages did not come and may have been dropped as too old or too large.
    pub(crate) fn dropped(&self, clock: Instant) -> u64 {
        let is_dropped = |expected: &&Expected| {
            expected.came_on.is_none()
                && !expected.withdrawn
                && (expected.class.is_confirmed()
                    || self.is_alive_for(expected) && !expected.excused && !self.is_excused(expected))
                && expected.may_be_dropped(clock, self.packet_bytes_max)
        };
        self.expected.iter().filter(is_dropped).count() as u64
    }

    /// How many messages of QoS 0 are missing although their connection lives.
    pub(crate) fn missing(&self, clock: Instant) -> usize {
        let is_missing = |expected: &&Expected| {
            expected.came_on.is_none()
                && !expected.may_be_dropped(clock, self.packet_bytes_max)
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
        self.expected.iter().filter(move |other| expected.is_twin_of(other))
    }
}

/// The seconds that a client of MQTT 5.0 is told for what is wanted until then.
pub(super) fn remaining(deadline: Option<Instant>, sent: Instant) -> Option<u32> {
    let micros = deadline?.saturating_since(sent).as_micros();
    Some(u32::try_from(micros.div_ceil(1_000_000)).unwrap_or(u32::MAX))
}

/// Whether a client is told what remained of the time when the message was written.
pub(super) fn is_told(arrival: &Arrival, deadline: Option<Instant>, sent: Instant) -> bool {
    arrival.told.as_ref().is_none_or(|told| told.remaining == remaining(deadline, sent))
}

#[cfg(test)]
mod tests;
