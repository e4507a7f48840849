//! The sessions of one worker: a slab with generations, and an index by name.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU64;

use hashbrown::HashTable;
use mynah_model::{Identity, Limits, Reason, TenantId};

use crate::shard::{fingerprint, shard_of};
use crate::{Session, SessionRef, WorkerId};

/// What a session is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Whose client identifiers these are.
    pub tenant: TenantId,
    /// The client identifier.
    pub client_id: Box<[u8]>,
}

/// The sessions that one worker owns.
#[derive(Debug)]
pub struct SessionTable {
    worker: WorkerId,
    seed: u64,
    sessions_max: usize,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    /// Slots of the sessions that have a name.
    by_key: HashTable<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    /// That of the occupant's name; none is looked at if there is no name.
    shard: u16,
    occupant: Option<Box<Occupant>>,
}

#[derive(Debug)]
struct Occupant {
    key: Option<SessionKey>,
    session: Session,
}

impl SessionTable {
    /// An empty table for at most [`Limits::sessions_max`] sessions, keyed by `seed`.
    #[must_use]
    pub fn new(worker: WorkerId, seed: u64, limits: &Limits) -> Self {
        Self {
            worker,
            seed,
            sessions_max: limits.sessions_max.min(u32::MAX as usize),
            slots: Vec::new(),
            vacant: Vec::new(),
            by_key: HashTable::new(),
        }
    }

    /// The session of a client.
    #[must_use]
    pub fn find(&self, tenant: TenantId, client_id: &[u8]) -> Option<SessionRef> {
        self.find_hashed(fingerprint(tenant, client_id, self.seed), tenant, client_id)
    }

    fn find_hashed(&self, hash: u64, tenant: TenantId, client_id: &[u8]) -> Option<SessionRef> {
        let slot = *self.by_key.find(hash, |&slot| self.has_key(slot, tenant, client_id))?;
        Some(self.reference(slot))
    }

    /// The session of the client `key`, or a new one that `make` makes; without a key always a new one. Also returns
    /// whether the session was there before. To start clean, [`SessionTable::remove`] the earlier one first, or
    /// [`Session::discard`] what it holds.
    ///
    /// # Errors
    /// [`Reason::ClientIdRefused`] if the session belongs to another identity; [`Reason::QuotaExceeded`] if the table
    /// is full.
    pub fn open(
        &mut self,
        key: Option<SessionKey>,
        identity: &Identity,
        make: impl FnOnce() -> Session,
    ) -> Result<(SessionRef, bool), Reason> {
        let hash = key.as_ref().map(|key| fingerprint(key.tenant, &key.client_id, self.seed));
        let named = key.as_ref().zip(hash);
        let existing = named.and_then(|(key, hash)| self.find_hashed(hash, key.tenant, &key.client_id));
        if let Some(reference) = existing {
            let owned = self.get(reference).is_some_and(|session| session.identity == *identity);
            return if owned { Ok((reference, true)) } else { Err(Reason::ClientIdRefused) };
        }
        if self.len() >= self.sessions_max {
            return Err(Reason::QuotaExceeded);
        }
        let slot = self.occupy(Box::new(Occupant { key, session: make() }));
        if let Some(hash) = hash {
            self.slots[slot as usize].shard = shard_of(hash);
            let (slots, seed) = (&self.slots, self.seed);
            self.by_key.insert_unique(hash, slot, |&slot| hash_of(seed, &slots[slot as usize]));
        }
        Ok((self.reference(slot), false))
    }

    /// The session that `session` refers to, unless it has ended.
    #[must_use]
    pub fn get(&self, session: SessionRef) -> Option<&Session> {
        self.occupant(session).map(|occupant| &occupant.session)
    }

    /// The session that `session` refers to, unless it has ended.
    #[must_use]
    pub fn get_mut(&mut self, session: SessionRef) -> Option<&mut Session> {
        self.get_mut_with_key(session).map(|(session, _)| session)
    }

