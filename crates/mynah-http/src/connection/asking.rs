//! Requests whose answer is somebody's reply: how far one has come, and how its reply is listened for.

use core::time::Duration;

use mynah_model::{Class, Filter, Instant, Reason, RetainHandling, SubscriptionOptions};
use mynah_stack::{Subscribe, SubscribeRequest};

use super::RECEIPT;
use crate::wire::{RequestHead, Target};

/// How long a reply is waited for of which nobody says it, and at most.
const PATIENCE: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(240)];

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// It is none.
    No,
    /// It is one.
    Wanted,
    /// The core has been asked to let the reply come; it is waited for until this instant.
    Listening(Instant),
    /// The reply can come.
    Listens(Instant),
}

impl Asking {
    /// Until when the reply is waited for.
    pub(super) const fn due(self) -> Option<Instant> {
        match self {
            Self::No | Self::Wanted => None,
            Self::Listening(due) | Self::Listens(due) => Some(due),
        }
    }
}

/// Until when the reply to a request is waited for that came at `now`.
pub(super) fn due(head: &RequestHead<'_>, now: Instant) -> Instant {
    let [usual, max] = PATIENCE;
    now + head.expiry.unwrap_or(usual).min(max)
}

/// The subscription to the one reply: nothing is retained there.
pub(super) fn listen<'b>(head: &RequestHead<'b>) -> Subscribe<'b> {
    let reply_to = match &head.target {
        Target::Topic { properties, .. } => properties.reply_to,
        Target::Filters(_) | Target::Leases(_) => None,
    };
    let options = SubscriptionOptions {
        retain_handling: RetainHandling::Never,
        ..SubscriptionOptions::new(Class::AtMostOnce)
    };
    let filter = Filter::new(reply_to.unwrap_or_default().as_bytes()).map_err(|_| Reason::FilterInvalid);
    let request = filter.map(|filter| SubscribeRequest { filter, share: None, options });
    Subscribe { receipt: RECEIPT, requests: vec![request] }
}
