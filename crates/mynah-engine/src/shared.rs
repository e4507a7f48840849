//! What all workers of a broker share: the topic index, retained values, rules, layouts, counters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use mynah_core::exchange::{ExchangeBounds, Exchanges};
use mynah_core::rules::Rules;
use mynah_core::{Counters, Generations, RetainedStore, Shares, TopicIndex, WorkerId};
use mynah_model::{DateTime, Identity, Instant, Limits, TenantId, WallTime};
use mynah_stack::Protocol;

use crate::audit::{Admitted, AuditKind, Bounds, Rest};
use crate::layouts::Layouts;
use crate::presence::Presence;
use crate::proof::Proof;
use crate::restraint::{Crowd, Pace};

/// How client identifiers begin that belong to connections that the broker itself has made; nobody else is given one.
pub const BRIDGE_PREFIX: &str = "$bridge/";

/// Exchanges and bindings of all tenants.
const EXCHANGES: ExchangeBounds = ExchangeBounds { exchanges_max: 1 << 20, bindings_max: 10_000_000 };

/// A place where peers come in: which protocol they speak, and who they are when they do not say.
pub struct Listener {
    /// The name in logs and configuration.
    pub name: String,
    /// The protocol spoken here.
    pub protocol: Arc<dyn Protocol>,
    /// Whose space peers of this listener are in.
    pub tenant: TenantId,
    /// Whether a peer without credentials is let in, as the anonymous identity of this listener.
    pub anonymous: bool,
    /// Whether a certificate can say who a peer is that has no credentials.
    pub certificates: bool,
    /// Who a peer without credentials is instead, if it is known: a connection that the broker itself has made.
    pub identity: Option<Identity>,
}

/// What a broker is made of.
pub struct Settings {
    /// How many workers there are.
    pub workers: u16,
    /// Bounds of everything.
    pub limits: Limits,
    /// Where peers come in; a connection names its listener by its place in this list.
    pub listeners: Vec<Listener>,
    /// Whether credentials can be verified. Without it credentials are not looked at, and only anonymous listeners
    /// let anybody in.
    pub verifies_credentials: bool,
    /// The tenants that a peer may name, if it can prove that it belongs there, by their names.
    pub tenants: BTreeMap<Box<str>, TenantId>,
    /// Who may do what where, at first: see [`crate::Engine::handle_rules`].
    pub rules: Arc<Rules>,
    /// Key of every hash and source of every random choice.
    pub seed: u64,
    /// How often `$SYS` is published; never, if absent.
    pub sys_interval: Option<Duration>,
    /// The version that `$SYS` names.
    pub version: &'static str,
}

/// What all workers share. Read-mostly: publishing on a topic that was matched before takes no lock.
pub struct Shared {
    pub(crate) index: RwLock<TopicIndex>,
    pub(crate) shares: RwLock<Shares>,
    pub(crate) generations: Generations,
    exchanges: RwLock<Exchanges>,
    /// The number of the next exchange of this run.
    pub(crate) exchange_numbers: AtomicU64,
    /// How many exchanges have come or gone.
    pub(crate) exchange_changes: AtomicU64,
    /// Whether other exchanges were ever bound to a topic space.
    pub(crate) leads_beyond: AtomicBool,
    pub(crate) retained: RwLock<RetainedStore>,
    pub(crate) presence: Presence,
    pub(crate) rules: Arc<Rules>,
    pub(crate) crowd: Crowd,
    pub(crate) pace: Pace,
    pub(crate) layouts: Layouts,
    pub(crate) listeners: Vec<Door>,
    pub(crate) limits: Limits,
    pub(crate) verifies_credentials: bool,
    tenants: BTreeMap<Box<str>, TenantId>,
    pub(crate) seed: u64,
    pub(crate) sys_interval: Option<Duration>,
    pub(crate) version: &'static str,
    counters: Box<[Counters]>,
    audits: Bounds,
    /// How many queues tenants have.
    queues: RwLock<BTreeMap<TenantId, usize>>,
    /// Queues that may refuse what is published to them.
    refusing: RwLock<BTreeMap<TenantId, BTreeSet<Box<[u8]>>>>,
    refusing_len: AtomicUsize,
    /// Which time of day it was at which instant.
    wall: OnceLock<(Instant, WallTime)>,
    /// How many sessions of each worker are stored.
    stored: Box<[AtomicUsize]>,
}

