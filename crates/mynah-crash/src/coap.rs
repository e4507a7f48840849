//! Confirmable requests by CoAP over UDP, to publish.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use mynah_coap::CoapConfig;
use mynah_coap::client::{Client, Event, Request};
use mynah_coap::framing::{DATAGRAM_LENGTH_BYTES, Transport, next_datagram};
use mynah_coap::wire::{Code, content_format};
use mynah_model::{Instant as Now, Topic};

use crate::requests::Method;

/// How long an answer may take, with all that is sent again.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a turn waits for a datagram.
const TURN: Duration = Duration::from_millis(5);

/// `ACK_TIMEOUT` of the client: the broker is near.
const ACK_TIMEOUT: Duration = Duration::from_millis(250);

const DATAGRAM_BYTES_MAX: usize = 2_048;

/// One association.
pub(crate) struct Coap {
    socket: UdpSocket,
    client: Client,
    start: Instant,
}

impl Coap {
    pub(crate) fn open(address: SocketAddr, seed: u64) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(TURN))?;
        let config =
            CoapConfig { ack_timeout: ACK_TIMEOUT, separate_after: ACK_TIMEOUT / 2, ..CoapConfig::default() };
        let client = Client::new(config, Transport::Datagram, [seed, seed.rotate_left(32)]);
        Ok(Self { socket, client, start: Instant::now() })
    }

    /// Makes a request. Says whether its answer was a success.
    ///
    /// # Errors
    /// There is no answer, or nobody listens.
    pub(crate) fn publish(&mut self, method: Method, topic: &str, payload: &[u8]) -> Result<bool> {
        let code = match method {
            Method::Post => Code::POST,
            Method::Put => Code::PUT,
            Method::Delete => Code::DELETE,
        };
        let topic =
            Topic::new(topic.as_bytes()).map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
        let mut request = Request::topic(code, topic);
        if !payload.is_empty() {
            request = request.payload(content_format::OCTET_STREAM, payload);
        }
        let now = self.now();
        self.client.request(now, request);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.turn()?;
            match self.client.poll_event() {
                Some(Event::Response { response, .. }) => return Ok(response.code.is_success()),
                Some(Event::Failed { .. } | Event::Closed) => break,
                Some(Event::Notification { .. }) | None => {}
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    fn now(&self) -> Now {
        Now::ZERO + self.start.elapsed()
    }

    /// Sends what waits, and reads one datagram if there is one.
    fn turn(&mut self) -> Result<()> {
        let bytes = self.client.outbound().drain();
        let mut rest = &bytes[..];
        while let Some(datagram) = next_datagram(&mut rest) {
            self.socket.send(datagram)?;
        }
        let mut unit = [0; DATAGRAM_LENGTH_BYTES + DATAGRAM_BYTES_MAX];
        let now = match self.socket.recv(&mut unit[DATAGRAM_LENGTH_BYTES..]) {
            Ok(count) => {
                let now = self.now();
                let length = u16::try_from(count).unwrap_or_default().to_be_bytes();
                unit[..DATAGRAM_LENGTH_BYTES].copy_from_slice(&length);
                self.client.handle_input(now, &mut &unit[..DATAGRAM_LENGTH_BYTES + count]);
                now
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => self.now(),
            Err(error) => return Err(error),
        };
        if self.client.deadline().is_some_and(|due| due <= now) {
            self.client.handle_timeout(now);
        }
        Ok(())
    }
}
