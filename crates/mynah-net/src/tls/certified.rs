//! One peer's TLS by certificates, without I/O: sealed bytes go in and plain ones come out, and the other way round. rustls keeps no
//! buffers of its own here, so that an idle session costs its keys and little else.

use std::sync::Arc;

use mynah_engine::Proof;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{Error, ServerConfig};

use super::session::Opened;
use super::{binding, describe};
use crate::caller::ChannelBinding;

/// What sealing adds to a record, at most: its header, the authentication tag, the nonce of TLS 1.2.
const RECORD_OVERHEAD: usize = 64;
/// Plain bytes of one record.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// The server's side of a connection of TLS.
pub(crate) struct Certified {
    connection: UnbufferedServerConnection,
    binding: ChannelBinding,
    /// The name of the host that the peer has asked for, until somebody takes it.
    host: Option<Box<str>>,
    /// An error has ended it: what rustls does after one is not defined.
    has_failed: bool,
}

impl Certified {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        UnbufferedServerConnection::new(config).map(|connection| Self {
            connection,
            binding: ChannelBinding::default(),
            host: None,
            has_failed: false,
        })
    }

    /// Whether the handshake is still under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// What ties what is said inside to this connection, once the handshake is done.
    pub(crate) const fn binding(&self) -> &ChannelBinding {
        &self.binding
    }

    /// The name of the host that the peer has asked for, once the handshake is done.
    pub(crate) fn take_host(&mut self) -> Option<Box<str>> {
        self.host.take()
    }

    /// The verified certificate of the peer, once the handshake is done.
    pub(crate) fn proof(&self) -> Option<Proof> {
        let certificate = self.connection.peer_certificates()?.first()?;
        Some(Proof::Certificate(describe(certificate)))
    }

    /// Takes in sealed bytes. Plain ones are appended to `plain`, what has to be sent to `out`.
    pub(crate) fn open(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Opened {
        let was_handshaking = self.is_handshaking();
        let opened = self.process(bytes, plain, out);
        if was_handshaking {
            let host = binding::take(&mut self.binding, self.connection.negotiated_cipher_suite());
            self.host = self.host.take().or(host);
        }
        opened
    }

    fn process(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Opened {
        let mut consumed = 0;
        if self.has_failed {
            return Opened { consumed: bytes.len(), ended: true, error: None };
        }
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut bytes[consumed..]);
            let is_idle = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        plain.extend_from_slice(record.payload);
                        discard += record.discard;
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, out);
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    false
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => true,
                Ok(_) => return Opened { consumed: consumed + discard, ended: true, error: None },
                Err(error) => {
                    self.append_alert(out);
                    self.has_failed = true;
                    return Opened { consumed: consumed + discard, ended: true, error: Some(error) };
                }
            };
            consumed += discard;
            if is_idle {
                return Opened { consumed, ended: false, error: None };
            }
        }
    }

    /// Seals `plain` into `out`. `pending` are the bytes that [`Certified::open`] has left.
    pub(crate) fn seal(&mut self, pending: &mut [u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let room = plain.len() + (plain.len() / RECORD_BYTES_MAX + 1) * RECORD_OVERHEAD;
        self.write(pending, out, room, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Says good-bye: appends the alert `close_notify`.
    pub(crate) fn close(&mut self, pending: &mut [u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.write(pending, out, RECORD_OVERHEAD, close_notify)
    }

    /// Brings the connection to where it can write, and lets `write` append to `out`, which gets `room` for it.
    fn write(
        &mut self,
        pending: &mut [u8],
        out: &mut Vec<u8>,
        mut room: usize,
        write: impl Fn(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        if self.has_failed {
            return Err(Error::HandshakeNotComplete);
        }
        loop {
            match self.connection.process_tls_records(pending).state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let at = out.len();
                    out.resize(at + room, 0);
                    let result = write(&mut traffic, &mut out[at..]);
                    out.truncate(at + result.as_ref().copied().unwrap_or(0));
                    match result {
                        Ok(_) => return Ok(()),
                        Err(EncryptError::InsufficientSize(error)) if error.required_size > room => {
                            room = error.required_size;
                        }
                        Err(_) => return Err(Error::EncryptError),
                    }
                }
                ConnectionState::EncodeTlsData(data) => encode(data, out),
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }

    /// Appends the alert that an error has caused, and reads no further.
    fn append_alert(&mut self, out: &mut Vec<u8>) {
        while self.connection.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(data)) = self.connection.process_tls_records(&mut []).state
            else {
                return;
            };
            encode(data, out);
        }
    }
}

fn close_notify(
    traffic: &mut WriteTraffic<'_, ServerConnectionData>,
    room: &mut [u8],
) -> Result<usize, EncryptError> {
    traffic.queue_close_notify(room)
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) {
    let at = out.len();
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut [])
    {
        out.resize(at + required_size, 0);
        // There is as much room as it asked for.
        let _ = data.encode(&mut out[at..]);
    }
}
