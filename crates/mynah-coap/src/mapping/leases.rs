//! Queues: `/q/NAME` publishes to one, `/q/NAME/lease` takes messages of it, and what is below that settles or extends a
//! lease (`docs/mapping.md`).

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Credit, LeaseSettlement, Topic};
use mynah_stack::{Holder, Holding};

use crate::Refusal;
use crate::wire::{OptionNumber, Options};

/// What the topics of queues start with.
const QUEUE: &[u8] = b"$queue/";
/// Messages of one request.
const MESSAGES_MAX: u32 = 100;
/// Seconds that a lease lasts of which nobody says it, and at most.
const LASTING_SECS: [u32; 2] = [30, 43_200];
/// Seconds that are waited for a message at most.
const WAIT_MAX_SECS: u32 = 60;

/// Something of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leases {
    /// The name of the queue.
    pub queue: Vec<u8>,
    /// What is done to which lease; none to take some.
    pub lease: Option<(Holder, u64, Deed)>,
}

/// What is done to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Its message is done.
    Accept,
    /// It has failed.
    Refuse,
    /// It lasts longer.
    Extend,
}

/// What the segments behind `/q` name: the topic of a queue, or leases of one. None if there is no such resource.
pub(super) fn find(segments: &[&[u8]]) -> Result<Option<Result<Vec<u8>, Leases>>, Refusal> {
    let Some((name, rest)) = segments.split_first() else { return Ok(None) };
    let topic = [QUEUE, name].concat();
    if name.is_empty() || core::str::from_utf8(name).is_err() || Topic::new(&topic).is_err() {
        return Err(Refusal::Path);
    }
    let of = |lease| Some(Err(Leases { queue: name.to_vec(), lease }));
    Ok(match *rest {
        [] => Some(Ok(topic)),
        [b"lease"] => of(None),
        [b"lease", lease, ref deed @ ..] => {
            let deed = match *deed {
                [] => Deed::Accept,
                [b"nack"] => Deed::Refuse,
                [b"extend"] => Deed::Extend,
                _ => return Ok(None),
            };
            match parse_name(lease) {
                Some((holder, number)) => of(Some((holder, number, deed))),
                None => None,
            }
        }
        _ => None,
    })
}

