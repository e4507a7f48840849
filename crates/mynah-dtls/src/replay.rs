//! Records that have come already (RFC 6347, section 4.1.2.6).

/// The last 64 numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Replay {
    /// One above the highest number that came.
    next: u64,
    /// Bit n: `next - 1 - n` came.
    seen: u64,
}

impl Replay {
    /// Whether a record with this number may still come.
    pub(crate) const fn may_come(&self, number: u64) -> bool {
        if number >= self.next {
            return true;
        }
        let age = self.next - 1 - number;
        age < u64::BITS as u64 && self.seen >> age & 1 == 0
    }

    /// A record with this number came, and was good.
    pub(crate) const fn note(&mut self, number: u64) {
        if number >= self.next {
            let ahead = number + 1 - self.next;
            self.seen = if ahead >= u64::BITS as u64 { 1 } else { self.seen << ahead | 1 };
            self.next = number + 1;
        } else {
            let age = self.next - 1 - number;
            if age < u64::BITS as u64 {
                self.seen |= 1 << age;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6347, section 4.1.2.6.
    #[test]
    fn a_number_comes_once_and_not_long_after_later_ones() {
        let mut replay = Replay::default();
        for number in [0, 1, 5, 3, 63] {
            assert!(replay.may_come(number), "{number}");
            replay.note(number);
            assert!(!replay.may_come(number), "{number}");
        }
        assert!(replay.may_come(2) && replay.may_come(4) && replay.may_come(64));
        replay.note(66);
        assert!(!replay.may_come(2), "too old");
        assert!(replay.may_come(4) && !replay.may_come(5) && !replay.may_come(63));
        replay.note(1 << 40);
        assert!(!replay.may_come(66) && replay.may_come((1 << 40) - 63) && !replay.may_come((1 << 40) - 64));
    }
}
