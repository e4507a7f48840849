//! MQTT 5.0 that is malformed, out of order or more than the server takes: `vectors/mqtt-5.0` with the exact answer to
//! each case, heard whole and byte by byte. The citations above a test are those of its file, and a test compares them.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use mynah_model::{Class, Instant};
use mynah_mqtt::{Config, Settings, UnknownLevel};
use toml::{Table, Value};

use crate::broker::Server;
use crate::out_of_order::hear;
use crate::written_v5::described;

const NOW: Instant = Instant::ZERO;

/// How many cases there are at least, so that none is lost unseen.
const CASES_MIN: usize = 970;

/// CONNECT of client `p` with a clean start and a keep-alive of 10 s.
pub(crate) const CONNECT: &[u8] = b"\x10\x0e\0\x04MQTT\x05\x02\0\x0a\0\0\x01p";
const PINGREQ: &[u8] = b"\xc0\0";

/// One case as its file has it.
pub(crate) struct Case {
    pub(crate) name: String,
    /// The statements, or sections, that decide the answer.
    by: Vec<String>,
    /// What came before: `new`, `open` or `receiving`.
    pub(crate) state: String,
    settings: Table,
    pub(crate) sends: Vec<u8>,
    pub(crate) answers: Vec<String>,
    pub(crate) closes: bool,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/mqtt-5.0")
}

#[expect(clippy::disallowed_methods, reason = "the crate reads no files, its tests do")]
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| *c != ' ').collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {hex}");
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

pub(crate) fn cases(file: &str) -> Vec<Case> {
    const KEYS: [&str; 7] = ["name", "by", "state", "settings", "sends", "answers", "closes"];
    let document: Table = read(&folder().join(file).with_added_extension("toml")).parse().unwrap();
    let case = |value: &Value| {
        let table = value.as_table().unwrap();
        let name = format!("{file}: {}", table["name"].as_str().unwrap());
        assert!(table.keys().all(|key| KEYS.contains(&key.as_str())), "{name}: an unknown key");
        let state = table.get("state").map_or("open", |state| state.as_str().unwrap());
        Case {
            by: strings(&table["by"]),
            state: state.to_owned(),
            settings: table.get("settings").map_or_else(Table::new, |s| s.as_table().unwrap().clone()),
            sends: strings(&table["sends"]).iter().flat_map(|packet| bytes(packet)).collect(),
            answers: strings(&table["answers"]),
            closes: table.get("closes").is_none_or(|closes| closes.as_bool().unwrap()),
            name,
        }
    };
    document["case"].as_array().unwrap().iter().map(case).collect()
}

/// The settings of a case on top of the defaults.
pub(crate) fn config(wanted: &Table) -> Config {
    let mut settings = Settings::default();
    for (name, value) in wanted {
        let number = || usize::try_from(value.as_integer().unwrap()).unwrap();
        match name.as_str() {
            "packet_bytes_max" => {
                settings.packet_bytes_max = number();
                settings.connect_packet_bytes_max = settings.connect_packet_bytes_max.min(number());
            }
            "filters_per_packet_max" => settings.filters_per_packet_max = number(),
            "keep_alive_s_max" => {
                settings.keep_alive_max = u16::try_from(number()).ok().and_then(NonZeroU16::new);
            }
            "unknown_level" => settings.unknown_level = UnknownLevel::AsV5,
            "allow_empty_client_id" => settings.allow_empty_client_id = value.as_bool().unwrap(),
            "topic_alias_maximum" => settings.topic_alias_max = u16::try_from(number()).unwrap(),
            "receive_maximum" => {
                settings.publications_max = NonZeroU16::new(u16::try_from(number()).unwrap()).unwrap();
            }
            "check_payload_format" => settings.payload_format_check = value.as_bool().unwrap(),
            "retain_available" => settings.retain_available = value.as_bool().unwrap(),
            "maximum_qos" => {
                settings.qos_max = Class::from_number(u8::try_from(number()).unwrap()).unwrap();
            }
            "wildcard_subscription_available" => settings.wildcards_available = value.as_bool().unwrap(),
            "shared_subscription_available" => settings.shares_available = value.as_bool().unwrap(),
            "subscription_identifier_available" => {
                settings.subscription_ids_available = value.as_bool().unwrap();
            }
            // The broker's, not the stack's.
            "authentication_method" => {}
            other => panic!("there is no setting {other}"),
        }
    }
    Config::new(settings).unwrap()
}

