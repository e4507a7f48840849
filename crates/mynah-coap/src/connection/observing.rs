//! Observers: who is let in, what each is notified of and when, and how an observation ends (RFC 7641).

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::{
    Class, DeliveryId, Filter, Instant, Reason, RetainHandling, SubscriptionId, SubscriptionOptions,
};
use mynah_stack::{Frame, Outbound, Settle, Settlement};

use super::exchange::{Exchange, Work};
use super::named::{Named, NamedRequest};
use super::response::{Reply, Representation, Response, append_datagram};
use super::{Link, ServerConnection, Todo};
use crate::flow::{Download, Kept, Mode, Observation, Pieces, Purpose};
use crate::mapping::{Note, Selection, effective};
use crate::wire::{Block, BlockSize, Code, Kind, MessageId, Token, content_format};
use crate::{CoapConfig, Refusal};

/// The first answer to who observes several topics: a map without entries.
const EMPTY_MAP: &[u8] = &[0xa0];

impl ServerConnection {
    /// Begins to observe a topic: first it is subscribed to, then its value is read, so that nothing is lost between.
    pub(super) fn observe(
        &mut self,
        now: Instant,
        topic: Vec<u8>,
        selection: Selection,
        exchange: &Exchange,
    ) -> Result<(), Refusal> {
        let names = Vec::from([topic.clone().into_boxed_slice()]);
        let Some(number) = self.add_observation(now, names, &selection, exchange) else {
            // Who cannot be observed further is answered as if observing had not been asked for (section 4.1).
            self.read_value(exchange, Work::Read { topic });
            return Ok(());
        };
        let mode = selection.mode.unwrap_or(Mode::State);
        if let Some(observation) = self.observations.by_number(number) {
            observation.mode = mode;
        }
        // State needs no window of its own: what is newer takes its place.
        let class_max = if mode == Mode::State { Class::AtMostOnce } else { selection.class_max };
        let work = Work::Subscribe { number, left: 1 };
        let receipt = self.begin_exchange(exchange, work);
        self.subscribe(receipt, number, (&topic, class_max), RetainHandling::Never);
        Ok(())
    }

    /// Begins to observe what filters select; their values come as notifications.
    pub(super) fn select(
        &mut self,
        now: Instant,
        selection: Selection,
        exchange: &mut Exchange,
        out: &mut Outbound,
    ) -> Result<(), Refusal> {
        let key = selection_key(&selection.filters);
        if exchange.asked.block2.is_some_and(|block| block.number > 0) {
            return if self.go_on(now, &key, exchange, out) { Ok(()) } else { Err(Refusal::Incomplete) };
        }
        let observe = exchange.asked.observe;
        if observe == Some(1) {
            self.cancel(&exchange.token);
            let representation = empty_map();
            let response = representation.response(&exchange.asked, BlockSize::MAX, EMPTY_MAP.len());
            self.respond(now, exchange, &response.unwrap_or(Response::new(Code::CONTENT)), out);
            return Ok(());
        }
        if observe != Some(0) || selection.filters.is_empty() || selection.mode == Some(Mode::State) {
            return Err(if selection.filters.is_empty() { Refusal::Query } else { Refusal::ObserveOnly });
        }
        if exchange.asked.accept.is_some_and(|format| format != content_format::CBOR) {
            return Err(Refusal::NotAcceptable);
        }
        let filters = selection.filters.clone();
        let number =
            self.add_observation(now, filters, &selection, exchange).ok_or(Refusal::TooManyRequests)?;
        if let Some(observation) = self.observations.by_number(number) {
            (observation.is_selection, observation.mode) = (true, Mode::Stream);
        }
        let work = Work::Subscribe { number, left: selection.filters.len() };
        let receipt = self.begin_exchange(exchange, work);
        for filter in &selection.filters {
            self.subscribe(receipt, number, (filter, selection.class_max), RetainHandling::EachTime);
        }
        Ok(())
    }

