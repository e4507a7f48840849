//! What a server does when a client does as it should: opening, publishing, confirms, returns, heartbeats, good-byes.

use std::time::Duration;

use mynah_amqp::v0_9_1::framing::next_frame;
use mynah_amqp::v0_9_1::wire::{
    ContentHeader, FrameType, HEARTBEAT, LongStr, Method, PROTOCOL_HEADER, PropertiesBuilder, PropertyId,
    TableBuilder, Value, basic, channel, confirm, connection, queue,
};
use mynah_amqp::v0_9_1::{Config, Mechanism, ReplyCode, Settings};
use mynah_model::{Argument, Class, Description, Instant, Reason};
use mynah_stack::Connection;

use crate::broker::{Server, capabilities, frame, method, open_host, plain, short, start_ok, tune_ok};

/// A publication to `amq.topic`: persistent or not, in one body frame.
fn publication(channel: u16, key: &str, body: &[u8], persistent: bool, mandatory: bool) -> Vec<u8> {
    let publish =
        basic::Publish { exchange: short("amq.topic"), routing_key: short(key), mandatory, immediate: false };
    let made = PropertiesBuilder::new().octet(PropertyId::DeliveryMode, persistent.then_some(2));
    let mut out = method(channel, publish);
    ContentHeader { body_size: body.len() as u64, properties: made.as_properties() }
        .encode(channel, &mut out);
    if !body.is_empty() {
        out.extend(frame(3, channel, body));
    }
    out
}

fn confirming() -> Server {
    let mut server = Server::with_channel(&Config::default());
    assert_eq!(server.hear(&method(1, confirm::Select { nowait: false })), ["1 confirm.select-ok"]);
    server
}

//= amqp-0-9-1 [connection.start-version] [connection.start-mechanisms]
#[test]
fn the_server_says_what_it_is_and_proposes_limits() {
    let mut server = Server::new(&Config::default());
    server.hear_at(Instant::ZERO, &PROTOCOL_HEADER);
    let bytes = server.out.drain();
    let frame = next_frame(&mut &bytes[..], 8_192).unwrap().unwrap();
    let Ok(Method::ConnectionStart(start)) = Method::from_payload(frame.payload) else {
        panic!("start comes first")
    };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!((start.mechanisms, start.locales), (LongStr(b"PLAIN AMQPLAIN"), LongStr(b"en_US")));
    assert_eq!(start.server_properties.get("product"), Some(Value::LongStr(b"Mynah")));
    let Some(Value::Table(table)) = start.server_properties.get("capabilities") else { panic!("a table") };
    assert_eq!(table.get("publisher_confirms"), Some(Value::Bool(true)));
    server.hear_at(Instant::ZERO, &plain());
    let bytes = server.out.drain();
    let frame = next_frame(&mut &bytes[..], 8_192).unwrap().unwrap();
    let tune = connection::Tune { channel_max: 2_047, frame_max: 131_072, heartbeat: 60 };
    assert_eq!(Method::from_payload(frame.payload), Ok(tune.into()));
    assert_eq!(server.user, "guest");
}

#[test]
fn every_mechanism_opens_a_connection() {
    let settings = Settings { mechanisms: Mechanism::ALL.into(), ..Settings::default() };
    let config = Config::new(settings).unwrap();
    let properties = capabilities();
    let amqplain = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest";
    for (name, response) in [("PLAIN", &b"\0guest\0guest"[..]), ("AMQPLAIN", amqplain)] {
        let mut server = Server::started(&config);
        assert_eq!(server.hear(&start_ok(name, response, properties.as_table())), ["0 connection.tune"]);
        assert_eq!(server.user, "guest");
    }
    let mut server = Server::started(&config);
    let first = start_ok("SCRAM-SHA-256", b"n,,n=u,r=x", properties.as_table());
    assert_eq!(server.hear(&first), ["0 connection.secure"]);
    let answer = method(0, connection::SecureOk { response: LongStr(b"me") });
    assert_eq!(server.hear(&answer), ["0 connection.tune"]);
    let mut server = Server::started(&config);
    server.hear(&first);
    let answer = method(0, connection::SecureOk { response: LongStr(b"not me") });
    assert_eq!(server.hear(&answer), ["0 connection.close 403 10.11"]);
}

