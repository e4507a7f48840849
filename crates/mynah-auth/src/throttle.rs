//! Guessing is slow: failures are counted by address, by identity, and by both together, and whoever has had too many of
//! them waits, longer each time. Tables are of a fixed size; time is an argument.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use mynah_model::{Instant, TenantId};

/// How long the first wait is; each failure more doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Failures beyond those that are free after which waits do not grow: all of it is forgotten after as many periods.
const LEVEL_MAX: u32 = 10;
/// How long an address from which an identity has logged in is known as its own.
const TRUST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Entries that a place of a table has room for.
const WAYS: usize = 8;

/// How many failures are free before waiting begins, and how large the tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleSettings {
    /// Failures of one identity from one address.
    pub pair_failures: u32,
    /// Failures from one address, whoever it says it is.
    pub address_failures: u32,
    /// Failures of one identity, wherever they come from.
    pub identity_failures: u32,
    /// Addresses, identities, and pairs of them that are remembered: as many of each.
    pub entries_max: usize,
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        Self { pair_failures: 5, address_failures: 50, identity_failures: 20, entries_max: 16_384 }
    }
}

/// Failures are forgotten one by one: of a pair or an identity each minute, of an address, which may be shared by many,
/// each six seconds. In the long run nobody guesses more often than that.
const FORGET: Duration = Duration::from_secs(60);
const FORGET_OF_ADDRESS: Duration = Duration::from_secs(6);

/// Who has failed to log in lately, and how often.
pub(crate) struct Throttle {
    pairs: Table,
    addresses: Table,
    identities: Table,
    /// When an identity has logged in from an address. Guesses of others from elsewhere do not keep it out there.
    trusted: Table,
    hasher: RandomState,
}

/// One attempt to log in, as the tables know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    address: u64,
    identity: Option<u64>,
    pair: Option<u64>,
}

impl Throttle {
    pub(crate) fn new(settings: ThrottleSettings) -> Self {
        let table = |free, forget| Table::new(free, forget, settings.entries_max);
        Self {
            pairs: table(settings.pair_failures, FORGET),
            addresses: table(settings.address_failures, FORGET_OF_ADDRESS),
            identities: table(settings.identity_failures, FORGET),
            trusted: table(0, TRUST),
            hasher: RandomState::new(),
        }
    }

    /// The origin of an attempt. No address is this machine's; no name is an attempt that names nobody.
    pub(crate) fn origin(&self, address: Option<IpAddr>, name: Option<(TenantId, &str)>) -> Origin {
        let address = self.hasher.hash_one(address.map(network));
        let identity = name.map(|name| self.hasher.hash_one(name));
        Origin { address, identity, pair: identity.map(|identity| self.hasher.hash_one((address, identity))) }
    }

    /// Whether an attempt may be looked at now. If not, it is to be refused unseen.
    pub(crate) fn admits(&self, now: Instant, origin: Origin) -> bool {
        if origin.pair.is_some_and(|pair| self.pairs.waits(now, pair)) {
            return false;
        }
        let is_trusted = origin.pair.is_some_and(|pair| self.trusted.is_fresh(now, pair));
        let others_wait = self.addresses.waits(now, origin.address)
            || origin.identity.is_some_and(|identity| self.identities.waits(now, identity));
        is_trusted || !others_wait
    }

    /// An attempt has proved nothing.
    pub(crate) fn failed(&mut self, now: Instant, origin: Origin) {
        self.addresses.count(now, origin.address);
        if let Some(identity) = origin.identity {
            self.identities.count(now, identity);
        }
        if let Some(pair) = origin.pair {
            self.pairs.count(now, pair);
        }
    }

    /// An attempt has proved what it said. Only its own failures are forgiven: who knows one password may be guessing
    /// another.
    pub(crate) fn succeeded(&mut self, now: Instant, origin: Origin) {
        if let Some(pair) = origin.pair {
            self.pairs.forgive(pair);
            self.trusted.renew(now, pair);
        }
    }
}

/// What counts as one address: of IPv6 the network of one site, since a site has as many addresses as it likes.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits() >> 64 | 1 << 127,
    }
}

/// Failures by tag. A tag has a few places where it can be; if all are taken, the entry with the fewest and oldest failures
/// makes room.
struct Table {
    free: u32,
    forget: Duration,
    entries: Box<[Entry]>,
}

#[derive(Clone, Copy)]
struct Entry {
    tag: u64,
    /// None at the last failure; 0 if the entry is empty.
    failures: u32,
    last: Instant,
}