    /// The session that `session` refers to, unless it has ended, with its name if it has one.
    #[must_use]
    pub fn get_mut_with_key(&mut self, session: SessionRef) -> Option<(&mut Session, Option<&SessionKey>)> {
        if session.worker != self.worker {
            return None;
        }
        let slot = self.slots.get_mut(session.slot as usize)?;
        if slot.generation != session.generation {
            return None;
        }
        slot.occupant.as_mut().map(|occupant| (&mut occupant.session, occupant.key.as_ref()))
    }

    /// The name of a session, unless it has ended or has none.
    #[must_use]
    pub fn key(&self, session: SessionRef) -> Option<&SessionKey> {
        self.occupant(session)?.key.as_ref()
    }

    /// The name of a session and the shard that it is in, unless it has ended or has no name.
    #[must_use]
    pub fn place(&self, session: SessionRef) -> Option<(&SessionKey, u16)> {
        Some((self.key(session)?, self.slots[session.slot as usize].shard))
    }

    /// What tells this session's messages from those of others, within one run of the broker. A client keeps it when its
    /// session is discarded.
    #[must_use]
    pub fn publisher(&self, session: SessionRef) -> Option<NonZeroU64> {
        let number = match self.key(session) {
            Some(key) => fingerprint(key.tenant, &key.client_id, self.seed),
            None => {
                let SessionRef { worker, slot, generation } = session;
                u64::from(worker.0) << 56 | u64::from(generation & 0xFF_FFFF) << 32 | u64::from(slot)
            }
        };
        NonZeroU64::new(number).or(NonZeroU64::new(1))
    }

