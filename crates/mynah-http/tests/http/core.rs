//! A core of a few lines behind links of memory: retained values by exact topic, everything to every stream.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Extensions;
use mynah_http::adapter::{Busy, Dial};
use mynah_http::{Http, HttpCodec, HttpConfig, STREAM_LAYOUT};
use mynah_model::{Class, Condition, Instant, Message, Properties, Reason, ValueTag};
use mynah_stack::{
    Command, Connection, Delivery, Frame, FrameKind, LayoutCodec, Opened, Outbound, Outcome, Protocol,
    Publish, Step, Value,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::broadcast;

/// The broker's side of all links.
#[derive(Clone)]
pub(crate) struct Core {
    config: HttpConfig,
    start: std::time::Instant,
    retained: Arc<Mutex<BTreeMap<Vec<u8>, Message>>>,
    live: broadcast::Sender<Message>,
    /// Links that exist; a test sees here that one was dropped.
    links: Arc<AtomicUsize>,
    /// The peers of all links so far.
    pub(crate) peers: Arc<Mutex<Vec<SocketAddr>>>,
    pub(crate) busy: bool,
    /// Ends links without an answer.
    pub(crate) broken: bool,
}

impl Core {
    pub(crate) fn new(config: HttpConfig) -> Self {
        let live = broadcast::channel(100).0;
        let (links, retained, peers) = Default::default();
        Self {
            config,
            start: std::time::Instant::now(),
            retained,
            live,
            links,
            peers,
            busy: false,
            broken: false,
        }
    }

    pub(crate) fn link_count(&self) -> usize {
        self.links.load(Ordering::Relaxed)
    }

    async fn run(self, mut link: DuplexStream) {
        if self.broken {
            return;
        }
        let start = self.start;
        let now = || Instant::from_micros(u64::try_from(start.elapsed().as_micros()).unwrap());
        let mut connection = Http::new(self.config.clone()).unwrap().accept(now());
        let mut live = self.live.subscribe();
        let mut subscribed = false;
        let (mut input, mut out) = (Vec::new(), Outbound::new());
        loop {
            let closing = self.turn(now(), connection.as_mut(), &mut input, &mut out, &mut subscribed);
            if link.write_all(&out.drain()).await.is_err() || closing {
                return;
            }
            let wait = connection.deadline().map_or(Duration::MAX, |d| d.saturating_since(now()));
            tokio::select! {
                read = link.read_buf(&mut input) => if read.unwrap_or(0) == 0 { return },
                () = tokio::time::sleep(wait.min(Duration::from_hours(1))) => {
                    connection.handle_timeout(now(), &mut out);
                }
                message = live.recv() => if subscribed {
                    deliver(now(), connection.as_mut(), &message.unwrap(), &mut out);
                }
            }
        }
    }

    /// Retains the message if the conditions hold, and gives it to all streams.
    fn publish(&self, message: &Message, conditions: &[Condition]) -> Result<bool, Reason> {
        let mut retained = self.retained.lock().unwrap();
        let current = retained.get(message.topic().as_bytes()).filter(|m| !m.payload().is_empty()).map(tag);
        if !conditions.iter().all(|condition| condition.holds(current)) {
            return Err(Reason::ConditionFailed);
        }
        if message.header().retain {
            retained.insert(message.topic().as_bytes().to_vec(), message.clone());
        }
        Ok(self.live.send(message.clone()).is_ok())
    }

    /// Steps until idle; whether the connection closed.
    fn turn(
        &self,
        now: Instant,
        connection: &mut dyn Connection,
        input: &mut Vec<u8>,
        out: &mut Outbound,
        subscribed: &mut bool,
    ) -> bool {
        loop {
            let mut rest = &input[..];
            let command = match connection.step(now, &mut rest, out) {
                Step::Idle => {
                    let consumed = input.len() - rest.len();
                    input.drain(..consumed);
                    return false;
                }
                Step::Close(_) => return true,
                Step::Command(command) => command,
            };
            match command {
                Command::Open(open) => {
                    let bad = open.credentials.is_some_and(|c| &*c.user == "bad");
                    let opened = Opened::new(false, mynah_model::Expiry::Never);
                    let result = if bad { Err(Reason::BadCredentials) } else { Ok(opened) };
                    connection.handle_outcome(now, Outcome::Opened(result), out);
                }
                Command::Publish(publish) => {
                    let result = self.publish(&publish.view().to_message(), &[]);
                    published(now, connection, &publish, result, out);
                }
                Command::PublishIf(command) => {
                    let result = self.publish(&command.publish.view().to_message(), &command.conditions);
                    published(now, connection, &command.publish, result, out);
                }
                Command::Read(topic) => {
                    let retained = self.retained.lock().unwrap();
                    let value = retained.get(topic.as_bytes()).filter(|m| !m.payload().is_empty());
                    let value = value.map(|message| Value {
                        message,
                        properties: properties(now, message),
                        tag: tag(message),
                    });
                    connection.handle_outcome(now, Outcome::Value(Ok(value.as_ref())), out);
                }
                Command::Subscribe(subscribe) => {
                    *subscribed = true;
                    let results: Vec<_> = subscribe.requests.iter().map(|_| Ok(Class::AtMostOnce)).collect();
                    connection.handle_outcome(
                        now,
                        Outcome::Subscribed { receipt: 1, results: &results },
                        out,
                    );
                    for message in self.retained.lock().unwrap().values() {
                        deliver(now, connection, message, out);
                    }
                }
                other => panic!("not a command of this stack: {other:?}"),
            }
            let consumed = input.len() - rest.len();
            input.drain(..consumed);
        }
    }
}

/// Two messages have the same tag if they have the same bytes.
fn tag(message: &Message) -> ValueTag {
    let mut hasher = DefaultHasher::new();
    hasher.write(message.view().native);
    ValueTag::from_number(hasher.finish())
}

fn properties(now: Instant, message: &Message) -> Properties<'_> {
    let remaining = message.header().remaining(now);
    Properties { remaining, ..HttpCodec.properties(message.view()) }
}

fn published(
    now: Instant,
    connection: &mut dyn Connection,
    publish: &Publish<'_>,
    result: Result<bool, Reason>,
    out: &mut Outbound,
) {
    let (receipt, class) = (publish.receipt, publish.header.class);
    connection.handle_outcome(now, Outcome::Published { receipt, class, result }, out);
}

fn deliver(now: Instant, connection: &mut dyn Connection, message: &Message, out: &mut Outbound) {
    let retain = message.header().retain;
    let mut frame = Frame::default();
    let kind = FrameKind { identified: false, retain };
    let properties = properties(now, message);
    assert!(HttpCodec.encode(message.view(), &properties, STREAM_LAYOUT, kind, &mut frame));
    let frame = &frame;
    let delivery = Delivery::Message {
        frame,
        class: Class::AtMostOnce,
        id: None,
        retain,
        redelivered: false,
        subscription_ids: &[],
    };
    connection.deliver(now, delivery, out);
}

impl Dial for Core {
    type Link = DuplexStream;

    fn dial(&self, peer: SocketAddr, _: &Extensions) -> Result<DuplexStream, Busy> {
        self.peers.lock().unwrap().push(peer);
        if self.busy {
            return Err(Busy);
        }
        // Small, so that large bodies have to wait for the other side.
        let (ours, theirs) = tokio::io::duplex(4_096);
        let (core, links) = (self.clone(), Arc::clone(&self.links));
        links.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            core.run(theirs).await;
            links.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(ours)
    }
}