    /// Adds an observation; another of the same token, or of the same name, ends. None if there are too many.
    fn add_observation(
        &mut self,
        now: Instant,
        names: Vec<Box<[u8]>>,
        selection: &Selection,
        exchange: &Exchange,
    ) -> Option<u32> {
        let mut replaced = self.observations.with_names(&names);
        replaced.extend(self.observations.by_token(exchange.token.as_bytes()).map(|o| o.number));
        for number in replaced {
            self.drop_observation(number, &names);
        }
        if self.observations.len() >= usize::from(self.stack.config.observations_max) {
            return None;
        }
        let number = self.observations.free_number();
        let mut observation = Observation::new(number, exchange.token.clone(), now);
        observation.names = names;
        observation.class_max = selection.class_max;
        let own = BlockSize::at_most(self.stack.config.block_bytes.into());
        observation.block = exchange.asked.block2.map_or(own, |block| block.size.min(own));
        self.observations.add(observation);
        Some(number)
    }

    fn subscribe(
        &mut self,
        receipt: u16,
        number: u32,
        (name, class_max): (&[u8], Class),
        retain_handling: RetainHandling,
    ) {
        let options = SubscriptionOptions {
            retain_handling,
            retain_as_published: true,
            separate: true,
            id: SubscriptionId::new(number),
            ..SubscriptionOptions::new(class_max)
        };
        debug_assert!(Filter::new(name).is_ok());
        let request = NamedRequest::Subscribe { receipt, options };
        self.todo.push_back(Todo::Named(Named { request, name: name.to_vec() }));
    }

    /// The core has subscribed for an observer, or not.
    pub(super) fn subscribed(
        &mut self,
        now: Instant,
        receipt: u16,
        refused: Option<Reason>,
        out: &mut Outbound,
    ) {
        let Some(exchange) = self.exchange(receipt) else { return };
        let (number, left) = match &mut exchange.work {
            Work::Subscribe { number, left } => (number, left),
            Work::Await(_) => return self.may_ask(now, receipt, refused, out),
            Work::Register(_) => {
                let Some(exchange) = self.take_exchange(receipt) else { return };
                if let Work::Register(registering) = exchange.work.clone() {
                    self.may_register(now, &exchange, *registering, refused, out);
                }
                return;
            }
            _ => return,
        };
        let number = *number;
        *left -= 1;
        let is_last = *left == 0;
        if let Some(reason) = refused {
            let Some(exchange) = self.take_exchange(receipt) else { return };
            self.end_observation(number);
            return self.refuse(now, &exchange, Refusal::Core(reason), out);
        }
        if !is_last {
            return;
        }
        let Some(observation) = self.observations.by_number(number) else {
            // It was given up meanwhile.
            self.take_exchange(receipt);
            return;
        };
        if !observation.is_selection {
            let topic = observation.names.first().map(|name| name.to_vec()).unwrap_or_default();
            if let Some(exchange) = self.exchange(receipt) {
                exchange.work = Work::Begin { number, topic };
                self.reads.push_back(receipt);
            }
            return;
        }
        observation.is_begun = true;
        observation.format = Some(content_format::CBOR);
        let sequence = observation.next_sequence();
        let Some(exchange) = self.take_exchange(receipt) else { return };
        let response = Response {
            observe: Some(sequence),
            format: Some(content_format::CBOR),
            payload: Pieces::one(EMPTY_MAP),
            ..Response::new(Code::CONTENT)
        };
        self.respond(now, &exchange, &response, out);
        self.rest();
        self.flush(now, out);
    }

    /// The client does not want to observe any more (section 3.6).
    pub(super) fn cancel(&mut self, token: &Token) {
        if let Some(number) = self.observations.by_token(token.as_bytes()).map(|o| o.number) {
            self.end_observation(number);
        }
    }

    /// Ends an observation and what was subscribed to for it.
    pub(super) fn end_observation(&mut self, number: u32) {
        self.drop_observation(number, &[]);
    }

    /// Ends an observation; subscriptions to names that are taken over stay.
    fn drop_observation(&mut self, number: u32, taken_over: &[Box<[u8]>]) {
        let Some(mut observation) = self.observations.remove(number) else { return };
        if let Link::Datagram(link) = &mut self.link {
            link.transmissions.end_observation(number);
        }
        for name in observation.names.iter().filter(|name| !taken_over.contains(name)) {
            let request = NamedRequest::Unsubscribe { receipt: 0 };
            self.todo.push_back(Todo::Named(Named { request, name: name.to_vec() }));
        }
        while let Some(kept) = observation.take_waiting() {
            self.give_up(kept.delivery);
        }
    }

