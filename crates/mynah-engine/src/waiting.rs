//! Answers and exactly-once deliveries of a connection that wait for the store, in their order.

use std::collections::VecDeque;

use mynah_core::SessionRef;
use mynah_model::{Class, DeliveryId, Expiry, Instant, Reason};
use mynah_stack::{Opened, Outcome, SubscribeResult};

use crate::connections::{Connection, ConnectionId, Resume};
use crate::engine::Engine;
use crate::inbox::{Ask, Parcel};
use crate::journal::{After, Mark, Then};
use crate::named::Reply;

/// Answers that may wait on one connection before nothing more is read from its peer.
const ANSWERS_MAX: usize = 4_096;

/// What waits for the store on one connection.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    answers: VecDeque<(After, Held)>,
    /// Deliveries with the marks that they wait for.
    deliveries: VecDeque<(u64, DeliveryId)>,
    /// The peer has not heard yet that its session is open.
    pub(crate) opening: bool,
}

/// An answer that waits.
#[derive(Debug)]
pub(crate) enum Held {
    Opened { present: bool, expiry: Expiry, assigned: Option<Box<[u8]>>, last_word: Option<Box<[u8]>> },
    Published { receipt: u16, class: Class, result: Result<bool, Reason> },
    Completed { receipt: u16, known: bool },
    Subscribed { receipt: u16, results: Vec<SubscribeResult> },
    Unsubscribed { receipt: u16, results: Vec<bool> },
    Received { id: DeliveryId, known: bool },
    Queue(Box<Reply>),
}

impl Held {
    /// The outcome as something that can wait; none of one that does not.
    fn new(outcome: &Outcome<'_>) -> Option<Self> {
        Some(match *outcome {
            Outcome::Opened(Ok(opened)) => Self::Opened {
                present: opened.session_present,
                expiry: opened.expiry,
                assigned: opened.assigned_client_id.map(Box::from),
                last_word: opened.authentication.map(Box::from),
            },
            Outcome::Published { receipt, class, result } => Self::Published { receipt, class, result },
            Outcome::Completed { receipt, known } => Self::Completed { receipt, known },
            Outcome::Subscribed { receipt, results } => {
                Self::Subscribed { receipt, results: results.to_vec() }
            }
            Outcome::Unsubscribed { receipt, results } => {
                Self::Unsubscribed { receipt, results: results.to_vec() }
            }
            Outcome::Received { id, known } => Self::Received { id, known },
            Outcome::Opened(Err(_))
            | Outcome::Challenge(_)
            | Outcome::Authenticated(_)
            | Outcome::Value(_)
            | Outcome::Queue(_)
            | Outcome::Ended(_) => return None,
        })
    }

    fn outcome(&self) -> Outcome<'_> {
        match *self {
            Self::Opened { present, expiry, ref assigned, ref last_word } => Outcome::Opened(Ok(Opened {
                assigned_client_id: assigned.as_deref(),
                authentication: last_word.as_deref(),
                ..Opened::new(present, expiry)
            })),
            Self::Published { receipt, class, result } => Outcome::Published { receipt, class, result },
            Self::Completed { receipt, known } => Outcome::Completed { receipt, known },
            Self::Subscribed { receipt, ref results } => Outcome::Subscribed { receipt, results },
            Self::Unsubscribed { receipt, ref results } => Outcome::Unsubscribed { receipt, results },
            Self::Received { id, known } => Outcome::Received { id, known },
            Self::Queue(ref reply) => reply.outcome(),
        }
    }
}

impl Waiting {
    /// Whether so much waits that nothing more is to be read from the peer.
    pub(crate) fn is_full(&self) -> bool {
        self.opening || self.answers.len() >= ANSWERS_MAX
    }

    pub(crate) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    pub(crate) fn push_delivery(&mut self, mark: u64, id: DeliveryId) {
        self.deliveries.push_back((mark, id));
    }

    pub(crate) fn first_delivery(&self) -> Option<(u64, DeliveryId)> {
        self.deliveries.front().copied()
    }

    pub(crate) fn drop_delivery(&mut self) {
        self.deliveries.pop_front();
    }
}

impl Engine {
    /// Hears that the changes up to `mark` are stored: what waited for them goes out.
    pub fn handle_stored(&mut self, now: Instant, mark: Mark) {
        self.lane.journal.note_stored(mark);
        self.release_waiters(now);
    }

    /// Hears whether there is room to store more. While there is none, publications that would have to be stored are
    /// refused. Peers that were told so hear when there is again.
    pub fn set_full(&mut self, now: Instant, full: bool) {
        let was_full = core::mem::replace(&mut self.lane.journal.full, full);
        if !was_full || full {
            return;
        }
        for id in self.lane.connections.ids() {
            let waits =
                |connection: &&mut Connection| connection.stack.awaits_room() && !connection.is_closing();
            if self.lane.connections.get_mut(id).filter(waits).is_none() {
                continue;
            }
            self.lane.lend(id.slot);
            if let Some(connection) = self.lane.connections.get_mut(id) {
                connection.stack.handle_room(now, &mut connection.outbound);
            }
            self.lane.mark_answered(id.slot);
        }
    }

