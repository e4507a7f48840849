//! Subscribing: filters are attached to the session and to the index before the answer goes out.

use mynah_core::rules::{Action, Grant, selects_replies, tells_of_peers};
use mynah_core::{Cursor, Reader, Session, SessionRef};
use mynah_model::{Filter, Instant, Reason, RetainHandling, SubscriptionOptions, Topic};
use mynah_stack::{Outcome, Subscribe, SubscribeRequest, SubscribeResult, Unsubscribe, UnsubscribeRequest};

use crate::connections::ConnectionId;
use crate::engine::Engine;
use crate::journal::{Attached, Note};
use crate::named::stands_for_others;
use crate::presence::concerns;
use crate::publish::exceeds;
use crate::rules::is_local;

impl Engine {
    /// Attaches filters, answers, and starts the replay of retained values.
    pub(crate) fn subscribe<'b>(&mut self, now: Instant, id: ConnectionId, subscribe: &Subscribe<'b>) {
        let (mut replays, mut consumers) = (Vec::new(), Vec::new());
        let attach = |(place, request): (usize, &Result<SubscribeRequest<'b>, Reason>)| {
            let request = (*request)?;
            if stands_for_others(request.filter.as_bytes()) {
                let begun = self.attach_to_topic_of_queue(now, id, &request)?;
                consumers.extend(begun.map(|consumer| (place, consumer)));
                return Ok(request.options.class_max);
            }
            let attached = self.attach_filter(id, &request);
            let is_new = attached.inspect_err(|reason| self.audit_subscribe(now, id, &request, *reason))?;
            let wants_retained = match request.options.retain_handling {
                RetainHandling::EachTime => request.share.is_none(),
                RetainHandling::WhenNew => request.share.is_none() && is_new,
                RetainHandling::Never => false,
            };
            if wants_retained {
                replays.push((request.filter, request.options));
            }
            Ok(request.options.class_max)
        };
        let results: Vec<SubscribeResult> = subscribe.requests.iter().enumerate().map(attach).collect();
        if consumers.is_empty() {
            self.tell(now, id, Outcome::Subscribed { receipt: subscribe.receipt, results: &results });
        } else {
            self.begin_subscribed(now, id, subscribe.receipt, results, consumers);
        }
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let (tenant, Some(session_ref)) = (connection.tenant, connection.session()) else { return };
        for (filter, options) in replays {
            let unknown = concerns(filter.as_bytes()) && !self.ask_presence();
            let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
            // Most have nothing to be replayed, and then a replay need not wait for its turn to find that out.
            if unknown || self.shared.values_of(filter.as_bytes()).may_match(tenant, filter) {
                session.start_replay(filter, options);
                if session.stored {
                    let attached = Attached { share: None, filter: filter.as_bytes().into() };
                    let note = Note::Subscribed(session_ref, attached, options, Some(Cursor::default()));
                    self.lane.journal.note(note);
                }
            }
        }
        if self.lane.sessions.get(session_ref).is_some_and(Session::is_replaying) {
            self.lane.mark_pumping(id.slot);
        }
    }

    /// Attaches a filter. Returns whether that made a subscription, rather than changed one.
    fn attach_filter(&mut self, id: ConnectionId, request: &SubscribeRequest<'_>) -> Result<bool, Reason> {
        let SubscribeRequest { filter, share, options } = *request;
        if share.is_some_and(|group| group.len() > self.shared.limits.topic_bytes_max) {
            return Err(Reason::FilterInvalid);
        }
        let grant = self.may_subscribe(id, filter)?;
        let (session_ref, is_new) = self.keep_subscription(id, share, filter, options)?;
        if let Some(session) = self.lane.sessions.get_mut(session_ref).filter(|_| grant == Grant::Partly) {
            session.checks_deliveries = true;
            self.lane.judge.note_looking();
        }
        self.publish_filter(session_ref, share, filter, options, grant);
        Ok(is_new)
    }

    /// Notes a subscription with its session. Returns whether it is a new one.
    pub(crate) fn keep_subscription(
        &mut self,
        id: ConnectionId,
        share: Option<&[u8]>,
        filter: Filter<'_>,
        options: SubscriptionOptions,
    ) -> Result<(SessionRef, bool), Reason> {
        let connection = self.lane.connections.get_mut(id).ok_or(Reason::Disconnected)?;
        let session_ref = connection.session().ok_or(Reason::Disconnected)?;
        let session = self.lane.sessions.get_mut(session_ref).ok_or(Reason::Disconnected)?;
        let quota = connection.rights.as_ref().and_then(|rights| rights.quota().subscriptions);
        let quota = quota.map_or(usize::MAX, |quota| quota.get() as usize);
        let subscriptions_max = self.shared.limits.subscriptions_per_session_max.min(quota);
        let replaced = session.subscribe(share, filter, options, subscriptions_max)?;
        if !replaced {
            self.shared.counters(self.worker).subscriptions.add(1);
        }
        if session.stored {
            let attached = Attached { share: share.map(Box::from), filter: filter.as_bytes().into() };
            let replay =
                session.replay_to(filter).filter(|_| share.is_none()).map(|replay| replay.cursor.clone());
            self.lane.journal.note(Note::Subscribed(session_ref, attached, options, replay));
        }
        Ok((session_ref, !replaced))
    }

    /// Lets all workers see a subscription that the session has, and how much of it the peer may see.
    pub(crate) fn publish_filter(
        &self,
        session_ref: SessionRef,
        share: Option<&[u8]>,
        filter: Filter<'_>,
        options: SubscriptionOptions,
        grant: Grant,
    ) {
        let Some(session) = self.lane.sessions.get(session_ref) else { return };
        if stands_for_others(filter.as_bytes()) {
            return; // what comes by it a queue hands out
        }
        let tenant = session.identity.tenant();
        match share {
            None => {
                let Some(text) = session.filter_text(filter) else { return };
                self.shared.write_index().insert_text(tenant, text, session_ref, options);
            }
            Some(group) => {
                let key = self.lane.sessions.key(session_ref);
                let reader = (grant != Grant::Whole).then(|| Reader {
                    identity: session.identity.clone(),
                    client_id: key.map(|key| key.client_id.clone()).unwrap_or_default(),
                    rights: self.known_rights(session_ref),
                });
                self.shared.write_shares().join(tenant, group, filter, session_ref, options, reader);
            }
        }
        self.shared.generations.bump(tenant, filter);
    }

    pub(crate) fn may_subscribe(&mut self, id: ConnectionId, filter: Filter<'_>) -> Result<Grant, Reason> {
        if exceeds(filter.as_bytes(), &self.shared.limits) {
            return Err(Reason::FilterInvalid);
        }
        if selects_replies(filter.as_bytes()) {
            return Err(Reason::NotAuthorized);
        }
        match self.ask(id, |rights, names| rights.grant(names, filter))? {
            Some(Grant::Refused) => Err(Reason::NotAuthorized),
            Some(grant) => Ok(grant),
            None => self.without_rules(id, filter.as_bytes()).map(|()| Grant::Whole),
        }
    }

    /// Whether a peer may read the value of a topic.
    pub(crate) fn may_read(&mut self, id: ConnectionId, topic: Topic<'_>) -> Result<(), Reason> {
        if exceeds(topic.as_bytes(), &self.shared.limits) {
            return Err(Reason::FilterInvalid);
        }
        match self.ask(id, |rights, names| rights.permits(Action::Subscribe, names, topic))? {
            Some(false) => Err(Reason::NotAuthorized),
            Some(true) => Ok(()),
            None => self.without_rules(id, topic.as_bytes()),
        }
    }

    /// Whether a peer may see something where there are no rules: what tells of other peers is for this machine only.
    fn without_rules(&self, id: ConnectionId, topic_or_filter: &[u8]) -> Result<(), Reason> {
        let address = self.lane.connections.get(id).and_then(|connection| connection.address);
        let may = !tells_of_peers(topic_or_filter) || is_local(address);
        may.then_some(()).ok_or(Reason::NotAuthorized)
    }

    /// Removes filters and answers.
    pub(crate) fn unsubscribe(&mut self, now: Instant, id: ConnectionId, unsubscribe: &Unsubscribe<'_>) {
        let results: Vec<bool> =
            unsubscribe.requests.iter().map(|request| self.detach_filter(now, id, *request)).collect();
        self.tell(now, id, Outcome::Unsubscribed { receipt: unsubscribe.receipt, results: &results });
    }

    fn detach_filter(&mut self, now: Instant, id: ConnectionId, request: UnsubscribeRequest<'_>) -> bool {
        let UnsubscribeRequest { filter, share } = request;
        if stands_for_others(filter.as_bytes()) {
            self.unsubscribe_from_queue(now, id, filter);
        }
        let session_ref = self.lane.connections.get_mut(id).and_then(|connection| connection.session());
        session_ref.is_some_and(|session_ref| self.detach_from(session_ref, share, filter))
    }

    /// Removes a filter from a session. Returns whether it was there.
    pub(crate) fn detach_from(
        &mut self,
        session_ref: SessionRef,
        share: Option<&[u8]>,
        filter: Filter<'_>,
    ) -> bool {
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return false };
        let tenant = session.identity.tenant();
        if !session.unsubscribe(share, filter) {
            return false;
        }
        self.shared.counters(self.worker).subscriptions.sub(1);
        if session.stored {
            let attached = Attached { share: share.map(Box::from), filter: filter.as_bytes().into() };
            self.lane.journal.note(Note::Unsubscribed(session_ref, attached));
        }
        match share {
            None => self.shared.write_index().remove(tenant, filter, session_ref),
            Some(group) => self.shared.write_shares().leave(tenant, group, filter, session_ref),
        };
        self.shared.generations.bump(tenant, filter);
        true
    }
}