/// A listener with the identity of its anonymous peers.
pub(crate) struct Door {
    pub(crate) name: String,
    pub(crate) tenant: TenantId,
    pub(crate) protocol: Arc<dyn Protocol>,
    pub(crate) anonymous: Option<Identity>,
    pub(crate) certificates: bool,
    /// The broker itself has made the connections that come in here.
    pub(crate) is_own: bool,
}

impl Door {
    /// Whether a proof can say who a peer is that has no credentials. Where keys are shared nobody is asked anything else.
    pub(crate) const fn takes(&self, proof: &Proof) -> bool {
        self.certificates || matches!(proof, Proof::PreSharedKey(_))
    }
}

impl Shared {
    /// What the workers of a broker with these settings share.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        let Settings {
            workers,
            limits,
            listeners,
            verifies_credentials,
            tenants,
            rules,
            seed,
            sys_interval,
            version,
        } = settings;
        let door = |l: Listener| Door {
            is_own: l.identity.is_some(),
            certificates: l.certificates,
            anonymous: l.identity.or_else(|| l.anonymous.then(|| Identity::anonymous(l.tenant, &l.name))),
            protocol: l.protocol,
            tenant: l.tenant,
            name: l.name,
        };
        let of_listeners = listeners.iter().map(|l| l.tenant);
        let exchanges = first_exchanges(seed, tenants.values().copied().chain(of_listeners));
        Arc::new(Self {
            index: RwLock::new(TopicIndex::new(seed)),
            shares: RwLock::new(Shares::new(seed)),
            generations: Generations::new(seed),
            exchanges: RwLock::new(exchanges),
            exchange_numbers: AtomicU64::new(1),
            exchange_changes: AtomicU64::new(0),
            leads_beyond: AtomicBool::new(false),
            retained: RwLock::new(RetainedStore::new(&limits, seed)),
            presence: Presence::new(usize::from(workers.max(1)), &limits, seed),
            rules,
            crowd: Crowd::default(),
            pace: Pace::default(),
            layouts: Layouts::new(listeners.iter().map(|l| l.protocol.codec())),
            listeners: listeners.into_iter().map(door).collect(),
            limits,
            verifies_credentials,
            tenants,
            seed,
            sys_interval,
            version,
            audits: Bounds::default(),
            queues: RwLock::default(),
            refusing: RwLock::default(),
            refusing_len: AtomicUsize::new(0),
            wall: OnceLock::new(),
            counters: (0..workers.max(1)).map(|_| Counters::default()).collect(),
            stored: (0..workers.max(1)).map(|_| AtomicUsize::new(0)).collect(),
        })
    }

    /// The tenant of this name, as it is written or in small letters: hosts are named without regard to case.
    pub(crate) fn tenant_named(&self, name: &str) -> Option<TenantId> {
        let lower = || self.tenants.get(&*name.to_ascii_lowercase());
        self.tenants.get(name).or_else(lower).copied()
    }

    /// Hears which time of day it is; until then the clock is taken to have begun with 1970. Heard once, before the first
    /// peer comes.
    pub fn set_time_of_day(&self, now: Instant, time: WallTime) {
        self.wall.get_or_init(|| (now, time));
    }

    /// The time of day at an instant, as it is shown.
    pub(crate) fn time_of_day(&self, at: Instant) -> String {
        DateTime::new(self.wall_at(at)).map_or_else(String::new, |time| format!("{time:#}"))
    }

    /// The time of day at an instant.
    pub(crate) fn wall_at(&self, at: Instant) -> WallTime {
        let (known, time) = self.wall.get().copied().unwrap_or_default();
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let (ahead, ago) = (millis(at.saturating_since(known)), millis(known.saturating_since(at)));
        WallTime::from_unix_millis(time.as_unix_millis().saturating_add(ahead).saturating_sub(ago))
    }

    /// The instant of a time of day.
    pub(crate) fn instant_of(&self, time: WallTime) -> Instant {
        let (known, known_time) = self.wall.get().copied().unwrap_or_default();
        let (time, known_time) = (time.as_unix_millis(), known_time.as_unix_millis());
        let (ahead, ago) = (time.saturating_sub(known_time), known_time.saturating_sub(time));
        known + Duration::from_millis(ahead) - Duration::from_millis(ago)
    }

    /// A tenant has one more queue, unless that is one too many. Returns whether it has.
    pub(crate) fn count_queue(&self, tenant: TenantId) -> bool {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let count = queues.entry(tenant).or_default();
        *count += 1;
        let fits = *count <= self.limits.queues_max;
        if !fits {
            *count -= 1;
        }
        fits
    }

    /// A tenant has one queue less.
    pub(crate) fn discount_queue(&self, tenant: TenantId) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = queues.get_mut(&tenant) {
            *count = count.saturating_sub(1);
        }
    }

    /// A queue may refuse what is published to it, or is not there any more.
    pub(crate) fn note_refusing(&self, tenant: TenantId, name: &[u8], refuses: bool) {
        let mut refusing = self.refusing.write().unwrap_or_else(PoisonError::into_inner);
        let names = refusing.entry(tenant).or_default();
        if refuses {
            names.insert(name.into());
        } else {
            names.remove(name);
        }
        let len = refusing.values().map(BTreeSet::len).sum();
        self.refusing_len.store(len, Ordering::Release);
    }

    /// Whether a queue may refuse what is published to it.
    pub(crate) fn is_refusing(&self, tenant: TenantId, name: &[u8]) -> bool {
        self.refusing_len.load(Ordering::Acquire) > 0
            && self
                .refusing
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&tenant)
                .is_some_and(|names| names.contains(name))
    }

    /// Something has happened elsewhere. Says whether it is to be told ([`crate::Engine::handle_audit`]).
    #[must_use]
    pub fn admit_audit(&self, now: Instant, kind: AuditKind) -> Admitted {
        self.audits.admit(now, kind)
    }

    /// What was left out of a kind in a second that is over.
    pub(crate) fn left_out(&self, now: Instant, kind: AuditKind) -> Rest {
        self.audits.rest(now, kind)
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> u16 {
        self.counters.len() as u16
    }

    /// The counters of one worker.
    #[must_use]
    pub fn counters(&self, worker: WorkerId) -> &Counters {
        &self.counters[usize::from(worker.0)]
    }

    /// The counters of all workers.
    #[must_use]
    pub fn all_counters(&self) -> &[Counters] {
        &self.counters
    }

    /// Whether a worker has sessions that are stored.
    #[inline]
    pub(crate) fn stores(&self, worker: WorkerId) -> bool {
        self.stored[usize::from(worker.0)].load(Ordering::Acquire) > 0
    }

    /// A worker has one more session that is stored, or one less.
    pub(crate) fn count_stored(&self, worker: WorkerId, more: bool) {
        let count = &self.stored[usize::from(worker.0)];
        if more {
            count.fetch_add(1, Ordering::Release);
        } else {
            count.fetch_sub(1, Ordering::Release);
        }
    }

    /// How many filters are attached, and how many values are retained with how many bytes.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let filters = self.read_index().len() + self.read_shares().len();
        let retained = self.read_retained();
        Sizes { filters, retained_messages: retained.len(), retained_bytes: retained.bytes() }
    }

    // A lock is poisoned only by a panic, and what it guards stays consistent between any two statements that could
    // panic; the workers go on.
    pub(crate) fn read_index(&self) -> RwLockReadGuard<'_, TopicIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_index(&self) -> RwLockWriteGuard<'_, TopicIndex> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read_shares(&self) -> RwLockReadGuard<'_, Shares> {
        self.shares.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_shares(&self) -> RwLockWriteGuard<'_, Shares> {
        self.shares.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read_exchanges(&self) -> RwLockReadGuard<'_, Exchanges> {
        self.exchanges.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_exchanges(&self) -> RwLockWriteGuard<'_, Exchanges> {
        self.exchanges.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// An exchange has come or gone.
    pub(crate) fn count_exchanges(&self) {
        self.exchange_changes.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn read_retained(&self) -> RwLockReadGuard<'_, RetainedStore> {
        self.retained.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_retained(&self) -> RwLockWriteGuard<'_, RetainedStore> {
        self.retained.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The exchanges that tenants have from the start.
fn first_exchanges(seed: u64, tenants: impl Iterator<Item = TenantId>) -> Exchanges {
    let mut exchanges = Exchanges::new(seed, EXCHANGES);
    for tenant in tenants.chain([TenantId::DEFAULT]) {
        // There are fewer tenants than exchanges fit.
        let _ = exchanges.predeclare(tenant);
    }
    exchanges
}

/// How much the shared parts hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Filters attached to sessions; one that a group shares counts once.
    pub filters: usize,
    /// Topics with a retained value.
    pub retained_messages: usize,
    /// Bytes of the retained values.
    pub retained_bytes: usize,
}
