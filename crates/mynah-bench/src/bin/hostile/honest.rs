//! The honest: publishers of QoS 1 and their subscribers, who count. Whatever else happens, they lose nothing.

use std::io::{Error, ErrorKind, Result, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mynah_bench::{puback, publish};

use crate::client::{Client, PATIENCE, Packet};

/// What a pair has done so far, and when it is to end.
#[derive(Default)]
pub(crate) struct Tally {
    stop: AtomicBool,
    published: AtomicU64,
    received: AtomicU64,
    duplicates: AtomicU64,
    /// Set when the publisher has all its acknowledgements.
    is_complete: AtomicBool,
}

/// How a publisher publishes.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Messages sent together; the next ones follow when all are acknowledged.
    pub(crate) batch: u16,
    /// Time from one batch to the next at the least.
    pub(crate) period: Duration,
    /// Messages that the subscriber may be behind before the publisher waits for it.
    pub(crate) lead_max: u64,
    pub(crate) payload_bytes: usize,
}

/// A publisher and a subscriber of one topic.
pub(crate) struct Pair {
    pub(crate) tally: Arc<Tally>,
    publisher: JoinHandle<Result<Vec<Duration>>>,
    subscriber: JoinHandle<Result<()>>,
}

/// What became of a pair.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) published: u64,
    pub(crate) received: u64,
    pub(crate) duplicates: u64,
    /// How long each batch waited for its acknowledgements.
    pub(crate) waits: Vec<Duration>,
    pub(crate) failures: Vec<String>,
}

impl Pair {
    pub(crate) fn start(address: SocketAddr, topic: &str, pace: Pace) -> Result<Self> {
        let tally = Arc::new(Tally::default());
        let name = topic.replace('/', "-");
        let reader = Client::subscriber(address, &format!("{name}-sub"), topic, 1)?;
        let writer = Client::open(address, &format!("{name}-pub"))?;
        let (topic, of_reader, of_writer) = (topic.to_owned(), Arc::clone(&tally), Arc::clone(&tally));
        let subscriber = thread::spawn(move || receive(reader, &of_reader));
        let publisher = thread::spawn(move || send(writer, &topic, pace, &of_writer));
        Ok(Self { tally, publisher, subscriber })
    }

    /// Ends the pair: the publisher stops, the subscriber gets what is under way.
    pub(crate) fn finish(self, account: &mut Account) {
        self.tally.stop.store(true, Ordering::Release);
        match join(self.publisher) {
            Ok(waits) => account.waits.extend(waits),
            Err(error) => account.failures.push(format!("a publisher: {error}")),
        }
        self.tally.is_complete.store(true, Ordering::Release);
        if let Err(error) = join(self.subscriber) {
            account.failures.push(format!("a subscriber: {error}"));
        }
        account.published += self.tally.published.load(Ordering::Acquire);
        account.received += self.tally.received.load(Ordering::Acquire);
        account.duplicates += self.tally.duplicates.load(Ordering::Acquire);
    }
}

impl Tally {
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(Error::other("panicked")))
}

fn send(mut client: Client, topic: &str, pace: Pace, tally: &Tally) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    let mut payload = vec![0; pace.payload_bytes.max(8)];
    while !tally.stop.load(Ordering::Acquire) {
        let start = Instant::now();
        let first = tally.published.load(Ordering::Acquire);
        if first > tally.received() + pace.lead_max {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        let mut batch = Vec::new();
        for at in 0..pace.batch {
            payload[..8].copy_from_slice(&(first + u64::from(at)).to_be_bytes());
            batch.extend(publish(topic, 1, at + 1, &payload));
        }
        client.stream.write_all(&batch)?;
        for _ in 0..pace.batch {
            await_acknowledgement(&mut client, start)?;
        }
        tally.published.fetch_add(u64::from(pace.batch), Ordering::AcqRel);
        waits.push(start.elapsed());
        thread::sleep(pace.period.saturating_sub(start.elapsed()));
    }
    Ok(waits)
}

fn await_acknowledgement(client: &mut Client, start: Instant) -> Result<()> {
    while client.next()?.is_none() {
        if start.elapsed() > PATIENCE {
            return Err(Error::new(ErrorKind::TimedOut, "no PUBACK"));
        }
    }
    Ok(())
}

fn receive(mut client: Client, tally: &Tally) -> Result<()> {
    let mut expected = 0;
    let mut quiet_since = Instant::now();
    loop {
        let all_here =
            tally.is_complete.load(Ordering::Acquire) && expected >= tally.published.load(Ordering::Acquire);
        match client.next()? {
            Some(Packet::Message { packet_id, number }) => {
                client.stream.write_all(&puback(packet_id))?;
                quiet_since = Instant::now();
                if number < expected {
                    tally.duplicates.fetch_add(1, Ordering::AcqRel);
                } else if number > expected {
                    return Err(Error::other(format!("message {number} came where {expected} was due")));
                } else {
                    expected += 1;
                    tally.received.store(expected, Ordering::Release);
                }
            }
            Some(Packet::Other(found)) => return Err(Error::other(format!("an unexpected {found:?}"))),
            None if all_here => return Ok(()),
            None if tally.is_complete.load(Ordering::Acquire) && quiet_since.elapsed() > PATIENCE => {
                return Err(Error::new(ErrorKind::TimedOut, "messages are missing"));
            }
            None => {}
        }
    }
}
