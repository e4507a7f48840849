//! Outbound bytes of one connection: the caller's buffer that stacks write into.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use mynah_model::Message;

/// Bytes that wait to be written to a peer, in order: copies of small things, references to large payloads.
///
/// An empty buffer holds no memory; [`Outbound::take_memory`] and [`Outbound::give_memory`] let an owner of many
/// connections recycle it.
#[derive(Debug, Default)]
pub struct Outbound {
    /// Bytes that come first.
    head: Vec<u8>,
    /// How much of `head` is written already.
    written: usize,
    /// What comes after `head`; present only while a shared payload is under way.
    tail: Option<Box<Tail>>,
}

#[derive(Debug, Default)]
struct Tail {
    chunks: VecDeque<Chunk>,
    len: usize,
}

#[derive(Debug)]
enum Chunk {
    Copied(Vec<u8>),
    Shared(Message, Range<usize>),
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(message, range) => &message.view().native[range.clone()],
        }
    }
}

impl Outbound {
    /// A buffer without memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: Vec::new(), written: 0, tail: None }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() - self.written + self.tail.as_ref().map_or(0, |t| t.len)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a copy of `bytes` and returns it, to be patched.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> &mut [u8] {
        let buffer = match &mut self.tail {
            None => &mut self.head,
            Some(tail) => tail.copied(bytes.len()),
        };
        let at = buffer.len();
        buffer.extend_from_slice(bytes);
        &mut buffer[at..]
    }

    /// Appends a part of a message's native bytes without copying it.
    #[inline(never)]
    pub fn append_shared(&mut self, message: &Message, range: Range<usize>) {
        let tail = self.tail.get_or_insert_default();
        tail.len += range.len();
        tail.chunks.push_back(Chunk::Shared(message.clone(), range));
    }

    /// The bytes that wait, in slices to be written one after another; none of them is empty.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let head = core::iter::once(&self.head[self.written..]);
        let tail = self.tail.iter().flat_map(|t| t.chunks.iter().map(Chunk::as_slice));
        head.chain(tail).filter(|bytes| !bytes.is_empty())
    }

    /// The first bytes that wait; all of them unless a shared payload is under way.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        let head = &self.head[self.written..];
        match &self.tail {
            Some(tail) if head.is_empty() => tail.chunks.front().map_or(head, Chunk::as_slice),
            _ => head,
        }
    }

    /// Whether [`Outbound::first`] is all that waits.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.first().len() == self.len()
    }

    /// Notes that the first `count` bytes have been written.
    pub fn advance(&mut self, mut count: usize) {
        let head = count.min(self.head.len() - self.written);
        self.written += head;
        count -= head;
        if self.written == self.head.len() {
            self.head.clear();
            self.written = 0;
        }
        let Some(tail) = &mut self.tail else { return };
        tail.advance(count);
        if tail.chunks.is_empty() {
            self.tail = None;
        }
    }

    /// Takes the memory of an empty buffer, to be used for another.
    pub fn take_memory(&mut self) -> Vec<u8> {
        debug_assert!(self.is_empty());
        core::mem::take(&mut self.head)
    }

    /// Gives an empty buffer memory to write into.
    pub fn give_memory(&mut self, memory: Vec<u8>) {
        debug_assert!(self.head.is_empty() && memory.is_empty());
        self.head = memory;
    }

    /// Whether the buffer has no memory of its own.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.head.capacity() == 0
    }

    /// Copies out and removes everything that waits: for tests and for clients that do not write in slices.
    pub fn drain(&mut self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        while !self.is_empty() {
            let first = self.first();
            all.extend_from_slice(first);
            let count = first.len();
            self.advance(count);
        }
        all
    }
}

impl Tail {
    /// The chunk that takes a copy of `more` bytes.
    #[cold]
    fn copied(&mut self, more: usize) -> &mut Vec<u8> {
        self.len += more;
        if !matches!(self.chunks.back(), Some(Chunk::Copied(_))) {
            self.chunks.push_back(Chunk::Copied(Vec::new()));
        }
        match self.chunks.back_mut() {
            Some(Chunk::Copied(bytes)) => bytes,
            _ => unreachable!("a copied chunk was just pushed"),
        }
    }

    fn advance(&mut self, mut count: usize) {
        self.len -= count;
        while let Some(chunk) = self.chunks.front_mut() {
            let len = chunk.as_slice().len();
            if count < len {
                match chunk {
                    Chunk::Copied(bytes) => drop(bytes.drain(..count)),
                    Chunk::Shared(_, range) => range.start += count,
                }
                return;
            }
            count -= len;
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_model::{Class, Header, Layout, MessageView, TenantId};

    fn message(payload: &[u8]) -> Message {
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 0, version: 0 },
            class: Class::AtMostOnce,
            retain: false,
            priority: 4,
            topic: (0, 0),
            payload: (0, payload.len() as u32),
            deadline: None,
            publisher: None,
        };
        MessageView { header: &header, native: payload }.to_message()
    }

    #[test]
    fn copies_and_shared_payloads_keep_their_order_under_any_split_of_writes() {
        let big = message(&[7; 5000]);
        let mut expected = b"head".to_vec();
        expected.extend([7; 5000]);
        expected.extend(b"between");
        expected.extend([7; 10]);
        expected.extend(b"end");
        for split in [1, 3, 4, 5, 999, 5004, 6000] {
            let mut out = Outbound::new();
            out.append(b"head");
            out.append_shared(&big, 0..5000);
            out.append(b"between");
            out.append_shared(&big, 0..10);
            out.append(b"end");
            let mut written = Vec::new();
            while !out.is_empty() {
                let n = split.min(out.first().len());
                written.extend_from_slice(&out.first()[..n]);
                out.advance(n);
            }
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn what_was_appended_can_be_patched() {
        let mut out = Outbound::new();
        out.append(b"a");
        out.append(b"xyz")[1] = b'!';
        assert_eq!(out.drain(), b"ax!z");
    }

    #[test]
    fn slices_skip_what_is_written_and_what_is_empty() {
        let mut out = Outbound::new();
        out.append(b"ab");
        out.append_shared(&message(b"cdef"), 0..4);
        out.advance(3);
        assert!(out.slices().eq([&b"def"[..]]));
        assert!(out.is_contiguous());
    }
}
