//! The hostile. Each attack goes on until it is told to stop, is bounded in what it opens and sends, and counts what the
//! broker did about it.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mynah_bench::{connect, puback};

use crate::client::{Client, PATIENCE, Packet};

/// A kind of attack, which runs in threads of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// So many connections that never send a byte, opened again when they are closed.
    HalfOpen(usize),
    /// So many connections that send their CONNECT byte by byte.
    SlowLoris(usize),
    /// Subscribers of everything who hardly read, or not at all.
    SlowReaders,
    /// Packets of 256 MiB are announced, before and after CONNECT.
    Announcements,
}

/// What the attackers saw.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    /// Connections opened.
    pub(crate) opened: AtomicU64,
    /// Connections that the broker closed.
    pub(crate) closed: AtomicU64,
    /// Connections that the broker should have closed and did not.
    pub(crate) ignored: AtomicU64,
    /// Messages that slow readers got.
    pub(crate) sipped: AtomicU64,
}

/// An attack under way.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    pub(crate) effect: Arc<Effect>,
    threads: Vec<JoinHandle<()>>,
}

/// Connections that an attack opens in a second, and in all, at the most.
const OPENS_PER_TICK: usize = 500;
const OPENS_MAX: u64 = 40_000;
const TICK: Duration = Duration::from_millis(100);

impl Attack {
    pub(crate) fn start(self, address: SocketAddr, topic: &str) -> Running {
        let (stop, effect) = (Arc::new(AtomicBool::new(false)), Arc::new(Effect::default()));
        let mut running = Running { stop, effect, threads: Vec::new() };
        let topic = topic.to_owned();
        match self {
            Self::HalfOpen(count) => {
                running.run(move |stop, effect| hold(address, count, None, stop, effect));
            }
            Self::SlowLoris(count) => {
                running.run(move |stop, effect| hold(address, count, Some(connect("loris")), stop, effect));
            }
            Self::SlowReaders => {
                for (name, qos, bytes) in [("sips", 1, 1_024), ("never-reads", 1, 0), ("never-reads-0", 0, 0)]
                {
                    let topic = topic.clone();
                    running.run(move |stop, effect| {
                        let _ = read_slowly(address, name, &topic, qos, bytes, stop, effect);
                    });
                }
            }
            Self::Announcements => running.run(move |stop, effect| announce(address, stop, effect)),
        }
        running
    }
}

impl Running {
    fn run(&mut self, body: impl FnOnce(&AtomicBool, &Effect) + Send + 'static) {
        let (stop, effect) = (Arc::clone(&self.stop), Arc::clone(&self.effect));
        self.threads.push(thread::spawn(move || body(&stop, &effect)));
    }

    pub(crate) fn finish(self) -> Arc<Effect> {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            let _ = thread.join();
        }
        self.effect
    }
}

fn goes_on(stop: &AtomicBool) -> bool {
    !stop.load(Ordering::Acquire)
}

/// Keeps `count` connections open; each sends one byte of `words` in a tick, if there are any, and never the last one.
fn hold(address: SocketAddr, count: usize, words: Option<Vec<u8>>, stop: &AtomicBool, effect: &Effect) {
    let mut held: Vec<(TcpStream, usize)> = Vec::new();
    while goes_on(stop) {
        let start = Instant::now();
        for _ in 0..OPENS_PER_TICK.min(count.saturating_sub(held.len())) {
            if effect.opened.load(Ordering::Relaxed) >= OPENS_MAX || !goes_on(stop) {
                break;
            }
            if let Ok(stream) = TcpStream::connect_timeout(&address, PATIENCE) {
                effect.opened.fetch_add(1, Ordering::Relaxed);
                if stream.set_nonblocking(true).is_ok() {
                    held.push((stream, 0));
                }
            }
        }
        held.retain_mut(|(stream, said)| {
            let word = words.as_ref().and_then(|words| words[..words.len() - 1].get(*said));
            let is_open = is_open(stream) && word.is_none_or(|byte| stream.write_all(&[*byte]).is_ok());
            *said += 1;
            if !is_open {
                effect.closed.fetch_add(1, Ordering::Relaxed);
            }
            is_open
        });
        thread::sleep(TICK.saturating_sub(start.elapsed()));
    }
}

fn is_open(mut stream: &TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Subscribes and reads `bytes` in a tick, and acknowledges what came whole.
fn read_slowly(
    address: SocketAddr,
    name: &str,
    topic: &str,
    qos: u8,
    bytes: usize,
    stop: &AtomicBool,
    effect: &Effect,
) -> Result<()> {
    let mut client = Client::subscriber(address, name, topic, qos)?;
    effect.opened.fetch_add(1, Ordering::Relaxed);
    while goes_on(stop) {
        let start = Instant::now();
        if bytes > 0 {
            for packet in client.sip(bytes)? {
                if let Packet::Message { packet_id, .. } = packet {
                    client.stream.write_all(&puback(packet_id))?;
                    effect.sipped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        thread::sleep(TICK.saturating_sub(start.elapsed()));
    }
    Ok(())
}

/// Announces 256 MiB, sends the first 64 KiB of it, and wants to be thrown out.
fn announce(address: SocketAddr, stop: &AtomicBool, effect: &Effect) {
    let connects = [&b"\x10\xff\xff\xff\x7f"[..], &[0; 64 << 10]].concat();
    let publishes = [&b"\x30\xff\xff\xff\x7f\0\x01a"[..], &[0; 64 << 10]].concat();
    while goes_on(stop) && effect.opened.load(Ordering::Relaxed) < OPENS_MAX {
        for (greets, bytes) in [(false, &connects), (true, &publishes)] {
            let stream = if greets {
                Client::open(address, "announces").map(|client| client.stream)
            } else {
                TcpStream::connect_timeout(&address, PATIENCE)
            };
            let Ok(mut stream) = stream else { continue };
            effect.opened.fetch_add(1, Ordering::Relaxed);
            // The broker may be gone before all is written.
            let _ = stream.write_all(bytes);
            let is_closed = stream.set_read_timeout(Some(PATIENCE)).is_ok()
                && !matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
            let counter = if is_closed { &effect.closed } else { &effect.ignored };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(TICK / 10);
    }
}
