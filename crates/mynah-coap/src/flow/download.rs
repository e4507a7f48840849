//! Bodies that a peer reads block by block: each stays what it was when its first block went out (RFC 7959, section 2.4).
//! They hold on to memory that would be free otherwise: all peers together have a budget.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use mynah_model::{Instant, Message};

use super::Pieces;
use crate::counts::{Budget, Counts};
use crate::wire::Code;

/// How long a body is kept after its last block was asked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A body: bytes of its own, and a part of a message.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) head: Box<[u8]>,
    pub(crate) tail: Option<(Message, Range<usize>)>,
}

impl Content {
    pub(crate) fn pieces(&self) -> Pieces<'_> {
        let tail = self.tail.as_ref().map(|(message, range)| &message.view().native[range.clone()]);
        Pieces([&self.head, tail.unwrap_or_default(), &[]])
    }
}

/// A body with what every block says of it.
#[derive(Clone, Debug)]
pub(crate) struct Download {
    /// What the peer asked for.
    pub(crate) key: Box<[u8]>,
    /// What the first block was answered with.
    pub(crate) code: Code,
    pub(crate) tag: u64,
    pub(crate) format: u16,
    /// The media type, if the number does not say it.
    pub(crate) content_type: Box<str>,
    pub(crate) content: Content,
}

/// The bodies that one peer is reading.
#[derive(Debug)]
pub(crate) struct Downloads {
    kept: Vec<(Instant, Download)>,
    budget: Arc<Budget>,
    counts: Arc<Counts>,
}

impl Download {
    /// What it takes of the budget.
    fn bytes(&self) -> usize {
        self.key.len() + self.content.pieces().len()
    }
}

impl Downloads {
    pub(crate) const fn new(budget: Arc<Budget>, counts: Arc<Counts>) -> Self {
        Self { kept: Vec::new(), budget, counts }
    }

    /// Keeps a body for the blocks after the first; an older one of the same key, or else the oldest of `max`, gives way.
    /// One for which the budget has no room is not kept: who asks for its next block gets that of what is there then.
    pub(crate) fn keep(&mut self, now: Instant, download: Download, max: usize) {
        self.retain(|until, other| until > now && other.key != download.key);
        if self.kept.len() >= max && !self.kept.is_empty() {
            let (_, oldest) = self.kept.remove(0);
            self.budget.give_back(oldest.bytes());
        }
        if max > 0 && self.budget.take(download.bytes()) {
            self.kept.push((now + PATIENCE, download));
        } else {
            self.counts.downloads_dropped.add(1);
        }
    }

    fn retain(&mut self, stays: impl Fn(Instant, &Download) -> bool) {
        let budget = &self.budget;
        self.kept.retain(|(until, download)| {
            let stays = stays(*until, download);
            if !stays {
                budget.give_back(download.bytes());
            }
            stays
        });
    }

    /// The body that this peer is reading under this key.
    pub(crate) fn find(&mut self, now: Instant, key: &[u8]) -> Option<&Download> {
        let found = self.kept.iter_mut().find(|(until, download)| *until > now && *download.key == *key);
        let (until, download) = found?;
        *until = now + PATIENCE;
        Some(download)
    }

    /// The body was read to its end.
    pub(crate) fn end(&mut self, key: &[u8]) {
        self.retain(|_, download| *download.key != *key);
    }

    /// When there is something to be forgotten.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.kept.iter().map(|(until, _)| *until).min()
    }

    /// Forgets what nobody asked for.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.retain(|until, _| until > now);
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.retain(|_, _| false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn download(key: &[u8], tag: u64) -> Download {
        let content = Content { head: Box::from(&b"body"[..]), tail: None };
        Download { key: key.into(), code: Code::CONTENT, tag, format: 0, content_type: "".into(), content }
    }

    #[test]
    fn a_body_is_kept_while_it_is_read_and_the_oldest_gives_way() {
        let budget = Arc::new(Budget::new(1_000));
        let mut downloads = Downloads::new(Arc::clone(&budget), Arc::default());
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        for (tag, key) in [(1, b"a"), (2, b"b"), (3, b"a"), (4, b"c")] {
            downloads.keep(at(0), download(key, tag), 2);
        }
        assert!(downloads.find(at(1), b"b").is_none());
        assert_eq!(downloads.find(at(50), b"a").unwrap().tag, 3);
        assert!(downloads.find(at(60), b"c").is_none());
        assert_eq!(downloads.find(at(109), b"a").unwrap().content.pieces().0.concat(), b"body");
        downloads.end(b"a");
        downloads.expire(at(60));
        assert_eq!(downloads.deadline(), None);
        downloads.keep(at(0), download(b"x", 1), 0);
        assert!(downloads.find(at(0), b"x").is_none());
        assert_eq!(budget.left(), 1_000);
    }

    #[test]
    fn what_all_peers_read_has_one_budget() {
        let budget = Arc::new(Budget::new(11));
        let counts = Arc::<Counts>::default();
        let peer = || Downloads::new(Arc::clone(&budget), Arc::clone(&counts));
        let (mut one, mut other) = (peer(), peer());
        // Five bytes each.
        one.keep(Instant::ZERO, download(b"a", 1), 4);
        other.keep(Instant::ZERO, download(b"a", 1), 4);
        other.keep(Instant::ZERO, download(b"b", 2), 4);
        assert_eq!((budget.left(), counts.downloads_dropped.get()), (1, 1));
        assert!(other.find(Instant::ZERO, b"b").is_none());
        one.end(b"a");
        other.keep(Instant::ZERO, download(b"b", 2), 4);
        assert!(other.find(Instant::ZERO, b"b").is_some());
        drop(other);
        assert_eq!(budget.left(), 11);
    }
}
