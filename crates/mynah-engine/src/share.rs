//! Shared subscriptions at work: what a member of a group holds and cannot deliver goes to another member.

use std::sync::Arc;

use mynah_core::{
    DropReason, Entry, GroupKey, LeaseState, Member, Members, Reader, Session, SessionRef, Target,
    Withdrawal, WorkerId,
};
use mynah_model::{Class, Instant, Message, Topic};

use crate::deeds::Taking;
use crate::engine::Engine;
use crate::inbox::{Ask, Parcel};
use crate::item::Item;
use crate::shared::Shared;

/// What has become of a member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Its connection has ended: others get its messages if they are online.
    Offline,
    /// Its session has ended: any other member gets its messages.
    Ended,
}

/// What becomes of what the former member held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// It was not stored.
    Forgotten,
    /// It is stored, and what it gives away is settled.
    Stored(SessionRef),
    /// It goes, and all of it with it.
    Ended,
}

impl Engine {
    /// A session that may be a member of groups has got a connection, or lost it.
    pub(crate) fn set_online(&self, session_ref: SessionRef, online: bool) {
        let session = self.lane.sessions.get(session_ref).filter(|session| session.has_shared);
        let Some(session) = session else { return };
        let (tenant, shares) = (session.identity.tenant(), self.shared.read_shares());
        for (group, filter) in session.shared() {
            shares.set_online(tenant, group, filter, session_ref, online);
        }
    }

    /// Gives the messages that a member held to others of its groups, in their order. What a stored session held is owed
    /// until it is stored where it goes.
    pub(crate) fn pass_on(&mut self, now: Instant, passed: Vec<Passed>, former: Former) {
        for Passed { message, sequence, key, member } in passed {
            let to = member.target().session.worker;
            if former != Former::Forgotten && to != self.worker && self.asks(to) {
                self.send_errand(&message, &key, to, member.targets());
            } else {
                self.pass(now, &message, &member, None, &mut Taking::default());
            }
            if let Former::Stored(session) = former {
                self.lane.journal.note_settled(session, sequence, sequence + 1);
            }
        }
    }

    /// The peer of a member may not see what it holds: gives it to another that may. Returns whether there is one.
    pub(crate) fn offer_to_another(&mut self, now: Instant, session_ref: SessionRef, entry: &Entry) -> bool {
        let Some(key) = group_of(entry) else { return false };
        let member = {
            let (shares, topic) = (self.shared.read_shares(), entry.message.topic());
            let members = shares.members(key);
            members.and_then(|members| another(&self.shared, members, session_ref, Absence::Ended, topic))
        };
        let Some(member) = member else { return false };
        let Entry { ref message, sequence, .. } = *entry;
        let passed = Passed { message: message.clone(), sequence, key: Arc::clone(key), member };
        let stored = self.lane.sessions.get(session_ref).is_some_and(|session| session.stored);
        let former = if stored { Former::Stored(session_ref) } else { Former::Forgotten };
        self.pass_on(now, vec![passed], former);
        true
    }

    /// A message has come for a member that was chosen by another worker. If the member cannot take it by now, it goes
    /// to another, with the question of who wants to hear when it is stored, if it is not answered here.
    pub(crate) fn goes_to_another(
        &mut self,
        now: Instant,
        message: &Message,
        target: &Target,
        ask: &mut Option<Ask>,
        taking: &mut Taking,
    ) -> bool {
        let Some(key) = target.group() else { return false };
        if taking.has(|| self.lane.receiver(&self.shared, target)) {
            return true;
        }
        if self.lane.is_online(target.session) {
            return false;
        }
        let absence = match self.lane.sessions.get(target.session) {
            Some(_) => Absence::Offline,
            None => Absence::Ended,
        };
        let member = {
            let shares = self.shared.read_shares();
            shares
                .members(key)
                .and_then(|members| another(&self.shared, members, target.session, absence, message.topic()))
        };
        let Some(member) = member else { return false };
        let onward = ask.take_if(|_| member.target().session.worker != self.worker);
        if let Some(unasked) = self.pass(now, message, &member, onward, taking) {
            *ask = Some(unasked);
        }
        true
    }

