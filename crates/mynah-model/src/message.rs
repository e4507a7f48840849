//! Messages: what travels, in the bytes it came in.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::Range;
use core::time::Duration;

use triomphe::ThinArc;

use crate::{Class, Instant, TenantId, Topic};

/// Priority of a message that names none. A selector takes it for 4 (as in JMS, and in AMQP 1.0, section 3.2.1), a queue with
/// priorities for 0 (as RabbitMQ).
pub const PRIORITY_DEFAULT: u8 = u8::MAX;

/// The encoding of a message's native bytes: which stack's codec can read them, and in which of its versions.
///
/// Identifiers are handed out in `docs/mapping.md` and never reused: the journal stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Layout {
    /// Which codec.
    pub id: u8,
    /// Which of the codec's encodings.
    pub version: u8,
}

/// What the core needs to know of a message, parsed once when it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose topic space the message is in.
    pub tenant: TenantId,
    /// The encoding of the native bytes.
    pub layout: Layout,
    /// The guarantee the publisher asked for.
    pub class: Class,
    /// Whether the message is to become its topic's retained value.
    pub retain: bool,
    /// 0 (lowest) to 254, or [`PRIORITY_DEFAULT`].
    pub priority: u8,
    /// Where the topic lies in the native bytes.
    pub topic: (u32, u32),
    /// Where the payload lies in the native bytes.
    pub payload: (u32, u32),
    /// When the message is no longer wanted.
    pub deadline: Option<Instant>,
    /// The publisher: distinguishes clients within one run of the broker; none for the broker itself.
    pub publisher: Option<NonZeroU64>,
}

impl Header {
    /// The topic's place in the native bytes.
    #[must_use]
    pub fn topic_range(&self) -> Range<usize> {
        self.topic.0 as usize..self.topic.1 as usize
    }

    /// The payload's place in the native bytes.
    #[must_use]
    pub fn payload_range(&self) -> Range<usize> {
        self.payload.0 as usize..self.payload.1 as usize
    }

    /// How long the message is still wanted at `now`; none if it has no deadline.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_since(now))
    }
}

/// A message that is borrowed: from the bytes that a peer just sent, or from a [`Message`].
#[derive(Clone, Copy)]
pub struct MessageView<'m> {
    /// The parsed header.
    pub header: &'m Header,
    /// The native bytes.
    pub native: &'m [u8],
}

impl<'m> MessageView<'m> {
    /// Where the message was published.
    #[must_use]
    pub fn topic(self) -> Topic<'m> {
        Topic::from_checked(&self.native[self.header.topic_range()])
    }

    /// The application's bytes.
    #[must_use]
    pub fn payload(self) -> &'m [u8] {
        &self.native[self.header.payload_range()]
    }

    /// A message that owns a copy of the bytes.
    #[must_use]
    pub fn to_message(self) -> Message {
        Message(ThinArc::from_header_and_slice(*self.header, self.native))
    }
}

impl fmt::Debug for MessageView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("class", &self.header.class)
            .field("retain", &self.header.retain)
            .field("payload_len", &self.payload().len())
            .finish_non_exhaustive()
    }
}

/// A message that is shared: one allocation that holds header and native bytes, cheap to clone.
#[derive(Clone)]
pub struct Message(ThinArc<Header, u8>);

impl Message {
    /// The message as a view.
    #[must_use]
    pub fn view(&self) -> MessageView<'_> {
        MessageView { header: &self.0.header.header, native: &self.0.slice }
    }

    /// The parsed header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.0.header.header
    }

    /// Where the message was published.
    #[must_use]
    pub fn topic(&self) -> Topic<'_> {
        self.view().topic()
    }

    /// The application's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.view().payload()
    }

    /// What the message costs in memory, in bytes.
    #[must_use]
    pub fn cost_bytes(&self) -> usize {
        size_of::<Header>() + self.0.slice.len()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}
