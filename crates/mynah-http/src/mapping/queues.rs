//! Resources of queues: `/v1/queues/{queue}/messages` publishes as `/v1/topics/$queue/{queue}` does; `/v1/queues/{queue}/leases`
//! takes messages, `…/leases/{lease}` settles one, `…/nack` and `…/extend` below it do otherwise.

use core::time::Duration;

use mynah_model::{Credit, LeaseSettlement, Topic};
use mynah_stack::{Holder, Holding};

use super::properties::parse_seconds;
use crate::Problem;
use crate::wire::{PathError, QueryError, parse_lease_name, percent, target};

/// Where queues are.
const QUEUES: &str = "/v1/queues/";
/// What the topics of queues start with.
pub(super) const TOPIC_PREFIX: &[u8] = b"$queue/";

/// Messages of one request.
const MESSAGES_MAX: u32 = 100;
/// How long a lease lasts of which nobody says it.
const LASTING: Duration = Duration::from_secs(30);
/// How long a lease lasts, or a message is delayed, at most.
const LASTING_MAX: Duration = Duration::from_secs(12 * 3_600);
/// How long is waited for a message at most.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A resource of a queue; the queue and the lease as they are spelled in the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueResource<'a> {
    Messages(&'a str),
    Leases(&'a str),
    Lease(&'a str, &'a str, Deed),
}

/// What is done to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Acknowledge,
    Refuse,
    Extend,
}

impl<'a> QueueResource<'a> {
    pub(super) fn find(path: &'a str) -> Option<Self> {
        let (queue, rest) = path.strip_prefix(QUEUES)?.split_once('/')?;
        match rest.split('/').collect::<Vec<_>>()[..] {
            ["messages"] => Some(Self::Messages(queue)),
            ["leases"] => Some(Self::Leases(queue)),
            ["leases", lease] => Some(Self::Lease(queue, lease, Deed::Acknowledge)),
            ["leases", lease, "nack"] => Some(Self::Lease(queue, lease, Deed::Refuse)),
            ["leases", lease, "extend"] => Some(Self::Lease(queue, lease, Deed::Extend)),
            _ => None,
        }
    }

    pub(super) const fn allow(self) -> &'static str {
        match self {
            Self::Lease(_, _, Deed::Acknowledge) => "DELETE, OPTIONS",
            _ => "OPTIONS, POST",
        }
    }

    /// The topic that stands for the queue: its name is what follows the prefix.
    pub(super) fn topic(self) -> Result<Vec<u8>, Problem> {
        let (Self::Messages(queue) | Self::Leases(queue) | Self::Lease(queue, ..)) = self;
        let mut topic = TOPIC_PREFIX.to_vec();
        percent::decode(queue, &mut topic).ok_or(Problem::Path(PathError::Escape))?;
        core::str::from_utf8(&topic).map_err(|_| Problem::Path(PathError::NotUtf8))?;
        if topic.len() == TOPIC_PREFIX.len() {
            return Err(Problem::Path(PathError::Empty));
        }
        match Topic::new(&topic) {
            Ok(_) => Ok(topic),
            Err(mynah_model::TopicError::Nul) => Err(Problem::Path(PathError::Nul)),
            Err(_) => Err(Problem::Path(PathError::Wildcard)),
        }
    }

    /// What is asked about leases. `bytes` is how much of messages an answer holds.
    pub(super) fn holding(
        self,
        query: Option<&str>,
        bytes: u64,
        holder: impl FnOnce() -> Result<Holder, Problem>,
    ) -> Result<(Holder, Holding), Problem> {
        match self {
            Self::Messages(_) => Err(Problem::UnknownPath),
            Self::Leases(_) => {
                let [messages, lasting, wait] = parameters(query, ["max", "ttl", "wait"])?;
                let credit = Credit { messages: messages.map_or(Ok(1), count)?, bytes };
                let lasting = lasting.map_or(Ok(LASTING), |text| seconds("ttl", text, LASTING_MAX, false))?;
                let wait = wait.map_or(Ok(Duration::ZERO), |text| seconds("wait", text, WAIT_MAX, true))?;
                Ok((holder()?, Holding::Take { credit, lasting, wait }))
            }
            Self::Lease(_, name, deed) => {
                let (holder, lease) = parse_lease_name(name).ok_or(Problem::UnknownLease)?;
                let holding = match deed {
                    Deed::Acknowledge => {
                        target::no_parameters(query).map_err(Problem::Query)?;
                        Holding::Settle(lease, LeaseSettlement::Accepted)
                    }
                    Deed::Refuse => {
                        let [delay] = parameters(query, ["delay"])?;
                        let delay =
                            delay.map(|text| seconds("delay", text, LASTING_MAX, true)).transpose()?;
                        let after = delay.unwrap_or_default();
                        Holding::Settle(lease, LeaseSettlement::Failed { after })
                    }
                    Deed::Extend => {
                        let [lasting] = parameters(query, ["ttl"])?;
                        let lasting =
                            lasting.map(|text| seconds("ttl", text, LASTING_MAX, false)).transpose()?;
                        Holding::Extend(lease, lasting.unwrap_or(LASTING))
                    }
                };
                Ok((holder, holding))
            }
        }
    }
}

