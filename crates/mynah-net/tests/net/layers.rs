//! Peers behind proxies, over TLS, WebSocket and Unix sockets: the same bytes, whichever worker they end up with.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mynah_engine::Authenticated;
use mynah_engine::websocket::{self, SubProtocol};
use mynah_model::{Identity, Instant, Reason, TenantId};
use mynah_net::{
    Address, Caller, CertificateFiles, ClientCertificates, Entrance, Server, Tls, TlsSettings, TlsVersion,
    Verify,
};
use mynah_stack::Credentials;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::echo;

/// How a test reaches the broker.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    unix: bool,
    proxy: Option<&'static [u8]>,
    tls: bool,
    websocket: bool,
}

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x01\x01\x01\x01\x12\x34\x07\x5b";

const WAYS: [Way; 8] = [
    Way { unix: true, proxy: None, tls: false, websocket: false },
    Way { unix: false, proxy: Some(V1), tls: false, websocket: false },
    Way { unix: false, proxy: None, tls: true, websocket: false },
    Way { unix: false, proxy: None, tls: false, websocket: true },
    Way { unix: false, proxy: None, tls: true, websocket: true },
    Way { unix: true, proxy: None, tls: true, websocket: true },
    Way { unix: false, proxy: Some(V2), tls: true, websocket: false },
    Way { unix: false, proxy: Some(V1), tls: true, websocket: true },
];

/// A broker that is reached in one way.
struct Stage {
    server: Server,
    way: Way,
    authority: CertificateDer<'static>,
    folder: PathBuf,
}

impl Stage {
    fn new(workers: u16, way: Way, number: usize) -> Self {
        Self::with(workers, way, number, None)
    }

    fn with(workers: u16, way: Way, number: usize, verify: Option<Arc<dyn Verify>>) -> Self {
        let folder = std::env::temp_dir().join(format!("mynah-layers-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let files =
            CertificateFiles { certificate: folder.join("broker.pem"), key: folder.join("broker.key") };
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let tls = TlsSettings {
            certificates: vec![files],
            client_certificates: ClientCertificates::None,
            client_ca: None,
            crl: None,
            min_version: TlsVersion::V1_2,
            alpn: Vec::new(),
        };
        let websocket = websocket::Settings {
            paths: vec!["/echo".into()],
            protocols: vec![SubProtocol::binary("echo")],
            unnamed: None,
            request_bytes_max: 8_192,
            message_bytes_max: 64 << 20,
        };
        let mut config = echo::config(workers, verify);
        let socket = &mut config.sockets[0];
        socket.entrance = Entrance {
            proxies: way.proxy.map(|_| "127.0.0.0/8".parse().unwrap()).into_iter().collect(),
            tls: way.tls.then(|| Arc::new(Tls::load(tls).unwrap())),
            websocket: way.websocket.then(|| Arc::new(websocket)),
            dtls: None,
        };
        if way.unix {
            socket.address = Address::Unix(folder.join("broker.sock"));
        }
        Self { server: Server::start(config).unwrap(), way, authority: made.cert.der().clone(), folder }
    }

    /// A connection without anything above it.
    fn dial(&self) -> Box<dyn Stream> {
        match &self.server.addresses()[0].address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                Box::new(stream)
            }
            Address::Datagrams(_) => unreachable!("these listeners are of streams"),
            Address::Inet(address) => {
                // Little room for what has not been read, so that the broker has to wait.
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_recv_buffer_size(8 << 10).unwrap();
                socket.connect(&(*address).into()).unwrap();
                let stream = TcpStream::from(socket);
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                Box::new(stream)
            }
        }
    }

    fn connect(&self) -> Box<dyn Stream> {
        let mut stream = self.dial();
        stream.write_all(self.way.proxy.unwrap_or_default()).unwrap();
        if self.way.tls {
            let mut roots = RootCertStore::empty();
            roots.add(self.authority.clone()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let name = ServerName::try_from("localhost").unwrap();
            stream =
                Box::new(StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream));
        }
        if self.way.websocket { Box::new(WebSocketClient::new(stream)) } else { stream }
    }