//= amqp-0-9-1 [rabbitmq.authentication-failure]
#[test]
fn a_client_that_is_refused_is_told_so_if_it_understands_it() {
    let mut server = Server::started(&Config::default());
    server.refuse_open = Some(Reason::BadCredentials);
    assert_eq!(server.hear(&plain()), ["0 connection.close 403 10.11"]);
    assert_eq!(server.hear(&method(0, connection::CloseOk {})), [""; 0]);
    assert_eq!(server.closed.map(|close| close.reason), Some(Reason::BadCredentials));
    assert_eq!(server.failure().unwrap().to_string(), "ACCESS_REFUSED - login was refused");
    let mut server = Server::started(&Config::default());
    server.refuse_open = Some(Reason::BadCredentials);
    let old = start_ok("PLAIN", b"\0guest\0guest", TableBuilder::new().as_table());
    assert_eq!(server.hear(&old), [""; 0]);
    assert_eq!(server.closed.map(|close| close.reason), Some(Reason::BadCredentials));
    let mut server = Server::started(&Config::default());
    server.refuse_open = Some(Reason::ServerBusy);
    assert_eq!(server.hear(&plain()), ["0 connection.close 320 10.11"]);
}

//= amqp-0-9-1 [2.3.7-content] [4.2.6.2-body] [2.2.4-channels]
#[test]
fn contents_of_two_channels_come_between_one_another() {
    let mut server = Server::with_channel(&Config::default());
    assert_eq!(server.hear(&method(2, channel::Open {})), ["2 channel.open-ok"]);
    let begin = |channel, size| {
        let publish = basic::Publish {
            exchange: short("amq.topic"),
            routing_key: short("a.b%2Ec"),
            ..Default::default()
        };
        let mut out = method(channel, publish);
        ContentHeader { body_size: size, properties: Default::default() }.encode(channel, &mut out);
        out
    };
    let input = [
        begin(1, 4),
        begin(2, 2),
        frame(3, 1, b"ab"),
        HEARTBEAT.to_vec(),
        frame(3, 2, b"x"),
        frame(3, 1, b"cd"),
        frame(3, 2, b"y"),
    ];
    assert_eq!(server.hear(&input.concat()), [""; 0]);
    let payloads: Vec<&[u8]> = server.published.iter().map(mynah_model::Message::payload).collect();
    assert_eq!(payloads, [b"abcd" as &[u8], b"xy"]);
    let message = &server.published[0];
    assert_eq!((message.topic().as_bytes(), message.header().class), (&b"a/b.c"[..], Class::AtMostOnce));
}

#[test]
fn properties_become_what_the_broker_goes_by() {
    let mut server = Server::with_channel(&Config::default());
    let headers = TableBuilder::new().with("x-mqtt-retain", Value::Bool(true));
    let made = PropertiesBuilder::new()
        .headers(headers.as_table())
        .octet(PropertyId::DeliveryMode, Some(2))
        .octet(PropertyId::Priority, Some(7))
        .text(PropertyId::Expiration, Some(b"1500"))
        .text(PropertyId::UserId, Some(b"guest"));
    let mut input = method(
        1,
        basic::Publish { exchange: short("amq.topic"), routing_key: short("a"), ..Default::default() },
    );
    ContentHeader { body_size: 0, properties: made.as_properties() }.encode(1, &mut input);
    assert_eq!(server.hear(&input), [""; 0]);
    let header = server.published[0].header();
    assert_eq!((header.class, header.retain, header.priority), (Class::AtLeastOnce, true, 7));
    assert_eq!(header.deadline, Some(Instant::ZERO + Duration::from_millis(1_500)));
}

