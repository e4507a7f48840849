//! The client's half of a connection, for programs without a broker.
//!
//! A program owns the transport and the clock. It calls [`Client::connect`] when the transport is there, writes what
//! [`Client::outbound`] holds, hands what it reads to [`Client::handle_input`], takes events from [`Client::poll_event`] and
//! calls [`Client::handle_timeout`] when [`Client::deadline`] has come:
//!
//! ```
//! use mynah_model::Instant;
//! use mynah_stomp::client::{Client, Event, Options};
//!
//! let now = Instant::ZERO;
//! let mut client = Client::new(Options::new("example.org"))?;
//! client.connect(now);
//! assert!(client.outbound().drain().starts_with(b"CONNECT\naccept-version:1.0,1.1,1.2\n"));
//!
//! client.handle_input(now, &mut &b"CONNECTED\nversion:1.2\n\n\0"[..]);
//! assert!(matches!(client.poll_event(), Some(Event::Connected { .. })));
//! let receipt = client.send(now, "/queue/jobs", [("persistent", "true")], b"work", true)?;
//! client.handle_input(now, &mut &b"RECEIPT\nreceipt-id:1\n\n\0"[..]);
//! assert!(matches!(client.poll_event(), Some(Event::Receipt { number }) if Some(number) == receipt));
//! # Ok::<(), mynah_stomp::client::Misuse>(())
//! ```

mod event;
mod options;
mod request;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use mynah_model::Instant;
use mynah_stack::Outbound;

pub use event::{Delivered, Ending, Event};
pub use options::{Misuse, Options};

use crate::flow::HeartBeats;
use crate::framing::Framing;
use crate::wire::{Command, Connected, ErrorFrame, Frame, Receipt};
use crate::{Error, Version, Violation};

/// A client.
#[derive(Debug)]
pub struct Client {
    options: Options,
    state: State,
    framing: Framing,
    version: Version,
    beats: HeartBeats,
    out: Outbound,
    events: VecDeque<Event>,
    /// The number of the last receipt that was asked for.
    receipt: u64,
    /// Octets of a frame that is not whole.
    seen: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    AwaitingConnected {
        since: Instant,
    },
    Open,
    /// The client has taken leave, and waits for the receipt.
    Leaving {
        since: Instant,
        receipt: u64,
    },
}

impl Client {
    /// A client that is not connected.
    ///
    /// # Errors
    /// The options make no CONNECT.
    pub fn new(options: Options) -> Result<Self, Misuse> {
        if !options.to_connect().encode(&mut Vec::new()) {
            return Err(Misuse::Unspeakable);
        }
        Ok(Self {
            options,
            state: State::Closed,
            framing: Framing::default(),
            version: Version::default(),
            beats: HeartBeats::default(),
            out: Outbound::new(),
            events: VecDeque::new(),
            receipt: 0,
            seen: 0,
        })
    }

    /// Begins a connection on a new transport.
    pub fn connect(&mut self, now: Instant) {
        let mut frame = Vec::new();
        // The options were checked when the client was made.
        let _ = self.options.to_connect().encode(&mut frame);
        self.out = Outbound::new();
        self.out.append(&frame);
        (self.framing, self.seen) = (Framing::default(), 0);
        self.version = Version::default();
        self.beats = HeartBeats::default();
        self.state = State::AwaitingConnected { since: now };
    }

    /// Reads from `input`, advancing it past what was consumed; the rest is to be presented again with what follows.
    pub fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        if input.len() > self.seen {
            self.beats.heard(now);
        }
        while self.state != State::Closed && self.framing.skip_ends(input) {
            match self.framing.next(input, self.version, &self.options.limits) {
                Ok(None) => break,
                Ok(Some((frame, octets))) => {
                    if let Err(error) = self.receive(now, frame) {
                        self.close(Ending::Failed(error));
                    }
                    self.framing.consume(input, octets);
                }
                Err(error) => self.close(Ending::Failed(error)),
            }
        }
        self.seen = input.len();
    }

    fn receive(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), Error> {
        match (self.state, frame.command) {
            (State::AwaitingConnected { .. }, Command::Connected) => {
                let connected = Connected::decode(frame)?;
                self.version = connected.version;
                self.beats = HeartBeats::new(now, self.options.heart_beat, connected.heart_beat);
                self.state = State::Open;
                let text =
                    |text: Option<alloc::borrow::Cow<'_, str>>| text.map(|text| text.into_owned().into());
                self.events.push_back(Event::Connected {
                    version: connected.version,
                    session: text(connected.session),
                    server: text(connected.server),
                });
            }
            (_, Command::Error) => {
                let error = ErrorFrame::decode(frame);
                self.close(Ending::Refused(event::Refusal::from(error)));
            }
            (State::Open | State::Leaving { .. }, Command::Message) => {
                self.events.push_back(Event::Message(Delivered::decode(frame, self.version)?));
            }
            (State::Open | State::Leaving { .. }, Command::Receipt) => {
                let receipt = Receipt::decode(frame)?;
                let number = receipt.receipt_id.parse().map_err(|_| Violation::HeaderValue("receipt-id"))?;
                if matches!(self.state, State::Leaving { receipt, .. } if receipt == number) {
                    self.close(Ending::Disconnected);
                } else {
                    self.events.push_back(Event::Receipt { number });
                }
            }
            _ => return Err(Violation::UnexpectedFrame.into()),
        }
        Ok(())
    }

    /// Hears that the transport is closed.
    pub fn handle_end(&mut self) {
        self.close(Ending::Lost);
    }

    /// Hears that the instant of [`Client::deadline`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Open if !self.beats.is_dead(now) => {
                self.out.append(b"\n");
                self.beats.sent(now);
            }
            State::Closed => {}
            State::Open | State::AwaitingConnected { .. } | State::Leaving { .. } => {
                self.close(Ending::TimedOut);
            }
        }
    }

    /// When the client wants [`Client::handle_timeout`] if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::AwaitingConnected { since } | State::Leaving { since, .. } => {
                Some(since + self.options.response_timeout)
            }
            State::Open => self.beats.deadline(),
        }
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Octets for the transport.
    pub fn outbound(&mut self) -> &mut Outbound {
        &mut self.out
    }

    /// Whether the server has let the client in, and the client has not taken leave.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether there is no connection: the transport, if any, is to be closed once the outbound octets are written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The version that is spoken, once the connection is open.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    fn close(&mut self, ending: Ending) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.events.push_back(Event::Closed(ending));
        }
    }
}
