//! Tests of the configuration: exact words for what is wrong, safe defaults, and a document that lists every key.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use mynah_auth::ThrottleSettings;
use mynah_model::{Limits, TenantId};
use proptest::prelude::*;
use serde_json::Value;

use super::document::Document;
use super::*;

pub(super) fn settings(text: &str) -> Settings {
    match parse(Path::new("mynah.toml"), text) {
        Ok(settings) => settings,
        Err(problems) => {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
    }
}

pub(super) fn problems(text: &str) -> Vec<String> {
    parse(Path::new("mynah.toml"), text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[track_caller]
pub(super) fn check(text: &str, expected: &str) {
    assert_eq!(problems(text), [expected]);
}

#[test]
fn an_unknown_key_is_shown_with_what_was_meant() {
    check(
        "workers = 2\nlisen = 4\n",
        "mynah.toml:2:1: unknown key `lisen`, did you mean `listener`?\n  2 | lisen = 4\n    | ^^^^^",
    );
    check(
        "colour = 4",
        "mynah.toml:1:1: unknown key `colour`; there are: workers, listener, bridge, auth, tenants, rules_file, rule, limits, mqtt, profile, amqp091, coap, http, stomp, log, sys, \
         store, shutdown\n  1 | colour = 4\n    | ^^^^^^",
    );
    check(
        "\n[[listner]]\nname = \"x\"\n",
        "mynah.toml:2:3: unknown key `listner`, did you mean `listener`?\n  2 | [[listner]]\n    |   ^^^^^^^",
    );
    check(
        "[limits]\n\tsession_max = 4",
        "mynah.toml:2:2: unknown key `session_max`, did you mean `sessions_max`?\n  2 |  session_max = 4\n    |  ^^^^^^^^^^^",
    );
}

#[test]
fn a_wrong_value_is_shown_with_what_may_be_written() {
    check(
        "workers = 0",
        "mynah.toml:1:11: expected a whole number from 1 to 65535, found integer 0\n  1 | workers = 0\n    |           ^",
    );
    check(
        "[limits]\nsessions_max = \"many\"",
        "mynah.toml:2:16: expected a whole number, 1 or more, found string \"many\"\n  \
         2 | sessions_max = \"many\"\n    |                ^^^^^^",
    );
    check(
        "[log]\nlevel = \"inof\"",
        "mynah.toml:2:9: unknown value `inof`, did you mean `info`?\n  2 | level = \"inof\"\n    |         ^^^^^^",
    );
    check(
        "[log]\nformat = \"xml\"",
        "mynah.toml:2:10: unknown value `xml`; there are: text, json\n  2 | format = \"xml\"\n    |          ^^^^^",
    );
    check(
        "[[listener]]\nname = \"x\"\nprotocol = \"mqtt\"\n",
        "mynah.toml:1:1: the key `address` is missing here\n  1 | [[listener]]\n    | ^^^^^^^^^^^^",
    );
    check(
        "mqtt = 3",
        "mynah.toml:1:8: expected a table of keys, found integer 3\n  1 | mqtt = 3\n    |        ^",
    );
}

#[test]
fn a_value_out_of_bounds_is_shown_with_its_bounds() {
    check(
        "[mqtt]\npacket_bytes_max = 10",
        "mynah.toml:2:20: packet_bytes_max must be 1024 to 268435460 bytes\n  2 | packet_bytes_max = 10\n    |                    ^^",
    );
    check(
        "[http]\nfilters_max = 0",
        "mynah.toml:2:15: http.filters_max has to be 1 to 255\n  2 | filters_max = 0\n    |               ^",
    );
    check(
        "workers = 257",
        "mynah.toml:1:11: there are at most 256 workers\n  1 | workers = 257\n    |           ^^^",
    );
}

fn listener(address: &str, more: &str) -> String {
    format!("[[listener]]\nname = \"a\"\nprotocol = \"mqtt\"\naddress = \"{address}\"\n{more}\n")
}

#[test]
fn nobody_is_let_in_from_the_network_without_a_password() {
    let open = "0.0.0.0:1883 is open to the network, and this listener would let anybody in: set auth = \"password\", \
                and users_file under [auth]";
    check(
        &listener("0.0.0.0:1883", ""),
        &format!("mynah.toml:4:11: {open}\n  4 | address = \"0.0.0.0:1883\"\n    |           ^^^^^^^^^^^^^^"),
    );
    check(
        &format!("{}[auth]\nusers_file = \"users\"\n", listener("0.0.0.0:1883", "auth = \"anonymous\"")),
        &format!("mynah.toml:5:8: {open}\n  5 | auth = \"anonymous\"\n    |        ^^^^^^^^^^^"),
    );
    check(
        &listener("0.0.0.0:1883", "auth = \"password\""),
        "mynah.toml:5:8: there are no passwords to check: set users_file under [auth] (`mynah user add` makes one)\n  \
         5 | auth = \"password\"\n    |        ^^^^^^^^^^",
    );
    for address in ["[::]:1883", "192.0.2.1:1883", "[2001:db8::1]:1883"] {
        assert_eq!(problems(&listener(address, "")).len(), 1, "{address}");
    }
    for address in ["127.0.0.1:1883", "127.1.2.3:1883", "[::1]:1883"] {
        assert!(settings(&listener(address, "")).listeners[0].admittance.anonymous, "{address}");
    }
}

#[test]
fn management_asks_who_comes_from_elsewhere() {
    let management =
        |address: &str, more: &str| listener(address, more).replace("\"mqtt\"", "\"management\"");
    let passwords = "[auth]\nusers_file = \"users\"\n";
    for (text, refused) in [
        (
            management("0.0.0.0:9090", ""),
            "a management listener that the network reaches asks who its clients are",
        ),
        (management("0.0.0.0:9090", "auth = \"anonymous\"") + passwords, "asks who its clients are"),
        (management("127.0.0.1:9090", "auth = \"password\""), "there are no passwords to check"),
        (
            management("127.0.0.1:9090", "auth = \"certificate\"") + passwords,
            "nobody has to show a certificate",
        ),
        (management("127.0.0.1:9090", "auth = \"none\"") + passwords, "is for listeners of CoAP"),
    ] {
        let problem = problems(&text).remove(0);
        assert!(problem.lines().next().unwrap().contains(refused), "{problem}");
    }
    for (address, more, anonymous) in [
        ("0.0.0.0:9090", "", false),
        ("127.0.0.1:9090", "auth = \"password\"", false),
        ("127.0.0.1:9090", "", true),
    ] {
        let admittance = settings(&(management(address, more) + passwords)).listeners[0].admittance;
        assert_eq!((admittance.anonymous, admittance.passwords), (anonymous, true), "{address} {more}");
    }
    let shown: Vec<_> = settings(passwords).listeners.iter().map(|l| l.admittance.anonymous).collect();
    assert_eq!(shown, [false, false, false, false, true]);
}

#[test]
fn a_users_file_makes_its_listeners_ask_for_passwords() {
    let text = format!("{}[auth]\nusers_file = \"users\"\n", listener("0.0.0.0:1883", ""));
    let settings = settings(&text);
    assert!(!settings.listeners[0].admittance.anonymous);
    assert_eq!(settings.users_file.as_deref(), Some(Path::new("users")));
    let relative = parse(Path::new("etc/mynah.toml"), &text).unwrap();
    assert_eq!(relative.users_file.as_deref(), Some(Path::new("etc/users")));
}

#[test]
fn a_profile_stands_over_the_keys_of_all_listeners() {
    let text = "[mqtt]\nreceive_max = 9\npublications_max = 8\n[profile.small]\npublications_max = 7\nqos_max = 1\n\
                server_reference = \"b\"\n";
    let settings = settings(&format!("{text}{}", listener("127.0.0.1:1883", "profile = \"small\"")));
    assert_eq!(settings.listeners[0].profile.as_deref(), Some("small"));
    let (all, small) = (settings.mqtt.settings(), settings.profiles["small"].settings());
    assert_eq!((small.receive_max.get(), small.publications_max.get(), small.qos_max.number()), (9, 7, 1));
    assert_eq!((all.publications_max.get(), all.qos_max.number(), &all.server_reference), (8, 2, &None));
    assert_eq!(small.server_reference.as_deref(), Some("b"));
}

#[test]
fn a_profile_that_is_wrong_is_shown_at_its_place() {
    check(
        "[profile.x]\nqos_max = 3\n",
        "mynah.toml:2:11: qos_max must be 0, 1 or 2\n  2 | qos_max = 3\n    |           ^",
    );
    check(
        "[mqtt]\ntopic_alias_max = 7000\n[profile.x]\nqos_max = 1\n",
        "mynah.toml:2:19: topic_alias_max must be 0 to 1000\n  2 | topic_alias_max = 7000\n    |                   ^^^^",
    );
    check(
        &listener("127.0.0.1:1883", "profile = \"y\""),
        "mynah.toml:5:11: there is no profile `y`: add [profile.y]\n  5 | profile = \"y\"\n    |           ^^^",
    );
    check(
        &format!(
            "[profile.y]\n{}",
            listener("127.0.0.1:1883", "profile = \"y\"").replace("\"mqtt\"", "\"http\"")
        ),
        "mynah.toml:6:11: profiles are for listeners of MQTT and STOMP\n  6 | profile = \"y\"\n    |           ^^^",
    );
}

#[test]
fn a_listener_of_stomp_may_spell_destinations_in_its_own_way() {
    let stomp = |profile: &str| {
        listener("127.0.0.1:61613", profile).replace("protocol = \"mqtt\"", "protocol = \"stomp\"")
    };
    let settings = settings(&stomp("profile = \"activemq\""));
    assert_eq!(settings.listeners[0].destinations, Some(mynah_stomp::mapping::Profile::ActiveMq));
    check(
        &stomp("profile = \"artemis\""),
        "mynah.toml:5:11: profiles of STOMP are \"rabbitmq\", \"activemq\" and \"plain\"\n  5 | profile = \"artemis\"\n    |           ^^^^^^^^^",
    );
}

#[test]
fn two_listeners_need_two_names_and_two_addresses() {
    let two = |name: &str, address: &str| {
        let second =
            format!("[[listener]]\nname = \"{name}\"\nprotocol = \"http\"\naddress = \"{address}\"\n");
        problems(&format!("{}{second}", listener("127.0.0.1:1", "")))
    };
    assert_eq!(
        two("a", "127.0.0.1:2"),
        [
            "mynah.toml:7:8: another listener is called `a` too; rename one\n  7 | name = \"a\"\n    |        ^^^"
        ]
    );
    assert_eq!(
        two("b", "127.0.0.1:1"),
        ["mynah.toml:9:11: listener `a` listens on 127.0.0.1:1 already; choose another port\n  \
          9 | address = \"127.0.0.1:1\"\n    |           ^^^^^^^^^^^^^"]
    );
    check(
        &listener("localhost:1883", ""),
        "mynah.toml:4:11: write an IP address and a port, such as \"127.0.0.1:1883\", \"0.0.0.0:1883\" or \"[::]:1883\"\n  \
         4 | address = \"localhost:1883\"\n    |           ^^^^^^^^^^^^^^^^",
    );
}

#[test]
fn what_stands_before_a_protocol_is_checked_where_it_is_written() {
    let lines = |address: &str, more: &str| -> Vec<String> {
        problems(&listener(address, more)).iter().map(|p| p.lines().next().unwrap().to_owned()).collect()
    };
    let wrong = |more: &str| lines("127.0.0.1:1883", more).remove(0);
    let tls =
        |more: &str| wrong(&format!("[listener.tls]\ncertificate = \"no.pem\"\nkey = \"no.key\"\n{more}"));
    assert_eq!(tls(""), "mynah.toml:6:15: no.pem: No such file or directory (os error 2)");
    let asks = tls("client_certificates = \"required\"");
    assert!(
        asks.starts_with("mynah.toml:5:2: client_ca is missing") || asks.contains(": client_ca is missing"),
        "{asks}"
    );
    assert_eq!(
        tls("crl = \"x\""),
        "mynah.toml:8:7: this says nothing unless client_certificates is \"optional\" or \"required\""
    );
    assert!(tls("min_version = \"1.1\"").contains("unknown value `1.1`"));
    assert!(
        wrong("websocket = { paths = [\"/x\"] }")
            .ends_with(": this says nothing without transport = \"websocket\"")
    );
    let websocket = |more: &str| wrong(&format!("transport = \"websocket\"\nwebsocket = {{ {more} }}"));
    assert_eq!(
        websocket("paths = [\"/mqtt\", \"mqtt\"]"),
        "mynah.toml:6:33: write a path as it stands in a URL, such as \"/mqtt\""
    );
    assert!(websocket("request_bytes_max = 1").ends_with(": request_bytes_max must be 256 to 65536 bytes"));
    assert!(websocket("message_bytes_max = 1").contains(": message_bytes_max must be 1024 to "));
    assert!(wrong("proxies = [\"10.0.0.0/99\"]").starts_with("mynah.toml:5:12: write a network such as"));
    assert!(wrong("proxies = []").starts_with("mynah.toml:5:11: name the networks"));
    assert!(wrong("proxies = [\"127.0.0.1\"]").contains("is open to the network"));
    assert!(wrong("socket_mode = \"0600\"").starts_with("mynah.toml:5:15: only a Unix socket"));
    assert!(lines("unix:/x", "socket_mode = \"9\"").remove(0).contains("octal digits"));
    assert!(lines("unix:/x", "proxies = [\"::/0\"]").remove(0).contains("with an IP address"));
    assert!(wrong("multicast = [\"eth0\"]").contains("multicast is for listeners of CoAP by UDP"));
    let coap = |address: &str, multicast: &str| {
        let more = format!("auth = \"none\"\nmulticast = {multicast}");
        problems(&listener(address, &more).replace("\"mqtt\"", "\"coap\"")).remove(0).to_string()
    };
    assert!(coap("127.0.0.1:1", "[\"eth0\"]").contains("at an address that the network reaches"));
    assert!(coap("0.0.0.0:1", "[\"\"]").contains("write the name of an interface"));
    let http = |more: &str| {
        let text = listener("127.0.0.1:80", more).replace("\"mqtt\"", "\"http\"");
        problems(&text).remove(0).to_string()
    };
    assert!(
        http("transport = \"websocket\"").contains("WebSocket is for listeners of MQTT, AMQP, STOMP or CoAP")
    );
    assert!(http("tls = { certificate = \"\", key = \"\" }").contains("certificate"));
}

#[test]
fn listeners_stand_behind_what_was_asked_for() {
    let text = format!(
        "{}{}",
        listener("127.0.0.1:8083", "transport = \"websocket\""),
        listener("unix:run/mqtt.sock", "socket_mode = \"0600\"").replace("\"a\"", "\"b\""),
    );
    let settings = parse(Path::new("/etc/mynah.toml"), &text).unwrap();
    let [first, second] = &settings.listeners[..] else { panic!("{settings:?}") };
    let websocket = first.entrance.websocket.as_ref().unwrap();
    assert_eq!((&*websocket.paths[0], &*websocket.protocols[0].name), ("/mqtt", "mqtt"));
    assert_eq!((second.address.to_string(), second.mode), ("unix:/etc/run/mqtt.sock".to_owned(), 0o600));
    assert!(second.admittance.anonymous, "only this machine reaches it");
}

#[test]
fn everything_that_is_wrong_with_values_is_told_at_once() {
    let text = "[[rule]]\nidentity = \"\"\naction = \"publish\"\ndeny = \"x\"\n[[rule]]\naction = \"publish\"\n\
                allow = [\"a/+b\"]\ndeny = [\"x%u\"]\n[mqtt]\npacket_bytes_max = 1\n";
    let firsts: Vec<_> = problems(text).iter().map(|p| p.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        firsts,
        [
            "mynah.toml:2:12: write a name, or leave the key out: then the rule is about everybody",
            "mynah.toml:7:10: a wildcard (+ or #) must stand alone in its segment",
            "mynah.toml:8:9: %u and %c must stand alone in their segment",
            "mynah.toml:10:20: packet_bytes_max must be 1024 to 268435460 bytes",
        ]
    );
}

#[test]
fn without_a_file_the_broker_serves_this_machine_only() {
    let settings = load(None).unwrap();
    let shown: Vec<_> = settings
        .listeners
        .iter()
        .map(|l| (l.protocol.name(), l.address.to_string(), l.admittance.anonymous))
        .collect();
    assert_eq!(
        shown,
        [
            ("mqtt", "127.0.0.1:1883".to_owned(), true),
            ("amqp091", "127.0.0.1:5672".to_owned(), true),
            ("stomp", "127.0.0.1:61613".to_owned(), true),
            ("coap", "udp:127.0.0.1:5683".to_owned(), true),
            ("http", "127.0.0.1:8080".to_owned(), true),
            ("management", "127.0.0.1:9090".to_owned(), true),
        ]
    );
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.mqtt, mynah_mqtt::Config::default());
    assert_eq!(settings.amqp091, mynah_amqp::v0_9_1::Config::default());
    assert_eq!(settings.coap, mynah_coap::CoapConfig::default());
    assert_eq!(settings.http, mynah_http::HttpConfig::default());
    assert_eq!(settings.stomp, mynah_stomp::Config::default());
    assert_eq!(settings.sys_interval, Some(Duration::from_secs(10)));
    assert!(settings.rules.rules.is_empty());
    assert!(parse(Path::new(""), "[sys]\ninterval_s = 0\n").unwrap().sys_interval.is_none());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load(Some(Path::new("no/such/mynah.toml"))).unwrap_err().to_string();
    assert_eq!(error, "no/such/mynah.toml: No such file or directory (os error 2) (check the path)");
}

/// The keys of a table and those of the tables in it, with their defaults.
fn keys(table: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    let join = |key: &str| if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| keys(&join(key), value, found)),
        Value::Array(entries) if entries.iter().all(Value::is_string) => {
            let texts: Vec<_> = entries.iter().map(ToString::to_string).collect();
            found.insert(table.to_owned(), format!("[{}]", texts.join(", ")));
        }
        Value::Array(entries) => entries.iter().for_each(|value| keys(table, value, found)),
        Value::String(text) => drop(found.insert(table.to_owned(), format!("\"{text}\""))),
        Value::Null => drop(found.insert(table.to_owned(), "none".to_owned())),
        other => drop(found.insert(table.to_owned(), other.to_string())),
    }
}

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).unwrap()
}

