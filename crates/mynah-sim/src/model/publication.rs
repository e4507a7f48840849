//! What clients say: publications, and everything else that the broker is to do for them.

use std::cell::Cell;
use std::rc::Rc;

use mynah_model::{Class, Instant};
use mynah_stack::Settlement;

use crate::wish::Wish;

/// What a client publishes.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) class: Class,
    pub(crate) retain: bool,
    /// Seconds for which it is wanted.
    pub(crate) lifetime: Option<u32>,
    /// How often the broker took it in.
    pub(crate) taken: Cell<u32>,
}

impl Publication {
    /// A publication, perhaps one that is wanted for so many seconds.
    pub(crate) fn new(
        topic: &str,
        payload: Vec<u8>,
        class: u8,
        retain: bool,
        lifetime: Option<u32>,
    ) -> Rc<Self> {
        let class = Class::from_number(class).unwrap_or_default();
        Rc::new(Self { topic: topic.to_owned(), payload, class, retain, lifetime, taken: Cell::new(0) })
    }

    pub(crate) fn name(&self) -> String {
        let retain = if self.retain { " retain" } else { "" };
        let lifetime = self.lifetime.map_or(String::new(), |seconds| format!(" for {seconds} s"));
        format!(
            "`{}` to {} (QoS {}{retain}{lifetime})",
            label(&self.payload),
            self.topic,
            self.class.number()
        )
    }

    /// When it is no longer wanted, if the broker takes it in now.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.lifetime.map(|seconds| after(now, seconds))
    }
}

/// So many seconds later.
pub(crate) fn after(now: Instant, seconds: u32) -> Instant {
    now + std::time::Duration::from_secs(u64::from(seconds))
}

/// How a client takes leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell {
    pub(crate) publish_will: bool,
    /// Seconds that the session is to outlive the connection, if not as was said in the beginning.
    pub(crate) lifetime: Option<u32>,
}

/// Something that a client said and the broker has not yet done.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Publish { id: u16, publication: Rc<Publication> },
    Complete { id: u16 },
    Subscribe { id: u16, wishes: Vec<Wish> },
    Unsubscribe { id: u16, names: Vec<&'static str> },
    Settle { id: u16, settlement: Settlement },
    Disconnect(Farewell),
}

/// The part of a payload that names it.
pub(crate) fn label(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).trim_end_matches('.').to_owned()
}
