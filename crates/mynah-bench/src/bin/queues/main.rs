//! Named queues of the real broker: a durable one that is filled with many messages and emptied again, by its memory and its
//! rates; and how long a publisher waits for its answer while a queue goes that has many bindings.

mod broker;
mod client;

use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use broker::Broker;
use client::{Client, Heard};

const USAGE: &str = "usage: queues --mynah PROGRAM [--messages N] [--bindings N] [--durability sync]
  --messages    in the long queue (10000000); 0: no such queue
  --bindings    of the queue that is deleted (100000); 0: no such queue
  --durability  what the broker promises";

const PAYLOAD_BYTES: usize = 100;
const RESIDENT_BYTES_MAX: u64 = 200 << 20;
/// A queue is emptied at this part of the rate at which it was filled, or faster.
const DRAIN_SHARE: f64 = 0.5;
/// Publications that are not answered yet.
const WINDOW: u64 = 16_384;
const BATCH: u64 = 256;
const PREFETCH: u16 = 8_192;
const ACCEPT_EVERY: u64 = 1_024;
/// How long 99 of 100 publications take at most.
const WAIT_MAX: Duration = Duration::from_millis(5);
/// For how long a publisher is measured before a queue goes, and after.
const CALM: Duration = Duration::from_secs(3);
const PACE: Duration = Duration::from_micros(500);

struct Arguments {
    mynah: PathBuf,
    messages: u64,
    bindings: u32,
    durability: String,
}

fn arguments() -> Option<Arguments> {
    let (messages, bindings, durability) = (10_000_000, 100_000, "sync".to_owned());
    let mut parsed = Arguments { mynah: PathBuf::new(), messages, bindings, durability };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--mynah" => parsed.mynah = value.into(),
            "--messages" => parsed.messages = value.parse().ok()?,
            "--bindings" => parsed.bindings = value.parse().ok()?,
            "--durability" => parsed.durability = value,
            _ => return None,
        }
    }
    parsed.mynah.is_file().then_some(parsed)
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let long = if arguments.messages > 0 { long_queue(&arguments) } else { Ok(()) };
    let bound = if arguments.bindings > 0 { bound_queue(&arguments) } else { Ok(()) };
    let mut exit = ExitCode::SUCCESS;
    for error in [long, bound].into_iter().filter_map(Result::err) {
        println!("FAILED: {error}");
        exit = ExitCode::FAILURE;
    }
    exit
}

/// Fills a durable queue and empties it.
fn long_queue(arguments: &Arguments) -> Result<()> {
    let (broker, messages) = (Broker::start(&arguments.mynah, &arguments.durability)?, arguments.messages);
    let show = |what: &str, count: u64, took: Duration| {
        let rate = count as f64 / took.as_secs_f64();
        let (now, most) = broker.resident_bytes()?;
        println!(
            "{what} {count:>9} in {:>6.1} s, {rate:>7.0} a second; memory {} MiB, {} MiB at the most",
            took.as_secs_f64(),
            now >> 20,
            most >> 20
        );
        Ok::<_, Error>(rate)
    };
    let start = Instant::now();
    fill(&mut Client::connect(broker.address)?, messages, |kept| {
        show("kept   ", kept, start.elapsed()).map(|_| ())
    })?;
    let filled = show("filled ", messages, start.elapsed())?;
    let start = Instant::now();
    empty(&mut Client::connect(broker.address)?, messages, |got| {
        show("got    ", got, start.elapsed()).map(|_| ())
    })?;
    let emptied = show("emptied", messages, start.elapsed())?;
    let most = broker.resident_bytes()?.1;
    if most > RESIDENT_BYTES_MAX {
        return Err(Error::other(format!("{} MiB of memory are too much", most >> 20)));
    }
    if emptied < DRAIN_SHARE * filled {
        return Err(Error::other(format!("emptied at {:.2} of the rate of filling", emptied / filled)));
    }
    Ok(())
}

