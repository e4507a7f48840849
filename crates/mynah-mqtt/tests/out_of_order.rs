//! Packets that are correct and come at the wrong time, and the exact reaction: what is written, whether the connection
//! stays, whether the will is published, and what was published before. Each case is heard whole and byte by byte.

use mynah_model::{Class, Instant, Reason};
use mynah_mqtt::Config;
use mynah_stack::testing::Endpoint;

use crate::broker::{CONNACK, CONNECT, Server};

const NOW: Instant = Instant::ZERO;

/// How a case ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The connection stays.
    Stays,
    /// It closes for a reason, and the will, if there is one, is published.
    Closes(Reason),
    /// It closes, and the will is discarded.
    GoodBye,
}

use End::{Closes, GoodBye, Stays};

const VIOLATION: End = Closes(Reason::ProtocolViolation);

/// What comes, what is written, how many messages the client has published then, and how it ends.
type Case = (&'static [&'static [u8]], &'static [&'static [u8]], usize, End);

const CONNECT_WITH_WILL: &[u8] = b"\x10\x13\0\x04MQTT\x04\x06\0\x0a\0\x01p\0\x01t\0\x01m";
const PINGREQ: &[u8] = b"\xc0\0";
const PINGRESP: &[u8] = b"\xd0\0";
const DISCONNECT: &[u8] = b"\xe0\0";
const SUBSCRIBE: &[u8] = b"\x82\x06\0\x07\0\x01a\x01";
const SUBACK: &[u8] = b"\x90\x03\0\x07\x01";
const UNSUBSCRIBE: &[u8] = b"\xa2\x05\0\x07\0\x01a";
const UNSUBACK: &[u8] = b"\xb0\x02\0\x07";
const PUBLISH_0: &[u8] = b"\x30\x03\0\x01b";
const PUBLISH_1: &[u8] = b"\x32\x06\0\x01b\0\x07x";
const PUBLISH_1_AGAIN: &[u8] = b"\x3a\x06\0\x01b\0\x07x";
const PUBLISH_2: &[u8] = b"\x34\x06\0\x01b\0\x07x";
const PUBLISH_2_AGAIN: &[u8] = b"\x3c\x06\0\x01b\0\x07x";
const PUBLISH_2_OTHER: &[u8] = b"\x34\x06\0\x01b\0\x08y";
const PUBACK: &[u8] = b"\x40\x02\0\x07";
const PUBREC: &[u8] = b"\x50\x02\0\x07";
const PUBREL: &[u8] = b"\x62\x02\0\x07";
const PUBCOMP: &[u8] = b"\x70\x02\0\x07";
const PUBREC_8: &[u8] = b"\x50\x02\0\x08";
const PUBREL_8: &[u8] = b"\x62\x02\0\x08";
const PUBCOMP_8: &[u8] = b"\x70\x02\0\x08";

pub(crate) fn hear(server: &mut Server, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut unread = Vec::new();
    for piece in bytes.chunks(piece) {
        unread.extend_from_slice(piece);
        let mut input = unread.as_slice();
        server.handle_input(NOW, &mut input);
        unread = input.to_vec();
    }
    server.out.drain()
}

fn check(make: fn() -> Server, has_will: bool, cases: &[Case]) {
    for (at, (input, expected, published, end)) in cases.iter().enumerate() {
        let (bytes, expected) = (input.concat(), expected.concat());
        for piece in [bytes.len(), 1] {
            let shown = format!("case {at}, {}, in pieces of {piece}", bytes.escape_ascii());
            let mut server = make();
            assert_eq!(hear(&mut server, &bytes, piece), expected, "{shown}: written");
            assert_eq!(server.published.len(), *published, "{shown}: published");
            let reason = server.closed.map(|close| close.reason);
            match *end {
                Stays => {
                    assert_eq!((reason, server.hear(NOW, PINGREQ)), (None, PINGRESP.to_vec()), "{shown}");
                }
                Closes(expected) => {
                    assert_eq!((reason, server.will_published), (Some(expected), has_will), "{shown}");
                }
                GoodBye => {
                    assert_eq!(
                        (reason, server.will_published),
                        (Some(Reason::Disconnected), false),
                        "{shown}"
                    );
                }
            }
            if *end != Stays {
                assert_eq!(
                    server.hear(NOW, &[CONNECT, PINGREQ].concat()),
                    b"",
                    "{shown}: silent when closed"
                );
            }
        }
    }
}

fn fresh() -> Server {
    Server::new(&Config::default(), NOW)
}