    /// The peer will not confirm a delivery.
    pub(super) fn give_up(&mut self, delivery: Option<DeliveryId>) {
        self.settle(delivery, Settlement::Rejected);
    }

    fn settle(&mut self, delivery: Option<DeliveryId>, settlement: Settlement) {
        if let Some(delivery) = delivery {
            self.todo.push_back(Todo::Settle(Settle { delivery, settlement }));
        }
    }

    /// A notification was acknowledged.
    pub(super) fn notified(&mut self, now: Instant, number: u32, delivery: Option<DeliveryId>) {
        self.settle(delivery, Settlement::Accepted);
        if let Some(observation) = self.observations.by_number(number) {
            observation.confirmed_at = now;
        }
    }

    /// Notifies the observers of a delivery, or lets it wait for them.
    pub(super) fn notify(
        &mut self,
        now: Instant,
        (frame, retain, delivery): (&Frame, bool, Option<DeliveryId>),
        subscription_ids: &[SubscriptionId],
        out: &mut Outbound,
    ) {
        let shared = frame.body();
        let Some(note) = Note::parse(&frame.head, shared, retain, delivery) else { return };
        let mut is_wanted = false;
        for id in subscription_ids {
            let number = id.number();
            if self.take_demand(now, number, &note, out) || self.take_answer(now, number, &note, out) {
                continue;
            }
            let Some(observation) = self.observations.by_number(number) else { continue };
            is_wanted = true;
            let waits = !observation.is_begun || observation.has_waiting();
            let is_too_much = self.is_too_much_for_stranger(note.pieces(true).len());
            if waits || is_too_much || !self.may_notify(now, number, &note) {
                self.let_wait(number, Kept::new(frame, retain, delivery));
                if is_too_much {
                    self.ask_whether_there(now, out);
                }
            } else {
                self.send_notification(now, number, &note, out);
            }
        }
        if !is_wanted {
            self.give_up(delivery);
        }
    }

    fn let_wait(&mut self, number: u32, kept: Kept) {
        let max = usize::from(self.stack.config.stream_messages_max);
        let Some(observation) = self.observations.by_number(number) else { return };
        let is_stream = observation.mode == Mode::Stream;
        if let Some(given_way) = observation.wait(kept, max) {
            if is_stream {
                self.stack.counts.stream_dropped.add(1);
            }
            self.give_up(given_way.delivery);
        }
    }

    /// Whether a notification may go out now: one that is confirmable waits for those before it.
    fn may_notify(&mut self, now: Instant, number: u32, note: &Note<'_>) -> bool {
        let is_confirmable = self.is_confirmable(now, number, note);
        match &self.link {
            Link::Reliable(_) => true,
            Link::Datagram(link) => {
                let has_room = !is_confirmable || link.transmissions.has_room(&self.stack.config);
                has_room && !link.transmissions.notifies(number)
            }
        }
    }

    /// Whether a notification of so many bytes is more than a peer gets that has not shown that its address is its own.
    fn is_too_much_for_stranger(&self, len: usize) -> bool {
        match &self.link {
            Link::Datagram(link) => !link.is_verified && is_too_much(&self.stack.config, len),
            Link::Reliable(_) => false,
        }
    }

    /// Asks a stranger for a sign of life before it gets anything large: an answer shows that the address is its own.
    fn ask_whether_there(&mut self, now: Instant, out: &mut Outbound) {
        if matches!(&self.link, Link::Datagram(link) if link.transmissions.is_empty()) {
            self.ping(now, out);
        }
    }

    /// Whether a notification asks for an acknowledgement: what is to be delivered at least once, and to see now and then
    /// whether the observer is there (section 4.5).
    fn is_confirmable(&mut self, now: Instant, number: u32, note: &Note<'_>) -> bool {
        let probe = self.stack.config.observe_probe;
        let Link::Datagram(link) = &self.link else { return false };
        let is_verified = link.is_verified;
        let Some(observation) = self.observations.by_number(number) else { return false };
        let is_due = now.saturating_since(observation.confirmed_at) >= probe;
        let is_confirmed = note.class.min(observation.class_max).is_confirmed();
        observation.mode == Mode::Stream || is_confirmed || is_due || !is_verified
    }

