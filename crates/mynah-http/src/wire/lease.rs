//! What a request asks about leases of a queue: `/v1/queues/{queue}/leases`, and the names that leases have there.

use core::time::Duration;

use mynah_model::{Credit, LeaseSettlement};
use mynah_stack::{Holder, Holding};

use super::{Fields, Malformed, put_string};

/// A request about leases.
///
/// ```text
/// queue (u16, bytes) | holder (16 bytes) |
///   0 | messages u32 | bytes u64 | lasting u64 | wait u64     take some; times in microseconds
///   1 | lease u64                                             acknowledge it
///   2 | lease u64 | delay u64                                 give it back, as failed
///   3 | lease u64 | lasting u64                               extend it
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest<'b> {
    /// The queue.
    pub queue: &'b [u8],
    /// Who holds the leases.
    pub holder: Holder,
    /// What is asked.
    pub holding: Holding,
}

impl<'b> LeaseRequest<'b> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        put_string(out, self.queue)?;
        out.extend_from_slice(&self.holder.0);
        match self.holding {
            Holding::Take { credit, lasting, wait } => {
                out.push(0);
                out.extend_from_slice(&credit.messages.to_be_bytes());
                out.extend_from_slice(&credit.bytes.to_be_bytes());
                put_time(lasting, out);
                put_time(wait, out);
            }
            Holding::Settle(lease, LeaseSettlement::Failed { after }) => {
                out.push(2);
                out.extend_from_slice(&lease.to_be_bytes());
                put_time(after, out);
            }
            Holding::Settle(lease, _) => {
                out.push(1);
                out.extend_from_slice(&lease.to_be_bytes());
            }
            Holding::Extend(lease, lasting) => {
                out.push(3);
                out.extend_from_slice(&lease.to_be_bytes());
                put_time(lasting, out);
            }
        }
        Ok(())
    }

    pub(super) fn decode(fields: &mut Fields<'b>) -> Result<Self, Malformed> {
        let queue = fields.string()?;
        let holder = fields.bytes(16)?.try_into().map_err(|_| Malformed::Length)?;
        let holding = match fields.u8()? {
            0 => {
                let credit = Credit { messages: fields.u32()?, bytes: fields.u64()? };
                Holding::Take { credit, lasting: time(fields)?, wait: time(fields)? }
            }
            1 => Holding::Settle(fields.u64()?, LeaseSettlement::Accepted),
            2 => Holding::Settle(fields.u64()?, LeaseSettlement::Failed { after: time(fields)? }),
            3 => Holding::Extend(fields.u64()?, time(fields)?),
            _ => return Err(Malformed::Value),
        };
        Ok(Self { queue, holder: Holder(holder), holding })
    }
}

fn put_time(time: Duration, out: &mut Vec<u8>) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    out.extend_from_slice(&micros.to_be_bytes());
}

fn time(fields: &mut Fields<'_>) -> Result<Duration, Malformed> {
    fields.u64().map(Duration::from_micros)
}

/// The name of a lease: its holder in 32 hexadecimal digits, and its number.
#[must_use]
pub fn lease_name(holder: Holder, lease: u64) -> String {
    let mut name = String::with_capacity(48);
    for byte in holder.0 {
        for digit in [byte >> 4, byte & 15] {
            name.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    name + "-" + &lease.to_string()
}

/// The holder and the number of the lease that has this name; none if nothing can have it.
#[must_use]
pub fn parse_lease_name(name: &str) -> Option<(Holder, u64)> {
    let (holder, lease) = name.split_at_checked(32)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let mut bytes = [0; 16];
    for (byte, digits) in bytes.iter_mut().zip(holder.as_bytes().chunks_exact(2)) {
        *byte = u8::try_from(digit(digits[0])? << 4 | digit(digits[1])?).ok()?;
    }
    let lease = lease.strip_prefix('-').filter(|lease| lease.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((Holder(bytes), lease.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holding() -> impl Strategy<Value = Holding> {
        let time = || (0..1_u64 << 50).prop_map(Duration::from_micros);
        prop_oneof![
            (any::<u32>(), any::<u64>(), time(), time()).prop_map(|(messages, bytes, lasting, wait)| {
                Holding::Take { credit: Credit { messages, bytes }, lasting, wait }
            }),
            any::<u64>().prop_map(|lease| Holding::Settle(lease, LeaseSettlement::Accepted)),
            (any::<u64>(), time())
                .prop_map(|(lease, after)| Holding::Settle(lease, LeaseSettlement::Failed { after })),
            (any::<u64>(), time()).prop_map(|(lease, lasting)| Holding::Extend(lease, lasting)),
        ]
    }

    proptest! {
        #[test]
        fn requests_survive_the_round_trip(queue in "[a-z/]{0,9}", holder: [u8; 16], holding in holding()) {
            let request = LeaseRequest { queue: queue.as_bytes(), holder: Holder(holder), holding };
            let mut out = Vec::new();
            request.encode(&mut out).unwrap();
            let mut fields = Fields(&out);
            prop_assert_eq!(LeaseRequest::decode(&mut fields), Ok(request));
            prop_assert_eq!(fields.end(), Ok(()));
        }

        #[test]
        fn names_of_leases_are_read_back(holder: [u8; 16], lease: u64, other in ".{0,60}") {
            prop_assert_eq!(parse_lease_name(&lease_name(Holder(holder), lease)), Some((Holder(holder), lease)));
            if let Some((holder, lease)) = parse_lease_name(&other) {
                prop_assert!(lease_name(holder, lease).len() <= other.len());
            }
        }
    }

    #[test]
    fn what_names_no_lease_is_none() {
        let name = lease_name(Holder([0xAB; 16]), 7);
        assert_eq!(name, "abababababababababababababababab-7");
        for wrong in [
            "",
            "-7",
            "abababababababababababababababab",
            "ABABABABABABABABABABABABABABABAB-7",
            "abababababababababababababababab-+7",
            "abababababababababababababababab-",
        ] {
            assert_eq!(parse_lease_name(wrong), None, "{wrong}");
        }
    }
}
