//! Telling: a record goes out as an event, for the log, and to those who subscribe to its topic, if there are any.

use std::borrow::Cow;

use mynah_core::SessionRef;
use mynah_core::rules::{Action, Basis, Names, Object};
use mynah_model::{Class, Filter, Header, Identity, Instant, MessageView, Reason, TenantId, Topic};
use mynah_stack::{Publish, SubscribeRequest};

use super::{Actor, Admitted, AuditEvent, AuditKind, Audited, Denial, Limit, shown};
use crate::connections::{Connection, ConnectionId};
use crate::engine::{Engine, Event};
use crate::item::Item;
use crate::lane::Lane;
use crate::rules::peer_of;
use crate::sys;

impl Engine {
    /// Something has happened elsewhere that [`crate::Shared::admit_audit`] wants told; so much was left out before it.
    pub fn handle_audit(&mut self, now: Instant, event: AuditEvent, left_out: u64) {
        let record = Audited { time: self.shared.time_of_day(now), event, left_out };
        self.publish_record(now, &record);
        self.events.push_back(Event::Audited(Box::new(record)));
    }

    /// Something has happened: tells it, unless there is too much of its kind.
    #[cold]
    pub(crate) fn audit(&mut self, now: Instant, kind: AuditKind, event: impl FnOnce(&Self) -> AuditEvent) {
        match self.shared.admit_audit(now, kind) {
            Admitted::Told(left_out) => self.handle_audit(now, event(self), left_out),
            Admitted::LeftOut { first: true } => self.watch_left_out(now, kind),
            Admitted::LeftOut { first: false } => {}
        }
    }

    /// The payload is made only where somebody wants it.
    fn publish_record(&mut self, now: Instant, record: &Audited) {
        let (tenant, text) = (record.event.tenant(), record.event.topic());
        let topic = Topic::from_checked(text.as_bytes());
        if !self.is_wanted(tenant, topic) {
            return;
        }
        let Ok(payload) = serde_json::to_vec(record) else { return };
        let message = sys::message(tenant, text.as_bytes(), &payload, false);
        self.distribute(now, &mut Item::shared(&message), None);
    }

    /// Whether a subscription selects the topic.
    pub(crate) fn is_wanted(&mut self, tenant: TenantId, topic: Topic<'_>) -> bool {
        let shared = &*self.shared;
        let route = self.routes.route(tenant, topic, &shared.generations, |found| {
            shared.read_index().matches(tenant, topic, &mut found.matches);
            shared.read_shares().matches(tenant, topic, &mut found.groups);
        });
        !route.is_empty()
    }

    /// Who is at a connection.
    pub(crate) fn actor(&self, id: ConnectionId) -> Actor {
        let Some(connection) = self.lane.connections.get(id) else { return Actor::default() };
        let session = connection.session().and_then(|session| self.lane.sessions.key(session));
        let session = session.map(|key| shown(&key.client_id));
        let (tenant, listener, protocol) = self.at_listener(connection.listener);
        let address = connection.address.map(|address| address.to_string());
        let actor = Actor { tenant, session, address, listener, protocol, ..Actor::default() };
        connection.identity.as_ref().map_or(actor.clone(), |identity| actor.of(identity))
    }

    pub(super) fn at_listener(&self, listener: u16) -> (TenantId, String, Cow<'static, str>) {
        let door = self.shared.listeners.get(usize::from(listener));
        door.map_or_else(Default::default, |door| {
            (door.tenant, door.name.clone(), Cow::Borrowed(door.protocol.name()))
        })
    }

    /// A peer that need not prove who it is has come in.
    pub(crate) fn audit_unproved(
        &mut self,
        now: Instant,
        id: ConnectionId,
        identity: &Identity,
        method: &'static str,
    ) {
        self.audit(now, AuditKind::LoginAccepted, |engine| AuditEvent::LoginAccepted {
            actor: engine.actor(id).of(identity),
            method: method.into(),
        });
    }