const TLS: &str = "[listener.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";

#[test]
fn certificates_say_who_a_peer_is_only_if_they_are_asked_for() {
    let text = format!("{}{TLS}identity_from = \"common-name\"\n", listener("0.0.0.0:8883", ""));
    let problem = problems(&text).remove(0);
    assert!(problem.contains("this says nothing unless client_certificates is"), "{problem}");
    let nobody = listener("0.0.0.0:1883", "auth = \"certificate\"");
    let problem = problems(&nobody).remove(0);
    assert!(
        problem.contains("no certificate says who a peer is: set client_certificates, client_ca"),
        "{problem}"
    );
}

#[test]
fn passwords_without_tls_stay_on_this_machine() {
    let listener = |address: &str| listener(address, "plaintext_auth = true");
    assert!(settings(&listener("127.0.0.1:1883")).listeners[0].admittance.plaintext_auth);
    let users = "[auth]\nusers_file = \"users\"\n";
    let problem = problems(&format!("{}{users}", listener("0.0.0.0:1883"))).remove(0);
    assert!(problem.contains("passwords would be there for everybody on the network to read"), "{problem}");
}

#[test]
fn tenants_have_names_and_numbers() {
    let with = |tenants: &str, tenant: &str| {
        format!("{}[tenants]\n{tenants}\n", listener("127.0.0.1:1883", &format!("tenant = \"{tenant}\"")))
    };
    let named = settings(&with("factory = 4", "factory"));
    assert_eq!(named.listeners[0].admittance.tenant, TenantId::new(4));
    assert_eq!(named.tenants.get("factory"), Some(TenantId::new(4)));
    assert_eq!(settings(&with("", "default")).listeners[0].admittance.tenant, TenantId::DEFAULT);
    for (tenants, tenant, words) in [
        ("factory = 4", "lab", "there is no tenant `lab`: add `lab = NUMBER` under [tenants]"),
        ("a = 4\nb = 4", "a", "the tenant `a` has this number"),
        ("a = 0", "a", "the number 0 belongs to the tenant `default`"),
        ("default = 1", "default", "is there without being named"),
        ("\"a b\" = 1", "a b", "is not usable for a group or a tenant"),
    ] {
        let problem = problems(&with(tenants, tenant)).remove(0);
        assert!(problem.contains(words), "{problem}");
    }
}

