//! A client of STOMP or AMQP over the sockets that it has one after the other.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mynah_amqp::v0_9_1::client as amqp;
use mynah_model::Instant as Now;
use mynah_stomp::client as stomp;

/// How long a connection may take to be made, and a write to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

const CHUNK_BYTES: usize = 16 << 10;

/// A client without sockets.
pub(crate) trait Machine {
    type Event;
    fn connect(&mut self, now: Now);
    fn handle_input(&mut self, now: Now, input: &mut &[u8]);
    fn handle_timeout(&mut self, now: Now);
    fn handle_end(&mut self);
    fn poll_event(&mut self) -> Option<Self::Event>;
    fn drain(&mut self) -> Vec<u8>;
}

/// The clients have the same functions.
macro_rules! machine {
    ($protocol:ident) => {
        impl Machine for $protocol::Client {
            type Event = $protocol::Event;

            fn connect(&mut self, now: Now) {
                self.connect(now);
            }

            fn handle_input(&mut self, now: Now, input: &mut &[u8]) {
                self.handle_input(now, input);
            }

            fn handle_timeout(&mut self, now: Now) {
                self.handle_timeout(now);
            }

            fn handle_end(&mut self) {
                self.handle_end();
            }

            fn poll_event(&mut self) -> Option<Self::Event> {
                self.poll_event()
            }

            fn drain(&mut self) -> Vec<u8> {
                self.outbound().drain()
            }
        }
    };
}
machine!(stomp);
machine!(amqp);

pub(crate) struct Connection<M> {
    client: M,
    stream: Option<TcpStream>,
    /// Bytes that have come and that the client has not consumed.
    input: Vec<u8>,
    start: Instant,
}

/// A client of STOMP.
pub(crate) fn stomp() -> Result<stomp::Client, stomp::Misuse> {
    stomp::Client::new(stomp::Options::new("localhost"))
}

/// A client of AMQP.
pub(crate) fn amqp() -> amqp::Client {
    let login = amqp::Login::Plain { user: "guest".into(), password: b"guest"[..].into() };
    amqp::Client::new(amqp::Options::new(login))
}

impl<M: Machine> Connection<M> {
    pub(super) fn new(client: M) -> Self {
        Self { client, stream: None, input: Vec::new(), start: Instant::now() }
    }

    /// The client, and the time on its clock.
    pub(super) fn client(&mut self) -> (Now, &mut M) {
        (Now::ZERO + self.start.elapsed(), &mut self.client)
    }

    /// Begins another connection. Whether the broker lets the client in, an event says.
    pub(super) fn open(&mut self, address: SocketAddr) -> bool {
        self.stream = None;
        self.input.clear();
        while self.client.poll_event().is_some() {}
        let Ok(stream) = TcpStream::connect_timeout(&address, PATIENCE) else { return false };
        if stream.set_nodelay(true).is_err() || stream.set_write_timeout(Some(PATIENCE)).is_err() {
            return false;
        }
        self.stream = Some(stream);
        let (now, client) = self.client();
        client.connect(now);
        true
    }

    /// Writes what waits, and reads once, for which it waits at most this long.
    pub(super) fn turn(&mut self, wait: Duration) {
        if self.flush() && self.read(wait) {
            let now = self.client().0;
            let mut rest = self.input.as_slice();
            self.client.handle_input(now, &mut rest);
            let consumed = self.input.len() - rest.len();
            self.input.drain(..consumed);
            self.client.handle_timeout(now);
        } else {
            self.cut();
        }
    }

    pub(super) fn poll(&mut self) -> Option<M::Event> {
        self.client.poll_event()
    }

    /// Drops the connection without a word; what was to be written is not.
    pub(super) fn cut(&mut self) {
        self.stream = None;
        self.client.handle_end();
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let bytes = self.client.drain();
        bytes.is_empty() || stream.write_all(&bytes).is_ok()
    }

    fn read(&mut self, wait: Duration) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        // A timeout of zero would mean none.
        if stream.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).is_err() {
            return false;
        }
        let mut chunk = [0; CHUNK_BYTES];
        match stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.input.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}
