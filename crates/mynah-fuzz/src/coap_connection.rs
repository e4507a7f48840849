//! An association of CoAP whose peer sends anything, under a broker that answers at once, late or never, delivers, and lets
//! time pass.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mynah_coap::framing::{Transport, next_datagram, next_message, next_web_socket};
use mynah_coap::mapping::{CoapCodec, LAYOUT_NOTIFICATION};
use mynah_coap::wire::Message as CoapMessage;
use mynah_coap::{Coap, CoapConfig};
use mynah_model::{
    Class, DeliveryId, Expiry, Filter, Header, Instant, Layout, Message, MessageView, Properties, Reason,
    SubscriptionId, TenantId, Topic, ValueTag, WallTime,
};
use mynah_stack::{
    Command, Connection, ConsumerId, Delivery, Frame, FrameKind, Holding, LayoutCodec, Lease, Opened,
    Outbound, Outcome, Protocol, Publish, QueueCommand, QueueOutcome, Refusal, Step, Value,
};

use crate::script::Script;

const EXCHANGES_MAX: usize = 4;
const RECEIVE_MAX: u16 = 3;
const REFUSALS: [Option<Reason>; 3] = [None, Some(Reason::NotAuthorized), Some(Reason::QuotaExceeded)];

/// Runs the script in `data`.
///
/// # Panics
/// If the association breaks its contract, or writes what is no message.
pub fn coap_connection(data: &[u8]) {
    let mut script = Script::new(data);
    let transport =
        [Transport::Datagram, Transport::Stream, Transport::WebSocket][usize::from(script.below(3))];
    let flags = script.byte();
    let config = CoapConfig {
        exchanges_max: EXCHANGES_MAX as u8,
        receive_max: RECEIVE_MAX,
        body_bytes_max: 4_096,
        uploads_bytes_max: 4_096,
        message_bytes_max: 2_048,
        observations_max: 3,
        stream_messages_max: 4,
        dedup_messages_max: 8,
        dedup_bytes_max: 1_280,
        block_bytes: 16,
        amplification_max: if flags & 2 == 0 { 3 } else { 0 },
        ..CoapConfig::default()
    };
    let connection = Coap::new(config, transport, [1, 2]).unwrap().accept(Instant::ZERO);
    let mut broker = Broker::new(transport, connection, flags & 1 == 1);
    while !script.is_empty() && !broker.is_closed {
        match script.below(6) {
            0 => broker.hear(script.piece(96)),
            1 => broker.wait(script.byte()),
            2 => broker.answer_held(),
            3 => broker.deliver(script.flag(), script.piece(40)),
            4 => broker.holds = script.flag(),
            _ => broker.refusal = REFUSALS[usize::from(script.below(3))],
        }
    }
    broker.leave();
}

enum Held {
    Published(u16, Class),
    Value,
    Leases(u32, bool),
}

struct Broker {
    transport: Transport,
    connection: Box<dyn Connection>,
    out: Outbound,
    unread: Vec<u8>,
    now: Instant,
    is_open: bool,
    is_closed: bool,
    holds: bool,
    refusal: Option<Reason>,
    held: VecDeque<Held>,
    subscriptions: BTreeMap<Vec<u8>, (SubscriptionId, Class)>,
    leased: BTreeSet<u16>,
    last_id: u16,
    value: Message,
}

impl Broker {
    fn new(transport: Transport, connection: Box<dyn Connection>, holds: bool) -> Self {
        Self {
            transport,
            connection,
            out: Outbound::new(),
            unread: Vec::new(),
            now: Instant::ZERO,
            is_open: false,
            is_closed: false,
            holds,
            refusal: None,
            held: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            leased: BTreeSet::new(),
            last_id: 0,
            value: message(b"a", &[7; 200]),
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u32).to_be_bytes();
        // Over a reliable transport the bytes may be any part of what is sent.
        if self.transport == Transport::Datagram {
            self.unread.extend_from_slice(&length[2..]);
        }
        self.unread.extend_from_slice(bytes);
        self.run();
    }

    fn run(&mut self) {
        let steps_max = 64 + self.unread.len();
        for _ in 0..steps_max {
            let unread = std::mem::take(&mut self.unread);
            let mut input = &unread[..];
            let is_idle = match self.connection.step(self.now, &mut input, &mut self.out) {
                Step::Idle => true,
                Step::Close(_) => {
                    assert!(!self.is_closed);
                    self.is_closed = true;
                    true
                }
                Step::Command(command) => {
                    self.execute(command);
                    false
                }
            };
            self.unread = input.to_vec();
            if is_idle {
                assert!(self.unread.len() <= self.connection.input_bytes_max());
                return self.check_written();
            }
        }
        panic!("more steps than there is to do");
    }

