//! What one session is to get: a message with everything that its client is to see of it.

use std::rc::Rc;

use mynah_model::{Class, Instant};

use super::{Publication, label};
use crate::client::Arrival;

/// A message that the session is to get.
pub(crate) struct Expected {
    pub(crate) publication: Rc<Publication>,
    pub(crate) class: Class,
    /// Whether the client sees it as retained.
    pub(crate) retain: bool,
    /// It comes because a subscription was made, not because it was published.
    pub(crate) replayed: bool,
    /// The identifiers of the subscriptions by which it comes, in ascending order.
    pub(crate) ids: Vec<u32>,
    /// When it is no longer wanted.
    pub(crate) deadline: Option<Instant>,
    /// The connection that published it: within it, topic and class, order is kept.
    pub(crate) publisher: usize,
    /// When it reached the session, and on which connection that was.
    pub(crate) at: u64,
    pub(crate) link: Option<usize>,
    /// The message of a group that it is.
    pub(crate) owed: Option<usize>,
    /// The connection on which it came last.
    pub(crate) came_on: Option<usize>,
    /// The broker knows that the client has it.
    pub(crate) is_settled: bool,
    /// It reached the session in a moment when the engine counted messages that a slow reader costs.
    pub(crate) excused: bool,
    /// Another member of its group is to get it.
    pub(crate) withdrawn: bool,
}

impl Expected {
    /// A live message on the connection `link`, without anything special.
    pub(crate) fn live(publication: &Rc<Publication>, class: Class, link: Option<usize>) -> Self {
        Self {
            publication: Rc::clone(publication),
            class,
            retain: false,
            replayed: false,
            ids: Vec::new(),
            deadline: None,
            publisher: 0,
            at: 0,
            link,
            owed: None,
            came_on: None,
            is_settled: false,
            excused: false,
            withdrawn: false,
        }
    }

    pub(crate) fn is_ordered_with(&self, other: &Self) -> bool {
        self.publisher == other.publisher
            && self.class == other.class
            && !self.replayed
            && !other.replayed
            && self.owed.is_some() == other.owed.is_some()
            && self.publication.class == other.publication.class
            && self.publication.topic == other.publication.topic
    }

    /// Whether an arrival looks like this one.
    pub(crate) fn is(&self, arrival: &Arrival) -> bool {
        self.class == arrival.class
            && self.retain == arrival.retain
            && arrival.told.as_ref().is_none_or(|told| told.ids == self.ids)
            && self.publication.topic == arrival.topic
            && self.publication.payload == arrival.payload
    }

    /// Whether it looks like another one.
    pub(crate) fn is_twin_of(&self, other: &Self) -> bool {
        other.class == self.class
            && !self.replayed
            && !other.replayed
            && other.publication.topic == self.publication.topic
            && other.publication.payload == self.publication.payload
    }

    /// Whether what remains of its time was judged when it was written: then its group knew all of its twins, of which
    /// the model may have given this session another.
    pub(crate) fn is_judged(&self, arrival: &Arrival) -> bool {
        arrival.dup && self.owed.is_some()
    }

    /// Whether it may have been too old, or too large for a client that takes packets of so many bytes.
    pub(crate) fn may_be_dropped(&self, clock: Instant, packet_bytes_max: Option<u32>) -> bool {
        // What goes before the payload takes less than this.
        let size = self.publication.payload.len() + 60;
        self.deadline.is_some_and(|deadline| deadline <= clock)
            || packet_bytes_max.is_some_and(|max| size > max as usize)
    }

    pub(crate) fn name(&self) -> String {
        format!("`{}` of QoS {}", label(&self.publication.payload), self.class.number())
    }
}