//= amqp-0-9-1 [rabbitmq.confirm-order]
#[test]
fn publications_are_confirmed_together_and_as_they_went() {
    let mut server = confirming();
    let three: Vec<u8> = (0..3).flat_map(|_| publication(1, "a", b"x", true, false)).collect();
    assert_eq!(server.hear(&three), ["1 ack 3 true"]);
    // One that waits holds back only itself.
    server.holds_answers = true;
    let mixed = [publication(1, "a", b"x", true, false), publication(1, "a", b"", false, false)].concat();
    assert_eq!(server.hear(&mixed), [""; 0]);
    server.answer(Instant::ZERO, 1);
    assert_eq!(server.hear(b""), ["1 ack 5 false"]);
    server.answer(Instant::ZERO, 0);
    assert_eq!(server.hear(b""), ["1 ack 4 false"]);
    server.holds_answers = false;
    server.refuse_publish = Some(Reason::QuotaExceeded);
    assert_eq!(server.hear(&publication(1, "a", b"x", true, false)), ["1 nack 6 false"]);
}

#[test]
fn what_is_known_is_confirmed_before_anything_is_closed() {
    let one = || publication(1, "a", b"x", true, false);
    let nothing = method(1, queue::Bind::default());
    for (end, words) in [
        (frame(9, 0, b""), "0 connection.close 501 0.0"),
        (nothing, "1 channel.close 404 50.20"),
        (method(1, channel::Close::default()), "1 channel.close-ok"),
        (method(0, connection::Close::default()), "0 connection.close-ok"),
    ] {
        assert_eq!(confirming().hear(&[one(), one(), end].concat()), ["1 ack 2 true", words]);
    }
}

//= amqp-0-9-1 [basic.publish-mandatory]
#[test]
fn a_mandatory_message_that_reaches_nobody_comes_back_before_it_is_confirmed() {
    let mut server = confirming();
    server.matches = false;
    let expected = ["1 basic.return", "1 header 2", "1 body hi", "1 ack 1 false"];
    assert_eq!(server.hear(&publication(1, "a", b"hi", true, true)), expected);
    assert_eq!(server.hear(&publication(1, "a", b"hi", true, false)), ["1 ack 2 false"]);
    // A key without segments is one that nobody can want.
    assert_eq!(
        server.hear(&publication(1, "", b"", true, true)),
        ["1 basic.return", "1 header 0", "1 ack 3 false"]
    );
    server.matches = true;
    assert_eq!(server.hear(&publication(1, "a", b"hi", true, true)), ["1 ack 4 false"]);
}

//= amqp-0-9-1 [basic.publish-exchange] [channel.close-discard] [1.1-soft]
#[test]
fn a_channel_that_was_closed_passes_over_what_comes_and_can_be_opened_again() {
    let mut server = confirming();
    server.refuse_publish = Some(Reason::NotAuthorized);
    let more = [publication(1, "a", b"x", true, false), publication(1, "a", b"y", true, false)].concat();
    assert_eq!(server.hear(&more), ["1 channel.close 403 60.40"]);
    assert_eq!(server.failure().unwrap().code, ReplyCode::AccessRefused);
    assert_eq!(server.published.len(), 1);
    assert_eq!(server.hear(&method(1, channel::Close::default())), ["1 channel.close-ok"]);
    server.refuse_publish = None;
    let again = [method(1, channel::CloseOk {}), method(1, channel::Open {})].concat();
    assert_eq!(server.hear(&again), ["1 channel.open-ok"]);
    // The new channel has no confirms, and hears nothing of what the old one published.
    assert_eq!(server.hear(&publication(1, "a", b"x", true, false)), [""; 0]);
    server.refuse_publish = Some(Reason::NotFound);
    let to_nobody = publication(1, "a", b"x", false, false);
    assert_eq!(server.hear(&to_nobody), ["1 channel.close 404 60.40"]);
}

#[test]
fn an_answer_of_a_channel_that_is_gone_is_nobodys() {
    let mut server = confirming();
    server.holds_answers = true;
    assert_eq!(server.hear(&publication(1, "a", b"x", true, true)), [""; 0]);
    assert_eq!(server.hear(&method(1, channel::Close::default())), ["1 channel.close-ok"]);
    let again = [method(1, channel::Open {}), method(1, confirm::Select { nowait: true })].concat();
    assert_eq!(server.hear(&again), ["1 channel.open-ok"]);
    server.matches = false;
    server.answer(Instant::ZERO, 0);
    assert_eq!(server.hear(b""), [""; 0]);
}

