//! The table of what each protocol says when a rule denies something, as the stacks say it: the document shows the same.

use std::fs;

use mynah_http::Problem;
use mynah_model::Reason;
use mynah_mqtt::error::{
    PublishReaction, connect_return_code, publish_reaction, reason_code, subscribe_return_code,
};
use mynah_mqtt::wire::PacketType;

/// What is denied, and which packets of MQTT 5.0 tell it.
const DENIALS: [(&str, Reason, &[PacketType]); 6] = [
    ("to connect", Reason::NotAuthorized, &[PacketType::Connack]),
    ("to publish, to retain", Reason::NotAuthorized, &[PacketType::Puback, PacketType::Pubrec]),
    ("to subscribe", Reason::NotAuthorized, &[PacketType::Suback]),
    ("more `connections`", Reason::QuotaExceeded, &[PacketType::Connack]),
    ("more `subscriptions`", Reason::QuotaExceeded, &[PacketType::Suback]),
    ("more `message_bytes`", Reason::TooLarge, &[PacketType::Puback, PacketType::Pubrec]),
];

fn packet(packet_type: PacketType) -> String {
    format!("{packet_type:?}").to_uppercase()
}

/// The row of the table for a denial.
fn row(what: &str, reason: Reason, packets: &[PacketType]) -> String {
    let code = |packet: &PacketType| reason_code(reason, *packet).number();
    let names: Vec<_> = packets.iter().copied().map(packet).collect();
    assert!(packets.iter().all(|packet| code(packet) == code(&packets[0])));
    let v5 = format!("{} 0x{:02X}", names.join(", "), code(&packets[0]));
    let v3 = match packets[0] {
        PacketType::Connack => format!("CONNACK {}", connect_return_code(reason) as u8),
        PacketType::Suback => format!("SUBACK 0x{:02X}", subscribe_return_code(Err(reason)).number()),
        _ => match publish_reaction(reason) {
            PublishReaction::Acknowledge => "acknowledged, and dropped".to_owned(),
            PublishReaction::Close => "closed".to_owned(),
        },
    };
    format!("| {what} | {v5} | {v3} | {} |", Problem::Refused(reason).status())
}

#[test]
fn the_document_shows_what_each_protocol_says_when_a_rule_denies() {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).unwrap();
    let mut table = "| denied | MQTT 5.0 | MQTT 3.1.1 | HTTP |\n|---|---|---|---|\n".to_owned();
    for (what, reason, packets) in DENIALS {
        table += &row(what, reason, packets);
        table.push('\n');
    }
    let ended = reason_code(Reason::NotAuthorized, PacketType::Disconnect).number();
    table +=
        &format!("| what is there, by a change | DISCONNECT 0x{ended:02X} | closed | the stream ends |\n");
    let rate = Problem::Refused(Reason::RateExceeded);
    let rate = (rate.status(), rate.field().map_or("", |(_, value)| value));
    assert_eq!(rate, (429, "1"));
    table += "| faster than a limit | read no faster | read no faster | 429, Retry-After 1 |\n";
    assert!(page.contains(&table), "docs/configuration.md is to have:\n{table}");
}
