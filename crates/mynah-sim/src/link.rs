//! Links: a stream of bytes each way between a client and the broker, with windows, split reads and cuts.

use std::collections::VecDeque;

use mynah_engine::ConnectionId;

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Nothing has come.
    Nothing,
    /// Some of the bytes that were written, in their order.
    Bytes(Vec<u8>),
    /// The writer has closed its end, and every byte before has been read.
    End,
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Pipe {
    bytes: VecDeque<u8>,
    /// Bytes that may wait for the reader.
    window: usize,
    ended: bool,
    reader_gone: bool,
}

impl Pipe {
    pub(crate) fn new(window: usize) -> Self {
        Self { bytes: VecDeque::new(), window, ended: false, reader_gone: false }
    }

    /// Takes as many bytes as the window has room for. What nobody will read is taken, too, and lost.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        if self.reader_gone || self.ended {
            return bytes.len();
        }
        let count = bytes.len().min(self.window.saturating_sub(self.bytes.len()));
        self.bytes.extend(&bytes[..count]);
        count
    }

    pub(crate) fn has_room(&self) -> bool {
        self.reader_gone || self.bytes.len() < self.window
    }

    /// The writer closes its end: what was written can still be read.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The link breaks: of what is under way only the first `kept` bytes arrive.
    pub(crate) fn cut(&mut self, kept: usize) {
        self.bytes.truncate(kept);
        self.ended = true;
    }

    /// The reader closes its end.
    pub(crate) fn abandon(&mut self) {
        self.reader_gone = true;
        self.bytes.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Reads at most `max` bytes.
    pub(crate) fn read(&mut self, max: usize) -> Read {
        match (self.bytes.is_empty(), self.ended) {
            (true, true) => Read::End,
            (true, false) => Read::Nothing,
            (false, _) => Read::Bytes(self.bytes.drain(..max.min(self.bytes.len())).collect()),
        }
    }
}

/// Where the broker's end of a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An engine has it.
    At(usize, ConnectionId),
    /// It is in a letter from one engine to another.
    Moving,
    /// The broker has closed it.
    Closed,
}

/// A connection between a client and the broker.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) to_broker: Pipe,
    pub(crate) to_client: Pipe,
    pub(crate) place: Place,
    /// A write was cut short: the engine waits to hear that there is room.
    pub(crate) blocked: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_keeps_order_and_its_window() {
        let mut pipe = Pipe::new(4);
        assert_eq!(pipe.write(b"abcdef"), 4);
        assert!(!pipe.has_room());
        assert_eq!(pipe.read(3), Read::Bytes(b"abc".to_vec()));
        assert_eq!(pipe.write(b"ef"), 2);
        pipe.end();
        assert_eq!(pipe.read(9), Read::Bytes(b"def".to_vec()));
        assert_eq!(pipe.read(9), Read::End);
    }

    #[test]
    fn a_cut_loses_the_end_and_an_abandoned_pipe_swallows() {
        let mut pipe = Pipe::new(9);
        pipe.write(b"abcdef");
        pipe.cut(2);
        assert_eq!(pipe.read(9), Read::Bytes(b"ab".to_vec()));
        let mut pipe = Pipe::new(1);
        pipe.abandon();
        assert_eq!(pipe.write(b"abc"), 3);
        assert_eq!(pipe.read(9), Read::Nothing);
    }
}
