//! One rule, as it is written: who may, or may not, do what where, and how much of it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU32, NonZeroU64};

use mynah_model::{Filter, FilterError, Segment};

use super::who::Who;

/// What a rule is about. Each is asked where it is done:
///
/// * Without a target, by [`Rights::permits_at_all`](super::Rights::permits_at_all): `Connect` when a session is opened,
///   `Administer` when something shows or changes how the broker runs.
/// * Of a topic, by [`Rights::permits`](super::Rights::permits): `Publish` for each message, and `Retain` beside it;
///   `Subscribe` for the value of a topic, and for each message where a subscription reaches too far; `Request` for each
///   request. [`Decisions`](super::Decisions) remembers what it says.
/// * Of a filter, by [`Rights::grant`](super::Rights::grant): `Subscribe` alone.
/// * Of a queue, whose name stands in place of a topic, by [`Rights::permits`](super::Rights::permits): `Consume` when somebody
///   attaches to it, and again after a change of the rules; `Configure` when it is made, changed, emptied or removed; `Publish`
///   for a message that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Opening a session.
    Connect,
    /// Publishing to a topic.
    Publish,
    /// Seeing the messages of a topic: subscribing, and reading retained values.
    Subscribe,
    /// Making a message the retained value of its topic, or clearing that. Needs the right to publish too.
    Retain,
    /// Taking messages from a queue.
    Consume,
    /// Sending a request to a topic.
    Request,
    /// Making, changing, emptying and removing a queue.
    Configure,
    /// Managing the broker.
    Administer,
}

impl Action {
    /// How many there are.
    pub(super) const COUNT: usize = 8;

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Connect,
        Self::Publish,
        Self::Subscribe,
        Self::Retain,
        Self::Consume,
        Self::Request,
        Self::Configure,
        Self::Administer,
    ];

    /// The action's name in configuration and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Retain => "retain",
            Self::Consume => "consume",
            Self::Request => "request",
            Self::Configure => "configure",
            Self::Administer => "administer",
        }
    }

    /// Whether it is done to a topic or a queue, which filters can select.
    #[must_use]
    pub const fn has_target(self) -> bool {
        !matches!(self, Self::Connect | Self::Administer)
    }

    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A filter of a rule. Its segment `%u` stands for the name of the user and `%c` for the client identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleFilter(Box<[u8]>);

impl RuleFilter {
    /// Segments that a filter has at most.
    pub const SEGMENTS_MAX: usize = 128;

    /// Takes a filter of topics, or of the names of queues.
    ///
    /// # Errors
    /// `text` is not a filter, is too deep, or has one of the two inside a longer segment.
    pub fn new(text: &str) -> Result<Self, RuleError> {
        let filter = Filter::new(text.as_bytes()).map_err(RuleError::Filter)?;
        for (at, segment) in filter.segments().enumerate() {
            if at == Self::SEGMENTS_MAX {
                return Err(RuleError::TooDeep);
            }
            if let Segment::Literal(literal) = segment
                && literal.len() > 2
                && literal.windows(2).any(|pair| matches!(pair, b"%u" | b"%c"))
            {
                return Err(RuleError::PartialPlaceholder);
            }
        }
        Ok(Self(text.as_bytes().into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Where a rule allows or denies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Nowhere: the rule does not say it.
    #[default]
    Nothing,
    /// Wherever that is; the one choice besides nowhere for an action without a target.
    Everything,
    /// What one of these selects.
    Filters(Vec<RuleFilter>),
}

/// When the rules for subscribing are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// When a peer subscribes: a filter that reaches beyond what the peer may see is refused.
    #[default]
    Subscription,
    /// A subscription is granted, and where it reaches beyond what the peer may see each message is looked at; but one that
    /// lies inside what a rule with the other check denies is refused.
    Delivery,
}

/// How much a peer may do; nothing is limited by what is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Messages that a connection may publish in a second, on average.
    pub messages_per_s: Option<NonZeroU32>,
    /// Bytes of payload that a connection may publish in a second, on average.
    pub bytes_per_s: Option<NonZeroU64>,
    /// Connections that the identity may have at a time.
    pub connections: Option<NonZeroU32>,
    /// Subscriptions of a session.
    pub subscriptions: Option<NonZeroU32>,
    /// Bytes of the payload of a message.
    pub message_bytes: Option<NonZeroU64>,
}

/// A rule.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Whom it is about.
    pub who: Who,
    /// What it allows and denies to do.
    pub actions: Vec<Action>,
    /// What it permits.
    pub allow: Reach,
    /// What it refuses, whatever else permits it.
    pub deny: Reach,
    /// When those it is about are asked for the right to what they subscribe to.
    pub check: Check,
    /// How much those it is about may do.
    pub quota: Quota,
}

/// Why a filter cannot be one of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// It is no filter.
    Filter(FilterError),
    /// `%u` and `%c` stand alone in their segment.
    PartialPlaceholder,
    /// It has more than [`RuleFilter::SEGMENTS_MAX`] segments.
    TooDeep,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => error.fmt(f),
            Self::PartialPlaceholder => f.write_str("%u and %c must stand alone in their segment"),
            Self::TooDeep => {
                write!(f, "a filter of a rule has at most {} segments", RuleFilter::SEGMENTS_MAX)
            }
        }
    }
}

impl core::error::Error for RuleError {}
