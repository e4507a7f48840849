//! What opening or checking a store found: what was cut, what is damaged, what is lost. Nothing of that is silent.

use core::fmt;
use std::path::{Path, PathBuf};

use crate::position::Position;
use crate::record::Key;
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

/// A key in words.
fn describe(key: &Key<'_>) -> String {
    let tenant = key.tenant().number();
    match key {
        Key::Entry(owner, sequence) => {
            format!("message {sequence} for `{}` of tenant {tenant}", owner.name.escape_ascii())
        }
        Key::Retained { topic, .. } => {
            format!("the retained value of `{}` of tenant {tenant}", topic.escape_ascii())
        }
        Key::Will(owner) => format!("the will of `{}` of tenant {tenant}", owner.name.escape_ascii()),
        Key::Delayed { id, .. } => format!("delayed message {id} of tenant {tenant}"),
        other => format!("{other:?}"),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail { at, bytes } => write!(
                f,
                "segment {}: a torn write of {bytes} bytes at offset {} was cut off; it was not acknowledged",
                at.segment, at.offset
            ),
            Self::Damage { at, bytes, copy } => {
                write!(f, "segment {}: {bytes} bytes at offset {} are damaged", at.segment, at.offset)?;
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
