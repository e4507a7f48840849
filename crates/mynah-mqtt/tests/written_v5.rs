//! What a server of MQTT 5.0 wrote, taken apart without the help of what is tested.

use std::fmt::Write as _;

/// The value of a variable byte integer and what follows it.
fn variable(input: &[u8]) -> (usize, &[u8]) {
    let length = input.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let (digits, rest) = input.split_at(length);
    (digits.iter().rev().fold(0, |value, digit| value << 7 | usize::from(digit & 0x7f)), rest)
}

fn codes(codes: &[u8]) -> String {
    codes.iter().map(|code| format!(" 0x{code:02x}")).collect()
}

/// What a server wrote, packet by packet, without its properties: `SUBACK 7 0x00 0x87`.
pub(crate) fn described(mut written: &[u8]) -> Vec<String> {
    let mut packets = Vec::new();
    while let [first, rest @ ..] = written {
        let (length, rest) = variable(rest);
        let (body, rest) = rest.split_at(length);
        let id = || u16::from_be_bytes([body[0], body[1]]);
        let code = |at: usize| codes(&[body.get(at).copied().unwrap_or(0)]);
        let many = || {
            let (properties, rest) = variable(&body[2..]);
            codes(&rest[properties..])
        };
        packets.push(match first {
            0x20 => format!("CONNACK{}", code(1)),
            0x40 => format!("PUBACK {}{}", id(), code(2)),
            0x50 => format!("PUBREC {}{}", id(), code(2)),
            0x62 => format!("PUBREL {}{}", id(), code(2)),
            0x70 => format!("PUBCOMP {}{}", id(), code(2)),
            0x90 => format!("SUBACK {}{}", id(), many()),
            0xb0 => format!("UNSUBACK {}{}", id(), many()),
            0xd0 => "PINGRESP".to_owned(),
            0xe0 => format!("DISCONNECT{}", code(0)),
            0xf0 => format!("AUTH{}", code(0)),
            other => format!("packet {other:02x}"),
        });
        written = rest;
    }
    packets
}

/// The bytes of a property's value, given what follows its identifier.
fn value_length(id: u8, rest: &[u8]) -> usize {
    let text = |rest: &[u8]| 2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => 1,
        0x13 | 0x21..=0x23 => 2,
        0x02 | 0x11 | 0x18 | 0x27 => 4,
        0x0b => rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1,
        0x26 => text(rest) + text(&rest[text(rest)..]),
        _ => text(rest),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Properties as `13:003c`, in the order of their identifiers, and what follows them.
fn properties(body: &[u8]) -> (Vec<String>, &[u8]) {
    let (length, rest) = variable(body);
    let (mut unread, rest) = rest.split_at(length);
    let mut found = Vec::new();
    while let [id, value @ ..] = unread {
        let (value, others) = value.split_at(value_length(*id, value));
        found.push((*id, format!("{id:02x}:{}", hex(value))));
        unread = others;
    }
    // Those of one identifier keep their order.
    found.sort_by_key(|&(id, _)| id);
    (found.into_iter().map(|(_, shown)| shown).collect(), rest)
}

/// A packet that the server wrote: what it is, and its properties.
pub(crate) struct Packet {
    pub(crate) head: String,
    pub(crate) properties: Vec<String>,
    pub(crate) length: usize,
}

/// The first packet, and what follows it.
pub(crate) fn packet(written: &[u8]) -> (Packet, &[u8]) {
    let (length, rest) = variable(&written[1..]);
    let (body, rest) = rest.split_at(length);
    let whole = &written[..written.len() - rest.len()];
    let behind = |at: usize| if body.len() > at { properties(&body[at..]).0 } else { Vec::new() };
    let (head, properties) = match whole[0] >> 4 {
        0x2 => {
            let session = if body[0] == 0 { "new" } else { "present" };
            assert!(body[0] <= 1, "reserved flags of CONNACK");
            (format!("{} {session}", described(whole)[0]), behind(2))
        }
        0x3 => publish(whole[0], body),
        0x4..=0x7 => (described(whole).remove(0), behind(3)),
        0x9 | 0xb => (described(whole).remove(0), behind(2)),
        0xe | 0xf => (described(whole).remove(0), behind(1)),
        _ => (described(whole).remove(0), Vec::new()),
    };
    (Packet { head, properties, length: whole.len() }, rest)
}

/// `PUBLISH 32 topic 1 payload`, with `-` for what is empty or not there.
fn publish(first: u8, body: &[u8]) -> (String, Vec<String>) {
    let (topic, mut rest) = body[2..].split_at(usize::from(u16::from_be_bytes([body[0], body[1]])));
    let mut head = format!("PUBLISH {first:02x} {}", or_dash(String::from_utf8(topic.to_vec()).unwrap()));
    if first & 0b110 == 0 {
        head.push_str(" -");
    } else {
        write!(head, " {}", u16::from_be_bytes([rest[0], rest[1]])).unwrap();
        rest = &rest[2..];
    }
    let (properties, payload) = properties(rest);
    write!(head, " {}", or_dash(hex(payload))).unwrap();
    (head, properties)
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// Whether these are packets as long as they say, and nothing else.
pub(crate) fn is_whole(mut packets: &[u8]) -> bool {
    while let [_, rest @ ..] = packets {
        let (length, rest) = variable(rest);
        let Some(others) = rest.get(length..) else { return false };
        packets = others;
    }
    true
}