/// An open connection whose client has a will.
fn open() -> Server {
    let mut server = fresh();
    assert_eq!(server.hear(NOW, CONNECT_WITH_WILL), CONNACK);
    server
}

/// The same with three deliveries under way: 1 of QoS 1, 2 of QoS 2, and 3 of QoS 2 that the client has received.
fn receiving() -> Server {
    let mut server = open();
    server.hear(NOW, b"\x82\x08\0\x01\0\x03s/#\x02");
    server.publish_from_elsewhere(NOW, b"s/a", b"", Class::AtLeastOnce);
    server.publish_from_elsewhere(NOW, b"s/a", b"", Class::ExactlyOnce);
    server.publish_from_elsewhere(NOW, b"s/a", b"", Class::ExactlyOnce);
    server.hear(NOW, b"\x50\x02\0\x03");
    assert_eq!(server.unsettled(), 3);
    server
}

/// Also a CONNECT that follows is not answered.
//= mqtt-3.1.1 [MQTT-3.1.0-1]
#[test]
fn packets_before_connect() {
    let packets = [
        PINGREQ,
        PINGRESP,
        DISCONNECT,
        SUBSCRIBE,
        SUBACK,
        UNSUBSCRIBE,
        UNSUBACK,
        PUBLISH_0,
        PUBLISH_1,
        PUBLISH_2,
        PUBACK,
        PUBREC,
        PUBREL,
        PUBCOMP,
        CONNACK,
    ];
    for packet in packets {
        for input in [packet.to_vec(), [packet, CONNECT].concat()] {
            let mut server = fresh();
            assert_eq!(server.hear(NOW, &input), b"");
            assert_eq!(server.closed.unwrap().reason, Reason::ProtocolViolation);
            assert!(server.published.is_empty() && server.last_open.is_none());
        }
    }
}

/// Packets behind CONNECT in the same read.
//= mqtt-3.1.1 [MQTT-3.1.4-5]
#[test]
fn packets_right_behind_connect() {
    check(
        fresh,
        false,
        &[
            (&[CONNECT, PINGREQ], &[CONNACK, PINGRESP], 0, Stays),
            (&[CONNECT, SUBSCRIBE, PUBLISH_1], &[CONNACK, SUBACK, PUBACK], 1, Stays),
            (&[CONNECT, PUBLISH_0, PUBLISH_2, PUBREL], &[CONNACK, PUBREC, PUBCOMP], 2, Stays),
            (&[CONNECT, CONNECT], &[CONNACK], 0, VIOLATION),
            (&[CONNECT, PUBLISH_1, CONNECT, PUBLISH_1], &[CONNACK, PUBACK], 1, VIOLATION),
            (&[CONNECT, DISCONNECT], &[CONNACK], 0, GoodBye),
            (&[CONNECT, DISCONNECT, CONNECT], &[CONNACK], 0, GoodBye),
            (&[CONNECT, DISCONNECT, PUBLISH_1], &[CONNACK], 0, GoodBye),
            (&[CONNECT, b"\xf0\0"], &[CONNACK], 0, VIOLATION),
            (&[CONNECT, CONNACK], &[CONNACK], 0, VIOLATION),
        ],
    );
}

/// After a refusal nothing is read.
//= mqtt-3.1.1 [MQTT-3.1.4-1] [MQTT-3.1.4-5] [MQTT-3.2.2-5]
#[test]
fn packets_behind_a_connect_that_is_refused() {
    const BAD_LEVEL: &[u8] = b"\x10\x0d\0\x04MQTT\x03\x02\0\x0a\0\x01p";
    const NO_NAME: &[u8] = b"\x10\x0c\0\x04MQTT\x04\0\0\x0a\0\0";
    const RESERVED_FLAG: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x03\0\x0a\0\x01p";
    check(
        fresh,
        false,
        &[
            (&[BAD_LEVEL, CONNECT], &[b"\x20\x02\0\x01"], 0, VIOLATION),
            (&[BAD_LEVEL, PUBLISH_1], &[b"\x20\x02\0\x01"], 0, VIOLATION),
            (&[NO_NAME, CONNECT], &[b"\x20\x02\0\x02"], 0, Closes(Reason::ClientIdRefused)),
            (&[NO_NAME, PINGREQ], &[b"\x20\x02\0\x02"], 0, Closes(Reason::ClientIdRefused)),
            (&[RESERVED_FLAG, CONNECT], &[], 0, VIOLATION),
            (&[RESERVED_FLAG, DISCONNECT], &[], 0, VIOLATION),
        ],
    );
}

