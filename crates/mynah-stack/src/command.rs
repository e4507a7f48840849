//! Commands: everything that a connection can ask of the core.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{
    Condition, DeliveryId, Expiry, Filter, Header, MessageView, Reason, SubscriptionOptions, Topic, Will,
};

use crate::{Destination, QueueCommand};

/// What a connection asks of the core. The enum is closed: a protocol that needs more is a reason to extend the core,
/// never a door of its own.
#[derive(Debug)]
pub enum Command<'b> {
    /// Authenticate the peer and attach it to a session. Until the [`crate::Outcome::Opened`] the connection gets no
    /// bytes; it may come from another thread, after the connection has moved there.
    Open(Box<Open>),
    /// Go on with an exchange of authentication that the peer was challenged in ([`crate::Outcome::Challenge`]), or
    /// begin another while a session is open. Answered by [`crate::Outcome::Challenge`] or, at the end, by
    /// [`crate::Outcome::Opened`] before a session is open and by [`crate::Outcome::Authenticated`] after.
    Authenticate(Box<Exchange>),
    /// Publish a message. A message of a confirmed class, and one that says so, is answered by [`crate::Outcome::Published`].
    Publish(Publish<'b>),
    /// Publish a message if its topic's retained value is as the peer expects. Answered by [`crate::Outcome::Published`]
    /// whatever the class.
    PublishIf(Box<PublishIf<'b>>),
    /// The publisher has seen that its exactly-once publication `receipt` arrived: forget its identifier. Answered by
    /// [`crate::Outcome::Completed`], whether or not the identifier was known.
    Complete {
        /// The receipt of the publication.
        receipt: u16,
    },
    /// Attach filters to the session. Answered by [`crate::Outcome::Subscribed`].
    Subscribe(Subscribe<'b>),
    /// Remove filters from the session. Answered by [`crate::Outcome::Unsubscribed`].
    Unsubscribe(Unsubscribe<'b>),
    /// The peer speaks of a delivery.
    Settle(Settle),
    /// Read the last value of a topic. Answered by [`crate::Outcome::Value`].
    Read(Topic<'b>),
    /// Something about named queues.
    Queue(QueueCommand<'b>),
    /// A command that cannot be borrowed from what the peer sent.
    Prepared(Box<dyn Prepared>),
}

/// A command with bytes of its own: what it names is spelled otherwise on the wire, or was said before. Never one that is
/// prepared itself. For what a peer asks seldom; a publication has its own way.
pub trait Prepared: core::fmt::Debug {
    /// The command. Asked for once.
    fn command(&mut self) -> Command<'_>;
}

/// A request to be let in.
#[derive(Debug)]
pub struct Open {
    /// What the peer says of who it is; absent if it says nothing.
    pub credentials: Option<Credentials>,
    /// The tenant that the peer names in its protocol's word for one, such as a virtual host, a domain or the Host of a
    /// request. It counts if it is the name of a tenant, see `docs/mapping.md`; the peer then has to prove that it
    /// belongs there.
    pub tenant: Option<Box<str>>,
    /// The first message of an exchange that proves it; absent where a password has to do.
    pub exchange: Option<Exchange>,
    /// The session that is to outlive the connection; absent for a peer that has none, which then gets a nameless
    /// session that ends with the connection.
    pub session: Option<SessionRequest>,
    /// How many unconfirmed deliveries the peer takes at a time.
    pub receive_max: u16,
    /// Whether what the peer publishes counts together with what all others do who are the same, and is refused where it is
    /// too much: of a peer that cannot be read more slowly, or soon ends and comes again.
    pub shares_rates: bool,
    /// Published when the connection ends without a good-bye.
    pub will: Option<Will>,
}

impl Open {
    /// A request without credentials, session and will.
    #[must_use]
    pub const fn new(receive_max: u16) -> Self {
        Self {
            credentials: None,
            tenant: None,
            exchange: None,
            session: None,
            receive_max,
            shares_rates: false,
            will: None,
        }
    }
}

/// One message of a peer in an exchange of authentication, such as SASL's.
pub struct Exchange {
    /// The name of the method.
    pub method: Box<str>,
    /// What the method wants to be said.
    pub data: Box<[u8]>,
}

impl core::fmt::Debug for Exchange {
    /// Shows the method; what is said is never shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Exchange").field("method", &self.method).finish_non_exhaustive()
    }
}

/// A name and its proof.
pub struct Credentials {
    /// User name.
    pub user: Box<str>,
    /// Password; absent if the peer gave only a name.
    pub password: Option<Box<[u8]>>,
}

impl core::fmt::Debug for Credentials {
    /// Shows the name; a secret is never shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Which session a peer wants, and for how long.
#[derive(Clone, Debug)]
pub struct SessionRequest {
    /// The client identifier. Empty: the broker chooses one ([`crate::Opened::assigned_client_id`]).
    pub client_id: Box<[u8]>,
    /// Discard what an earlier session of this name left.
    pub clean_start: bool,
    /// How long the session outlives the connection.
    pub expiry: Expiry,
}

/// A message to be published, borrowed from the bytes that the peer sent wherever these hold it as it is.
#[derive(Debug)]
pub struct Publish<'b> {
    /// The header; `tenant` and `publisher` are filled in by the engine.
    pub header: Header,
    /// The native bytes.
    pub native: Cow<'b, [u8]>,
    /// Identifies a publication of a confirmed class in its outcome; for exactly-once it is also what duplicates are
    /// recognised by.
    pub receipt: u16,
    /// Where it goes.
    pub to: Destination<'b>,
    /// Whether the publisher hears of it whatever the class.
    pub confirm: bool,
    /// How long the broker keeps the message before anybody gets it; its deadline counts from then on. The publisher is
    /// told when it is kept.
    pub delay: Option<Duration>,
}

impl<'b> Publish<'b> {
    /// A message for those who want its topic, confirmed as its class says.
    #[must_use]
    pub const fn new(header: Header, native: Cow<'b, [u8]>, receipt: u16) -> Self {
        Self { header, native, receipt, to: Destination::Topic, confirm: false, delay: None }
    }
}

impl Publish<'_> {
    /// The message as a view.
    #[must_use]
    pub fn view(&self) -> MessageView<'_> {
        MessageView { header: &self.header, native: &self.native }
    }
}

/// A message that is published only if every condition on its topic's retained value holds, and, if it is to be retained,
/// only if it can be. Judging and retaining are one step: no other write comes between them.
#[derive(Debug)]
pub struct PublishIf<'b> {
    /// The message.
    pub publish: Publish<'b>,
    /// What the retained value has to be. If it is not, the outcome is [`Reason::ConditionFailed`].
    pub conditions: Vec<Condition>,
}

/// Filters to be attached to the session, answered together.
#[derive(Debug)]
pub struct Subscribe<'b> {
    /// Identifies the request in its outcome.
    pub receipt: u16,
    /// One entry for each filter; a filter that the stack itself refuses is an `Err` and answered as such.
    pub requests: Vec<Result<SubscribeRequest<'b>, Reason>>,
}

