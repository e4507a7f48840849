//! What several workers do for one message, and nobody gets twice though the broker may crash before all have done it.
//!
//! An exactly-once publication, and what the broker itself owes, may reach sessions of several workers. Each stores what
//! concerns its own sessions, in a group of its own, and with it its [`Part`]: who has got the message there. When all
//! have, the parts go in the group that says that the whole is done. After a crash in between it is done again, for those
//! alone that no part names.

use std::sync::Arc;

use mynah_core::{Counters, GroupKey, Reader, SessionRef, Target, WorkerId, fingerprint};
use mynah_model::{Instant, Message, TenantId, Topic};

use crate::changes::SessionName;
use crate::engine::Engine;
use crate::inbox::{Ask, Parcel};
use crate::item::Item;
use crate::journal::{Journal, Note, Then};
use crate::lane::Lane;
use crate::shared::Shared;

/// Stands for the value of the topic among those who get a message.
pub(crate) const VALUE: u64 = 0;

/// Stands in the place of a group's name where a message goes to a topic, in the place of the filter, that is not its own.
/// No group has it: no name of one has a NUL.
pub(crate) const ADDRESSED: &[u8] = &[0];

/// What is done in parts.
#[derive(Debug)]
pub(crate) struct Deed {
    pub(crate) tenant: TenantId,
    pub(crate) shard: u16,
    /// The client that publishes; empty if the broker owes it.
    pub(crate) client_id: Box<[u8]>,
    /// The identifier of the client's publication, or the number of what the broker owes.
    pub(crate) of: u64,
    /// Whether an earlier run has begun with it.
    pub(crate) again: bool,
    /// Who got it before a crash, in ascending order.
    pub(crate) had: Box<[u64]>,
    /// The numbers of the parts that say so.
    pub(crate) parts: Box<[u64]>,
}

impl Deed {
    pub(crate) fn had(&self, receiver: u64) -> bool {
        self.had.binary_search(&receiver).is_ok()
    }
}

/// One worker's part in a deed.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) deed: Arc<Deed>,
    pub(crate) number: u64,
}

/// What an earlier run has left of a deed: the numbers of its parts, and who got the message.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Their numbers.
    pub numbers: Vec<u64>,
    /// Who got the message, as [`crate::Change::Part`] said.
    pub receivers: Vec<u64>,
}

/// A message that an earlier run owed to others, see [`crate::Change::Errand`].
#[derive(Debug)]
pub struct RestoredErrand {
    /// Where it is stored.
    pub shard: u16,
    /// Its number.
    pub number: u64,
    /// The message.
    pub message: Message,
    /// The group that it goes to; none if it goes to everybody who wants it. As [`crate::Change::Errand`] said.
    pub group: Option<Arc<GroupKey>>,
    /// What was done of it.
    pub parts: Parts,
}

/// What this worker takes in of a message.
#[derive(Default)]
pub(crate) struct Taking {
    pub(crate) deed: Option<Arc<Deed>>,
    /// Who has got it here, in a way that is stored.
    pub(crate) receivers: Vec<u64>,
}

impl Taking {
    pub(crate) fn of(part: Option<&Part>) -> Self {
        Self { deed: part.map(|part| Arc::clone(&part.deed)), receivers: Vec::new() }
    }

    /// Whether a receiver got the message before a crash.
    pub(crate) fn has(&self, receiver: impl FnOnce() -> Option<u64>) -> bool {
        let deed = self.deed.as_ref().filter(|deed| !deed.had.is_empty());
        deed.is_some_and(|deed| receiver().is_some_and(|receiver| deed.had(receiver)))
    }
}

/// The questions to other workers about one message.
pub(crate) struct Asking {
    from: WorkerId,
    token: u64,
    deed: Option<Arc<Deed>>,
    /// The number of its first part.
    first: u64,
    pub(crate) answers: usize,
}

impl Asking {
    pub(crate) fn new(from: WorkerId, journal: &Journal, deed: Option<&Arc<Deed>>) -> Self {
        let (token, first) = (journal.next_token(), journal.next_number());
        Self { from, token, deed: deed.cloned(), first, answers: 0 }
    }

    /// Whether what is asked about is known until all have answered.
    pub(crate) const fn is_of_a_deed(&self) -> bool {
        self.deed.is_some()
    }