#[test]
fn failures_that_are_free_can_be_chosen() {
    let chosen = settings("[auth]\npair_failures_max = 2\nfailures_remembered_max = 100\n").throttle;
    let expected = ThrottleSettings { pair_failures: 2, entries_max: 100, ..ThrottleSettings::default() };
    assert_eq!(chosen, expected);
    let problem = problems("[auth]\nfailures_remembered_max = 16777217\n").remove(0);
    assert!(problem.contains("failures_remembered_max must be 1 to 16777216"), "{problem}");
}

#[test]
fn the_example_of_the_document_can_be_used() {
    let page = page();
    let settings = settings(page.split("```toml").nth(1).unwrap().split("```").next().unwrap());
    assert!(!settings.listeners[0].admittance.anonymous);
    assert!(!settings.rules.rules.is_empty());
}

#[test]
fn the_document_lists_every_key_with_its_default() {
    let text = "[[listener]]\nname = \"\"\nprotocol = \"mqtt\"\naddress = \"\"\nwebsocket = {}\nproxies = [\"\"]\n\
                tls = { certificate = \"\", key = \"\", additional = [{ certificate = \"\", key = \"\" }] }\n\
                [[rule]]\nlimits = {}\n\
                [[bridge]]\nname = \"\"\naddress = \"\"\ntls = { ca = \"\" }\ntopics = [{ direction = \"in\", filter = \"\" }]\n\
                [auth.jwt]\nalgorithms = [\"\"]\nissuer = \"\"\naudience = [\"\"]\n[auth.http]\nurl = \"\"\n\
                [auth.ldap]\nurl = \"\"\nsearch = { bind_dn = \"\", password_file = \"\", base = \"\", filter = \"\" }\n\
                groups_search = { base = \"\", filter = \"\" }\n";
    let document: Document = toml::from_str(text).unwrap();
    let mut expected = BTreeMap::new();
    keys("", &serde_json::to_value(&document).unwrap(), &mut expected);
    // What these say has no default, or one that depends on other keys.
    let own = |key: &str| {
        let tables = ["listener.", "rule.", "bridge.", "auth.jwt.", "auth.http.", "auth.ldap."];
        tables.iter().any(|table| key.starts_with(table))
    };

    let page = page();
    let mut listed = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
        listed.insert(cells[1].clone(), cells[3].clone());
    }
    let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&listed), names(&expected));
    for (key, default) in expected.iter().filter(|(key, _)| !own(key)) {
        assert_eq!(&listed[key], default, "the default of {key}");
    }
}

