//! The witness: a decorator around the protocol that notes what the engine is asked to do, in the order in which it
//! does it.
//!
//! It tells the model *when*; *what* is to happen the model knows from the clients alone.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mynah_model::{Class, Instant, Reason};
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::mapping::LAYOUT_V5;
use mynah_mqtt::wire::properties::{Property, PropertyId};
use mynah_mqtt::wire::{PacketType, Publish};
use mynah_mqtt::{TextRule, Version};
use mynah_stack::{Close, Command, Connection, Delivery, Outbound, Outcome, Protocol, Settle, Step};

use crate::layer::{Layer, Layered};
use crate::model::label;
use crate::shape::share_of;

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
    /// A message is written to the connection.
    Written(Written),
}

/// A message as the client will see it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) class: Class,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) shared: Option<WrittenShared>,
}

/// What is looked at of the message of a group.
pub(crate) struct WrittenShared {
    pub(crate) id: u32,
    pub(crate) share: &'static str,
    pub(crate) payload: Vec<u8>,
    /// Seconds that the client is told.
    pub(crate) remaining: Option<u32>,
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
        let mut seen = std::mem::replace(&mut self.lock().seen, memory);
        put_causes_first(&mut seen);
        seen
    }

    fn note(&self, link: usize, seen: Seen) {
        self.lock().seen.push((link, seen));
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WrittenShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of {}", label(&self.payload), self.share)
    }
}

/// A protocol that is watched.
pub(crate) fn watched(inner: Arc<dyn Protocol>, record: Record) -> Arc<dyn Protocol> {
    Arc::new(Layered::new(inner, move || Watcher { link: record.lock().accepting, record: record.clone() }))
}

struct Watcher {
    link: usize,
    record: Record,
}

impl Layer for Watcher {
    fn step<'b>(
        &mut self,
        inner: &mut dyn Connection,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Step<'b> {
        let step = inner.step(now, input, out);
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

    fn deliver(
        &mut self,
        inner: &mut dyn Connection,
        now: Instant,
        delivery: Delivery<'_>,
        out: &mut Outbound,
    ) -> bool {
        let mut own = Outbound::new();
        let taken = inner.deliver(now, delivery, &mut own);
        let bytes = own.drain();
        out.append(&bytes);
        let version = if inner.layout() == LAYOUT_V5 { Version::V5 } else { Version::V3_1_1 };
        let mut rest = &bytes[..];
        while let Ok(Some(unit)) = next_unit(&mut rest, version, usize::MAX) {
            if unit.packet_type == PacketType::Publish {
                let publish = Publish::decode(unit.flags, unit.body, TextRule::AcceptDiscouraged, version);
                if let Ok(publish) = publish {
                    self.record.note(self.link, Seen::Written(written(&publish)));
                }
            }
        }
        taken
    }

    fn handle_outcome(
        &mut self,
        inner: &mut dyn Connection,
        now: Instant,
        outcome: Outcome<'_>,
        out: &mut Outbound,
    ) {
        let seen = match &outcome {
            Outcome::Opened(Ok(opened)) => Some(Seen::Opened { present: opened.session_present }),
            Outcome::Opened(Err(reason)) => Some(Seen::Refused(*reason)),
            Outcome::Ended(reason) => Some(Seen::Ended(*reason)),
            _ => None,
        };
        if let Some(seen) = seen {
            self.record.note(self.link, seen);
        }
        inner.handle_outcome(now, outcome, out);
    }
}

/// An engine takes a session away, and gives its messages to others, before it says so.
fn put_causes_first(seen: &mut [(usize, Seen)]) {
    for at in 0..seen.len() {
        if matches!(seen[at].1, Seen::Ended(_) | Seen::Opened { .. }) {
            let before = seen[..at].iter().rev().take_while(|(_, seen)| matches!(seen, Seen::Written(_)));
            let first = at - before.count();
            seen[first..=at].rotate_right(1);
        }
    }
}

fn written(publish: &Publish<'_>) -> Written {
    let remaining = match publish.section().find(PropertyId::MessageExpiryInterval) {
        Some(Property::MessageExpiryInterval(seconds)) => Some(seconds),
        _ => None,
    };
    let shared = publish.section().iter().find_map(|property| match property {
        Property::SubscriptionIdentifier(id) => {
            let (id, payload) = (id.get(), publish.payload.to_vec());
            share_of(id).map(|share| WrittenShared { id, share, payload, remaining })
        }
        _ => None,
    });
    Written { class: publish.class, dup: publish.dup, retain: publish.retain, shared }
}

fn seen_in(command: &Command<'_>) -> Option<Seen> {
    Some(match command {
        Command::Publish(publish) => Seen::Publish { class: publish.header.class, receipt: publish.receipt },
        Command::Complete { receipt } => Seen::Complete { receipt: *receipt },
        Command::Subscribe(subscribe) => Seen::Subscribe { receipt: subscribe.receipt },
        Command::Unsubscribe(unsubscribe) => Seen::Unsubscribe { receipt: unsubscribe.receipt },
        Command::Settle(settle) => Seen::Settle(*settle),
        // When a session is open is what counts, and a client of MQTT reads no single value, sets no conditions and has
        // no words for queues.
        Command::Open(_)
        | Command::Authenticate(_)
        | Command::Read(_)
        | Command::PublishIf(_)
        | Command::Queue(_)
        | Command::Prepared(_) => return None,
    })
}
