//! What the preloaded library notes of each change before it is made: enough to undo it.
//!
//! A record is its length (4 bytes), its kind (1), four numbers (8 each) and two byte strings, each behind its length
//! (4); all little-endian. A record that was cut off stands for a change that was not made.

/// Bytes of a record without its strings.
const FIXED_BYTES: usize = 4 + 1 + 4 * 8 + 2 * 4;

/// A change, or a promise about the changes before it. Files and folders are known by their inodes, whose numbers stay
/// taken because the library keeps a link to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Bytes of a file are about to change.
    Range {
        /// The file.
        inode: u64,
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
        /// How long the file was.
        size: u64,
        /// What was there, as far as the file went.
        old: &'a [u8],
    },
    /// A file has been made.
    Made {
        /// The file.
        inode: u64,
        /// Where its name is.
        folder: u64,
        /// Its path.
        path: &'a [u8],
    },
    /// The name of a file is about to go.
    Removed {
        /// The file.
        inode: u64,
        /// Where its name was.
        folder: u64,
        /// Its path.
        path: &'a [u8],
    },
    /// A file or folder is about to get another name.
    Renamed {
        /// The file or folder.
        inode: u64,
        /// Where its new name is.
        folder: u64,
        /// What had the new name before, or 0.
        replaced: u64,
        /// The old path.
        from: &'a [u8],
        /// The new path.
        to: &'a [u8],
    },
    /// A folder is about to be made.
    FolderMade {
        /// Where its name is.
        folder: u64,
        /// Its path.
        path: &'a [u8],
    },
    /// A folder is about to go.
    FolderRemoved {
        /// Where its name was.
        folder: u64,
        /// Its path.
        path: &'a [u8],
    },
    /// A sync of a file, or of the names in a folder, begins.
    SyncBegins {
        /// By which its end is known.
        ticket: u64,
        /// The file or folder.
        inode: u64,
    },
    /// A sync has succeeded: what came before its beginning is safe.
    SyncEnds {
        /// Which.
        ticket: u64,
    },
    /// Something that cannot be undone.
    Unfollowed {
        /// What.
        what: &'a [u8],
    },
}

impl<'a> Record<'a> {
    /// Appends the record to a buffer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        const NONE: &[u8] = &[];
        let (kind, numbers, first, second) = match *self {
            Self::Range { inode, offset, bytes, size, old } => (1, [inode, offset, bytes, size], old, NONE),
            Self::Made { inode, folder, path } => (2, [inode, folder, 0, 0], path, NONE),
            Self::Removed { inode, folder, path } => (3, [inode, folder, 0, 0], path, NONE),
            Self::Renamed { inode, folder, replaced, from, to } => {
                (4, [inode, folder, replaced, 0], from, to)
            }
            Self::FolderMade { folder, path } => (5, [0, folder, 0, 0], path, NONE),
            Self::FolderRemoved { folder, path } => (6, [0, folder, 0, 0], path, NONE),
            Self::SyncBegins { ticket, inode } => (7, [inode, 0, ticket, 0], NONE, NONE),
            Self::SyncEnds { ticket } => (8, [0, 0, ticket, 0], NONE, NONE),
            Self::Unfollowed { what } => (9, [0; 4], what, NONE),
        };
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        out.extend_from_slice(&length(FIXED_BYTES + first.len() + second.len()));
        out.push(kind);
        out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        for text in [first, second] {
            out.extend_from_slice(&length(text.len()));
            out.extend_from_slice(text);
        }
    }

    /// Takes the next record from the front of `input`; none at its end, and where it was cut off.
    pub fn decode(input: &mut &'a [u8]) -> Option<Self> {
        let length = usize::try_from(u32::from_le_bytes(*input.first_chunk()?)).ok()?;
        let (record, rest) = input.split_at_checked(length)?;
        let (kind, mut record) = record.get(4..)?.split_first()?;
        let mut numbers = [0; 4];
        for number in &mut numbers {
            let (bytes, after) = record.split_first_chunk()?;
            (*number, record) = (u64::from_le_bytes(*bytes), after);
        }
        let mut text = || {
            let (length, after) = record.split_first_chunk()?;
            let (text, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            record = after;
            Some(text)
        };
        let (first, second) = (text()?, text()?);
        *input = rest;
        let [inode, folder, third, size] = numbers;
        Some(match kind {
            1 => Self::Range { inode, offset: folder, bytes: third, size, old: first },
            2 => Self::Made { inode, folder, path: first },
            3 => Self::Removed { inode, folder, path: first },
            4 => Self::Renamed { inode, folder, replaced: third, from: first, to: second },
            5 => Self::FolderMade { folder, path: first },
            6 => Self::FolderRemoved { folder, path: first },
            7 => Self::SyncBegins { ticket: third, inode },
            8 => Self::SyncEnds { ticket: third },
            9 => Self::Unfollowed { what: first },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_a_cut_one_does_not() {
        let records = [
            Record::Range { inode: 1, offset: 2, bytes: 3, size: 4, old: b"ab" },
            Record::Made { inode: 1, folder: 2, path: b"/a" },
            Record::Removed { inode: 1, folder: 2, path: b"/a" },
            Record::Renamed { inode: 1, folder: 2, replaced: 3, from: b"/a", to: b"/bc" },
            Record::FolderMade { folder: 2, path: b"/d" },
            Record::FolderRemoved { folder: 2, path: b"/d" },
            Record::SyncBegins { ticket: 7, inode: 1 },
            Record::SyncEnds { ticket: 7 },
            Record::Unfollowed { what: b"mmap" },
        ];
        let mut bytes = Vec::new();
        for record in &records {
            record.encode(&mut bytes);
        }
        let mut input = bytes.as_slice();
        let decoded: Vec<_> = std::iter::from_fn(|| Record::decode(&mut input)).collect();
        assert_eq!(decoded, records);
        assert!(input.is_empty());
        let mut first = Vec::new();
        records[0].encode(&mut first);
        for length in 0..first.len() {
            assert_eq!(Record::decode(&mut &first[..length]), None, "{length} bytes");
        }
    }
}