    /// A peer was refused before anybody looked at what it says of who it is.
    pub(crate) fn audit_unheard(
        &mut self,
        now: Instant,
        id: ConnectionId,
        user: Option<String>,
        why: &'static str,
    ) {
        self.audit(now, AuditKind::LoginRefused, |engine| AuditEvent::LoginRefused {
            actor: Actor { user, ..engine.actor(id) },
            method: "none".into(),
            reason: why.into(),
        });
    }

    /// Somebody who has proved who it is does not get the session that it asked for; if a quota is why, it is this limit.
    pub(crate) fn audit_shut_out(
        &mut self,
        now: Instant,
        id: ConnectionId,
        (identity, client_id): (&Identity, &[u8]),
        (reason, limit): (Reason, Limit),
    ) {
        let kind = match reason {
            Reason::NotAuthorized => AuditKind::Denied,
            Reason::QuotaExceeded => AuditKind::Limit,
            _ => AuditKind::LoginRefused,
        };
        self.refused = Some(id);
        self.audit(now, kind, |engine| {
            let session = (!client_id.is_empty()).then(|| shown(client_id));
            let actor = Actor { session, ..engine.actor(id) }.of(identity);
            match kind {
                AuditKind::Denied => engine.denied(id, actor, Action::Connect, Object::Nothing),
                AuditKind::Limit => AuditEvent::Limit { actor, limit, target: None },
                _ => AuditEvent::LoginRefused {
                    actor,
                    method: "session".into(),
                    reason: reason.to_string().into(),
                },
            }
        });
    }

    /// A publication was refused.
    pub(crate) fn audit_publish(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publish: &Publish<'_>,
        reason: Reason,
    ) {
        let view = publish.view();
        let topic = view.topic();
        let limit = match reason {
            Reason::NotAuthorized => {
                return self.audit(now, AuditKind::Denied, |engine| engine.denied_publish(id, view));
            }
            Reason::TooLarge => Limit::MessageBytes,
            Reason::RateExceeded => Limit::PublishRate,
            Reason::TopicInvalid => Limit::Topic,
            Reason::StorageFull => Limit::Storage,
            Reason::QuotaExceeded if view.header.class == Class::ExactlyOnce => Limit::Publications,
            Reason::QuotaExceeded => Limit::Retained,
            _ => return,
        };
        self.refused = Some(id);
        self.audit_limit(now, id, limit, Some(topic.as_bytes()));
    }

    /// A subscription was refused.
    pub(crate) fn audit_subscribe(
        &mut self,
        now: Instant,
        id: ConnectionId,
        request: &SubscribeRequest<'_>,
        reason: Reason,
    ) {
        match reason {
            Reason::NotAuthorized => self.audit_look(now, id, Object::Filter(request.filter)),
            Reason::QuotaExceeded => {
                self.audit_limit(now, id, Limit::Subscriptions, Some(request.filter.as_bytes()));
            }
            Reason::FilterInvalid => self.audit_limit(now, id, Limit::Topic, Some(request.filter.as_bytes())),
            _ => {}
        }
    }

    /// A peer may not see what it wants to see.
    pub(crate) fn audit_look(&mut self, now: Instant, id: ConnectionId, object: Object<'_>) {
        self.audit(now, AuditKind::Denied, |engine| {
            engine.denied(id, engine.actor(id), Action::Subscribe, object)
        });
    }

    /// A peer may not do something to a queue.
    pub(crate) fn audit_action(
        &mut self,
        now: Instant,
        id: ConnectionId,
        action: Action,
        object: Object<'_>,
    ) {
        self.audit(now, AuditKind::Denied, |engine| engine.denied(id, engine.actor(id), action, object));
    }