    /// A question for one more worker.
    pub(crate) fn ask(&mut self, journal: &mut Journal) -> Ask {
        self.answers += 1;
        let part =
            self.deed.as_ref().map(|deed| Part { deed: Arc::clone(deed), number: journal.take_number() });
        Ask { from: self.from, token: self.token, part }
    }
}

impl Lane {
    /// Delivers a message to one session, unless that got it before a crash.
    pub(crate) fn deliver_once(
        &mut self,
        shared: &Shared,
        counters: &Counters,
        now: Instant,
        target: &Target,
        item: &mut Item<'_>,
        taking: &mut Taking,
    ) {
        if taking.has(|| self.receiver(shared, target)) {
            return;
        }
        let before = self.journal.notes.len();
        self.deliver_apart(shared, counters, now, target, item);
        if taking.deed.is_some() && self.journal.notes.len() > before {
            taking.receivers.extend(self.receiver(shared, target));
        }
    }

    /// What a receiver is known by in a part: a session by its name, of those that share a message the group.
    pub(crate) fn receiver(&self, shared: &Shared, target: &Target) -> Option<u64> {
        match target.group() {
            Some(key) => Some(group_number(key, shared.seed)),
            None => match self.queues.get(target.session) {
                Some(owned) => {
                    Some(fingerprint(owned.tenant, &[&[0, 1], &*owned.name].concat(), shared.seed))
                }
                None => self.sessions.publisher(target.session).map(core::num::NonZeroU64::get),
            },
        }
    }
}

/// What a group is known by in a part. Its name is none that a session can have.
pub(crate) fn group_number(key: &GroupKey, seed: u64) -> u64 {
    fingerprint(key.tenant, &[&[0], &*key.group, &[0], &*key.filter].concat(), seed)
}

impl Engine {
    /// A publication of a stored session that has to be done in parts.
    pub(crate) fn publication(&self, session: SessionRef, receipt: u16) -> Option<Arc<Deed>> {
        let key = self.lane.sessions.key(session)?;
        let (tenant, client_id) = (key.tenant, key.client_id.clone());
        let shard = mynah_core::shard(tenant, &client_id, self.shared.seed);
        let repeated = self.repeated.get(&(session, receipt));
        let Parts { numbers, receivers } = repeated.cloned().unwrap_or_default();
        let (again, had, parts) = (repeated.is_some(), receivers.into(), numbers.into());
        Some(Arc::new(Deed { tenant, shard, client_id, of: receipt.into(), again, had, parts }))
    }

    /// Something new that the broker owes.
    pub(crate) fn errand(&mut self, tenant: TenantId) -> Arc<Deed> {
        let (shard, of) = (self.worker.0, self.lane.journal.take_number());
        let (client_id, had, parts) = (Box::default(), Box::default(), Box::default());
        Arc::new(Deed { tenant, shard, client_id, of, again: false, had, parts })
    }

    /// Notes what this worker has taken in, and what is to be done when the others have.
    pub(crate) fn undertake(&mut self, asking: Asking, taking: Taking, session: Option<SessionRef>) {
        let Asking { first, answers, deed, .. } = asking;
        let journal = &mut self.lane.journal;
        let Some(deed) = deed else {
            journal.ask(answers, Then::Nothing);
            return;
        };
        if !taking.receivers.is_empty() {
            let part = Part { deed: Arc::clone(&deed), number: journal.take_number() };
            journal.note(Note::Part(part, taking.receivers.into()));
        }
        let parts = first..journal.next_number();
        journal.ask(answers, Then::Done { session, deed, parts });
    }

    /// Everybody has what a deed has brought them: it is done, and nothing of it need be known any more.
    pub(crate) fn done(
        &mut self,
        session: Option<SessionRef>,
        deed: &Arc<Deed>,
        parts: core::ops::Range<u64>,
    ) {
        match session {
            Some(session) => {
                let receipt = deed.of as u16;
                if self.lane.sessions.get(session).is_some_and(|s| s.stored) {
                    self.lane.journal.note(Note::Received(session, receipt));
                    self.repeated.remove(&(session, receipt));
                    self.postpone(session, receipt);
                }
            }
            None => self.lane.journal.note(Note::ErrandDone(Arc::clone(deed))),
        }
        for number in parts.chain(deed.parts.iter().copied()) {
            self.lane.journal.note(Note::PartGone(Arc::clone(deed), number));
        }
    }

