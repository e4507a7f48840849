//! Tests of `[[bridge]]`: what its table says, and where it is told what is wrong with it.

use super::tests::{problems, settings};

/// A bridge with these keys beside.
fn bridge(more: &str, topic: &str) -> String {
    format!(
        "[[bridge]]\nname = \"far\"\naddress = \"broker.example:1883\"\n{more}\n\
         topics = [{{ direction = \"in\", filter = \"a/#\"{topic} }}]\n"
    )
}

#[test]
fn a_bridge_is_what_its_table_says() {
    let settings =
        settings(&bridge("version = \"5.0\"\nkeep_alive_s = 7", ", qos = 2, remote_prefix = \"x/\""));
    let [bridge] = &settings.bridges[..] else { panic!("{settings:?}") };
    assert_eq!((&*bridge.name, &*bridge.address), ("far", "broker.example:1883"));
    let options = &bridge.options;
    assert_eq!(
        (options.version, &*options.client_id, options.keep_alive),
        (mynah_mqtt::Version::V5, "mynah-far", 7)
    );
    assert!(!options.clean_session);
    assert_eq!(options.v5.session_expiry, u32::MAX);
    let topic = &bridge.topics[0];
    assert_eq!(
        (&*topic.filter, &*topic.remote_prefix, topic.class_max),
        ("a/#", "x/", mynah_model::Class::ExactlyOnce)
    );
}

#[test]
fn what_is_wrong_with_a_bridge_is_told_at_its_place() {
    let first = |text: &str| problems(text).remove(0).lines().next().unwrap().to_owned();
    assert_eq!(
        first(&bridge("", "").replace(":1883", "")),
        "mynah.toml:3:11: write a host and a port, such as \"broker.example:1883\""
    );
    assert_eq!(first(&bridge("", ", qos = 3")), "mynah.toml:5:53: write 0, 1 or 2");
    assert_eq!(
        first(&bridge("", "").replace("a/#", "a#")),
        "mynah.toml:5:40: misplaced wildcard in a topic filter [MQTT-4.7.1-2]"
    );
    assert_eq!(
        first(&bridge("", ", remote_prefix = \"+\"")),
        "mynah.toml:5:40: a prefix is the beginning of a topic, without wildcards"
    );
    assert_eq!(
        first(&bridge("bridge_bit = true\nversion = \"5.0\"", "")),
        "mynah.toml:2:8: only MQTT 3.1.1 has a bridge_bit; MQTT 5.0 asks for No Local instead"
    );
    assert!(
        first(&bridge("password_file = \"no/such\"\nuser = \"u\"", ""))
            .starts_with("mynah.toml:4:17: no/such: No such file")
    );
    assert_eq!(
        first(&[bridge("", ""), bridge("", "")].concat()),
        "mynah.toml:7:8: another bridge is called `far` too; rename one"
    );
}

#[test]
fn what_is_wrong_with_the_tls_of_a_bridge_is_told_at_its_place() {
    let first = |keys: &str| {
        problems(&bridge(&format!("tls = {{ {keys} }}"), "")).remove(0).lines().next().unwrap().to_owned()
    };
    assert_eq!(first("ca = \"no.pem\""), "mynah.toml:4:14: no.pem: No such file or directory (os error 2)");
    assert_eq!(first("key = \"k\""), "mynah.toml:4:7: the key `ca` is missing here");
    assert_eq!(
        first("ca = \"\", certificate = \"c\""),
        "mynah.toml:4:32: a certificate needs its key: set key"
    );
    assert_eq!(
        first("ca = \"\", key = \"k\""),
        "mynah.toml:4:24: a key needs its certificate: set certificate"
    );
    assert_eq!(
        first("ca = \"\", certificate = \"no.pem\", key = \"no.key\""),
        "mynah.toml:4:32: no.pem: No such file or directory (os error 2)"
    );
    assert_eq!(
        first("ca = \"\", server_name = \"a b\""),
        "mynah.toml:4:32: no certificate can be for `a b`: set tls.server_name"
    );
}
