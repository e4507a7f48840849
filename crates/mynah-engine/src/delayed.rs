//! Messages that are published later: kept by their publisher's worker until their time has come.

use std::collections::BTreeMap;

use mynah_core::Received;
use mynah_model::{Class, Header, Instant, Message, MessageView, Reason, Topic};
use mynah_stack::{Outcome, Publish};

use crate::changes::Change;
use crate::connections::{Connection, ConnectionId};
use crate::due::Timer;
use crate::engine::Engine;
use crate::item::Item;
use crate::journal::Note;
use crate::timer::TimerKey;

/// Messages that are published before others have their turn.
const BUDGET: usize = 1_024;

/// What a worker keeps.
#[derive(Default)]
pub(crate) struct Delayed {
    by_due: BTreeMap<(Instant, u64), Later>,
    bytes: usize,
    timer: Option<(TimerKey, Instant)>,
}

/// A message that waits for its time.
struct Later {
    message: Message,
    /// The topic that it goes to, if that is not its own.
    address: Option<Box<[u8]>>,
    /// Where it is stored, if it is.
    shard: Option<u16>,
    /// Somebody may have got it before a crash.
    again: bool,
}

/// A message is to be published later, as it is kept until the note is taken.
#[derive(Debug)]
pub(crate) struct DelayedNote {
    shard: u16,
    number: u64,
    message: Message,
    due: Instant,
    address: Option<Box<[u8]>>,
}

impl DelayedNote {
    pub(crate) const fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn change(&self) -> Change<'_> {
        let Self { shard, number, ref message, due, ref address } = *self;
        Change::Delayed { shard, number, message, due, address: address.as_deref() }
    }
}

/// A message that an earlier run was to publish later, as [`Change::Delayed`] said.
#[derive(Debug)]
pub struct RestoredDelayed {
    /// Where it is stored.
    pub shard: u16,
    /// Its number.
    pub number: u64,
    /// The message.
    pub message: Message,
    /// When it is to be published.
    pub due: Instant,
    /// The topic that it goes to, if that is not its own.
    pub address: Option<Box<[u8]>>,
}

impl Engine {
    /// A peer publishes something that nobody is to get yet.
    pub(crate) fn publish_later(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publish: &mut Publish<'_>,
        address: Option<&[u8]>,
    ) {
        let Some(connection) = self.lane.connections.get(id) else { return };
        (publish.header.tenant, publish.header.publisher) = (connection.tenant, connection.publisher);
        let (class, receipt) = (publish.header.class, publish.receipt);
        self.shared.counters(self.worker).messages_received(class).add(1);
        let topic = address.map_or_else(|| publish.view().topic(), Topic::from_checked);
        let room = self.has_room_for_later(publish);
        let result = match room.and_then(|()| self.accept_publish(now, id, publish, topic)) {
            Ok(Received::New) => {
                self.keep_for_later(now, publish, address);
                self.note_received(id, publish);
                Ok(true)
            }
            Ok(Received::Duplicate) => return self.confirm_again(now, id, receipt),
            Ok(Received::Full) => Err(Reason::QuotaExceeded),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = result {
            self.count_refused(now, id, publish, reason);
        }
        if class.is_confirmed() || publish.confirm {
            self.tell(now, id, Outcome::Published { receipt, class, result });
        }
    }

    /// An exactly-once publication has arrived.
    fn note_received(&mut self, id: ConnectionId, publish: &Publish<'_>) {
        let session = self.lane.connections.get(id).and_then(Connection::session);
        let is_exact = publish.header.class == Class::ExactlyOnce;
        if let Some(session) = session.filter(|session| is_exact && self.lane.is_stored(*session)) {
            self.lane.journal.note(Note::Received(session, publish.receipt));
        }
    }

    /// Whether there is room for one more message that waits.
    ///
    /// # Errors
    /// There is none, or none in the store.
    pub(crate) fn has_room_for_later(&self, publish: &Publish<'_>) -> Result<(), Reason> {
        let (limits, delayed) = (&self.shared.limits, &self.delayed);
        let bytes = delayed.bytes.saturating_add(publish.native.len());
        if delayed.by_due.len() >= limits.delayed_messages_max || bytes > limits.delayed_bytes_max {
            return Err(Reason::QueueFull);
        }
        if self.lane.journal.full && publish.header.class.is_confirmed() {
            return Err(Reason::StorageFull);
        }
        Ok(())
    }

    pub(crate) fn keep_for_later(&mut self, now: Instant, publish: &Publish<'_>, address: Option<&[u8]>) {
        let delay = publish.delay.unwrap_or_default();
        let deadline = publish.header.deadline.map(|deadline| deadline + delay);
        let header = Header { deadline, ..publish.header };
        let message = MessageView { header: &header, native: &publish.native }.to_message();
        let (due, number) = (now + delay, self.lane.journal.take_number());
        let address: Option<Box<[u8]>> = address.map(Box::from);
        let stored = header.class.is_confirmed() && self.lane.journal.is_on();
        let shard = stored.then_some(self.worker.0);
        if let Some(shard) = shard {
            let (message, address) = (message.clone(), address.clone());
            let note = DelayedNote { shard, number, message, due, address };
            self.lane.journal.note(Note::Delayed(Box::new(note)));
        }
        self.await_later(due, number, Later { message, address, shard, again: false });
    }

    fn await_later(&mut self, due: Instant, number: u64, later: Later) {
        self.delayed.bytes += later.message.view().native.len();
        self.delayed.by_due.insert((due, number), later);
        self.watch_delayed();
    }

    /// Takes in a message that this worker is to publish later: any worker may, and one for each shard does.
    pub fn restore_delayed(&mut self, restored: RestoredDelayed) {
        let RestoredDelayed { shard, number, message, due, address } = restored;
        self.await_later(due, number, Later { message, address, shard: Some(shard), again: false });
    }

    /// What was due in an earlier run may have been published in it.
    pub(crate) fn note_overdue(&mut self, now: Instant) {
        for later in self.delayed.by_due.range_mut(..=(now, u64::MAX)) {
            later.1.again = true;
        }
    }

    fn watch_delayed(&mut self) {
        let Some(&(due, _)) = self.delayed.by_due.keys().next() else { return };
        if let Some((key, armed)) = self.delayed.timer {
            if armed <= due {
                return;
            }
            self.timers.cancel(key);
        }
        self.delayed.timer = Some((self.timers.arm(due, Timer::Delayed), due));
    }

    /// The time of messages has come. The timer is gone already.
    pub(crate) fn delayed_due(&mut self, now: Instant) {
        for _ in 0..BUDGET {
            let Some(first) = self.delayed.by_due.first_entry().filter(|first| first.key().0 <= now) else {
                break;
            };
            let ((_, number), later) = first.remove_entry();
            let Later { message, address, shard, again } = later;
            self.delayed.bytes -= message.view().native.len();
            // What gets it and that it waits no more are stored together.
            self.lane.journal.begin();
            if let Some(shard) = shard {
                let tenant = message.header().tenant;
                self.lane.journal.note(Note::DelayedDone(tenant, shard, number));
            }
            let address = address.as_deref().map(Topic::from_checked);
            let mut item = Item::addressed(message.view(), address);
            item.set_again(again);
            self.distribute(now, &mut item, None);
        }
        self.watch_delayed();
    }

    pub(crate) fn delayed_timer_fired(&mut self) {
        self.delayed.timer = None;
    }
}