/// One filter of a [`Subscribe`].
#[derive(Clone, Copy, Debug)]
pub struct SubscribeRequest<'b> {
    /// The filter.
    pub filter: Filter<'b>,
    /// The group of sessions that share the messages of the filter: each goes to one of them. Absent for a subscription of
    /// the session's own.
    pub share: Option<&'b [u8]>,
    /// How its messages are wanted.
    pub options: SubscriptionOptions,
}

/// Filters to be removed from the session, answered together.
#[derive(Debug)]
pub struct Unsubscribe<'b> {
    /// Identifies the request in its outcome.
    pub receipt: u16,
    /// The subscriptions.
    pub requests: Vec<UnsubscribeRequest<'b>>,
}

/// One subscription of an [`Unsubscribe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubscribeRequest<'b> {
    /// The filter.
    pub filter: Filter<'b>,
    /// The group that shares its messages, as in [`SubscribeRequest::share`].
    pub share: Option<&'b [u8]>,
}

/// What the peer says of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// What became of it.
    pub settlement: Settlement,
}

/// What became of a delivery. A settlement that does not fit how far the delivery has come breaks the peer's protocol:
/// the connection hears [`crate::Outcome::Ended`]. A delivery that is not known was settled before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The peer has an exactly-once message and will not take it again. Answered by [`crate::Outcome::Received`] once
    /// that is recorded, whether or not the delivery was known.
    Received,
    /// The peer is done with it: the one answer to an at-least-once delivery.
    Accepted,
    /// The peer is done with an exactly-once message that it had received.
    Completed,
    /// The peer does not take the message, which is of a confirmed class and was not yet answered: it is dropped for this
    /// peer, and offered to nobody else.
    Rejected,
}

/// The end of a connection, as decided by its stack: what is in the outbound buffer is written, then it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// Why.
    pub reason: Reason,
    /// Whether the will is published (the peer did not say good-bye).
    pub publish_will: bool,
    /// How long the session outlives the connection, if the peer has said so in taking leave.
    pub expiry: Option<Expiry>,
}

impl Close {
    /// The end of a connection whose session goes on as it was opened.
    #[must_use]
    pub const fn new(reason: Reason, publish_will: bool) -> Self {
        Self { reason, publish_will, expiry: None }
    }
}
