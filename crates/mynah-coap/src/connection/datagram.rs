//! The message layer over datagrams (RFC 7252, section 4).

use alloc::vec::Vec;

use mynah_model::{Instant, Reason};
use mynah_stack::{Outbound, Step};

use super::exchange::Carrier;
use super::response::{Reply, append_datagram};
use super::{Link, ServerConnection, State};
use crate::flow::{Deduplication, Due, Purpose, Random, Seen, Transmissions};
use crate::framing::{is_to_group, next_datagram};
use crate::wire::{Code, Kind, Message, MessageId, Sink};

/// What is known of a peer at a datagram's address.
#[derive(Debug)]
pub(super) struct DatagramLink {
    pub(super) deduplication: Deduplication,
    pub(super) transmissions: Transmissions,
    last_id: MessageId,
    /// Whether the peer has shown that it gets what is sent to its address.
    pub(super) is_verified: bool,
    /// What the peer is to repeat to show that.
    echo: Option<u64>,
}

impl DatagramLink {
    pub(super) fn new(is_verified: bool, random: &mut Random) -> Self {
        // Two bytes of the number.
        let last_id = MessageId(random.next_number() as u16);
        Self {
            deduplication: Deduplication::default(),
            transmissions: Transmissions::default(),
            last_id,
            is_verified,
            echo: None,
        }
    }

    /// The next message number, of those that are not under way (section 4.4).
    fn next_id(&mut self) -> MessageId {
        loop {
            self.last_id = MessageId(self.last_id.0.wrapping_add(1));
            if !self.transmissions.has(self.last_id) {
                return self.last_id;
            }
        }
    }
}

