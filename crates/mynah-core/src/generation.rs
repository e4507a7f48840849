//! Generations: counters that change when the index changes, sharded so that a remembered match outlives subscriptions
//! elsewhere.

use core::sync::atomic::{AtomicU64, Ordering};

use mynah_model::{Filter, TenantId, Topic};

use crate::hash::KeyedHash;

const SHARDS: usize = 64;

/// Counts the changes of a [`crate::TopicIndex`], by first segment and, for filters with a leading wildcard, in all.
///
/// A writer changes the index first and bumps then; a reader takes the stamp first and matches then. So a match that
/// misses a change carries a stamp that the change has made stale.
#[derive(Debug)]
pub struct Generations {
    hash: KeyedHash,
    by_first_segment: [AtomicU64; SHARDS],
    leading_wildcard: AtomicU64,
}

/// The state of the generations that concern one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    shard: u8,
    /// Whether the topic is a `$`-topic, which no leading wildcard concerns.
    dollar: bool,
    by_first_segment: u64,
    leading_wildcard: u64,
}

impl Stamp {
    /// Whether no filter that can match the topic has ever come: then nothing matches it.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.by_first_segment == 0 && self.leading_wildcard == 0
    }
}

impl Generations {
    /// Counters whose sharding is keyed by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            hash: KeyedHash::new(seed),
            by_first_segment: [const { AtomicU64::new(0) }; SHARDS],
            leading_wildcard: AtomicU64::new(0),
        }
    }

    /// Notes that a subscription with `filter` has come or gone, after the index shows it. Nobody looks in the index for
    /// what was never noted here.
    pub fn bump(&self, tenant: TenantId, filter: Filter<'_>) {
        let counter = if filter.has_leading_wildcard() {
            &self.leading_wildcard
        } else {
            let first_segment = Topic::from_checked(filter.as_bytes()).first_segment();
            &self.by_first_segment[self.shard(tenant, first_segment)]
        };
        counter.fetch_add(1, Ordering::Release);
    }

    /// Notes that anything may have changed, in all tenants.
    pub fn bump_all(&self) {
        for counter in self.by_first_segment.iter().chain([&self.leading_wildcard]) {
            counter.fetch_add(1, Ordering::Release);
        }
    }

    /// The stamp of everything that can match `topic` in this instant.
    #[must_use]
    pub fn stamp(&self, tenant: TenantId, topic: Topic<'_>) -> Stamp {
        let shard = self.shard(tenant, topic.first_segment()) as u8;
        self.again(Stamp { shard, dollar: topic.is_dollar(), ..Stamp::default() })
    }

    /// The stamp of the same topic in this instant.
    #[inline]
    pub(crate) fn again(&self, earlier: Stamp) -> Stamp {
        let Stamp { shard, dollar, .. } = earlier;
        Stamp {
            by_first_segment: self.by_first_segment[usize::from(shard) % SHARDS].load(Ordering::Acquire),
            // A leading wildcard matches no `$`-topic, so its coming and going does not concern one.
            leading_wildcard: if dollar { 0 } else { self.leading_wildcard.load(Ordering::Acquire) },
            ..earlier
        }
    }

    fn shard(&self, tenant: TenantId, first_segment: &[u8]) -> usize {
        self.hash.text(tenant, first_segment) as usize % SHARDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter<'_> {
        Filter::new(text.as_bytes()).unwrap()
    }

    fn stamp(generations: &Generations, topic: &str) -> Stamp {
        generations.stamp(TenantId::DEFAULT, Topic::new(topic.as_bytes()).unwrap())
    }

    #[test]
    fn a_change_makes_the_stamps_of_what_it_can_match_stale() {
        for text in ["a/b", "a/+", "a/#", "a", "+/b", "#", "+"] {
            let generations = Generations::new(7);
            let before = stamp(&generations, "a/b");
            generations.bump(TenantId::DEFAULT, filter(text));
            assert_ne!(stamp(&generations, "a/b"), before, "{text}");
        }
    }

    #[test]
    fn a_leading_wildcard_leaves_dollar_topics_alone() {
        let generations = Generations::new(7);
        let before = stamp(&generations, "$SYS/uptime");
        generations.bump(TenantId::DEFAULT, filter("#"));
        assert_eq!(stamp(&generations, "$SYS/uptime"), before);
    }

    #[test]
    fn most_changes_elsewhere_leave_a_stamp_as_it_is() {
        let generations = Generations::new(7);
        let before: alloc::vec::Vec<_> =
            (0..100).map(|i| stamp(&generations, &alloc::format!("t{i}/x"))).collect();
        generations.bump(TenantId::DEFAULT, filter("elsewhere/#"));
        let kept = (0..100).filter(|&i| stamp(&generations, &alloc::format!("t{i}/x")) == before[i]).count();
        assert!(kept > 80, "{kept}");
    }
}