//= mqtt-3.1.1 [MQTT-3.1.0-2] [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.14.4-3]
#[test]
fn ends_that_come_too_early_or_twice() {
    check(
        open,
        true,
        &[
            (&[CONNECT], &[], 0, VIOLATION),
            (&[CONNECT_WITH_WILL], &[], 0, VIOLATION),
            (&[PINGREQ, CONNECT, PINGREQ], &[PINGRESP], 0, VIOLATION),
            (&[SUBSCRIBE, CONNECT], &[SUBACK], 0, VIOLATION),
            (&[DISCONNECT], &[], 0, GoodBye),
            (&[DISCONNECT, DISCONNECT], &[], 0, GoodBye),
            (&[DISCONNECT, PINGREQ], &[], 0, GoodBye),
            (&[DISCONNECT, PUBLISH_0, PUBLISH_1], &[], 0, GoodBye),
            (&[DISCONNECT, b"\xf0\0"], &[], 0, GoodBye),
            (&[PINGREQ, DISCONNECT], &[PINGRESP], 0, GoodBye),
            (&[PUBLISH_2, DISCONNECT, PUBREL], &[PUBREC], 1, GoodBye),
            (&[b"\xe0\x01\0"], &[], 0, VIOLATION),
            (&[b"\xe1\0"], &[], 0, VIOLATION),
        ],
    );
}

/// What came before the fault is answered, what comes after it is not read.
//= mqtt-3.1.1 [MQTT-4.8.0-1]
#[test]
fn a_fault_in_the_middle() {
    check(
        open,
        true,
        &[
            (&[PUBLISH_1, b"\xf0\0"], &[PUBACK], 1, VIOLATION),
            (&[b"\xf0\0", PUBLISH_1], &[], 0, VIOLATION),
            (&[PUBLISH_0, CONNACK, PUBLISH_0], &[], 1, VIOLATION),
            (&[SUBSCRIBE, SUBACK], &[SUBACK], 0, VIOLATION),
            (&[UNSUBSCRIBE, UNSUBACK], &[UNSUBACK], 0, VIOLATION),
            (&[PINGREQ, PINGRESP, PINGREQ], &[PINGRESP], 0, VIOLATION),
            (&[PUBLISH_2, b"\x34\x05\0\x01b\0\0", PUBREL], &[PUBREC], 1, VIOLATION),
            (&[PUBLISH_2, PUBREL, b"\x60\x02\0\x07"], &[PUBREC, PUBCOMP], 1, VIOLATION),
            (&[PINGREQ, b"\x30\xff\xff\xff\x7f"], &[PINGRESP], 0, Closes(Reason::TooLarge)),
        ],
    );
}

/// What a client publishes.
//= mqtt-3.1.1 [MQTT-4.3.3-2]
#[test]
fn exchanges_of_the_client_in_another_order() {
    check(
        open,
        true,
        &[
            (&[PUBREL], &[PUBCOMP], 0, Stays),
            (&[PUBREL, PUBREL], &[PUBCOMP, PUBCOMP], 0, Stays),
            (&[PUBREL, PUBLISH_2], &[PUBCOMP, PUBREC], 1, Stays),
            (&[PUBLISH_2, PUBREL, PUBREL], &[PUBREC, PUBCOMP, PUBCOMP], 1, Stays),
            (&[PUBLISH_2, PUBLISH_2_AGAIN], &[PUBREC, PUBREC], 1, Stays),
            (&[PUBLISH_2_AGAIN, PUBLISH_2_AGAIN, PUBLISH_2_AGAIN], &[PUBREC, PUBREC, PUBREC], 1, Stays),
            (&[PUBLISH_2, PUBLISH_2], &[PUBREC, PUBREC], 1, Stays),
            (&[PUBLISH_2, PUBLISH_2, PUBLISH_2], &[PUBREC, PUBREC], 1, VIOLATION),
            (&[PUBLISH_2, PUBLISH_1, PUBREL], &[PUBREC, PUBACK, PUBCOMP], 2, Stays),
            (&[PUBLISH_2, PUBREL, PUBLISH_2, PUBREL], &[PUBREC, PUBCOMP, PUBREC, PUBCOMP], 2, Stays),
            (&[PUBLISH_2, PUBREL, PUBLISH_2_AGAIN], &[PUBREC, PUBCOMP, PUBREC], 2, Stays),
            (&[PUBLISH_2, PUBREL_8, PUBREL], &[PUBREC, PUBCOMP_8, PUBCOMP], 1, Stays),
            (
                &[PUBLISH_2, PUBLISH_2_OTHER, PUBREL_8, PUBREL],
                &[PUBREC, PUBREC_8, PUBCOMP_8, PUBCOMP],
                2,
                Stays,
            ),
            (&[PUBLISH_1, PUBLISH_1_AGAIN], &[PUBACK, PUBACK], 2, Stays),
            (&[PUBLISH_1, PUBREL], &[PUBACK, PUBCOMP], 1, Stays),
            (&[PUBLISH_2, SUBSCRIBE, UNSUBSCRIBE, PUBREL], &[PUBREC, SUBACK, UNSUBACK, PUBCOMP], 1, Stays),
        ],
    );
}

