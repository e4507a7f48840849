//! The audit: every login, denial, administrative change and limit hit as one record, which goes to the log and to those
//! who subscribe to its topic below `$events`. No record holds a secret: there is no field for one.

mod bound;
mod limits;
mod telling;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use mynah_core::rules::Action;
use mynah_model::TenantId;
use serde::{Deserialize, Serialize};

pub use bound::Admitted;
pub(crate) use bound::{Bounds, Rest};

/// Something that has happened, as the log and subscribers see it. The JSON form is one object: the fields of this and of
/// the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// When, in RFC 3339, of UTC with milliseconds.
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub event: AuditEvent,
    /// So many events of the same kind were left out before this one: there were too many.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum AuditEvent {
    /// A peer has proved who it is, or was let in without: `$events/login/accepted`.
    LoginAccepted {
        /// Who.
        #[serde(flatten)]
        actor: Actor,
        /// How: `password`, `certificate`, `anonymous`, or the name of a mechanism of SASL.
        method: Cow<'static, str>,
    },
    /// A peer was not let in: `$events/login/refused`.
    LoginRefused {
        /// Who.
        #[serde(flatten)]
        actor: Actor,
        /// How it tried; `session` if it had proved who it is, and may not have the session that it asked for.
        method: Cow<'static, str>,
        /// Why not. Peers do not hear this.
        reason: Cow<'static, str>,
    },
    /// A peer may not do what it tried: `$events/denied/ACTION`.
    Denied {
        /// Who.
        #[serde(flatten)]
        actor: Actor,
        /// The action, by its name in the rules.
        action: Cow<'static, str>,
        /// The topic or the filter, unless the action has none.
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        /// Why not.
        reason: Denial,
        /// Where the rule is written that denies it, if one does.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// A limit kept a peer from what it tried: `$events/limit/LIMIT`.
    Limit {
        /// Who.
        #[serde(flatten)]
        actor: Actor,
        /// Which limit.
        limit: Limit,
        /// The topic or the filter, if there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<String>,
    },
    /// Something about the broker was changed, or was to be: `$events/change/WHAT`.
    Change {
        /// What.
        what: Changed,
        /// Whether that was done; otherwise everything is as it was.
        done: bool,
        /// More about it.
        #[serde(skip_serializing_if = "String::is_empty", default)]
        detail: String,
    },
    /// So many events of a kind were left out, as [`Audited::left_out`] says, and none of the kind came after them:
    /// `$events/left-out/KIND`.
    LeftOut {
        /// Which kind.
        kind: AuditKind,
    },
}

/// Who did something, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// In whose space; the event is published there. Not part of the JSON form.
    #[serde(skip)]
    pub tenant: TenantId,
    /// The identity that was proved; for an anonymous peer the name of its listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Nobody has proved who it is.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub anonymous: bool,
    /// Who it says it is, where that is not proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The name of its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Its address, if that is one of the internet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The listener where it came in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub listener: String,
    /// What it speaks.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub protocol: Cow<'static, str>,
}

/// Why something was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Denial {
    /// A rule denies it.
    Denied,
    /// No rule allows it.
    NotAllowed,
    /// Only the broker writes there.
    BrokerOwned,
}

/// A limit that somebody came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Connections, of the worker or of the identity.
    Connections,
    /// Sessions.
    Sessions,
    /// Subscriptions of a session.
    Subscriptions,
    /// Bytes of a message.
    MessageBytes,
    /// Messages or bytes that a connection may publish in a second.
    PublishRate,
    /// Exactly-once publications that are not complete.
    Publications,
    /// Retained values.
    Retained,
    /// Room in the store.
    Storage,
    /// Bytes or levels of a topic or a filter.
    Topic,
    /// Messages or bytes that wait for a session: the oldest are dropped.
    Backlog,
    /// Bytes that wait to be written to a peer: what needs no confirmation is dropped.
    Outbound,
    /// Logins that wait to be verified.
    Logins,
}

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changed {
    /// The broker has started, or is about to stop.
    Broker,
    /// Rules were read again.
    Rules,
    /// Users were read again.
    Users,
    /// Certificates were read again.
    Certificates,
    /// A queue or an exchange was declared, bound, purged or deleted by an administrator.
    Queues,
    /// A connection was closed by an administrator.
    Connections,
    /// The store met with damage, or its disk is full, or has room again.
    Store,
}

