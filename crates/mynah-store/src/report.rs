//! What opening or checking a store found: what was cut, what is damaged, what is lost. Nothing of that is silent.

use core::fmt;
use std::path::{Path, PathBuf};

use crate::position::Position;
use crate::record::fields::Fields;
use crate::record::frame::{Frame, Kind};
use crate::record::{Key, Owner, OwnerKind, StoredMessage};
use crate::recovery::journal_folder;
use crate::segment::file_name;

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A write that was under way when the machine stopped was cut off: nobody was told that it was there.
    TornTail {
        /// Where it started.
        at: Position,
        /// Bytes up to the end of the segment.
        bytes: u64,
    },
    /// Bytes of the journal that were synced once cannot be read.
    Damage {
        /// Where they start.
        at: Position,
        /// How many.
        bytes: u64,
        /// The file that holds a copy of them, if one could be made.
        copy: Option<String>,
        /// What they, and what held together with them, said, as far as that can still be read: some of it may be wrong.
        about: Vec<String>,
    },
    /// The head of a segment is damaged. Its records can be read.
    SegmentHead {
        /// The segment's number.
        segment: u32,
    },
    /// A segment cannot be read and was moved away.
    SegmentSetAside {
        /// The segment's number.
        segment: u32,
    },
    /// Segments are missing that hold what the state does not know.
    SegmentsMissing {
        /// From here.
        from: u32,
        /// To the one before here.
        to: u32,
    },
    /// The state could not be used and was moved away; it was made anew from the journal.
    StateSetAside {
        /// Why.
        why: String,
        /// Where it is.
        to: String,
        /// Where the snapshot that was used begins to be right; none: the whole journal was read.
        snapshot: Option<Position>,
    },
    /// The state is damaged; the next start makes it anew.
    StateDamaged {
        /// In which way.
        why: String,
    },
    /// Something referred to a message that cannot be read, and is gone with it.
    Lost {
        /// What it was.
        what: String,
    },
    /// More was lost than is told one by one.
    LostMore {
        /// How much.
        count: u64,
    },
    /// Something failed that nothing acknowledged depends on; it is tried again.
    Trouble {
        /// What.
        what: String,
    },
    /// Records with right checksums say nothing that this program knows.
    Malformed {
        /// How many.
        count: u64,
    },
}

impl Finding {
    /// Something is gone that was acknowledged, or may have been.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Damage { .. }
                | Self::SegmentSetAside { .. }
                | Self::SegmentsMissing { .. }
                | Self::Lost { .. }
                | Self::LostMore { .. }
                | Self::Malformed { .. }
        )
    }

    /// The file that it is about, relative to the folder of the store, and the offset in it.
    #[must_use]
    pub fn place(&self) -> Option<(PathBuf, u32)> {
        let (segment, offset) = match *self {
            Self::TornTail { at, .. } | Self::Damage { at, .. } => (at.segment, at.offset),
            Self::SegmentHead { segment } => (segment, 0),
            _ => return None,
        };
        Some((journal_folder(Path::new("")).join(file_name(segment)), offset))
    }

    pub(crate) fn lost(key: &[u8]) -> Self {
        let what = Key::decode(key).map_or_else(|| "an unknown key".to_owned(), |key| describe(&key));
        Self::Lost { what }
    }
}

/// How much of what damage was about is told.
pub(crate) const ABOUT_MAX: usize = 8;

/// What a frame is about, in words, as far as it can be read.
pub(crate) fn said(frame: &Frame<'_>) -> Option<String> {
    let key = match frame.kind {
        Kind::Put | Kind::Delete | Kind::Truncate | Kind::Clear => Fields(frame.body).short(),
        Kind::Referred => frame.message().and_then(|(_, pair)| pair).map(|(key, _)| key),
        _ => None,
    };
    let key = key.and_then(Key::decode).map(|key| describe(&key));
    let message = frame.message().filter(|_| frame.kind.has_message());
    let topic = message.and_then(|(message, _)| StoredMessage::decode(frame.tenant, message));
    let topic = topic.map(|StoredMessage { native, topic: (from, to), .. }| {
        format!("what was published to `{}`", native[from as usize..to as usize].escape_ascii())
    });
    match (key, topic) {
        (Some(key), Some(topic)) => Some(format!("{key} ({topic})")),
        (key, topic) => key.or(topic),
    }
}

