//! Memory that all connections of a worker share: what one of them needs only while it is being served.

/// What one read can take in: enough for a turn of a fast peer.
const SCRATCH_BYTES: usize = 64 << 10;
/// Spare buffers that are kept for whoever has something to send next.
const SPARE_MAX: usize = 64;
/// A larger buffer is given back to the allocator.
const SPARE_BYTES_MAX: usize = 128 << 10;

/// A worker's buffers.
pub(crate) struct Buffers {
    /// What was read.
    pub(crate) scratch: Box<[u8]>,
    /// What was opened, or what is to be sealed.
    pub(crate) plain: Vec<u8>,
    /// What WebSocket has to answer.
    pub(crate) answers: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            plain: Vec::new(),
            answers: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// An empty buffer.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back a buffer that is no longer needed.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}