/// Events that are counted together: too many of one kind do not hide those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditKind {
    /// [`AuditEvent::LoginAccepted`]
    LoginAccepted,
    /// [`AuditEvent::LoginRefused`]
    LoginRefused,
    /// [`AuditEvent::Denied`]
    Denied,
    /// [`AuditEvent::Limit`]
    Limit,
    /// [`AuditEvent::Change`]
    Change,
}

impl AuditKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::LoginAccepted, Self::LoginRefused, Self::Denied, Self::Limit, Self::Change];

    /// The name in topics and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoginAccepted => "login-accepted",
            Self::LoginRefused => "login-refused",
            Self::Denied => "denied",
            Self::Limit => "limit",
            Self::Change => "change",
        }
    }
}

impl AuditEvent {
    /// The topic of the event.
    #[must_use]
    pub fn topic(&self) -> String {
        let (branch, leaf) = match self {
            Self::LoginAccepted { .. } => ("login", "accepted"),
            Self::LoginRefused { .. } => ("login", "refused"),
            Self::Denied { action, .. } => ("denied", &**action),
            Self::Limit { limit, .. } => ("limit", limit.name()),
            Self::Change { what, .. } => ("change", what.name()),
            Self::LeftOut { kind } => ("left-out", kind.name()),
        };
        format!("$events/{branch}/{leaf}")
    }

    /// In whose space it is told.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        match self {
            Self::LoginAccepted { actor, .. }
            | Self::LoginRefused { actor, .. }
            | Self::Denied { actor, .. }
            | Self::Limit { actor, .. } => actor.tenant,
            Self::Change { .. } | Self::LeftOut { .. } => TenantId::DEFAULT,
        }
    }

    /// A denial.
    #[must_use]
    pub fn denied(
        actor: Actor,
        action: Action,
        target: Option<&[u8]>,
        reason: Denial,
        rule: Option<&str>,
    ) -> Self {
        let (action, rule) = (Cow::Borrowed(action.name()), rule.map(str::to_owned));
        Self::Denied { actor, action, target: target.map(shown), reason, rule }
    }
}

impl Denial {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NotAllowed => "not-allowed",
            Self::BrokerOwned => "broker-owned",
        }
    }
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Connections,
        Self::Sessions,
        Self::Subscriptions,
        Self::MessageBytes,
        Self::PublishRate,
        Self::Publications,
        Self::Retained,
        Self::Storage,
        Self::Topic,
        Self::Backlog,
        Self::Outbound,
        Self::Logins,
    ];

    /// The name in topics and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Sessions => "sessions",
            Self::Subscriptions => "subscriptions",
            Self::MessageBytes => "message-bytes",
            Self::PublishRate => "publish-rate",
            Self::Publications => "publications",
            Self::Retained => "retained",
            Self::Storage => "storage",
            Self::Topic => "topic",
            Self::Backlog => "backlog",
            Self::Outbound => "outbound",
            Self::Logins => "logins",
        }
    }
}

impl Changed {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Broker,
        Self::Rules,
        Self::Users,
        Self::Certificates,
        Self::Queues,
        Self::Connections,
        Self::Store,
    ];

    /// The name in topics and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Rules => "rules",
            Self::Users => "users",
            Self::Certificates => "certificates",
            Self::Queues => "queues",
            Self::Connections => "connections",
            Self::Store => "store",
        }
    }
}

/// Characters of a name that a peer has chosen, at most.
const SHOWN_MAX: usize = 256;

/// What a peer has chosen, as a record shows it: text, and not more than a record has room for.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
