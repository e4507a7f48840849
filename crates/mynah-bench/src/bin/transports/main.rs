//! What a transport costs a broker: MQTT 3.1.1 over TCP, WebSocket, TLS or both, against any broker that runs already.
//!
//! `transports MODE --port N --pid N [--ca FILE] [--path /mqtt] [--pairs 10] [--burst 25] [--frame 25] [--ahead 1]
//! [--secs 3]` sends bursts of messages of QoS 0 from publishers to their subscribers, each burst with one write (one
//! record; one frame, or frames of fewer messages), and prints the processor time that the broker took for a message.
//! With `--idle N` it opens N connections and prints what each takes of the broker's memory; with `--protocol amqp091` these
//! are of AMQP 0-9-1, each with an open channel. MODE is `tcp`, `ws`, `tls`
//! or `wss`. What is sent is spelled beforehand: a client that is slower in one mode than in another would hand the broker
//! less at a time, and so would make it dearer.

mod process;
mod stream;

use std::io::{Error, Read, Result, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mynah_bench::{amqp, connect, publish, subscribe};

use crate::process::Process;
use crate::stream::{Stream, Way};

/// Bytes of a payload.
const PAYLOAD_BYTES: usize = 64;
/// How long the broker is given to come to rest.
const REST: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match Options::read().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transports: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    way: Way,
    broker: Process,
    pairs: usize,
    burst: usize,
    /// Messages of a frame of WebSocket.
    frame: usize,
    /// Bursts of one pair that are under way.
    ahead: usize,
    secs: Duration,
    idle: usize,
    /// Whether idle connections speak AMQP 0-9-1.
    is_amqp: bool,
}

impl Options {
    fn read() -> Result<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let text = |name: &str| {
            let at = words.iter().position(|word| word.strip_prefix("--") == Some(name))?;
            words.get(at + 1).map(String::as_str)
        };
        let number = |name: &str, default: Option<usize>| match text(name) {
            Some(text) => {
                text.parse().map_err(|_| Error::other(format!("--{name} {text}: a number is needed")))
            }
            None => default.ok_or_else(|| Error::other(format!("--{name} is missing"))),
        };
        let mode = words.first().map_or("", String::as_str);
        let burst = number("burst", Some(25))?.max(1);
        let port = u16::try_from(number("port", None)?).map_err(Error::other)?;
        Ok(Self {
            way: Way::new(mode, port, text("path").unwrap_or("/mqtt"), text("ca"))?,
            broker: Process::new(number("pid", None)?),
            pairs: number("pairs", Some(10))?.max(1),
            burst,
            frame: number("frame", Some(burst))?.max(1),
            ahead: number("ahead", Some(1))?.max(1),
            secs: Duration::from_secs(number("secs", Some(3))? as u64),
            idle: number("idle", Some(0))?,
            is_amqp: text("protocol") == Some("amqp091"),
        })
    }
}

fn run(options: &Options) -> Result<()> {
    if options.idle > 0 { idle(options) } else { bursts(options) }
}

/// A client that was let in.
fn open(way: &Way, name: &str) -> Result<Stream> {
    let mut stream = way.open()?;
    stream.write_all(&connect(name))?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    if answer == [0x20, 2, 0, 0] { Ok(stream) } else { Err(Error::other(format!("CONNACK: {answer:?}"))) }
}

/// A client of AMQP 0-9-1 whose channel is open.
fn open_amqp(way: &Way) -> Result<Stream> {
    let mut stream = way.open()?;
    stream.write_all(&amqp::opening())?;
    let (last, mut heard) = (amqp::opened(), Vec::new());
    while !heard.ends_with(&last) {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        heard.extend(byte);
    }
    Ok(stream)
}

struct Pair {
    publisher: Stream,
    subscriber: Stream,
    /// What the subscriber gets.
    burst: Vec<u8>,
    /// What the publisher sends: the same, as its transport spells it.
    sent: Vec<u8>,
}

impl Pair {
    fn open(options: &Options, number: usize) -> Result<Self> {
        let topic = format!("pairs/{number:04}");
        let mut subscriber = open(&options.way, &format!("s{number}"))?;
        subscriber.write_all(&subscribe(&topic, 0))?;
        subscriber.read_exact(&mut [0; 5])?;
        let publisher = open(&options.way, &format!("p{number}"))?;
        let message = publish(&topic, 0, 0, &[b'x'; PAYLOAD_BYTES]);
        let burst = message.repeat(options.burst);
        let sent =
            burst.chunks(options.frame * message.len()).flat_map(|frame| publisher.spelled(frame)).collect();
        Ok(Self { publisher, subscriber, burst, sent })
    }
}

fn bursts(options: &Options) -> Result<()> {
    let mut pairs =
        (0..options.pairs).map(|number| Pair::open(options, number)).collect::<Result<Vec<_>>>()?;
    for pair in &mut pairs {
        for _ in 0..options.ahead {
            pair.publisher.send(&pair.sent)?;
        }
    }
    let mut got = vec![0; pairs[0].burst.len()];
    let mut round = |pairs: &mut [Pair]| -> Result<()> {
        for pair in pairs {
            pair.subscriber.read_exact(&mut got)?;
            if got != pair.burst {
                return Err(Error::other("what came is not what was sent"));
            }
            pair.publisher.send(&pair.sent)?;
        }
        Ok(())
    };
    let warm = Instant::now();
    while warm.elapsed() < options.secs / 4 {
        round(&mut pairs)?;
    }
    let (start, before, mut rounds) = (Instant::now(), options.broker.cpu()?, 0);
    while start.elapsed() < options.secs {
        round(&mut pairs)?;
        rounds += 1;
    }
    let (cpu, took) = (options.broker.cpu()?.saturating_sub(before), start.elapsed());
    let messages = (rounds * options.pairs * options.burst) as f64;
    println!(
        "{}: {:.3} us of processor a message, {:.0} messages/s",
        options.way.mode,
        cpu.as_nanos() as f64 / 1e3 / messages,
        messages / took.as_secs_f64()
    );
    Ok(())
}

fn idle(options: &Options) -> Result<()> {
    // What the broker needs once is not counted.
    let open = |name: String| match options.is_amqp {
        true => open_amqp(&options.way),
        false => open(&options.way, &name),
    };
    drop((0..64).map(|number| open(format!("w{number}"))).collect::<Result<Vec<_>>>()?);
    std::thread::sleep(REST);
    let (before, cpu) = (options.broker.resident_bytes()?, options.broker.cpu()?);
    let connections =
        (0..options.idle).map(|number| open(format!("i{number}"))).collect::<Result<Vec<_>>>()?;
    let cpu = options.broker.cpu()?.saturating_sub(cpu);
    std::thread::sleep(REST);
    let bytes = options.broker.resident_bytes()?.saturating_sub(before);
    println!(
        "{}: {} bytes resident a connection, {:.0} us of processor to open one",
        options.way.mode,
        bytes / connections.len() as u64,
        cpu.as_nanos() as f64 / 1e3 / connections.len() as f64
    );
    Ok(())
}
