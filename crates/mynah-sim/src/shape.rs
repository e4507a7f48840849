//! The shape of a world: how many there are of everything, and how narrow it is. Drawn from the seed.

use mynah_stack::testing::Sequence;

/// Topics that clients publish to. One is a `$`-topic, which leading wildcards do not select.
pub(crate) const TOPICS: [&str; 8] = ["a", "a/b", "a/b/c", "a/x", "b", "b/c", "/", "$s/a"];

/// Filters that clients subscribe to: exact ones, wildcards, and many that overlap.
pub(crate) const FILTERS: [&str; 14] =
    ["#", "a", "a/#", "a/+", "a/b", "+/b", "+", "b/#", "b/c", "+/+", "a/+/c", "/+", "$s/#", "will/#"];

/// How a world is made.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) engines: usize,
    pub(crate) clients: usize,
    /// So many of the clients, the first ones, have sessions that outlive their connections.
    pub(crate) persistent: usize,
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
        Self {
            engines: one_of(&[2, 2, 2, 3]),
            clients,
            persistent: one_of(&[3, 4, clients - 1]),
            inflight_max: one_of(&[1, 3, 20, 1_024]) as u16,
            outbound_bytes_max: one_of(&[256, 2_048, 1 << 20]),
            route_cache_max: one_of(&[1, 4, 1_024]),
            window: one_of(&[256, 1_024, 65_536]),
            chunk: one_of(&[3, 40, 1_000, 65_536]),
            verifies: one_of(&[0, 0, 1]) == 1,
        }
    }
}
