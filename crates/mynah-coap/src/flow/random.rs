//! Numbers that nobody without the key can foretell: SipHash-2-4 of a counter (Aumasson and Bernstein, 2012). The key is
//! an argument of the stack; the numbers follow from it.

/// A sequence of one association.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    key: [u64; 2],
    stream: u64,
    count: u64,
}

impl Random {
    pub(crate) const fn new(key: [u64; 2], stream: u64) -> Self {
        Self { key, stream, count: 0 }
    }

    /// Which sequence it is: no other association of the stack has it.
    pub(crate) const fn stream(&self) -> u64 {
        self.stream
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.count += 1;
        sip_hash(self.key, [self.stream, self.count])
    }

    /// A number from 0 to `max`.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        match max.checked_add(1) {
            Some(span) => self.next_number() % span,
            None => self.next_number(),
        }
    }
}

/// The hash of a message of two words.
fn sip_hash(key: [u64; 2], words: [u64; 2]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    // The last word has the length of the message in its highest byte.
    for word in [words[0], words[1], 16 << 56] {
        v[3] ^= word;
        round(&mut v);
        round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

const fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_paper() {
        // The reference vector for 16 bytes 00..0f under the key 00..0f.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(sip_hash(key, key), 0x3f2a_cc7f_57c2_9bdb);
    }

    #[test]
    fn sequences_differ_by_key_and_stream_and_repeat_by_both() {
        let draw = |key, stream| {
            let mut random = Random::new(key, stream);
            [random.next_number(), random.next_number()]
        };
        assert_eq!(draw([1, 2], 3), draw([1, 2], 3));
        assert_ne!(draw([1, 2], 3), draw([1, 2], 4));
        assert_ne!(draw([1, 2], 3), draw([1, 3], 3));
        assert!((0..100).map(|n| Random::new([0; 2], n).up_to(4)).all(|n| n <= 4));
    }
}
