//! A client of MQTT on a blocking socket: writes what waits, reads what comes, and waits no longer than anybody wants.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use mynah_mqtt::client::{Client, Event, Misuse, Options};

use super::Url;
use crate::arguments::Peer;
use crate::complaint::Complaint;

/// How long one address of a server may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// A connected client.
pub(super) struct Transport {
    pub(super) client: Client,
    stream: TcpStream,
    /// Bytes that the client has not consumed.
    input: Vec<u8>,
    start: Instant,
    server: String,
}

impl Transport {
    /// Connects to a server and waits until it lets the client in.
    pub(super) fn open(peer: &Peer) -> Result<Self, Complaint> {
        let Url { host, port, user, password } = &peer.url;
        let server = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut options = Options { version: peer.version, ..Options::new(&peer.id) };
        options.user_name = peer.user.as_deref().or(user.as_deref()).map(Into::into);
        options.password = peer.password.as_deref().or(password.as_deref()).map(|p| p.as_bytes().into());
        let client = Client::new(options).map_err(misuse)?;
        let stream = connect(host, *port).map_err(|error| {
            Complaint::Other(format!("cannot connect to {server}: {error} (is a broker running there?)"))
        })?;
        let mut transport = Self { client, stream, input: Vec::new(), start: Instant::now(), server };
        let now = transport.now();
        transport.client.connect(now);
        match transport.next(None)? {
            Some(Event::Connected { .. }) => Ok(transport),
            _ => Err(transport.lost("connection closed")),
        }
    }

    /// The time on the client's clock.
    pub(super) fn now(&self) -> mynah_model::Instant {
        let micros = self.start.elapsed().as_micros();
        mynah_model::Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The next event, or none if there is none until `until`. The end of the connection is a complaint.
    pub(super) fn next(&mut self, until: Option<mynah_model::Instant>) -> Result<Option<Event>, Complaint> {
        loop {
            if let Some(event) = self.client.poll_event() {
                return match event {
                    Event::Closed { ending, .. } => Err(self.lost(&ending.to_string())),
                    event => Ok(Some(event)),
                };
            }
            self.flush()?;
            let now = self.now();
            if until.is_some_and(|until| now >= until) {
                return Ok(None);
            }
            let wake = [until, self.client.deadline()].into_iter().flatten().min();
            self.read(wake.map(|wake| wake.saturating_since(now)))?;
            let now = self.now();
            self.client.handle_timeout(now);
        }
    }

    /// Says good-bye and writes what waits.
    pub(super) fn close(mut self) -> Result<(), Complaint> {
        let now = self.now();
        self.client.disconnect(now);
        self.flush()
    }

    /// Writes what waits.
    fn flush(&mut self) -> Result<(), Complaint> {
        let bytes = self.client.outbound().drain();
        self.stream.write_all(&bytes).map_err(|error| self.lost(&error.to_string()))
    }

    /// Reads once, for as long as `patience` at the most, and hands what came to the client.
    fn read(&mut self, patience: Option<Duration>) -> Result<(), Complaint> {
        // A timeout of zero would mean none.
        let patience = patience.map(|patience| patience.max(Duration::from_millis(1)));
        let mut chunk = [0; READ_BYTES];
        let result = self.stream.set_read_timeout(patience).and_then(|()| self.stream.read(&mut chunk));
        match result {
            Ok(0) => self.client.handle_end(),
            Ok(count) => self.input.extend_from_slice(&chunk[..count]),
            Err(error) if is_timeout(&error) => return Ok(()),
            Err(error) => return Err(self.lost(&error.to_string())),
        }
        let now = self.now();
        let mut rest = self.input.as_slice();
        self.client.handle_input(now, &mut rest);
        let consumed = self.input.len() - rest.len();
        self.input.drain(..consumed);
        Ok(())
    }

    fn lost(&self, why: &str) -> Complaint {
        Complaint::Other(format!("{}: {why}", self.server))
    }
}

/// What was asked of the client and cannot be done.
pub(super) fn misuse(misuse: Misuse) -> Complaint {
    Complaint::Other(misuse.to_string())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Tries the addresses of a host one after another.
fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
