//! The numbers that names have for good: they are stored, so how they follow from a name may never change.

use mynah_model::TenantId;

use crate::WorkerId;

/// Partitions of durable state. Fixed: which worker runs a shard may change, which shard a session is in may not.
pub const SHARDS: u16 = 256;

/// The worker that owns the session of a client: that of its shard. `workers` is at least one; `seed` is the same in
/// all workers and, once sessions are stored, in all runs.
#[must_use]
pub fn owner(tenant: TenantId, client_id: &[u8], workers: u16, seed: u64) -> WorkerId {
    WorkerId(shard(tenant, client_id, seed) % workers.max(1))
}

/// The shard that the session of a client is in, or the value of a topic.
#[must_use]
pub fn shard(tenant: TenantId, name: &[u8], seed: u64) -> u16 {
    shard_of(fingerprint(tenant, name, seed))
}

/// The shard of a name with this fingerprint.
pub(crate) const fn shard_of(fingerprint: u64) -> u16 {
    (fingerprint % SHARDS as u64) as u16
}

/// The number of a name, by which it is known where names are long: SipHash-2-4 of the name, the key being `seed` and
/// the number of the tenant. Without the seed nobody can choose names that share a number or a shard.
#[must_use]
pub fn fingerprint(tenant: TenantId, name: &[u8], seed: u64) -> u64 {
    siphash([seed, u64::from(tenant.number())], name)
}

/// SipHash-2-4 (Aumasson and Bernstein, 2012). Our own, since what libraries call their hash may change with them.
fn siphash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks();
    for word in words {
        take_in(&mut v, u64::from_le_bytes(*word));
    }
    // The last word: the bytes that are left, and the length in the highest byte.
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    take_in(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn take_in(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_that_of_its_authors() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let bytes: Vec<u8> = (0..15).collect();
        assert_eq!(siphash(key, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(siphash(key, &bytes[..1]), 0x74f8_39c5_93dc_67fd);
        assert_eq!(siphash(key, &bytes[..8]), 0x93f5_f579_9a93_2462);
        assert_eq!(siphash(key, &bytes), 0xa129_ca61_49be_45e5);
    }

    /// These numbers are in stores: a change that breaks this test loses sessions.
    #[test]
    fn names_keep_their_numbers_for_good() {
        let seed = 0x1234_5678_9abc_def0;
        let numbers = |tenant, name: &[u8]| {
            let tenant = TenantId::new(tenant);
            (fingerprint(tenant, name, seed), shard(tenant, name, seed), owner(tenant, name, 3, seed).0)
        };
        let names: [(u16, &[u8]); 4] =
            [(0, b""), (0, b"sensor-17"), (1, b"sensor-17"), (0, b"plant/hall 3/temperature")];
        let found = names.map(|(tenant, name)| numbers(tenant, name));
        let stored = [
            (0xd4b1_c4da_22fc_0f6e, 110, 2),
            (0x6120_36e2_8320_064a, 74, 2),
            (0xb9be_675b_7fbc_c883, 131, 2),
            (0xa549_8146_5b8e_d548, 72, 0),
        ];
        assert_eq!(found, stored);
    }

    #[test]
    fn shards_are_about_equally_full() {
        let mut full = [0u32; SHARDS as usize];
        for number in 0..51_200u32 {
            full[usize::from(shard(TenantId::DEFAULT, &number.to_le_bytes(), 7))] += 1;
        }
        assert!(full.iter().all(|count| (130..=280).contains(count)), "{full:?}");
    }

    #[test]
    fn all_workers_own_sessions_and_agree_on_whose_they_are() {
        let mut owned = [0; 3];
        for i in 0..3000_u32 {
            let id = i.to_be_bytes();
            let worker = owner(TenantId::DEFAULT, &id, 3, 42);
            assert_eq!(worker, owner(TenantId::DEFAULT, &id, 3, 42));
            owned[usize::from(worker.0)] += 1;
        }
        assert!(owned.iter().all(|&n| n > 800), "{owned:?}");
    }

    proptest! {
        #[test]
        fn the_hash_is_that_of_the_standard_library(
            key: [u64; 2],
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            #[allow(deprecated, reason = "a second opinion, whose algorithm its documentation names")]
            let mut other = core::hash::SipHasher::new_with_keys(key[0], key[1]);
            core::hash::Hasher::write(&mut other, &bytes);
            prop_assert_eq!(siphash(key, &bytes), core::hash::Hasher::finish(&other));
        }
    }
}