#[test]
fn nothing_more_is_read_while_too_many_publications_wait() {
    let settings = Settings { publications_max: 2.try_into().unwrap(), ..Settings::default() };
    let mut server = Server::with_channel(&Config::new(settings).unwrap());
    server.holds_answers = true;
    let four: Vec<u8> = (0..4).flat_map(|_| publication(1, "a", b"x", true, false)).collect();
    server.hear(&four);
    assert_eq!(server.published.len(), 2);
    server.answer(Instant::ZERO, 1);
    server.hear(b"");
    assert_eq!(server.published.len(), 3);
}

//= amqp-0-9-1 [rabbitmq.blocked]
#[test]
fn a_client_hears_that_there_is_no_room_and_that_there_is_again() {
    let mut server = confirming();
    server.refuse_publish = Some(Reason::StorageFull);
    let two = [publication(1, "a", b"x", true, false), publication(1, "a", b"x", true, false)].concat();
    assert_eq!(server.hear(&two), ["0 connection.blocked", "1 nack 2 true"]);
    server.refuse_publish = None;
    let answers = server.hear(&publication(1, "a", b"x", true, false));
    assert_eq!(answers, ["0 connection.unblocked", "1 ack 3 false"]);
}

//= amqp-0-9-1 [channel.flow-ok]
#[test]
fn flow_is_answered() {
    let mut server = Server::with_channel(&Config::default());
    assert_eq!(server.hear(&method(1, channel::Flow { active: false })), ["1 channel.flow-ok"]);
}

#[test]
fn a_secret_is_renewed() {
    let mut server = Server::open(&Config::default());
    let renew =
        |secret| method(0, connection::UpdateSecret { new_secret: LongStr(secret), reason: short("") });
    assert_eq!(server.hear(&renew(b"new")), ["0 connection.update-secret-ok"]);
    assert_eq!(server.hear(&renew(b"wrong")), ["0 connection.close 403 0.0"]);
}

//= amqp-0-9-1 [connection.close-ok] [connection.close-discard]
#[test]
fn a_good_bye_is_answered_and_nothing_follows() {
    let mut server = Server::with_channel(&Config::default());
    let bye = [method(0, connection::Close::default()), publication(1, "a", b"x", true, false)].concat();
    assert_eq!(server.hear(&bye), ["0 connection.close-ok"]);
    let close = server.closed.unwrap();
    assert_eq!((close.reason, close.publish_will), (Reason::Disconnected, false));
    assert!(server.published.is_empty());
    // Both say good-bye at once.
    let mut server = Server::open(&Config::default());
    assert_eq!(server.hear(&frame(2, 0, b"")), ["0 connection.close 505 0.0"]);
    assert_eq!(server.hear(&method(0, connection::Close::default())), ["0 connection.close-ok"]);
    server.hear(&method(0, connection::CloseOk {}));
    assert!(server.closed.is_some());
}

//= amqp-0-9-1 [4.2.7-heartbeat] [4.2.7-silence]
#[test]
fn heartbeats_go_both_ways() {
    let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
    let mut server = Server::tuning(&Config::default());
    let tune_ok = connection::TuneOk { channel_max: 0, frame_max: 0, heartbeat: 10 };
    server.hear(&[method(0, tune_ok), open_host("/")].concat());
    assert_eq!(server.connection.deadline(), Some(at(5)));
    server.connection.handle_timeout(at(5), &mut server.out);
    assert_eq!(server.out.drain(), HEARTBEAT);
    server.hear_at(at(9), &HEARTBEAT);
    // Part of a frame is a sign of life too.
    server.hear_at(at(25), &[FrameType::Method as u8, 0, 0]);
    for seconds in [10, 15, 20, 25, 30, 35, 40] {
        server.connection.handle_timeout(at(seconds), &mut server.out);
        server.hear_at(at(seconds), b"");
        assert!(server.closed.is_none(), "{seconds}");
    }
    server.connection.handle_timeout(at(45), &mut server.out);
    server.hear_at(at(45), b"");
    assert_eq!(server.closed.map(|close| close.reason), Some(Reason::KeepAliveTimeout));
}

