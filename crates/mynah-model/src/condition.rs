//! Conditions on a topic's retained value: what makes a write depend on the state that its writer knows.

use alloc::vec::Vec;

/// Names one state of a topic's retained value (HTTP's and CoAP's ETag). Equal tags of one topic mean equal values, but
/// for a chance of 2^-64; they hold for one run of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueTag(u64);

impl ValueTag {
    /// The tag with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of the tag.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What a topic's retained value has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is one.
    Present,
    /// There is none.
    Absent,
    /// There is one, and it has one of these tags.
    OneOf(Vec<ValueTag>),
    /// There is none, or it has none of these tags.
    NoneOf(Vec<ValueTag>),
}

impl Condition {
    /// Whether the condition holds where the value with the tag `current` is; absent if there is no value.
    #[must_use]
    pub fn holds(&self, current: Option<ValueTag>) -> bool {
        match self {
            Self::Present => current.is_some(),
            Self::Absent => current.is_none(),
            Self::OneOf(tags) => current.is_some_and(|tag| tags.contains(&tag)),
            Self::NoneOf(tags) => current.is_none_or(|tag| !tags.contains(&tag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn each_condition_is_judged_with_and_without_a_value() {
        let [a, b] = [1, 2].map(ValueTag::from_number);
        for (condition, of_a, of_b, of_none) in [
            (Condition::Present, true, true, false),
            (Condition::Absent, false, false, true),
            (Condition::OneOf(vec![a]), true, false, false),
            (Condition::OneOf(vec![]), false, false, false),
            (Condition::NoneOf(vec![a]), false, true, true),
            (Condition::NoneOf(vec![]), true, true, true),
        ] {
            let judged = [Some(a), Some(b), None].map(|current| condition.holds(current));
            assert_eq!(judged, [of_a, of_b, of_none], "{condition:?}");
        }
    }
}
