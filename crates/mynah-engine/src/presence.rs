//! `$presence`: who is here, as retained values that nobody has published and nothing stores. They are computed from the
//! table of sessions when somebody asks for the first time, and kept up from then on; until then they cost nothing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use mynah_core::{RetainedStore, Session, SessionRef};
use mynah_model::{Instant, Limits, Message, Reason, TenantId, Topic};
use mynah_stack::{Outcome, Value};

use crate::connections::{Connection, ConnectionId};
use crate::engine::Engine;
use crate::inbox::Parcel;
use crate::item::Item;
use crate::shared::Shared;
use crate::sys;

/// Sessions that are counted in one turn.
const COUNT_BUDGET: u32 = 512;

/// What all workers know of who is here.
pub(crate) struct Presence {
    /// Somebody has asked.
    asked: AtomicBool,
    /// Workers that have not counted their sessions yet.
    uncounted: AtomicUsize,
    values: RwLock<RetainedStore>,
}

impl Presence {
    pub(crate) fn new(workers: usize, limits: &Limits, seed: u64) -> Self {
        // As many as there are sessions, whatever the values are limited to that peers retain.
        let limits = Limits {
            retained_messages_max: limits.sessions_max.saturating_mul(workers),
            retained_bytes_max: usize::MAX,
            retained_message_bytes_max: usize::MAX,
            ..limits.clone()
        };
        Self {
            asked: AtomicBool::new(false),
            uncounted: AtomicUsize::new(workers),
            values: RwLock::new(RetainedStore::new(&limits, seed)),
        }
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Whether every session is counted.
    pub(crate) fn is_complete(&self) -> bool {
        self.uncounted.load(Ordering::Acquire) == 0
    }

    /// The values, of all sessions once it is complete.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, RetainedStore> {
        self.values.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, message: &Message, now: Instant) {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        // There is room for every session.
        let _: Result<(), _> = values.set(message, now);
    }
}

impl Shared {
    /// The values that a topic or a filter is about: those that peers retain, or those that tell who is here.
    pub(crate) fn values_of(&self, topic_or_filter: &[u8]) -> RwLockReadGuard<'_, RetainedStore> {
        if concerns(topic_or_filter) { self.presence.read() } else { self.read_retained() }
    }
}

/// Whether a topic, or what a filter selects, tells who is here.
pub(crate) fn concerns(topic_or_filter: &[u8]) -> bool {
    topic_or_filter.split(|&b| b == b'/').next() == Some(b"$presence")
}

/// A name as a segment of a topic: what a topic cannot hold, and `%`, as `%XX`; and what is not text.
fn segment(name: &[u8]) -> Vec<u8> {
    let is_text = std::str::from_utf8(name).is_ok();
    let mut segment = Vec::with_capacity(name.len());
    for &byte in name {
        if matches!(byte, b'/' | b'+' | b'#' | b'%' | 0) || (!is_text && !byte.is_ascii()) {
            segment.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            segment.push(byte);
        }
    }
    segment
}

impl Engine {
    /// Somebody wants to know who is here. Returns whether that is known already; if not, [`Engine::presence_known`] is
    /// called when it is.
    pub(crate) fn ask_presence(&mut self) -> bool {
        if !self.shared.presence.asked.swap(true, Ordering::AcqRel) {
            self.tell_workers(|| Parcel::CountPresence);
            self.count = Some(0);
        }
        self.shared.presence.is_complete()
    }

    fn tell_workers(&mut self, parcel: impl Fn() -> Parcel) {
        let own = usize::from(self.worker.0);
        let others = self.outboxes.iter_mut().enumerate().filter(|(worker, _)| *worker != own);
        others.for_each(|(_, outbox)| outbox.push(parcel()));
    }

