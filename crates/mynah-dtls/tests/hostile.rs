//! Peers that do not keep the rules: each case says what is answered, and that nothing is kept that should not be.

use std::time::Duration;

use mynah_dtls::{
    Alert, Certification, Datagrams, Demultiplexer, PeerAddress, SecureDatagram, Suite, Verdict,
};
use mynah_model::Instant;

use crate::path::{Fate, Path, Wallet, demultiplexer, peer, settings};

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const KEY_EXCHANGE: u8 = 16;
const PSK: u16 = 0x00A8;
const ECDSA: u16 = 0xC02B;

/// A record that is not protected, or says it is of another epoch.
pub(crate) fn record(kind: u8, epoch: u16, number: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0xFE, 0xFD];
    bytes.extend(epoch.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0, number]);
    bytes.extend((body.len() as u16).to_be_bytes());
    [bytes, body.to_vec()].concat()
}

fn number_of_24_bits(number: usize) -> [u8; 3] {
    [(number >> 16) as u8, (number >> 8) as u8, number as u8]
}

/// A piece of a message.
fn piece(kind: u8, sequence: u8, length: usize, offset: usize, body: &[u8]) -> Vec<u8> {
    let [length, offset, count] = [length, offset, body.len()].map(number_of_24_bits);
    [&[kind][..], &length, &[0, sequence], &offset, &count, body].concat()
}

/// A message in a record.
pub(crate) fn message(kind: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    record(HANDSHAKE, 0, sequence, &piece(kind, sequence, body.len(), 0, body))
}

/// The body of a hello.
#[derive(Clone)]
pub(crate) struct Hello {
    version: [u8; 2],
    pub(crate) random: [u8; 32],
    cookie: Vec<u8>,
    suites: Vec<u16>,
    compressions: Vec<u8>,
    extensions: Vec<u8>,
    tail: Vec<u8>,
}

