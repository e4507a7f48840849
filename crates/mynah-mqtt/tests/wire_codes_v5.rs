//! What the decoder of MQTT 5.0 finds wrong by itself, in the cases of `vectors/mqtt-5.0`: the reason code of its error is
//! the one of the case, and what is fine it takes.

use mynah_mqtt::framing::{Unit, next_unit};
use mynah_mqtt::wire::{
    AckType, AckV5, Auth, Connect, DisconnectV5, PacketType, Pingreq, Publish, Subscribe, TextRule,
    Unsubscribe,
};
use mynah_mqtt::{Error, Version};

use crate::malformed_v5::{Case, cases, files};

const RULE: TextRule = TextRule::RefuseDiscouraged;

/// How many cases the decoder decides at least.
const DECIDED_MIN: usize = 700;

fn decode(unit: Unit<'_>) -> Result<(), Error> {
    let body = unit.body;
    match unit.packet_type {
        PacketType::Connect => Connect::decode(unit.flags, body, RULE).map(drop),
        PacketType::Publish => Publish::decode(unit.flags, body, RULE, Version::V5).map(drop),
        PacketType::Puback => AckV5::decode(AckType::Puback, body, RULE).map(drop),
        PacketType::Pubrec => AckV5::decode(AckType::Pubrec, body, RULE).map(drop),
        PacketType::Pubrel => AckV5::decode(AckType::Pubrel, body, RULE).map(drop),
        PacketType::Pubcomp => AckV5::decode(AckType::Pubcomp, body, RULE).map(drop),
        PacketType::Subscribe => Subscribe::decode(body, 100, RULE, Version::V5).map(drop),
        PacketType::Unsubscribe => Unsubscribe::decode(body, 100, RULE, Version::V5).map(drop),
        PacketType::Pingreq => Pingreq::decode(body).map(drop),
        PacketType::Disconnect => DisconnectV5::decode(body, RULE).map(drop),
        PacketType::Auth => Auth::decode(body, RULE).map(drop),
        // These are the server's: a server does not look into them.
        PacketType::Connack | PacketType::Suback | PacketType::Unsuback | PacketType::Pingresp => Ok(()),
    }
}

/// The first thing that is wrong with the packets of a case.
fn first_error(case: &Case) -> Option<Error> {
    let mut input = case.sends.as_slice();
    loop {
        match next_unit(&mut input, Version::V5, 1 << 20) {
            // A second CONNECT is not looked into.
            Ok(Some(unit)) if unit.packet_type == PacketType::Connect && case.state != "new" => return None,
            Ok(Some(unit)) => {
                if let Err(error) = decode(unit) {
                    return Some(error);
                }
            }
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// The code by which the server of a case ends the connection.
fn closing_code(case: &Case) -> Option<&str> {
    let last = case.answers.last()?;
    last.strip_prefix("CONNACK ").or_else(|| last.strip_prefix("DISCONNECT ")).filter(|_| case.closes)
}

#[test]
fn what_the_decoder_finds_wrong_has_the_code_of_the_case() {
    let (mut decided, mut differences) = (0, Vec::new());
    for case in files().iter().flat_map(|file| cases(file)) {
        let found = first_error(&case).map(|error| format!("0x{:02x}", error.reason_code().number()));
        match (found, closing_code(&case)) {
            (Some(found), Some(code)) if found == code => decided += 1,
            (Some(found), Some(code)) => differences.push(format!("{}: {found}, not {code}", case.name)),
            (Some(found), None) if !case.closes => differences.push(format!("{}: {found}", case.name)),
            _ => {}
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(decided >= DECIDED_MIN, "{decided} decided");
}
