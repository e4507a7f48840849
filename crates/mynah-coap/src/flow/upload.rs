//! Bodies that come block by block and are put together before anything is done with them (RFC 7959, section 2.5).
//! Memory is taken as blocks come, from a budget that all peers share.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::Instant;

use crate::counts::{Budget, Counts};
use crate::wire::{Block, BlockSize};
use crate::{CoapConfig, Refusal};

/// What the blocks of one body have in common: method, path, query and Request-Tag (RFC 9175, section 3.3).
pub(crate) type UploadKey = Box<[u8]>;

/// What became of a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// More are to come.
    More,
    /// It was the last: this is the body.
    Whole(Vec<u8>),
}

#[derive(Debug)]
struct Upload {
    key: UploadKey,
    until: Instant,
    bytes: Vec<u8>,
    /// What the budget was asked for.
    taken: usize,
}

/// The bodies that one peer is sending.
#[derive(Debug)]
pub(crate) struct Uploads {
    begun: Vec<Upload>,
    budget: Arc<Budget>,
    counts: Arc<Counts>,
}

impl Uploads {
    /// Memory of a body at first.
    const FIRST_BYTES: usize = 4 << 10;

    pub(crate) const fn new(budget: Arc<Budget>, counts: Arc<Counts>) -> Self {
        Self { begun: Vec::new(), budget, counts }
    }

    /// Takes a block, which is kept for `patience`.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        key: UploadKey,
        (block, payload): (Block, &[u8]),
        (config, patience): (&CoapConfig, Duration),
    ) -> Result<Received, Refusal> {
        self.expire(now);
        if block.more && !fits(block, payload) {
            self.drop_upload(&key);
            return Err(Refusal::Incomplete);
        }
        let body_max = config.body_bytes_max as usize;
        if block.offset().saturating_add(payload.len()) > body_max {
            self.drop_upload(&key);
            return Err(Refusal::TooLarge(config.body_bytes_max));
        }
        if block.number == 0 {
            self.remove(&key);
            if self.begun.len() >= usize::from(config.uploads_max) {
                return Err(Refusal::TooManyRequests);
            }
            self.begun.push(Upload { key, until: now, bytes: Vec::new(), taken: 0 });
        } else {
            let at = self.begun.iter().position(|upload| upload.key == key).ok_or(Refusal::Incomplete)?;
            // The one that is worked on is the last.
            let last = self.begun.len() - 1;
            self.begun.swap(at, last);
        }
        let Some(upload) = self.begun.last_mut() else { return Err(Refusal::Incomplete) };
        upload.until = now + patience;
        let (offset, end) = (block.offset(), block.offset() + payload.len());
        if offset > upload.bytes.len() {
            return Err(Refusal::Incomplete);
        }
        if end > upload.bytes.len() {
            if !upload.grow(end, body_max, &self.budget) {
                self.end_last();
                self.counts.uploads_dropped.add(1);
                return Err(Refusal::NoMemory);
            }
            upload.bytes.truncate(offset);
            upload.bytes.extend_from_slice(payload);
        }
        if block.more {
            return Ok(Received::More);
        }
        upload.bytes.truncate(end);
        Ok(self.end_last().map_or(Received::More, Received::Whole))
    }

    /// When there is something to be given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.begun.iter().map(|upload| upload.until).min()
    }

    /// Gives up what was not gone on with.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(at) = self.begun.iter().position(|upload| upload.until <= now) {
            let upload = self.begun.swap_remove(at);
            self.budget.give_back(upload.taken);
            self.counts.uploads_dropped.add(1);
        }
    }

    fn drop_upload(&mut self, key: &UploadKey) {
        if self.remove(key) {
            self.counts.uploads_dropped.add(1);
        }
    }

    fn remove(&mut self, key: &UploadKey) -> bool {
        let Some(at) = self.begun.iter().position(|upload| upload.key == *key) else { return false };
        let upload = self.begun.swap_remove(at);
        self.budget.give_back(upload.taken);
        true
    }

    fn end_last(&mut self) -> Option<Vec<u8>> {
        let upload = self.begun.pop()?;
        self.budget.give_back(upload.taken);
        Some(upload.bytes)
    }
}