impl Leases {
    /// What the core is asked. `bytes` is how much of messages an answer holds, `new` names a holder that is new.
    pub(crate) fn holding(
        &self,
        options: Options<'_>,
        bytes: u32,
        new: Holder,
    ) -> Result<(Holder, Holding), Refusal> {
        let [usual, max] = LASTING_SECS;
        let Some((holder, lease, deed)) = self.lease else {
            let [messages, lasting, wait] = parameters(options, ["max", "ttl", "wait"])?;
            let messages = number(messages, 1, 1..=MESSAGES_MAX)?;
            let lasting = seconds(number(lasting, usual, 1..=max)?);
            let wait = seconds(number(wait, 0, 0..=WAIT_MAX_SECS)?);
            let credit = Credit { messages, bytes: bytes.into() };
            return Ok((new, Holding::Take { credit, lasting, wait }));
        };
        let holding = match deed {
            Deed::Accept => {
                let [] = parameters(options, [])?;
                Holding::Settle(lease, LeaseSettlement::Accepted)
            }
            Deed::Refuse => {
                let [delay] = parameters(options, ["delay"])?;
                let after = seconds(number(delay, 0, 0..=max)?);
                Holding::Settle(lease, LeaseSettlement::Failed { after })
            }
            Deed::Extend => {
                let [lasting] = parameters(options, ["ttl"])?;
                Holding::Extend(lease, seconds(number(lasting, usual, 1..=max)?))
            }
        };
        Ok((holder, holding))
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// The values of parameters that may be there once each, and no others.
fn parameters<'b, const N: usize>(
    options: Options<'b>,
    names: [&str; N],
) -> Result<[Option<&'b str>; N], Refusal> {
    let mut values = [None; N];
    for part in options.all(OptionNumber::URI_QUERY) {
        let part = core::str::from_utf8(part).map_err(|_| Refusal::Option(OptionNumber::URI_QUERY))?;
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let at = names.iter().position(|known| *known == name).filter(|at| values[*at].is_none());
        values[at.ok_or(Refusal::Query)?] = Some(value);
    }
    Ok(values)
}

fn number(text: Option<&str>, unsaid: u32, range: core::ops::RangeInclusive<u32>) -> Result<u32, Refusal> {
    let Some(text) = text else { return Ok(unsaid) };
    text.parse().ok().filter(|number| range.contains(number)).ok_or(Refusal::Query)
}

/// The name of a lease: its holder in 32 hexadecimal digits, and its number.
pub(crate) fn spell_name(holder: Holder, lease: u64) -> String {
    alloc::format!("{:032x}-{lease}", u128::from_be_bytes(holder.0))
}

fn parse_name(name: &[u8]) -> Option<(Holder, u64)> {
    let (holder, lease) = core::str::from_utf8(name).ok()?.split_at_checked(32)?;
    let is_hex = holder.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lease = lease.strip_prefix('-').filter(|lease| lease.bytes().all(|byte| byte.is_ascii_digit()))?;
    let holder = u128::from_str_radix(holder, 16).ok().filter(|_| is_hex)?;
    Some((Holder(holder.to_be_bytes()), lease.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::OptionWriter;

    #[test]
    fn paths_name_queues_and_leases() {
        let name = spell_name(Holder([0xAB; 16]), 7);
        assert_eq!(name, "abababababababababababababababab-7");
        let found =
            |segments: &[&str]| find(&segments.iter().map(|segment| segment.as_bytes()).collect::<Vec<_>>());
        assert_eq!(found(&["jobs"]), Ok(Some(Ok(b"$queue/jobs".to_vec()))));
        assert_eq!(found(&["a/b"]), Ok(Some(Ok(b"$queue/a/b".to_vec()))));
        let leases = |lease| Ok(Some(Err(Leases { queue: b"jobs".to_vec(), lease })));
        assert_eq!(found(&["jobs", "lease"]), leases(None));
        for (path, deed) in [(&[][..], Deed::Accept), (&["nack"], Deed::Refuse), (&["extend"], Deed::Extend)]
        {
            let path = [&["jobs", "lease", &*name], path].concat();
            assert_eq!(found(&path), leases(Some((Holder([0xAB; 16]), 7, deed))));
        }
        for none in [&[][..], &["jobs", "x"], &["jobs", "lease", "x"], &["jobs", "lease", &name, "x"]] {
            assert_eq!(found(none), Ok(None), "{none:?}");
        }
        for wrong in ["", "a+", "#"] {
            assert_eq!(found(&[wrong]), Err(Refusal::Path), "{wrong}");
        }
    }

    #[test]
    fn queries_say_how_many_and_how_long() {
        let holding = |lease: Option<Deed>, query: &[&str]| {
            let mut options = Vec::new();
            let mut writer = OptionWriter::new(&mut options);
            query.iter().for_each(|part| writer.put(OptionNumber::URI_QUERY, part.as_bytes()));
            let leases = Leases { queue: Vec::new(), lease: lease.map(|deed| (Holder([1; 16]), 7, deed)) };
            let options = Options::decode(&options).unwrap().0;
            leases.holding(options, 9, Holder([2; 16])).map(|(_, holding)| holding)
        };
        let take = |messages, lasting, wait| Holding::Take {
            credit: Credit { messages, bytes: 9 },
            lasting: seconds(lasting),
            wait: seconds(wait),
        };
        assert_eq!(holding(None, &[]), Ok(take(1, 30, 0)));
        assert_eq!(holding(None, &["wait=60", "max=100", "ttl=9"]), Ok(take(100, 9, 60)));
        let failed = Holding::Settle(7, LeaseSettlement::Failed { after: seconds(5) });
        assert_eq!(holding(Some(Deed::Refuse), &["delay=5"]), Ok(failed));
        assert_eq!(holding(Some(Deed::Extend), &["ttl=60"]), Ok(Holding::Extend(7, seconds(60))));
        for query in ["max=0", "max=101", "max", "ttl=0", "ttl=43201", "wait=61", "wait=-1", "delay=1"] {
            assert_eq!(holding(None, &[query]), Err(Refusal::Query), "{query}");
        }
        assert_eq!(holding(Some(Deed::Accept), &["ttl=1"]), Err(Refusal::Query));
        assert_eq!(holding(None, &["max=1", "max=1"]), Err(Refusal::Query));
    }
}