    /// Whether there is no room to store more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.lane.journal.full
    }

    /// Another worker has stored what it was asked for.
    pub(crate) fn handle_remote_stored(&mut self, now: Instant, token: u64) {
        let Some(then) = self.lane.journal.answered(token) else { return };
        match then {
            Then::Nothing => {}
            Then::Gone { queue, sequence } => self.note_dead(Some((queue, sequence))),
            Then::Done { session, deed, parts } => self.done(session, &deed, parts),
        }
        self.release_waiters(now);
    }

    /// Tells another worker that what was noted for it is stored, as soon as it is.
    pub(crate) fn answer(&mut self, ask: &Ask) {
        let parcel = self.lane.journal.postpone(ask.from, Parcel::Stored { token: ask.token });
        self.outboxes[usize::from(ask.from.0)].extend(parcel);
    }

    /// The answer to an exactly-once publication, which may be a repetition on another connection, waits for what is noted
    /// now.
    pub(crate) fn postpone(&mut self, session: SessionRef, publication: u16) {
        let Some(slot) = self.lane.sessions.get(session).and_then(|session| session.connection) else {
            return;
        };
        let Some(connection) = self.lane.connections.at(slot) else { return };
        let id = ConnectionId { slot, generation: connection.generation };
        let Some(waiting) = &mut connection.waiting else { return };
        let is_it = |held: &Held| {
            matches!(held, Held::Published { receipt, class, .. }
                if *receipt == publication && *class == Class::ExactlyOnce)
        };
        let mark = self.lane.journal.mark();
        if let Some((after, _)) = waiting.answers.iter_mut().find(|(_, held)| is_it(held)) {
            after.mark = mark;
            self.lane.journal.await_after(After { mark, token: 0 }, id);
        }
    }

    /// Goes on with everybody who waited for what is stored now.
    fn release_waiters(&mut self, now: Instant) {
        while let Some((to, parcel)) = self.lane.journal.next_late() {
            self.outboxes[usize::from(to.0)].push(parcel);
        }
        self.tell_orders();
        while let Some(id) = self.lane.journal.next_waiter() {
            self.release(now, id);
        }
    }

    /// Gives a connection the answers that need not wait any more.
    fn release(&mut self, now: Instant, id: ConnectionId) {
        let mut released = false;
        while let Some(connection) = self.lane.connections.get_mut(id).filter(|c| !c.is_closing()) {
            let Some(waiting) = &mut connection.waiting else { break };
            let journal = &self.lane.journal;
            let Some((_, held)) = waiting.answers.pop_front_if(|(after, _)| journal.is_past(*after)) else {
                break;
            };
            released = true;
            let opens = matches!(held, Held::Opened { .. });
            waiting.opening &= !opens;
            self.lane.tell(now, id, held.outcome());
            if opens {
                self.begin_deliveries(id);
            }
        }
        // The stack may have something to say of it, or more input that it can look at now.
        if released {
            self.resume_input(now, id);
        }
        self.lane.mark_pumping(id.slot);
    }

    /// The peer knows that its session is open.
    fn begin_deliveries(&mut self, id: ConnectionId) {
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.layout = connection.stack.layout();
            connection.resume = Some(Resume { after: None });
        }
    }

    /// Tells a connection what became of a command: when what the command has changed is stored, and after every
    /// answer that waits for that.
    #[inline]
    pub(crate) fn tell(&mut self, now: Instant, id: ConnectionId, outcome: Outcome<'_>) {
        if self.lane.journal.waits() {
            return self.tell_or_hold(now, id, outcome);
        }
        self.lane.tell(now, id, outcome);
    }

    #[inline(never)]
    fn tell_or_hold(&mut self, now: Instant, id: ConnectionId, outcome: Outcome<'_>) {
        if self.lane.waits(id)
            && let Some(after) = self.after(id)
            && let Some(held) = Held::new(&outcome)
        {
            return self.hold(id, after, held);
        }
        self.lane.tell(now, id, outcome);
    }

    /// What an answer has to wait for.
    pub(crate) fn after(&mut self, id: ConnectionId) -> Option<After> {
        let in_order = |lane: &mut crate::lane::Lane| {
            let waiting = lane.connections.get_mut(id)?.waiting.as_ref()?;
            waiting.has_answers().then(After::default)
        };
        self.lane.journal.after().or_else(|| in_order(&mut self.lane))
    }

    pub(crate) fn hold(&mut self, id: ConnectionId, after: After, held: Held) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let waiting = connection.waiting.get_or_insert_default();
        waiting.opening |= matches!(held, Held::Opened { .. });
        waiting.answers.push_back((after, held));
        self.lane.journal.await_after(after, id);
    }
}
