//! The client's end of each transport, over blocking sockets.

use std::io::{BufReader, Error, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a client reads at once, so that it costs the same however the broker cuts what it sends.
const BUFFER_BYTES: usize = 64 << 10;
const KEY: [u8; 4] = [0x3A, 0x94, 0x5E, 0xC1];

/// How the broker is reached.
pub(crate) struct Way {
    pub(crate) mode: String,
    address: SocketAddr,
    path: Option<String>,
    tls: Option<Arc<ClientConfig>>,
}

impl Way {
    pub(crate) fn new(mode: &str, port: u16, path: &str, ca: Option<&str>) -> Result<Self> {
        if !["tcp", "ws", "tls", "wss"].contains(&mode) {
            return Err(Error::other("the first word is tcp, ws, tls or wss"));
        }
        let tls = match (mode.ends_with("tls") || mode == "wss", ca) {
            (false, _) => None,
            (true, Some(ca)) => Some(Arc::new(trusting(ca)?)),
            (true, None) => return Err(Error::other("--ca is missing: the certificate to trust")),
        };
        let path = mode.starts_with("ws").then(|| path.to_owned());
        Ok(Self { mode: mode.to_owned(), address: (Ipv4Addr::LOCALHOST, port).into(), path, tls })
    }

    pub(crate) fn open(&self) -> Result<Stream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let carrier: Box<dyn ReadWrite> = match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(Error::other)?;
                let client = ClientConnection::new(Arc::clone(config), name).map_err(Error::other)?;
                Box::new(StreamOwned::new(client, stream))
            }
        };
        let carrier = BufReader::with_capacity(BUFFER_BYTES, carrier);
        let mut stream = Stream { carrier, framed: false, left: 0 };
        if let Some(path) = &self.path {
            stream.upgrade(path)?;
        }
        Ok(stream)
    }
}

fn trusting(ca: &str) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).map_err(Error::other)?).map_err(Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.map_err(Error::other)?.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

trait ReadWrite: Read + Write {}
impl<S: Read + Write> ReadWrite for S {}

/// A connection to the broker: bytes in and out, each write one record and one frame.
pub(crate) struct Stream {
    carrier: BufReader<Box<dyn ReadWrite>>,
    framed: bool,
    /// Bytes of the present frame that were not read.
    left: u64,
}

impl Stream {
    fn upgrade(&mut self, path: &str) -> Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        self.carrier.get_mut().write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.carrier.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            return Err(Error::other(String::from_utf8_lossy(&answer).into_owned()));
        }
        self.framed = true;
        Ok(())
    }

    /// Bytes as they are sent: as one masked frame, if there are frames.
    pub(crate) fn spelled(&self, bytes: &[u8]) -> Vec<u8> {
        if !self.framed {
            return bytes.to_vec();
        }
        let mut frame = vec![0x82];
        match u16::try_from(bytes.len()) {
            Ok(len @ 0..=125) => frame.push(0x80 | len as u8),
            Ok(len) => {
                frame.push(0x80 | 126);
                frame.extend(len.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((bytes.len() as u64).to_be_bytes());
            }
        }
        frame.extend(KEY);
        frame.extend(bytes.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    /// Sends what was spelled.
    pub(crate) fn send(&mut self, spelled: &[u8]) -> Result<()> {
        self.carrier.get_mut().write_all(spelled)
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let carrier = &mut self.carrier;
        if !self.framed {
            return carrier.read(bytes);
        }
        while self.left == 0 {
            let mut start = [0; 2];
            carrier.read_exact(&mut start)?;
            let mut length = [0; 8];
            let form = match start {
                [0x82 | 0x02 | 0x80 | 0x00, 127] => 8,
                [0x82 | 0x02 | 0x80 | 0x00, 126] => 2,
                [0x82 | 0x02 | 0x80 | 0x00, 0..=125] => 0,
                _ => return Err(Error::other(format!("a frame that begins with {start:?}"))),
            };
            carrier.read_exact(&mut length[8 - form..])?;
            self.left = if form == 0 { start[1].into() } else { u64::from_be_bytes(length) };
        }
        let count = (self.left as usize).min(bytes.len());
        let count = carrier.read(&mut bytes[..count])?;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let sent = self.spelled(bytes);
        self.send(&sent)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.carrier.get_mut().flush()
    }
}
