//! Reads the frames of a segment one after the other, and finds its way again after damage.

use std::io;
use std::sync::Arc;

use crate::disk::{DiskFile, read_full};
use crate::record::frame::{self, ALIGNMENT, Fault, Frame};

/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;

/// What stands at the reader's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'f> {
    /// A frame, where it starts, and how many bytes it takes.
    Frame(Frame<'f>, u64, usize),
    /// No frame starts here, though there are bytes.
    Fault(u64),
    /// A later version of the program wrote this.
    Version(u8),
    /// The end of what is to be read.
    End,
}

/// A reader of one segment.
#[derive(Debug)]
pub(crate) struct FrameReader {
    file: Arc<dyn DiskFile>,
    salt: u32,
    /// Where the next frame starts.
    at: u64,
    /// Where reading ends.
    end: u64,
    buffer: Vec<u8>,
    /// Where the buffer starts in the file.
    buffer_at: u64,
    /// Whether the bodies of messages are summed here.
    sums_messages: bool,
}

impl FrameReader {
    /// Reads from `at` to `end` bytes into the file.
    pub(crate) fn new(file: Arc<dyn DiskFile>, salt: u32, at: u64, end: u64) -> Self {
        Self { file, salt, at, end, buffer: Vec::new(), buffer_at: at, sums_messages: true }
    }

    /// Leaves the bodies of messages to who reads them: for what this process wrote a moment ago.
    pub(crate) fn without_messages(mut self) -> Self {
        self.sums_messages = false;
        self
    }

    pub(crate) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    /// Where the next frame starts.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Reads `bytes` from the place on into the buffer, or what there is.
    fn fill(&mut self, bytes: usize) -> io::Result<usize> {
        let from = (self.at - self.buffer_at) as usize;
        let held = self.buffer.len().saturating_sub(from);
        if held >= bytes {
            return Ok(held);
        }
        let wanted = (bytes.max(CHUNK) as u64).min(self.end.saturating_sub(self.at)) as usize;
        if wanted <= held {
            return Ok(held);
        }
        self.buffer.drain(..from.min(self.buffer.len()));
        self.buffer.resize(wanted, 0);
        self.buffer_at = self.at;
        let count = read_full(&*self.file, &mut self.buffer[held..], self.at + held as u64)?;
        self.buffer.truncate(held + count);
        Ok(self.buffer.len())
    }

    /// Looks at the next place and moves past a frame, not past a fault.
    pub(crate) fn step(&mut self) -> io::Result<Step<'_>> {
        if self.at >= self.end {
            return Ok(Step::End);
        }
        let mut wanted = frame::HEADER_BYTES;
        loop {
            let held = self.fill(wanted)?;
            let from = (self.at - self.buffer_at) as usize;
            match frame::check_frame(&self.buffer[from..], self.salt, self.sums_messages) {
                // The length of a frame that the file cannot hold is not believed.
                Err(Fault::Short(bytes)) if held < bytes && bytes as u64 <= self.end - self.at => {
                    if wanted >= bytes {
                        return Ok(Step::Fault(self.at));
                    }
                    wanted = bytes;
                }
                Err(Fault::Version(version)) => return Ok(Step::Version(version)),
                Err(_) => return Ok(Step::Fault(self.at)),
                Ok(taken) => {
                    let at = self.at;
                    self.at += taken as u64;
                    let frame = frame::view(&self.buffer[from..]);
                    return Ok(frame.map_or(Step::Fault(at), |frame| Step::Frame(frame, at, taken)));
                }
            }
        }
    }

    /// What stands at a fault, if its header is right: its body is not what was written.
    pub(crate) fn ruin(&self) -> Option<Frame<'_>> {
        let bytes = self.buffer.get((self.at - self.buffer_at) as usize..)?;
        let is_ruin = frame::check(bytes, self.salt) == Err(Fault::Body);
        frame::view(bytes).filter(|_| is_ruin)
    }

    /// Moves on from a fault to where the next frame starts, or to the end. Returns whether there is one.
    pub(crate) fn resume(&mut self) -> io::Result<bool> {
        loop {
            self.at += ALIGNMENT as u64;
            if self.at >= self.end {
                self.at = self.end;
                return Ok(false);
            }
            if self.fill(frame::HEADER_BYTES)? < frame::HEADER_BYTES {
                self.at = self.end;
                return Ok(false);
            }
            let from = (self.at - self.buffer_at) as usize;
            let candidate = &self.buffer[from..from + frame::HEADER_BYTES];
            if candidate[12] == 0 || frame::check(candidate, self.salt) == Err(Fault::Header) {
                continue;
            }
            let here = self.at;
            if matches!(self.step()?, Step::Frame(..)) {
                self.at = here;
                return Ok(true);
            }
            self.at = here;
        }
    }

    /// Whether everything from the place to the end is zero.
    pub(crate) fn rest_is_blank(&mut self) -> io::Result<bool> {
        let here = self.at;
        let mut blank = true;
        while self.at < self.end && blank {
            let held = self.fill(CHUNK)?;
            if held == 0 {
                break;
            }
            let from = (self.at - self.buffer_at) as usize;
            blank = self.buffer[from..].iter().all(|&byte| byte == 0);
            self.at += held as u64;
        }
        self.at = here;
        self.buffer.clear();
        self.buffer_at = here;
        Ok(blank)
    }
}