impl Table {
    fn new(free: u32, forget: Duration, entries_max: usize) -> Self {
        let empty = Entry { tag: 0, failures: 0, last: Instant::ZERO };
        let places = entries_max.div_ceil(WAYS).max(1);
        Self { free, forget, entries: vec![empty; places * WAYS].into() }
    }

    fn place(&self, tag: u64) -> std::ops::Range<usize> {
        let start = (tag % (self.entries.len() / WAYS) as u64) as usize * WAYS;
        start..start + WAYS
    }

    fn get(&self, tag: u64) -> Option<&Entry> {
        self.entries[self.place(tag)].iter().find(|entry| entry.tag == tag && entry.failures > 0)
    }

    /// The entry of a tag, made if it is not there.
    fn entry(&mut self, now: Instant, tag: u64) -> &mut Entry {
        let (place, forget) = (self.place(tag), self.forget);
        let ways = &mut self.entries[place];
        let found = ways.iter().position(|entry| entry.tag == tag && entry.failures > 0);
        let weight = |entry: &Entry| (entry.left(now, forget), entry.last);
        let at = found.unwrap_or_else(|| (0..WAYS).min_by_key(|at| weight(&ways[*at])).unwrap_or(0));
        if found.is_none() {
            ways[at] = Entry { tag, failures: 0, last: now };
        }
        &mut ways[at]
    }

    /// Whether a tag has had so many failures that it has to wait.
    fn waits(&self, now: Instant, tag: u64) -> bool {
        let Some(entry) = self.get(tag) else { return false };
        let Some(level) = entry.failures.checked_sub(self.free + 1) else { return false };
        now < entry.last + (FIRST_WAIT * (1 << level.min(LEVEL_MAX))).min(self.forget)
    }

    fn count(&mut self, now: Instant, tag: u64) {
        let (forget, most) = (self.forget, self.free + LEVEL_MAX);
        let entry = self.entry(now, tag);
        entry.failures = (entry.left(now, forget) + 1).min(most);
        entry.last = now;
    }

    fn forgive(&mut self, tag: u64) {
        let place = self.place(tag);
        self.entries[place].iter_mut().filter(|entry| entry.tag == tag).for_each(|entry| entry.failures = 0);
    }

    fn renew(&mut self, now: Instant, tag: u64) {
        let entry = self.entry(now, tag);
        (entry.failures, entry.last) = (1, now);
    }

    fn is_fresh(&self, now: Instant, tag: u64) -> bool {
        self.get(tag).is_some_and(|entry| now.saturating_since(entry.last) < self.forget)
    }
}

