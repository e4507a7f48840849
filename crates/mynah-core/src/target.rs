//! Targets: sessions that a message goes to, and by which of their subscriptions.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use mynah_model::{Class, Filter, SubscriptionId, TenantId};

use crate::{Match, SessionRef};

/// A session that a topic's messages go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The session.
    pub session: SessionRef,
    /// Messages of a higher class are delivered with this one.
    pub class_max: Class,
    /// Whether a live message shows the retain flag it was published with.
    pub retain_as_published: bool,
    /// Whose messages go there.
    pub publishers: Publishers,
    /// What the receiver is told of its subscriptions, and what the broker has to know of them later.
    pub via: Option<Arc<Via>>,
}

/// Whose messages a target is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishers {
    /// Everybody's.
    All,
    /// Those of everybody but the session itself.
    Others,
    /// Those of the session itself.
    Own,
}

/// The subscriptions that a message came by, where that matters for its delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Via {
    /// The names of those that have one.
    pub ids: Box<[SubscriptionId]>,
    /// The group that shares the message, if the subscription is a shared one.
    pub group: Option<Arc<GroupKey>>,
}

/// What a group is found by: sessions that subscribe to the same filter under the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey {
    /// Whose topics the filter selects.
    pub tenant: TenantId,
    /// The group's name.
    pub group: Box<[u8]>,
    /// The filter whose messages it shares.
    pub filter: Box<[u8]>,
}

impl GroupKey {
    /// The filter whose messages the group shares.
    #[must_use]
    pub fn filter(&self) -> Filter<'_> {
        Filter::from_checked(&self.filter)
    }
}

impl Target {
    /// Whether a message goes there that `publisher` has published, which is a session or the broker itself.
    #[inline]
    #[must_use]
    pub fn hears(&self, publisher: Option<SessionRef>) -> bool {
        match self.publishers {
            Publishers::All => true,
            Publishers::Others => publisher != Some(self.session),
            Publishers::Own => publisher == Some(self.session),
        }
    }

    /// The group whose member the session is for these messages.
    #[must_use]
    pub fn group(&self) -> Option<&Arc<GroupKey>> {
        self.via.as_ref()?.group.as_ref()
    }

    /// Pushes the targets of one session, whose matches these are: its overlapping subscriptions merged in its favour,
    /// those that stand alone apart. If some of them, not all, are spared what the session publishes itself, there are
    /// two targets: one for the messages of others and one for its own.
    pub(crate) fn merge(matches: &[Match], targets: &mut Vec<Self>) {
        let is_separate = |m: &&Match| m.options.separate;
        for one in matches.iter().filter(is_separate) {
            Self::merge_together(core::iter::once(one), targets);
        }
        Self::merge_together(matches.iter().filter(|m| !is_separate(m)), targets);
    }

    fn merge_together<'a>(matches: impl Iterator<Item = &'a Match> + Clone, targets: &mut Vec<Self>) {
        let is_local = |m: &&Match| !m.options.no_local;
        if matches.clone().all(|m| is_local(&m)) {
            targets.extend(merged(Publishers::All, matches));
        } else {
            targets.extend(merged(Publishers::Others, matches.clone()));
            targets.extend(merged(Publishers::Own, matches.filter(is_local)));
        }
    }
}

/// One target for all of these matches of one session; none if there are no matches.
fn merged<'a>(publishers: Publishers, matches: impl Iterator<Item = &'a Match> + Clone) -> Option<Target> {
    let mut ids: Vec<SubscriptionId> = matches.clone().filter_map(|m| m.options.id).collect();
    // One filter may be named as another.
    ids.sort_unstable();
    ids.dedup();
    let via = (!ids.is_empty()).then(|| Arc::new(Via { ids: ids.into(), group: None }));
    Some(Target {
        session: matches.clone().next()?.session,
        class_max: matches.clone().map(|m| m.options.class_max).max()?,
        retain_as_published: matches.into_iter().any(|m| m.options.retain_as_published),
        publishers,
        via,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorkerId;
    use mynah_model::SubscriptionOptions;
    use proptest::prelude::*;

    const ME: SessionRef = SessionRef { worker: WorkerId(0), slot: 1, generation: 0 };
    const OTHER: SessionRef = SessionRef { slot: 2, ..ME };

    fn options() -> impl Strategy<Value = SubscriptionOptions> {
        (0..3_u8, any::<bool>(), any::<bool>(), 0..4_u32).prop_map(|(class, rap, no_local, id)| {
            SubscriptionOptions {
                retain_as_published: rap,
                no_local,
                id: SubscriptionId::new(id),
                ..SubscriptionOptions::new(Class::from_number(class).unwrap())
            }
        })
    }

    proptest! {
        #[test]
        fn what_stands_alone_has_a_target_of_its_own(all in prop::collection::vec(options(), 1..6), alone: [bool; 6]) {
            let with = |(o, separate): (&SubscriptionOptions, &bool)| SubscriptionOptions { separate: *separate, ..*o };
            let all: Vec<_> = all.iter().zip(&alone).map(with).collect();
            let matches: Vec<_> = all.iter().map(|&options| Match { session: ME, options }).collect();
            let mut targets = Vec::new();
            Target::merge(&matches, &mut targets);
            for publisher in [None, Some(ME)] {
                let counts = all.iter().filter(|o| publisher != Some(ME) || !o.no_local);
                let apart = counts.clone().filter(|o| o.separate).count();
                let together = counts.clone().any(|o| !o.separate);
                let heard = targets.iter().filter(|t| t.hears(publisher)).count();
                prop_assert_eq!(heard, apart + usize::from(together));
            }
        }

        /// Whoever publishes, at most one target hears it, and it is told of exactly the subscriptions that count.
        #[test]
        fn every_publisher_finds_the_subscriptions_that_count(all in prop::collection::vec(options(), 1..6)) {
            let matches: Vec<_> = all.iter().map(|&options| Match { session: ME, options }).collect();
            let mut targets = Vec::new();
            Target::merge(&matches, &mut targets);
            for publisher in [None, Some(ME), Some(OTHER)] {
                let counts: Vec<_> =
                    all.iter().filter(|o| publisher != Some(ME) || !o.no_local).collect();
                let heard: Vec<_> = targets.iter().filter(|t| t.hears(publisher)).collect();
                prop_assert_eq!(heard.len(), usize::from(!counts.is_empty()));
                let Some(target) = heard.first() else { continue };
                prop_assert_eq!(Some(target.class_max), counts.iter().map(|o| o.class_max).max());
                prop_assert_eq!(target.retain_as_published, counts.iter().any(|o| o.retain_as_published));
                let mut ids: Vec<_> = counts.iter().filter_map(|o| o.id).collect();
                ids.sort();
                ids.dedup();
                let told = target.via.as_ref().map_or(&[][..], |via| &via.ids);
                prop_assert_eq!(told, &ids[..]);
                prop_assert_eq!(target.via.is_some(), !ids.is_empty());
            }
        }
    }

    #[test]
    fn a_target_is_small() {
        assert!(size_of::<Target>() <= 24, "{}", size_of::<Target>());
    }
}
