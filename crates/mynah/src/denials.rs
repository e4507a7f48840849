//! The table of what each protocol says when a rule denies something, as the stacks say it: the document shows the same.

use std::fs;

use mynah_amqp::v0_9_1::error::reply_code;
use mynah_coap::Refusal;
use mynah_http::Problem;
use mynah_model::Reason;
use mynah_mqtt::error::{
    PublishReaction, connect_return_code, publish_reaction, reason_code, subscribe_return_code,
};
use mynah_mqtt::wire::PacketType;
use mynah_stomp::error::reason_message;

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
    // Who is not let in, or says too much at once, has a connection or a channel less.
    let closes = if packets[0] == PacketType::Connack { "connection" } else { "channel" };
    let (amqp, stomp) = (reply_code(reason).number(), reason_message(reason));
    let (coap, http) = (Refusal::Core(reason).code(), Problem::Refused(reason).status());
    format!("| {what} | {v5} | {v3} | {closes}.close {amqp} | {stomp} | {coap} | {http} |")
}

#[test]
fn the_document_shows_what_each_protocol_says_when_a_rule_denies() {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).unwrap();
    let mut table = "| denied | MQTT 5.0 | MQTT 3.1.1 | AMQP 0-9-1 | STOMP, ERROR | CoAP | HTTP |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    for (what, reason, packets) in DENIALS {
        table += &row(what, reason, packets);
        table.push('\n');
    }
    let ended = reason_code(Reason::NotAuthorized, PacketType::Disconnect).number();
    let (amqp, stomp) = (reply_code(Reason::NotAuthorized).number(), reason_message(Reason::NotAuthorized));
    let coap = Refusal::Core(Reason::NotAuthorized).code();
    table += &format!(
        "| what is there, by a change | DISCONNECT 0x{ended:02X} | closed | connection.close {amqp} | {stomp} | \
         {coap}, the last notification | the stream ends |\n"
    );
    let rate = Problem::Refused(Reason::RateExceeded);
    let rate = (rate.status(), rate.field().map_or("", |(_, value)| value));
    assert_eq!(rate, (429, "1"));
    let coap = Refusal::Core(Reason::RateExceeded).code();
    table += &format!(
        "| faster than a limit | read no faster | read no faster | read no faster | read no faster | \
         {coap}; over TCP read no faster | 429, Retry-After 1 |\n"
    );
    assert!(page.contains(&table), "docs/configuration.md is to have:\n{table}");
}