    /// Ends a session and returns what it held: its subscriptions are still in the index.
    pub fn remove(&mut self, session: SessionRef) -> Option<Session> {
        self.occupant(session)?;
        let hash = hash_of(self.seed, &self.slots[session.slot as usize]);
        if let Ok(entry) = self.by_key.find_entry(hash, |&slot| slot == session.slot) {
            entry.remove();
        }
        let slot = &mut self.slots[session.slot as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.vacant.push(session.slot);
        slot.occupant.take().map(|occupant| occupant.session)
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// Whether there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All sessions, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (SessionRef, &Session)> + '_ {
        self.slots.iter().zip(0..).filter_map(|(slot, number)| {
            slot.occupant.as_ref().map(|occupant| (self.reference(number), &occupant.session))
        })
    }

    /// The first session at this slot or after it.
    #[must_use]
    pub fn next_from(&self, slot: u32) -> Option<SessionRef> {
        let mut slots = (slot..).zip(self.slots.get(slot as usize..)?);
        slots.find(|(_, slot)| slot.occupant.is_some()).map(|(slot, _)| self.reference(slot))
    }

    fn reference(&self, slot: u32) -> SessionRef {
        SessionRef { worker: self.worker, slot, generation: self.slots[slot as usize].generation }
    }

    fn occupant(&self, session: SessionRef) -> Option<&Occupant> {
        let slot = self.slots.get(session.slot as usize)?;
        let valid = session.worker == self.worker && slot.generation == session.generation;
        slot.occupant.as_deref().filter(|_| valid)
    }

    fn has_key(&self, slot: u32, tenant: TenantId, client_id: &[u8]) -> bool {
        let key = self.slots[slot as usize].occupant.as_ref().and_then(|occupant| occupant.key.as_ref());
        key.is_some_and(|key| key.tenant == tenant && *key.client_id == *client_id)
    }

    fn occupy(&mut self, occupant: Box<Occupant>) -> u32 {
        if let Some(slot) = self.vacant.pop() {
            self.slots[slot as usize].occupant = Some(occupant);
            return slot;
        }
        self.slots.push(Slot { generation: 0, shard: 0, occupant: Some(occupant) });
        (self.slots.len() - 1) as u32
    }
}

/// The hash under which a slot stands in the index by name; any number for a nameless session, which is not there.
fn hash_of(seed: u64, slot: &Slot) -> u64 {
    let key = slot.occupant.as_ref().and_then(|occupant| occupant.key.as_ref());
    key.map_or(0, |key| fingerprint(key.tenant, &key.client_id, seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueBounds;
    use mynah_model::Expiry;

    fn key(client_id: &str) -> SessionKey {
        SessionKey { tenant: TenantId::DEFAULT, client_id: client_id.as_bytes().into() }
    }

    fn session(identity: &Identity) -> Session {
        let bounds = QueueBounds { messages_max: 10, bytes_max: 1000 };
        Session::new(identity.clone(), Expiry::Never, 10, bounds)
    }

    fn table(sessions_max: usize) -> (SessionTable, Identity) {
        let limits = Limits { sessions_max, ..Limits::default() };
        (SessionTable::new(WorkerId(3), 1, &limits), Identity::user(TenantId::DEFAULT, "u"))
    }

    #[test]
    fn a_named_session_is_found_again_by_its_identity_only() {
        let (mut table, user) = table(10);
        let (first, present) = table.open(Some(key("c")), &user, || session(&user)).unwrap();
        assert!(!present);
        assert_eq!(table.open(Some(key("c")), &user, || session(&user)), Ok((first, true)));
        assert_eq!(table.find(TenantId::DEFAULT, b"c"), Some(first));
        assert_eq!(table.find(TenantId::new(1), b"c"), None);
        let other = Identity::user(TenantId::DEFAULT, "v");
        assert_eq!(table.open(Some(key("c")), &other, || session(&other)), Err(Reason::ClientIdRefused));
        assert_eq!(table.key(first), Some(&key("c")));
        let publisher = table.publisher(first);
        table.remove(first);
        let (again, _) = table.open(Some(key("c")), &user, || session(&user)).unwrap();
        assert_eq!(table.publisher(again), publisher);
        let (nameless, _) = table.open(None, &user, || session(&user)).unwrap();
        assert_ne!(table.publisher(nameless), publisher);
    }

    #[test]
    fn a_reference_to_a_session_that_ended_finds_nothing() {
        let (mut table, user) = table(10);
        let (old, _) = table.open(Some(key("c")), &user, || session(&user)).unwrap();
        let (nameless, _) = table.open(None, &user, || session(&user)).unwrap();
        assert!(table.remove(old).is_some());
        assert!(table.remove(old).is_none());
        let (new, present) = table.open(Some(key("c")), &user, || session(&user)).unwrap();
        assert!(!present && new.slot == old.slot && new != old);
        assert!(table.get(old).is_none() && table.get_mut(old).is_none() && table.get(new).is_some());
        assert!(table.get(SessionRef { worker: WorkerId(0), ..new }).is_none());
        assert_eq!(table.iter().map(|(r, _)| r).collect::<Vec<_>>(), [new, nameless]);
        table.remove(new);
        assert_eq!((table.next_from(0), table.next_from(1)), (Some(nameless), Some(nameless)));
        assert_eq!((table.next_from(2), table.next_from(9)), (None, None));
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut table, user) = table(2);
        let (first, _) = table.open(Some(key("a")), &user, || session(&user)).unwrap();
        table.open(None, &user, || session(&user)).unwrap();
        assert_eq!(table.open(None, &user, || session(&user)), Err(Reason::QuotaExceeded));
        assert_eq!(table.open(Some(key("a")), &user, || session(&user)), Ok((first, true)));
        table.remove(first);
        assert!(table.open(None, &user, || session(&user)).is_ok());
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn an_idle_session_is_small() {
        // The allocations of the client identifier and of the session itself, and the index by name come on top.
        assert!(size_of::<Occupant>() <= 248 && size_of::<Slot>() == 16, "{}", size_of::<Occupant>());
    }
}
