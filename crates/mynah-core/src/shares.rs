//! Shared subscriptions: groups of sessions of which one gets each message.
//!
//! A group stands in an index of its own as if it were a session. Who its members are is a snapshot that routes
//! remember; whether a member is online, and whose turn it is, is shared by all snapshots, so that a publisher chooses
//! without a lock.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hashbrown::HashTable;
use mynah_model::{Class, Filter, Identity, ShareStrategy, SubscriptionOptions, TenantId, Topic};

use crate::hash::{KeyedHash, PathStep};
use crate::rules::{Action, Names, Rights};
use crate::target::{GroupKey, Publishers, Target, Via};
use crate::{SessionRef, TopicIndex, WorkerId};

/// A session in a group.
#[derive(Debug)]
pub struct Member {
    /// One target, in the form in which another worker gets it.
    target: Arc<[Target]>,
    /// None: it may see all that its filter selects.
    reader: Option<Reader>,
    is_online: AtomicBool,
}

/// Who has to be looked up for each message, because the group's filter selects more than this peer may see.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Whose session it is.
    pub identity: Identity,
    /// The client identifier of the session.
    pub client_id: Box<[u8]>,
    /// What the peer may do; none while that is not known: then it is found out when the peer comes.
    pub rights: Option<Rights>,
}

impl Reader {
    /// Whether the peer may see a message on `topic`, for all that is known.
    #[must_use]
    pub fn may_see(&self, topic: Topic<'_>) -> bool {
        let names = Names::new(&self.identity, &self.client_id);
        self.rights.as_ref().is_none_or(|rights| rights.permits(Action::Subscribe, names, topic))
    }
}

impl Member {
    /// Where the member's messages go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target[0]
    }

    /// The same, to be sent to another worker.
    #[must_use]
    pub fn targets(&self) -> &Arc<[Target]> {
        &self.target
    }
}

/// The members of a group at one time.
#[derive(Clone, Debug)]
pub struct Members {
    key: Arc<GroupKey>,
    members: Vec<Arc<Member>>,
    /// The place where the search for the next member begins.
    turn: Arc<AtomicUsize>,
}

impl Members {
    /// The member that gets the next message: one that is online, else any; of those about whom `may_see` is asked one
    /// about whom it says yes. Never the session `except`.
    #[must_use]
    pub fn choose(
        &self,
        strategy: ShareStrategy,
        except: Option<SessionRef>,
        may_see: impl Fn(&Reader) -> bool,
    ) -> Option<&Arc<Member>> {
        self.search(strategy, except, true, &may_see)
            .or_else(|| self.search(strategy, except, false, &may_see))
    }

    /// The same, if one is online that is not the session `except`.
    #[must_use]
    pub fn choose_online(
        &self,
        strategy: ShareStrategy,
        except: SessionRef,
        may_see: impl Fn(&Reader) -> bool,
    ) -> Option<&Arc<Member>> {
        self.search(strategy, Some(except), true, &may_see)
    }

    fn search(
        &self,
        strategy: ShareStrategy,
        except: Option<SessionRef>,
        online: bool,
        may_see: &impl Fn(&Reader) -> bool,
    ) -> Option<&Arc<Member>> {
        let first = self.turn.load(Ordering::Relaxed);
        let count = self.members.len();
        let fits = |member: &Member| {
            Some(member.target().session) != except
                && (!online || member.is_online.load(Ordering::Relaxed))
                && member.reader.as_ref().is_none_or(may_see)
        };
        let place =
            (0..count).map(|step| (first % count + step) % count).find(|&at| fits(&self.members[at]))?;
        let next = match strategy {
            ShareStrategy::RoundRobin => place + 1,
            ShareStrategy::Sticky => place,
        };
        // Two workers that choose at the same time may choose the same: no turn is owed to anybody.
        self.turn.store(next, Ordering::Relaxed);
        self.members.get(place)
    }

    fn place(&self, session: SessionRef) -> Option<usize> {
        self.members.iter().position(|member| member.target().session == session)
    }
}

/// The groups of all tenants.
#[derive(Debug)]
pub struct Shares {
    hash: KeyedHash,
    /// The filters of the groups, which stand in it by their places in `groups`.
    index: TopicIndex,
    groups: Vec<Option<Arc<Members>>>,
    vacant: Vec<u32>,
    by_key: HashTable<u32>,
}

