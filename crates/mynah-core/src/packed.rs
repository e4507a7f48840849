//! How a subscription wants its messages, in five bytes: there are two of these for each subscription.

use mynah_model::{Class, RetainHandling, SubscriptionId, SubscriptionOptions};

const CLASS_SHIFT: u32 = 28;
const RETAIN_AS_PUBLISHED: u32 = 1 << 30;
const NO_LOCAL: u32 = 1 << 31;

const SEPARATE: u8 = 1;
const WHEN_NEW: u8 = 2;
const NEVER: u8 = 4;

/// Options as 28 bits of identifier, two of the class and two flags, and what is left in a byte that finds its place
/// beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) bits: u32,
    pub(crate) rest: u8,
}

impl From<SubscriptionOptions> for Packed {
    fn from(options: SubscriptionOptions) -> Self {
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        let bits = options.id.map_or(0, SubscriptionId::number)
            | u32::from(options.class_max.number()) << CLASS_SHIFT
            | flag(RETAIN_AS_PUBLISHED, options.retain_as_published)
            | flag(NO_LOCAL, options.no_local);
        let separate = if options.separate { SEPARATE } else { 0 };
        let handling = match options.retain_handling {
            RetainHandling::EachTime => 0,
            RetainHandling::WhenNew => WHEN_NEW,
            RetainHandling::Never => NEVER,
        };
        Self { bits, rest: separate | handling }
    }
}

impl From<Packed> for SubscriptionOptions {
    fn from(Packed { bits, rest }: Packed) -> Self {
        let class_max = match bits >> CLASS_SHIFT & 3 {
            0 => Class::AtMostOnce,
            1 => Class::AtLeastOnce,
            _ => Class::ExactlyOnce,
        };
        let retain_handling = match rest & (WHEN_NEW | NEVER) {
            0 => RetainHandling::EachTime,
            WHEN_NEW => RetainHandling::WhenNew,
            _ => RetainHandling::Never,
        };
        Self {
            class_max,
            retain_handling,
            retain_as_published: bits & RETAIN_AS_PUBLISHED != 0,
            no_local: bits & NO_LOCAL != 0,
            separate: rest & SEPARATE != 0,
            id: SubscriptionId::new(bits & SubscriptionId::MAX),
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
            handling in 0..3_usize,
            [retain_as_published, no_local, separate]: [bool; 3],
            id in prop_oneof![Just(0), Just(SubscriptionId::MAX), 1..SubscriptionId::MAX],
        ) {
            let options = SubscriptionOptions {
                class_max: Class::from_number(class).unwrap(),
                retain_handling: [RetainHandling::EachTime, RetainHandling::WhenNew, RetainHandling::Never][handling],
                retain_as_published,
                no_local,
                separate,
                id: SubscriptionId::new(id),
            };
            prop_assert_eq!(SubscriptionOptions::from(Packed::from(options)), options);
        }
    }
}
