//! Connections: the half of a stack that knows what its peer did before.

use alloc::boxed::Box;
use alloc::sync::Arc;

use mynah_model::{
    Class, DeliveryId, Description, Expiry, Instant, Layout, Message, Properties, Reason, ValueTag,
};

use crate::{Close, Command, Delivery, LayoutCodec, Outbound, QueueOutcome};

/// A protocol that the broker can serve: makes connections, and knows how its messages are encoded.
pub trait Protocol: Send + Sync {
    /// The protocol's name as it appears in logs, metrics and configuration, such as `mqtt`.
    fn name(&self) -> &'static str;

    /// A connection for a peer that has just been accepted at `now`.
    fn accept(&self, now: Instant) -> Box<dyn Connection>;

    /// The codec for the layouts of this protocol's messages.
    fn codec(&self) -> Arc<dyn LayoutCodec>;
}

/// One connection's state in a protocol stack. See the crate's documentation for the order of calls.
pub trait Connection: Send {
    /// Reads units from `input`, advancing it past what was consumed, and writes answers to `out`, until there is a
    /// command for the core or nothing more to do. A unit that is not complete stays in `input` and is presented again
    /// with the bytes that follow it.
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b>;

    /// Writes a delivery for the peer. Called only while a session is open. Returns false, and writes nothing, if the
    /// peer takes no such message, such as one that is larger than it allows: the message is then dropped for this
    /// peer, and counted.
    fn deliver(&mut self, now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool;

    /// Hears what became of a command.
    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound);

    /// Hears that the instant of [`Connection::deadline`] has come.
    fn handle_timeout(&mut self, now: Instant, out: &mut Outbound);

    /// Hears that the broker is stopping: takes leave of the peer in the protocol's way.
    fn handle_shutdown(&mut self, now: Instant, out: &mut Outbound);

    /// Whether the peer was told that there is no room to store what it publishes, and is to hear when there is again.
    fn awaits_room(&self) -> bool {
        false
    }

    /// Hears that there is room to store more again. Called only while [`Connection::awaits_room`].
    fn handle_room(&mut self, now: Instant, out: &mut Outbound) {
        let _ = (now, out);
    }

    /// When the connection wants [`Connection::handle_timeout`] if nothing happens before.
    fn deadline(&self) -> Option<Instant>;

    /// Whether a delivery can change [`Connection::deadline`]: then it is asked for again when deliveries have been written.
    fn is_woken_for_deliveries(&self) -> bool {
        false
    }

    /// The layout in which this connection wants deliveries. Asked after the session has opened; does not change then.
    fn layout(&self) -> Layout;

    /// Whether a subscription to the topic of a queue, `$queue/NAME`, makes the peer a consumer of the queue while it is
    /// connected: its deliveries are [`Delivery::Leased`] then. Elsewhere such a subscription is refused.
    fn consumes_by_subscribing(&self) -> bool {
        false
    }

    /// How many bytes of an incomplete unit this connection needs to see at once; the rest of the input may wait
    /// unread. Bounds what the caller keeps for it.
    fn input_bytes_max(&self) -> usize;

    /// What administrators see of the connection beside what the broker knows of it.
    fn describe(&self) -> Description {
        Description::default()
    }

    /// Whether more bytes are of use at the moment. They are not while the connection waits for an outcome before it reads on;
    /// what is already there is kept for it.
    fn wants_input(&self) -> bool {
        true
    }
}

/// What a step came to.
#[derive(Debug)]
pub enum Step<'b> {
    /// Nothing more to do with these bytes; more are needed, or an outcome.
    Idle,
    /// The core is asked to do this.
    Command(Command<'b>),
    /// The connection ends when its outbound bytes are written.
    Close(Close),
}

/// What became of a command.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// Answers [`Command::Open`].
    Opened(Result<Opened<'a>, Reason>),
    /// Answers [`Command::Open`] or [`Command::Authenticate`]: the peer has to say more.
    Challenge(&'a [u8]),
    /// Answers the last [`Command::Authenticate`] of an open session, with the last word of the method, if it has one.
    /// After a refusal the connection ends.
    Authenticated(Result<Option<&'a [u8]>, Reason>),
    /// Answers [`Command::Publish`] of a confirmed class, or one that says so, and every [`Command::PublishIf`], once its promise is kept: a message that matched anything
    /// durable has been stored.
    Published {
        /// The receipt of the command.
        receipt: u16,
        /// The class of the publication.
        class: Class,
        /// Accepted (true: it matched a subscription), or why not.
        result: Result<bool, Reason>,
    },
    /// Answers [`Command::Complete`].
    Completed {
        /// The receipt of the command.
        receipt: u16,
        /// Whether the publication was one that waited for this.
        known: bool,
    },
    /// Answers [`Command::Subscribe`], after the subscriptions are visible to all publishers.
    Subscribed {
        /// The receipt of the command.
        receipt: u16,
        /// One entry for each request, in its order.
        results: &'a [SubscribeResult],
    },
    /// Answers [`Command::Unsubscribe`], after the filters are gone for all publishers.
    Unsubscribed {
        /// The receipt of the command.
        receipt: u16,
        /// For each filter, in its order, whether it was there.
        results: &'a [bool],
    },
    /// Answers a [`crate::Settlement::Received`]: the peer's statement is recorded.
    Received {
        /// Which delivery.
        id: DeliveryId,
        /// Whether the delivery was one that waited for this, or had been received before.
        known: bool,
    },
    /// Answers [`Command::Read`]: the retained value of the topic, if there is one.
    Value(Result<Option<&'a Value<'a>>, Reason>),
    /// What became of a [`Command::Queue`].
    Queue(QueueOutcome<'a>),
    /// The core has ended the session's use by this connection, such as after a take-over. The connection says what
    /// its protocol has to say and closes.
    Ended(Reason),
}

/// The class that was granted to a subscription, or why there is none.
pub type SubscribeResult = Result<Class, Reason>;

/// A topic's retained value as somebody reads it.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// The message.
    pub message: &'a Message,
    /// Its properties, as its own codec reads them.
    pub properties: Properties<'a>,
    /// Names this state of the value in a [`mynah_model::Condition`].
    pub tag: ValueTag,
}

/// A session is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Whether state of an earlier connection was there.
    pub session_present: bool,
    /// The client identifier that the broker chose, if the peer left that to it.
    pub assigned_client_id: Option<&'a [u8]>,
    /// How long the session will outlive the connection: what was asked for, or less.
    pub expiry: Expiry,
    /// The last word of the method of authentication, if it has one.
    pub authentication: Option<&'a [u8]>,
}

impl Opened<'_> {
    /// A session that was there or not, with the name and the expiry that were asked for.
    #[must_use]
    pub const fn new(session_present: bool, expiry: Expiry) -> Self {
        Self { session_present, assigned_client_id: None, expiry, authentication: None }
    }
}
