//! The witness: a decorator around the protocol that notes what the engine is asked to do, in the order in which it
//! does it.
//!
//! It tells the model *when*; *what* is to happen the model knows from the clients alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mynah_model::{Class, Instant, Layout, Reason};
use mynah_stack::{
    Close, Command, Connection, Delivery, LayoutCodec, Outbound, Outcome, Protocol, Settle, Step,
};

/// Something that passed between a connection and its engine.
#[derive(Debug)]
pub(crate) enum Seen {
    Publish {
        class: Class,
        receipt: u16,
    },
    Complete {
        receipt: u16,
    },
    Subscribe {
        receipt: u16,
    },
    Unsubscribe {
        receipt: u16,
    },
    Settle(Settle),
    /// A session is open.
    Opened {
        present: bool,
    },
    Refused(Reason),
    /// The engine has taken the session away.
    Ended(Reason),
    /// The stack closes the connection.
    Closed(Close),
}

/// What was seen, with the number of the link, oldest first.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    accepting: usize,
    seen: Vec<(usize, Seen)>,
}

impl Record {
    /// The next connection that is accepted is the one of this link.
    pub(crate) fn accept(&self, link: usize) {
        self.lock().accepting = link;
    }

    /// Takes what was seen since the last call; `memory` is used for what comes next.
    pub(crate) fn take(&self, memory: Vec<(usize, Seen)>) -> Vec<(usize, Seen)> {
        std::mem::replace(&mut self.lock().seen, memory)
    }

    fn note(&self, link: usize, seen: Seen) {
        self.lock().seen.push((link, seen));
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A protocol that is watched.
pub(crate) struct Witness {
    pub(crate) inner: Arc<dyn Protocol>,
    pub(crate) record: Record,
}

impl Protocol for Witness {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn accept(&self, now: Instant) -> Box<dyn Connection> {
        let link = self.record.lock().accepting;
        Box::new(Watched { inner: self.inner.accept(now), link, record: self.record.clone() })
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        self.inner.codec()
    }
}

struct Watched {
    inner: Box<dyn Connection>,
    link: usize,
    record: Record,
}

impl Connection for Watched {
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        let step = self.inner.step(now, input, out);
        let seen = match &step {
            Step::Command(command) => seen_in(command),
            Step::Close(close) => Some(Seen::Closed(*close)),
            Step::Idle => None,
        };
        if let Some(seen) = seen {
            self.record.note(self.link, seen);
        }
        step
    }

    fn deliver(&mut self, now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        self.inner.deliver(now, delivery, out)
    }

    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        let seen = match &outcome {
            Outcome::Opened(Ok(opened)) => Some(Seen::Opened { present: opened.session_present }),
            Outcome::Opened(Err(reason)) => Some(Seen::Refused(*reason)),
            Outcome::Ended(reason) => Some(Seen::Ended(*reason)),
            _ => None,
        };
        if let Some(seen) = seen {
            self.record.note(self.link, seen);
        }
        self.inner.handle_outcome(now, outcome, out);
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        self.inner.handle_timeout(now, out);
    }

    fn handle_shutdown(&mut self, now: Instant, out: &mut Outbound) {
        self.inner.handle_shutdown(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.inner.deadline()
    }

    fn layout(&self) -> Layout {
        self.inner.layout()
    }

    fn input_bytes_max(&self) -> usize {
        self.inner.input_bytes_max()
    }
}

fn seen_in(command: &Command<'_>) -> Option<Seen> {
    Some(match command {
        Command::Publish(publish) => Seen::Publish { class: publish.header.class, receipt: publish.receipt },
        Command::Complete { receipt } => Seen::Complete { receipt: *receipt },
        Command::Subscribe(subscribe) => Seen::Subscribe { receipt: subscribe.receipt },
        Command::Unsubscribe(unsubscribe) => Seen::Unsubscribe { receipt: unsubscribe.receipt },
        Command::Settle(settle) => Seen::Settle(*settle),
        // When a session is open is what counts, and a client of MQTT reads no single value and sets no conditions.
        Command::Open(_) | Command::Authenticate(_) | Command::Read(_) | Command::PublishIf(_) => {
            return None;
        }
    })
}