impl Hello {
    pub(crate) fn new(suite: u16) -> Self {
        Self {
            version: [0xFE, 0xFD],
            random: [9; 32],
            cookie: Vec::new(),
            suites: vec![suite],
            compressions: vec![0],
            extensions: Vec::new(),
            tail: Vec::new(),
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut body =
            [&self.version[..], &self.random, &[0, self.cookie.len() as u8], &self.cookie].concat();
        body.extend((self.suites.len() as u16 * 2).to_be_bytes());
        self.suites.iter().for_each(|suite| body.extend(suite.to_be_bytes()));
        body.push(self.compressions.len() as u8);
        body.extend(&self.compressions);
        if !self.extensions.is_empty() {
            body.extend((self.extensions.len() as u16).to_be_bytes());
            body.extend(&self.extensions);
        }
        [body, self.tail.clone()].concat()
    }

    pub(crate) fn datagram(&self, sequence: u8) -> Vec<u8> {
        message(CLIENT_HELLO, sequence, &self.body())
    }
}

/// What a datagram leads to: the answers, and how it was judged.
pub(crate) fn give(
    server: &mut Demultiplexer,
    now: Instant,
    from: PeerAddress,
    datagram: &[u8],
) -> (Vec<Vec<u8>>, Verdict) {
    let mut out = Datagrams::default();
    let mut verdict = server.receive(now, from, datagram, &mut out);
    while let Some((_, next)) = server.work(now, &mut out) {
        verdict = next;
    }
    (out.iter().map(Vec::from).collect(), verdict)
}

/// Says hello, and again with the cookie. Returns what came of that.
pub(crate) fn greet(
    server: &mut Demultiplexer,
    now: Instant,
    from: PeerAddress,
    hello: &mut Hello,
) -> (Vec<Vec<u8>>, Verdict) {
    let first = hello.datagram(0);
    let (answers, _) = give(server, now, from, &first);
    assert!(answers.len() == 1 && answers[0].len() <= first.len(), "no more is answered than was said");
    hello.cookie = cookie(&answers[0]);
    give(server, now, from, &hello.datagram(1))
}

/// The cookie in a request to say hello again.
fn cookie(request: &[u8]) -> Vec<u8> {
    assert_eq!((request[0], request[13], &request[25..27]), (HANDSHAKE, 3, &[0xFE, 0xFF][..]));
    request[28..].to_vec()
}

fn refused(verdict: &Verdict) -> Option<Alert> {
    match verdict {
        Verdict::Refused(refusal) if !refusal.is_heard => Some(refusal.alert),
        _ => None,
    }
}

#[test]
fn a_stranger_who_says_no_hello_gets_no_answer_and_nothing_is_kept() {
    let whole = Hello::new(PSK).body();
    let with = |change: &dyn Fn(&mut Hello)| {
        let mut hello = Hello::new(PSK);
        change(&mut hello);
        hello.datagram(0)
    };
    let good = Hello::new(PSK).datagram(0);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("one byte", vec![HANDSHAKE]),
        ("half a header", good[..12].to_vec()),
        ("a record without a body", good[..13].to_vec()),
        ("a record that ends early", good[..good.len() - 1].to_vec()),
        ("a record of TLS", [&[HANDSHAKE, 3, 3], &good[3..]].concat()),
        ("no record at all", vec![0xFF; 1_200]),
        ("data that is not protected", record(23, 0, 0, b"GET")),
        ("data of an association", record(23, 1, 0, &[0; 40])),
        ("a hello of another epoch", record(HANDSHAKE, 1, 0, &good[13..])),
        ("an alert", record(21, 0, 0, &[2, 40])),
        ("a change of ciphers", record(20, 0, 0, &[1])),
        ("a kind of record that nobody knows", record(99, 0, 0, &good[13..])),
        ("an empty record", record(HANDSHAKE, 0, 0, &[])),
        ("half a message", record(HANDSHAKE, 0, 0, &good[13..20])),
        ("a request to say hello again", message(3, 0, &[0xFE, 0xFD, 1, 7])),
        ("a hello of a server", message(2, 0, &whole)),
        ("a key", message(KEY_EXCHANGE, 2, &[0, 1, b'x'])),
        ("an end without a beginning", message(20, 3, &[0; 12])),
        ("a piece of a hello", record(HANDSHAKE, 0, 0, &piece(1, 0, whole.len(), 0, &whole[..30]))),
        ("a later piece", record(HANDSHAKE, 0, 0, &piece(1, 0, whole.len(), 30, &whole[30..]))),
        ("a piece beyond the end", record(HANDSHAKE, 0, 0, &piece(1, 0, 10, 8, &whole))),
        ("an empty hello", message(CLIENT_HELLO, 0, &[])),
        ("a hello that ends in its random value", message(CLIENT_HELLO, 0, &whole[..20])),
        ("a hello that ends before its cookie", message(CLIENT_HELLO, 0, &whole[..35])),
        ("a hello that ends in its suites", message(CLIENT_HELLO, 0, &whole[..38])),
        ("a hello of DTLS 1.0", with(&|hello| hello.version = [0xFE, 0xFF])),
        ("a hello of TLS 1.2", with(&|hello| hello.version = [3, 3])),
        ("a hello with compression only", with(&|hello| hello.compressions = vec![1])),
        ("a hello without compressions", with(&|hello| hello.compressions.clear())),
        ("an extension that ends early", with(&|hello| hello.extensions = vec![0, 10, 0, 9, 0])),
        ("a list of groups that ends early", with(&|hello| hello.extensions = vec![0, 10, 0, 3, 0, 4, 0])),
        ("bytes behind the extensions", with(&|hello| hello.tail = vec![0, 0, 7])),
    ];
    for (name, datagram) in cases {
        let mut server = demultiplexer(Wallet::new(true, Certification::None));
        let (answers, verdict) = give(&mut server, Instant::ZERO, peer(1), &datagram);
        assert!(answers.is_empty() && matches!(verdict, Verdict::Ignored), "{name}");
        assert_eq!((server.half_open(), server.deadline()), (0, None), "{name}");
    }
}

