//! A client of MQTT under a script: a server that says anything, a program that asks for anything, links that break. What
//! the client writes is always packets, and no more of them wait than it was allowed.

use core::num::NonZeroU16;
use core::time::Duration;

use mynah_model::{Class, Instant};
use mynah_mqtt::Version;
use mynah_mqtt::client::{Authentication, Client, MessageProperties, Options, OptionsV5, Publication};
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::wire::PacketType;

use crate::script::Script;

/// Publications and requests that a client may have waiting.
const IN_FLIGHT_MAX: u16 = 4;

/// Events that a client keeps for its program.
const EVENTS_MAX: usize = 4;

/// Bytes of the largest packet that the server may send.
const PACKET_BYTES_MAX: usize = 256;

/// Carries out `data`: a byte of settings, then a script.
///
/// # Panics
/// If the client writes what is no packet, or keeps more than it may.
pub fn mqtt_client(data: &[u8]) {
    let mut script = Script::new(data);
    let flags = script.byte();
    let version = match flags & 3 {
        0 => Version::V3_1,
        1 => Version::V3_1_1,
        _ => Version::V5,
    };
    let mut run = Run { client: Client::new(options(version, flags)).unwrap(), version, now: Instant::ZERO };
    run.connect();
    while !script.is_empty() {
        run.act(&mut script);
        run.check();
    }
}

fn options(version: Version, flags: u8) -> Options {
    let v5 = OptionsV5 {
        session_expiry: 60,
        receive_max: NonZeroU16::new(2).unwrap(),
        topic_alias_max: 2,
        given_aliases_max: 2,
        authentication: (flags & 0x20 != 0).then(|| Authentication { method: "m".into(), data: None }),
        ..OptionsV5::default()
    };
    Options {
        version,
        clean_session: flags & 0x10 != 0,
        packet_bytes_max: PACKET_BYTES_MAX,
        in_flight_max: IN_FLIGHT_MAX,
        events_max: EVENTS_MAX,
        v5,
        ..Options::new("p")
    }
}

struct Run {
    client: Client,
    version: Version,
    now: Instant,
}

impl Run {
    fn connect(&mut self) {
        self.client.connect(self.now);
        assert_eq!(self.packets(), [PacketType::Connect]);
    }

    fn act(&mut self, script: &mut Script<'_>) {
        let now = self.now;
        match script.below(12) {
            0..5 => {
                let mut input = script.piece(64);
                self.client.handle_input(now, &mut input);
            }
            5 => {
                let accepted: &[u8] =
                    if self.version == Version::V5 { b"\x20\x03\0\0\0" } else { b"\x20\x02\0\0" };
                self.client.handle_input(now, &mut &accepted[..]);
            }
            6 => drop(self.client.poll_event()),
            7 => self.publish(script),
            8 => {
                let class = Class::from_number(script.byte() & 3).unwrap_or_default();
                let filter = text(script);
                let _ = self.client.subscribe(now, &[(&filter, class)]);
                let _ = self.client.unsubscribe(now, &[&filter]);
            }
            9 => {
                let _ = self.client.authenticate(now, script.piece(8));
            }
            10 => {
                self.now = now + Duration::from_millis(100 * u64::from(script.number()));
                self.client.handle_timeout(self.now);
            }
            _ => match script.below(4) {
                0 => self.client.disconnect(now),
                1 => self.client.handle_end(),
                2 => {
                    self.check();
                    self.connect();
                }
                _ => {
                    let _ = self.client.ping(now);
                }
            },
        }
    }

    fn publish(&mut self, script: &mut Script<'_>) {
        let class = Class::from_number(script.byte() & 3).unwrap_or_default();
        let bits = script.byte();
        let (topic, content_type) = (text(script), text(script));
        let properties = &MessageProperties {
            content_type: (bits & 2 != 0).then(|| content_type.into()),
            ..MessageProperties::default()
        };
        let payload = script.piece(32);
        let publication = Publication { topic: &topic, payload, class, retain: bits & 1 != 0, properties };
        let _ = self.client.publish_with(self.now, &publication);
    }

    /// The packets that the client has written.
    fn packets(&mut self) -> Vec<PacketType> {
        let bytes = self.client.outbound().drain();
        let mut input = bytes.as_slice();
        let mut packets = Vec::new();
        while let Some(unit) = next_unit(&mut input, self.version, usize::MAX).unwrap() {
            packets.push(unit.packet_type);
        }
        assert!(input.is_empty(), "half a packet");
        packets
    }

    fn check(&mut self) {
        let server_only =
            [PacketType::Connack, PacketType::Suback, PacketType::Unsuback, PacketType::Pingresp];
        assert!(self.packets().iter().all(|packet| !server_only.contains(packet)));
        assert!(self.client.in_flight() <= usize::from(IN_FLIGHT_MAX));
        assert!(self.client.deadline().is_some() || self.client.is_closed() || self.client.is_open());
    }
}

fn text(script: &mut Script<'_>) -> String {
    String::from_utf8_lossy(script.piece(16)).into_owned()
}