/// A key in words.
fn describe(key: &Key<'_>) -> String {
    let whose = |owner: &Owner<'_>| {
        let kind = match owner.kind {
            OwnerKind::Session => "session",
            OwnerKind::Queue => "queue",
            OwnerKind::Exchange => "exchange",
        };
        format!("{kind} `{}`", owner.name.escape_ascii())
    };
    let what = match key {
        Key::Setting { name, .. } => format!("the setting `{}`", name.escape_ascii()),
        Key::Owner(owner) => format!("the {}", whose(owner)),
        Key::Subscription(owner, filter) => {
            format!("the subscription to `{}` of {}", filter.escape_ascii(), whose(owner))
        }
        Key::Received(owner, id) => format!("publication {id} from {}", whose(owner)),
        Key::Part(owner, of, _) => format!("a part of publication {of} from {}", whose(owner)),
        Key::Will(owner) => format!("the will of {}", whose(owner)),
        Key::Lease(owner, sequence) => format!("the delivery of message {sequence} for {}", whose(owner)),
        Key::Entry(owner, sequence) => format!("message {sequence} for {}", whose(owner)),
        Key::Retained { topic, .. } => format!("the retained value of `{}`", topic.escape_ascii()),
        Key::Delayed { id, .. } => format!("delayed message {id}"),
        Key::Bridge { name, .. } => format!("the position of bridge `{}`", name.escape_ascii()),
    };
    format!("{what} of tenant {}", key.tenant().number())
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail { at, bytes } => write!(
                f,
                "segment {}: a torn write of {bytes} bytes at offset {} was cut off; it was not acknowledged",
                at.segment, at.offset
            ),
            Self::Damage { at, bytes, copy, about } => {
                write!(f, "segment {}: {bytes} bytes at offset {} are damaged", at.segment, at.offset)?;
                if !about.is_empty() {
                    write!(f, "; as far as they can be read, they were about {}", about.join(", "))?;
                }
                copy.as_ref().map_or(Ok(()), |copy| write!(f, "; a copy is in {copy}"))
            }
            Self::SegmentHead { segment } => {
                write!(f, "segment {segment}: its head is damaged; its records were read all the same")
            }
            Self::SegmentSetAside { segment } => {
                write!(f, "segment {segment}: cannot be read and was moved to the folder `quarantine`")
            }
            Self::SegmentsMissing { from, to } => write!(f, "segments {from} to {} are missing", to - 1),
            Self::StateSetAside { why, to, snapshot } => {
                write!(f, "{why}; it was moved to `{to}` and made anew from ")?;
                match snapshot {
                    Some(base) => write!(f, "the snapshot at {base} and the journal after it"),
                    None => f.write_str("the journal"),
                }
            }
            Self::StateDamaged { why } => write!(f, "{why}; the next start makes it anew from the journal"),
            Self::Lost { what } => write!(f, "lost: {what}"),
            Self::LostMore { count } => write!(f, "lost: {count} more"),
            Self::Trouble { what } => write!(f, "{what}; trying again"),
            Self::Malformed { count } => write!(f, "{count} records say nothing that is known"),
        }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which it was found.
    pub findings: Vec<Finding>,
    /// Findings that were left out because there were too many.
    pub left_out: u64,
}

/// Findings that are kept.
const FINDINGS_MAX: usize = 10_000;

impl Report {
    /// Whether there is nothing to report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.left_out += 1;
        }
    }
}
