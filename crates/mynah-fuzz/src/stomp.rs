//! STOMP: frames, and the server's half of a connection with a broker that says yes to everything. The first byte says which
//! version is spoken and whether a session is open already, the second how the bytes are cut.

use std::sync::Arc;

use mynah_model::{Class, Expiry, Instant, WallTime};
use mynah_stack::{
    Command, Connection, Declared, Delivery, Entity, Frame, FrameKind, LayoutCodec, Lease, Opened, Outbound,
    Outcome, QueueCommand, QueueOutcome, Step,
};
use mynah_stomp::connection::ServerConnection;
use mynah_stomp::framing::{FrameLimits, Framing};
use mynah_stomp::mapping::{StompCodec, layout};
use mynah_stomp::wire::{Send, push_header};
use mynah_stomp::{Config, Error, Version};

use crate::script::Script;

const LIMITS: FrameLimits = FrameLimits { frame_octets_max: 4_096, head_octets_max: 1_024, headers_max: 32 };

/// Reads `data` as what its first byte says.
///
/// # Panics
/// If the cut changes what comes of the bytes, or an answer is not a frame.
pub fn stomp(data: &[u8]) {
    let mut script = Script::new(data);
    let (kind, cut) = (script.byte(), usize::from(script.byte()) + 1);
    let version = Version::ALL[usize::from(kind % 3)];
    let bytes = script.rest();
    let whole = frames(bytes, bytes.len().max(1), version);
    assert_eq!(frames(bytes, cut, version), whole);
    let is_open = kind & 0x80 != 0;
    let whole = dialogue(bytes, bytes.len().max(1), version, is_open);
    assert_eq!(dialogue(bytes, cut, version, is_open), whole);
    check_answers(&whole.0, version);
}