impl ServerConnection {
    /// Reads a datagram. None if there is no whole one.
    pub(super) fn read_datagram<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Option<Step<'b>> {
        let mut rest = *input;
        let datagram = next_datagram(&mut rest)?;
        if is_to_group(input) {
            let step = self.read_from_group(now, datagram);
            if matches!(step, Step::Idle) {
                *input = rest;
            }
            return Some(step);
        }
        let token_max = usize::from(self.stack.config.token_bytes_max);
        let Ok(message) = Message::decode(datagram, token_max) else {
            *input = rest;
            self.reject(datagram, out);
            return Some(Step::Idle);
        };
        let is_request = message.body.code.is_request() && wants_answer(message.kind);
        if is_request && self.state == State::Fresh {
            return Some(self.open());
        }
        *input = rest;
        self.heard_at = now;
        if !message.body.code.is_request() {
            self.receive_other(now, &message, out);
            return Some(Step::Idle);
        }
        let command =
            if is_request { self.receive_request(now, &message, datagram.len(), out) } else { None };
        Some(command.map_or(Step::Idle, Step::Command))
    }

    /// Answers what is no message with a reset if it wants an acknowledgement (section 4.2); the rest is passed over.
    fn reject(&mut self, datagram: &[u8], out: &mut Outbound) {
        self.stack.counts.malformed.add(1);
        if let Some((Kind::Confirmable, id)) = Message::peek(datagram) {
            self.send_empty(Kind::Reset, id, out);
        }
    }

    fn receive_request<'b>(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        datagram_bytes: usize,
        out: &mut Outbound,
    ) -> Option<mynah_stack::Command<'b>> {
        let config = &self.stack.config;
        let is_confirmable = message.kind == Kind::Confirmable;
        let lifetime = if is_confirmable { config.exchange_lifetime() } else { config.non_lifetime() };
        let max = usize::from(config.dedup_messages_max);
        let Link::Datagram(link) = &mut self.link else { return None };
        let (seen, forgotten) = link.deduplication.note(now, message.id, lifetime, max);
        self.stack.counts.forgotten_answers.add(forgotten);
        if seen != Seen::First {
            self.stack.counts.duplicates.add(1);
            self.answer_again(message.id, out);
            return None;
        }
        let carrier = match is_confirmable {
            true => Carrier::Confirmable {
                id: message.id,
                acknowledge_at: now + config.separate_after,
                is_acknowledged: false,
            },
            false => Carrier::NonConfirmable,
        };
        self.request(now, &message.body, (carrier, datagram_bytes), out)
    }

    /// Says again what was said to a message that came again. What is not answered yet will be.
    fn answer_again(&self, id: MessageId, out: &mut Outbound) {
        let Link::Datagram(link) = &self.link else { return };
        if let Some((first, second)) = link.deduplication.answer(id) {
            append_datagram(first.len() + second.len(), out, |sink| {
                sink.put(first);
                sink.put(second);
            });
        }
    }

    /// An acknowledgement, a reset, a ping, or a response that nobody asked for.
    fn receive_other(&mut self, now: Instant, message: &Message<'_>, out: &mut Outbound) {
        let (is_empty, is_response) = (message.body.code.byte() == 0, message.body.code.is_response());
        match message.kind {
            Kind::Confirmable if is_response => self.receive_separate(message.id, message.body.token, out),
            Kind::Confirmable => self.send_empty(Kind::Reset, message.id, out),
            Kind::Acknowledgement if is_empty || is_response => self.acknowledged(now, message.id),
            Kind::Reset if is_empty => self.was_reset(now, message.id, out),
            // Section 4.2: what makes no sense in these is passed over.
            Kind::NonConfirmable | Kind::Acknowledgement | Kind::Reset => {}
        }
        if is_response && message.kind != Kind::Reset {
            self.answered(now, &message.body, out);
        }
        self.flush(now, out);
    }

    fn acknowledged(&mut self, now: Instant, id: MessageId) {
        let Link::Datagram(link) = &mut self.link else { return };
        let Some(purpose) = link.transmissions.end(id) else { return };
        link.is_verified = true;
        if let Purpose::Notification(number, delivery) = purpose {
            self.notified(now, number, delivery);
        }
    }

    /// The peer does not know what a message of ours is about: an observation that it notifies of is over (RFC 7641,
    /// section 3.6).
    fn was_reset(&mut self, now: Instant, id: MessageId, out: &mut Outbound) {
        let Link::Datagram(link) = &mut self.link else { return };
        match link.transmissions.end(id) {
            Some(Purpose::Notification(number, delivery)) => {
                self.give_up(delivery);
                self.end_observation(number);
            }
            Some(Purpose::Ping) => {
                link.is_verified = true;
                self.heard_at = now;
            }
            Some(Purpose::Response) => {}
            Some(Purpose::Call(number)) => self.not_answered(now, number, Code::BAD_GATEWAY, out),
            None => {
                if let Some(number) = self.observations.by_last_non(id) {
                    self.end_observation(number);
                }
            }
        }
    }

    pub(super) fn send_empty(&self, kind: Kind, id: MessageId, out: &mut Outbound) {
        append_datagram(4, out, |sink| Message::empty(kind, id).encode(sink));
    }

    /// Acknowledges or rejects a request by itself; the same goes out if the request comes again.
    pub(super) fn answer_empty(&mut self, kind: Kind, id: MessageId, out: &mut Outbound) {
        self.send_empty(kind, id, out);
        self.keep(id, 4, |sink| Message::empty(kind, id).encode(sink));
    }

    /// Keeps the answer in an acknowledgement.
    pub(super) fn keep_answer(&mut self, id: MessageId, reply: &Reply<'_>) {
        self.keep(id, reply.len(), |sink| reply.encode(Kind::Acknowledgement, id, sink));
    }

    fn keep(&mut self, id: MessageId, len: usize, write: impl FnOnce(&mut Deduplication)) {
        let Link::Datagram(link) = &mut self.link else { return };
        let bytes_max = self.stack.config.dedup_bytes_max as usize;
        let forgotten = link.deduplication.keep(id, len, bytes_max, write);
        self.stack.counts.forgotten_answers.add(forgotten);
    }

    pub(super) fn next_id(&mut self) -> MessageId {
        match &mut self.link {
            Link::Datagram(link) => link.next_id(),
            Link::Reliable(_) => MessageId(0),
        }
    }

    /// What the peer is to repeat to show that it gets what is sent to it (RFC 9175, section 2).
    pub(super) fn echo(&mut self) -> Option<u64> {
        let Link::Datagram(link) = &mut self.link else { return None };
        Some(*link.echo.get_or_insert_with(|| self.random.next_number()))
    }

    /// The peer has repeated something.
    pub(super) fn hear_echo(&mut self, echo: u64) {
        if let Link::Datagram(link) = &mut self.link
            && link.echo == Some(echo)
        {
            link.is_verified = true;
        }
    }

    /// Sends an answer whose request was acknowledged before (section 5.2.2).
    pub(super) fn send_separate(&mut self, now: Instant, reply: &Reply<'_>, out: &mut Outbound) {
        let id = self.next_id();
        let Link::Datagram(link) = &mut self.link else { return };
        if !link.transmissions.has_room(&self.stack.config) {
            let mut datagram = Vec::with_capacity(reply.len());
            reply.encode(Kind::Confirmable, id, &mut datagram);
            return link.transmissions.wait(datagram);
        }
        self.begin(now, (id, Purpose::Response), reply, out);
    }

    /// How many answers wait because the peer has not acknowledged those before them: they are requests that are worked on.
    pub(super) fn answers_waiting(&self) -> usize {
        match &self.link {
            Link::Datagram(link) => link.transmissions.waiting(),
            Link::Reliable(_) => 0,
        }
    }

    /// Sends a confirmable message, and keeps it until it is acknowledged.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        (id, purpose): (MessageId, Purpose),
        reply: &Reply<'_>,
        out: &mut Outbound,
    ) {
        let Link::Datagram(link) = &mut self.link else { return };
        let datagram = link.transmissions.begin(now, (id, purpose), &self.stack.config, &mut self.random);
        reply.encode(Kind::Confirmable, id, datagram);
        append_datagram(datagram.len(), out, |sink| sink.put(datagram));
    }

    /// Asks a silent peer whether it is there.
    pub(super) fn ping(&mut self, now: Instant, out: &mut Outbound) {
        self.heard_at = now;
        let id = self.next_id();
        let reply =
            Reply { code: Code::EMPTY, token: &[], options: &[], payload: crate::flow::Pieces::EMPTY };
        match &self.link {
            // What is under way asks the same.
            Link::Datagram(link) if !link.transmissions.is_empty() => {}
            Link::Datagram(_) => self.begin(now, (id, Purpose::Ping), &reply, out),
            Link::Reliable(_) => self.ping_reliable(out),
        }
    }

    /// Acknowledges requests that take long.
    pub(super) fn acknowledge_due(&mut self, now: Instant, out: &mut Outbound) {
        for at in 0..self.exchanges.len() {
            let Carrier::Confirmable { id, acknowledge_at, is_acknowledged: false } =
                self.exchanges[at].carrier
            else {
                continue;
            };
            if acknowledge_at <= now {
                self.exchanges[at].carrier =
                    Carrier::Confirmable { id, acknowledge_at, is_acknowledged: true };
                self.answer_empty(Kind::Acknowledgement, id, out);
            }
        }
    }

    /// Sends again what was not acknowledged, and gives up what was not for too long.
    pub(super) fn transmit_due(&mut self, now: Instant, out: &mut Outbound) {
        loop {
            let Link::Datagram(link) = &mut self.link else { return };
            match link.transmissions.due(now, &self.stack.config) {
                None => break,
                Some(Due::Again(id, purpose)) => {
                    self.stack.counts.retransmitted.add(1);
                    self.transmit_again(now, id, purpose, out);
                }
                Some(Due::Over(Purpose::Notification(number, delivery))) => {
                    self.give_up(delivery);
                    self.stack.counts.observers_lost.add(1);
                    self.end_observation(number);
                }
                Some(Due::Over(Purpose::Ping)) => {
                    self.stack.counts.observers_lost.add(self.observations.len());
                    self.state = State::Ending(Reason::KeepAliveTimeout);
                }
                Some(Due::Over(Purpose::Response)) => {}
                Some(Due::Over(Purpose::Call(number))) => {
                    self.not_answered(now, number, Code::GATEWAY_TIMEOUT, out);
                }
            }
        }
        self.flush(now, out);
    }

    /// Sends a message again, or in state mode what has taken its place (RFC 7641, section 4.5.2).
    fn transmit_again(&mut self, now: Instant, id: MessageId, purpose: Purpose, out: &mut Outbound) {
        let new_id = self.next_id();
        let mut id = id;
        if let Purpose::Notification(number, _) = purpose
            && let Some(datagram) = self.newer_notification(now, number, new_id)
            && let Link::Datagram(link) = &mut self.link
        {
            if let Some(under_way) = link.transmissions.datagram(id) {
                *under_way = datagram;
            }
            link.transmissions.renumber(id, new_id);
            id = new_id;
        }
        let Link::Datagram(link) = &mut self.link else { return };
        if let Some(datagram) = link.transmissions.datagram(id) {
            append_datagram(datagram.len(), out, |sink| sink.put(datagram));
        }
    }

    /// Sends what waits for its turn.
    pub(super) fn flush(&mut self, now: Instant, out: &mut Outbound) {
        while let Link::Datagram(link) = &mut self.link {
            let Some(mut waiting) = link.transmissions.take_waiting(&self.stack.config) else { break };
            let id = link.next_id();
            // The number is in the third and fourth byte of a message.
            if let Some(place) = waiting.get_mut(2..4) {
                place.copy_from_slice(&id.0.to_be_bytes());
            }
            let under_way =
                link.transmissions.begin(now, (id, Purpose::Response), &self.stack.config, &mut self.random);
            under_way.extend_from_slice(&waiting);
            append_datagram(waiting.len(), out, |sink| sink.put(&waiting));
        }
        self.send_calls(now, out);
        self.notify_waiting(now, out);
    }
}

/// Whether a request of this kind is one: a request in an acknowledgement or a reset is none.
const fn wants_answer(kind: Kind) -> bool {
    matches!(kind, Kind::Confirmable | Kind::NonConfirmable)
}