impl Upload {
    /// Makes room for `bytes` in all. False if the budget has none.
    fn grow(&mut self, bytes: usize, bytes_max: usize, budget: &Budget) -> bool {
        if bytes <= self.taken {
            return true;
        }
        let wanted = bytes.max(2 * self.taken).max(Uploads::FIRST_BYTES).min(bytes_max.max(bytes));
        if !budget.take(wanted - self.taken) {
            return false;
        }
        self.taken = wanted;
        self.bytes.reserve_exact(wanted - self.bytes.len());
        true
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.budget.give_back(self.begun.iter().map(|upload| upload.taken).sum());
    }
}

/// Whether a block that is not the last has the size it says (section 2.3).
fn fits(block: Block, payload: &[u8]) -> bool {
    match block.size {
        BlockSize::BERT => !payload.is_empty() && payload.len().is_multiple_of(BlockSize::BERT.bytes()),
        size => payload.len() == size.bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const PATIENCE: Duration = Duration::from_secs(10);

    struct Peer {
        uploads: Uploads,
        budget: Arc<Budget>,
        counts: Arc<Counts>,
        config: CoapConfig,
    }

    impl Peer {
        fn new(budget: usize) -> Self {
            let (budget, counts) = (Arc::new(Budget::new(budget)), Arc::new(Counts::default()));
            let uploads = Uploads::new(Arc::clone(&budget), Arc::clone(&counts));
            let config = CoapConfig { body_bytes_max: 6_000, ..CoapConfig::default() };
            Self { uploads, budget, counts, config }
        }

        fn take(&mut self, key: &[u8], number: u32, more: bool, payload: &[u8]) -> Result<Received, Refusal> {
            let block = Block { number, more, size: BlockSize::at_most(16) };
            self.uploads.take(Instant::ZERO, key.into(), (block, payload), (&self.config, PATIENCE))
        }
    }

    //= rfc7959 [2.5-1] [2.5-2]
    #[test]
    fn a_body_is_put_together_and_the_memory_is_given_back() {
        let mut peer = Peer::new(10_000);
        assert_eq!(peer.take(b"k", 0, true, &[1; 16]), Ok(Received::More));
        assert_eq!(peer.take(b"other", 0, true, &[9; 16]), Ok(Received::More));
        assert_eq!(peer.take(b"k", 1, true, &[2; 16]), Ok(Received::More));
        // A block that comes again changes nothing.
        assert_eq!(peer.take(b"k", 1, true, &[2; 16]), Ok(Received::More));
        assert_eq!(
            peer.take(b"k", 2, false, &[3; 3]),
            Ok(Received::Whole([&[1; 16][..], &[2; 16], &[3; 3]].concat()))
        );
        assert_eq!(peer.budget.left(), 10_000 - Uploads::FIRST_BYTES);
        peer.uploads.expire(Instant::ZERO + PATIENCE);
        assert_eq!((peer.budget.left(), peer.counts.uploads_dropped.get()), (10_000, 1));
    }

    //= rfc7959 [2.9.2-1] [2.9.3-1] [2.3-1]
    #[test]
    fn what_does_not_continue_or_is_too_much_is_refused() {
        let mut peer = Peer::new(5_000);
        assert_eq!(peer.take(b"k", 1, true, &[1; 16]), Err(Refusal::Incomplete));
        assert_eq!(peer.take(b"k", 0, true, &[1; 15]), Err(Refusal::Incomplete));
        assert_eq!(peer.take(b"k", 0, true, &[1; 16]), Ok(Received::More));
        assert_eq!(peer.take(b"k", 2, true, &[1; 16]), Err(Refusal::Incomplete));
        assert_eq!(peer.take(b"k", 375, false, &[1; 1]), Err(Refusal::TooLarge(6_000)));
        assert_eq!(peer.take(b"a", 0, true, &[1; 16]), Ok(Received::More));
        assert_eq!(peer.take(b"b", 0, true, &[1; 16]), Err(Refusal::NoMemory));
        assert_eq!(peer.take(b"a", 1, false, &vec![1; 2_000]), Ok(Received::Whole(vec![1; 2_016])));
        assert_eq!(peer.budget.left(), 5_000);
    }

    #[test]
    fn bodies_of_one_peer_are_bounded() {
        let mut peer = Peer::new(1 << 20);
        for key in [b"a", b"b"] {
            assert_eq!(peer.take(key, 0, true, &[1; 16]), Ok(Received::More));
        }
        assert_eq!(peer.take(b"c", 0, true, &[1; 16]), Err(Refusal::TooManyRequests));
        assert_eq!(peer.take(b"a", 0, true, &[1; 16]), Ok(Received::More));
        drop(peer.uploads);
        assert_eq!(peer.budget.left(), 1 << 20);
    }
}
