//! Frames that are malformed, out of order or hostile, and the exact reaction: the message of ERROR, the header that it
//! blames, and why the connection closes. A case that must not close says so by `Stays`. Every input is heard whole and octet
//! by octet.

use mynah_model::Reason;
use mynah_stomp::{Config, Settings};

use crate::broker::Server;

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reaction {
    /// Says ERROR with this message, and closes.
    Error(&'static str),
    /// The same, with the header to blame.
    Blames(&'static str, &'static str),
    /// Writes this and goes on.
    Stays(&'static str),
}

use Reaction::{Blames, Error, Stays};

fn small() -> Config {
    let settings = Settings {
        frame_octets_max: 2_048,
        head_octets_max: 1_024,
        connect_octets_max: 256,
        headers_max: 10,
        transactions_max: 2,
        ..Settings::default()
    };
    Config::new(settings).unwrap()
}

fn open(version: &str) -> Server {
    let mut server = Server::open_with(version, small());
    server.hear("SUBSCRIBE\nid:held\ndestination:/queue/held\nack:client\n\n\0");
    server.hear("SEND\ndestination:/queue/held\n\nx\0");
    server
}

fn check(make: &dyn Fn() -> Server, input: &[u8], reaction: Reaction) {
    let shown = input.escape_ascii();
    for piece in [input.len().max(1), 1] {
        let mut server = make();
        let written: String = input.chunks(piece).map(|piece| server.hear(piece)).collect();
        let (message, header) = match reaction {
            Stays(expected) => {
                assert_eq!((written.as_str(), server.closed), (expected, None), "{shown}");
                continue;
            }
            Error(message) => (message, None),
            Blames(message, header) => (message, Some(header)),
        };
        assert!(written.contains(&format!("\nmessage:{message}\n")), "{shown}: {written}");
        let errors = written.matches("ERROR\n").count() - written.matches("x-command:ERROR\n").count();
        assert_eq!(errors, 1, "{shown}: {written}");
        let blamed = written.split_once("\nx-header:").and_then(|(_, rest)| rest.split_once('\n'));
        assert_eq!(blamed.map(|(header, _)| header), header, "{shown}: {written}");
        let close = server.closed.unwrap();
        let error = server.failure().unwrap();
        assert_eq!((close.reason, close.publish_will), (error.reason(), false), "{shown}");
        assert_ne!(close.reason, Reason::Disconnected);
        assert_eq!(
            server.hear("SEND\ndestination:/topic/a\nreceipt:1\n\n\0"),
            "",
            "{shown}: silent when closed"
        );
    }
}

fn check_first(cases: &[(&[u8], Reaction)]) {
    for (input, reaction) in cases {
        check(&|| Server::new(small()), input, *reaction);
    }
}

fn check_open(version: &str, cases: &[(&[u8], Reaction)]) {
    for (input, reaction) in cases {
        check(&|| open(version), input, *reaction);
    }
}

const COMMAND: Reaction = Error("unknown command");
const FIRST: Reaction = Error("the first frame has to be CONNECT or STOMP");
const HEART_BEAT: Reaction = Blames("header heart-beat has a value that it cannot have", "heart-beat");
const VERSION: Reaction = Blames("no protocol version in common", "accept-version");

#[test]
fn first_frames_that_are_not_connect() {
    check_first(&[
        (b"GET / HTTP/1.1\r\n", COMMAND),
        (b"\x16\x03\x01\x02\0", COMMAND),
        (b"AMQP\0\0\x09\x01", COMMAND),
        (b"\x10\x0c\0\x04MQTT", COMMAND),
        (b"\0", COMMAND),
        (b"connect\n", COMMAND),
        (b"Connect\n", COMMAND),
        (b"CONNECTX\n", COMMAND),
        (b"CONNECTEDX", COMMAND),
        (b" CONNECT\n", COMMAND),
        (b"CONNECT \n", COMMAND),
        (b"CONNECT\0", COMMAND),
        (b"CONN\n", COMMAND),
        (b"STOMP1.2\n", COMMAND),
        (b"\xff\xfe", COMMAND),
        (b"SEND\n", FIRST),
        (b"SUBSCRIBE\n", FIRST),
        (b"UNSUBSCRIBE\n", FIRST),
        (b"ACK\n", FIRST),
        (b"NACK\n", FIRST),
        (b"BEGIN\n", FIRST),
        (b"COMMIT\n", FIRST),
        (b"ABORT\n", FIRST),
        (b"DISCONNECT\n", FIRST),
        (b"CONNECTED\n", FIRST),
        (b"MESSAGE\n", FIRST),
        (b"RECEIPT\n", FIRST),
        (b"ERROR\n", FIRST),
        (b"", Stays("")),
        (b"\n\n\r\n\n", Stays("")),
        (b"CONN", Stays("")),
        (b"CONNECT\naccept-version:1.2\n", Stays("")),
    ]);
}

#[test]
fn connects_that_are_not_taken() {
    check_first(&[
        (b"CONNECT\naccept-version:2.0\n\n\0", VERSION),
        (b"CONNECT\naccept-version:\n\n\0", VERSION),
        (b"CONNECT\naccept-version:1,2\n\n\0", VERSION),
        (b"CONNECT\naccept-version:1.3,0.9\n\n\0", VERSION),
        (b"CONNECT\naccept-version:one\n\n\0", VERSION),
        (b"STOMP\naccept-version:1.2.0\n\n\0", VERSION),
        (b"CONNECT\naccept-version:9\naccept-version:1.2\n\n\0", VERSION),
        (b"CONNECT\naccept-version:1.2\nheart-beat:\n\n\0", HEART_BEAT),
        (b"CONNECT\naccept-version:1.2\nheart-beat:1\n\n\0", HEART_BEAT),
        (b"CONNECT\naccept-version:1.2\nheart-beat:1,\n\n\0", HEART_BEAT),
        (b"CONNECT\naccept-version:1.2\nheart-beat:-1,0\n\n\0", HEART_BEAT),
        (b"CONNECT\naccept-version:1.2\nheart-beat:1, 1\n\n\0", HEART_BEAT),
        (b"CONNECT\naccept-version:1.1\nheart-beat:a,b\n\n\0", HEART_BEAT),
        (b"CONNECT\naccept-version:1.2\nheart-beat:1,2,3\n\n\0", HEART_BEAT),
        (b"CONNECT\naccept-version:1.2\nheart-beat:1.5,2\n\n\0", HEART_BEAT),
        (b"CONNECT\nlogin\n\n\0", Error("header without colon")),
        (b"CONNECT\n:x\n\n\0", Error("header without name")),
        (b"CONNECT\nlogin:\xff\n\n\0", Error("headers are not UTF-8")),
        (b"CONNECT\nlogin:a\0", Error("NUL in the headers")),
        (b"CONNECT\nlog\0in:a\n\n\0", Error("NUL in the headers")),
        (b"CONNECT\nlogin:a\rb\naccept-version:1.2\n\n\0", Error("carriage return in a header")),
        (b"CONNECT\na:\nb:\nc:\nd:\ne:\nf:\ng:\nh:\ni:\nj:\nk:\n", Error("too many headers")),
        (b"CONNECT\ncontent-length:1\n\nab", Blames("no NUL behind the body", "content-length")),
        (b"CONNECT\ncontent-length:nine\n\n", Blames("content-length is not a number", "content-length")),
        (b"CONNECT\ncontent-length:300\n\n", Error("frame too large")),
    ]);
    let long = [&b"CONNECT\nlogin:"[..], &[b'x'; 242]].concat();
    check_first(&[(&long, Error("headers too large"))]);
    let body = [&b"CONNECT\n\n"[..], &[b'x'; 247]].concat();
    check_first(&[(&body, Error("frame too large"))]);
}

const DESTINATION: Reaction = Blames("destination not usable here", "destination");
const MISSING: Reaction = Blames("header destination is missing", "destination");
const TRANSACTION: Reaction = Blames("header transaction is missing", "transaction");
const UNKNOWN: Reaction = Blames("no such transaction", "transaction");
const UNEXPECTED: Reaction = Error("frame not expected from a client of this version");

/// Frames out of place, and SEND.
const SENDS: &[(&[u8], Reaction)] = &[
    (b"FETCH\n", COMMAND),
    (b"send\n", COMMAND),
    (b"SEND\0", COMMAND),
    (b"S\n", COMMAND),
    (b"\r\r", COMMAND),
    (b"CONNECT\n\n\0", Error("already connected")),
    (b"STOMP\naccept-version:1.2\n\n\0", Error("already connected")),
    (b"CONNECTED\n\n\0", UNEXPECTED),
    (b"MESSAGE\n\n\0", UNEXPECTED),
    (b"RECEIPT\nreceipt-id:1\n\n\0", UNEXPECTED),
    (b"ERROR\n\n\0", UNEXPECTED),
    (b"SEND\n\nx\0", MISSING),
    (b"SEND\nDestination:/topic/a\n\nx\0", MISSING),
    (b"SEND\ndestination:\n\nx\0", DESTINATION),
    (b"SEND\ndestination:/topic/\n\nx\0", DESTINATION),
    (b"SEND\ndestination:/queue/\n\nx\0", DESTINATION),
    (b"SEND\ndestination:nowhere\n\nx\0", DESTINATION),
    (b"SEND\ndestination:/nowhere/a\n\nx\0", DESTINATION),
    (b"SEND\ndestination:/exchange/\n\nx\0", DESTINATION),
    (b"SEND\ndestination:/queue/%00\n\nx\0", DESTINATION),
    (
        b"SEND\ndestination:a\ndestination-type:BOTH\n\nx\0",
        Blames("header destination-type has a value that it cannot have", "destination-type"),
    ),
    (b"SEND\ndestination:/topic/a\ntransaction:t\n\nx\0", UNKNOWN),
    (
        b"SEND\ndestination:/topic/a\npersistent:yes\n\nx\0",
        Blames("header persistent has a value that it cannot have", "persistent"),
    ),
    (
        b"SEND\ndestination:/topic/a\nretain:1\n\nx\0",
        Blames("header retain has a value that it cannot have", "retain"),
    ),
    (
        b"SEND\ndestination:/topic/a\npriority:high\n\nx\0",
        Blames("header priority has a value that it cannot have", "priority"),
    ),
    (
        b"SEND\ndestination:/topic/a\npriority:-1\n\nx\0",
        Blames("header priority has a value that it cannot have", "priority"),
    ),
    (
        b"SEND\ndestination:/topic/a\nexpires:soon\n\nx\0",
        Blames("header expires has a value that it cannot have", "expires"),
    ),
    (
        b"SEND\ndestination:/topic/a\nexpiration:+5\n\nx\0",
        Blames("header expiration has a value that it cannot have", "expiration"),
    ),
    (
        b"SEND\ndestination:/queue/q\nx-max-priority:0\n\nx\0",
        Blames("header x-max-priority has a value that it cannot have", "x-max-priority"),
    ),
    (b"SEND\ndestination:/topic/a\n:v\n\nx\0", Error("header without name")),
    (b"SEND\ndestination:/topic/a\nnovalue\n\nx\0", Error("header without colon")),
    (b"SEND\ndestination:/topic/\xc3\n\nx\0", Error("headers are not UTF-8")),
    (b"SEND\ndestination:/topic/a\nx\0:y\n\n\0", Error("NUL in the headers")),
    (
        b"SEND\ndestination:/topic/a\ncontent-length:0x1\n\n",
        Blames("content-length is not a number", "content-length"),
    ),
    (
        b"SEND\ndestination:/topic/a\ncontent-length:1\n\nxy",
        Blames("no NUL behind the body", "content-length"),
    ),
    (b"SEND\ndestination:/topic/a\ncontent-length:2048\n\n", Error("frame too large")),
    (b"SEND\ndestination:/topic/a\ncontent-length:18446744073709551616\n\n", Error("frame too large")),
    (b"SEND\na:\nb:\nc:\nd:\ne:\nf:\ng:\nh:\ni:\nj:\nk:\n", Error("too many headers")),
];

/// A header of RabbitMQ's, and one of ActiveMQ's.
const DELAYS: &[(&[u8], Reaction)] = &[
    (
        b"SEND\ndestination:/topic/a\nx-delay:-1\n\nx\0",
        Blames("header x-delay has a value that it cannot have", "x-delay"),
    ),
    (
        b"SEND\ndestination:/topic/a\nAMQ_SCHEDULED_DELAY:1s\n\nx\0",
        Blames("header AMQ_SCHEDULED_DELAY has a value that it cannot have", "AMQ_SCHEDULED_DELAY"),
    ),
];

/// SUBSCRIBE and UNSUBSCRIBE.
const SUBSCRIBES: &[(&[u8], Reaction)] = &[
    (b"SUBSCRIBE\nid:1\n\n\0", MISSING),
    (b"SUBSCRIBE\nid:1\ndestination:/topic/\n\n\0", DESTINATION),
    (b"SUBSCRIBE\nid:1\ndestination:/temp-topic/\n\n\0", DESTINATION),
    (b"SUBSCRIBE\nid:1\ndestination:/amq/a\n\n\0", DESTINATION),
    (
        b"SUBSCRIBE\nid:1\ndestination:/topic/a\nack:always\n\n\0",
        Blames("header ack has a value that it cannot have", "ack"),
    ),
    (
        b"SUBSCRIBE\nid:1\ndestination:/topic/a\nprefetch-count:many\n\n\0",
        Blames("header prefetch-count has a value that it cannot have", "prefetch-count"),
    ),
    (
        b"SUBSCRIBE\nid:1\ndestination:/topic/a\nactivemq.prefetchSize:-1\n\n\0",
        Blames("header activemq.prefetchSize has a value that it cannot have", "activemq.prefetchSize"),
    ),
    (
        b"SUBSCRIBE\nid:1\ndestination:/topic/a\nconsumer-window-size:-2\n\n\0",
        Blames("header consumer-window-size has a value that it cannot have", "consumer-window-size"),
    ),
    (
        b"SUBSCRIBE\nid:1\ndestination:/topic/a\nno-local:maybe\n\n\0",
        Blames("header no-local has a value that it cannot have", "no-local"),
    ),
    (
        b"SUBSCRIBE\nid:1\ndestination:/topic/a\nx-priority:a\n\n\0",
        Blames("header x-priority has a value that it cannot have", "x-priority"),
    ),
    (
        b"SUBSCRIBE\nid:1\ndestination:/queue/a\nx-stream-offset:end\n\n\0",
        Blames("header x-stream-offset has a value that it cannot have", "x-stream-offset"),
    ),
    (
        b"SUBSCRIBE\nid:1\ndestination:/topic/a\nx-mqtt-retain-handling:3\n\n\0",
        Blames("header x-mqtt-retain-handling has a value that it cannot have", "x-mqtt-retain-handling"),
    ),
    (
        b"SUBSCRIBE\nid:1\ndestination:/topic/a\ndurable:perhaps\n\n\0",
        Blames("header durable has a value that it cannot have", "durable"),
    ),
    (
        b"SUBSCRIBE\nid:1\ndestination:/topic/a\nactivemq.subscriptionName:s\n\n\0",
        Blames("header client-id is missing", "client-id"),
    ),
    (b"SUBSCRIBE\nid:held\ndestination:/topic/a\n\n\0", Blames("subscription exists already", "id")),
    (b"UNSUBSCRIBE\nid:nothing\n\n\0", Blames("no such subscription", "id")),
    (b"UNSUBSCRIBE\n\n\0", Blames("header id is missing", "id")),
];

/// Transactions, and what is odd and taken.
const OTHERS: &[(&[u8], Reaction)] = &[
    (b"BEGIN\n\n\0", TRANSACTION),
    (b"COMMIT\n\n\0", TRANSACTION),
    (b"ABORT\n\n\0", TRANSACTION),
    (b"COMMIT\ntransaction:t\n\n\0", UNKNOWN),
    (b"ABORT\ntransaction:t\n\n\0", UNKNOWN),
    (
        b"BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:t\n\n\0",
        Blames("transaction exists already", "transaction"),
    ),
    (b"BEGIN\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0", UNKNOWN),
    (
        b"BEGIN\ntransaction:a\n\n\0BEGIN\ntransaction:b\n\n\0BEGIN\ntransaction:c\n\n\0",
        Error("too many transactions"),
    ),
    // What is odd, and taken.
    (b"\n\n\n\n", Stays("")),
    (b"SEND\ndestination:/topic/a\n\n\0", Stays("")),
    (b"SEND\ndestination:/topic/a\n\0", Stays("")),
    (b"SEND\ndestination:/topic/a\nx:\n\nx\0", Stays("")),
    (b"SEND\ndestination:/topic/a\nx:y:z\n\nx\0", Stays("")),
    (b"SEND\ndestination:/topic/a\npriority:99\n\nx\0", Stays("")),
    (b"BEGIN\ntransaction:t\nreceipt:1\n\nbody\0", Stays("RECEIPT\nreceipt-id:1\n\n^@")),
    (b"BEGIN\ntransaction:t\n\n\0ABORT\ntransaction:t\nreceipt:\n\n\0", Stays("RECEIPT\nreceipt-id:\n\n^@")),
];

#[test]
fn frames_that_no_version_takes() {
    for version in ["1.0", "1.1", "1.2"] {
        check_open(version, SENDS);
        check_open(version, DELAYS);
        check_open(version, SUBSCRIBES);
        check_open(version, OTHERS);
        let id = if version == "1.2" { "id" } else { "message-id" };
        let missing = if version == "1.2" { "header id is missing" } else { "header message-id is missing" };
        check_open(version, &[(b"ACK\n\n\0", Blames(missing, id))]);
    }
}

//= stomp-1.2 [subscribe-id-unique] [unsubscribe-id] [ack-unknown]
#[test]
fn frames_that_the_later_versions_do_not_take() {
    let escape = Error("undefined escape in a header");
    let message = Error("no such message to acknowledge");
    for version in ["1.1", "1.2"] {
        check_open(
            version,
            &[
                (b"SUBSCRIBE\ndestination:/topic/a\n\n\0", Blames("header id is missing", "id")),
                (b"UNSUBSCRIBE\ndestination:/queue/held\n\n\0", Blames("header id is missing", "id")),
                (b"SEND\ndestination:/topic/a\\t\n\nx\0", escape),
                (b"SEND\ndestination:/topic/a\nx:\\\n\nx\0", escape),
                (b"SEND\ndestination:/topic/a\nx\\z:\n\nx\0", escape),
                (b"SEND\ndestination:/topic/a\nx:\\N\n\nx\0", escape),
                (b"SEND\ndestination:/topic/a\nx:\\0\n\nx\0", escape),
                (
                    b"SEND\ndestination:/topic/a\ncontent-length: 1\n\n",
                    Blames("content-length is not a number", "content-length"),
                ),
                (b"SEND\ndestination: /topic/a\n\nx\0", Blames("destination not usable here", "destination")),
                (
                    b"SUBSCRIBE\nid:2\ndestination:/topic/a\nack: client\n\n\0",
                    Blames("header ack has a value that it cannot have", "ack"),
                ),
            ],
        );
    }
    check_open(
        "1.2",
        &[
            (b"ACK\nid:\n\n\0", message),
            (b"ACK\nid:1\n\n\0", message),
            (b"ACK\nid:1-\n\n\0", message),
            (b"ACK\nid:-1\n\n\0", message),
            (b"ACK\nid:1-0\n\n\0", message),
            (b"ACK\nid:1-2\n\n\0", message),
            (b"NACK\nid:1-2\n\n\0", message),
            (b"ACK\nid:2-1\n\n\0", message),
            (b"ACK\nid:0-1\n\n\0", message),
            (b"ACK\nid:1-1-1\n\n\0", message),
            (b"ACK\nid:1-99999999999999999999\n\n\0", message),
            (b"ACK\nid:99999999999-1\n\n\0", message),
            (b"ACK\nid:+1-1\n\n\0", message),
            (b"ACK\nmessage-id:1-1\nsubscription:held\n\n\0", Blames("header id is missing", "id")),
            (
                b"NACK\nid:1-1\nrequeue:1\n\n\0",
                Blames("header requeue has a value that it cannot have", "requeue"),
            ),
            (b"ACK\nid:1-1\ntransaction:t\n\n\0", Blames("no such transaction", "transaction")),
            (b"BEGIN\ntransaction:t\n\n\0ACK\nid:1-9\ntransaction:t\n\n\0", message),
            (b"SEND\ndestination:/topic/a\nx:y\rz\n\nx\0", Error("carriage return in a header")),
            (b"SEND\r\ndestination:/topic/a\r\nx:\\q\r\n\r\nx\0", escape),
            (b"SEND\r\ndestination:/topic/a\r\n\r\nx\0", Stays("")),
            (b"ACK\nid:1-1\n\n\0ACK\nid:1-1\nreceipt:2\n\n\0", Stays("RECEIPT\nreceipt-id:2\n\n^@")),
        ],
    );
    check_open(
        "1.1",
        &[
            (b"ACK\nsubscription:held\n\n\0", Blames("header message-id is missing", "message-id")),
            (b"ACK\nid:1-1\n\n\0", Blames("header message-id is missing", "message-id")),
            (b"ACK\nmessage-id:1-9\nsubscription:held\n\n\0", message),
            (b"NACK\nmessage-id:7-1\nsubscription:held\n\n\0", message),
            (b"SEND\ndestination:/topic/a\nx:\\r\n\nx\0", escape),
            (b"SEND\ndestination:/topic/a\nx:y\r\n\nx\0", Stays("")),
        ],
    );
}

//= stomp-1.0 [subscribe-ack]
#[test]
fn frames_that_the_first_version_does_not_take() {
    check_open(
        "1.0",
        &[
            (b"NACK\nid:1-1\n\n\0", Blames("header message-id is missing", "message-id")),
            (
                b"SUBSCRIBE\ndestination:/topic/a\nack:each\n\n\0",
                Blames("header ack has a value that it cannot have", "ack"),
            ),
            (b"ACK\nmessage-id:nothing\n\n\0", Error("no such message to acknowledge")),
            (b"UNSUBSCRIBE\ndestination:/topic/none\n\n\0", Blames("no such subscription", "id")),
            (b"SEND\ndestination: /topic/a\n : x\n\nx\0", Error("header without name")),
            (b"SEND\ndestination: /topic/a \nx: \\t\n\nx\0", Stays("")),
            (
                b"SUBSCRIBE\ndestination: /topic/a\n\n\0UNSUBSCRIBE\ndestination: /topic/a\nreceipt:1\n\n\0",
                Stays("RECEIPT\nreceipt-id:1\n\n^@"),
            ),
        ],
    );
}

#[test]
fn heads_and_bodies_without_end_cost_no_more_than_is_allowed() {
    let head = [&b"SEND\nx:"[..], &[b'x'; 1_017]].concat();
    let lines = [&b"SEND\n"[..], &b"x:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(9)].concat();
    let body = [&b"SEND\ndestination:/topic/a\n\n"[..], &[b'x'; 2_021]].concat();
    assert!(lines.len() > 1_024);
    for version in ["1.0", "1.1", "1.2"] {
        check_open(
            version,
            &[
                (&head, Error("headers too large")),
                (&lines[..1_024], Error("headers too large")),
                (&body, Error("frame too large")),
            ],
        );
    }
}
