//! Named queues at work. A queue lives at the worker that owns its name; connections everywhere consume from it.
//!
//! `commands`: what a connection asks for, checked where the connection is. `request`: the same as data, which goes to the
//! queue's worker, and what comes back. `serving`: what the queue's worker does about it. `delivering`: what a queue hands
//! out, here or to another worker, as long as there is room. `publishing`: what comes in under a queue's own name.
//! `dead`: what leaves a queue without having been accepted. `keeping`: what is stored of queues. `transacting`: several things together. `ending`: of consumers with their connections, and of queues. `table`: the queues of a worker.
//!
//! A queue is referred to like a session, in a range of slots of its own, so that a filter that is attached to it is one in the topic
//! index like any other. Its own name is such a filter too: see [`address`].

mod commands;
mod dead;
mod delivering;
mod ending;
mod keeping;
mod publishing;
mod request;
mod serving;
mod table;
mod transacting;

pub(crate) use keeping::QueueNote;
pub use keeping::{QueueChange, QueueName, RestoredEntry, RestoredQueue};
pub(crate) use publishing::stands_for_queues;
pub(crate) use request::Reply;
pub use request::Word;
pub(crate) use table::{Queues, is_named};

use std::collections::BTreeMap;

use mynah_core::WorkerId;
use mynah_stack::ConsumerId;

/// What all topics start with that stand for queues.
pub(crate) const PREFIX: &[u8] = b"$queue/";

/// The topic that stands for a queue: its name after a prefix. What would be a wildcard in a filter, or can be in none, is
/// spelled with a percent sign, and what looks like that already gains a `25`.
pub(crate) fn address(name: &[u8]) -> Vec<u8> {
    let mut address = Vec::with_capacity(PREFIX.len() + name.len());
    address.extend_from_slice(PREFIX);
    for (at, &byte) in name.iter().enumerate() {
        match byte {
            b'+' => address.extend_from_slice(b"%2B"),
            b'#' => address.extend_from_slice(b"%23"),
            0 => address.extend_from_slice(b"%00"),
            b'%' if looks_spelled(&name[at + 1..]) => address.extend_from_slice(b"%25"),
            byte => address.push(byte),
        }
    }
    address
}

/// Whether what follows a percent sign makes it one of the spellings, or one that gained something.
fn looks_spelled(mut rest: &[u8]) -> bool {
    while let Some(more) = rest.strip_prefix(b"25") {
        rest = more;
    }
    [b"2B", b"23", b"00"].iter().any(|code| rest.starts_with(*code))
}

/// What a connection has to do with queues.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    consumers: BTreeMap<ConsumerId, Tap>,
    /// Queues that end with the connection.
    exclusive: Vec<Box<[u8]>>,
    /// Somebody waits for room in the connection's outbound buffer.
    waits_for_room: bool,
}

/// One consumer of a connection.
#[derive(Debug)]
struct Tap {
    queue: Box<[u8]>,
    /// The queue's worker.
    worker: WorkerId,
    /// Bytes that have come from there and for which it has not been given room again.
    owed: u64,
    /// No more is delivered, but leases may be held.
    is_cancelled: bool,
}

impl Taps {
    /// Whether something goes on when there is room in the outbound buffer.
    pub(crate) const fn waits_for_room(&self) -> bool {
        self.waits_for_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_queue_has_a_topic_of_its_own(a in "[+#%025BX/\0]{0,9}", b in "[+#%025BX/\0]{0,9}") {
            let (one, other) = (address(a.as_bytes()), address(b.as_bytes()));
            prop_assert_eq!(one == other, a == b);
            prop_assert!(!one.iter().any(|byte| matches!(byte, b'+' | b'#' | 0)));
        }
    }

    #[test]
    fn a_usual_name_is_spelled_as_it_is() {
        assert_eq!(address(b"jobs/50%.x"), b"$queue/jobs/50%.x");
        assert_eq!(address(b"#%23%2523%25"), b"$queue/%23%2523%252523%25");
    }
}