impl Entry {
    /// How many failures are not forgotten yet.
    fn left(&self, now: Instant, forget: Duration) -> u32 {
        let periods = now.saturating_since(self.last).as_micros() / forget.as_micros().max(1);
        self.failures.saturating_sub(u32::try_from(periods).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    struct World {
        throttle: Throttle,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self {
                throttle: Throttle::new(ThrottleSettings::default()),
                now: Instant::from_micros(1_000_000),
            }
        }

        fn origin(&self, address: &str, name: &str) -> Origin {
            self.throttle.origin(Some(address.parse().unwrap()), Some((TenantId::DEFAULT, name)))
        }

        /// Tries to log in; says whether the attempt was looked at.
        fn try_once(&mut self, address: &str, name: &str, right: bool) -> bool {
            let origin = self.origin(address, name);
            let admitted = self.throttle.admits(self.now, origin);
            if admitted && right {
                self.throttle.succeeded(self.now, origin);
            } else if admitted {
                self.throttle.failed(self.now, origin);
            }
            admitted
        }

        /// Guesses as often as it gets through for an hour; returns how many guesses were looked at.
        fn guess_for_an_hour(&mut self, mut who: impl FnMut(u32) -> (String, String)) -> u32 {
            let mut seen = 0;
            for attempt in 0..36_000 {
                let (address, name) = who(attempt);
                seen += u32::from(self.try_once(&address, &name, false));
                self.now = self.now + HOUR / 36_000;
            }
            seen
        }
    }

    #[test]
    fn one_who_guesses_one_password_gets_one_guess_a_minute() {
        let seen = World::new().guess_for_an_hour(|_| ("192.0.2.1".into(), "ada".into()));
        assert!((60..=80).contains(&seen), "{seen}");
    }

    #[test]
    fn one_address_that_tries_every_name_gets_ten_guesses_a_minute() {
        let seen = World::new().guess_for_an_hour(|n| ("192.0.2.1".into(), format!("user{n}")));
        assert!((600..=670).contains(&seen), "{seen}");
        // A site of IPv6 is one address.
        let seen = World::new().guess_for_an_hour(|n| (format!("2001:db8::{n:x}"), format!("user{n}")));
        assert!((600..=670).contains(&seen), "{seen}");
    }

    #[test]
    fn a_thousand_addresses_that_guess_one_password_get_one_guess_a_minute() {
        let name = |n: u32| (format!("10.0.{}.{}", n % 1_000 / 250, n % 250), "ada".into());
        let seen = World::new().guess_for_an_hour(name);
        assert!((60..=100).contains(&seen), "{seen}");
    }

    #[test]
    fn a_flood_from_one_address_slows_nobody_elsewhere() {
        let mut world = World::new();
        for n in 0..10_000 {
            world.try_once("192.0.2.1", &format!("user{n}"), false);
        }
        assert!(!world.try_once("192.0.2.1", "bob", true), "the address itself waits");
        assert!(world.try_once("192.0.2.2", "bob", true));
        assert!(world.try_once("192.0.2.3", "user1", true), "one failure of others is nothing");
    }

    #[test]
    fn a_user_gets_in_from_where_it_was_whoever_guesses_elsewhere() {
        let mut world = World::new();
        assert!(world.try_once("198.51.100.1", "ada", true));
        for n in 0..1_000 {
            world.try_once(&format!("10.0.{}.{}", n / 250, n % 250), "ada", false);
        }
        assert!(!world.try_once("203.0.113.1", "ada", true), "an address that is not known waits");
        assert!(world.try_once("198.51.100.1", "ada", true));
        // Neighbours behind the same address that fail do not keep it out either.
        for n in 0..1_000 {
            world.try_once("198.51.100.1", &format!("user{n}"), false);
        }
        assert!(world.try_once("198.51.100.1", "ada", true));
        assert!(!world.try_once("198.51.100.1", "bob", true));
    }

    #[test]
    fn who_knows_one_password_guesses_others_no_faster() {
        let mut world = World::new();
        let mut seen = 0;
        for n in 0..1_000 {
            assert!(world.try_once("192.0.2.1", "eve", true));
            seen += u32::from(world.try_once("192.0.2.1", &format!("user{n}"), false));
        }
        assert_eq!(seen, 51);
    }

    #[test]
    fn a_right_password_at_last_forgives_the_wrong_ones() {
        let mut world = World::new();
        for _ in 0..5 {
            assert!(world.try_once("192.0.2.1", "ada", false));
        }
        assert!(world.try_once("192.0.2.1", "ada", true));
        for _ in 0..6 {
            assert!(world.try_once("192.0.2.1", "ada", false));
        }
        assert!(!world.try_once("192.0.2.1", "ada", true));
        world.now = world.now + Duration::from_secs(1);
        assert!(world.try_once("192.0.2.1", "ada", true));
    }

    #[test]
    fn attempts_without_a_name_count_for_their_address() {
        let mut world = World::new();
        let origin = world.throttle.origin(None, None);
        for _ in 0..51 {
            assert!(world.throttle.admits(world.now, origin));
            world.throttle.failed(world.now, origin);
        }
        assert!(!world.throttle.admits(world.now, origin));
    }

    proptest! {
        /// However failures and pauses follow each other, nobody who has been quiet for long enough waits, and nobody waits
        /// longer than the period in which a failure is forgotten.
        #[test]
        fn failures_are_forgotten(steps in prop::collection::vec((0..3u64, 0..200u64), 1..200)) {
            let mut world = World::new();
            for (who, seconds) in steps {
                world.try_once("192.0.2.1", &format!("user{who}"), false);
                world.now = world.now + Duration::from_secs(seconds);
            }
            let mut later = World { throttle: world.throttle, now: world.now + FORGET };
            for who in 0..3 {
                let origin = later.origin("192.0.2.1", &format!("user{who}"));
                prop_assert!(later.throttle.admits(later.now, origin));
            }
            later.now = later.now + HOUR;
            for _ in 0..6 {
                prop_assert!(later.try_once("192.0.2.1", "user0", false));
            }
        }

        /// A table holds what it can, and as much as it can of what is worst.
        #[test]
        fn a_full_table_forgets_the_lightest(tags in prop::collection::vec(1..1_000u64, 1..2_000)) {
            let mut table = Table::new(0, FORGET, 64);
            let worst = 7;
            for tag in tags {
                for _ in 0..5 {
                    table.count(Instant::ZERO, worst);
                }
                table.count(Instant::ZERO, tag);
            }
            prop_assert!(table.waits(Instant::ZERO, worst));
            prop_assert_eq!(table.entries.len(), 64);
        }
    }
}