    fn execute(&mut self, command: Command<'_>) {
        match command {
            Command::Prepared(mut named) => self.execute(named.command()),
            Command::Open(open) => {
                assert!(!self.is_open && open.receive_max == RECEIVE_MAX);
                let opened = Opened::new(false, Expiry::WithConnection);
                self.is_open = self.refusal.is_none();
                self.outcome(Outcome::Opened(self.refusal.map_or(Ok(opened), Err)));
            }
            Command::Publish(publish) => {
                self.check_publication(&publish);
                if publish.header.class.is_confirmed() {
                    self.answer(Held::Published(publish.receipt, publish.header.class));
                }
            }
            Command::PublishIf(command) => {
                self.check_publication(&command.publish);
                self.answer(Held::Published(command.publish.receipt, command.publish.header.class));
            }
            Command::Read(topic) => {
                assert!(self.is_open && Topic::new(topic.as_bytes()).is_ok());
                assert!(!self.held.iter().any(|held| matches!(held, Held::Value)), "one value at a time");
                self.answer(Held::Value);
            }
            Command::Subscribe(subscribe) => {
                let mut results = Vec::new();
                for request in subscribe.requests {
                    let request = request.unwrap();
                    assert!(Filter::new(request.filter.as_bytes()).is_ok());
                    let name = request.filter.as_bytes().to_vec();
                    let class_max = request.options.class_max;
                    match self.refusal {
                        None => {
                            self.subscriptions.insert(name, (request.options.id.unwrap(), class_max));
                        }
                        Some(_) => {
                            self.subscriptions.remove(&name);
                        }
                    }
                    results.push(self.refusal.map_or(Ok(class_max), Err));
                }
                self.outcome(Outcome::Subscribed { receipt: subscribe.receipt, results: &results });
            }
            Command::Unsubscribe(unsubscribe) => {
                for request in &unsubscribe.requests {
                    self.subscriptions.remove(request.filter.as_bytes());
                }
                self.outcome(Outcome::Unsubscribed { receipt: unsubscribe.receipt, results: &[true] });
            }
            Command::Settle(settle) => {
                assert!(self.leased.remove(&settle.delivery.number()), "a delivery is settled once");
            }
            Command::Queue(QueueCommand::Hold(hold)) => {
                assert!(self.is_open && !hold.queue.is_empty());
                self.answer(Held::Leases(hold.receipt, matches!(hold.holding, Holding::Take { .. })));
            }
            other => panic!("CoAP has no such words: {other:?}"),
        }
    }

    fn check_publication(&self, publish: &Publish<'_>) {
        assert!(self.is_open && Topic::new(publish.view().topic().as_bytes()).is_ok());
        let properties = CoapCodec.properties(publish.view());
        assert!(properties.user.iter().count() < 100);
        assert!(publish.view().payload().len() <= 4_096);
    }

    fn outcome(&mut self, outcome: Outcome<'_>) {
        self.connection.handle_outcome(self.now, outcome, &mut self.out);
    }

    fn answer(&mut self, held: Held) {
        self.held.push_back(held);
        assert!(self.held.len() <= EXCHANGES_MAX);
        if !self.holds {
            self.tell_held();
        }
    }

    /// Lends the value as a message of a queue.
    fn lend(&mut self) {
        let message = self.value.clone();
        let mut frame = Frame::default();
        let kind = FrameKind { identified: true, retain: false };
        assert!(CoapCodec.encode(message.view(), &Properties::EMPTY, LAYOUT_NOTIFICATION, kind, &mut frame));
        if frame.wants_message() {
            frame.attach(&message);
        }
        let lease = Lease {
            frame: &frame,
            message: message.view(),
            routed: None,
            consumer: ConsumerId(1),
            lease: u64::from(self.last_id),
            acquired: 0,
            failed: 0,
            offset: 0,
            ready: 0,
            deaths: &[],
            subscribed: None,
            until: None,
        };
        self.connection.deliver(self.now, Delivery::Leased(&lease), &mut self.out);
    }

    fn tell_leases(&mut self, receipt: u32, are_taken: bool) {
        let until = (!self.last_id.is_multiple_of(3)).then_some(WallTime::from_unix_millis(1_000));
        if are_taken && self.refusal.is_none() {
            self.lend();
        }
        let result = self.refusal.map_or(Ok(until), |reason| Err(Refusal { reason, detail: "" }));
        self.outcome(Outcome::Queue(QueueOutcome::Held { receipt, result }));
    }