    /// Gives a message to a member. Gives the question back if nobody was asked.
    pub(crate) fn pass(
        &mut self,
        now: Instant,
        message: &Message,
        member: &Member,
        ask: Option<Ask>,
        taking: &mut Taking,
    ) -> Option<Ask> {
        if message.header().deadline.is_some_and(|deadline| deadline <= now) {
            self.count_dropped(DropReason::Expired, 1);
            return ask;
        }
        let target = member.target();
        let to = target.session.worker;
        if to == self.worker {
            let shared = &*self.shared;
            self.lane.begin(None);
            let counters = shared.counters(to);
            self.lane.deliver_once(shared, counters, now, target, &mut Item::shared(message), taking);
            ask
        } else {
            let (message, targets) = (message.clone(), Arc::clone(member.targets()));
            self.outboxes[usize::from(to.0)].push(Parcel::Deliver { message, targets, ask });
            None
        }
    }

    /// Whether a worker has to be asked when it has stored a message.
    pub(crate) fn asks(&self, worker: WorkerId) -> bool {
        self.lane.journal.is_on() && self.shared.stores(worker)
    }
}

/// A message that goes from one member of a group to another.
pub(crate) struct Passed {
    message: Message,
    /// The number that it had with the former one.
    sequence: u64,
    key: Arc<GroupKey>,
    member: Arc<Member>,
}

/// Takes out of a session what other members of its groups can have, and says who. An exactly-once message that was
/// handed out stays: only this peer can say whether it has it.
pub(crate) fn withdraw(
    shared: &Shared,
    session: &mut Session,
    session_ref: SessionRef,
    absence: Absence,
) -> Vec<Passed> {
    if !session.has_shared {
        return Vec::new();
    }
    let mut members = Vec::new();
    let withdrawal = {
        let shares = shared.read_shares();
        // Most of what a session holds came by one group.
        let mut last: Option<(&Arc<GroupKey>, Option<&Members>)> = None;
        let mut choose = |entry| {
            let key = group_of(entry)?;
            let group = match last {
                Some((known, group)) if Arc::ptr_eq(known, key) => group,
                _ => shares.members(key),
            };
            last = Some((key, group));
            let next = another(shared, group?, session_ref, absence, entry.message.topic())?;
            members.push((Arc::clone(key), next));
            Some(())
        };
        let leased = session.queue.leased(None).filter_map(|(id, state)| match state {
            LeaseState::Sent(entry) if entry.class != Class::ExactlyOnce => choose(entry).map(|()| id),
            LeaseState::Sent(_) | LeaseState::Received => None,
        });
        let leased = leased.collect();
        let ready = session.queue.ready().zip(0_u32..);
        let ready = ready.filter_map(|(entry, place)| choose(entry).map(|()| place)).collect();
        Withdrawal { leased, ready }
    };
    let entries = session.queue.withdraw(&withdrawal);
    let passed = |(entry, (key, member)): (Entry, _)| {
        let Entry { message, sequence, .. } = entry;
        Passed { message, sequence, key, member }
    };
    entries.into_iter().zip(members).map(passed).collect()
}

fn group_of(entry: &Entry) -> Option<&Arc<GroupKey>> {
    entry.via.as_ref()?.group.as_ref()
}

/// The member that gets a message on `topic` in place of `session`.
fn another(
    shared: &Shared,
    members: &Members,
    session: SessionRef,
    absence: Absence,
    topic: Topic<'_>,
) -> Option<Arc<Member>> {
    let (strategy, may_see) = (shared.limits.share_strategy, |reader: &Reader| reader.may_see(topic));
    match absence {
        Absence::Offline => members.choose_online(strategy, session, may_see).cloned(),
        Absence::Ended => members.choose(strategy, Some(session), may_see).cloned(),
    }
}