/// Publishes so many messages with confirms; says ten times how many are kept.
fn fill(client: &mut Client, messages: u64, mut tell: impl FnMut(u64) -> Result<()>) -> Result<()> {
    client.declare("long", true)?;
    client.confirm()?;
    let (mut sent, mut kept, mut told) = (0, 0, messages / 10);
    while kept < messages {
        while sent < messages && sent - kept < WINDOW {
            for number in sent..messages.min(sent + BATCH) {
                client.publish(("", "long"), number, PAYLOAD_BYTES, true);
            }
            sent = messages.min(sent + BATCH);
            client.flush()?;
        }
        if let Heard::Kept(tag) = client.hear()? {
            kept = kept.max(tag);
        }
        if kept >= told && told > 0 {
            tell(kept)?;
            told += messages / 10;
        }
    }
    Ok(())
}

/// Takes so many messages, in their order.
fn empty(client: &mut Client, messages: u64, mut tell: impl FnMut(u64) -> Result<()>) -> Result<()> {
    client.consume("long", PREFETCH)?;
    let (mut tag, mut got) = (0, 0);
    while got < messages {
        match client.hear()? {
            Heard::Delivery(next) => tag = next,
            Heard::Number(number) if number != got => {
                return Err(Error::other(format!("number {number} comes after {got} others")));
            }
            Heard::Number(_) => {
                got += 1;
                if got % ACCEPT_EVERY == 0 || got == messages {
                    client.accept(tag)?;
                }
                if got % (messages / 10).max(1) == 0 {
                    tell(got)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Deletes a queue that has many bindings, one half of them filters, while a client publishes to another.
fn bound_queue(arguments: &Arguments) -> Result<()> {
    let broker = Broker::start(&arguments.mynah, &arguments.durability)?;
    let mut owner = Client::connect(broker.address)?;
    owner.declare("bound", true)?;
    let start = Instant::now();
    for number in 0..arguments.bindings {
        let (exchange, key) = match number % 2 {
            0 => ("amq.direct", format!("key-{number}")),
            _ => ("amq.topic", format!("fleet.{}.device.{number}.#", number % 97)),
        };
        owner.bind("bound", exchange, &key, number + 1 == arguments.bindings)?;
    }
    println!("{} bindings in {:.1} s", arguments.bindings, start.elapsed().as_secs_f64());
    let (is_going, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let waits = thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(broker.address, &is_going, &is_over));
        thread::sleep(CALM);
        is_going.store(true, Ordering::Relaxed);
        let start = Instant::now();
        let deleted = owner.delete("bound");
        println!("deleted in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        thread::sleep(CALM);
        is_over.store(true, Ordering::Relaxed);
        let waits = publisher.join().map_err(|_| Error::other("the publisher ended"))?;
        deleted.and(waits)
    })?;
    let mut worst = Duration::ZERO;
    for (what, mut waits) in ["before", "from then on"].into_iter().zip(waits) {
        waits.sort_unstable();
        let of = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or_default();
        let millis = |share| of(share).as_secs_f64() * 1e3;
        let (half, most, all) = (millis(0.5), millis(0.99), millis(0.9999));
        println!(
            "{what}: {} publications, p50 {half:.2} ms, p99 {most:.2} ms, p99.99 {all:.2} ms",
            waits.len()
        );
        worst = of(0.99);
    }
    if worst > WAIT_MAX {
        return Err(Error::other(format!("a publisher waits {worst:?}")));
    }
    Ok(())
}

/// Publishes one message after the other; returns how long each took, those before `is_going` and the others.
fn publish(
    address: std::net::SocketAddr,
    is_going: &AtomicBool,
    is_over: &AtomicBool,
) -> Result<[Vec<Duration>; 2]> {
    let mut client = Client::connect(address)?;
    client.declare("other", false)?;
    client.bind("other", "amq.direct", "other", true)?;
    client.bind("other", "amq.topic", "some.other", true)?;
    client.confirm()?;
    let mut waits = [Vec::new(), Vec::new()];
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        let place = if number % 2 == 0 { ("amq.direct", "other") } else { ("amq.topic", "some.other") };
        let (start, part) = (Instant::now(), usize::from(is_going.load(Ordering::Relaxed)));
        client.publish(place, number, PAYLOAD_BYTES, false);
        client.flush()?;
        while !matches!(client.hear()?, Heard::Kept(_)) {}
        waits[part].push(start.elapsed());
        number += 1;
        thread::sleep(PACE);
    }
    Ok(waits)
}