#[test]
fn nobody_takes_forever_to_open_or_to_leave() {
    let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
    let mut server = Server::new(&Config::default());
    assert_eq!(server.connection.deadline(), Some(at(10)));
    server.hear(&PROTOCOL_HEADER);
    server.hear(&plain());
    server.hear(&tune_ok());
    assert_eq!(server.connection.deadline(), Some(at(10)));
    server.connection.handle_timeout(at(10), &mut server.out);
    server.hear_at(at(10), b"");
    assert_eq!(server.closed.map(|close| close.reason), Some(Reason::OpeningTimeout));

    let mut server = Server::open(&Config::default());
    server.hear(&frame(2, 0, b""));
    assert_eq!(server.connection.deadline(), Some(at(5)));
    server.connection.handle_timeout(at(5), &mut server.out);
    server.hear_at(at(5), b"");
    assert_eq!(server.closed.map(|close| close.reason), Some(Reason::ProtocolViolation));
}

#[test]
fn a_server_that_stops_says_so() {
    let mut server = Server::open(&Config::default());
    server.connection.handle_shutdown(Instant::ZERO, &mut server.out);
    assert_eq!(server.hear(b""), ["0 connection.close 320 0.0"]);
    assert_eq!(server.closed.map(|close| close.reason), Some(Reason::ShuttingDown));
}

#[test]
fn where_virtual_hosts_are_tenants_a_client_is_let_in_when_it_names_one() {
    let settings = Settings { tenants: ["acme".into()].into(), ..Settings::default() };
    let config = Config::new(settings).unwrap();
    for (host, refusal, words) in [
        ("acme", None, "0 connection.open-ok"),
        ("/", None, "0 connection.open-ok"),
        ("other", None, "0 connection.close 530 10.40"),
        ("acme", Some(Reason::NotAuthorized), "0 connection.close 530 10.40"),
        ("/", Some(Reason::BadCredentials), "0 connection.close 403 10.11"),
    ] {
        let mut server = Server::tuning(&config);
        server.refuse_open = refusal;
        assert_eq!(server.user, "", "nobody was asked yet");
        assert_eq!(server.hear(&[tune_ok(), open_host(host)].concat()), [words], "{host}");
        assert_eq!(server.tenant.as_deref(), (host == "acme").then_some("acme"));
    }
}

#[test]
fn administrators_see_what_a_client_says_of_itself_and_its_channels() {
    for (text, is_kept) in [(&b"tests"[..], true), (&[b'x'; 2_000][..], false)] {
        let mut server = Server::new(&Config::default());
        server.hear(&PROTOCOL_HEADER);
        let said = TableBuilder::new().with("platform", Value::LongStr(text)).with("n", Value::I32(7));
        server.hear(&start_ok("PLAIN", b"\0guest\0guest", said.as_table()));
        server.hear(&[tune_ok(), open_host("/")].concat());
        for number in [3, 1] {
            server.hear(&method(number, channel::Open {}));
        }
        server.hear(&method(3, confirm::Select { nowait: false }));
        server.hear(&method(1, basic::Qos { prefetch_size: 0, prefetch_count: 9, global: false }));
        let Description { properties, channels } = server.connection.describe();
        let platform = (Box::from("platform"), Argument::Text("tests".into()));
        let kept = if is_kept { vec![platform, ("n".into(), Argument::Integer(7))] } else { Vec::new() };
        assert_eq!(properties, kept);
        let seen: Vec<_> = channels.iter().map(|c| (c.number, c.prefetch, c.confirms)).collect();
        assert_eq!(seen, [(1, 9, false), (3, 0, true)]);
        server.hear(&method(
            1,
            channel::Close { reply_code: 200, reply_text: short(""), class_id: 0, method_id: 0 },
        ));
        assert_eq!(server.connection.describe().channels.len(), 1);
    }
}
