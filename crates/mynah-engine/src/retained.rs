//! Retained values: written by publishers, read by peers, taken out when their deadlines have come.

use std::sync::Arc;
use std::time::Duration;

use mynah_core::rules::Object;
use mynah_core::{DropReason, owner};
use mynah_model::{Condition, Instant, Message, Reason, Topic};
use mynah_stack::{Outcome, Value};

use crate::connections::ConnectionId;
use crate::deeds::{Asking, VALUE};
use crate::due::Timer;
use crate::engine::Engine;
use crate::inbox::{Ask, Parcel};
use crate::item::Item;
use crate::journal::Note;
use crate::presence::concerns;

/// How often a worker looks for values whose deadlines have come, at most.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
/// Values taken out at a time, so that others get at the store in between.
const EXPIRE_MAX: usize = 1_024;

impl Engine {
    /// Makes a message the value of its topic; what the store does not take is counted. Returns whether it was taken.
    pub(crate) fn retain(&mut self, now: Instant, item: &mut Item<'_>) -> bool {
        let result = self.shared.write_retained().set(item.message(), now);
        match result {
            Ok(()) => self.await_deadline(now, item.view().header.deadline),
            Err(_) => {
                self.count_dropped(DropReason::RetainedQuota, 1);
                self.audit_retained(now, item.view());
            }
        }
        result.is_ok()
    }

    /// Judges the conditions for a message and, if it is to be retained, makes it the value of its topic in the same
    /// step. Returns whether it is.
    pub(crate) fn retain_if(
        &mut self,
        now: Instant,
        item: &mut Item<'_>,
        conditions: &[Condition],
    ) -> Result<bool, Reason> {
        let header = item.view().header;
        if header.retain {
            self.shared.write_retained().set_if(item.message(), conditions, now)?;
            self.await_deadline(now, header.deadline);
            return Ok(true);
        }
        let holds = self.shared.read_retained().holds(header.tenant, item.view().topic(), conditions, now);
        if holds { Ok(false) } else { Err(Reason::ConditionFailed) }
    }

    /// The value of the message's topic has changed. One worker stores all values of a topic, so that what is stored
    /// last is what was set last. Returns whether it is this one.
    pub(crate) fn note_value(&mut self, message: &Message, asking: Option<&mut Asking>) -> bool {
        // What the broker says of itself is said anew.
        if !self.lane.journal.is_on() || message.topic().is_broker_owned() {
            return false;
        }
        let topic = message.topic().as_bytes();
        let to = owner(message.header().tenant, topic, self.shared.workers(), self.shared.seed);
        if to == self.worker {
            self.store_value(message);
            return true;
        }
        let asking = asking.filter(|asking| self.lane.journal.waits() || asking.is_of_a_deed());
        let ask = asking.map(|asking| asking.ask(&mut self.lane.journal));
        self.outboxes[usize::from(to.0)].push(Parcel::Retained { message: message.clone(), ask });
        false
    }

    /// Notes the value that the message's topic has now: whoever changes it later says so later.
    fn store_value(&mut self, message: &Message) {
        let (tenant, topic) = (message.header().tenant, message.topic());
        let value = self.shared.read_retained().get(tenant, topic, Instant::ZERO).cloned();
        self.lane.journal.note(match value {
            Some(value) => Note::Retained(value),
            None => Note::Cleared(tenant, topic.as_bytes().into()),
        });
    }

    /// Another worker has changed the value of a topic that this one stores.
    pub(crate) fn store_for_another(&mut self, message: &Message, ask: Option<Ask>) {
        self.lane.journal.begin();
        self.store_value(message);
        let Some(ask) = ask else { return };
        if let Some(part) = &ask.part {
            self.lane.journal.note(Note::Part(part.clone(), [VALUE].into()));
        }
        self.answer(&ask);
    }

    /// A peer reads the last value of a topic.
    pub(crate) fn read(&mut self, now: Instant, id: ConnectionId, topic: Topic<'_>) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let tenant = connection.tenant;
        if let Err(reason) = self.may_read(id, topic) {
            if reason == Reason::NotAuthorized {
                self.audit_look(now, id, Object::Topic(topic));
            }
            return self.tell(now, id, Outcome::Value(Err(reason)));
        }
        if concerns(topic.as_bytes()) {
            return self.read_presence(now, id, topic);
        }
        let shared = Arc::clone(&self.shared);
        let found = {
            let retained = shared.read_retained();
            retained.get(tenant, topic, now).map(|message| (message.clone(), retained.tag(message)))
        };
        let value = found.as_ref().map(|(message, tag)| Value {
            message,
            properties: shared.layouts.properties(message.view(), now),
            tag: *tag,
        });
        self.tell(now, id, Outcome::Value(Ok(value.as_ref())));
    }

    /// Values may have to be taken out of the store. Every worker that put one in with a deadline looks after them; what
    /// is due to several is taken out by the first.
    pub(crate) fn expire_retained(&mut self, now: Instant) {
        self.retained_due = None;
        let due = self.shared.read_retained().next_deadline();
        if due.is_some_and(|deadline| deadline <= now) {
            let expired = self.shared.write_retained().expire(now, EXPIRE_MAX);
            for message in &expired {
                self.note_value(message, None);
            }
            if expired.len() == EXPIRE_MAX {
                return self.arm_retained(now);
            }
        }
        let next = self.shared.read_retained().next_deadline();
        self.await_deadline(now, next);
    }

    /// Wakes up for a deadline, but not more often than once in an interval.
    pub(crate) fn await_deadline(&mut self, now: Instant, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.arm_retained(deadline.max(now + EXPIRE_INTERVAL));
        }
    }

    fn arm_retained(&mut self, at: Instant) {
        if let Some((key, armed)) = self.retained_due {
            if armed <= at {
                return;
            }
            self.timers.cancel(key);
        }
        self.retained_due = Some((self.timers.arm(at, Timer::Retained), at));
    }
}
