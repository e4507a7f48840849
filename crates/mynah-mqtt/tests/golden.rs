//! The golden vectors of `vectors/mqtt`, both ways: what the bytes decode to, what that encodes to, and which statement
//! a receiver closes by. See `vectors/README.md` for the form.

use std::fs;
use std::path::Path;

use mynah_mqtt::framing::{Unit, next_unit};
use mynah_mqtt::wire::properties::Property;
use mynah_mqtt::wire::{
    Ack, AckType, AckV5, Auth, Connack, ConnackV5, Connect, Disconnect, DisconnectV5, PacketId, PacketType,
    Pingreq, Pingresp, Publish, ReasonCode, RetainHandling, Suback, SubackV5, Subscribe, TextRule, Unsuback,
    UnsubackV5, Unsubscribe, Will,
};
use mynah_mqtt::{Error, Refused, Version};
use toml::{Table, Value};

const RULE: TextRule = TextRule::RefuseDiscouraged;

/// How many vectors there are at least, so that none is lost unseen.
const VECTORS_MIN: usize = 264;

/// A packet's fields as a vector spells them, and its bytes as they are encoded here.
type Described = (Table, Vec<u8>);

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| *c != ' ').collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {hex}");
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> Value {
    Value::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn text(bytes: &[u8]) -> Value {
    Value::from(str::from_utf8(bytes).unwrap())
}

fn table<const N: usize>(fields: [(&str, Value); N]) -> Table {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Adds a flag, which is left out if it is not set.
fn flag(table: &mut Table, name: &str, is_set: bool) {
    if is_set {
        table.insert(name.to_owned(), Value::from(true));
    }
}

fn number(number: impl Into<i64>) -> Value {
    Value::Integer(number.into())
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

fn decode(packet: &[u8], version: Version) -> Result<Described, Error> {
    let mut input = packet;
    let unit = next_unit(&mut input, version, 1 << 20)?.expect("a vector is a whole packet");
    assert!(input.is_empty(), "a vector is one packet");
    describe(unit, version)
}

fn describe(unit: Unit<'_>, version: Version) -> Result<Described, Error> {
    let body = unit.body;
    if version == Version::V5
        && let Some(described) = describe_v5(unit)?
    {
        return Ok(described);
    }
    Ok(match unit.packet_type {
        PacketType::Auth => unreachable!("it is of MQTT 5.0 alone"),
        PacketType::Connect => connect(&Connect::decode(unit.flags, body, RULE)?),
        PacketType::Connack => {
            let connack = Connack::decode(body, version)?;
            let mut fields = table([("return_code", number(connack.return_code as u8))]);
            flag(&mut fields, "session_present", connack.session_present);
            (fields, connack.encode().to_vec())
        }
        PacketType::Publish => publish(&Publish::decode(unit.flags, body, RULE, version)?),
        PacketType::Puback => ack(Ack::decode(AckType::Puback, body)?),
        PacketType::Pubrec => ack(Ack::decode(AckType::Pubrec, body)?),
        PacketType::Pubrel => ack(Ack::decode(AckType::Pubrel, body)?),
        PacketType::Pubcomp => ack(Ack::decode(AckType::Pubcomp, body)?),
        PacketType::Subscribe => subscribe(&Subscribe::decode(body, 100, RULE, version)?),
        PacketType::Suback => suback(&Suback::decode(body)?),
        PacketType::Unsubscribe => unsubscribe(&Unsubscribe::decode(body, 100, RULE, version)?),
        PacketType::Unsuback => {
            let unsuback = Unsuback::decode(body)?;
            let fields = table([("packet_id", number(unsuback.packet_id.number()))]);
            (fields, unsuback.encode().to_vec())
        }
        PacketType::Pingreq => Pingreq::decode(body).map(|_| (Table::new(), Pingreq.encode().to_vec()))?,
        PacketType::Pingresp => Pingresp::decode(body).map(|_| (Table::new(), Pingresp.encode().to_vec()))?,
        PacketType::Disconnect => {
            Disconnect::decode(body).map(|_| (Table::new(), Disconnect.encode().to_vec()))?
        }
    })
}

/// The packets that MQTT 5.0 has in a form of their own.
fn describe_v5(unit: Unit<'_>) -> Result<Option<Described>, Error> {
    let body = unit.body;
    let whole = |encode: &dyn Fn(usize, &mut Vec<u8>) -> bool| {
        encoded(|out| assert!(encode(usize::MAX, out), "there is no limit"))
    };
    let ack = |ack_type| {
        AckV5::decode(ack_type, body, RULE).map(|ack| {
            let id = ("packet_id", number(ack.ack.packet_id.number()));
            let mut fields = table([id, ("reason_code", number(ack.reason_code.number()))]);
            list(&mut fields, Version::V5, ack.properties.iter());
            Some((fields, whole(&|max, out| ack.encode(max, out))))
        })
    };
    let codes = |packet_id: PacketId, codes: &[ReasonCode]| {
        let codes = codes.iter().map(|code| number(code.number())).collect();
        table([("packet_id", number(packet_id.number())), ("reason_codes", Value::Array(codes))])
    };
    let (mut fields, properties, encoded): (_, Vec<_>, _) = match unit.packet_type {
        PacketType::Connack => {
            let connack = ConnackV5::decode(body, RULE)?;
            let mut fields = table([("reason_code", number(connack.reason_code.number()))]);
            flag(&mut fields, "session_present", connack.session_present);
            (fields, connack.properties.iter().collect(), whole(&|max, out| connack.encode(max, out)))
        }
        PacketType::Puback => return ack(AckType::Puback),
        PacketType::Pubrec => return ack(AckType::Pubrec),
        PacketType::Pubrel => return ack(AckType::Pubrel),
        PacketType::Pubcomp => return ack(AckType::Pubcomp),
        PacketType::Suback => {
            let suback = SubackV5::decode(body, RULE)?;
            let fields = codes(suback.packet_id, &suback.reason_codes);
            (fields, suback.properties.iter().collect(), whole(&|max, out| suback.encode(max, out)))
        }
        PacketType::Unsuback => {
            let unsuback = UnsubackV5::decode(body, RULE)?;
            let fields = codes(unsuback.packet_id, &unsuback.reason_codes);
            (fields, unsuback.properties.iter().collect(), whole(&|max, out| unsuback.encode(max, out)))
        }
        PacketType::Disconnect => {
            let disconnect = DisconnectV5::decode(body, RULE)?;
            let fields = table([("reason_code", number(disconnect.reason_code.number()))]);
            (fields, disconnect.properties.iter().collect(), whole(&|max, out| disconnect.encode(max, out)))
        }
        PacketType::Auth => {
            let auth = Auth::decode(body, RULE)?;
            let fields = table([("reason_code", number(auth.reason_code.number()))]);
            (fields, auth.properties.iter().collect(), whole(&|max, out| auth.encode(max, out)))
        }
        _ => return Ok(None),
    };
    list(&mut fields, Version::V5, properties.into_iter());
    Ok(Some((fields, encoded)))
}

/// Adds the properties, which are left out if there are none: each as it is encoded.
fn list<'p>(table: &mut Table, version: Version, properties: impl Iterator<Item = Property<'p>>) {
    let properties: Vec<_> = properties.map(|property| hex(&encoded(|out| property.encode(out)))).collect();
    assert!(version == Version::V5 || properties.is_empty(), "only MQTT 5.0 has properties");
    if !properties.is_empty() {
        table.insert("properties".to_owned(), Value::Array(properties));
    }
}

fn connect(connect: &Connect<'_>) -> Described {
    let mut fields = table([
        ("level", number(connect.version.protocol_level())),
        ("keep_alive", number(connect.keep_alive)),
        ("client_id", Value::from(connect.client_id)),
    ]);
    flag(&mut fields, "clean_session", connect.clean_session);
    list(&mut fields, connect.version, connect.properties.iter());
    if let Some(user_name) = connect.user_name {
        fields.insert("user_name".to_owned(), Value::from(user_name));
    }
    if let Some(password) = connect.password {
        fields.insert("password".to_owned(), hex(password));
    }
    if let Some(Will { topic, message, class, retain, properties }) = connect.will {
        let will =
            [("topic", text(topic.as_bytes())), ("message", hex(message)), ("qos", number(class.number()))];
        let mut will = table(will);
        list(&mut will, connect.version, properties.iter());
        flag(&mut will, "retain", retain);
        fields.insert("will".to_owned(), Value::Table(will));
    }
    (fields, encoded(|out| connect.encode(out)))
}

fn publish(publish: &Publish<'_>) -> Described {
    let mut fields = table([
        ("topic", text(publish.topic.as_bytes())),
        ("qos", number(publish.class.number())),
        ("payload", hex(publish.payload)),
    ]);
    flag(&mut fields, "dup", publish.dup);
    flag(&mut fields, "retain", publish.retain);
    if let Some(id) = publish.packet_id {
        fields.insert("packet_id".to_owned(), number(id.number()));
    }
    list(&mut fields, Version::V5, publish.section().iter());
    (fields, encoded(|out| publish.encode(out)))
}

fn ack(ack: Ack) -> Described {
    (table([("packet_id", number(ack.packet_id.number()))]), ack.encode().to_vec())
}

fn subscribe(subscribe: &Subscribe<'_>) -> Described {
    let entries = subscribe.entries.iter().map(|entry| {
        let fields = [("filter", text(entry.filter.as_bytes())), ("qos", number(entry.class_max.number()))];
        let mut fields = table(fields);
        flag(&mut fields, "no_local", entry.no_local);
        flag(&mut fields, "retain_as_published", entry.retain_as_published);
        if entry.retain_handling != RetainHandling::Send {
            fields.insert("retain_handling".to_owned(), number(entry.retain_handling as u8));
        }
        Value::Table(fields)
    });
    let fields =
        [("packet_id", number(subscribe.packet_id.number())), ("entries", Value::Array(entries.collect()))];
    let mut fields = table(fields);
    list(&mut fields, Version::V5, subscribe.properties.iter().flat_map(|set| set.iter()));
    (fields, encoded(|out| subscribe.encode(out)))
}

fn suback(suback: &Suback) -> Described {
    let codes = suback.return_codes.iter().map(|code| number(code.number())).collect();
    let fields = [("packet_id", number(suback.packet_id.number())), ("return_codes", Value::Array(codes))];
    (table(fields), encoded(|out| suback.encode(out)))
}

fn unsubscribe(unsubscribe: &Unsubscribe<'_>) -> Described {
    let filters = unsubscribe.filters.iter().map(|filter| text(filter.as_bytes())).collect();
    let fields = [("packet_id", number(unsubscribe.packet_id.number())), ("filters", Value::Array(filters))];
    let mut fields = table(fields);
    list(&mut fields, Version::V5, unsubscribe.properties.iter().flat_map(|set| set.iter()));
    (fields, encoded(|out| unsubscribe.encode(out)))
}

/// The statement by which a packet is not taken.
fn statement(error: Error) -> &'static str {
    match error {
        Error::Malformed(malformed) => malformed.statement(),
        Error::Violation(violation) => violation.statement(),
        Error::Refused(Refused::ProtocolLevel | Refused::UnknownProtocolLevel) => "MQTT-3.1.2-2",
        Error::Refused(refused) => panic!("no vector is about limits, this one meets {refused:?}"),
    }
}

/// Checks one vector.
fn check(vector: &Table, shown: &str) {
    const KEYS: [&str; 7] = ["name", "statements", "version", "bytes", "encodes_to", "packet", "reject"];
    assert!(vector.keys().all(|key| KEYS.contains(&key.as_str())), "{shown}: an unknown key");
    let string = |name: &str| vector.get(name).map(|value| value.as_str().unwrap());
    let packet = bytes(string("bytes").unwrap());
    let version = match string("version") {
        Some("3.1") => Version::V3_1,
        Some("3.1.1") => Version::V3_1_1,
        Some("5.0") => Version::V5,
        other => panic!("{shown}: version {other:?}"),
    };
    match (decode(&packet, version), vector.get("packet"), string("reject")) {
        (Ok((fields, encoded)), Some(expected), None) => {
            assert_eq!(&Value::Table(fields), expected, "{shown}");
            assert_eq!(encoded, string("encodes_to").map_or(packet, bytes), "{shown}: encoded");
        }
        (Err(error), None, Some(expected)) if version == Version::V5 => {
            assert_eq!(format!("{:#04x}", error.reason_code().number()), expected, "{shown}: {error}");
        }
        (Err(error), None, Some(expected)) => assert_eq!(statement(error), expected, "{shown}: {error}"),
        (result, packet, reject) => panic!("{shown}: {result:?} for {packet:?} {reject:?}"),
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the crate reads no files, its tests do")]
fn every_vector_decodes_and_encodes_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/mqtt");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let document: Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        for vector in document["vector"].as_array().unwrap() {
            let vector = vector.as_table().unwrap();
            let name = vector["name"].as_str().unwrap();
            let shown = format!("{}: {name}", path.file_name().unwrap().display());
            assert!(vector["statements"].is_array(), "{shown}");
            check(vector, &shown);
            count += 1;
        }
    }
    assert!(count >= VECTORS_MIN, "{count} vectors");
}
