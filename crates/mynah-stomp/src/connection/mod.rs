//! The server's half of a connection.
//!
//! ```text
//!                  CONNECT              Opened(Ok): CONNECTED
//! AwaitingConnect ----------> Opening ------------------------> Open ------------> Leaving
//!        |                       |                               | DISCONNECT         | all is answered: RECEIPT
//!        +-----------------------+--------> Closing <------------+--------------------+
//!                                     error, refusal, timeout, Ended, shutdown: ERROR
//! ```
//!
//! Invariants: nothing is written after ERROR; a frame stays in the input until all that it needs is there; while a
//! [`Job`] waits for the broker, and while as many frames as are allowed wait for their answers, no frame is read.

mod acknowledging;
mod answers;
mod delivering;
mod established;
mod leaving;
mod opening;
mod prepared;
mod subscribing;
mod subscriptions;
mod transacting;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use mynah_model::{Instant, Layout, Reason, WallTime};
use mynah_stack::{Close, Connection, Delivery, Outbound, Outcome, Step};

use crate::flow::{HeartBeats, Transactions};
use crate::framing::Framing;
use crate::mapping::Temporary;
use crate::wire::HeartBeat;
use crate::{Config, Error, Version, mapping};
use answers::Answers;
use prepared::Todo;
use subscribing::Job;
use subscriptions::Subscriptions;

/// A connection from a client.
#[derive(Debug)]
pub struct ServerConnection {
    config: Arc<Config>,
    /// The time of day when the clock was at its origin.
    epoch: WallTime,
    framing: Framing,
    state: State,
    version: Version,
    /// When the peer was accepted, and at the end when it took leave.
    since: Instant,
    /// Octets of the input that have been seen: more of them are a sign of life.
    seen: usize,
    beats: HeartBeats,
    /// What the client said of heart-beats.
    theirs: HeartBeat,
    /// What there is once something was asked for.
    session: Box<Session>,
    failure: Option<Error>,
}

/// What a client has asked for.
#[derive(Debug, Default)]
struct Session {
    client_id: Option<Box<str>>,
    subscriptions: Subscriptions,
    transactions: Transactions,
    /// Temporary queues and topics: the client's names, and the broker's queue for each.
    temporary: Vec<(Temporary, Box<[u8]>)>,
    /// Queues that have been made, if they were not there, when they were named first.
    made: BTreeSet<Box<[u8]>>,
    job: Option<Job>,
    /// Commands that are to be given before another frame is read.
    todo: VecDeque<Todo>,
    answers: Answers,
    /// Memory for what is composed.
    scratch: Vec<u8>,
    /// The `receipt` of the DISCONNECT that is answered last.
    farewell: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitingConnect,
    Opening,
    Open,
    /// The client has taken leave, and hears of what it asked for before.
    Leaving,
    Closing(Reason),
}

impl ServerConnection {
    /// A connection that was accepted at `now`; `epoch` is the time of day when the clock was at its origin.
    #[must_use]
    pub fn new(config: Arc<Config>, epoch: WallTime, now: Instant) -> Self {
        Self {
            config,
            epoch,
            framing: Framing::default(),
            state: State::AwaitingConnect,
            version: Version::default(),
            since: now,
            seen: 0,
            beats: HeartBeats::default(),
            theirs: HeartBeat::default(),
            session: Box::default(),
            failure: None,
        }
    }

    /// What the peer did wrong, if that is why the connection closes.
    #[must_use]
    pub const fn failure(&self) -> Option<Error> {
        self.failure
    }

    /// Whether the answers that a frame may want can be waited for.
    fn takes_frames(&self) -> bool {
        let is_full = self.session.answers.under_way() >= usize::from(self.config.settings().unanswered_max);
        self.session.job.is_none() && !is_full
    }

    fn work<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        match self.state {
            State::AwaitingConnect => self.step_connect(input, out),
            State::Opening => Step::Idle,
            State::Open => self.step_open(now, input, out),
            State::Leaving => self.step_leaving(input, out),
            State::Closing(reason) => {
                *input = &[];
                Step::Close(Close::new(reason, false))
            }
        }
    }
}

impl Connection for ServerConnection {
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        if input.len() > self.seen {
            self.beats.heard(now);
        }
        let written = out.len();
        let step = self.work(now, input, out);
        self.seen = input.len();
        self.note_sent(now, written, out);
        step
    }

    fn deliver(&mut self, now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        if !matches!(self.state, State::Open | State::Leaving) {
            return true;
        }
        self.beats.sent(now);
        self.deliver_open(delivery, out)
    }

    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        let written = out.len();
        match (self.state, outcome) {
            (State::Closing(_), _) => {}
            (_, Outcome::Ended(reason)) => self.refuse(reason, "", None, out),
            (State::Opening, Outcome::Opened(result)) => self.handle_opened(now, result, out),
            (State::Opening, Outcome::Challenge(_)) => {
                self.refuse(Reason::BadAuthenticationMethod, "", None, out);
            }
            (State::Open | State::Leaving, outcome) => self.handle_open_outcome(outcome, out),
            // Nothing else was asked for.
            (State::AwaitingConnect | State::Opening, _) => {}
        }
        self.note_sent(now, written, out);
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        match self.state {
            State::AwaitingConnect | State::Opening => {
                if self.since + self.config.settings().connect_timeout <= now {
                    self.refuse(Reason::OpeningTimeout, "", None, out);
                }
            }
            State::Open if self.beats.is_dead(now) => {
                self.refuse(Reason::KeepAliveTimeout, "", None, out);
            }
            State::Open if self.beats.is_due(now) => {
                // A client that does not read what is there learns nothing from more of it.
                if out.is_empty() {
                    out.append(b"\n");
                }
                self.beats.sent(now);
            }
            State::Leaving if self.since + self.config.settings().connect_timeout <= now => {
                self.state = State::Closing(Reason::Disconnected);
            }
            State::Open | State::Leaving | State::Closing(_) => {}
        }
    }

    fn handle_shutdown(&mut self, _now: Instant, out: &mut Outbound) {
        self.refuse(Reason::ShuttingDown, "", None, out);
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::AwaitingConnect | State::Opening | State::Leaving => {
                Some(self.since + self.config.settings().connect_timeout)
            }
            State::Open => self.beats.deadline(),
            State::Closing(_) => None,
        }
    }

    fn layout(&self) -> Layout {
        mapping::layout(self.version)
    }

    fn input_bytes_max(&self) -> usize {
        let is_open = matches!(self.state, State::Open | State::Leaving);
        self.config.limits(is_open).frame_octets_max
    }

    fn wants_input(&self) -> bool {
        self.state != State::Open || self.takes_frames()
    }
}

impl ServerConnection {
    fn note_sent(&mut self, now: Instant, written: usize, out: &Outbound) {
        if out.len() > written {
            self.beats.sent(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand idle connections are to cost little.
    #[test]
    fn a_connection_is_small() {
        let (own, session) = (size_of::<ServerConnection>(), size_of::<Session>());
        assert!(own <= 256 && session <= 512, "{own} {session}");
    }
}
