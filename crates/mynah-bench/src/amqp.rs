//! A client of AMQP 0-9-1 as bytes, and a server's half of its connection that is open.

use std::sync::Arc;

use mynah_amqp::v0_9_1::Config;
use mynah_amqp::v0_9_1::connection::ServerConnection;
use mynah_amqp::v0_9_1::wire::connection::{Open, StartOk, TuneOk};
use mynah_amqp::v0_9_1::wire::frame::encode_body;
use mynah_amqp::v0_9_1::wire::{
    ContentHeader, LongStr, PROTOCOL_HEADER, PropertiesBuilder, PropertyId, ShortStr, Table, basic, channel,
    confirm,
};
use mynah_model::{Expiry, Instant, WallTime};
use mynah_stack::{Command, Connection, Opened, Outbound, Outcome, Step};

/// A publication on channel 1 to `amq.topic`.
#[must_use]
pub fn publish(key: &str, persistent: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let publish = basic::Publish {
        exchange: ShortStr::cut("amq.topic"),
        routing_key: ShortStr::cut(key),
        ..basic::Publish::default()
    };
    publish.encode(1, &mut bytes);
    let properties = PropertiesBuilder::new()
        .text(PropertyId::ContentType, Some(b"application/json"))
        .octet(PropertyId::DeliveryMode, Some(if persistent { 2 } else { 1 }));
    let header = ContentHeader { body_size: payload.len() as u64, properties: properties.as_properties() };
    header.encode(1, &mut bytes);
    encode_body(1, payload, 4_096, &mut bytes);
    bytes
}

/// What a client writes until its channel 1 is open; it need not wait for answers.
#[must_use]
pub fn opening() -> Vec<u8> {
    let mut bytes = PROTOCOL_HEADER.to_vec();
    let start_ok = StartOk {
        client_properties: Table::EMPTY,
        mechanism: ShortStr::cut("PLAIN"),
        response: LongStr(b"\0u\0p"),
        locale: ShortStr::cut("en_US"),
    };
    start_ok.encode(0, &mut bytes);
    TuneOk::default().encode(0, &mut bytes);
    Open { virtual_host: ShortStr::cut("/") }.encode(0, &mut bytes);
    channel::Open {}.encode(1, &mut bytes);
    bytes
}

/// The last of what it hears then.
#[must_use]
pub fn opened() -> Vec<u8> {
    let mut bytes = Vec::new();
    channel::OpenOk {}.encode(1, &mut bytes);
    bytes
}

/// A connection whose channel 1 is open, with confirms.
#[must_use]
pub fn open_connection() -> (ServerConnection, Outbound) {
    let mut bytes = opening();
    confirm::Select { nowait: true }.encode(1, &mut bytes);
    let mut connection =
        ServerConnection::new(Arc::new(Config::default()), WallTime::default(), Instant::ZERO);
    let mut out = Outbound::new();
    run(&mut connection, &bytes, &mut out);
    out.drain();
    (connection, out)
}

/// Hears `bytes`, and accepts everything.
pub fn run(connection: &mut ServerConnection, bytes: &[u8], out: &mut Outbound) {
    let (now, mut input) = (Instant::ZERO, bytes);
    while let Step::Command(command) = connection.step(now, &mut input, out) {
        let outcome = match command {
            Command::Open(_) => Outcome::Opened(Ok(Opened::new(false, Expiry::WithConnection))),
            Command::Publish(publish) => {
                let (receipt, class) = (publish.receipt, publish.header.class);
                Outcome::Published { receipt, class, result: Ok(true) }
            }
            _ => continue,
        };
        connection.handle_outcome(now, outcome, out);
    }
}