// RFC 6347, section 4.2.1.
#[test]
fn a_cookie_is_good_for_one_address_one_hello_and_a_while() {
    let minute = Duration::from_secs(61);
    let mut server = demultiplexer(Wallet::new(false, Certification::None));
    let mut hello = Hello::new(PSK);
    let (answers, _) = give(&mut server, Instant::ZERO, peer(1), &hello.datagram(0));
    hello.cookie = cookie(&answers[0]);
    let later = Instant::ZERO + minute;
    let (mut other, mut cut, mut changed) = (hello.clone(), hello.clone(), hello.clone());
    other.random = [8; 32];
    cut.cookie.pop();
    changed.cookie[0] ^= 1;
    let elsewhere = PeerAddress { port: 2, ..peer(1) };
    for (name, from, hello) in [
        ("another hello", peer(1), &other),
        ("a shorter cookie", peer(1), &cut),
        ("another cookie", peer(1), &changed),
        ("another address", elsewhere, &hello),
    ] {
        let (answers, _) = give(&mut server, later, from, &hello.datagram(1));
        assert_eq!((answers[0][13], server.half_open()), (3, 0), "{name}: it is asked again");
    }
    let (_, _) = give(&mut server, later, peer(1), &hello.datagram(1));
    assert_eq!(server.half_open(), 1, "the key before is still known");
    let mut server = demultiplexer(Wallet::new(false, Certification::None));
    let (answers, _) = give(&mut server, Instant::ZERO, peer(1), &Hello::new(PSK).datagram(0));
    hello.cookie = cookie(&answers[0]);
    let (_, _) = give(&mut server, later + minute, peer(9), &hello.datagram(1));
    let (answers, _) = give(&mut server, later + minute, peer(1), &hello.datagram(1));
    assert_eq!((answers[0][13], server.half_open()), (3, 0), "the key is two minutes old");
}

#[test]
fn who_has_a_cookie_and_does_not_keep_the_rules_is_told_why_and_forgotten() {
    let long_identity = [&[0, 129][..], &[b'x'; 129]].concat();
    let cases: Vec<(&str, u16, Vec<u8>, Alert)> = vec![
        ("no identity", PSK, message(KEY_EXCHANGE, 2, &[0, 0]), Alert::ILLEGAL_PARAMETER),
        ("a long identity", PSK, message(KEY_EXCHANGE, 2, &long_identity), Alert::ILLEGAL_PARAMETER),
        ("an identity that ends early", PSK, message(KEY_EXCHANGE, 2, &[0, 9, b'x']), Alert::DECODE_ERROR),
        ("bytes behind an identity", PSK, message(KEY_EXCHANGE, 2, &[0, 1, b'x', 7]), Alert::DECODE_ERROR),
        ("an empty key exchange", PSK, message(KEY_EXCHANGE, 2, &[]), Alert::DECODE_ERROR),
        ("a signature first", PSK, message(15, 2, &[0; 8]), Alert::UNEXPECTED_MESSAGE),
        ("a certificate that nobody asked for", PSK, message(11, 2, &[0, 0, 0]), Alert::UNEXPECTED_MESSAGE),
        ("a message that nobody knows", PSK, message(99, 2, &[]), Alert::UNEXPECTED_MESSAGE),
        ("a server's message", PSK, message(14, 2, &[]), Alert::UNEXPECTED_MESSAGE),
        ("an end that is not protected", PSK, message(20, 2, &[0; 12]), Alert::UNEXPECTED_MESSAGE),
        (
            "a message that is too long",
            PSK,
            record(HANDSHAKE, 0, 2, &piece(KEY_EXCHANGE, 2, 60_000, 0, b"x")),
            Alert::HANDSHAKE_FAILURE,
        ),
        (
            "pieces that contradict each other",
            PSK,
            record(
                HANDSHAKE,
                0,
                2,
                &[piece(KEY_EXCHANGE, 2, 20, 0, b"x"), piece(KEY_EXCHANGE, 2, 21, 1, b"y")].concat(),
            ),
            Alert::ILLEGAL_PARAMETER,
        ),
        ("a share of no curve", ECDSA, message(KEY_EXCHANGE, 2, &[1, 4]), Alert::UNEXPECTED_MESSAGE),
        ("certificates that end early", ECDSA, message(11, 2, &[0, 0, 9, 0]), Alert::DECODE_ERROR),
        ("an empty certificate", ECDSA, message(11, 2, &[0, 0, 3, 0, 0, 0]), Alert::DECODE_ERROR),
        ("no certificate", ECDSA, message(11, 2, &[0, 0, 0]), Alert::HANDSHAKE_FAILURE),
        ("a bad certificate", ECDSA, message(11, 2, &[0, 0, 5, 0, 0, 2, 0, 7]), Alert::UNKNOWN_CA),
    ];
    for (name, suite, datagram, expected) in cases {
        let mut server = demultiplexer(Wallet::new(true, Certification::Required));
        let (flight, _) = greet(&mut server, Instant::ZERO, peer(1), &mut Hello::new(suite));
        assert!(!flight.is_empty() && server.half_open() == 1, "{name}");
        let (answers, verdict) = give(&mut server, Instant::ZERO, peer(1), &datagram);
        assert_eq!(refused(&verdict), Some(expected), "{name}");
        assert_eq!((server.half_open(), server.deadline()), (0, None), "{name}");
        let alert = answers.last().unwrap();
        assert_eq!((alert[0], &alert[13..]), (21, &[2, expected.0][..]), "{name}");
    }
}

