//! Writes records to the last segment and starts the next one. No threads: whoever owns it calls.

use std::io;
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::position::Position;
use crate::record::frame::{self, Kind, Place};
use crate::segment::{HEADER_BYTES, Segments};

/// Bytes of the frame that says what was synced.
const COMMIT_BYTES: usize = frame::frame_bytes(8);

/// The end of the journal.
#[derive(Debug)]
pub(crate) struct Writer {
    segments: Arc<Segments>,
    salt: u32,
    segment_bytes: u32,
    number: u32,
    file: Arc<dyn DiskFile>,
    /// Where the next write goes.
    offset: u32,
    /// Everything before was synced.
    synced: Position,
}

impl Writer {
    /// Starts segment `number`.
    pub(crate) fn start(
        segments: Arc<Segments>,
        salt: u32,
        segment_bytes: u32,
        number: u32,
    ) -> io::Result<Self> {
        let file = segments.create(number, salt, u64::from(segment_bytes))?;
        segments.insert(number, file.clone());
        let synced = Position::new(number, HEADER_BYTES);
        let offset = HEADER_BYTES;
        Ok(Self { segments, salt, segment_bytes, number, file, offset, synced })
    }

    /// Everything before was synced.
    pub(crate) fn synced(&self) -> Position {
        self.synced
    }

    /// Where the next write goes.
    pub(crate) fn end(&self) -> Position {
        Position::new(self.number, self.offset)
    }

    /// Writes records. Those of each part stand in one segment, those of all parts too. Returns where the write starts
    /// and where its first record is. After an error it may be called again.
    ///
    /// # Errors
    /// What the disk says: of room that is lacking nothing is lost, of anything else nothing is known.
    pub(crate) fn write(&mut self, records: &[&[u8]]) -> io::Result<(Position, Position)> {
        let bytes: usize = records.iter().map(|part| part.len()).sum();
        if bytes == 0 {
            return Ok((self.end(), self.end()));
        }
        let needed = u32::try_from(COMMIT_BYTES + bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if self.offset > HEADER_BYTES && needed > self.segment_bytes.saturating_sub(self.offset) {
            self.roll(needed)?;
        }
        let (start, commit) = (self.end(), self.commit());
        let mut parts = Vec::with_capacity(records.len() + 1);
        parts.push(&commit[..]);
        parts.extend_from_slice(records);
        self.file.write_parts_at(&parts, u64::from(self.offset))?;
        self.offset += needed;
        Ok((start, Position::new(start.segment, start.offset + COMMIT_BYTES as u32)))
    }

    /// The frame that says what was synced.
    fn commit(&self) -> Vec<u8> {
        let (mut frame, synced) = (Vec::with_capacity(COMMIT_BYTES), self.synced.to_u64());
        frame::append(&mut frame, self.salt, Kind::Commit, Place::STORE, |out| {
            out.extend_from_slice(&synced.to_le_bytes());
        });
        frame
    }

    /// Makes everything that was written last.
    ///
    /// # Errors
    /// What the disk says. Nothing is known then of what was written: the process has to stop.
    pub(crate) fn sync(&mut self) -> Result<(), SyncError> {
        if self.synced != self.end() {
            self.file.sync().map_err(SyncError)?;
            self.synced = self.end();
        }
        Ok(())
    }

    /// Says in the journal itself that all of it was synced: a good end.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.sync()?;
        let commit = self.commit();
        self.file.write_at(&commit, u64::from(self.offset))?;
        self.offset += commit.len() as u32;
        self.sync()?;
        self.file.truncate(u64::from(self.offset))
    }

    /// Ends the segment, which then holds nothing that was not synced, and starts the next one. What is to be written
    /// says what was synced in the new one.
    fn roll(&mut self, needed: u32) -> io::Result<()> {
        self.sync()?;
        // The length first: whatever lacks in a segment that another follows is damage.
        self.file.truncate(u64::from(self.offset))?;
        self.file.sync().map_err(SyncError)?;
        let number = self.number.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        let bytes = u64::from(self.segment_bytes).max(u64::from(HEADER_BYTES) + u64::from(needed));
        let file = self.segments.create(number, self.salt, bytes)?;
        self.segments.insert(number, file.clone());
        (self.number, self.file, self.offset) = (number, file, HEADER_BYTES);
        self.synced = Position::new(number, HEADER_BYTES);
        Ok(())
    }
}

/// A sync that failed: what was written is lost or not, and nobody knows.
#[derive(Debug)]
pub(crate) struct SyncError(pub(crate) io::Error);

impl From<SyncError> for io::Error {
    fn from(SyncError(error): SyncError) -> Self {
        // Not to be taken for a write that can be tried again, whatever the system called it.
        Self::other(format!("sync failed: {error}"))
    }
}