    /// A change of the rules has ended a subscription.
    pub(crate) fn audit_ended(&mut self, now: Instant, session_ref: SessionRef, filter: &[u8]) {
        let connection = self.lane.sessions.get(session_ref).and_then(|session| session.connection);
        let generation =
            connection.and_then(|slot| Some((slot, self.lane.connections.peek(slot)?.generation)));
        if let Some((slot, generation)) = generation {
            let id = ConnectionId { slot, generation };
            return self.audit_look(now, id, Object::Filter(Filter::from_checked(filter)));
        }
        self.audit(now, AuditKind::Denied, |engine| {
            let actor = engine.absent(session_ref);
            AuditEvent::denied(actor, Action::Subscribe, Some(filter), Denial::NotAllowed, None)
        });
    }

    /// A will may not be published.
    pub(crate) fn audit_will(&mut self, now: Instant, session_ref: SessionRef, topic: &[u8]) {
        self.audit(now, AuditKind::Denied, |engine| {
            let actor = engine.absent(session_ref);
            AuditEvent::denied(actor, Action::Publish, Some(topic), Denial::NotAllowed, None)
        });
    }

    /// Whose session it is that has no connection.
    pub(super) fn absent(&self, session_ref: SessionRef) -> Actor {
        let session = self.lane.sessions.key(session_ref).map(|key| shown(&key.client_id));
        let actor = Actor { session, ..Actor::default() };
        match self.lane.sessions.get(session_ref) {
            Some(session) => {
                let tenant = session.identity.tenant();
                Actor { tenant, ..actor.of(&session.identity) }
            }
            None => actor,
        }
    }

    fn denied_publish(&self, id: ConnectionId, view: MessageView<'_>) -> AuditEvent {
        let (topic, actor) = (view.topic(), self.actor(id));
        let header: &Header = view.header;
        if topic.is_broker_owned() {
            let target = Some(topic.as_bytes());
            return AuditEvent::denied(actor, Action::Publish, target, Denial::BrokerOwned, None);
        }
        let retains = header.retain && self.permits(id, Action::Publish, topic);
        let action = if retains { Action::Retain } else { Action::Publish };
        self.denied(id, actor, action, Object::Topic(topic))
    }

    fn permits(&self, id: ConnectionId, action: Action, topic: Topic<'_>) -> bool {
        let Some(connection) = self.lane.connections.get(id) else { return false };
        let (Some(rights), Some(identity)) = (&connection.rights, &connection.identity) else { return false };
        rights.permits(action, Names::new(identity, self.client_id(id)), topic)
    }

    fn client_id(&self, id: ConnectionId) -> &[u8] {
        let session = self.lane.connections.get(id).and_then(Connection::session);
        session.and_then(|session| self.lane.sessions.key(session)).map_or(&[], |key| &key.client_id)
    }

    /// A denial, with the rule that it comes from.
    pub(crate) fn denied(
        &self,
        id: ConnectionId,
        actor: Actor,
        action: Action,
        object: Object<'_>,
    ) -> AuditEvent {
        let Lane { judge, connections, .. } = &self.lane;
        let target = match object {
            Object::Nothing => None,
            Object::Topic(topic) => Some(topic.as_bytes()),
            Object::Filter(filter) => Some(filter.as_bytes()),
        };
        let peer = connections.get(id).and_then(|connection| peer_of(&self.shared, connection));
        let rules = judge.rules();
        let basis = peer.map(|peer| {
            let names = Names::new(peer.identity, self.client_id(id));
            rules.explain(&peer, names, action, object).basis
        });
        let (reason, rule) = match basis {
            Some(Basis::Denied(place)) => (Denial::Denied, rules.written(place)),
            _ => (Denial::NotAllowed, None),
        };
        AuditEvent::denied(actor, action, target, reason, rule)
    }
}

impl Actor {
    /// The same, who has proved to be this identity.
    #[must_use]
    pub fn of(self, identity: &Identity) -> Self {
        let (name, anonymous) = (Some(identity.name().to_owned()), identity.is_anonymous());
        Self { tenant: identity.tenant(), identity: name, anonymous, ..self }
    }
}
