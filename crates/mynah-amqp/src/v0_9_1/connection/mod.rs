//! The server's half of a connection.
//!
//! ```text
//!                header: start         start-ok               Opened(Ok): tune        tune-ok            open: open-ok
//! AwaitingHeader ----------> AwaitingStartOk ---> Authenticating ------> AwaitingTuneOk ---> AwaitingOpen -----------> Open
//!                                   Challenge: secure | ^ secure-ok                                                     |
//!                                                     v |                                     connection.close, end     |
//!                                              AwaitingSecureOk                 Closing <-------------------------------+
//!                                                                                  ^  close-ok, timeout                  | hard error
//!                                                                                  +--------------- AwaitingCloseOk <----+
//! ```
//!
//! Where virtual hosts may be tenants, the broker says who the client is only once that has named one: then it is
//! `Authenticating` between `AwaitingOpen` and `Open`.
//!
//! Invariants: nothing is written after the state is `Closing`; in `AwaitingCloseOk` whatever comes is passed over but close
//! and close-ok; a frame is decoded once; while a request waits for the broker nothing more is read, so that what a peer
//! sends in a row happens in a row.

mod channel;
mod consumers;
mod consuming;
mod copies;
mod declaring;
mod delivering;
mod describing;
mod ending;
mod established;
mod jobs;
mod opening;
mod prepared;
mod publishing;
mod settling;
mod transacting;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use mynah_model::{Description, Instant, Layout, Reason, WallTime};
use mynah_stack::{Close, Connection, Delivery, Open, Outbound, Outcome, SettleLeases, Step};

use super::flow::{Due, Heartbeats};
use super::wire::{FRAME_OVERHEAD, HEARTBEAT, Method};
use super::{Config, Exception, mapping};
use channel::Channel;
use consumers::Consumers;
use jobs::Job;
use prepared::Todo;
use publishing::Receipts;

/// Memory that a connection keeps for what it writes.
const SCRATCH_BYTES_KEPT: usize = 512;

/// A connection from a client.
#[derive(Debug)]
pub struct ServerConnection {
    config: Arc<Config>,
    state: State,
    /// When the peer was accepted.
    accepted_at: Instant,
    beats: Heartbeats,
    /// How many bytes of an incomplete frame have been seen: more of them are a sign of life too.
    partial_bytes: usize,
    terms: Terms,
    user: Box<str>,
    /// What the client has said of itself: a field table. Empty if that was much.
    properties: Box<[u8]>,
    /// The virtual host that is open, or is to be.
    virtual_host: Box<str>,
    /// What the client says of who it is, kept until it names its virtual host.
    login: Option<Box<Open>>,
    /// The time of day when the clock was at its origin.
    epoch_of_time: WallTime,
    channels: BTreeMap<u16, Box<Channel>>,
    /// Distinguishes channels that have had one number.
    epoch: u32,
    receipts: Receipts,
    /// Bytes of the contents that are under way on all channels.
    contents_bytes: u64,
    /// Channels that have publications to confirm.
    unconfirmed: Vec<u16>,
    consumers: Consumers,
    /// Consumers that the server has named.
    tags: u64,
    /// What waits for the broker; nothing more is read meanwhile.
    job: Option<Box<Job>>,
    /// Commands that are given before another frame is read.
    todo: VecDeque<Todo>,
    /// Memory for what is settled at once.
    rows: Vec<SettleLeases>,
    is_blocked: bool,
    /// Methods on their way to the outbound bytes.
    scratch: Vec<u8>,
    failure: Option<Box<Exception>>,
}

/// What both ends agreed on.
#[derive(Clone, Copy, Debug)]
struct Terms {
    frame_bytes_max: usize,
    channel_max: u16,
    capabilities: Capabilities,
}

/// What a client says that it understands.
#[derive(Clone, Copy, Debug, Default)]
struct Capabilities {
    authentication_failure_close: bool,
    connection_blocked: bool,
    consumer_cancel_notify: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitingHeader,
    AwaitingStartOk,
    /// The broker has to say who the client is.
    Authenticating,
    AwaitingSecureOk,
    AwaitingTuneOk,
    AwaitingOpen,
    Open,
    AwaitingCloseOk {
        since: Instant,
        reason: Reason,
    },
    Closing(Reason),
}

impl ServerConnection {
    /// A connection that was accepted at `now`; `epoch` is the time of day when the clock was at its origin.
    #[must_use]
    pub fn new(config: Arc<Config>, epoch: WallTime, now: Instant) -> Self {
        let settings = config.settings();
        let terms = Terms {
            frame_bytes_max: settings.open_frame_bytes_max as usize,
            channel_max: settings.channel_max.get(),
            capabilities: Capabilities::default(),
        };
        Self {
            receipts: Receipts::new(settings.publications_max.get()),
            config,
            state: State::AwaitingHeader,
            accepted_at: now,
            beats: Heartbeats::new(0, now),
            partial_bytes: 0,
            terms,
            user: Box::default(),
            properties: Box::default(),
            virtual_host: Box::default(),
            login: None,
            epoch_of_time: epoch,
            channels: BTreeMap::new(),
            epoch: 0,
            contents_bytes: 0,
            unconfirmed: Vec::new(),
            consumers: Consumers::default(),
            tags: 0,
            job: None,
            todo: VecDeque::new(),
            rows: Vec::new(),
            is_blocked: false,
            scratch: Vec::new(),
            failure: None,
        }
    }

