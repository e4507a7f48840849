//! MQTT 5.0 on the wire: generated packets and properties survive it, whatever comes is judged without a panic, and
//! explanations give way to the largest packet that a receiver takes.

use core::num::{NonZeroU16, NonZeroU32};

use mynah_model::{Class, Filter, Topic};
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::wire::properties::{
    ConnackProperties, Property, PropertyHolder, PropertyId, Section, user_properties,
};
use mynah_mqtt::wire::{
    Ack, AckType, AckV5, Auth, ConnackV5, Connect, DisconnectV5, PacketId, Publish, ReasonCode,
    RetainHandling, SubackV5, Subscribe, SubscribeEntry, TextRule, UnsubackV5, Unsubscribe, Will,
};
use mynah_mqtt::{Error, Malformed, Version, Violation};
use proptest::collection::vec;
use proptest::prelude::*;

const RULE: TextRule = TextRule::RefuseDiscouraged;
const HOLDERS: [PropertyHolder; 14] = [
    PropertyHolder::Will,
    PropertyHolder::Connect,
    PropertyHolder::Connack,
    PropertyHolder::Publish,
    PropertyHolder::Puback,
    PropertyHolder::Pubrec,
    PropertyHolder::Pubrel,
    PropertyHolder::Pubcomp,
    PropertyHolder::Subscribe,
    PropertyHolder::Suback,
    PropertyHolder::Unsubscribe,
    PropertyHolder::Unsuback,
    PropertyHolder::Disconnect,
    PropertyHolder::Auth,
];

/// What properties are made of.
#[derive(Clone, Debug)]
struct Values {
    text: String,
    other: String,
    bytes: Vec<u8>,
    number: u32,
    flag: bool,
}

fn values() -> impl Strategy<Value = Values> {
    let text = || "[a-z/äöü€]{1,12}";
    (text(), text(), vec(any::<u8>(), 0..12), any::<u32>(), any::<bool>())
        .prop_map(|(text, other, bytes, number, flag)| Values { text, other, bytes, number, flag })
}

/// A set of properties that `holder` may have, in any order.
fn section_of(holder: PropertyHolder) -> impl Strategy<Value = Vec<u8>> {
    let ids: Vec<_> = PropertyId::ALL.into_iter().filter(|id| id.is_allowed_in(holder)).collect();
    let most = ids.len();
    let chosen = prop::sample::subsequence(ids, 0..=most).prop_shuffle();
    (chosen, vec((values(), 1..3usize), most)).prop_map(move |(ids, values)| {
        let mut section = Vec::new();
        for (id, (values, times)) in ids.into_iter().zip(values) {
            for _ in 0..if id.may_repeat_in(holder) { times } else { 1 } {
                property(id, &values).encode(&mut section);
            }
        }
        section
    })
}

fn property(id: PropertyId, values: &Values) -> Property<'_> {
    let Values { text, other, bytes, number, flag } = values;
    let (number, flag, short) = (*number, *flag, *number as u16);
    let short_not_zero = NonZeroU16::new(short).unwrap_or(NonZeroU16::MIN);
    let long_not_zero = NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let subscription = NonZeroU32::new(number & 0x0FFF_FFFF).unwrap_or(NonZeroU32::MIN);
    match id {
        PropertyId::PayloadFormatIndicator => Property::PayloadFormatIndicator(flag),
        PropertyId::MessageExpiryInterval => Property::MessageExpiryInterval(number),
        PropertyId::ContentType => Property::ContentType(text),
        PropertyId::ResponseTopic => Property::ResponseTopic(text),
        PropertyId::CorrelationData => Property::CorrelationData(bytes),
        PropertyId::SubscriptionIdentifier => Property::SubscriptionIdentifier(subscription),
        PropertyId::SessionExpiryInterval => Property::SessionExpiryInterval(number),
        PropertyId::AssignedClientIdentifier => Property::AssignedClientIdentifier(text),
        PropertyId::ServerKeepAlive => Property::ServerKeepAlive(short),
        PropertyId::AuthenticationMethod => Property::AuthenticationMethod(text),
        PropertyId::AuthenticationData => Property::AuthenticationData(bytes),
        PropertyId::RequestProblemInformation => Property::RequestProblemInformation(flag),
        PropertyId::WillDelayInterval => Property::WillDelayInterval(number),
        PropertyId::RequestResponseInformation => Property::RequestResponseInformation(flag),
        PropertyId::ResponseInformation => Property::ResponseInformation(text),
        PropertyId::ServerReference => Property::ServerReference(text),
        PropertyId::ReasonString => Property::ReasonString(text),
        PropertyId::ReceiveMaximum => Property::ReceiveMaximum(short_not_zero),
        PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(short),
        PropertyId::TopicAlias => Property::TopicAlias(short_not_zero),
        PropertyId::MaximumQos => Property::MaximumQos(flag),
        PropertyId::RetainAvailable => Property::RetainAvailable(flag),
        PropertyId::UserProperty => Property::UserProperty((text, other)),
        PropertyId::MaximumPacketSize => Property::MaximumPacketSize(long_not_zero),
        PropertyId::WildcardSubscriptionAvailable => Property::WildcardSubscriptionAvailable(flag),
        PropertyId::SubscriptionIdentifierAvailable => Property::SubscriptionIdentifierAvailable(flag),
        PropertyId::SharedSubscriptionAvailable => Property::SharedSubscriptionAvailable(flag),
    }
}

