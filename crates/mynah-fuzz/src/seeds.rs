//! What a target starts from: the golden vectors, the corpus that was kept, and the inputs that once showed a fault.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::corpus::{Corpus, Input, from_hex};
use crate::mqtt_connection::MORE;
use crate::{Target, amqp_seeds};

/// The folders that inputs are kept in.
#[derive(Clone, Debug)]
pub struct Folders {
    root: PathBuf,
}

#[derive(Deserialize)]
struct Vectors {
    #[serde(default)]
    vector: Vec<Vector>,
    #[serde(default)]
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Vector {
    bytes: String,
}

/// What a client sends that is wrong, packet by packet.
#[derive(Deserialize)]
struct Case {
    sends: Vec<String>,
}

#[derive(Deserialize)]
struct CoapCases {
    case: Vec<CoapCase>,
}

/// What a client of CoAP sends that is wrong, all in one.
#[derive(Deserialize)]
struct CoapCase {
    sends: String,
}

impl Folders {
    /// The folders of the workspace that this program was built in.
    #[must_use]
    pub fn new() -> Self {
        Self { root: Path::new(env!("CARGO_MANIFEST_DIR")).join("../..") }
    }

    /// The text file with the corpus of `target`.
    #[must_use]
    pub fn corpus_file(&self, target: &Target) -> PathBuf {
        self.root.join("fuzz/corpora").join(target.name).with_extension("hex")
    }

    /// The folder with one file for each input that libFuzzer works in.
    #[must_use]
    pub fn working_folder(&self, target: &Target) -> PathBuf {
        self.root.join("fuzz/corpus").join(target.name)
    }

    /// Everything that is kept for `target`.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    pub fn inputs(&self, target: &Target) -> Result<Vec<Input>> {
        let mut corpus = self.kept(&self.corpus_file(target))?;
        let regressions = self.root.join("fuzz/regressions").join(target.name).with_extension("hex");
        for input in self.kept(&regressions)?.inputs().chain(&self.seeds(target)?) {
            corpus.insert(input.clone());
        }
        Ok(corpus.inputs().cloned().collect())
    }