/// The server that a case speaks with.
fn server(case: &Case) -> Server {
    let mut server = Server::new(&config(&case.settings), NOW);
    if case.state == "new" {
        return server;
    }
    assert_eq!(described(&server.hear(NOW, CONNECT)), ["CONNACK 0x00"], "{}", case.name);
    if case.state == "receiving" {
        // Deliveries 1 of QoS 1, 2 of QoS 2, and 3 of QoS 2 that the client has received.
        server.hear(NOW, b"\x82\x09\0\x01\0\0\x03s/#\x02");
        for class in [Class::AtLeastOnce, Class::ExactlyOnce, Class::ExactlyOnce] {
            server.publish_from_elsewhere(NOW, b"s/a", b"", class);
        }
        server.hear(NOW, b"\x50\x02\0\x03");
        assert_eq!(server.unsettled(), 3, "{}", case.name);
    }
    server
}

fn check_file(file: &str) {
    for case in cases(file) {
        for piece in [case.sends.len(), 1] {
            let shown = format!("{}, in pieces of {piece}", case.name);
            let mut server = server(&case);
            assert_eq!(described(&hear(&mut server, &case.sends, piece)), case.answers, "{shown}");
            assert_eq!(server.closed.is_some(), case.closes, "{shown}: closed");
            let alive: &[&str] = if case.closes { &[] } else { &["PINGRESP"] };
            assert_eq!(described(&server.hear(NOW, PINGREQ)), alive, "{shown}: afterwards");
        }
    }
}

#[test]
fn properties_where_they_do_not_belong() {
    check_file("misplaced_properties");
}

#[test]
fn properties_that_are_repeated() {
    check_file("repeated_properties");
}

#[test]
fn properties_that_are_not_whole() {
    check_file("truncated_properties");
}

//= mqtt-5.0 [MQTT-1.5.5-1]
#[test]
fn properties_that_there_are_not() {
    check_file("unknown_properties");
}

//= mqtt-5.0 [MQTT-2.2.1-3] [MQTT-3.3.2-2] [MQTT-3.3.4-6]
#[test]
fn publishes_that_are_wrong() {
    check_file("publish");
}

//= mqtt-5.0 [MQTT-1.5.5-1] [MQTT-3.3.2-14] [MQTT-4.7.3-1]
#[test]
fn values_of_properties() {
    check_file("property_values");
}

//= mqtt-5.0 [MQTT-3.1.4-1] [MQTT-3.8.3-2] [MQTT-3.10.3-2]
#[test]
fn packets_that_are_cut_short_or_too_long() {
    check_file("truncated");
}

//= mqtt-5.0 [MQTT-1.5.5-1] [MQTT-2.1.3-1] [MQTT-3.1.4-1] [MQTT-3.3.1-2] [MQTT-3.3.1-4] [MQTT-3.6.1-1]
//= mqtt-5.0 [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1]
#[test]
fn fixed_headers_that_are_wrong() {
    check_file("fixed_headers");
}

//= mqtt-5.0 [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.4-3] [MQTT-1.5.7-1] [MQTT-3.1.3-4] [MQTT-3.1.3-11]
//= mqtt-5.0 [MQTT-3.1.3-12] [MQTT-3.3.2-1] [MQTT-3.3.2-13] [MQTT-3.3.2-19] [MQTT-3.8.3-1] [MQTT-3.10.3-1]
//= mqtt-5.0 [MQTT-4.7.3-2]
#[test]
fn strings_that_are_none() {
    check_file("text");
}

//= mqtt-5.0 [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT-3.1.2-3] [MQTT-3.1.2-9] [MQTT-3.1.2-11] [MQTT-3.1.2-12]
//= mqtt-5.0 [MQTT-3.1.2-13] [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.2-24]
//= mqtt-5.0 [MQTT-3.1.3-1] [MQTT-3.1.3-3] [MQTT-3.1.3-5] [MQTT-3.1.3-6] [MQTT-3.1.3-8] [MQTT-3.1.4-6]
//= mqtt-5.0 [MQTT-3.2.2-7] [MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT-4.12.0-1]
#[test]
fn connects_that_are_wrong() {
    check_file("connect");
}

