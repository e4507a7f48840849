//! Who gets what is published to an exchange, and what a topic leads to beyond those who subscribe to it. It is asked when
//! a worker does not remember: then nothing that exchanges have to do with has changed since.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use mynah_core::exchange::{Exchanges, Routed, Routing, TOPIC_SPACE};
use mynah_core::{Found, Match, SessionRef};
use mynah_model::{Class, Filter, MessageView, Reason, SubscriptionOptions, TenantId, Topic};

use super::addresses::exchange_of;
use crate::engine::Engine;
use crate::shared::Shared;

/// Exchanges that a worker remembers.
const KNOWN_MAX: usize = 4_096;

impl Shared {
    /// Finds who gets a message that goes to a topic.
    pub(crate) fn find(&self, message: MessageView<'_>, topic: Topic<'_>, found: &mut Found) {
        let tenant = message.header.tenant;
        if let Some((name, key)) = exchange_of(topic) {
            return self.find_by_exchange(message, &name, key, found);
        }
        self.find_by_topic(tenant, topic, found);
        if self.leads_beyond.load(Ordering::Acquire) {
            let exchanges = self.read_exchanges();
            let Some(space) = exchanges.find(tenant, TOPIC_SPACE) else { return };
            let (mut routed, properties) = (Routed::default(), self.layouts.read(message));
            let message = Routing { key: topic.as_bytes(), properties: &properties };
            exchanges.route_beyond(space, &message, &mut routed);
            take_queues(&routed, found);
        }
    }

    fn find_by_topic(&self, tenant: TenantId, topic: Topic<'_>, found: &mut Found) {
        self.read_index().matches(tenant, topic, &mut found.matches);
        self.read_shares().matches(tenant, topic, &mut found.groups);
    }

    fn find_by_exchange(&self, message: MessageView<'_>, name: &[u8], key: &[u8], found: &mut Found) {
        let tenant = message.header.tenant;
        let mut routed = Routed::default();
        {
            let exchanges = self.read_exchanges();
            let Some(exchange) = exchanges.find(tenant, name) else { return };
            let properties = self.layouts.read(message);
            exchanges.route(exchange, &Routing { key, properties: &properties }, &mut routed);
        }
        take_queues(&routed, found);
        if routed.topic_space
            && let Ok(topic) = Topic::new(key)
            && !topic.is_broker_owned()
        {
            self.find_by_topic(tenant, topic, found);
        }
    }

    /// Notes that where exchanges lead has changed, after the tables show it.
    pub(crate) fn note_routing(&self, tenant: TenantId, exchanges: &Exchanges) {
        let leads_beyond = exchanges.find(tenant, TOPIC_SPACE).is_some_and(|space| exchanges.leads_on(space));
        if leads_beyond {
            self.leads_beyond.store(true, Ordering::Release);
        }
        if self.leads_beyond.load(Ordering::Acquire) {
            return self.generations.bump_all();
        }
        self.generations.bump(tenant, Filter::from_checked(b"$exchange/#"));
    }
}

fn take_queues(routed: &Routed, found: &mut Found) {
    // Who wants a key as a topic changes without any change of exchanges.
    found.varies |= routed.varies || routed.topic_space;
    let options = SubscriptionOptions::new(Class::ExactlyOnce);
    let match_of = |&session: &SessionRef| Match { session, options };
    found.matches.extend(routed.queues.iter().map(match_of));
}

/// By the names of exchanges.
type Standings = BTreeMap<Box<[u8]>, Result<(), Reason>>;

/// Which exchanges there are and whether peers may publish to them, as a worker remembers it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// How many had come or gone.
    changes: u64,
    by_name: BTreeMap<TenantId, Standings>,
    len: usize,
}

impl Engine {
    /// Whether a peer may name this topic, as one of those that begin with a dollar sign, as far as that is not a matter of rights.
    #[cold]
    pub(crate) fn may_name(&mut self, tenant: TenantId, topic: Topic<'_>) -> Result<(), Reason> {
        if topic.is_broker_owned() {
            return Err(Reason::NotAuthorized);
        }
        let Some((name, _)) = exchange_of(topic) else { return Ok(()) };
        let changes = self.shared.exchange_changes.load(Ordering::Acquire);
        if self.known.changes != changes || self.known.len >= KNOWN_MAX {
            self.known = Known { changes, ..Known::default() };
        }
        if let Some(known) = self.known.by_name.get(&tenant).and_then(|names| names.get(&*name)) {
            return *known;
        }
        let exchanges = self.shared.read_exchanges();
        let found = exchanges.find(tenant, &name).and_then(|exchange| exchanges.settings(exchange));
        let standing = match found {
            Some(settings) if settings.internal => Err(Reason::NotAuthorized),
            Some(_) => Ok(()),
            None => Err(Reason::NotFound),
        };
        self.known.by_name.entry(tenant).or_default().insert(name.into(), standing);
        self.known.len += 1;
        standing
    }
}
