//! Bodies of the fuzz targets. A body takes any bytes and panics if a promise is broken; `fuzz/` hands it what libFuzzer
//! makes up, and a test of this crate what was found before.

// A body has to stop at the first thing that is not as it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod amqp_connection;
mod amqp_seeds;
mod amqp_wire;
mod coap_connection;
mod coap_wire;
mod corpus;
mod dtls;
mod filters_index;
mod http_paths;
mod mqtt_bridge;
mod mqtt_client;
mod mqtt_connection;
mod mqtt_wire;
mod script;
pub mod seeds;
mod stomp;
mod websocket;

pub use amqp_connection::amqp_connection;
pub use amqp_wire::amqp_wire;
pub use coap_connection::coap_connection;
pub use coap_wire::coap_wire;
pub use corpus::{Corpus, Input};
pub use dtls::dtls;
pub use filters_index::filters_index;
pub use http_paths::http_paths;
pub use mqtt_bridge::mqtt_bridge;
pub use mqtt_client::mqtt_client;
pub use mqtt_connection::mqtt_connection;
pub use mqtt_wire::mqtt_wire;
pub use stomp::stomp;
pub use websocket::websocket;

/// A fuzz target: its name, which is also the name of its binary and of its corpus, and its body.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name.
    pub name: &'static str,
    /// What is run on each input.
    pub body: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 13] = [
    Target { name: "mqtt_wire", body: mqtt_wire },
    Target { name: "mqtt_connection", body: mqtt_connection },
    Target { name: "mqtt_client", body: mqtt_client },
    Target { name: "mqtt_bridge", body: mqtt_bridge },
    Target { name: "filters_index", body: filters_index },
    Target { name: "http_paths", body: http_paths },
    Target { name: "stomp", body: stomp },
    Target { name: "websocket", body: websocket },
    Target { name: "amqp_wire", body: amqp_wire },
    Target { name: "amqp_connection", body: amqp_connection },
    Target { name: "coap_wire", body: coap_wire },
    Target { name: "coap_connection", body: coap_connection },
    Target { name: "dtls", body: dtls },
];
