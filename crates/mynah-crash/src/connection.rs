//! A client of MQTT with its session, over the sockets that it has one after the other.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mynah_mqtt::Version;
use mynah_mqtt::client::{Client, Event, Misuse, Options};

/// How long a connection may take to be made, and a write to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

const CHUNK_BYTES: usize = 16 << 10;

/// A client whose session outlives its connections.
pub(crate) struct Connection {
    client: Client,
    stream: Option<TcpStream>,
    /// Bytes that have come and that the client has not consumed.
    input: Vec<u8>,
    start: Instant,
}

impl Connection {
    /// A client that is not connected and whose session is to be kept.
    pub(crate) fn new(client_id: &str, in_flight_max: u16) -> Result<Self, Misuse> {
        let version = Version::V3_1_1;
        let options = Options { version, clean_session: false, in_flight_max, ..Options::new(client_id) };
        let client = Client::new(options)?;
        Ok(Self { client, stream: None, input: Vec::new(), start: Instant::now() })
    }

    /// The client, and the time on its clock.
    pub(crate) fn client(&mut self) -> (mynah_model::Instant, &mut Client) {
        (self.now(), &mut self.client)
    }

    fn now(&self) -> mynah_model::Instant {
        mynah_model::Instant::ZERO + self.start.elapsed()
    }

    /// Begins another connection. Whether the broker lets the client in, an event says.
    pub(crate) fn open(&mut self, address: SocketAddr) -> bool {
        self.stream = None;
        self.input.clear();
        let Ok(stream) = TcpStream::connect_timeout(&address, PATIENCE) else { return false };
        if stream.set_nodelay(true).is_err() || stream.set_write_timeout(Some(PATIENCE)).is_err() {
            return false;
        }
        self.stream = Some(stream);
        let now = self.now();
        self.client.connect(now);
        true
    }

    /// Writes what waits, and reads once, for which it waits at most this long.
    pub(crate) fn turn(&mut self, wait: Duration) {
        if self.flush() && self.read(wait) {
            let now = self.now();
            let mut rest = self.input.as_slice();
            self.client.handle_input(now, &mut rest);
            let consumed = self.input.len() - rest.len();
            self.input.drain(..consumed);
            self.client.handle_timeout(now);
        } else {
            self.stream = None;
            self.client.handle_end();
        }
    }

    /// The next thing that the broker said; what it said before the connection was lost included.
    pub(crate) fn poll(&mut self) -> Option<Event> {
        self.client.poll_event()
    }

    /// Drops the connection without a word; what was to be written is not.
    pub(crate) fn cut(&mut self) {
        self.stream = None;
        self.client.handle_end();
    }

    /// Takes leave.
    pub(crate) fn leave(&mut self) {
        let now = self.now();
        self.client.disconnect(now);
        self.flush();
        self.stream = None;
    }

    fn flush(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let bytes = self.client.outbound().drain();
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
