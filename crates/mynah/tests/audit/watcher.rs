//! Clients of MQTT 3.1.1 made of bytes, and one that hears every event.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::Broker;

/// A client that was let in, or was not.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// The return code of CONNACK.
    pub(crate) code: u8,
}

impl Client {
    /// Connects as a user; `keep` is whether the session stays.
    pub(crate) fn connect(broker: &Broker, id: &str, user: &str, password: &str, keep: bool) -> Self {
        let mut stream = TcpStream::connect(broker.mqtt).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&connect(id, user, password, keep)).unwrap();
        let mut connack = [0; 4];
        let count = stream.read(&mut connack).unwrap_or(0);
        Self { stream, code: if count == 4 { connack[3] } else { u8::MAX } }
    }

    pub(crate) fn publish(&mut self, qos: u8, retain: bool, topic: &str, payload: &[u8]) {
        // One that was refused may have lost its connection.
        let _ = self.stream.write_all(&publish(qos, retain, topic, payload));
    }

    /// Subscribes to one filter with QoS 1.
    pub(crate) fn subscribe(&mut self, filter: &str) {
        let body = [&[0, 9][..], &text(filter), &[1]].concat();
        self.stream.write_all(&packet(0x82, &body)).unwrap();
        self.stream.read_exact(&mut [0; 5]).unwrap();
    }
}

/// A CONNECT.
pub(crate) fn connect(id: &str, user: &str, password: &str, keep: bool) -> Vec<u8> {
    let flags = if keep { 0xC0 } else { 0xC2 };
    let head = [&text("MQTT")[..], &[4, flags, 0, 0]].concat();
    packet(0x10, &[head, text(id), text(user), text(password)].concat())
}

fn publish(qos: u8, retain: bool, topic: &str, payload: &[u8]) -> Vec<u8> {
    static LAST: Mutex<u16> = Mutex::new(0);
    let mut body = text(topic);
    if qos > 0 {
        let mut last = LAST.lock().unwrap();
        *last += 1;
        body.extend(last.to_be_bytes());
    }
    body.extend(payload);
    packet(0x30 | qos << 1 | u8::from(retain), &body)
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let (mut packet, mut length) = (vec![first], body.len());
    while length >= 128 {
        packet.push(length as u8 | 128);
        length /= 128;
    }
    packet.push(length as u8);
    packet.extend(body);
    packet
}

/// What was heard below a filter: topics with payloads.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<(String, String)>>>);

impl Heard {
    /// Hears what comes to a client from here on, until its connection ends.
    pub(crate) fn by(client: Client) -> Self {
        let heard = Self::default();
        let own = heard.clone();
        client.stream.set_read_timeout(None).unwrap();
        thread::spawn(move || own.listen(client.stream));
        heard
    }

    fn listen(&self, mut stream: TcpStream) {
        while let Some(body) = next_packet(&mut stream) {
            let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
            let (topic, payload) = body[2..].split_at(length);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            self.0.lock().unwrap().push((text(topic), text(payload)));
        }
    }

    pub(crate) fn all(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until something has come on a topic that has this in it.
    pub(crate) fn await_on(&self, topic: &str, part: &str) {
        let came = (0..400).any(|_| {
            thread::sleep(Duration::from_millis(50));
            self.0.lock().unwrap().iter().any(|(on, payload)| on == topic && payload.contains(part))
        });
        assert!(came, "{part} on {topic}, among {:?}", self.all());
    }
}

/// The body of the next packet; none when the connection has ended.
fn next_packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut byte, mut length, mut shift) = ([0], 0, 0);
    ended(stream.read_exact(&mut byte))?;
    loop {
        ended(stream.read_exact(&mut byte))?;
        length |= usize::from(byte[0] & 127) << shift;
        shift += 7;
        if byte[0] < 128 {
            break;
        }
    }
    let mut body = vec![0; length];
    ended(stream.read_exact(&mut body)).map(|()| body).filter(|body| body.len() > 2)
}

fn ended(read: std::io::Result<()>) -> Option<()> {
    match read {
        Ok(()) => Some(()),
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Another broker, which refuses who comes first and lets in who comes then.
pub(crate) fn another_broker(heard: &Heard, socket: &std::net::TcpListener) {
    for code in [5, 0] {
        let (mut stream, _) = socket.accept().unwrap();
        assert!(next_packet(&mut stream).is_some());
        stream.write_all(&[0x20, 2, 0, code]).unwrap();
        let topic = if code == 0 { "$events/login/accepted" } else { "$events/login/refused" };
        heard.await_on(topic, "\"method\":\"bridge\"");
    }
}

/// Peers that all want to be verified at once.
pub(crate) fn crowd(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut peers: Vec<_> = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.write_all(&connect("", &format!("nobody-{number}"), "MARKED-crowd", false)).unwrap();
    }
    peers
}