    /// The corpus in a text file; empty if there is no such file.
    fn kept(&self, file: &Path) -> Result<Corpus> {
        match fs::read_to_string(file) {
            Ok(text) => Corpus::parse(&text)
                .map_err(|line| invalid(format!("{}:{line}: not hexadecimal", file.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Corpus::default()),
            Err(error) => Err(error),
        }
    }

    /// What is made for `target`, and not kept: of the golden vectors, or written here.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    pub fn seeds(&self, target: &Target) -> Result<Vec<Input>> {
        Ok(match target.name {
            "mqtt_wire" => self.packets()?,
            "mqtt_connection" => self.packets()?.iter().flat_map(|packet| connection_seeds(packet)).collect(),
            "mqtt_client" => self.packets()?.iter().flat_map(|packet| client_seeds(packet)).collect(),
            "mqtt_bridge" => self.packets()?.iter().flat_map(|packet| bridge_seeds(packet)).collect(),
            "http_paths" => HTTP_SEEDS.iter().map(|seed| seed.to_vec()).collect(),
            "stomp" => stomp_seeds(),
            "coap_wire" => {
                self.coap_cases()?.iter().flat_map(|(kind, bytes)| coap_seeds(*kind, bytes)).collect()
            }
            "coap_connection" => {
                self.coap_cases()?.iter().flat_map(|(kind, bytes)| coap_scripts(*kind, bytes)).collect()
            }
            "dtls" => dtls_seeds(),
            "websocket" => WEBSOCKET_SEEDS.iter().map(|seed| seed.to_vec()).collect(),
            "amqp_wire" => amqp_seeds::frames(),
            "amqp_connection" => amqp_seeds::connections(),
            _ => Vec::new(),
        })
    }

    /// What is sent in the cases of CoAP: over which transport, and the bytes.
    fn coap_cases(&self) -> Result<Vec<(u8, Input)>> {
        let mut all = Vec::new();
        for (kind, name) in ["udp.toml", "tcp.toml", "websocket.toml"].into_iter().enumerate() {
            let file = self.root.join("vectors/coap").join(name);
            let wrong = |what: &str| invalid(format!("{}: {what}", file.display()));
            let cases: CoapCases =
                toml::from_str(&fs::read_to_string(&file)?).map_err(|error| wrong(error.message()))?;
            for case in cases.case {
                // There are three.
                all.push((kind as u8, from_hex(&case.sends).ok_or_else(|| wrong(&case.sends))?));
            }
        }
        Ok(all)
    }

    /// The packets of the golden vectors.
    fn packets(&self) -> Result<Vec<Input>> {
        let mut files: Vec<PathBuf> = Vec::new();
        for folder in ["vectors/mqtt", "vectors/mqtt-5.0"] {
            for entry in fs::read_dir(self.root.join(folder))? {
                files.push(entry?.path());
            }
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        let mut packets = Vec::new();
        for file in files {
            let wrong = |what: &str| invalid(format!("{}: {what}", file.display()));
            let vectors: Vectors =
                toml::from_str(&fs::read_to_string(&file)?).map_err(|error| wrong(error.message()))?;
            let cases = vectors.case.into_iter().map(|case| case.sends.concat());
            for hex in vectors.vector.into_iter().map(|vector| vector.bytes).chain(cases) {
                packets.push(from_hex(&hex).ok_or_else(|| wrong(&hex))?);
            }
        }
        Ok(packets)
    }
}

impl Default for Folders {
    fn default() -> Self {
        Self::new()
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

/// A packet as the first of a connection and as one of a session that is open, read in pieces and by a script.
fn connection_seeds(packet: &[u8]) -> Vec<Input> {
    let mut seeds = Vec::new();
    // Answer the packet, deliver, wait.
    let rest = [8, 1, 10, 1, 0, 7, 0, 2, b'h', b'i', 13, 0, 9];
    for flags in [0x10, 0x11, 0x90] {
        seeds.push([&[flags, 5], packet].concat());
    }
    for more in [0x01, 0x02, 0x0E, 0x32] {
        seeds.push([&[MORE | 0x11, more, 5], packet].concat());
    }
    if let Ok(len) = u8::try_from(packet.len())
        && len < 64
    {
        for flags in [0x02, 0x03, 0x00, 0x01] {
            seeds.push([&[flags, 0, len], packet, &rest].concat());
        }
        for more in [0x01, 0x02, 0x0A] {
            seeds.push([&[MORE | 0x01, more, 0, len], packet, &rest].concat());
        }
    }
    seeds
}

/// Bytes for the decoder of their transport, and what follows the token of a datagram as options.
fn coap_seeds(kind: u8, bytes: &[u8]) -> Vec<Input> {
    let mut seeds = vec![[&[kind], bytes].concat()];
    if let Some(options) = bytes.get(4..).filter(|_| kind == 0) {
        seeds.extend([3, 4, 5, 6].map(|what| [&[what], options].concat()));
    }
    seeds
}

/// A handshake by each suite that is done, and one in which each datagram is changed, cut or repeated.
fn dtls_seeds() -> Vec<Input> {
    let carried = |change: &[u8]| [&[1][..], change, &[2], change].concat();
    let mut seeds = Vec::new();
    for suite in 0..4 {
        seeds.push([&[suite], &carried(&[7]).repeat(4)[..]].concat());
        for change in [&[0][..], &[1, 0, 30, 1], &[2, 0, 60], &[3, 3, 22, 254, 253]] {
            for place in 0..4 {
                let ways: Vec<Vec<u8>> =
                    (0..5).map(|at| carried(if at == place { change } else { &[7] })).collect();
                seeds.push([&[suite], &ways.concat()[..], &[3, 12], &carried(&[7]).repeat(3)].concat());
            }
        }
    }
    // A stranger's hello, and what is none.
    seeds.push([&[0, 0, 1, 20, 22, 254, 253][..], &[0; 17], &[3, 50]].concat());
    seeds
}

/// Bytes as one act of an association that observes a topic, with deliveries and time after it.
fn coap_scripts(kind: u8, bytes: &[u8]) -> Vec<Input> {
    let Ok(len @ ..96) = u8::try_from(bytes.len()) else { return Vec::new() };
    let observe: &[u8] = &[0x41, 1, 0, 1, 0x77, 0x60, 0x51, b't', 1, b'a'];
    let act = |bytes: &[u8]| [&[0, bytes.len() as u8], bytes].concat();
    // Deliver, wait, answer what is held, deliver, wait.
    let after = [3, 1, 5, b'h', 1, 4, 2, 3, 0, 3, b'x', 1, 9, 1, 9];
    let before = if kind == 0 { act(observe) } else { Vec::new() };
    let seed = |flags: u8| [&[kind, flags], &before[..], &[0, len], bytes, &after].concat();
    [0, 1, 2].map(seed).into()
}

/// A packet for a client of each version that was let in and has something in flight.
fn client_seeds(packet: &[u8]) -> Vec<Input> {
    let Ok(len @ ..64) = u8::try_from(packet.len()) else { return Vec::new() };
    let before = [5, 6, 7, 1, 0, 3, b'a', b'/', b'b', 0, 0, 7, 2, 0, 1, b'a', 0, 0, 8, 1, 1, b'a', 3];
    // Hear the packet twice, take what came, lose the link and come back.
    let after = [6, 6, 11, 1, 11, 2, 5, 6];
    // A client of MQTT 5.0 has three kinds of servers.
    let seed = |(flags, server): (u8, &[u8])| {
        let (connected, requests) = before.split_at(1);
        let heard = [&[0, len], packet, &[0, len], packet].concat();
        [&[flags], connected, server, requests, &heard, &after].concat()
    };
    let kinds: [(u8, &[u8]); 6] =
        [(0x01, &[]), (0x02, &[0]), (0x02, &[2]), (0x22, &[0]), (0x12, &[1]), (0x12, &[2])];
    kinds.into_iter().map(seed).collect()
}

/// A packet for a bridge of each version that was let in, has subscribed on either side, and has delivered something.
fn bridge_seeds(packet: &[u8]) -> Vec<Input> {
    let Ok(len @ ..64) = u8::try_from(packet.len()) else { return Vec::new() };
    // Every act begins with the identifier that a delivery of it has.
    let before = [0, 5, 1, 0, 6, 0, 6, 1, 8, 0, 1, 0, 1, b'x', 1, 8, 1, 2, 2, 0];
    // Hear the packet twice, answer, release, wait; lose the link and come back.
    let after = [0, 6, 0, 6, 1, 9, 0, 10, 2, 200, 0, 11, 2, 0, 5, 0, 0, 6];
    let seed =
        |flags: u8| [&[flags], &before[..], &[0, 0, len], packet, &[0, 0, len], packet, &after].concat();
    [0, 1, 5, 3].into_iter().map(seed).collect()
}

const HTTP_SEEDS: &[&[u8]] = &[
    b"\0a/b/c",
    b"\0k%C3%BCche/%2E%2E//x",
    b"\0a/%2F",
    b"\0../%zz",
    b"\x01filter=a/%2B/c&filter=%23",
    b"\x01filter=&x=1",
    b"\x02\x01\0\0\0\x17\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\x02ab\0\0\0\0",
    b"\x02\x01\0\0\0\x15\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\x01\x01\0\x03a/#",
    b"\x02\x01\0\0\0\x37\x02\x01\x09\0\0\0\0\0\0\0\x01\x02\x02\0\x01\0\0\0\0\0\0\0\x07\x01\0\0\0\0\x01a\0\0\0\x15\x01\0\x01x\x06\0\0\0\0\0\0\0\x01\x07\x08\0\x01k\0\x01v",
    b"\x03\0\x1b\x01\0\0\0\x16\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\x01a\0\0\0\0",
    b"\x03\0\x1b\x01\0\0\0\x16\x02\x01\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\x01a\0\0\0\0\x07\x02\0\0\0\x02hi",
    b"\x03\0\x29\x01\0\0\0\x37\x02\x01\x09\0\0\0\0\0\0\0\x01\x02\x02\0\x01\0\0\0\0\0\0\0\x07\x01\0\0\0\0\x01a\0\0\0\x15\x01\0\x13\x01x\x06\0\0\0\0\0\0\0\x01\x07\x08\0\x01k\0\x01v\x07\x02\0\0\0\x02hi",
];

/// Each piece of a dialogue by itself and all of it, in each version, octet by octet and in larger pieces.
fn stomp_seeds() -> Vec<Input> {
    let mut seeds = Vec::new();
    for kind in 0..3 {
        for cut in [0, 6, 200] {
            let all = STOMP_SEEDS.concat();
            seeds.push([&[0x80 | kind, cut], all.as_slice()].concat());
            seeds.push([&[kind, cut], b"CONNECT\naccept-version:1.2\n\n\0".as_slice(), &all].concat());
            for seed in STOMP_SEEDS {
                seeds.push([&[0x80 | kind, cut], *seed].concat());
            }
        }
    }
    seeds
}

const STOMP_SEEDS: &[&[u8]] = &[
    b"SUBSCRIBE\nid:1\ndestination:/topic/a.#\n\n\0",
    b"SUBSCRIBE\nid:2\ndestination:/queue/q\nack:client\nprefetch-count:1\nreceipt:s\n\n\0",
    b"SEND\ndestination:/topic/a.b\npersistent:true\nx\\c1:y\\n\nreceipt:r\n\nhello\0\n\r\n",
    b"SEND\r\ndestination:/queue/q\r\ncontent-length:3\r\n\r\na\0b\0",
    b"SEND\ndestination:/exchange/e%2Ff/k\nreply-to:/temp-queue/t\n\n?\0",
    b"BEGIN\ntransaction:t\n\n\0SEND\ndestination:/topic/a\ntransaction:t\n\n\0ACK\nid:2-1\nmessage-id:2-1\nsubscription:2\ntransaction:t\n\n\0COMMIT\ntransaction:t\nreceipt:c\n\n\0",
    b"NACK\nid:2-1\nmessage-id:2-1\nsubscription:2\n\n\0",
    b"UNSUBSCRIBE\nid:1\n\n\0",
    b"DISCONNECT\nreceipt:d\n\0",
];

const WEBSOCKET_SEEDS: &[&[u8]] = &[
    b"\0\xff\x82\x85\x01\x02\x03\x04iginn",
    b"\0\x02\x02\x81\0\0\0\0a\x89\x82\0\0\0\0hi\x80\x81\0\0\0\0b",
    b"\0\x00\x88\x82\0\0\0\0\x03\xe8",
    b"\0\x10\x88\x85\0\0\0\0\x0f\xa0bye",
    b"\0\x10\x82\xfe\0\x7e\0\0\0\0",
    b"\0\x10\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0",
    b"\0\x10\x81\x80\0\0\0\0",
    b"\x01\x00\x81\x83\0\0\0\0\xe2\x82\xac",
    b"\x01\x03\x01\x81\0\0\0\0\xe2\x80\x82\0\0\0\0\x82\xac",
    b"\x01\x10\x81\x82\0\0\0\0\xf4\x90",
    b"\x02\x07GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n\x82\x81\0\0\0\0x",
    b"\x02\xffGET /other HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\x02\x01\x10\x0c\0\x04MQTT\x04\x02",
];

#[cfg(test)]
mod tests {
    use mynah_http::wire::RequestHead;

    use super::*;

    /// A seed that is malformed from its first byte leads nowhere.
    #[test]
    fn the_heads_among_the_seeds_are_heads() {
        let mut count = 0;
        for seed in HTTP_SEEDS.iter().filter(|seed| seed[0] == 2) {
            let head = RequestHead::decode(&seed[1..], 512);
            assert!(matches!(head, Ok(Some((_, native))) if native.end == seed.len() - 1), "{seed:?}");
            count += 1;
        }
        assert_eq!(count, 3);
    }
}