    /// What was answered by the last close of a channel or of the connection, if there was one.
    #[must_use]
    pub fn failure(&self) -> Option<&Exception> {
        self.failure.as_deref()
    }

    /// Whether the answers that a frame may want can be waited for.
    fn takes_frames(&self) -> bool {
        self.job.is_none() && !self.receipts.is_full()
    }

    /// Writes a method.
    fn send<'m>(&mut self, channel: u16, method: impl Into<Method<'m>>, out: &mut Outbound) {
        self.scratch.clear();
        method.into().encode(channel, &mut self.scratch);
        self.flush(out);
    }

    /// Writes what was put together, and gives much memory back.
    fn flush(&mut self, out: &mut Outbound) {
        out.append(&self.scratch);
        self.scratch.clear();
        self.scratch.shrink_to(SCRATCH_BYTES_KEPT);
    }

    /// Notes what is left of the input: more of it than before is a sign of life.
    fn note_partial(&mut self, now: Instant, len: usize) {
        if len > self.partial_bytes {
            self.beats.note_heard(now);
        }
        self.partial_bytes = len;
    }

    fn step_in_state<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        loop {
            if let State::Closing(reason) = self.state {
                let publish_will = reason != Reason::Disconnected;
                return Step::Close(Close::new(reason, publish_will));
            }
            let before = (self.state, input.len());
            let command = match self.state {
                State::Open => self.step_open(now, input, out),
                State::AwaitingCloseOk { .. } => {
                    self.step_closing(input, out);
                    None
                }
                _ => self.step_opening(now, input, out),
            };
            if let Some(command) = command {
                return Step::Command(command);
            }
            if (self.state, input.len()) == before {
                return Step::Idle;
            }
        }
    }
}

impl Connection for ServerConnection {
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        let (waiting, partial) = (out.len(), input.len());
        let step = self.step_in_state(now, input, out);
        if input.len() < partial {
            self.beats.note_heard(now);
            self.partial_bytes = 0;
        }
        self.note_partial(now, input.len());
        if out.len() > waiting {
            self.beats.note_sent(now);
        }
        step
    }

    fn deliver(&mut self, now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        match delivery {
            Delivery::Leased(lease) if self.state == State::Open => self.deliver_leased(now, lease, out),
            // Sessions of this protocol have no subscriptions.
            _ => true,
        }
    }

    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        self.beats.note_heard(now);
        match (self.state, outcome) {
            (State::Closing(_) | State::AwaitingCloseOk { .. }, _) => {}
            (_, Outcome::Ended(reason)) => self.end(now, reason, out),
            (State::Authenticating, Outcome::Opened(result)) => self.handle_opened(now, result, out),
            (State::Authenticating, Outcome::Challenge(challenge)) => self.challenge(challenge, out),
            (State::Open, outcome) => self.handle_open_outcome(now, outcome, out),
            // Nothing else was asked for.
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Open => match self.beats.due(now) {
                Due::Heartbeat => {
                    out.append(&HEARTBEAT);
                    self.beats.note_sent(now);
                }
                Due::Silence => self.state = State::Closing(Reason::KeepAliveTimeout),
                Due::Nothing => {}
            },
            State::AwaitingCloseOk { reason, .. } => self.state = State::Closing(reason),
            State::Closing(_) => {}
            _ => self.state = State::Closing(Reason::OpeningTimeout),
        }
    }

    fn handle_shutdown(&mut self, now: Instant, out: &mut Outbound) {
        if !matches!(self.state, State::Closing(_) | State::AwaitingCloseOk { .. }) {
            self.end(now, Reason::ShuttingDown, out);
        }
    }

    fn awaits_room(&self) -> bool {
        self.is_blocked
    }

    fn handle_room(&mut self, _: Instant, out: &mut Outbound) {
        self.unblock(out);
    }

    fn deadline(&self) -> Option<Instant> {
        let settings = self.config.settings();
        match self.state {
            State::Open => self.beats.deadline(),
            State::AwaitingCloseOk { since, .. } => Some(since + settings.close_timeout),
            State::Closing(_) => None,
            _ => Some(self.accepted_at + settings.connect_timeout),
        }
    }

    fn layout(&self) -> Layout {
        mapping::LAYOUT
    }

    fn describe(&self) -> Description {
        self.description()
    }

    fn input_bytes_max(&self) -> usize {
        self.terms.frame_bytes_max + FRAME_OVERHEAD
    }

    fn wants_input(&self) -> bool {
        self.state != State::Open || self.takes_frames()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand idle connections with a channel each are to cost little.
    #[test]
    fn a_connection_with_a_channel_is_small() {
        let size = size_of::<ServerConnection>() + size_of::<Channel>() + SCRATCH_BYTES_KEPT;
        assert!(size <= 1_280, "{size}");
    }
}
