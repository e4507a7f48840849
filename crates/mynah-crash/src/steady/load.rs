//! The load: pairs of a publisher and a session that is kept, with QoS 1. Each message has its number, so that a session
//! knows when one is missing.

use std::io::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mynah_model::Class;
use mynah_mqtt::client::Event;

use crate::connection::Connection;
use crate::shared::{Phase, Shared};

/// Publishers, each with a session that gets what it publishes.
pub(super) const PAIRS: usize = 4;

/// Publications of one publisher that wait for acknowledgement.
const IN_FLIGHT_MAX: u16 = 1024;

/// Messages that a session may be behind before its publisher waits for it.
const LEAD_MAX: u64 = 4_000;

const PAYLOAD_BYTES: usize = 100;

/// After so long a session's connection is cut, and made again.
const CONNECTION_MAX: Duration = Duration::from_secs(20);

/// How long a turn waits for something to read, and a client for the next broker.
const TURN: Duration = Duration::from_millis(1);
const PAUSE: Duration = Duration::from_millis(20);

/// What a pair has done.
#[derive(Default)]
struct Tally {
    /// Whether there is a session that waits for messages.
    is_subscribed: AtomicBool,
    published: AtomicU64,
    acknowledged: AtomicU64,
    received: AtomicU64,
    again: AtomicU64,
    /// The first thing that was wrong.
    fault: Mutex<Option<String>>,
}

impl Tally {
    fn accuse(&self, fault: String) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }
}

/// All pairs.
pub(super) struct Load {
    /// Messages a second of one publisher; as many as it can at first.
    pub(super) rate: Arc<AtomicU64>,
    tallies: Vec<Arc<Tally>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Self> {
        let rate = Arc::new(AtomicU64::new(u64::MAX));
        let mut load = Self { rate, tallies: Vec::new(), threads: Vec::new() };
        for pair in 0..PAIRS {
            let connection =
                |role: &str| Connection::new(&format!("{role}-{pair}"), IN_FLIGHT_MAX).map_err(Error::other);
            let (reader, writer) = (connection("session")?, connection("publisher")?);
            let tally = Arc::new(Tally::default());
            let client = |connection| Client {
                shared: Arc::clone(shared),
                tally: Arc::clone(&tally),
                connection,
                topic: format!("steady/{pair}"),
            };
            let (reader, writer, rate) = (client(reader), client(writer), Arc::clone(&load.rate));
            load.threads.push(thread::spawn(move || reader.receive()));
            load.threads.push(thread::spawn(move || writer.publish(&rate)));
            load.tallies.push(tally);
        }
        Ok(load)
    }

    fn sum(&self, of: fn(&Tally) -> &AtomicU64) -> u64 {
        self.tallies.iter().map(|tally| of(tally).load(Ordering::Acquire)).sum()
    }

    pub(super) fn received(&self) -> u64 {
        self.sum(|tally| &tally.received)
    }

    pub(super) fn again(&self) -> u64 {
        self.sum(|tally| &tally.again)
    }

    /// Messages that were published and did not come yet.
    pub(super) fn outstanding(&self) -> u64 {
        let received = self.received();
        self.sum(|tally| &tally.published) - received
    }

    /// Whether everything was acknowledged and has come.
    pub(super) fn is_settled(&self) -> bool {
        let published = self.sum(|tally| &tally.published);
        self.received() == published && self.sum(|tally| &tally.acknowledged) == published
    }

    /// Waits for the clients, which were told to end. Returns what was wrong.
    pub(super) fn finish(&mut self) -> Vec<String> {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let fault = |tally: &Arc<Tally>| tally.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.tallies.iter().filter_map(fault).collect()
    }
}

/// A client of a pair.
struct Client {
    shared: Arc<Shared>,
    tally: Arc<Tally>,
    connection: Connection,
    topic: String,
}

impl Client {
    /// Connects to the broker, as soon as there is one.
    fn open(&mut self) -> bool {
        let is_open = self.shared.address().is_some_and(|to| self.connection.open(to.mqtt));
        if !is_open {
            self.shared.sleep(PAUSE);
        }
        is_open
    }

