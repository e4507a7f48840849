//! Packets of MQTT 5.0, without properties.

use crate::{packet, push_text};

/// A CONNECT packet with a clean start.
#[must_use]
pub fn connect(client_id: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x05\x02\x00\x00\x00".to_vec();
    push_text(&mut body, client_id);
    packet(0x10, &body)
}

/// A SUBSCRIBE packet for one filter.
#[must_use]
pub fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1, 0];
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
    body.push(0);
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}
