//! The audit of what happens outside the workers: logins that are verified elsewhere, and what an administrator changes.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use mynah_auth::{Door, LoginEvent, Peer};
use mynah_engine::{Actor, AuditEvent, AuditKind, Changed, Limit, shown};
use mynah_model::{Identity, Instant, TenantId};
use mynah_net::{Auditor, CLOCK_PAST};

use crate::config::{Listener, Protocol};

/// Tells what has happened, as soon as there are workers; before that nobody comes. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Herald(Arc<OnceLock<Auditor>>);

impl Herald {
    /// There are workers: the broker has started.
    pub(crate) fn begin(&self, auditor: Auditor, version: &str) {
        self.0.get_or_init(|| auditor);
        self.changed(Changed::Broker, format!("started, {version}"));
    }

    /// The workers' time; until there are any it stands still.
    pub(crate) fn now(&self) -> Instant {
        self.0.get().map_or(Instant::ZERO + CLOCK_PAST, Auditor::now)
    }

    fn tell(&self, kind: AuditKind, event: impl FnOnce() -> AuditEvent) {
        if let Some(auditor) = self.0.get() {
            auditor.tell(kind, event);
        }
    }

    /// Somebody has tried to log in.
    pub(crate) fn login(&self, event: &LoginEvent<'_>) {
        let LoginEvent { peer, user, method, outcome } = event;
        match outcome {
            Ok(login) => self.tell(AuditKind::LoginAccepted, || AuditEvent::LoginAccepted {
                actor: actor(peer).of(&login.identity),
                method: (*method).into(),
            }),
            Err(refusal) => self.refused(peer, *user, method, refusal),
        }
    }

    /// Somebody was not let in.
    pub(crate) fn refused(
        &self,
        peer: &Peer,
        user: Option<&str>,
        method: &'static str,
        reason: &dyn Display,
    ) {
        self.tell(AuditKind::LoginRefused, || AuditEvent::LoginRefused {
            actor: Actor { user: user.map(|user| shown(user.as_bytes())), ..actor(peer) },
            method: method.into(),
            reason: reason.to_string().into(),
        });
    }

    /// The rules do not let somebody do something that has no topic.
    pub(crate) fn denied(&self, event: impl FnOnce() -> AuditEvent) {
        self.tell(AuditKind::Denied, event);
    }

    /// Somebody came to a limit outside the workers.
    pub(crate) fn limit(&self, at: &Gate, peer: SocketAddr, limit: Limit) {
        self.tell(AuditKind::Limit, || AuditEvent::Limit { actor: at.actor(peer.ip()), limit, target: None });
    }

    /// The broker itself was not let in elsewhere: the bridge whose listener has this name.
    pub(crate) fn bridge_refused(&self, listener: &str, reason: impl Display) {
        self.tell(AuditKind::LoginRefused, || AuditEvent::LoginRefused {
            actor: Actor {
                listener: listener.to_owned(),
                protocol: Protocol::Mqtt.name().into(),
                ..Actor::default().of(&Identity::user(TenantId::DEFAULT, listener))
            },
            method: "bridge".into(),
            reason: format!("the other broker: {reason}").into(),
        });
    }

    /// Something was changed.
    pub(crate) fn changed(&self, what: Changed, detail: impl Into<String>) {
        self.tell(AuditKind::Change, || AuditEvent::Change { what, done: true, detail: detail.into() });
    }

    /// Something was to be changed, and stays as it was.
    pub(crate) fn unchanged(&self, what: Changed, detail: impl Into<String>) {
        self.tell(AuditKind::Change, || AuditEvent::Change { what, done: false, detail: detail.into() });
    }
}

/// A listener whose peers are met outside the workers.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) listener: Arc<str>,
    pub(crate) protocol: Protocol,
    pub(crate) tenant: TenantId,
}

impl Gate {
    pub(crate) fn new(listener: &Listener) -> Self {
        let Listener { name, protocol, admittance, .. } = listener;
        Self { listener: name.as_str().into(), protocol: *protocol, tenant: admittance.tenant }
    }

    /// Who has come in there, of whom no more is known.
    pub(crate) fn actor(&self, address: IpAddr) -> Actor {
        Actor {
            tenant: self.tenant,
            address: Some(address.to_canonical().to_string()),
            listener: self.listener.to_string(),
            protocol: self.protocol.name().into(),
            ..Actor::default()
        }
    }
}

fn actor(peer: &Peer) -> Actor {
    let Door { listener, protocol, tenant, .. } = &*peer.door;
    Actor {
        tenant: *tenant,
        address: peer.address.map(|address| address.to_canonical().to_string()),
        listener: listener.to_string(),
        protocol: (*protocol).into(),
        ..Actor::default()
    }
}