    fn publish(mut self, rate: &AtomicU64) {
        let mut published = 0;
        let mut budget = Budget::new(rate.load(Ordering::Acquire));
        while self.shared.phase() != Phase::Stop {
            if !self.open() {
                continue;
            }
            while self.shared.phase() != Phase::Stop {
                if self.shared.phase() == Phase::Work && self.tally.is_subscribed.load(Ordering::Acquire) {
                    budget.change(rate.load(Ordering::Acquire));
                    published = self.publish_some(published, &mut budget);
                }
                self.connection.turn(TURN);
                if !self.hear_answers() {
                    break;
                }
            }
        }
    }

    /// Publishes what the rate, the window and the reader allow.
    fn publish_some(&mut self, from: u64, budget: &mut Budget) -> u64 {
        let lead = LEAD_MAX.saturating_sub(from - self.tally.received.load(Ordering::Acquire));
        let (now, client) = self.connection.client();
        let window = usize::from(IN_FLIGHT_MAX).saturating_sub(client.in_flight()) as u64;
        let mut payload = [b'x'; PAYLOAD_BYTES];
        let mut next = from;
        for _ in 0..if client.is_open() { budget.now().min(window).min(lead) } else { 0 } {
            payload[..8].copy_from_slice(&next.to_be_bytes());
            match client.publish(now, &self.topic, &payload, Class::AtLeastOnce, false) {
                Ok(_) => next += 1,
                Err(misuse) => {
                    self.tally.accuse(format!("{}: {misuse}", self.topic));
                    break;
                }
            }
        }
        budget.spend(next - from);
        self.tally.published.store(next, Ordering::Release);
        next
    }

    /// Takes events. Says whether the connection goes on.
    fn hear_answers(&mut self) -> bool {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Acknowledged { .. } => {
                    self.tally.acknowledged.fetch_add(1, Ordering::AcqRel);
                }
                Event::Closed { .. } => return false,
                _ => {}
            }
        }
        true
    }

    fn receive(mut self) {
        let mut expected = 0;
        while self.shared.phase() != Phase::Stop {
            if !self.open() {
                continue;
            }
            let opened = Instant::now();
            while self.shared.phase() != Phase::Stop {
                self.connection.turn(TURN);
                if !self.hear_messages(&mut expected) {
                    break;
                }
                if opened.elapsed() > CONNECTION_MAX && self.shared.phase() == Phase::Work {
                    self.connection.cut();
                }
            }
        }
    }

    fn hear_messages(&mut self, expected: &mut u64) -> bool {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected { session_present: false, .. } => {
                    if self.tally.is_subscribed.load(Ordering::Acquire) {
                        self.tally.accuse(format!("{}: the session is not there any more", self.topic));
                    }
                    let (now, client) = self.connection.client();
                    let _ = client.subscribe(now, &[(&self.topic, Class::AtLeastOnce)]);
                }
                Event::Subscribed { .. } => self.tally.is_subscribed.store(true, Ordering::Release),
                Event::Message { message, .. } => self.take(message.payload(), expected),
                Event::Closed { .. } => return false,
                _ => {}
            }
        }
        true
    }

    fn take(&self, payload: &[u8], expected: &mut u64) {
        let number = payload.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
        if number < *expected {
            self.tally.again.fetch_add(1, Ordering::AcqRel);
            return;
        }
        if number > *expected {
            self.tally.accuse(format!("{}: message {number} came where {expected} was due", self.topic));
        }
        *expected = number.saturating_add(1);
        self.tally.received.store(*expected, Ordering::Release);
    }
}

/// How many messages may be sent by now.
struct Budget {
    rate: u64,
    since: Instant,
    spent: u64,
}

impl Budget {
    fn new(rate: u64) -> Self {
        Self { rate, since: Instant::now(), spent: 0 }
    }

    fn change(&mut self, rate: u64) {
        // What was missed for more than a second is not made up for.
        if rate != self.rate || (self.rate < u64::MAX && self.now() > self.rate) {
            *self = Self::new(rate);
        }
    }

    fn now(&self) -> u64 {
        let due = u128::from(self.rate) * self.since.elapsed().as_micros() / 1_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.spent)
    }

    fn spend(&mut self, count: u64) {
        self.spent += count;
    }
}
