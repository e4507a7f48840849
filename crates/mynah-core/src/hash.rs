//! Keyed hashes: without the seed nobody can choose names that collide.

use core::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use mynah_model::{MessageView, TenantId};

/// A family of hashes that a seed has chosen.
#[derive(Clone, Debug)]
pub(crate) struct KeyedHash(FixedState, u64);

/// What one step of a path leads to; keeps a literal `+` apart from the wildcard.
#[derive(Clone, Copy)]
pub(crate) enum PathStep<'a> {
    Literal(&'a [u8]),
    One,
    Tail,
    End,
}

impl KeyedHash {
    pub(crate) fn new(seed: u64) -> Self {
        Self(FixedState::with_seed(seed), seed)
    }

    /// The seed.
    pub(crate) const fn seed(&self) -> u64 {
        self.1
    }

    /// The hash of a whole text of a tenant.
    pub(crate) fn text(&self, tenant: TenantId, text: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u16(tenant.number());
        hasher.write(text);
        hasher.finish()
    }

    /// The hash of a whole message: what it says, and how it is to be treated.
    pub(crate) fn message(&self, message: MessageView<'_>) -> u64 {
        let header = message.header;
        let mut hasher = self.0.build_hasher();
        hasher.write(&[
            header.layout.id,
            header.layout.version,
            header.class.number(),
            header.priority,
            u8::from(header.deadline.is_some()),
        ]);
        hasher.write_u64(header.deadline.unwrap_or_default().as_micros());
        hasher.write(message.native);
        hasher.finish()
    }

    /// Where a tenant's paths begin.
    pub(crate) fn root(&self, tenant: TenantId) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u32(u32::from(tenant.number()));
        hasher.finish()
    }

    /// The path one step below `parent`.
    pub(crate) fn step(&self, parent: u64, step: PathStep<'_>) -> u64 {
        // The parent seeds the hasher: written beside the segment it would only be xored with the segment's hash.
        let (kind, segment) = match step {
            PathStep::Literal(segment) => (0x9e37_79b9_7f4a_7c15, segment),
            PathStep::One => (0xc2b2_ae3d_27d4_eb4f, &b"+"[..]),
            PathStep::Tail => (0x1656_67b1_9e37_79f9, &b"#"[..]),
            PathStep::End => (0xd6e8_feb8_6659_fd93, &b""[..]),
        };
        let mut hasher = FixedState::with_seed(self.1 ^ parent.wrapping_add(kind)).build_hasher();
        hasher.write(segment);
        hasher.finish()
    }
}