fn checked(section: &[u8], holder: PropertyHolder) -> Section<'_> {
    Section::check(section, holder, RULE).unwrap()
}

fn holder() -> impl Strategy<Value = PropertyHolder> {
    prop::sample::select(&HOLDERS)
}

fn code() -> impl Strategy<Value = ReasonCode> {
    prop::sample::select(&ReasonCode::ALL)
}

/// The body of an encoded packet.
fn body(packet: &[u8]) -> &[u8] {
    let mut input = packet;
    let unit = next_unit(&mut input, Version::V5, packet.len()).unwrap().unwrap();
    assert!(input.is_empty());
    unit.body
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(encode(&mut out));
    out
}

proptest! {
    #[test]
    fn a_section_is_read_as_it_was_written((holder, section) in holder().prop_flat_map(|holder| (Just(holder), section_of(holder)))) {
        let checked = Section::check(&section, holder, RULE).unwrap();
        prop_assert_eq!(Section::from_checked(&section), checked);
        let mut again = Vec::new();
        for property in checked.iter() {
            let at = again.len();
            property.encode(&mut again);
            prop_assert_eq!(again.len() - at, property.encoded_len());
            prop_assert!(checked.has(property.id()));
        }
        prop_assert_eq!(again, &section[..]);
        prop_assert_eq!(checked.user(), user_properties(&section));
    }

    //= mqtt-5.0 [MQTT-1.5.5-1]
    /// Whatever is taken is written in the same bytes; in another packet it is taken or refused, and never panics.
    #[test]
    fn any_bytes_are_judged(
        noise in vec(prop_oneof![0..0x30u8, any::<u8>()], 0..24),
        (section, at, byte) in (section_of(PropertyHolder::Connack), any::<prop::sample::Index>(), any::<u8>()),
        holder in holder(),
    ) {
        let mut near = section;
        if !near.is_empty() {
            let at = at.index(near.len());
            near[at] = byte;
        }
        for bytes in [&noise, &near] {
            if let Ok(checked) = Section::check(bytes, holder, TextRule::AcceptDiscouraged) {
                let mut again = Vec::new();
                checked.iter().for_each(|property| property.encode(&mut again));
                prop_assert_eq!(&again, bytes);
            }
            let _ = Section::from_checked(bytes).iter().count();
        }
    }

    #[test]
    fn connect_survives(
        (clean_session, keep_alive, client_id) in (any::<bool>(), any::<u16>(), "[a-z]{0,8}"),
        section in section_of(PropertyHolder::Connect),
        will in prop::option::of((section_of(PropertyHolder::Will), vec(any::<u8>(), 0..9), any::<bool>())),
        (user_name, password) in (prop::option::of("[a-z]{0,8}"), prop::option::of(vec(any::<u8>(), 0..9))),
    ) {
        let mut properties = mynah_mqtt::wire::properties::ConnectProperties::from(checked(&section, PropertyHolder::Connect));
        properties.authentication_data = properties.authentication_data.filter(|_| properties.authentication_method.is_some());
        let connect = Connect {
            version: Version::V5,
            clean_session,
            keep_alive,
            properties,
            client_id: &client_id,
            will: will.as_ref().map(|(section, message, retain)| Will {
                topic: Topic::from_checked(b"w"),
                message,
                class: Class::ExactlyOnce,
                retain: *retain,
                properties: checked(section, PropertyHolder::Will).into(),
            }),
            user_name: user_name.as_deref(),
            password: password.as_deref(),
        };
        let mut packet = Vec::new();
        connect.encode(&mut packet);
        prop_assert_eq!(Connect::version(body(&packet)), Some(Version::V5));
        prop_assert_eq!(Connect::decode(0, body(&packet), RULE), Ok(connect));
    }

    #[test]
    fn publish_survives(
        section in section_of(PropertyHolder::Publish),
        (payload, class) in (vec(any::<u8>(), 0..200), 0..3u8),
        named in any::<bool>(),
    ) {
        let properties = checked(&section, PropertyHolder::Publish);
        let class = Class::from_number(class).unwrap();
        let is_aliased = !named && properties.has(PropertyId::TopicAlias);
        let publish = Publish {
            dup: false,
            class,
            retain: false,
            topic: Topic::from_checked(if is_aliased { b"" } else { b"a/b" }),
            packet_id: PacketId::new(7).filter(|_| class.is_confirmed()),
            properties: Some(properties),
            payload: &payload,
        };
        let mut packet = Vec::new();
        publish.encode(&mut packet);
        let decoded = Publish::decode(packet[0] & 0xF, body(&packet), RULE, Version::V5);
        prop_assert_eq!(decoded, Ok(publish));
        prop_assert_eq!(publish.check_from_client().is_err(), properties.has(PropertyId::SubscriptionIdentifier));
        prop_assert_eq!(publish.topic_alias().is_some(), properties.has(PropertyId::TopicAlias));
    }

    #[test]
    fn requests_survive(
        section in section_of(PropertyHolder::Subscribe),
        user in section_of(PropertyHolder::Unsubscribe),
        options in vec((0..3u8, any::<bool>(), any::<bool>(), 0..3u8), 1..5),
    ) {
        let entry = |&(class, no_local, retain_as_published, handling): &(u8, bool, bool, u8)| SubscribeEntry {
            filter: Filter::from_checked(b"a/+/#"),
            class_max: Class::from_number(class).unwrap(),
            no_local,
            retain_as_published,
            retain_handling: [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend][usize::from(handling)],
        };
        let packet_id = PacketId::new(9).unwrap();
        let entries: Vec<_> = options.iter().map(entry).collect();
        let filters = entries.iter().map(|entry| entry.filter).collect();
        let properties = Some(checked(&section, PropertyHolder::Subscribe).into());
        let subscribe = Subscribe { packet_id, properties, entries };
        let mut packet = Vec::new();
        subscribe.encode(&mut packet);
        prop_assert_eq!(Subscribe::decode(body(&packet), 5, RULE, Version::V5), Ok(subscribe));
        let properties = Some(checked(&user, PropertyHolder::Unsubscribe).into());
        let unsubscribe = Unsubscribe { packet_id, properties, filters };
        let mut packet = Vec::new();
        unsubscribe.encode(&mut packet);
        prop_assert_eq!(Unsubscribe::decode(body(&packet), 5, RULE, Version::V5), Ok(unsubscribe));
    }

    #[test]
    fn answers_survive(
        (connack, puback) in (section_of(PropertyHolder::Connack), section_of(PropertyHolder::Puback)),
        (disconnect, auth) in (section_of(PropertyHolder::Disconnect), section_of(PropertyHolder::Auth)),
        (code, codes) in (code(), vec(code(), 1..5)),
    ) {
        let packet_id = PacketId::new(9).unwrap();
        let is_success = code == ReasonCode::Success;
        let connack = ConnackV5 { session_present: is_success, reason_code: code, properties: checked(&connack, PropertyHolder::Connack).into() };
        let packet = encoded(|out| connack.encode(usize::MAX, out));
        let decoded = ConnackV5::decode(body(&packet), RULE);
        prop_assert!(decoded == Ok(connack) || decoded == Err(Violation::ReasonCode.into()));

        let ack = Ack { ack_type: AckType::Puback, packet_id };
        let ack = AckV5 { ack, reason_code: code, properties: checked(&puback, PropertyHolder::Puback).into() };
        let packet = encoded(|out| ack.encode(usize::MAX, out));
        let decoded = AckV5::decode(AckType::Puback, body(&packet), RULE);
        prop_assert!(decoded == Ok(ack) || decoded == Err(Violation::ReasonCode.into()));

        let disconnect = DisconnectV5 { reason_code: code, properties: checked(&disconnect, PropertyHolder::Disconnect).into() };
        let packet = encoded(|out| disconnect.encode(usize::MAX, out));
        let decoded = DisconnectV5::decode(body(&packet), RULE);
        prop_assert!(decoded == Ok(disconnect) || decoded == Err(Violation::ReasonCode.into()));

        let auth = Auth { reason_code: code, properties: checked(&auth, PropertyHolder::Auth).into() };
        let packet = encoded(|out| auth.encode(usize::MAX, out));
        let alone = auth.properties.authentication_data.is_some() && auth.properties.authentication_method.is_none();
        let decoded = Auth::decode(body(&packet), RULE);
        let refused = [Violation::ReasonCode, Violation::AuthenticationDataAlone].map(|violation| Err(violation.into()));
        prop_assert!(decoded == Ok(auth) && !alone || refused.contains(&decoded));

        let properties = checked(&puback, PropertyHolder::Suback).into();
        let suback = SubackV5 { packet_id, properties, reason_codes: codes.clone() };
        let packet = encoded(|out| suback.encode(usize::MAX, out));
        let decoded = SubackV5::decode(body(&packet), RULE);
        prop_assert!(decoded == Ok(suback) || decoded == Err(Violation::ReasonCode.into()));
        let properties = checked(&puback, PropertyHolder::Unsuback).into();
        let unsuback = UnsubackV5 { packet_id, properties, reason_codes: codes };
        let packet = encoded(|out| unsuback.encode(usize::MAX, out));
        let decoded = UnsubackV5::decode(body(&packet), RULE);
        prop_assert!(decoded == Ok(unsuback) || decoded == Err(Violation::ReasonCode.into()));
    }

    //= mqtt-5.0 [MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.1.2-25]
    #[test]
    fn explanations_give_way_to_the_largest_packet(section in section_of(PropertyHolder::Connack), max in 0..200usize) {
        let properties = checked(&section, PropertyHolder::Connack).into();
        let connack = ConnackV5 { session_present: false, reason_code: ReasonCode::Success, properties };
        let whole = encoded(|out| connack.encode(usize::MAX, out));
        let mut packet = Vec::new();
        if !connack.encode(max, &mut packet) {
            prop_assert!(packet.is_empty());
            return Ok(());
        }
        prop_assert!(packet.len() <= max);
        prop_assert!(packet == whole || whole.len() > max);
        let decoded = ConnackV5::decode(body(&packet), RULE).unwrap().properties;
        let kept = |property: &Property<'_>| !property.id().is_explanation();
        prop_assert!(decoded.iter().filter(kept).eq(connack.properties.iter().filter(kept)));
    }
}

