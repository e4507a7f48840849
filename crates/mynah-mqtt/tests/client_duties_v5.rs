//! What a client of MQTT 5.0 owes its server whatever its program does: pings, acknowledgements, and to take what it
//! said that it takes.

use std::num::NonZeroU16;
use std::time::Duration;

use mynah_model::{Class, Instant};
use mynah_mqtt::client::{Client, Event, Options, OptionsV5};
use mynah_mqtt::wire::properties::ConnackProperties;

use crate::client_v5::{hear, open, open_plainly, options};

const NOW: Instant = Instant::ZERO;
const PINGREQ: &[u8] = b"\xc0\0";

fn after(seconds: u64) -> Instant {
    NOW + Duration::from_secs(seconds)
}

/// What a client has written when its deadline, which is this one, has come.
fn written_at(client: &mut Client, deadline: Instant) -> Vec<u8> {
    assert_eq!(client.deadline(), Some(deadline));
    client.handle_timeout(deadline);
    client.outbound().drain()
}

//= mqtt-5.0 [MQTT-3.1.2-20] [MQTT-3.2.2-21]
#[test]
fn a_client_that_has_nothing_to_say_pings_within_its_keep_alive_or_that_of_the_server() {
    for (server_keep_alive, seconds) in [(None, 10), (Some(4), 4)] {
        let properties = ConnackProperties { server_keep_alive, ..ConnackProperties::default() };
        let mut client = open(Options { keep_alive: 10, ..options() }, properties);
        assert_eq!(written_at(&mut client, after(seconds)), PINGREQ);
        client.handle_input(after(seconds), &mut &b"\xd0\0"[..]);
        assert_eq!(written_at(&mut client, after(2 * seconds)), PINGREQ);
        client.handle_input(after(2 * seconds), &mut &b"\xd0\0"[..]);
        // What it does send takes the place of a ping.
        client.publish(after(2 * seconds + 1), "t", b"", Class::AtMostOnce, false).unwrap();
        client.outbound().drain();
        assert_eq!(written_at(&mut client, after(3 * seconds + 1)), PINGREQ);
    }
    let properties = ConnackProperties { server_keep_alive: Some(0), ..ConnackProperties::default() };
    let client = open(Options { keep_alive: 10, ..options() }, properties);
    assert_eq!(client.deadline(), None, "the server wants none");
}

//= mqtt-5.0 [MQTT-3.3.2-10]
#[test]
fn every_alias_up_to_the_client_s_maximum_is_taken() {
    let v5 = OptionsV5 { topic_alias_max: 300, ..OptionsV5::default() };
    let mut client = open(Options { v5, ..options() }, ConnackProperties::default());
    for named in [true, false] {
        for alias in 1..=300_u16 {
            let [high, low] = alias.to_be_bytes();
            let topic = [b'a' + low % 26];
            let mut packet = if named { vec![0x30, 7, 0, 1, topic[0]] } else { vec![0x30, 6, 0, 0] };
            packet.extend([3, 0x23, high, low]);
            let events = hear(&mut client, &packet);
            let [Event::Message { message, .. }] = &events[..] else { panic!("{alias}: {events:?}") };
            assert_eq!(message.topic().as_bytes(), topic);
        }
    }
}

//= mqtt-5.0 [MQTT-3.3.4-8]
#[test]
fn a_client_whose_quota_is_used_up_delays_nothing_but_publish() {
    let properties =
        ConnackProperties { receive_maximum: NonZeroU16::new(1), ..ConnackProperties::default() };
    let mut client = open(options(), properties);
    for class in [Class::ExactlyOnce, Class::AtLeastOnce] {
        client.publish(NOW, "t", b"", class, false).unwrap();
    }
    assert_eq!(client.outbound().drain(), b"\x34\x06\0\x01t\0\x01\0", "the second waits");
    client.subscribe(NOW, &[("a", Class::AtMostOnce)]).unwrap();
    assert_eq!(client.outbound().drain(), b"\x82\x07\0\x03\0\0\x01a\0");
    client.unsubscribe(NOW, &["a"]).unwrap();
    assert_eq!(client.outbound().drain(), b"\xa2\x06\0\x04\0\0\x01a");
    client.ping(NOW).unwrap();
    assert_eq!(client.outbound().drain(), PINGREQ);
    hear(&mut client, b"\x32\x06\0\x01t\0\x09\0\x34\x06\0\x01t\0\x08\0");
    assert_eq!(client.outbound().drain(), b"\x40\x02\0\x09\x50\x02\0\x08");
    hear(&mut client, b"\x62\x02\0\x08");
    assert_eq!(client.outbound().drain(), b"\x70\x02\0\x08");
    hear(&mut client, b"\x50\x02\0\x01");
    assert_eq!(client.outbound().drain(), b"\x62\x02\0\x01", "the exchange goes on");
    hear(&mut client, b"\x70\x02\0\x01");
    assert_eq!(client.outbound().drain(), b"\x32\x06\0\x01t\0\x02\0");
    client.disconnect(NOW);
    assert_eq!(client.outbound().drain(), b"\xe0\0");
}

/// It has subscribed to nothing, and its program looks at nothing.
//= mqtt-5.0 [MQTT-4.5.0-2]
#[test]
fn what_comes_is_acknowledged_whether_it_is_wanted_or_not() {
    let mut client = open_plainly();
    for (id, qos) in [(1, 1), (2, 2), (3, 1), (4, 2)] {
        drop(hear(&mut client, &[0x30 | qos << 1, 6, 0, 1, b't', 0, id, 0]));
        let first = if qos == 1 { 0x40 } else { 0x50 };
        assert_eq!(client.outbound().drain(), [first, 2, 0, id]);
    }
}

//= mqtt-5.0 [MQTT-3.2.2-17] [MQTT-3.2.2-18]
#[test]
fn a_client_gives_its_topics_the_aliases_that_the_server_takes() {
    let aliases = || Options { v5: OptionsV5 { given_aliases_max: 2, ..OptionsV5::default() }, ..options() };
    for (topic_alias_maximum, expected) in [
        (None, [&b"\x30\x09\0\x05topic\0x"[..], b"\x30\x09\0\x05topic\0x", b"\x30\x09\0\x05other\0x"]),
        (
            Some(1),
            [
                b"\x30\x0c\0\x05topic\x03\x23\0\x01x",
                b"\x30\x07\0\0\x03\x23\0\x01x",
                b"\x30\x09\0\x05other\0x",
            ],
        ),
        (
            Some(9),
            [
                b"\x30\x0c\0\x05topic\x03\x23\0\x01x",
                b"\x30\x07\0\0\x03\x23\0\x01x",
                b"\x30\x0c\0\x05other\x03\x23\0\x02x",
            ],
        ),
    ] {
        let mut client =
            open(aliases(), ConnackProperties { topic_alias_maximum, ..ConnackProperties::default() });
        for (topic, expected) in ["topic", "topic", "other"].into_iter().zip(expected) {
            client.publish(NOW, topic, b"x", Class::AtMostOnce, false).unwrap();
            assert_eq!(client.outbound().drain(), expected, "{topic_alias_maximum:?}");
        }
        if topic_alias_maximum == Some(9) {
            client.publish(NOW, "third", b"x", Class::AtMostOnce, false).unwrap();
            assert_eq!(client.outbound().drain(), b"\x30\x09\0\x05third\0x", "two topics have one");
            client.publish(NOW, "other", b"x", Class::AtLeastOnce, false).unwrap();
            assert_eq!(client.outbound().drain(), b"\x32\x09\0\0\0\x01\x03\x23\0\x02x");
        }
    }
}
