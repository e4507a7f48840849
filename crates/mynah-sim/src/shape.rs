//! The shape of a world: how many there are of everything, and how narrow it is. Drawn from the seed.

use mynah_mqtt::Version;
use mynah_stack::testing::Sequence;

/// Topics that clients publish to. One is a `$`-topic, which leading wildcards do not select.
pub(crate) const TOPICS: [&str; 8] = ["a", "a/b", "a/b/c", "a/x", "b", "b/c", "/", "$s/a"];

/// Filters of subscriptions whose live messages show the retain flag: they get no retained values, from which such a
/// message could not be told.
pub(crate) const AS_PUBLISHED: [&str; 3] = ["+/#", "a/b/#", "s/#"];

/// Topics whose messages groups share: each of them has a payload of its own.
pub(crate) const SHARED_TOPICS: [&str; 2] = ["s/1", "s/2"];

/// Shared subscriptions, whose members give them their own identifiers ([`share_id`]).
pub(crate) const SHARES: [&str; 3] = ["$share/g/s/+", "$share/g/s/#", "$share/h/s/1"];

/// The identifier under which a share's members ask for it.
pub(crate) const fn share_id(place: usize) -> u32 {
    101 + place as u32
}

/// The share that has an identifier.
pub(crate) fn share_of(id: u32) -> Option<&'static str> {
    SHARES.get(id.checked_sub(101)? as usize).copied()
}

/// Filters that clients subscribe to: exact ones, wildcards, and many that overlap.
pub(crate) const FILTERS: [&str; 14] =
    ["#", "a", "a/#", "a/+", "a/b", "+/b", "+", "b/#", "b/c", "+/+", "a/+/c", "/+", "$s/#", "will/#"];

/// What a client always is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    pub(crate) version: Version,
    /// Seconds that its sessions outlive their connections; for ever, if absent.
    pub(crate) lifetime: Option<u32>,
}

impl Profile {
    /// Whether sessions outlive their connections.
    pub(crate) fn is_persistent(self) -> bool {
        self.lifetime != Some(0)
    }

    /// Whether a session can be gone although nobody gave it up.
    pub(crate) fn may_expire(self) -> bool {
        self.is_persistent() && self.lifetime.is_some()
    }
}

/// How a world is made.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) engines: usize,
    /// Clients; sessions of the first ones outlive their connections, that of the very first for ever.
    pub(crate) clients: Vec<Profile>,
    /// Unconfirmed deliveries to one client.
    pub(crate) inflight_max: u16,
    pub(crate) outbound_bytes_max: usize,
    pub(crate) route_cache_max: usize,
    /// Bytes under way on a link, at most.
    pub(crate) window: usize,
    /// Bytes of one read, at most.
    pub(crate) chunk: usize,
    /// Whether credentials are verified, which takes a while.
    pub(crate) verifies: bool,
}

impl Shape {
    pub(crate) fn draw(sequence: &mut Sequence) -> Self {
        let mut one_of = |choices: &[usize]| choices[sequence.between(0, choices.len() as u64 - 1) as usize];
        let clients = one_of(&[5, 6, 7, 8]);
        let persistent = one_of(&[3, 4, clients - 1]);
        let mut profile = |place| {
            let version = if one_of(&[0, 1, 1]) == 0 { Version::V3_1_1 } else { Version::V5 };
            let lifetime = match (place, one_of(&[0, 0, 1, 2])) {
                (place, _) if place >= persistent => Some(0),
                (1.., seconds @ 1..) if version.has_properties() => Some(seconds as u32),
                _ => None,
            };
            Profile { version, lifetime }
        };
        let clients = (0..clients).map(&mut profile).collect();
        Self {
            engines: one_of(&[2, 2, 2, 3]),
            clients,
            inflight_max: one_of(&[1, 3, 20, 1_024]) as u16,
            outbound_bytes_max: one_of(&[256, 2_048, 1 << 20]),
            route_cache_max: one_of(&[1, 4, 1_024]),
            window: one_of(&[256, 1_024, 65_536]),
            chunk: one_of(&[3, 40, 1_000, 65_536]),
            verifies: one_of(&[0, 0, 1]) == 1,
        }
    }
}