//= mqtt-5.0 [MQTT-3.2.2-18] [MQTT-3.3.2-8] [MQTT-3.3.2-9] [MQTT-3.3.2-12] [MQTT-3.3.4-7] [MQTT-4.3.3-10]
//= mqtt-5.0 [MQTT-4.9.0-1] [MQTT-4.9.0-3]
#[test]
fn more_than_the_server_takes() {
    check_file("limits");
}

//= mqtt-5.0 [MQTT-3.2.2-10] [MQTT-3.2.2-11] [MQTT-3.2.2-12] [MQTT-3.2.2-13]
#[test]
fn what_a_server_may_not_support() {
    check_file("unsupported");
}

//= mqtt-5.0 [MQTT-2.2.1-3] [MQTT-3.8.3-2] [MQTT-3.8.3-4] [MQTT-3.8.3-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7]
//= mqtt-5.0 [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[test]
fn subscribes_of_all_kinds() {
    check_file("subscribe");
}

//= mqtt-5.0 [MQTT-2.2.1-3] [MQTT-3.10.3-2] [MQTT-3.10.4-5] [MQTT-3.11.3-1] [MQTT-4.7.1-1] [MQTT-4.7.1-2]
//= mqtt-5.0 [MQTT-4.7.3-1]
#[test]
fn unsubscribes_of_all_kinds() {
    check_file("unsubscribe");
}

//= mqtt-5.0 [MQTT-2.2.1-5] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-4.3.2-4]
//= mqtt-5.0 [MQTT-4.3.3-4] [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.4.0-2]
#[test]
fn acknowledgements_that_do_not_fit() {
    check_file("acknowledgements");
}

//= mqtt-5.0 [MQTT-3.1.0-1] [MQTT-3.1.0-2] [MQTT-3.2.0-2] [MQTT-3.14.0-1] [MQTT-3.14.4-1] [MQTT-3.14.4-2]
//= mqtt-5.0 [MQTT-4.12.0-7] [MQTT-4.13.1-1] [MQTT-4.13.2-1]
#[test]
fn packets_at_the_wrong_time() {
    check_file("order");
}

//= mqtt-5.0 [MQTT-3.14.2-1]
#[test]
fn disconnects_of_all_kinds() {
    check_file("disconnect");
}

/// The ids of MQTT 5.0 that a source cites, for each call such as `check_file("name");` that stands alone in its test.
pub(crate) fn citations(source: &str, call: &str) -> Vec<(String, BTreeSet<String>)> {
    let (mut found, mut ids) = (Vec::new(), BTreeSet::new());
    for line in source.lines().map(str::trim) {
        if let Some(cited) = line.strip_prefix("//= mqtt-5.0 ") {
            ids.extend(cited.split(' ').map(|id| id.trim_matches(['[', ']']).to_owned()));
        } else if let Some(name) = line.strip_prefix(call).and_then(|rest| rest.strip_suffix("\");")) {
            found.push((name.trim_start_matches("(\"").to_owned(), std::mem::take(&mut ids)));
        }
    }
    found
}

/// The files with cases.
pub(crate) fn files() -> Vec<String> {
    citations(include_str!("malformed_v5.rs"), "check_file").into_iter().map(|(file, _)| file).collect()
}

#[test]
fn each_file_has_a_test_that_cites_what_its_cases_do() {
    let register = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/mqtt-5.0.toml");
    let register = read(&register);
    let (mut count, mut names) = (0, BTreeSet::new());
    for (file, cited) in citations(include_str!("malformed_v5.rs"), "check_file") {
        let mut wanted = BTreeSet::new();
        for case in cases(&file) {
            assert!(!case.by.is_empty() && !case.sends.is_empty(), "{}", case.name);
            assert!(["new", "open", "receiving"].contains(&case.state.as_str()), "{}", case.name);
            assert!(names.insert(case.name.clone()), "{} stands there twice", case.name);
            for by in &case.by {
                let is_known = by.starts_with("section ") || register.contains(&format!("\"{by}\""));
                assert!(is_known, "{}: {by}", case.name);
            }
            wanted.extend(case.by.into_iter().filter(|by| by.starts_with("MQTT-")));
            count += 1;
        }
        assert_eq!(cited, wanted, "{file}");
    }
    assert!(count >= CASES_MIN, "{count} cases");
}