impl Shares {
    /// No groups. Hashes are keyed by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            hash: KeyedHash::new(seed),
            index: TopicIndex::new(seed),
            groups: Vec::new(),
            vacant: Vec::new(),
            by_key: HashTable::new(),
        }
    }

    /// Makes a session that is online a member of a group, or changes how it wants the messages. `reader` is there if the
    /// filter selects more than the session's peer may see.
    pub fn join(
        &mut self,
        tenant: TenantId,
        group: &[u8],
        filter: Filter<'_>,
        session: SessionRef,
        options: SubscriptionOptions,
        reader: Option<Reader>,
    ) {
        let at = self.find(tenant, group, filter).unwrap_or_else(|| self.found(tenant, group, filter));
        let Some(members) = self.groups.get_mut(at as usize).and_then(Option::as_mut) else { return };
        let via = Via { ids: options.id.into_iter().collect(), group: Some(Arc::clone(&members.key)) };
        let target = Target {
            session,
            class_max: options.class_max,
            retain_as_published: options.retain_as_published,
            publishers: Publishers::All,
            via: Some(Arc::new(via)),
        };
        let is_online = AtomicBool::new(true);
        let member = Arc::new(Member { target: Arc::new([target]), reader, is_online });
        let members = Arc::make_mut(members);
        match members.place(session) {
            Some(place) => members.members[place] = member,
            None => members.members.push(member),
        }
    }

    /// Takes a session out of a group. Returns whether it was a member. A group without members is gone.
    pub fn leave(&mut self, tenant: TenantId, group: &[u8], filter: Filter<'_>, session: SessionRef) -> bool {
        let Some(at) = self.find(tenant, group, filter) else { return false };
        let Some(members) = self.groups.get_mut(at as usize).and_then(Option::as_mut) else { return false };
        let Some(place) = members.place(session) else { return false };
        if members.members.len() > 1 {
            Arc::make_mut(members).members.remove(place);
            return true;
        }
        let hash = key_hash(&self.hash, tenant, group, filter.as_bytes());
        if let Ok(entry) = self.by_key.find_entry(hash, |&other| other == at) {
            entry.remove();
        }
        self.groups[at as usize] = None;
        self.vacant.push(at);
        self.index.remove(tenant, filter, reference(at));
        true
    }

    /// Notes that a member has come online or gone offline. All who remember the group know at once.
    pub fn set_online(
        &self,
        tenant: TenantId,
        group: &[u8],
        filter: Filter<'_>,
        session: SessionRef,
        online: bool,
    ) {
        let members = self.find(tenant, group, filter).and_then(|at| self.groups.get(at as usize)?.as_ref());
        if let Some(members) = members
            && let Some(place) = members.place(session)
        {
            members.members[place].is_online.store(online, Ordering::Relaxed);
        }
    }

    /// The members of a group, if there are any.
    #[must_use]
    pub fn members(&self, key: &GroupKey) -> Option<&Members> {
        let at = self.find(key.tenant, &key.group, key.filter())?;
        self.groups.get(at as usize)?.as_deref()
    }

    /// Pushes the members of every group whose filter matches `topic`, in no particular order.
    pub fn matches(&self, tenant: TenantId, topic: Topic<'_>, found: &mut Vec<Arc<Members>>) {
        if self.index.is_empty() {
            return;
        }
        let mut groups = Vec::new();
        self.index.matches(tenant, topic, &mut groups);
        found.extend(groups.iter().filter_map(|m| self.groups.get(m.session.slot as usize)?.clone()));
    }

    /// How many groups there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn find(&self, tenant: TenantId, group: &[u8], filter: Filter<'_>) -> Option<u32> {
        let hash = key_hash(&self.hash, tenant, group, filter.as_bytes());
        let is = |&at: &u32| {
            let key = self.groups.get(at as usize).and_then(Option::as_ref).map(|members| &members.key);
            key.is_some_and(|key| {
                key.tenant == tenant && *key.group == *group && *key.filter == *filter.as_bytes()
            })
        };
        self.by_key.find(hash, is).copied()
    }

    /// A new group, which gets its first member at once.
    fn found(&mut self, tenant: TenantId, group: &[u8], filter: Filter<'_>) -> u32 {
        let key = Arc::new(GroupKey { tenant, group: group.into(), filter: filter.as_bytes().into() });
        let members = Members { key, members: Vec::new(), turn: Arc::default() };
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.groups.push(None);
            (self.groups.len() - 1) as u32
        });
        self.groups[at as usize] = Some(Arc::new(members));
        let (keyed, groups) = (&self.hash, &self.groups);
        let rehash = |&at: &u32| match groups.get(at as usize) {
            Some(Some(members)) => {
                key_hash(keyed, members.key.tenant, &members.key.group, &members.key.filter)
            }
            _ => 0,
        };
        self.by_key.insert_unique(key_hash(keyed, tenant, group, filter.as_bytes()), at, rehash);
        self.index.insert(tenant, filter, reference(at), SubscriptionOptions::new(Class::AtMostOnce));
        at
    }
}

fn key_hash(hash: &KeyedHash, tenant: TenantId, group: &[u8], filter: &[u8]) -> u64 {
    hash.step(hash.text(tenant, filter), PathStep::Literal(group))
}

/// A group as the index knows it.
const fn reference(at: u32) -> SessionRef {
    SessionRef { worker: WorkerId(0), slot: at, generation: 0 }
}
