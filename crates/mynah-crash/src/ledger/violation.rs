//! What can be wrong, and what is known of the message that it went wrong with.

use std::fmt;

use mynah_model::Class;

use crate::payload::MessageId;

/// A kind of broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A session that was confirmed is not there.
    SessionLost,
    /// A subscription was refused or granted with less than was asked for.
    SubscriptionRefused,
    /// An acknowledged message did not come to a session that had subscribed to it.
    Missing,
    /// A publication was not acknowledged although there was time.
    Unanswered,
    /// A message came again where that is not allowed, or without the mark that says so.
    Duplicate,
    /// Something came that nobody had published, that was damaged, or that the session had not subscribed to.
    Unpublished,
    /// A message came after a later one of the same producer, topic and class.
    OutOfOrder,
    /// A message came with another class than the lower of the publication's and the subscription's.
    WrongClass,
    /// The retained value is older than the last that was acknowledged, or none that was ever set.
    Retained,
    /// A confirmed message did not come from its queue, and nobody's acknowledgement of it may have been done.
    Lost,
    /// A message came from a queue after its acknowledgement was confirmed.
    Undone,
    /// A transaction was done in part.
    Torn,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SessionLost => "session lost",
            Self::SubscriptionRefused => "subscription refused",
            Self::Missing => "missing",
            Self::Unanswered => "unanswered",
            Self::Duplicate => "duplicate",
            Self::Unpublished => "unpublished",
            Self::OutOfOrder => "out of order",
            Self::WrongClass => "wrong class",
            Self::Retained => "retained",
            Self::Lost => "lost",
            Self::Undone => "undone",
            Self::Torn => "torn",
        })
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub kind: Kind,
    /// In which cycle it was noticed.
    pub cycle: u32,
    /// One line: what happened, and the history of the message.
    pub line: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (cycle {}): {}", self.kind, self.cycle, self.line)
    }
}

/// Something that happened to a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Number of the event.
    pub(super) at: u64,
    pub(super) cycle: u32,
    pub(super) what: Happening,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    Attempted,
    Resent,
    Acknowledged,
    GivenUp,
    /// It came to a session, the number of a peer.
    Came {
        peer: u16,
        class: Class,
        dup: bool,
        retain: bool,
    },
}

/// The history of a message as a violation tells it.
pub(super) fn history(
    id: MessageId,
    topic: &str,
    class: Class,
    entries: &[Entry],
    peers: &[String],
) -> String {
    let mut text = format!("{id}, {topic}, QoS {}:", class.number());
    let mut cycle = None;
    for entry in entries {
        if cycle != Some(entry.cycle) {
            text.push_str(&format!(" cycle {}", entry.cycle));
            cycle = Some(entry.cycle);
        }
        let what = match entry.what {
            Happening::Attempted => "attempted".to_owned(),
            Happening::Resent => "sent again".to_owned(),
            Happening::Acknowledged => "acknowledged".to_owned(),
            Happening::GivenUp => "given up".to_owned(),
            Happening::Came { peer, class, dup, retain } => {
                let (dup, retain) = (if dup { " DUP" } else { "" }, if retain { " RETAIN" } else { "" });
                let name = peers.get(usize::from(peer)).map_or("?", String::as_str);
                format!("came to {name} with QoS {}{dup}{retain}", class.number())
            }
        };
        text.push_str(&format!(" [{}] {what};", entry.at));
    }
    text
}