/// The frames of a stream as they are written again, and the error at its end.
fn frames(bytes: &[u8], cut: usize, version: Version) -> (Vec<Vec<u8>>, Option<Error>) {
    let (mut framing, mut kept, mut found) = (Framing::default(), Vec::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        kept.extend_from_slice(piece);
        let mut input = kept.as_slice();
        while framing.skip_ends(&mut input) {
            match framing.next(input, version, &LIMITS) {
                Ok(Some((frame, octets))) => {
                    let mut again = Vec::new();
                    for (name, value) in frame.headers.iter() {
                        push_header(&name, &value, version.escaping(), &mut again);
                    }
                    again.extend_from_slice(frame.body);
                    drop(Send::decode(frame));
                    found.push(again);
                    framing.consume(&mut input, octets);
                }
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        kept = input.to_vec();
    }
    (found, None)
}

/// What a server answers, and whether it has closed.
fn dialogue(bytes: &[u8], cut: usize, version: Version, is_open: bool) -> (Vec<u8>, bool) {
    let mut server = Server::new();
    if is_open {
        let connect = format!("CONNECT\naccept-version:{version}\n\n\0");
        server.hear(connect.as_bytes());
    }
    for piece in bytes.chunks(cut) {
        server.hear(piece);
    }
    (server.out.drain(), server.is_closed)
}

struct Server {
    connection: ServerConnection,
    out: Outbound,
    kept: Vec<u8>,
    is_closed: bool,
}

impl Server {
    fn new() -> Self {
        let connection =
            ServerConnection::new(Arc::new(Config::default()), WallTime::default(), Instant::ZERO);
        Self { connection, out: Outbound::new(), kept: Vec::new(), is_closed: false }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        let kept = std::mem::take(&mut self.kept);
        let mut input = kept.as_slice();
        while !self.is_closed {
            match self.connection.step(Instant::ZERO, &mut input, &mut self.out) {
                Step::Idle => break,
                Step::Close(_) => self.is_closed = true,
                Step::Command(Command::Prepared(mut prepared)) => self.carry_out(prepared.command()),
                Step::Command(command) => self.carry_out(command),
            }
        }
        self.kept = input.to_vec();
    }

    fn tell(&mut self, outcome: Outcome<'_>) {
        self.connection.handle_outcome(Instant::ZERO, outcome, &mut self.out);
    }

    fn carry_out(&mut self, command: Command<'_>) {
        match command {
            Command::Open(_) => {
                self.tell(Outcome::Opened(Ok(Opened::new(false, Expiry::WithConnection))));
            }
            Command::Publish(publish) => {
                check_message(&publish);
                let (receipt, class) = (publish.receipt, publish.header.class);
                self.tell(Outcome::Published { receipt, class, result: Ok(true) });
            }
            Command::Subscribe(subscribe) => {
                let results = [Ok(Class::AtMostOnce)];
                self.tell(Outcome::Subscribed { receipt: subscribe.receipt, results: &results });
            }
            Command::Unsubscribe(unsubscribe) => {
                self.tell(Outcome::Unsubscribed { receipt: unsubscribe.receipt, results: &[true] });
            }
            Command::Queue(command) => self.queue(command),
            other => panic!("STOMP has no such words: {other:?}"),
        }
    }

    fn queue(&mut self, command: QueueCommand<'_>) {
        let outcome = match command {
            QueueCommand::Declare(declare) => {
                let name = match declare.entity {
                    Entity::Queue(b"") => b"q",
                    Entity::Queue(name) => name,
                    Entity::Exchange(_) => panic!("STOMP declares no exchanges"),
                };
                let declared = Declared { name, messages: 0, consumers: 0 };
                QueueOutcome::Declared { receipt: declare.receipt, result: Ok(declared) }
            }
            QueueCommand::Bind(bind) => QueueOutcome::Bound { receipt: bind.receipt, result: Ok(()) },
            QueueCommand::Consume(consume) => {
                let consumer = consume.consumer;
                self.tell(Outcome::Queue(QueueOutcome::Consuming { consumer, result: Ok(()) }));
                return self.deliver(consumer);
            }
            QueueCommand::Cancel { consumer, .. } => QueueOutcome::Cancelled(consumer),
            QueueCommand::Delete(delete) => QueueOutcome::Deleted { receipt: delete.receipt, result: Ok(0) },
            QueueCommand::Settle(settle) => match settle.receipt {
                Some(receipt) => QueueOutcome::Settled { receipt },
                None => return,
            },
            QueueCommand::Flow(_) => return,
            QueueCommand::Transact(transaction) => {
                transaction.publications.iter().for_each(check_message);
                QueueOutcome::Committed { receipt: transaction.receipt, result: Ok(()), unwanted: &[] }
            }
            other => panic!("STOMP has no such words: {other:?}"),
        };
        self.tell(Outcome::Queue(outcome));
    }

    /// A message for each new consumer, so that there is something to acknowledge.
    fn deliver(&mut self, consumer: mynah_stack::ConsumerId) {
        let mut frame = Frame::default();
        frame.head.extend_from_slice(b"\0\0\0\x01qcontent-length:1\n\nx");
        let header = mynah_model::Header {
            tenant: mynah_model::TenantId::DEFAULT,
            layout: mynah_model::Layout { id: 200, version: 1 },
            class: Class::AtLeastOnce,
            retain: false,
            priority: 4,
            topic: (0, 1),
            payload: (1, 2),
            deadline: None,
            publisher: None,
        };
        let lease = Lease {
            frame: &frame,
            message: mynah_model::MessageView { header: &header, native: b"qx" },
            routed: None,
            consumer,
            lease: 1,
            acquired: 0,
            failed: 0,
            offset: 0,
            ready: 0,
            deaths: &[],
            subscribed: None,
            until: None,
        };
        assert!(self.connection.deliver(Instant::ZERO, Delivery::Leased(&lease), &mut self.out));
    }
}

/// A message can be read by all, and goes to clients of every version.
fn check_message(publish: &mynah_stack::Publish<'_>) {
    let (view, codec) = (publish.view(), StompCodec::default());
    assert!(view.topic().as_bytes().len() + view.payload().len() <= view.native.len());
    let properties = codec.properties(view);
    assert!(properties.user.iter().count() <= view.native.len());
    for version in Version::ALL {
        let mut frame = Frame::default();
        let kind = FrameKind { identified: false, retain: view.header.retain };
        assert!(codec.encode(view, &properties, layout(version), kind, &mut frame));
    }
}

/// What a server writes is frames, and the end of none is missing.
fn check_answers(answers: &[u8], version: Version) {
    let limits = FrameLimits { frame_octets_max: 1 << 24, head_octets_max: 1 << 20, headers_max: 1_000 };
    let (mut framing, mut input) = (Framing::default(), answers);
    while framing.skip_ends(&mut input) {
        let Ok(Some((frame, octets))) = framing.next(input, version, &limits) else {
            // Of a client that negotiated itself the version is not known here; carriage returns differ.
            assert!(framing.command().is_some(), "an answer is a frame");
            return;
        };
        assert!(frame.command.is_of_server());
        framing.consume(&mut input, octets);
    }
}