#[test]
fn shares_that_are_no_points_are_refused() {
    for share in [vec![0], vec![1, 4], [&[65, 4][..], &[1; 64]].concat(), [&[65, 2][..], &[0; 64]].concat()] {
        let mut server = demultiplexer(Wallet::new(true, Certification::None));
        let _ = greet(&mut server, Instant::ZERO, peer(1), &mut Hello::new(ECDSA));
        let (_, verdict) = give(&mut server, Instant::ZERO, peer(1), &message(KEY_EXCHANGE, 2, &share));
        assert_eq!(refused(&verdict), Some(Alert::ILLEGAL_PARAMETER), "{share:?}");
    }
}

#[test]
fn a_hello_that_nobody_can_answer_is_told_so_without_being_kept() {
    let mut other_curve = Hello::new(ECDSA);
    other_curve.extensions = vec![0, 10, 0, 4, 0, 2, 0, 29];
    let mut other_scheme = Hello::new(ECDSA);
    other_scheme.extensions = vec![0, 13, 0, 4, 0, 2, 8, 4];
    let mut none = Hello::new(PSK);
    none.suites.clear();
    for mut hello in [Hello::new(0x1301), none, other_curve, other_scheme] {
        let mut server = demultiplexer(Wallet::new(true, Certification::None));
        let (_, verdict) = greet(&mut server, Instant::ZERO, peer(1), &mut hello);
        assert_eq!(refused(&verdict), Some(Alert::HANDSHAKE_FAILURE));
        assert_eq!(server.half_open(), 0);
    }
}

#[test]
fn a_record_that_the_keys_do_not_open_ends_a_handshake_and_not_an_association() {
    let mut server = demultiplexer(Wallet::new(false, Certification::None));
    let _ = greet(&mut server, Instant::ZERO, peer(1), &mut Hello::new(PSK));
    let early = give(&mut server, Instant::ZERO, peer(1), &record(HANDSHAKE, 1, 0, &[0; 40]));
    assert!(matches!(early.1, Verdict::Taken), "it waits for its keys");
    let (_, verdict) = give(&mut server, Instant::ZERO, peer(1), &message(KEY_EXCHANGE, 2, &[0, 1, b'x']));
    assert_eq!(refused(&verdict), Some(Alert::DECRYPT_ERROR));

    let mut path = Path::new(settings(&[Suite::PskGcm]), None, Wallet::new(false, Certification::None));
    path.run(&|_| Fate::Arrives);
    let association = path.established.1.as_mut().unwrap();
    let (mut plain, mut answers) = (Datagrams::default(), Datagrams::default());
    for (name, datagram) in [
        ("garbage", vec![0xFF; 100]),
        ("data that nobody sealed", record(23, 1, 9, &[0; 60])),
        ("an alert that nobody sealed", record(21, 1, 9, &[0; 26])),
        ("a plain alert", record(21, 0, 9, &[2, 40])),
        ("plain data", record(23, 0, 9, b"x")),
        ("another epoch", record(23, 2, 9, &[0; 60])),
        ("nothing", Vec::new()),
        ("a body too short for a nonce", record(23, 1, 9, &[0; 7])),
    ] {
        let opened = association.open(&datagram, &mut plain, &mut answers);
        assert_eq!((opened.is_genuine, opened.ended), (false, None), "{name}");
    }
    assert!(plain.is_empty() && answers.is_empty());
    path.talk();
}

#[test]
fn a_peer_that_gives_up_says_so_and_is_forgotten() {
    let mut server = demultiplexer(Wallet::new(false, Certification::None));
    let _ = greet(&mut server, Instant::ZERO, peer(1), &mut Hello::new(PSK));
    let (answers, verdict) = give(&mut server, Instant::ZERO, peer(1), &record(21, 0, 2, &[2, 48]));
    let Verdict::Refused(refusal) = verdict else { panic!("it goes on") };
    assert_eq!((refusal.alert, refusal.is_heard), (Alert::UNKNOWN_CA, true));
    assert!(answers.is_empty() && server.half_open() == 0);
}
