//! How a subscription wants its messages, in five bytes: there are as many of these as subscriptions.

use mynah_model::{Class, SubscriptionId, SubscriptionOptions};

const CLASS_SHIFT: u32 = 28;
const RETAIN_AS_PUBLISHED: u32 = 1 << 30;
const NO_LOCAL: u32 = 1 << 31;

/// Options without what matters only while subscribing: 28 bits of identifier, two of the class, two flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) bits: u32,
    /// Does not fit into the bits.
    pub(super) separate: bool,
}

impl From<SubscriptionOptions> for Packed {
    fn from(options: SubscriptionOptions) -> Self {
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        let bits = options.id.map_or(0, SubscriptionId::number)
            | u32::from(options.class_max.number()) << CLASS_SHIFT
            | flag(RETAIN_AS_PUBLISHED, options.retain_as_published)
            | flag(NO_LOCAL, options.no_local);
        Self { bits, separate: options.separate }
    }
}

impl From<Packed> for SubscriptionOptions {
    fn from(Packed { bits, separate }: Packed) -> Self {
        let class_max = match bits >> CLASS_SHIFT & 3 {
            0 => Class::AtMostOnce,
            1 => Class::AtLeastOnce,
            _ => Class::ExactlyOnce,
        };
        Self {
            retain_as_published: bits & RETAIN_AS_PUBLISHED != 0,
            no_local: bits & NO_LOCAL != 0,
            id: SubscriptionId::new(bits & SubscriptionId::MAX),
            separate,
            ..Self::new(class_max)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(
            class in 0..3_u8,
            retain_as_published: bool,
            no_local: bool,
            separate: bool,
            id in prop_oneof![Just(0), Just(SubscriptionId::MAX), 1..SubscriptionId::MAX],
        ) {
            let id = SubscriptionId::new(id);
            let class = Class::from_number(class).unwrap();
            let options =
                SubscriptionOptions { retain_as_published, no_local, separate, id, ..SubscriptionOptions::new(class) };
            prop_assert_eq!(SubscriptionOptions::from(Packed::from(options)), options);
        }
    }
}
