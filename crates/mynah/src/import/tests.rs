//! Lines of `mosquitto.conf`, and the tables that they become.

use std::path::Path;

use super::bridges::bridge;
use super::lines::{Conf, parse, sorted};
use super::listeners::listener;
use super::notes::{Note, comments, quoted};

fn conf(text: &str) -> (Conf, Vec<Note>) {
    let mut notes = Vec::new();
    (sorted(parse(Path::new("m.conf"), &Path::new("/etc/m").into(), text), &mut notes), notes)
}

/// The tables of the listeners, and what was noted of them.
fn listeners(text: &str) -> (Vec<String>, Vec<String>) {
    let (conf, mut notes) = conf(text);
    let sections = conf.listeners.iter();
    let texts = sections.filter_map(|section| listener(&conf, section, "l", &mut notes));
    let texts = texts.map(|listener| listener.text).collect();
    (texts, notes.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn one_listener(text: &str, expected: &str) {
    let (texts, notes) = listeners(text);
    let expected = format!("\n[[listener]]\nname = \"l\"\nprotocol = \"mqtt\"\n{expected}");
    assert_eq!(texts, [expected], "{notes:?}");
    assert_eq!(notes, [""; 0]);
}

/// Nothing is there but the note that begins so, and has the second text.
#[track_caller]
fn no_listener(text: &str, place: &str, why: &str) {
    let (texts, notes) = listeners(text);
    assert_eq!(texts, [""; 0]);
    assert!(notes.len() == 1 && notes[0].starts_with(place) && notes[0].contains(why), "{notes:?}");
    assert!(notes[0].contains("is left out"), "{notes:?}");
}

#[test]
fn options_belong_to_the_broker_a_listener_or_a_bridge() {
    let text = "# comment\npersistence true\n\nlistener 1883\nallow_anonymous true\nmax_qos 1\n  sys_interval  5\n\
                connection b\naddress h\nlistener 1884\nmax_qos 0\nmax_qos 2\nunheard of\ntopic x\n";
    let (conf, notes) = conf(text);
    assert_eq!((conf.listeners.len(), conf.bridges.len(), conf.is_local), (2, 1, false));
    assert_eq!(conf.listeners[0].value("max_qos"), Some("1"));
    assert_eq!(conf.listeners[1].value("max_qos"), Some("2"));
    assert_eq!(conf.broker.value("sys_interval"), Some("5"));
    assert_eq!(conf.bridges[0].value("topic"), Some("x"));
    assert!(conf.listeners.iter().all(|listener| conf.allows_anonymous(listener)));
    let notes: Vec<_> = notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["m.conf:13: unheard: no option of Mosquitto 2.0 that is known here"]);
}

#[test]
fn settings_of_each_listener_hold_there_alone() {
    let text = "per_listener_settings true\nlistener 1\nallow_anonymous true\nlistener 2\n";
    let (conf, _) = conf(text);
    let allows: Vec<_> = conf.listeners.iter().map(|listener| conf.allows_anonymous(listener)).collect();
    assert_eq!(allows, [true, false]);
}

#[test]
fn without_a_listener_this_machine_is_served_and_anybody_on_it() {
    one_listener("", "address = \"127.0.0.1:1883\"\nauth = \"anonymous\"\n");
    one_listener("port 1884\n", "address = \"[::]:1884\"\nauth = \"password\"\n");
    one_listener(
        "bind_address 10.0.0.1\nsocket_domain ipv4\n",
        "address = \"10.0.0.1:1883\"\nauth = \"password\"\n",
    );
    // A default listener beside others is there only if something is said of it.
    assert_eq!(listeners("listener 1\n").0.len(), 1);
    assert_eq!(listeners("port 5\nlistener 1\n").0.len(), 2);
}

#[test]
fn addresses_are_those_of_mosquitto() {
    one_listener("listener 1 ::1\n", "address = \"[::1]:1\"\nauth = \"password\"\n");
    one_listener(
        "listener 1\nsocket_domain ipv4\nprotocol websockets\n",
        "address = \"0.0.0.0:1\"\ntransport = \"websocket\"\nauth = \"password\"\n",
    );
    one_listener(
        "listener 0 /run/m.sock\nallow_anonymous true\n",
        "address = \"unix:/run/m.sock\"\nauth = \"anonymous\"\n",
    );
    no_listener("listener 1 broker.example\n", "m.conf:1: listener: ", "IP address");
    no_listener("listener 1\nprotocol mqttsn\n", "m.conf:2: protocol: ", "not spoken");
}

#[test]
fn tls_and_certificates_are_taken_over() {
    one_listener(
        "listener 1\ncafile ca.pem\ncertfile c.pem\nkeyfile /k.pem\ntls_version tlsv1.3\n",
        "address = \"[::]:1\"\nauth = \"password\"\n[listener.tls]\ncertificate = \"/etc/m/c.pem\"\n\
         key = \"/k.pem\"\nmin_version = \"1.3\"\n",
    );
    one_listener(
        "listener 1\ncafile ca.pem\ncertfile c.pem\nkeyfile k.pem\ncrlfile r.pem\nrequire_certificate true\n\
         use_identity_as_username true\nuse_subject_as_username true\n",
        "address = \"[::]:1\"\nauth = \"certificate\"\n[listener.tls]\ncertificate = \"/etc/m/c.pem\"\n\
         key = \"/etc/m/k.pem\"\nclient_certificates = \"required\"\nclient_ca = \"/etc/m/ca.pem\"\n\
         crl = \"/etc/m/r.pem\"\nidentity_from = \"common-name\"\n",
    );
    no_listener("listener 1\ncertfile c\n", "m.conf:2: certfile: ", "belong together");
    no_listener("listener 1\ncafile c\n", "m.conf:2: cafile: ", "certfile is missing");
    let text = "listener 1\ncapath d\ncertfile c\nkeyfile k\nrequire_certificate true\n";
    no_listener(text, "m.conf:2: capath: ", "one file");
}

#[test]
fn what_would_open_a_listener_is_left_out() {
    for option in [
        "mount_point site/",
        "psk_hint x",
        "bind_interface eth0",
        "use_subject_as_username true",
        "use_username_as_clientid true",
    ] {
        no_listener(&format!("listener 1\n{option}\n"), "m.conf:2: ", "");
    }
    // The network gets in with a password only.
    let (texts, notes) = listeners("listener 1\nallow_anonymous true\n");
    assert!(texts[0].contains("auth = \"password\"") && notes[0].starts_with("m.conf:2: "), "{notes:?}");
}

#[test]
fn bridges_are_taken_over_with_their_topics() {
    let text = "connection site 7\naddress a.example b.example:1\ntopic # both 2 l/ r/\ntopic x\n\
                topic y in 1 \"\" r/\ntopic \"\" out 0 a b\nremote_username u\nremote_password secret\n\
                remote_clientid c\ncleansession true\nkeepalive_interval 30\nbridge_protocol_version mqttv50\n\
                bridge_cafile ca\n";
    let (conf, mut notes) = conf(text);
    let bridge = bridge(&conf.bridges[0], &mut notes).unwrap();
    let expected = "\n[[bridge]]\nname = \"site 7\"\naddress = \"a.example:1883\"\nversion = \"5.0\"\n\
        client_id = \"c\"\nuser = \"u\"\npassword_file = \"bridge-site_7-1.password\"\nclean = true\n\
        keep_alive_s = 30\ntopics = [\n    \
        { direction = \"both\", filter = \"#\", qos = 2, local_prefix = \"l/\", remote_prefix = \"r/\" },\n    \
        { direction = \"out\", filter = \"x\", qos = 0 },\n    \
        { direction = \"in\", filter = \"y\", qos = 1, remote_prefix = \"r/\" },\n]\n\
        [bridge.tls]\nca = \"/etc/m/ca\"\n";
    assert_eq!(bridge.text, expected);
    assert_eq!(bridge.password, Some(("bridge-site_7-1.password".to_owned(), "secret".to_owned())));
    let places: Vec<_> = notes.iter().map(|note| note.place.as_str()).collect();
    assert_eq!(places, ["m.conf:2", "m.conf:6"]);
    assert!(!format!("{notes:?}").contains("secret"));
}

#[test]
fn a_bridge_that_would_trust_anybody_is_left_out() {
    for option in ["bridge_insecure true\nbridge_cafile c", "bridge_psk 00", "bridge_capath d"] {
        let (conf, mut notes) = conf(&format!("connection b\naddress a\ntopic #\n{option}\n"));
        assert!(bridge(&conf.bridges[0], &mut notes).is_none());
        assert!(notes[0].place == "m.conf:4" && notes[0].why.contains("left out"), "{notes:?}");
    }
}

#[test]
fn text_of_others_stays_text() {
    let hostile = "a\"\n[auth]\\\u{7f}";
    let table: toml::Table = format!("x = {}", quoted(hostile)).parse().unwrap();
    assert_eq!(table["x"].as_str(), Some(hostile));
    let comments = comments(&[Note::new("p", "a\nb = 1\r", "why\u{85}")]);
    assert_eq!(comments.lines().count(), 1);
    assert!(comments.parse::<toml::Table>().unwrap().is_empty());
}
