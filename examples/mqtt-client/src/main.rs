//! An MQTT client on a blocking socket: subscribes, publishes, prints what arrives and leaves. The protocol is
//! `mynah-mqtt`'s; the transport and the clock are this program's.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mynah_model::Class;
use mynah_mqtt::Version;
use mynah_mqtt::client::{Client, Event, Options};

const USAGE: &str = "usage: mqtt-client [-V 5] HOST:PORT FILTER TOPIC MESSAGE...
  subscribes to FILTER, publishes the messages to TOPIC, which has to match it, and prints as many as come;
  speaks MQTT 3.1.1, or with -V 5 MQTT 5.0";

/// How long the answers and messages that are due may take in all.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (version, arguments) = match arguments.as_slice() {
        [flag, version, rest @ ..] if flag == "-V" && version == "5" => (Version::V5, rest),
        all => (Version::V3_1_1, all),
    };
    let [address, filter, topic, messages @ ..] = arguments else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match run(version, address, filter, topic, messages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    version: Version,
    address: &str,
    filter: &str,
    topic: &str,
    messages: &[String],
) -> Result<(), Box<dyn Error>> {
    let mut connection = Connection::open(version, address)?;
    let now = connection.now();
    connection.client.subscribe(now, &[(filter, Class::AtLeastOnce)])?;
    let (mut unconfirmed, mut expected) = (messages.len(), messages.len());
    while unconfirmed + expected > 0 {
        match connection.event()? {
            // Only now, so that nothing that is published is missed.
            Event::Subscribed { granted, .. } => {
                if granted.iter().any(Result::is_err) {
                    return Err(format!("the server refused the subscription to {filter}").into());
                }
                for message in messages {
                    let now = connection.now();
                    connection.client.publish(now, topic, message.as_bytes(), Class::AtLeastOnce, false)?;
                }
            }
            Event::Acknowledged { .. } => unconfirmed -= 1,
            Event::Message { message, .. } => {
                println!("{} {}", message.topic(), String::from_utf8_lossy(message.payload()));
                // A retained value that was there before, or a message of somebody else, comes as well.
                expected = expected.saturating_sub(1);
            }
            _ => {}
        }
    }
    connection.close()
}

/// A client and what it does not have of itself: bytes that come and go, and the time.
struct Connection {
    client: Client,
    stream: TcpStream,
    /// Bytes that have come and that the client has not consumed.
    input: Vec<u8>,
    start: Instant,
}

impl Connection {
    /// Connects, and waits until the server lets the client in.
    fn open(version: Version, address: &str) -> Result<Self, Box<dyn Error>> {
        // The server chooses an identifier.
        let mut client = Client::new(Options { version, ..Options::new("") })?;
        client.connect(mynah_model::Instant::ZERO);
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut connection = Self { client, stream, input: Vec::new(), start: Instant::now() };
        while !connection.client.is_open() {
            connection.event()?;
        }
        Ok(connection)
    }

    /// The time on the client's clock.
    fn now(&self) -> mynah_model::Instant {
        mynah_model::Instant::ZERO + self.start.elapsed()
    }

    /// Waits for the next event; taking a message acknowledges it.
    fn event(&mut self) -> Result<Event, Box<dyn Error>> {
        loop {
            match self.client.poll_event() {
                Some(Event::Closed { ending, .. }) => return Err(ending.to_string().into()),
                Some(event) => return Ok(event),
                None => {}
            }
            if self.start.elapsed() > PATIENCE {
                return Err("not everything came in time".into());
            }
            self.flush()?;
            self.read()?;
            let now = self.now();
            self.client.handle_timeout(now);
        }
    }

    /// Writes what waits.
    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.write_all(&self.client.outbound().drain())
    }

    /// Reads once, and waits for that no longer than the client allows.
    fn read(&mut self) -> std::io::Result<()> {
        let patience =
            self.client.deadline().map_or(PATIENCE, |at| at.saturating_since(self.now()).min(PATIENCE));
        // A timeout of zero would mean none.
        self.stream.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.client.handle_end(),
            Ok(count) => self.input.extend_from_slice(&chunk[..count]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        let now = self.now();
        let mut rest = self.input.as_slice();
        self.client.handle_input(now, &mut rest);
        let consumed = self.input.len() - rest.len();
        self.input.drain(..consumed);
        Ok(())
    }

    /// Says good-bye and writes what waits, the last acknowledgements included.
    fn close(mut self) -> Result<(), Box<dyn Error>> {
        let now = self.now();
        self.client.disconnect(now);
        Ok(self.flush()?)
    }
}
