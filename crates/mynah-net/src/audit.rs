//! The audit's way to the log, and what happens outside the workers on its way to them.

use std::sync::Arc;

use mynah_engine::{Actor, Admitted, AuditEvent, AuditKind, Audited, Shared};
use mynah_model::Instant;

use crate::clock::Clock;
use crate::mailbox::{Letter, Mailbox};

/// Tells what happens outside the workers: to the log, and to those who subscribe to it. Cheap to clone.
#[derive(Clone)]
pub struct Auditor {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    clock: Clock,
}

impl Auditor {
    pub(crate) const fn new(shared: Arc<Shared>, mailbox: Arc<Mailbox>, clock: Clock) -> Self {
        Self { shared, mailbox, clock }
    }

    /// The workers' time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Something has happened: tells it, unless there is too much of its kind.
    pub fn tell(&self, kind: AuditKind, event: impl FnOnce() -> AuditEvent) {
        match self.shared.admit_audit(self.clock.now(), kind) {
            Admitted::Told(left_out) => {
                self.mailbox.post(Letter::Audit { event: Box::new(event()), left_out });
            }
            Admitted::LeftOut { first: true } => self.mailbox.post(Letter::LeftOut(kind)),
            Admitted::LeftOut { first: false } => {}
        }
    }
}

/// What the log has for a record beside who did it.
struct Line<'r> {
    what: &'static str,
    actor: Option<&'r Actor>,
    method: Option<&'r str>,
    target: Option<&'r str>,
    reason: Option<&'r str>,
    rule: Option<&'r str>,
}

impl<'r> Line<'r> {
    fn new(event: &'r AuditEvent) -> Self {
        let bare = Self { what: "", actor: None, method: None, target: None, reason: None, rule: None };
        match event {
            AuditEvent::LoginAccepted { actor, method } => {
                Self { what: "logged in", actor: Some(actor), method: Some(method), ..bare }
            }
            AuditEvent::LoginRefused { actor, method, reason } => Self {
                what: "a login was refused",
                actor: Some(actor),
                method: Some(method),
                reason: Some(reason),
                ..bare
            },
            AuditEvent::Denied { actor, target, reason, rule, .. } => Self {
                what: "denied",
                actor: Some(actor),
                target: target.as_deref(),
                reason: Some(reason.name()),
                rule: rule.as_deref(),
                ..bare
            },
            AuditEvent::Limit { actor, target, .. } => {
                Self { what: "a limit was hit", actor: Some(actor), target: target.as_deref(), ..bare }
            }
            AuditEvent::Change { done, detail, .. } => {
                let what = if *done { "changed" } else { "a change has failed" };
                Self { what, reason: Some(detail.as_str()).filter(|detail| !detail.is_empty()), ..bare }
            }
            AuditEvent::LeftOut { .. } => Self { what: "there was too much to tell", ..bare },
        }
    }
}

/// Writes a record to the log, with the target `audit`. What a peer has chosen is shown as a value, never as text of the
/// log's own.
pub(crate) fn log(record: &Audited) {
    let Line { what, actor, method, target: object, reason, rule } = Line::new(&record.event);
    let topic = record.event.topic();
    let audit = topic.strip_prefix("$events/").unwrap_or(&topic);
    let nobody = Actor::default();
    let Actor { identity, anonymous, user, session, address, listener, protocol, .. } =
        actor.unwrap_or(&nobody);
    let left_out = (record.left_out > 0).then_some(record.left_out);
    tracing::info!(
        target: "audit",
        audit,
        identity = identity.as_deref(),
        anonymous = anonymous.then_some(true),
        user = user.as_deref(),
        session = session.as_deref(),
        address = address.as_deref(),
        listener = Some(listener.as_str()).filter(|name| !name.is_empty()),
        protocol = Some(&**protocol).filter(|name| !name.is_empty()),
        method,
        object,
        reason,
        rule,
        left_out,
        "{what}"
    );
}
