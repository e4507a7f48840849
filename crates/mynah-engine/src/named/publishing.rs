//! What is published to a queue by its name.

use mynah_core::exchange::TOPIC_SPACE;
use mynah_core::rules::Action;
use mynah_core::{Arrival, Counters, DropReason, Found, Received, SessionRef};
use mynah_model::{
    Class, Durability, Header, Instant, Message, MessageView, QueueSettings, Reason, TenantId, Topic,
};
use mynah_stack::{Destination, Outcome, Publish};

use super::addresses::{place, push_address};
use super::dead::is_cycle;
use super::keeping::{Entered, QueueNote};
use super::queue_of;
use super::request::{Asker, Request};
use crate::connections::ConnectionId;
use crate::engine::Engine;
use crate::item::Item;
use crate::journal::Note;
use crate::lane::Lane;

impl Engine {
    /// A peer publishes elsewhere than to a topic: finds out what stands for that place in the topic space.
    pub(crate) fn publish_elsewhere(&mut self, now: Instant, id: ConnectionId, publish: &mut Publish<'_>) {
        let mut place = core::mem::take(&mut self.place);
        let is_elsewhere = push_place(publish, &mut place);
        self.publish_to(now, id, publish, is_elsewhere.then_some(&place));
        place.clear();
        self.place = place;
    }

    fn publish_to(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publish: &mut Publish<'_>,
        address: Option<&[u8]>,
    ) {
        publish.header.retain &= address.is_none();
        if publish.delay.is_some_and(|delay| !delay.is_zero()) {
            return self.publish_later(now, id, publish, address);
        }
        let asker = self.asker(id);
        publish.header.tenant = asker.tenant;
        let Some(address) = address else {
            let name =
                queue_of(publish.view().topic().as_bytes()).filter(|_| publish.to == Destination::Topic);
            let Some(name) = name else { return self.publish_as(now, id, publish, None) };
            let is_there = self.is_routed(asker.tenant, publish);
            if is_there && !self.shared.is_refusing(asker.tenant, &name) {
                return self.publish_as(now, id, publish, None);
            }
            return self.publish_carefully(now, id, publish, (&name, publish.view().topic(), !is_there));
        };
        let name = queue_named_by(publish).filter(|name| self.shared.is_refusing(asker.tenant, name));
        if let Some(name) = name {
            let place = (name, Topic::from_checked(address), false);
            return self.publish_carefully(now, id, publish, place);
        }
        self.publish_as(now, id, publish, Some(Topic::from_checked(address)));
    }

    /// Whether somebody wants a topic.
    fn is_routed(&mut self, tenant: TenantId, publish: &Publish<'_>) -> bool {
        let (view, shared) = (publish.view(), &*self.shared);
        let find = |found: &mut Found| shared.find(view, view.topic(), found);
        !self.routes.route(tenant, view.topic(), &shared.generations, find).is_empty()
    }

