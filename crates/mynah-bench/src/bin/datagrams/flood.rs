//! Honest clients who are far away, beside hellos that come from addresses where nobody takes an answer.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant as Clock};

use mynah_dtls::{Client, Datagrams};
use mynah_model::Instant;
use ring::rand::SystemRandom;

use crate::device::{failed, settings, socket};

/// Hellos in a second, and the addresses from which they come in turn.
const HELLOS: u32 = 2_000;
const ADDRESSES: u32 = 500;
const HONEST: usize = 100;
/// How far away the honest ones are: one way.
const DELAY: Duration = Duration::from_millis(50);
const LENGTH_MAX: Duration = Duration::from_secs(10);
/// How long the flood goes on before the first honest one comes.
const LEAD: Duration = Duration::from_secs(1);

/// What came of it.
pub(crate) struct Outcome {
    /// When the last honest one was done, from when all of them began.
    pub(crate) last: Duration,
    pub(crate) done: usize,
    pub(crate) hellos_per_second: f64,
}

impl Outcome {
    pub(crate) fn is_good(&self) -> bool {
        self.done == HONEST && self.last <= LENGTH_MAX
    }
}

/// One honest client and what is on its way, either way, by when it arrives.
struct Honest {
    socket: UdpSocket,
    client: Client,
    to_broker: VecDeque<(Clock, Vec<u8>)>,
    to_client: VecDeque<(Clock, Vec<u8>)>,
    is_done: bool,
}

/// Lets 100 clients in while 2,000 hellos come in each second.
pub(crate) fn run(broker: SocketAddr) -> Result<Outcome> {
    let (is_over, hellos) = (AtomicBool::new(false), AtomicU64::new(0));
    let begin = Clock::now();
    thread::scope(|scope| {
        let flood = scope.spawn(|| spoof(broker, &is_over, &hellos));
        thread::sleep(LEAD);
        let honest = let_in(broker);
        is_over.store(true, Relaxed);
        let lasted = begin.elapsed();
        flood.join().map_err(|_| Error::other("the flood has ended"))??;
        let (done, last) = honest?;
        let hellos_per_second = hellos.load(Relaxed) as f64 / lasted.as_secs_f64();
        Ok(Outcome { last, done, hellos_per_second })
    })
}

/// Says hello from many addresses, and hears nothing.
fn spoof(broker: SocketAddr, is_over: &AtomicBool, hellos: &AtomicU64) -> Result<()> {
    let own = |number: u32| format!("127.{}.{}.{}", 1 + number / 250, number % 250, 1 + number % 200);
    let sockets = (0..ADDRESSES).map(|n| socket(&own(n), broker)).collect::<Result<Vec<_>>>()?;
    let (random, begin) = (SystemRandom::new(), Clock::now());
    let mut out = Datagrams::default();
    for number in 0_u32.. {
        let due = Duration::from_secs(1) * number / HELLOS;
        thread::sleep(due.saturating_sub(begin.elapsed()));
        if is_over.load(Relaxed) {
            break;
        }
        out.clear();
        Client::new(Instant::ZERO, settings(), None, &random, &mut out).map_err(failed)?;
        for datagram in out.iter() {
            sockets[(number % ADDRESSES) as usize].send(datagram)?;
        }
        hellos.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// Returns how many were done, and when the last of them was.
fn let_in(broker: SocketAddr) -> Result<(usize, Duration)> {
    let (random, begin) = (SystemRandom::new(), Clock::now());
    let mut all = (0..HONEST).map(|_| Honest::new(broker, begin)).collect::<Result<Vec<_>>>()?;
    let (mut done, mut last) = (0, Duration::ZERO);
    while done < HONEST && begin.elapsed() < LENGTH_MAX + LEAD {
        for honest in all.iter_mut().filter(|honest| !honest.is_done) {
            if honest.go_on(begin, &random)? {
                (done, last) = (done + 1, begin.elapsed());
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok((done, last))
}

impl Honest {
    fn new(broker: SocketAddr, begin: Clock) -> Result<Self> {
        let socket = socket("127.0.0.1", broker)?;
        socket.set_nonblocking(true)?;
        let (now, mut out) = (instant(begin), Datagrams::default());
        let client = Client::new(now, settings(), None, &SystemRandom::new(), &mut out).map_err(failed)?;
        let (to_broker, to_client) = (VecDeque::new(), VecDeque::new());
        let mut honest = Self { socket, client, to_broker, to_client, is_done: false };
        honest.say(&out);
        Ok(honest)
    }

    fn say(&mut self, out: &Datagrams) {
        let at = Clock::now() + DELAY;
        self.to_broker.extend(out.iter().map(|datagram| (at, datagram.to_vec())));
    }

    /// Moves what is on its way, and returns whether the handshake is done.
    fn go_on(&mut self, begin: Clock, random: &SystemRandom) -> Result<bool> {
        while let Some((_, datagram)) = self.to_broker.pop_front_if(|(at, _)| *at <= Clock::now()) {
            self.socket.send(&datagram)?;
        }
        let mut buffer = [0; 2048];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => self.to_client.push_back((Clock::now() + DELAY, buffer[..length].to_vec())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut out = Datagrams::default();
        while let Some((_, datagram)) = self.to_client.pop_front_if(|(at, _)| *at <= Clock::now()) {
            let done = self.client.receive(instant(begin), &datagram, random, &mut out);
            if done.map_err(failed)?.is_some() {
                self.is_done = true;
                return Ok(true);
            }
        }
        self.client.handle_time(instant(begin), &mut out);
        self.say(&out);
        Ok(false)
    }
}

fn instant(begin: Clock) -> Instant {
    Instant::from_micros(begin.elapsed().as_micros() as u64)
}
