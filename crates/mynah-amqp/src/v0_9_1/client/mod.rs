//! The client's half of a connection.
//!
//! A program owns the transport and the clock. It calls [`Client::connect`] when the transport is there, writes what
//! [`Client::outbound`] holds, hands what it reads to [`Client::handle_input`], takes events from [`Client::poll_event`]
//! and calls [`Client::handle_timeout`] when [`Client::deadline`] has come:
//!
//! ```
//! use mynah_amqp::v0_9_1::client::{Client, Login, Options};
//! use mynah_model::Instant;
//!
//! let now = Instant::ZERO;
//! let login = Login::Plain { user: "guest".into(), password: b"guest"[..].into() };
//! let mut client = Client::new(Options::new(login));
//! client.connect(now);
//! assert_eq!(client.outbound().drain(), b"AMQP\0\0\x09\x01"); // to be written to the transport
//! assert!(client.poll_event().is_none()); // until the server has answered
//! ```
//!
//! Any method can be asked for by [`Client::send`]; what the protocol answers by itself is answered: close, flow,
//! cancel, heartbeats.

mod event;
mod input;
mod options;
mod request;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use mynah_model::Instant;
use mynah_stack::Outbound;

pub use event::{Ending, Event, OwnedMethod};
pub use options::{Login, Misuse, Options};

use super::flow::{Assembly, Due, Heartbeats, Unacknowledged};
use super::wire::{HEARTBEAT, Method, PROTOCOL_HEADER};

/// Memory that a client keeps for what it writes.
const SCRATCH_BYTES_KEPT: usize = 16 << 10;

/// A client.
#[derive(Debug)]
pub struct Client {
    options: Options,
    state: State,
    out: Outbound,
    scratch: Vec<u8>,
    events: VecDeque<Event>,
    channels: BTreeMap<u16, Channel>,
    beats: Heartbeats,
    frame_bytes_max: usize,
    channel_max: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// Something is awaited since then.
    AwaitingStart(Instant),
    AwaitingTune(Instant),
    AwaitingOpenOk(Instant),
    Open,
    AwaitingCloseOk(Instant),
}

/// What a client keeps of a channel.
#[derive(Debug, Default)]
struct Channel {
    state: ChannelState,
    assembly: Assembly<OwnedMethod>,
    /// Present once confirm.select was sent: what the server has not confirmed.
    publications: Option<Unacknowledged<u64>>,
    /// The server does not want contents for now.
    is_stopped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChannelState {
    #[default]
    Opening,
    Open,
    Closing,
}

impl Client {
    /// A client that is not connected.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            frame_bytes_max: options.frame_bytes_max as usize,
            channel_max: options.channel_max,
            options,
            state: State::Closed,
            out: Outbound::new(),
            scratch: Vec::new(),
            events: VecDeque::new(),
            channels: BTreeMap::new(),
            beats: Heartbeats::new(0, Instant::ZERO),
        }
    }

    /// Begins a connection on a new transport. What an earlier connection left is forgotten.
    pub fn connect(&mut self, now: Instant) {
        self.out = Outbound::new();
        self.channels.clear();
        self.frame_bytes_max = self.options.frame_bytes_max as usize;
        self.channel_max = self.options.channel_max;
        self.beats = Heartbeats::new(0, now);
        self.out.append(&PROTOCOL_HEADER);
        self.state = State::AwaitingStart(now);
    }

    /// Hears that the transport is closed.
    pub fn handle_end(&mut self) {
        self.end(Ending::Lost);
    }

    /// Hears that the instant of [`Client::deadline`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.state != State::Open {
            return self.end(Ending::TimedOut);
        }
        match self.beats.due(now) {
            Due::Heartbeat => {
                self.out.append(&HEARTBEAT);
                self.beats.note_sent(now);
            }
            Due::Silence => self.end(Ending::TimedOut),
            Due::Nothing => {}
        }
    }

    /// When the client wants [`Client::handle_timeout`] if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Open => self.beats.deadline(),
            State::AwaitingStart(since)
            | State::AwaitingTune(since)
            | State::AwaitingOpenOk(since)
            | State::AwaitingCloseOk(since) => Some(since + self.options.response_timeout),
        }
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes for the transport.
    pub const fn outbound(&mut self) -> &mut Outbound {
        &mut self.out
    }

    /// Whether methods may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Bytes of the largest frame that either end sends.
    #[must_use]
    pub const fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max
    }

    fn write<'m>(&mut self, now: Instant, channel: u16, method: impl Into<Method<'m>>) {
        self.scratch.clear();
        method.into().encode(channel, &mut self.scratch);
        self.flush(now);
    }

    /// Writes what was put together, and gives much memory back.
    fn flush(&mut self, now: Instant) {
        self.out.append(&self.scratch);
        self.scratch.clear();
        self.scratch.shrink_to(SCRATCH_BYTES_KEPT);
        self.beats.note_sent(now);
    }

    /// The connection is over.
    fn end(&mut self, ending: Ending) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.channels.clear();
            self.events.push_back(Event::Closed(ending));
        }
    }
}