    /// What an earlier run has left of a publication is of no use any more: its identifier is free for another.
    #[cold]
    pub(crate) fn forget_repeated(&mut self, session: Option<SessionRef>, receipt: u16) {
        let Some(session) = session.filter(|session| self.repeated.contains_key(&(*session, receipt))) else {
            return;
        };
        let deed = self.publication(session, receipt);
        self.repeated.remove(&(session, receipt));
        for number in deed.iter().flat_map(|deed| deed.parts.iter()) {
            self.lane.journal.notes.extend(deed.iter().map(|deed| Note::PartGone(Arc::clone(deed), *number)));
        }
    }

    /// A message that a stored session held goes to a member of its group on another worker: the broker owes it until it
    /// is stored there.
    pub(crate) fn send_errand(
        &mut self,
        message: &Message,
        key: &Arc<GroupKey>,
        to: WorkerId,
        targets: &Arc<[Target]>,
    ) {
        let deed = self.errand(message.header().tenant);
        self.lane.journal.note(Note::Errand(Arc::clone(&deed), message.clone(), Some(Arc::clone(key))));
        self.send_on(message, deed, to, targets);
    }

    fn send_on(&mut self, message: &Message, deed: Arc<Deed>, to: WorkerId, targets: &Arc<[Target]>) {
        let mut asking = Asking::new(self.worker, &self.lane.journal, Some(&deed));
        let ask = Some(asking.ask(&mut self.lane.journal));
        let (message, targets) = (message.clone(), Arc::clone(targets));
        self.outboxes[usize::from(to.0)].push(Parcel::Deliver { message, targets, ask });
        self.undertake(asking, Taking::default(), None);
    }

    /// Drops a part from the store that an earlier run has left of something that is over. The engine is that of the
    /// session's owner.
    pub fn drop_part(&mut self, session: SessionName<'_>, of: u64, number: u64) {
        let SessionName { tenant, shard, client_id } = session;
        let (client_id, had, parts) = (client_id.into(), Box::default(), Box::default());
        let deed = Deed { tenant, shard, client_id, of, again: true, had, parts };
        self.lane.journal.note(Note::PartGone(Arc::new(deed), number));
    }

    /// Takes in what an earlier run owed, which [`Engine::begin`] does.
    pub fn restore_errand(&mut self, errand: RestoredErrand) {
        self.errands.push(errand);
    }

    /// Does what an earlier run owed.
    pub(crate) fn run_errands(&mut self, now: Instant) {
        for errand in core::mem::take(&mut self.errands) {
            let RestoredErrand { shard, number, message, group, parts } = errand;
            let Parts { numbers, mut receivers } = parts;
            receivers.sort_unstable();
            let (tenant, client_id) = (message.header().tenant, Box::default());
            let (had, parts) = (receivers.into(), numbers.into());
            let deed = Arc::new(Deed { tenant, shard, client_id, of: number, again: true, had, parts });
            match group {
                None => self.distribute_again(now, &message, deed, None),
                Some(key) if *key.group == *ADDRESSED => {
                    self.distribute_again(now, &message, deed, Some(Topic::from_checked(&key.filter)));
                }
                Some(key) => self.share_again(now, &message, &key, deed),
            }
        }
    }

    fn share_again(&mut self, now: Instant, message: &Message, key: &GroupKey, deed: Arc<Deed>) {
        let strategy = self.shared.limits.share_strategy;
        let is_done = deed.had(group_number(key, self.shared.seed));
        let member = {
            let shares = self.shared.read_shares();
            let members = shares.members(key).filter(|_| !is_done);
            let may_see = |reader: &Reader| reader.may_see(message.topic());
            members.and_then(|members| members.choose(strategy, None, may_see)).cloned()
        };
        match member {
            Some(member)
                if member.target().session.worker != self.worker
                    && self.asks(member.target().session.worker) =>
            {
                self.send_on(message, deed, member.target().session.worker, member.targets());
            }
            member => {
                if let Some(member) = member {
                    self.pass(now, message, &member, None, &mut Taking::default());
                }
                self.done(None, &deed, 0..0);
            }
        }
    }
}