/// The values of parameters that may be there once each, and no others.
fn parameters<'a, const N: usize>(
    query: Option<&'a str>,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], Problem> {
    let mut values = [None; N];
    for parameter in query.unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let at = names.iter().position(|known| *known == name).filter(|at| values[*at].is_none());
        let unknown = || Problem::Query(QueryError::Unknown(name.chars().take(32).collect()));
        values[at.ok_or_else(unknown)?] = Some(value);
    }
    Ok(values)
}

fn count(text: &str) -> Result<u32, Problem> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let count = text.parse().ok().filter(|count| is_number && (1..=MESSAGES_MAX).contains(count));
    count.ok_or(Problem::Query(QueryError::Value("max", "1 to 100")))
}

fn seconds(name: &'static str, text: &str, max: Duration, may_be_none: bool) -> Result<Duration, Problem> {
    let bounds = match name {
        "wait" => "seconds, 0 to 60, with up to six decimals",
        "delay" => "seconds, 0 to 43200, with up to six decimals",
        _ => "seconds, more than 0 and up to 43200, with up to six decimals",
    };
    let fits = |time: &Duration| *time <= max && (may_be_none || !time.is_zero());
    parse_seconds(text).filter(fits).ok_or(Problem::Query(QueryError::Value(name, bounds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "abababababababababababababababab-7";

    fn holding(path: &str, query: &str) -> Result<Holding, Problem> {
        let resource = QueueResource::find(path).ok_or(Problem::UnknownPath)?;
        let holder = || Ok(Holder([0; 16]));
        resource.holding(Some(query), 9, holder).map(|(_, holding)| holding)
    }

    #[test]
    fn paths_lead_to_queues_by_one_segment() {
        for (path, topic) in [
            ("/v1/queues/jobs/messages", Some("$queue/jobs")),
            ("/v1/queues/a%2Fb%20c/leases", Some("$queue/a/b c")),
            ("/v1/queues//leases", None),
            ("/v1/queues/a%2B/leases", None),
            ("/v1/queues/%zz/leases", None),
        ] {
            let found = QueueResource::find(path).unwrap().topic();
            assert_eq!(found.ok().as_deref(), topic.map(str::as_bytes), "{path}");
        }
        for path in ["/v1/queues/a", "/v1/queues/a/b/leases", "/v1/queues/a/leases/b/c", "/v1/queues"] {
            assert_eq!(QueueResource::find(path), None, "{path}");
        }
    }

    #[test]
    fn queries_say_how_many_and_how_long() {
        let take = |messages, lasting, wait| Holding::Take {
            credit: Credit { messages, bytes: 9 },
            lasting: Duration::from_secs(lasting),
            wait: Duration::from_millis(wait),
        };
        assert_eq!(holding("/v1/queues/q/leases", ""), Ok(take(1, 30, 0)));
        assert_eq!(holding("/v1/queues/q/leases", "wait=2.5&max=100&ttl=60"), Ok(take(100, 60, 2_500)));
        let lease = format!("/v1/queues/q/leases/{NAME}");
        assert_eq!(holding(&lease, ""), Ok(Holding::Settle(7, LeaseSettlement::Accepted)));
        let after = Duration::from_secs(5);
        assert_eq!(
            holding(&format!("{lease}/nack"), "delay=5"),
            Ok(Holding::Settle(7, LeaseSettlement::Failed { after }))
        );
        assert_eq!(holding(&format!("{lease}/extend"), ""), Ok(Holding::Extend(7, LASTING)));
        for query in
            ["max=0", "max=101", "max=", "ttl=0", "ttl=43201", "wait=61", "wait=-1", "max=1&max=2", "nix=1"]
        {
            assert_eq!(holding("/v1/queues/q/leases", query).map_err(|p| p.status()), Err(400), "{query}");
        }
        assert_eq!(holding("/v1/queues/q/leases/nobody", ""), Err(Problem::UnknownLease));
    }
}