/// Table 2-4: each property in each packet.
#[test]
fn a_property_is_taken_where_it_may_be_and_as_often() {
    let values = Values { text: "t".into(), other: "o".into(), bytes: vec![1], number: 1, flag: true };
    let mut allowed = 0;
    for holder in HOLDERS {
        for id in PropertyId::ALL {
            let mut section = Vec::new();
            property(id, &values).encode(&mut section);
            let once = Section::check(&section, holder, RULE).map(drop);
            let misplaced: Result<_, Error> = Err(Malformed::PropertyMisplaced.into());
            assert_eq!(once, if id.is_allowed_in(holder) { Ok(()) } else { misplaced }, "{id:?} {holder:?}");
            allowed += usize::from(once.is_ok());
            let twice = section.repeat(2);
            let may = id.is_allowed_in(holder) && id.may_repeat_in(holder);
            assert_eq!(Section::check(&twice, holder, RULE).is_ok(), may, "{id:?} {holder:?}");
        }
    }
    assert_eq!(allowed, 64);
}

//= mqtt-5.0 [MQTT-3.2.2-19] [MQTT-3.2.2-20]
#[test]
fn what_is_no_explanation_is_never_left_out() {
    let properties = ConnackProperties {
        assigned_client_identifier: Some("given"),
        reason_string: Some("why"),
        ..ConnackProperties::default()
    };
    let connack = ConnackV5 { session_present: false, reason_code: ReasonCode::Success, properties };
    for size_max in 0..30 {
        let mut out = Vec::new();
        let is_written = connack.encode(size_max, &mut out);
        let expected = if size_max < 13 { 0 } else { 13 + if size_max < 19 { 0 } else { 6 } };
        assert_eq!((is_written, out.len()), (expected > 0, expected), "{size_max}");
    }
}
