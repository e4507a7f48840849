//! What was written and is still in memory, on its way to who follows the journal: so that it is not read again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::position::Position;

/// Bytes that may be on their way. What is more is read from the files.
const BYTES_MAX: usize = 16 << 20;

/// Bytes for which it is worth to call who follows; fewer wait until it looks by itself.
const CALL_BYTES: usize = 1 << 20;

/// Bytes of memory that are kept to be used again.
const SPARE_BYTES_MAX: usize = 8 << 20;

/// Buffers to be used again.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    /// Keeps a buffer, unless enough is kept.
    pub(crate) fn put(&mut self, mut buffer: Vec<u8>) {
        if self.bytes + buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }

    /// An empty buffer.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }
}

/// The records of one write.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Where the write starts.
    pub(crate) at: Position,
    /// Where its first record stands.
    pub(crate) records_at: Position,
    /// Where it ends.
    pub(crate) end: Position,
    pub(crate) batches: Vec<Vec<u8>>,
}

impl Piece {
    fn bytes(&self) -> usize {
        (self.end.offset - self.at.offset) as usize
    }
}

#[derive(Debug, Default)]
struct Inner {
    pieces: VecDeque<Piece>,
    bytes: usize,
    spent: Spare,
}

#[derive(Debug, Default)]
pub(crate) struct Handed {
    inner: Mutex<Inner>,
    /// Who follows was called and has not come yet.
    called: AtomicBool,
}

impl Handed {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what was written, unless too much is on its way. Returns whether that is so much that who follows is
    /// to be called. What cannot be used any more is moved to `spent`.
    pub(crate) fn give(&self, piece: Piece, spent: &mut Vec<Vec<u8>>) -> bool {
        let mut inner = self.inner();
        spent.append(&mut core::mem::take(&mut inner.spent).buffers);
        if inner.bytes + piece.bytes() > BYTES_MAX {
            spent.extend(piece.batches);
            return false;
        }
        inner.bytes += piece.bytes();
        inner.pieces.push_back(piece);
        inner.bytes > CALL_BYTES && !self.called.swap(true, Ordering::Relaxed)
    }

    /// The next piece, if it ends before `to` or there.
    pub(crate) fn take(&self, to: Position) -> Option<Piece> {
        self.called.store(false, Ordering::Relaxed);
        let mut inner = self.inner();
        if inner.pieces.front()?.end > to {
            return None;
        }
        let piece = inner.pieces.pop_front()?;
        inner.bytes -= piece.bytes();
        Some(piece)
    }

    /// Gives the memory of a piece back.
    pub(crate) fn give_back(&self, piece: Piece) {
        let mut inner = self.inner();
        piece.batches.into_iter().for_each(|bytes| inner.spent.put(bytes));
    }
}
