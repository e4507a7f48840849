//! Workloads for benches: MQTT packets as bytes, a broker of one worker without sockets, and the filters of a fleet.
//! `cargo xtask bench` runs the benches. Compare figures of one run only: what a machine does beside is in all of them.
//! The programs are stages of `cargo xtask long`: `hostile` drives the real broker, under attack, `datagrams` has peers of
//! CoAP come to it, `queues` fills and empties long queues of it, `index` measures a topic index of a million filters,
//! and `rules` what rules cost.

pub mod amqp;
mod broker;
pub mod coap;
pub mod filters;
pub mod v5;

pub use broker::Broker;

/// A CONNECT packet of MQTT 3.1.1 with a clean session.
#[must_use]
pub fn connect(client_id: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
    push_text(&mut body, client_id);
    packet(0x10, &body)
}

/// A CONNECT packet of MQTT 3.1.1 with a clean session, of a user whose name is the client identifier.
#[must_use]
pub fn connect_as(user: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04\xC2\x00\x00".to_vec();
    for text in [user, user, "secret"] {
        push_text(&mut body, text);
    }
    packet(0x10, &body)
}

/// A SUBSCRIBE packet for one filter.
#[must_use]
pub fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    push_text(&mut body, filter);
    body.push(qos);
    packet(0x82, &body)
}

/// A PUBLISH packet; with a packet identifier if `qos` is above 0.
#[must_use]
pub fn publish(topic: &str, qos: u8, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, topic);
    if qos > 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}

/// A PUBACK packet.
#[must_use]
pub fn puback(packet_id: u16) -> Vec<u8> {
    packet(0x40, &packet_id.to_be_bytes())
}

fn push_text(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as u16).to_be_bytes());
    body.extend(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    loop {
        let low = (rest % 128) as u8;
        rest /= 128;
        if rest == 0 {
            bytes.push(low);
            break;
        }
        bytes.push(low | 0x80);
    }
    bytes.extend(body);
    bytes
}