    fn answer_held(&mut self) {
        self.tell_held();
        self.run();
    }

    fn tell_held(&mut self) {
        while let Some(held) = self.held.pop_front() {
            match held {
                Held::Published(receipt, class) => {
                    let result = self.refusal.map_or(Ok(true), Err);
                    self.outcome(Outcome::Published { receipt, class, result });
                }
                Held::Leases(receipt, are_taken) => self.tell_leases(receipt, are_taken),
                Held::Value => {
                    let message = self.value.clone();
                    let value = Value {
                        message: &message,
                        properties: Properties::EMPTY,
                        tag: ValueTag::from_number(5),
                    };
                    let found = (!self.last_id.is_multiple_of(2)).then_some(&value);
                    self.outcome(Outcome::Value(self.refusal.map_or(Ok(found), Err)));
                }
            }
        }
    }

    /// Delivers to every subscription, as far as the window goes.
    fn deliver(&mut self, is_confirmed: bool, payload: &[u8]) {
        let message = message(b"a", payload);
        let all: Vec<(SubscriptionId, Class)> = self.subscriptions.values().copied().collect();
        for (id, class_max) in all {
            let class = if is_confirmed { Class::AtLeastOnce } else { Class::AtMostOnce }.min(class_max);
            if class.is_confirmed() && self.leased.len() >= usize::from(RECEIVE_MAX) {
                continue;
            }
            self.last_id = self.last_id.wrapping_add(1).max(1);
            let delivery = DeliveryId::new(self.last_id).filter(|_| class.is_confirmed());
            if let Some(delivery) = delivery
                && !self.leased.insert(delivery.number())
            {
                continue;
            }
            let mut frame = Frame::default();
            let kind = FrameKind { identified: delivery.is_some(), retain: payload.is_empty() };
            let view = message.view();
            assert!(CoapCodec.encode(view, &Properties::EMPTY, LAYOUT_NOTIFICATION, kind, &mut frame));
            let delivery = Delivery::Message {
                frame: &frame,
                class,
                id: delivery,
                retain: kind.retain,
                redelivered: false,
                subscription_ids: &[id],
            };
            assert!(self.connection.deliver(self.now, delivery, &mut self.out));
        }
        self.check_written();
    }

    /// Lets time pass; what is due is done.
    fn wait(&mut self, amount: u8) {
        let until = self.now + Duration::from_millis(100) * u32::from(amount) * u32::from(amount);
        for _ in 0..10_000 {
            match self.connection.deadline().filter(|due| *due <= until && !self.is_closed) {
                None => {
                    self.now = until;
                    return;
                }
                Some(due) => {
                    self.now = self.now.max(due);
                    self.connection.handle_timeout(self.now, &mut self.out);
                    self.run();
                }
            }
        }
        panic!("time does not come to rest");
    }

    fn leave(&mut self) {
        if !self.is_closed {
            self.connection.handle_shutdown(self.now, &mut self.out);
            self.run();
            assert!(self.is_closed || !self.is_open);
        }
    }

    /// What is written is whole messages, none larger than its transport takes.
    fn check_written(&mut self) {
        let bytes = self.out.drain();
        let mut input = &bytes[..];
        match self.transport {
            Transport::Datagram => {
                while let Some(datagram) = next_datagram(&mut input) {
                    assert!(datagram.len() <= 1_280);
                    CoapMessage::decode(datagram, 64).expect("a datagram is a message");
                }
            }
            Transport::Stream => {
                while next_message(&mut input, 1 << 20, 64).expect("what is written are messages").is_some() {
                }
            }
            Transport::WebSocket => {
                while next_web_socket(&mut input, 1 << 20, 64)
                    .expect("what is written are messages")
                    .is_some()
                {}
            }
        }
        assert!(input.is_empty());
    }
}

fn message(topic: &[u8], payload: &[u8]) -> Message {
    let native = [topic, payload].concat();
    let at = |offset: usize| offset as u32;
    let header = Header {
        tenant: TenantId::DEFAULT,
        layout: Layout { id: 0, version: 0 },
        class: Class::AtLeastOnce,
        retain: false,
        priority: 4,
        topic: (0, at(topic.len())),
        payload: (at(topic.len()), at(native.len())),
        deadline: None,
        publisher: None,
    };
    MessageView { header: &header, native: &native }.to_message()
}