    fn stop(self) {
        assert!(self.server.stop(), "{:?}: everybody had gone", self.way);
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Lets everybody in, and keeps what it was told of them.
#[derive(Default)]
struct Witness(Mutex<Vec<Caller>>);

impl Verify for Witness {
    fn verify(
        &self,
        _: Instant,
        caller: &Caller,
        credentials: &Credentials,
    ) -> Result<Authenticated, Reason> {
        self.0.lock().unwrap().push(caller.clone());
        Ok(Identity::user(TenantId::DEFAULT, &credentials.user).into())
    }
}

#[test]
fn who_verifies_is_told_how_a_peer_came() {
    for (number, way) in WAYS.into_iter().enumerate() {
        let witness = Arc::new(Witness::default());
        let stage = Stage::with(1, way, 700 + number, Some(Arc::clone(&witness) as Arc<dyn Verify>));
        let mut stream = stage.connect();
        stream.write_all(b"!").unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+");
        let caller = witness.0.lock().unwrap().pop().unwrap();
        let address = match (way.unix, way.proxy) {
            (true, _) => None,
            // Both headers name the same one.
            (false, Some(_)) => Some([192, 0, 2, 1].into()),
            (false, None) => Some([127, 0, 0, 1].into()),
        };
        assert_eq!((caller.listener, caller.address), (0, address), "{way:?}");
        assert_eq!(caller.is_local, way.proxy.is_none(), "{way:?}");
        let binds = caller.channel.is_some_and(|c| c.exporter.is_some() && c.server_end_point.is_some());
        assert_eq!(binds, way.tls, "{way:?}");
        drop(stream);
        stage.stop();
    }
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// The client's side of WebSocket, as simple as it can be.
struct WebSocketClient {
    stream: Box<dyn Stream>,
    /// Payload bytes of the present frame that were not read.
    left: u64,
    /// The server has sent a close frame.
    closed: Option<Vec<u8>>,
}

impl WebSocketClient {
    fn new(mut stream: Box<dyn Stream>) -> Self {
        let request = "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Protocol: echo\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        Self { stream, left: 0, closed: None }
    }

    fn send(&mut self, first: u8, payload: &[u8]) -> std::io::Result<()> {
        let key = [0x12, 0x34, 0x56, 0x78];
        let mut frame = vec![first, 0xFF];
        frame.extend((payload.len() as u64).to_be_bytes());
        match payload.len() {
            len @ 0..=125 => frame.splice(1.., [0x80 | len as u8]).for_each(drop),
            len @ 126..=0xFFFF => {
                frame.splice(1.., [0xFE, (len >> 8) as u8, len as u8]).for_each(drop);
            }
            _ => {}
        }
        frame.extend(key);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        self.stream.write_all(&frame)
    }
}

impl Read for WebSocketClient {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 {
            if self.closed.is_some() {
                return Ok(0);
            }
            let mut start = [0; 2];
            self.stream.read_exact(&mut start)?;
            let mut length = vec![
                0;
                match start[1] {
                    126 => 2,
                    127 => 8,
                    _ => 0,
                }
            ];
            self.stream.read_exact(&mut length)?;
            let long = length.iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
            self.left = if length.is_empty() { start[1].into() } else { long };
            if start[0] == 0x82 {
                continue;
            }
            let mut control = vec![0; self.left as usize];
            self.stream.read_exact(&mut control)?;
            self.left = 0;
            match start[0] {
                0x8A => assert_eq!(control, b"ping"),
                0x88 => self.closed = Some(control),
                first => panic!("a frame with {first:#x}"),
            }
        }
        let count = bytes.len().min(self.left as usize);
        let count = self.stream.read(&mut bytes[..count])?;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Write for WebSocketClient {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A ping between the fragments of what is written.
        let half = bytes.len() / 2;
        self.send(0x02, &bytes[..half])?;
        self.send(0x89, b"ping")?;
        self.send(0x80, &bytes[half..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

fn read(stream: &mut dyn Stream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn rest(stream: &mut dyn Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn peers_that_come_in_any_way_are_served_by_all_workers_and_told_of_the_end() {
    for (number, way) in WAYS.into_iter().enumerate() {
        let stage = Stage::new(3, way, number);
        let mut peers: Vec<_> = (b'A'..=b'H')
            .map(|name| {
                let mut peer = stage.connect();
                peer.write_all(&[name, b'h', b'i']).unwrap();
                assert_eq!(read(&mut *peer, 3), b"+hi", "{way:?}");
                peer
            })
            .collect();
        let mut last = peers.pop().unwrap();
        drop(peers.pop());
        last.write_all(b"bye q").unwrap();
        assert_eq!(rest(&mut *last), b"bye q", "{way:?}");
        stage.stop();
        for mut peer in peers {
            assert_eq!(rest(&mut *peer), b".", "{way:?}");
        }
    }
}

#[test]
fn a_peer_that_reads_late_gets_everything_in_order() {
    for (number, way) in WAYS.into_iter().enumerate() {
        let stage = Stage::new(2, way, 100 + number);
        let mut peer = stage.connect();
        peer.write_all(b"Z").unwrap();
        assert_eq!(read(&mut *peer, 1), b"+");
        let sent: Vec<u8> = (0..900_000u32).map(|i| b'a' + (i % 13) as u8).collect();
        for size in [1, 125, 126, 70_000, 900_000, 5, 300_000] {
            peer.write_all(&sent[..size]).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            assert!(read(&mut *peer, size) == sent[..size], "{way:?}, {size} bytes");
        }
        drop(peer);
        stage.stop();
    }
}

#[test]
fn a_peer_that_is_sending_when_it_is_ended_hears_why() {
    for (number, way) in WAYS.into_iter().enumerate() {
        let stage = Stage::new(2, way, 300 + number);
        let mut peer = stage.connect();
        peer.write_all(b"Z").unwrap();
        assert_eq!(read(&mut *peer, 1), b"+");
        peer.write_all(b"wrong x").unwrap();
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(5));
            peer.write_all(&[b'y'; 5_000]).unwrap();
        }
        assert_eq!(rest(&mut *peer), b"wrong x", "{way:?}");
        drop(peer);
        stage.stop();
    }
}

#[test]
fn what_does_not_begin_as_it_has_to_costs_its_own_connection() {
    for (number, way) in
        WAYS.into_iter().enumerate().filter(|(_, way)| way.tls || way.proxy.is_some() || way.websocket)
    {
        let stage = Stage::new(1, way, 200 + number);
        let mut wrong = stage.dial();
        wrong.write_all(b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0 and more that is no handshake\r\n\r\n").unwrap();
        let answer = rest(&mut *wrong);
        match way {
            Way { proxy: Some(_), .. } => assert!(answer.is_empty()),
            Way { tls: true, .. } => assert_eq!(answer.first(), Some(&21), "an alert"),
            _ => assert!(answer.starts_with(b"HTTP/1.1 400 ")),
        }
        let mut right = stage.connect();
        right.write_all(b"Ahi").unwrap();
        assert_eq!(read(&mut *right, 3), b"+hi");
        drop(right);
        stage.stop();
    }
}

#[test]
fn a_peer_that_is_no_trusted_proxy_is_sent_away() {
    let mut config = echo::config(1, None);
    config.sockets[0].entrance.proxies = vec!["192.0.2.0/24".parse().unwrap()];
    let server = Server::start(config).unwrap();
    let mut peer = TcpStream::connect(server.addresses()[0].address.inet().unwrap()).unwrap();
    let mut byte = [0];
    let answer = peer.write_all(V1).and_then(|()| peer.read(&mut byte));
    assert!(!matches!(answer, Ok(1..)));
    assert!(server.stop());
}
