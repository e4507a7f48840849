//! The client of MQTT 5.0 against a scripted server: exact bytes, statement by statement.

use std::num::NonZeroU16;
use std::time::Duration;

use mynah_model::{Class, Instant, SubscriptionId};
use mynah_mqtt::client::{
    Authentication, Client, Ending, Event, LastWill, Leave, MessageProperties, Misuse, Options, OptionsV5,
    Publication, Subscription, UserPairs,
};
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::wire::properties::{
    AuthProperties, ConnackProperties, DisconnectProperties, Property, SubackProperties,
};
use mynah_mqtt::wire::{
    Auth, ConnackV5, Connect, DisconnectV5, PacketId, ReasonCode, RetainHandling, SubackV5, Subscribe,
    TextRule,
};
use mynah_mqtt::{Error, Refused, Version, Violation, mapping};

pub(crate) const NOW: Instant = Instant::ZERO;
pub(crate) const RULE: TextRule = TextRule::AcceptDiscouraged;

pub(crate) fn options() -> Options {
    Options { version: Version::V5, ..Options::new("c") }
}

fn persistent() -> Options {
    let v5 = OptionsV5 { session_expiry: 60, ..OptionsV5::default() };
    Options { clean_session: false, v5, ..options() }
}

pub(crate) fn connack(session_present: bool, properties: ConnackProperties<'_>) -> Vec<u8> {
    let mut packet = Vec::new();
    let connack = ConnackV5 { session_present, reason_code: ReasonCode::Success, properties };
    assert!(connack.encode(usize::MAX, &mut packet));
    packet
}

pub(crate) fn hear(client: &mut Client, bytes: &[u8]) -> Vec<Event> {
    client.handle_input(NOW, &mut &bytes[..]);
    std::iter::from_fn(|| client.poll_event()).collect()
}

/// A client that a server with these properties has let in, with nothing unread.
pub(crate) fn open(options: Options, properties: ConnackProperties<'_>) -> Client {
    let mut client = Client::new(options).unwrap();
    client.connect(NOW);
    client.outbound().drain();
    let events = hear(&mut client, &connack(false, properties));
    assert!(matches!(events[..], [Event::Connected { session_present: false, .. }]), "{events:?}");
    assert!(client.outbound().is_empty());
    client
}

pub(crate) fn open_plainly() -> Client {
    open(options(), ConnackProperties::default())
}

fn ending(events: &[Event]) -> Option<Ending> {
    events.iter().find_map(|event| match event {
        Event::Closed { ending, .. } => Some(*ending),
        _ => None,
    })
}

pub(crate) fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

//= mqtt-5.0 [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-3.1.2-16] [MQTT-3.1.2-18]
#[test]
fn connect_says_all_that_the_options_say() {
    let user: UserPairs = vec![("k".into(), "v".into())];
    let properties = MessageProperties {
        is_text: true,
        expiry: Some(3),
        content_type: Some("t".into()),
        response_topic: Some("r".into()),
        correlation: Some(b"d"[..].into()),
        user: user.clone(),
    };
    let v5 = OptionsV5 {
        session_expiry: 7,
        receive_max: NonZeroU16::new(9).unwrap(),
        topic_alias_max: 5,
        request_response_information: true,
        request_problem_information: false,
        user,
        authentication: Some(Authentication { method: "m".into(), data: Some(b"x"[..].into()) }),
        ..OptionsV5::default()
    };
    let will = Some(LastWill { delay: 4, properties, ..LastWill::new("gone", b"bye") });
    let password = Some(b"p"[..].into());
    let mut client =
        Client::new(Options { v5, will, password, packet_bytes_max: 1_000, ..options() }).unwrap();
    client.connect(NOW);
    let packet = client.outbound().drain();
    let unit = next_unit(&mut packet.as_slice(), Version::V5, packet.len()).unwrap().unwrap();
    let connect = Connect::decode(unit.flags, unit.body, RULE).unwrap();
    let said = connect.properties;
    assert_eq!(said.session_expiry_interval, Some(7));
    assert_eq!(said.receive_maximum.map(NonZeroU16::get), Some(9));
    assert_eq!(said.maximum_packet_size.map(std::num::NonZero::get), Some(1_000));
    assert_eq!((said.topic_alias_maximum, said.request_problem_information), (Some(5), Some(false)));
    assert_eq!(said.request_response_information, Some(true));
    assert_eq!((said.authentication_method, said.authentication_data), (Some("m"), Some(&b"x"[..])));
    assert!(said.user.texts().eq([("k", "v")]));
    let will = connect.will.unwrap();
    let said = will.properties;
    assert_eq!((will.topic.as_bytes(), will.message), (&b"gone"[..], &b"bye"[..]));
    assert_eq!((said.will_delay_interval, said.message_expiry_interval), (Some(4), Some(3)));
    assert_eq!((said.content_type, said.response_topic), (Some("t"), Some("r")));
    assert_eq!((said.correlation_data, said.payload_format_indicator), (Some(&b"d"[..]), Some(true)));
    assert!(said.user.texts().eq([("k", "v")]));
    assert_eq!((connect.user_name, connect.password), (None, Some(&b"p"[..])));
}

