//! Queues, exchanges, bindings and connections as RabbitMQ shows them.

use std::hash::{DefaultHasher, Hash, Hasher};

use mynah_core::administration::{BindingView, ConnectionView, ExchangeView, QueueView};
use mynah_model::ChannelDescription;
use serde_json::{Map, Value, json};

use crate::connections;
use crate::definitions::VIRTUAL_HOST;
use crate::request::decoded;
use crate::terms::{self, Spelling, text};

/// The name of the node.
pub(super) const NODE: &str = "mynah@localhost";

fn named(name: &[u8]) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("name".to_owned(), text(name).into());
    shown.insert("vhost".to_owned(), VIRTUAL_HOST.into());
    shown
}

pub(super) fn queue(queue: &QueueView) -> Value {
    let mut shown = named(&queue.name);
    shown.append(&mut terms::show_queue(&queue.settings, Spelling::Dotted));
    let kind = if queue.settings.stream.is_some() { "stream" } else { "classic" };
    let stats = json!({
        "publish": queue.tally.came,
        "deliver_get": queue.tally.handed_out,
        "ack": queue.tally.accepted,
    });
    shown.extend([
        ("type".to_owned(), kind.into()),
        ("node".to_owned(), NODE.into()),
        ("state".to_owned(), "running".into()),
        ("messages".to_owned(), (queue.ready + queue.leased).into()),
        ("messages_ready".to_owned(), queue.ready.into()),
        ("messages_unacknowledged".to_owned(), queue.leased.into()),
        ("message_bytes_ready".to_owned(), queue.ready_bytes.into()),
        ("consumers".to_owned(), queue.consumers.len().into()),
        ("message_stats".to_owned(), stats),
    ]);
    shown.into()
}

pub(super) fn exchange(exchange: &ExchangeView) -> Value {
    let mut shown = named(&exchange.name);
    shown.append(&mut terms::show_exchange(&exchange.settings));
    shown.into()
}

/// What can stand in a path.
fn quoted(key: &str) -> String {
    let mut quoted = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'.' | b'-' | b'_' => quoted.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => quoted.push(byte.into()),
            byte => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

/// Whether a binding is the one of this name, which is decoded.
pub(super) fn is_named(shown: &Value, name: &str) -> bool {
    shown.get("properties_key").and_then(Value::as_str).is_some_and(|key| key == name || decoded(key) == name)
}

/// Names a binding among those of two ends, as it stands in a path: the key, and a hash of the arguments if there are any.
fn properties_key(shown: &Map<String, Value>) -> String {
    let key = shown.get("routing_key").and_then(Value::as_str).unwrap_or_default();
    let arguments = shown.get("arguments").and_then(Value::as_object).filter(|found| !found.is_empty());
    match arguments {
        None if key.is_empty() => "~".to_owned(),
        None => quoted(key),
        Some(arguments) => {
            let mut hasher = DefaultHasher::new();
            Value::from(arguments.clone()).to_string().hash(&mut hasher);
            format!("{}~{:x}", quoted(key), hasher.finish())
        }
    }
}

pub(super) fn binding(binding: &BindingView) -> Value {
    let mut shown = terms::show_binding(binding, Spelling::Dotted);
    shown.insert("vhost".to_owned(), VIRTUAL_HOST.into());
    shown.insert("properties_key".to_owned(), properties_key(&shown).into());
    shown.into()
}

/// That a queue gets what is published to the default exchange with its name as the key.
pub(super) fn default_binding(queue: &[u8]) -> BindingView {
    BindingView {
        source: Box::default(),
        destination: queue.into(),
        is_queue: true,
        key: queue.into(),
        arguments: Box::default(),
    }
}

pub(super) fn consumer(queue: &QueueView) -> impl Iterator<Item = Value> {
    queue.consumers.iter().map(|consumer| {
        json!({
            "queue": { "name": text(&queue.name), "vhost": VIRTUAL_HOST },
            "consumer_tag": consumer.key.number.to_string(),
            "ack_required": !consumer.taking.settled,
            "exclusive": consumer.taking.exclusive,
            "prefetch_count": consumer.leased + u64::from(consumer.credit.messages),
            "active": consumer.is_active,
        })
    })
}

pub(super) fn connection(connection: &ConnectionView) -> Value {
    let ConnectionView { identity, address, listener, protocol, consumers, description, .. } = connection;
    json!({
        "name": connections::name(connection),
        "user": identity,
        "vhost": VIRTUAL_HOST,
        "node": NODE,
        "peer_host": address,
        "protocol": protocol,
        "listener": listener,
        "state": "running",
        "channels": description.channels.len(),
        "client_properties": terms::show_arguments(&description.properties),
        "consumers": consumers,
    })
}

pub(super) fn channel(connection: &ConnectionView, channel: &ChannelDescription) -> Value {
    let name = connections::name(connection);
    json!({
        "name": format!("{name} ({})", channel.number),
        "number": channel.number,
        "user": connection.identity,
        "vhost": VIRTUAL_HOST,
        "node": NODE,
        "connection_details": { "name": name, "peer_host": connection.address },
        "state": "running",
        "consumer_count": channel.consumers,
        "messages_unacknowledged": channel.unacknowledged,
        "messages_unconfirmed": channel.unconfirmed,
        "prefetch_count": channel.prefetch,
        "confirm": channel.confirms,
        "transactional": channel.transactional,
    })
}