    /// Publishes to a queue that may refuse, or is to be made: its worker says whether it takes the message. `place`: its
    /// name, its topic, and whether it is to be made.
    fn publish_carefully(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publish: &Publish<'_>,
        (name, topic, makes): (&[u8], Topic<'_>, bool),
    ) {
        let (receipt, class) = (publish.receipt, publish.header.class);
        let receipt = (class.is_confirmed() || publish.confirm).then_some(receipt);
        self.shared.counters(self.worker).messages_received(class).add(1);
        let allowed = if makes { self.may(now, id, Action::Configure, name) } else { Ok(()) };
        let allowed = allowed.map_err(|fault| fault.reason);
        let result = match allowed.and_then(|()| self.accept_publish(now, id, publish, topic)) {
            Ok(Received::New) => Ok(()),
            Ok(Received::Duplicate) => return self.confirm_again(now, id, publish.receipt),
            Ok(Received::Full) => Err(Reason::QuotaExceeded),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = result {
            self.count_refused(now, id, publish, reason);
            if let Some(receipt) = receipt {
                self.tell(now, id, Outcome::Published { receipt, class, result: Err(reason) });
            }
            return;
        }
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        // Its stack may have something to say once it is answered.
        connection.taps.get_or_insert_default();
        let publisher = connection.publisher;
        let header = Header { publisher, retain: false, ..publish.header };
        let message = MessageView { header: &header, native: &publish.native }.to_message();
        self.ask_queue(now, id, Request::Publish { receipt, name: name.into(), message, makes });
    }

    pub(super) fn serve_publish(
        &mut self,
        now: Instant,
        asker: Asker,
        name: &[u8],
        message: Message,
        makes: bool,
    ) -> Result<bool, Reason> {
        let queue = match self.lane.queues.find(asker.tenant, name) {
            None if makes => {
                self.make_queue(now, asker, name, QueueSettings::DURABLE).map_err(|fault| fault.reason)?
            }
            None => return Ok(false),
            Some(queue) => queue,
        };
        // What has taken its leave makes room.
        while self.pump_queue(now, queue, usize::MAX) {}
        let Some(owned) = self.lane.queues.get_mut(queue) else { return Ok(false) };
        let fits = owned.kernel.has_room_for(message.header().payload_range().len() as u64);
        let refuses = owned.kernel.refuses() && !fits;
        let keeps = owned.kernel.settings().overflow == mynah_model::Overflow::RejectPublishDeadLetter;
        if refuses && !keeps {
            self.count_dropped(DropReason::BacklogFull, 1);
            return Err(Reason::QueueFull);
        }
        self.lane.enqueue_named(now, queue, &mut Item::shared(&message));
        while self.pump_queue(now, queue, usize::MAX) {}
        if refuses { Err(Reason::QueueFull) } else { Ok(true) }
    }
}

impl Lane {
    /// Puts a message into a queue of this worker.
    #[cold]
    pub(crate) fn deliver_to_queue(
        &mut self,
        counters: &Counters,
        now: Instant,
        queue: SessionRef,
        item: &mut Item<'_>,
    ) {
        if !self.enqueue_named(now, queue, item) {
            counters.dropped(DropReason::SessionEnded).add(1);
        }
    }

    /// Returns whether the queue is there, and is none that a dead letter has come back to by itself.
    pub(super) fn enqueue_named(&mut self, now: Instant, queue: SessionRef, item: &mut Item<'_>) -> bool {
        let is_paged = self.queues.is_paged;
        let Some(owned) = self.queues.get_mut(queue) else { return false };
        let history = self.history.clone();
        if history.as_ref().is_some_and(|history| is_cycle(&owned.name, &history.deaths)) {
            return false;
        }
        let durability = owned.kernel.settings().durability;
        let kept = owned.stored && durability != Durability::Memory;
        let stored = kept && item.view().header.class != Class::AtMostOnce;
        let message = item.message().clone();
        let (history, again) = (history, item.is_again());
        let arrival = Arrival { history: history.clone(), again, ..Arrival::new(message.clone(), stored) };
        let (sequence, time) = owned.kernel.push(now, arrival);
        if stored {
            let mark = self.journal.mark();
            match owned.entered.back_mut().filter(|(last, _)| *last == mark) {
                Some((_, last)) => *last = sequence,
                None if is_paged => owned.entered.push_back((mark, sequence)),
                None => {}
            }
            let entered = Entered { sequence, message, time, history };
            let note = Note::Queue(QueueNote::Entry(queue, Box::new(entered)));
            match durability {
                Durability::Interval => self.journal.note_aside(note),
                _ => self.journal.note(note),
            }
        }
        self.queues.list(queue);
        true
    }
}

/// The topic that stands for where a publication goes, if it does not go to its own.
pub(super) fn place_of(publish: &Publish<'_>) -> Option<Vec<u8>> {
    let mut place = Vec::new();
    push_place(publish, &mut place).then_some(place)
}

/// Appends the same. False, and nothing is appended, if it goes to its own.
fn push_place(publish: &Publish<'_>, out: &mut Vec<u8>) -> bool {
    let key = publish.view().topic().as_bytes();
    match publish.to {
        Destination::Topic => return false,
        Destination::Exchange(TOPIC_SPACE) if !key.is_empty() => return false,
        Destination::Queue => push_address(key, out),
        Destination::Exchange(name) => out.extend(place(name, key)),
    }
    true
}

/// The queue that a publication goes to by its name.
fn queue_named_by<'p>(publish: &'p Publish<'_>) -> Option<&'p [u8]> {
    let is_direct = matches!(publish.to, Destination::Queue | Destination::Exchange(b""));
    is_direct.then(|| publish.view().topic().as_bytes())
}