#[test]
fn requests_that_are_repeated() {
    check(
        open,
        true,
        &[
            (&[SUBSCRIBE, SUBSCRIBE], &[SUBACK, SUBACK], 0, Stays),
            (&[SUBSCRIBE, UNSUBSCRIBE], &[SUBACK, UNSUBACK], 0, Stays),
            (&[UNSUBSCRIBE, UNSUBSCRIBE], &[UNSUBACK, UNSUBACK], 0, Stays),
            (&[UNSUBSCRIBE, SUBSCRIBE], &[UNSUBACK, SUBACK], 0, Stays),
            (&[PINGREQ, PINGREQ, PINGREQ], &[PINGRESP, PINGRESP, PINGRESP], 0, Stays),
        ],
    );
}

/// Acknowledgements of deliveries that were never made: perhaps of those before a session was lost.
#[test]
fn acknowledgements_of_nothing() {
    check(
        open,
        true,
        &[
            (&[PUBACK], &[], 0, Stays),
            (&[PUBCOMP], &[], 0, Stays),
            (&[PUBREC], &[PUBREL], 0, Stays),
            (&[PUBREC, PUBREC], &[PUBREL, PUBREL], 0, Stays),
            (&[PUBREC, PUBCOMP, PUBACK], &[PUBREL], 0, Stays),
        ],
    );
}

/// Acknowledgements of deliveries, in their order and in others.
//= mqtt-3.1.1 [MQTT-4.3.3-1]
#[test]
fn acknowledgements_of_another_kind_or_in_another_order() {
    check(
        receiving,
        true,
        &[
            (&[b"\x40\x02\0\x01"], &[], 0, Stays),
            (&[b"\x40\x02\0\x01", b"\x40\x02\0\x01"], &[], 0, Stays),
            (&[b"\x50\x02\0\x01"], &[], 0, VIOLATION),
            (&[b"\x70\x02\0\x01"], &[], 0, VIOLATION),
            (&[b"\x40\x02\0\x02"], &[], 0, VIOLATION),
            (&[b"\x70\x02\0\x02"], &[], 0, VIOLATION),
            (&[b"\x50\x02\0\x02"], &[b"\x62\x02\0\x02"], 0, Stays),
            (&[b"\x50\x02\0\x02", b"\x50\x02\0\x02"], &[b"\x62\x02\0\x02", b"\x62\x02\0\x02"], 0, Stays),
            (&[b"\x50\x02\0\x02", b"\x70\x02\0\x02"], &[b"\x62\x02\0\x02"], 0, Stays),
            (&[b"\x50\x02\0\x02", b"\x70\x02\0\x02", b"\x70\x02\0\x02"], &[b"\x62\x02\0\x02"], 0, Stays),
            (
                &[b"\x50\x02\0\x02", b"\x70\x02\0\x02", b"\x50\x02\0\x02"],
                &[b"\x62\x02\0\x02", b"\x62\x02\0\x02"],
                0,
                Stays,
            ),
            (&[b"\x50\x02\0\x02", b"\x40\x02\0\x02"], &[b"\x62\x02\0\x02"], 0, VIOLATION),
            (&[b"\x40\x02\0\x03"], &[], 0, VIOLATION),
            (&[b"\x50\x02\0\x03"], &[b"\x62\x02\0\x03"], 0, Stays),
            (&[b"\x70\x02\0\x03"], &[], 0, Stays),
            (&[b"\x70\x02\0\x03", b"\x50\x02\0\x02", b"\x40\x02\0\x01"], &[b"\x62\x02\0\x02"], 0, Stays),
            (&[b"\x40\x02\0\x04"], &[], 0, Stays),
            // The client's own identifiers are others.
            (&[b"\x62\x02\0\x02"], &[b"\x70\x02\0\x02"], 0, Stays),
            (
                &[b"\x34\x06\0\x01b\0\x02x", b"\x62\x02\0\x02"],
                &[b"\x50\x02\0\x02", b"\x70\x02\0\x02"],
                1,
                Stays,
            ),
        ],
    );
}
