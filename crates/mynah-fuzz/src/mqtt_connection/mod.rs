//! A server's half of an MQTT connection under a script: bytes in any pieces, and between them answers, refusals,
//! deliveries, timeouts, take-overs and shutdowns. What it may write at each point is known exactly.

mod broker;
mod written;

use core::num::NonZeroU16;
use core::time::Duration;

use mynah_model::{Class, DeliveryId, Reason, SubscriptionId};
use mynah_mqtt::connection::Answers;
use mynah_mqtt::wire::TextRule;
use mynah_mqtt::{Config, Overlapping, Settings, SubscribeRefused, UnknownLevel};

use crate::script::Script;
use broker::Broker;

/// CONNECT of client `p` with a clean session and a keep-alive of 10 s.
pub(crate) const CONNECT: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01p";

/// CONNECT of MQTT 5.0 with a clean start and the same keep-alive: Receive Maximum 3, Maximum Packet Size 100, Topic Alias
/// Maximum 2, and no explanations wanted.
pub(crate) const CONNECT_V5: &[u8] =
    b"\x10\x1b\0\x04MQTT\x05\x02\0\x0a\x0d\x21\0\x03\x27\0\0\0\x64\x22\0\x02\x17\0\0\x01p";

/// The same with nothing but an authentication method `m`.
pub(crate) const CONNECT_V5_METHOD: &[u8] = b"\x10\x12\0\x04MQTT\x05\x02\0\x0a\x04\x15\0\x01m\0\x01p";

/// Flags with which a second byte of settings follows: those of MQTT 5.0.
pub(crate) const MORE: u8 = 0xA0;

const REASONS: [Reason; 9] = [
    Reason::NotAuthorized,
    Reason::TopicInvalid,
    Reason::BadCredentials,
    Reason::QuotaExceeded,
    Reason::TooLarge,
    Reason::ServerBusy,
    Reason::TakenOver,
    Reason::SlowConsumer,
    Reason::ProofExpired,
];

/// Carries out `data`: a byte of settings, or two, then either one stream that is read in several ways, or a script.
///
/// # Panics
/// If the connection breaks its contract.
pub fn mqtt_connection(data: &[u8]) {
    let mut script = Script::new(data);
    let flags = script.byte();
    let more = if flags & MORE == MORE { script.byte() } else { 0 };
    let config = config(flags, more);
    if flags & 0x10 != 0 {
        return check_splits(&config, flags, more, script);
    }
    let mut broker = open(&config, flags, more);
    broker.answers_at_once = flags & 0x02 != 0;
    while !script.is_empty() {
        act(&mut broker, &mut script);
    }
}

fn config(flags: u8, more: u8) -> Config {
    let mut settings = Settings::default();
    if flags & 0x04 != 0 {
        settings.packet_bytes_max = 1_024;
        settings.connect_packet_bytes_max = 128;
        settings.filters_per_packet_max = 3;
    }
    if flags & 0x08 != 0 {
        settings.text_rule = TextRule::AcceptDiscouraged;
    }
    if flags & 0x20 != 0 {
        settings.keep_alive_max = NonZeroU16::new(20);
    }
    settings.allow_empty_client_id = flags & 0x40 == 0;
    if flags & 0x80 != 0 {
        settings.unknown_level = UnknownLevel::AsV5;
    }
    if more & 0x04 != 0 {
        (settings.answers, settings.overlapping) = (Answers::Mosquitto, Overlapping::Each);
        settings.subscribe_refused = SubscribeRefused::Unspecified;
    }
    if more & 0x08 != 0 {
        settings.publications_max = NonZeroU16::new(2).unwrap();
        (settings.topic_alias_max, settings.outbound_topic_alias_max) = (2, 1);
    }
    if more & 0x10 != 0 {
        (settings.qos_max, settings.retain_available) = (Class::AtLeastOnce, false);
        settings.payload_format_check = true;
    }
    if more & 0x20 != 0 {
        (settings.wildcards_available, settings.shares_available) = (false, false);
        settings.subscription_ids_available = false;
    }
    settings.reason_strings = more & 0x40 == 0;
    if more & 0x80 != 0 {
        settings.response_information = Some("r/".into());
        settings.server_reference = Some("other".into());
    }
    Config::new(settings).unwrap()
}

/// A connection, already let in if the flags say so.
fn open(config: &Config, flags: u8, more: u8) -> Broker {
    let mut broker = Broker::new(config);
    if flags & 0x01 != 0 {
        broker.answers_at_once = true;
        broker.hear(match more & 3 {
            0 => CONNECT,
            1 => CONNECT_V5_METHOD,
            _ => CONNECT_V5,
        });
        assert!(broker.is_open());
    }
    broker
}

fn act(broker: &mut Broker, script: &mut Script<'_>) {
    let reason = |script: &mut Script<'_>| REASONS[usize::from(script.below(9))];
    match script.below(16) {
        0..8 => broker.hear(script.piece(64)),
        8 => broker.answer(Ok(script.flag())),
        9 => broker.answer(Err(reason(script))),
        10 | 11 => {
            let class = Class::from_number(script.byte() & 3).unwrap_or(Class::AtLeastOnce);
            let id = DeliveryId::new(script.number().max(1)).unwrap();
            let bits = script.byte();
            // Small payloads are copied, large ones shared.
            let payload = if bits & 4 == 0 { script.piece(64).to_vec() } else { vec![bits; 3_000] };
            let ids: Vec<SubscriptionId> = SubscriptionId::new(u32::from(bits >> 3)).into_iter().collect();
            broker.deliver((class, id), bits & 1 != 0, bits & 2 != 0, &ids, &payload);
        }
        12 => broker.release(DeliveryId::new(script.number().max(1)).unwrap()),
        13 => broker.wait(Duration::from_millis(10 * u64::from(script.number()))),
        14 => broker.wait_for_deadline(),
        _ => match script.below(8) {
            0 => broker.shut_down(),
            1..4 => broker.end(reason(script)),
            _ => broker.answer_nobody(script.number()),
        },
    }
}

/// However a stream is cut into reads, what is written, asked for and decided is the same.
fn check_splits(config: &Config, flags: u8, more: u8, mut script: Script<'_>) {
    let odd = 2 + usize::from(script.below(61));
    let stream = script.rest();
    let run = |piece: usize| {
        let mut broker = open(config, flags, more);
        broker.answers_at_once = true;
        for piece in stream.chunks(piece.max(1)) {
            broker.hear(piece);
        }
        broker.into_record()
    };
    let whole = run(stream.len());
    for piece in [1, odd] {
        assert_eq!(run(piece), whole, "in pieces of {piece}");
    }
}