    /// Sends a notification, or the end of the observation if the value is gone or changes its format.
    fn send_notification(&mut self, now: Instant, number: u32, note: &Note<'_>, out: &mut Outbound) {
        let is_confirmable = self.is_confirmable(now, number, note);
        let Some(observation) = self.observations.by_number(number) else { return };
        if let Some(refusal) = last_word(observation, note) {
            self.end_with(number, refusal, note.delivery, out);
            return;
        }
        let token = observation.token.clone();
        let id = self.next_id();
        let Some(response) = self.notification(now, number, note) else { return };
        let options = response.options();
        let reply = Reply {
            code: Code::CONTENT,
            token: token.as_bytes(),
            options: options.as_slice(),
            payload: response.payload,
        };
        if is_confirmable {
            self.begin(now, (id, Purpose::Notification(number, note.delivery)), &reply, out);
            return;
        }
        match &self.link {
            Link::Reliable(_) => {
                self.send_reliable(&reply, out);
                // Over such a transport, what is written arrives unless the connection ends.
                self.settle(note.delivery, Settlement::Accepted);
            }
            Link::Datagram(_) => {
                reply.append(Kind::NonConfirmable, id, out);
                if let Some(observation) = self.observations.by_number(number) {
                    observation.last_non = Some(id);
                }
            }
        }
    }

    /// The notification; if it does not fit into one message its first block, the others of which are kept.
    fn notification<'n>(&mut self, now: Instant, number: u32, note: &Note<'n>) -> Option<Response<'n>> {
        let observation = self.observations.by_number(number)?;
        let is_selection = observation.is_selection;
        let (format, media_type) = match observation.format {
            _ if is_selection => (content_format::CBOR, &[][..]),
            Some(content_format::OCTET_STREAM) => (content_format::OCTET_STREAM, media_type(note)),
            _ => (effective(note.format), note.media_type),
        };
        let sequence = observation.next_sequence();
        let key = if is_selection {
            selection_key(&observation.names)
        } else {
            observation.names.first().map(|name| name.to_vec()).unwrap_or_default()
        };
        let block = Block { number: 0, more: false, size: observation.block };
        let body = note.pieces(is_selection);
        let (size, bytes) = match self.link {
            Link::Datagram(_) => (block.size, block.size.bytes()),
            Link::Reliable(_) => self.block_size(None, body.len()),
        };
        let mut response = Response {
            observe: Some(sequence),
            format: Some(format),
            media_type,
            max_age: note.max_age.filter(|_| !is_selection),
            payload: body.part(0, bytes),
            ..Response::new(Code::CONTENT)
        };
        if body.len() > bytes {
            let tag = body.tag();
            (response.etag, response.block2) = (Some(tag), Some(Block { more: true, size, ..block }));
            response.size2 = u32::try_from(body.len()).ok();
            let content_type = core::str::from_utf8(media_type).unwrap_or_default().into();
            let content = note.content(is_selection);
            let download =
                Download { key: key.into(), code: Code::CONTENT, tag, format, content_type, content };
            let max = usize::from(self.stack.config.downloads_max);
            self.bodies().downloads.keep(now, download, max);
        }
        Some(response)
    }

    /// What has taken the place of a notification that was not acknowledged, as a datagram under this number.
    pub(super) fn newer_notification(&mut self, now: Instant, number: u32, id: MessageId) -> Option<Vec<u8>> {
        let is_stranger = self.is_too_much_for_stranger(usize::MAX);
        let config = &self.stack.config;
        let observation = self.observations.by_number(number).filter(|o| o.mode == Mode::State)?;
        if is_stranger && is_too_much(config, observation.next_bytes()) {
            // It goes out when what is under way is acknowledged.
            return None;
        }
        let kept = observation.take_waiting()?;
        let note = Note::of_kept(&kept)?;
        if last_word(observation, &note).is_some() {
            // It ends when this one is acknowledged.
            observation.wait(kept, 1);
            return None;
        }
        let token = observation.token.clone();
        let response = self.notification(now, number, &note)?;
        let options = response.options();
        let (token, options) = (token.as_bytes(), options.as_slice());
        let reply = Reply { code: Code::CONTENT, token, options, payload: response.payload };
        let mut datagram = Vec::with_capacity(reply.len());
        reply.encode(Kind::Confirmable, id, &mut datagram);
        Some(datagram)
    }

    /// Notifies those for whom something waits, in turn.
    pub(super) fn notify_waiting(&mut self, now: Instant, out: &mut Outbound) {
        loop {
            let (link, config) = (&self.link, &self.stack.config);
            let may = |observation: &Observation| match link {
                Link::Reliable(_) => true,
                Link::Datagram(link) => {
                    link.transmissions.has_room(config)
                        && !link.transmissions.notifies(observation.number)
                        && (link.is_verified || !is_too_much(config, observation.next_bytes()))
                }
            };
            let Some(number) = self.observations.next_waiting(may) else { return };
            let Some(kept) = self.observations.by_number(number).and_then(Observation::take_waiting) else {
                return;
            };
            if let Some(note) = Note::of_kept(&kept) {
                self.send_notification(now, number, &note, out);
            }
        }
    }

    /// Ends an observation and says why.
    fn end_with(&mut self, number: u32, refusal: Refusal, delivery: Option<DeliveryId>, out: &mut Outbound) {
        self.settle(delivery, Settlement::Accepted);
        if let Some(observation) = self.observations.by_number(number) {
            let last = Observation::new(number, observation.token.clone(), observation.confirmed_at);
            self.send_last(&last, refusal, out);
        }
        self.end_observation(number);
    }

    /// The last notification: a code that says why, and no Observe (section 4.2).
    pub(super) fn send_last(&mut self, observation: &Observation, refusal: Refusal, out: &mut Outbound) {
        let id = self.next_id();
        let text = alloc::string::ToString::to_string(&refusal);
        let mut response = Response::new(refusal.code());
        response.max_age = refusal.has_wait().then_some(Refusal::WAIT_SECS);
        let options = response.options();
        let (token, options) = (observation.token.as_bytes(), options.as_slice());
        let payload = Pieces::one(text.as_bytes());
        let reply = Reply { code: response.code, token, options, payload };
        match self.link {
            Link::Reliable(_) => self.send_reliable(&reply, out),
            Link::Datagram(_) => {
                append_datagram(reply.len(), out, |sink| reply.encode(Kind::NonConfirmable, id, sink));
            }
        }
    }
}