proptest! {
    /// Any text is read or refused with a place inside it, never a panic.
    #[test]
    fn any_text_is_read_or_refused(text in "(\\[\\[?[a-z]{1,8}\\]?\\]|[a-z_]{1,9} = [0-9\"a-zäß.-]{0,9}|\\PC{0,20}|\n|\t){0,12}") {
        if let Err(problems) = parse(Path::new("x"), &text) {
            for problem in problems {
                prop_assert!(problem.to_string().starts_with("x:"));
            }
        }
    }
}

#[test]
fn keys_of_stomp_are_checked_at_their_places() {
    let chosen = settings("[stomp]\ndestinations = \"plain\"\nprefetch_messages = 7\n").stomp;
    assert_eq!(chosen.settings().profile, mynah_stomp::mapping::Profile::Plain);
    assert_eq!(chosen.settings().prefetch_messages.get(), 7);
    for (line, words) in [
        ("frame_bytes_max = 1", "frame_bytes_max must be 1024 to 268435456"),
        ("connect_timeout_s = 0", "connect_timeout_s must be 1 to 600 seconds"),
        ("heart_beat_ms_min = 9", "heart_beat_ms_min must be 10 to 3600000"),
        ("prefetch_messages = 70000", "prefetch_messages must not be more than prefetch_messages_max"),
        ("transaction_bytes_max = 1", "transaction_bytes_max must be 1024 to 1073741824"),
    ] {
        let problem = problems(&format!("[stomp]\n{line}\n")).remove(0);
        assert!(problem.contains(words) && problem.contains("mynah.toml:2:"), "{problem}");
    }
}

#[test]
fn keys_of_amqp_are_checked_at_their_places() {
    let chosen =
        settings("[tenants]\nacme = 1\n[amqp091]\nheartbeat_s = 7\nmechanisms = [\"EXTERNAL\"]\n").amqp091;
    assert_eq!((chosen.settings().heartbeat, chosen.settings().mechanisms.len()), (7, 1));
    assert_eq!(chosen.settings().tenants, [Box::from("acme")]);
    for (line, words) in [
        ("frame_bytes_max = 1", "frame_bytes_max must be 4096 to 16777216 bytes"),
        ("virtual_hosts = []", "virtual_hosts needs at least one name"),
        (
            "mechanisms = [\"X\"]",
            "unknown mechanism `X`; there are: PLAIN, AMQPLAIN, SCRAM-SHA-256, EXTERNAL",
        ),
        ("contents_bytes_max = 1", "contents_bytes_max must not be less than body_bytes_max"),
    ] {
        let problem = problems(&format!("[amqp091]\n{line}\n")).remove(0);
        assert!(problem.contains(words) && problem.contains("mynah.toml:2:"), "{problem}");
    }
}