#[test]
fn connect_without_wishes_has_no_properties() {
    let mut client = Client::new(options()).unwrap();
    client.connect(NOW);
    assert_eq!(client.outbound().drain(), b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01c");
}

//= mqtt-5.0 [MQTT-3.2.2-11] [MQTT-3.2.2-14] [MQTT-3.2.2-15] [MQTT-3.1.2-24]
#[test]
fn what_the_server_does_not_take_is_not_sent() {
    let properties = ConnackProperties {
        maximum_qos: Some(true),
        retain_available: Some(false),
        maximum_packet_size: std::num::NonZeroU32::new(20),
        wildcard_subscription_available: Some(false),
        subscription_identifier_available: Some(false),
        shared_subscription_available: Some(false),
        ..ConnackProperties::default()
    };
    let mut client = open(options(), properties);
    let once = Class::AtMostOnce;
    let number = SubscriptionId::new(1);
    let plain = [Subscription::new("a", once)];
    for (misuse, code) in [
        (client.publish(NOW, "a", b"", Class::ExactlyOnce, false).err(), ReasonCode::QosNotSupported),
        (client.publish(NOW, "a", b"", once, true).err(), ReasonCode::RetainNotSupported),
        (client.publish(NOW, "a", &[0; 15], once, false).err(), ReasonCode::PacketTooLarge),
        (client.subscribe(NOW, &[("abcdefghijklmno", once)]).err(), ReasonCode::PacketTooLarge),
        (client.unsubscribe(NOW, &["abcdefghijklmno"]).err(), ReasonCode::PacketTooLarge),
        (client.subscribe(NOW, &[("+", once)]).err(), ReasonCode::WildcardSubscriptionsNotSupported),
        (client.subscribe(NOW, &[("$share/g/a", once)]).err(), ReasonCode::SharedSubscriptionsNotSupported),
        (
            client.subscribe_with(NOW, &plain, number, &UserPairs::new()).err(),
            ReasonCode::SubscriptionIdentifiersNotSupported,
        ),
    ] {
        assert_eq!(misuse, Some(Misuse::NotTaken(code)));
    }
    let leave = Leave { session_expiry: Some(0), ..Leave::default() };
    assert!(client.outbound().is_empty() && client.in_flight() == 0);
    client.publish(NOW, "a", &[0; 14], once, false).unwrap();
    assert_eq!(client.outbound().drain().len(), 20);
    client.leave(NOW, &leave).unwrap();
    assert_eq!(client.outbound().drain(), b"\xe0\x07\0\x05\x11\0\0\0\0");
}

/// Who does not take an acknowledgement cannot be talked to.
#[test]
fn a_server_that_takes_no_acknowledgement_is_left() {
    let mut client = Client::new(options()).unwrap();
    client.connect(NOW);
    let maximum_packet_size = std::num::NonZeroU32::new(4);
    let events =
        hear(&mut client, &connack(false, ConnackProperties { maximum_packet_size, ..Default::default() }));
    assert_eq!(ending(&events), Some(Ending::Failed(Refused::PacketTooLarge.into())));
}

//= mqtt-5.0 [MQTT-3.1.2-21] [MQTT-3.1.3-6] [MQTT-3.2.2-21]
#[test]
fn the_server_chooses_the_keep_alive_and_the_identifier() {
    let properties = ConnackProperties {
        server_keep_alive: Some(5),
        assigned_client_identifier: Some("given"),
        ..ConnackProperties::default()
    };
    let mut client = open(Options { client_id: "".into(), ..options() }, properties);
    assert_eq!(client.deadline(), Some(NOW + Duration::from_secs(5)));
    assert_eq!(client.client_id(), "given");
    client.connect(NOW);
    assert!(client.outbound().drain().ends_with(b"\0\x05given"));
    assert_eq!(client.deadline(), Some(NOW + Duration::from_secs(10)));
}

//= mqtt-5.0 [MQTT-3.2.2-4]
#[test]
fn a_session_that_was_to_be_discarded_ends_the_connection() {
    let mut client = Client::new(options()).unwrap();
    client.connect(NOW);
    client.outbound().drain();
    let events = hear(&mut client, &connack(true, ConnackProperties::default()));
    assert_eq!(ending(&events), Some(Ending::Failed(Violation::UnexpectedSession.into())));
    assert_eq!(client.outbound().drain(), b"\xe0\x01\x82");
}

//= mqtt-5.0 [MQTT-3.2.2-5] [MQTT-4.4.0-1] [MQTT-4.1.0-1]
#[test]
fn a_session_goes_on_or_begins_anew_as_the_server_says() {
    for (present, expected) in
        [(true, &b"\x62\x02\0\x01\x3a\x06\0\x01b\0\x02\0"[..]), (false, b"\x32\x06\0\x01b\0\x02\0")]
    {
        let mut client = open(persistent(), ConnackProperties::default());
        client.publish(NOW, "a", b"", Class::ExactlyOnce, false).unwrap();
        client.publish(NOW, "b", b"", Class::AtLeastOnce, false).unwrap();
        hear(&mut client, b"\x50\x02\0\x01");
        client.handle_end();
        client.connect(NOW);
        client.outbound().drain();
        let events = hear(&mut client, &connack(present, ConnackProperties::default()));
        assert_eq!(client.outbound().drain(), expected);
        let over = events
            .iter()
            .any(|event| matches!(event, Event::Acknowledged { id: over, .. } if *over == id(1)));
        assert_eq!(over, !present);
    }
}

//= mqtt-5.0 [MQTT-4.3.3-4] [MQTT-4.13.2-1]
#[test]
fn refusals_end_publications_and_say_why() {
    let mut client = open_plainly();
    client.publish(NOW, "a", b"", Class::AtLeastOnce, false).unwrap();
    client.publish(NOW, "a", b"", Class::ExactlyOnce, false).unwrap();
    client.outbound().drain();
    let events = hear(&mut client, b"\x40\x03\0\x01\x97\x50\x0a\0\x02\x87\x06\x1f\0\x03why");
    let [
        Event::Acknowledged { reason_code: ReasonCode::QuotaExceeded, .. },
        Event::Acknowledged { id: second, reason_code: ReasonCode::NotAuthorized, properties },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*second, id(2));
    assert!(properties.section().iter().eq([Property::ReasonString("why")]));
    assert!(client.outbound().is_empty() && client.in_flight() == 0);
}

//= mqtt-5.0 [MQTT-4.3.3-3] [MQTT-4.3.3-11]
#[test]
fn an_exchange_that_is_not_known_is_said_not_to_be() {
    let mut client = open_plainly();
    assert!(hear(&mut client, b"\x50\x02\0\x07\x62\x02\0\x08").is_empty());
    assert_eq!(client.outbound().drain(), b"\x62\x03\0\x07\x92\x70\x03\0\x08\x92");
}

//= mqtt-5.0 [MQTT-3.3.4-9] [MQTT-3.3.4-10]
#[test]
fn a_server_may_send_as_much_as_the_client_takes() {
    let receive_max = NonZeroU16::new(2).unwrap();
    let limited =
        || Options { v5: OptionsV5 { receive_max, ..OptionsV5::default() }, events_max: 9, ..options() };
    let mut client = open(limited(), ConnackProperties::default());
    // QoS 0 is not counted; QoS 1 counts until it is taken, QoS 2 until it is released.
    let three = [&b"\x30\x04\0\x01a\0"[..], b"\x32\x06\0\x01a\0\x01\0", b"\x34\x06\0\x01a\0\x02\0"].concat();
    assert_eq!(hear(&mut client, &three).len(), 3);
    assert_eq!(hear(&mut client, b"\x34\x06\0\x01a\0\x03\0").len(), 1);
    assert_eq!(hear(&mut client, b"\x62\x02\0\x02\x32\x06\0\x01a\0\x01\0").len(), 1);
    client.outbound().drain();
    // What is sent twice is counted once.
    assert!(hear(&mut client, b"\x3c\x06\0\x01a\0\x03\0").is_empty());
    assert_eq!(client.outbound().drain(), b"\x50\x02\0\x03");
    let events = hear(&mut client, b"\x34\x06\0\x01a\0\x04\0\x34\x06\0\x01a\0\x05\0");
    assert_eq!(ending(&events), Some(Ending::Failed(Violation::ReceiveMaximum.into())));
    assert!(client.outbound().drain().ends_with(b"\xe0\x01\x93"));
}

//= mqtt-5.0 [MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-11]
#[test]
fn the_servers_aliases_stand_for_their_topics() {
    let aliases = || Options { v5: OptionsV5 { topic_alias_max: 2, ..OptionsV5::default() }, ..options() };
    let mut client = open(aliases(), ConnackProperties::default());
    let named = b"\x30\x08\0\x01a\x03\x23\0\x02x";
    let alone = b"\x30\x09\0\0\x05\x0b\x07\x23\0\x02y";
    let events = hear(&mut client, &[&named[..], alone].concat());
    let [Event::Message { message: first, .. }, Event::Message { message: second, subscription_ids, .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((first.topic().as_bytes(), first.payload()), (&b"a"[..], &b"x"[..]));
    assert_eq!((second.topic().as_bytes(), second.payload()), (&b"a"[..], &b"y"[..]));
    assert_eq!(subscription_ids.as_slice(), [SubscriptionId::new(7).unwrap()]);
    for wrong in
        [&b"\x30\x06\0\0\x03\x23\0\x01"[..], b"\x30\x07\0\x01a\x03\x23\0\x03", b"\x30\x06\0\0\x03\x23\0\0"]
    {
        let mut client = open(aliases(), ConnackProperties::default());
        let events = hear(&mut client, wrong);
        assert_eq!(ending(&events), Some(Ending::Failed(Violation::TopicAlias.into())));
        assert_eq!(client.outbound().drain(), b"\xe0\x01\x94");
    }
}

//= mqtt-5.0 [MQTT-3.8.3-4] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[test]
fn subscriptions_have_their_options_and_an_identifier() {
    let mut client = open_plainly();
    let subscription = Subscription {
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..Subscription::new("a/+", Class::AtLeastOnce)
    };
    let user: UserPairs = vec![("k".into(), "v".into())];
    let sent = client.subscribe_with(NOW, &[subscription], SubscriptionId::new(300), &user).unwrap();
    let packet = client.outbound().drain();
    let unit = next_unit(&mut packet.as_slice(), Version::V5, packet.len()).unwrap().unwrap();
    let subscribe = Subscribe::decode(unit.body, 9, RULE, Version::V5).unwrap();
    let entry = subscribe.entries[0];
    assert!(entry.no_local && entry.retain_as_published);
    assert_eq!(entry.retain_handling, RetainHandling::DoNotSend);
    let said = subscribe.properties.unwrap();
    assert_eq!(said.subscription_identifier.map(std::num::NonZero::get), Some(300));
    assert!(said.user.texts().eq([("k", "v")]));

    let mut suback = Vec::new();
    let properties = SubackProperties { reason_string: Some("no"), ..Default::default() };
    let reason_codes = vec![ReasonCode::NotAuthorized];
    assert!(SubackV5 { packet_id: sent, properties, reason_codes }.encode(usize::MAX, &mut suback));
    let events = hear(&mut client, &suback);
    assert!(
        matches!(&events[..], [Event::Subscribed { granted, .. }] if *granted == [Err(ReasonCode::NotAuthorized)])
    );
    for filter in ["$share/g", "$share//a", "$share/+/a", "$share/g/"] {
        assert!(matches!(client.subscribe(NOW, &[(filter, Class::AtMostOnce)]), Err(Misuse::Invalid(_))));
    }
    let local = Subscription { no_local: true, ..Subscription::new("$share/g/a", Class::AtMostOnce) };
    let result = client.subscribe_with(NOW, &[local], None, &UserPairs::new());
    assert_eq!(result, Err(Misuse::Invalid(Violation::NoLocalShared.into())));
    let id = client.unsubscribe(NOW, &["a/+", "b"]).unwrap();
    let [high, low] = id.number().to_be_bytes();
    let events = hear(&mut client, &[0xB0, 5, high, low, 0, 0, 0x11]);
    assert!(matches!(&events[..], [Event::Unsubscribed { reason_codes, .. }]
        if *reason_codes == [ReasonCode::Success, ReasonCode::NoSubscriptionExisted]));
}

fn auth(reason_code: ReasonCode, method: &str, data: &[u8]) -> Vec<u8> {
    let properties = AuthProperties {
        authentication_method: Some(method),
        authentication_data: Some(data),
        ..AuthProperties::default()
    };
    let mut packet = Vec::new();
    assert!(Auth { reason_code, properties }.encode(usize::MAX, &mut packet));
    packet
}

fn with_method() -> Options {
    let authentication = Some(Authentication { method: "m".into(), data: None });
    Options { v5: OptionsV5 { authentication, ..OptionsV5::default() }, ..options() }
}

//= mqtt-5.0 [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-4.12.1-1] [MQTT-3.1.2-30]
#[test]
fn an_authentication_goes_on_until_the_server_is_content() {
    let mut client = Client::new(with_method()).unwrap();
    client.connect(NOW);
    client.outbound().drain();
    assert!(matches!(client.publish(NOW, "a", b"", Class::AtMostOnce, false), Err(Misuse::NotOpen)));
    let events = hear(&mut client, &auth(ReasonCode::ContinueAuthentication, "m", b"1?"));
    let [Event::Challenge { properties }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(AuthProperties::from(properties.section()).authentication_data, Some(&b"1?"[..]));
    client.authenticate(NOW, b"1!").unwrap();
    assert_eq!(client.outbound().drain(), auth(ReasonCode::ContinueAuthentication, "m", b"1!"));
    let said = ConnackProperties { authentication_method: Some("m"), ..Default::default() };
    hear(&mut client, &connack(false, said));
    assert!(client.is_open());

    client.reauthenticate(NOW, Some(b"2")).unwrap();
    assert_eq!(client.outbound().drain(), auth(ReasonCode::ReAuthenticate, "m", b"2"));
    let events = hear(&mut client, &auth(ReasonCode::Success, "m", b"!"));
    assert!(matches!(events[..], [Event::Authenticated { .. }]));

    assert_eq!(open_plainly().authenticate(NOW, b""), Err(Misuse::NoAuthentication));
    let other = hear(&mut client, &auth(ReasonCode::ContinueAuthentication, "other", b""));
    assert_eq!(ending(&other), Some(Ending::Failed(Violation::PropertyValue.into())));
    let unasked = hear(&mut open_plainly(), &auth(ReasonCode::ContinueAuthentication, "m", b""));
    assert_eq!(ending(&unasked), Some(Ending::Failed(Violation::UnexpectedPacket.into())));
}

//= mqtt-5.0 [MQTT-3.14.2-2] [MQTT-3.14.4-1] [MQTT-3.14.4-2]
#[test]
fn either_end_takes_leave_with_a_reason() {
    let mut client = open_plainly();
    let keep = Leave { session_expiry: Some(9), ..Leave::default() };
    assert_eq!(client.leave(NOW, &keep), Err(Misuse::SessionNotKept));
    let wrong = Leave { reason_code: ReasonCode::GrantedQos1, ..Leave::default() };
    assert!(matches!(client.leave(NOW, &wrong), Err(Misuse::Invalid(_))));
    client.leave(NOW, &Leave { reason_code: ReasonCode::DisconnectWithWill, ..Leave::default() }).unwrap();
    assert_eq!(client.outbound().drain(), b"\xe0\x01\x04");
    assert_eq!(client.ping(NOW), Err(Misuse::NotOpen));

    let mut client = open_plainly();
    let properties = DisconnectProperties { server_reference: Some("other:1883"), ..Default::default() };
    let mut packet = Vec::new();
    assert!(
        DisconnectV5 { reason_code: ReasonCode::ServerMoved, properties }.encode(usize::MAX, &mut packet)
    );
    let events = hear(&mut client, &packet);
    let [Event::Closed { ending: Ending::Dismissed(ReasonCode::ServerMoved), properties }] = &events[..]
    else {
        panic!("{events:?}")
    };
    let reference = DisconnectProperties::from(properties.section()).server_reference;
    assert_eq!(reference, Some("other:1883"));
    assert!(client.outbound().is_empty());
    // What only a client says.
    for wrong in [&b"\xe0\x01\x04"[..], b"\xe0\x07\0\x05\x11\0\0\0\x01"] {
        let events = hear(&mut open_plainly(), wrong);
        assert!(matches!(ending(&events), Some(Ending::Failed(_))));
    }
}

//= mqtt-5.0 [MQTT-4.13.1-1]
#[test]
fn a_refusal_and_an_older_server_are_understood() {
    for (packet, expected) in [
        (&b"\x20\x03\0\x87\0"[..], Ending::NotAdmitted(ReasonCode::NotAuthorized)),
        (b"\x20\x02\0\x01", Ending::Refused(mynah_mqtt::wire::ConnectReturnCode::UnacceptableProtocolLevel)),
        (b"\x20\x03\x01\x87\0", Ending::Failed(Error::from(Violation::SessionPresentInRefusal))),
    ] {
        let mut client = Client::new(options()).unwrap();
        client.connect(NOW);
        client.outbound().drain();
        assert_eq!(ending(&hear(&mut client, packet)), Some(expected));
        assert!(client.outbound().is_empty());
    }
}

#[test]
fn what_only_mqtt_5_has_is_refused_before() {
    let mut client = Client::new(Options::new("c")).unwrap();
    client.connect(NOW);
    hear(&mut client, b"\x20\x02\0\0");
    client.outbound().drain();
    let properties = &MessageProperties { is_text: true, ..MessageProperties::default() };
    let publication =
        Publication { topic: "a", payload: b"", class: Class::AtMostOnce, retain: false, properties };
    assert_eq!(client.publish_with(NOW, &publication), Err(Misuse::NotInThisVersion));
    let local = Subscription { no_local: true, ..Subscription::new("a", Class::AtMostOnce) };
    assert_eq!(client.subscribe_with(NOW, &[local], None, &UserPairs::new()), Err(Misuse::NotInThisVersion));
    assert_eq!(client.leave(NOW, &Leave::default()), Err(Misuse::NotInThisVersion));
    assert!(client.outbound().is_empty());
}

#[test]
fn properties_reach_the_wire_and_come_from_it() {
    let mut client = open_plainly();
    let properties = &MessageProperties {
        content_type: Some("x/y".into()),
        user: vec![("k".into(), "1".into()), ("k".into(), "2".into())],
        ..MessageProperties::default()
    };
    let publication =
        Publication { topic: "a", payload: b"p", class: Class::AtMostOnce, retain: false, properties };
    client.publish_with(NOW, &publication).unwrap();
    let packet = client.outbound().drain();
    let events = hear(&mut client, &packet);
    let [Event::Message { message, .. }] = &events[..] else { panic!("{events:?}") };
    let section = mapping::section(message.view());
    assert!(section.iter().eq([
        Property::ContentType("x/y"),
        Property::UserProperty(("k", "1")),
        Property::UserProperty(("k", "2"))
    ]));
    assert_eq!(message.payload(), b"p");
    for text in ["a\0", &"x".repeat(65_536)] {
        let properties = &MessageProperties { content_type: Some(text.into()), ..Default::default() };
        assert!(client.publish_with(NOW, &Publication { properties, ..publication }).is_err());
    }
    assert!(client.outbound().is_empty());
}