    /// Counts some of the sessions, if somebody has asked. Returns whether there are more.
    pub(crate) fn count_some(&mut self, now: Instant) -> bool {
        let Some(mut slot) = self.count else { return false };
        for _ in 0..COUNT_BUDGET {
            let Some(session_ref) = self.lane.sessions.next_from(slot) else {
                self.count = None;
                if self.shared.presence.uncounted.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.tell_workers(|| Parcel::PresenceKnown);
                    self.presence_known(now);
                }
                return false;
            };
            slot = session_ref.slot + 1;
            if let Some(message) = self.presence_of(session_ref) {
                self.shared.presence.set(&message, now);
            }
        }
        self.count = Some(slot);
        true
    }

    /// It is known who is here: answers those who have asked.
    pub(crate) fn presence_known(&mut self, now: Instant) {
        for (id, topic) in core::mem::take(&mut self.presence_reads) {
            self.tell_presence(now, id, Topic::from_checked(&topic));
            self.resume_input(now, id);
        }
        for id in self.lane.connections.ids() {
            let session = self.lane.connections.get(id).and_then(Connection::session);
            if session.and_then(|s| self.lane.sessions.get(s)).is_some_and(Session::is_replaying) {
                self.lane.mark_pumping(id.slot);
            }
        }
    }

    /// A peer reads who is here.
    pub(crate) fn read_presence(&mut self, now: Instant, id: ConnectionId, topic: Topic<'_>) {
        if self.ask_presence() {
            return self.tell_presence(now, id, topic);
        }
        if self.presence_reads.len() >= self.shared.limits.connections_max {
            return self.tell(now, id, Outcome::Value(Err(Reason::ServerBusy)));
        }
        self.presence_reads.push((id, topic.as_bytes().into()));
    }

    fn tell_presence(&mut self, now: Instant, id: ConnectionId, topic: Topic<'_>) {
        let Some(connection) = self.lane.connections.get(id) else { return };
        let tenant = connection.tenant;
        let found = {
            let values = self.shared.presence.read();
            values.get(tenant, topic, now).map(|message| (message.clone(), values.tag(message)))
        };
        let shared = std::sync::Arc::clone(&self.shared);
        let value = found.as_ref().map(|(message, tag)| Value {
            message,
            properties: shared.layouts.properties(message.view(), now),
            tag: *tag,
        });
        self.tell(now, id, Outcome::Value(Ok(value.as_ref())));
    }

    /// A session was opened or left: tells those who want to know.
    #[inline]
    pub(crate) fn note_presence(&mut self, now: Instant, session_ref: SessionRef) {
        if self.shared.presence.is_asked()
            && let Some(message) = self.presence_of(session_ref)
        {
            self.tell_of_presence(now, &message);
        }
    }

    /// A session has ended: nobody has its name.
    pub(crate) fn note_absence(&mut self, now: Instant, tenant: TenantId, topic: &[u8]) {
        let message = sys::message(tenant, topic, b"", true);
        self.tell_of_presence(now, &message);
    }

    fn tell_of_presence(&mut self, now: Instant, message: &Message) {
        self.shared.presence.set(message, now);
        if self.is_wanted(message.header().tenant, message.topic()) {
            self.distribute_presence(now, &mut Item::shared(message));
        }
    }

    /// What tells who is there at a session; none if it has no name, or too long a one, or nobody has asked.
    pub(crate) fn presence_topic(&self, session_ref: SessionRef) -> Option<Vec<u8>> {
        let session = self.lane.sessions.get(session_ref).filter(|_| self.shared.presence.is_asked())?;
        let key = self.lane.sessions.key(session_ref)?;
        let (identity, name) = (segment(session.identity.name().as_bytes()), segment(&key.client_id));
        let topic = [b"$presence", &*identity, &name].join(&b'/');
        (topic.len() <= self.shared.limits.topic_bytes_max).then_some(topic)
    }

    fn presence_of(&self, session_ref: SessionRef) -> Option<Message> {
        let topic = self.presence_topic(session_ref)?;
        let session = self.lane.sessions.get(session_ref)?;
        let connection = session.connection.and_then(|slot| self.lane.connections.peek(slot));
        let payload = match connection {
            Some(connection) => {
                let protocol = self.shared.listeners[usize::from(connection.listener)].protocol.name();
                let since = self.shared.time_of_day(connection.opened_at);
                format!(r#"{{"state":"online","protocol":"{protocol}","since":"{since}"}}"#)
            }
            None => {
                let since = self.shared.time_of_day(session.detached_at.unwrap_or(self.started));
                format!(r#"{{"state":"offline","since":"{since}"}}"#)
            }
        };
        Some(sys::message(session.identity.tenant(), &topic, payload.as_bytes(), true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_segments_and_differ_where_they_differ() {
        for (name, shown) in [
            (&b"ada"[..], "ada"),
            (b"a/b+c#d\0e", "a%2Fb%2Bc%23d%00e"),
            (b"a%2Fb", "a%252Fb"),
            ("é".as_bytes(), "é"),
            (b"a\xFF", "a%FF"),
        ] {
            assert_eq!(segment(name), shown.as_bytes());
        }
    }

    #[test]
    fn a_topic_concerns_presence_by_its_first_segment() {
        assert!(concerns(b"$presence") && concerns(b"$presence/a/#") && !concerns(b"$presences/a"));
    }
}