/// Whether a notification with so many bytes of its own is more than a stranger gets; its head, token and options are allowed
/// for.
const fn is_too_much(config: &CoapConfig, len: usize) -> bool {
    const HEAD_BYTES: usize = 40;
    config.amplification_max > 0 && len > CoapConfig::UNVERIFIED_BYTES - HEAD_BYTES
}

/// Why an observation ends with a delivery: the topic's value is gone, or has another format than the first answer, which
/// only octets leave open.
fn last_word(observation: &Observation, note: &Note<'_>) -> Option<Refusal> {
    if observation.is_selection {
        return None;
    }
    if note.is_gone() {
        return Some(Refusal::NoValue);
    }
    let stays = observation
        .format
        .is_none_or(|format| format == content_format::OCTET_STREAM || format == effective(note.format));
    (!stays).then_some(Refusal::NotAcceptable)
}

/// The media type of a notification that goes out as octets.
fn media_type<'n>(note: &Note<'n>) -> &'n [u8] {
    if !note.media_type.is_empty() || effective(note.format) == content_format::OCTET_STREAM {
        return note.media_type;
    }
    content_format::media_type(note.format).map_or(&[], str::as_bytes)
}

/// What the blocks of a notification of several topics are kept under.
fn selection_key(filters: &[Box<[u8]>]) -> Vec<u8> {
    let mut key = Vec::from(&b"\0f"[..]);
    for filter in filters {
        key.push(0);
        key.extend_from_slice(filter);
    }
    key
}

const fn empty_map() -> Representation<'static> {
    Representation {
        tag: None,
        format: Some(content_format::CBOR),
        media_type: &[],
        max_age: None,
        body: Pieces::one(EMPTY_MAP),
    }
}
