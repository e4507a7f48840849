//! What the names of filters mean, and a subscription as the broker's request.

use mynah_model::{Filter, Reason, SubscriptionId, SubscriptionOptions};
use mynah_stack::SubscribeRequest;

use crate::Violation;
use crate::wire::{RetainHandling, SubscribeEntry};

/// A filter, with the group that shares its messages where its name says so: `$share/{group}/{filter}` (section 4.8.2 of
/// MQTT 5.0; the earlier versions do not know it, and are served all the same).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedFilter<'b> {
    /// The filter.
    pub filter: Filter<'b>,
    /// The group.
    pub share: Option<&'b [u8]>,
}

impl<'b> NamedFilter<'b> {
    /// Reads the name of a filter that is well-formed as a whole.
    ///
    /// # Errors
    /// The group or the filter is empty, or the group has a wildcard ([MQTT-4.8.2-1], [MQTT-4.8.2-2]).
    pub fn new(name: Filter<'b>) -> Result<Self, Violation> {
        let Some(shared) = name.as_bytes().strip_prefix(b"$share/") else {
            return Ok(Self { filter: name, share: None });
        };
        let slash = shared.iter().position(|&byte| byte == b'/').ok_or(Violation::FilterWildcard)?;
        let (group, filter) = (&shared[..slash], &shared[slash + 1..]);
        if group.is_empty() || group.iter().any(|byte| matches!(byte, b'+' | b'#')) {
            return Err(Violation::FilterWildcard);
        }
        let filter = Filter::new(filter).map_err(|_| Violation::FilterWildcard)?;
        Ok(Self { filter, share: Some(group) })
    }

    /// Whether the name is one that the broker keeps for what it does not serve here.
    fn is_reserved(&self) -> bool {
        let mut segments = self.filter.as_bytes().split(|&byte| byte == b'/');
        matches!(segments.next(), Some(b"$share" | b"$queue")) && !self.is_queue()
    }

    /// Whether it names one queue, which the session is to consume from.
    fn is_queue(&self) -> bool {
        let name = self.filter.as_bytes().strip_prefix(b"$queue/");
        let is_one = self.share.is_none() && self.filter.as_exact().is_some();
        is_one && name.is_some_and(|name| !name.is_empty())
    }
}

/// One entry of a SUBSCRIBE as the broker's request, under the identifier that a SUBSCRIBE of MQTT 5.0 may give it. Before
/// MQTT 5.0 every SUBSCRIBE replays retained values ([MQTT-3.8.4-3]), and only those show the retain flag
/// ([MQTT-3.3.1-9]). `separate` is as in [`SubscriptionOptions::separate`].
///
/// # Errors
/// `$share` and `$queue/…` are names that the broker keeps, and the latter serves for single queues only; No Local means
/// nothing for a queue.
pub fn subscribe_request<'b>(
    entry: &SubscribeEntry<'b>,
    named: NamedFilter<'b>,
    id: Option<SubscriptionId>,
    separate: bool,
) -> Result<SubscribeRequest<'b>, Reason> {
    if named.is_reserved() || (named.is_queue() && entry.no_local) {
        return Err(if entry.no_local { Reason::ConditionFailed } else { Reason::FilterInvalid });
    }
    let options = SubscriptionOptions {
        class_max: entry.class_max,
        retain_handling: match entry.retain_handling {
            RetainHandling::Send => mynah_model::RetainHandling::EachTime,
            RetainHandling::SendIfNew => mynah_model::RetainHandling::WhenNew,
            RetainHandling::DoNotSend => mynah_model::RetainHandling::Never,
        },
        retain_as_published: entry.retain_as_published,
        no_local: entry.no_local,
        separate,
        id,
    };
    Ok(SubscribeRequest { filter: named.filter, share: named.share, options })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_model::Class;

    fn named(name: &str) -> Result<NamedFilter<'_>, Violation> {
        NamedFilter::new(Filter::new(name.as_bytes()).unwrap())
    }

    //= mqtt-5.0 [MQTT-4.8.2-1] [MQTT-4.8.2-2]
    #[test]
    fn a_share_has_a_group_and_a_filter() {
        for (name, share, filter) in [
            ("$share/g/a/+", Some(&b"g"[..]), "a/+"),
            ("$share/g//a", Some(b"g"), "/a"),
            ("$shared/g/a", None, "$shared/g/a"),
            ("a/$share/g/b", None, "a/$share/g/b"),
        ] {
            let found = named(name).unwrap();
            assert_eq!((found.share, found.filter.as_bytes()), (share, filter.as_bytes()));
        }
        for name in ["$share/g", "$share//a", "$share/g/", "$share/", "$share/+/a", "$share/#"] {
            assert_eq!(named(name), Err(Violation::FilterWildcard), "{name}");
        }
    }

    #[test]
    fn a_queue_is_subscribed_to_alone_and_by_its_name() {
        for (name, no_local, refused) in [
            ("$share", false, Some(Reason::FilterInvalid)),
            ("$queue", false, Some(Reason::FilterInvalid)),
            ("$queue/", false, Some(Reason::FilterInvalid)),
            ("$queue/+", false, Some(Reason::FilterInvalid)),
            ("$queue/jobs", false, None),
            ("$queue/jobs", true, Some(Reason::ConditionFailed)),
            ("$queue/#", false, Some(Reason::FilterInvalid)),
            ("$share/g/$queue/jobs", false, Some(Reason::FilterInvalid)),
            ("$share/g/a", false, None),
            ("$queued/a", false, None),
            ("a/$queue", false, None),
        ] {
            let filter = Filter::new(name.as_bytes()).unwrap();
            let entry = SubscribeEntry { no_local, ..SubscribeEntry::new(filter, Class::AtLeastOnce) };
            let request = subscribe_request(&entry, named(name).unwrap(), None, false);
            assert_eq!(request.err(), refused, "{name}");
        }
    }
}
