//! Debian's `mosquitto_pub` and `mosquitto_sub`, speaking MQTT 3.1.1.

use std::process::Command;

use mynah_interop::{Broker, Finished, Process, Setup, line_buffered};

use crate::on_one_and_two_workers;

on_one_and_two_workers!(
    every_qos_arrives_and_the_lower_of_the_two_counts,
    wildcards_match_as_the_specification_says,
    a_retained_message_comes_first_and_can_be_cleared,
    a_session_keeps_messages_for_an_absent_client,
    the_will_of_a_killed_client_is_published,
    a_large_payload_arrives_byte_for_byte,
    lines_keep_their_order,
);

/// Says which broker, and what to do there.
fn at<'c>(command: &'c mut Command, broker: &Broker, arguments: &[&str]) -> &'c mut Command {
    let (host, port) = (broker.mqtt.ip().to_string(), broker.mqtt.port().to_string());
    command.args(["-V", "mqttv311", "-h", &host, "-p", &port]).args(arguments)
}

/// `mosquitto_sub`, which prints `> topic qos retain payload` for each message.
pub(crate) fn subscribe(broker: &Broker, arguments: &[&str]) -> Process {
    let mut command = line_buffered("mosquitto_sub");
    Process::start(at(command.args(["-d", "-F", "> %t %q %r %p"]), broker, arguments))
}

/// The same, once the broker has acknowledged the subscription.
pub(crate) fn subscribed(broker: &Broker, arguments: &[&str]) -> Process {
    let mut process = subscribe(broker, arguments);
    process.line("that it is subscribed", |line| line.starts_with("Subscribed "));
    process
}

/// The next message that a `mosquitto_sub` prints.
#[track_caller]
pub(crate) fn message(subscriber: &mut Process) -> String {
    subscriber.line("a message", |line| line.starts_with("> ")).split_off(2)
}

/// The messages of a `mosquitto_sub` that ends by itself.
#[track_caller]
pub(crate) fn messages(subscriber: Process) -> Vec<String> {
    let output = subscriber.finish().success();
    output.lines().filter_map(|line| line.strip_prefix("> ")).map(str::to_owned).collect()
}

/// `mosquitto_pub`, with lines for it to publish if `-l` is among the arguments.
#[track_caller]
pub(crate) fn published(broker: &Broker, arguments: &[&str], lines: &str) -> Finished {
    let mut command = Command::new("mosquitto_pub");
    Process::start_with(at(&mut command, broker, arguments), lines.as_bytes().to_vec()).finish()
}

/// Publishes, and waits for the acknowledgement.
#[track_caller]
pub(crate) fn publish(broker: &Broker, arguments: &[&str]) {
    let _ = published(broker, arguments, "").success();
}

fn every_qos_arrives_and_the_lower_of_the_two_counts(workers: u16) {
    let broker = Setup::workers(workers).start();
    for wanted in ["0", "1", "2"] {
        let subscriber = subscribed(&broker, &["-t", "q/+", "-q", wanted, "-C", "3"]);
        for qos in ["0", "1", "2"] {
            publish(&broker, &["-t", &format!("q/{qos}"), "-q", qos, "-m", "hello"]);
        }
        let expected = ["0", "1", "2"].map(|qos| format!("q/{qos} {} 0 hello", qos.min(wanted)));
        let mut found = messages(subscriber);
        // Order is kept for one publisher, and these are three.
        found.sort_unstable();
        assert_eq!(found, expected, "subscribed with QoS {wanted}");
    }
}

fn wildcards_match_as_the_specification_says(workers: u16) {
    let broker = Setup::workers(workers).start();
    let mut one = subscribed(&broker, &["-t", "sport/+/player1", "-q", "1"]);
    let mut tail = subscribed(&broker, &["-t", "sport/#", "-q", "1"]);
    let mut leading = subscribed(&broker, &["-t", "+/+", "-q", "1"]);
    let mut all = subscribed(&broker, &["-t", "#", "-q", "1"]);
    let topics = [
        "sport/tennis/player1",
        "sport",
        "/finance",
        "$private/x",
        "sport/tennis/player1/ranking",
        "end/end",
    ];
    for topic in topics.into_iter().chain(["sport/end/player1"]) {
        publish(&broker, &["-t", topic, "-m", topic, "-q", "1"]);
    }
    let until = |subscriber: &mut Process, last: &str| {
        let mut found: Vec<String> = Vec::new();
        while found.last().is_none_or(|topic| topic != last) {
            found.push(message(subscriber).split(' ').next().unwrap().to_owned());
        }
        found
    };
    let last = "sport/end/player1";
    assert_eq!(until(&mut one, last), ["sport/tennis/player1", last]);
    assert_eq!(
        until(&mut tail, last),
        ["sport/tennis/player1", "sport", "sport/tennis/player1/ranking", last]
    );
    assert_eq!(until(&mut leading, "end/end"), ["/finance", "end/end"]);
    let public: Vec<&str> =
        topics.into_iter().filter(|topic| !topic.starts_with('$')).chain([last]).collect();
    assert_eq!(until(&mut all, last), public);
}

fn a_retained_message_comes_first_and_can_be_cleared(workers: u16) {
    let broker = Setup::workers(workers).start();
    publish(&broker, &["-t", "state/a", "-m", "old", "-r", "-q", "1"]);
    publish(&broker, &["-t", "state/a", "-m", "new", "-r", "-q", "2"]);
    publish(&broker, &["-t", "state/b", "-m", "b", "-r"]);
    let mut subscriber = subscribed(&broker, &["-t", "state/a", "-q", "2"]);
    assert_eq!(message(&mut subscriber), "state/a 2 1 new");
    publish(&broker, &["-t", "state/a", "-r", "-n", "-q", "1"]);
    assert_eq!(message(&mut subscriber), "state/a 1 0 ");
    let left = subscribe(&broker, &["-t", "state/#", "-C", "1"]);
    assert_eq!(messages(left), ["state/b 0 1 b"]);
}

fn a_session_keeps_messages_for_an_absent_client(workers: u16) {
    let broker = Setup::workers(workers).start();
    let session = ["-t", "kept/#", "-c", "-i", "absent", "-q", "2"];
    // Ends as soon as the broker has acknowledged the subscription.
    let _ = messages(subscribe(&broker, &[&session[..], &["-E"]].concat()));
    for (qos, payloads) in [("1", ["a", "b"]), ("2", ["c", "d"])] {
        for payload in payloads {
            publish(&broker, &["-t", &format!("kept/{qos}"), "-m", payload, "-q", qos]);
        }
        publish(&broker, &["-t", "elsewhere", "-m", "x", "-q", qos]);
    }
    let back = messages(subscribe(&broker, &[&session[..], &["-C", "4"]].concat()));
    // What comes with QoS 2 is shown once its handshake is over, so the two kinds mix.
    let (once, exactly): (Vec<&str>, Vec<&str>) =
        back.iter().map(String::as_str).partition(|message| message.starts_with("kept/1"));
    assert_eq!((once, exactly), (vec!["kept/1 1 0 a", "kept/1 1 0 b"], vec!["kept/2 2 0 c", "kept/2 2 0 d"]));

    // A clean session ends the old one: there is nothing left to come but what is published now.
    publish(&broker, &["-t", "kept/x", "-m", "lost", "-q", "1"]);
    let clean = subscribed(&broker, &["-t", "kept/#", "-i", "absent", "-q", "1", "-C", "1"]);
    publish(&broker, &["-t", "kept/x", "-m", "seen", "-q", "1"]);
    assert_eq!(messages(clean), ["kept/x 1 0 seen"]);
}

fn the_will_of_a_killed_client_is_published(workers: u16) {
    let broker = Setup::workers(workers).start();
    let mut witness = subscribed(&broker, &["-t", "wills/#", "-q", "1"]);
    let will = |topic| {
        let mut arguments = vec!["-t", "x", "--will-topic", topic, "--will-payload", "gone"];
        arguments.extend(["--will-qos", "1", "--will-retain"]);
        arguments
    };
    // Who takes leave leaves no will.
    let _ = messages(subscribe(&broker, &[&will("wills/polite")[..], &["-E"]].concat()));
    subscribed(&broker, &will("wills/killed")).kill();
    assert_eq!(message(&mut witness), "wills/killed 1 0 gone");
    let later = subscribe(&broker, &["-t", "wills/#", "-C", "1"]);
    assert_eq!(messages(later), ["wills/killed 0 1 gone"]);
}

fn a_large_payload_arrives_byte_for_byte(workers: u16) {
    let broker = Setup::workers(workers).start();
    // No line ends and no zero bytes are spared, and no two kilobytes are alike.
    let payload: Vec<u8> = (0..1_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sent = broker.folder().write("large", &payload);
    for qos in ["0", "2"] {
        let mut subscriber = subscribed(&broker, &["-t", "large", "-q", "2", "-F", "> %x"]);
        publish(&broker, &["-t", "large", "-q", qos, "-f", sent.to_str().unwrap()]);
        let found = message(&mut subscriber);
        let expected: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(found == expected, "{} of {} digits arrived, or others", found.len(), expected.len());
    }
}

fn lines_keep_their_order(workers: u16) {
    let broker = Setup::workers(workers).start();
    let lines: String = (0..1_000).map(|number| format!("{number}\n")).collect();
    for qos in ["0", "1", "2"] {
        let subscriber = subscribed(&broker, &["-t", "lines", "-q", qos, "-C", "1000", "-F", "> %p"]);
        let _ = published(&broker, &["-t", "lines", "-q", qos, "-l"], &lines).success();
        assert_eq!(messages(subscriber).join("\n") + "\n", lines, "QoS {qos}");
    }
}

#[test]
fn a_password_lets_in_and_a_wrong_one_does_not() {
    let broker = Setup::workers(1).user("ada", "engine").user("bob", "builder").start();
    let mut subscriber = subscribed(&broker, &["-t", "a", "-u", "bob", "-P", "builder"]);
    publish(&broker, &["-t", "a", "-m", "hello", "-u", "ada", "-P", "engine", "-q", "1"]);
    assert_eq!(message(&mut subscriber), "a 0 0 hello");
    for wrong in [&["-u", "ada", "-P", "builder"][..], &["-u", "eve", "-P", "engine"], &["-u", "ada"], &[]] {
        let arguments = [&["-t", "a", "-m", "refused", "-q", "1"][..], wrong].concat();
        let refused = published(&broker, &arguments, "");
        assert_eq!(refused.code, Some(4), "{wrong:?}: {refused:?}");
        assert!(refused.error.contains("bad user name or password"), "{wrong:?}: {refused:?}");
    }
}

#[test]
fn rules_decide_who_reads_and_writes_what() {
    let rules = r##"
[[rule]]
action = "subscribe"
deny = ["secret/#"]
[[rule]]
identity = "ada"
action = "publish"
allow = ["devices/%u/#"]
"##;
    let broker = Setup::workers(1).user("ada", "engine").user("bob", "builder").more(rules).start();
    let (ada, bob) = (["-u", "ada", "-P", "engine"], ["-u", "bob", "-P", "builder"]);
    let denied = subscribe(&broker, &[&["-t", "secret/plan"][..], &bob].concat()).finish();
    assert!(denied.output.contains("\nSubscribed (mid: 1): 128\n"), "{denied:?}");
    let mut witness = subscribed(&broker, &[&["-t", "devices/#", "-q", "1"][..], &bob].concat());
    // A refused publication is acknowledged all the same; this version has no other answer.
    publish(&broker, &[&["-t", "devices/bob/x", "-m", "refused", "-q", "1"][..], &ada].concat());
    publish(&broker, &[&["-t", "devices/ada/x", "-m", "allowed", "-q", "1"][..], &ada].concat());
    assert_eq!(message(&mut witness), "devices/ada/x 1 0 allowed");
}

#[test]
fn a_subscription_that_reaches_too_far_is_refused_or_sifted() {
    let rule = "[[rule]]\naction = \"subscribe\"\ndeny = [\"secret/#\"]\n";
    let strict = Setup::workers(1).more(rule).start();
    let denied = subscribe(&strict, &["-t", "#"]).finish();
    assert!(denied.output.contains("\nSubscribed (mid: 1): 128\n"), "{denied:?}");

    let sifting = Setup::workers(1).more(rule).more("check = \"delivery\"\n").start();
    publish(&sifting, &["-t", "secret/plan", "-m", "x", "-q", "1", "-r"]);
    let mut subscriber = subscribed(&sifting, &["-t", "#", "-q", "1"]);
    publish(&sifting, &["-t", "secret/plan", "-m", "y", "-q", "1"]);
    publish(&sifting, &["-t", "open", "-m", "z", "-q", "1"]);
    assert_eq!(message(&mut subscriber), "open 1 0 z");
}

#[test]
fn the_broker_tells_of_itself() {
    let broker = Setup::workers(2).more("[sys]\ninterval_s = 1\n").start();
    let version = subscribe(&broker, &["-t", "$SYS/broker/version", "-C", "1"]);
    assert_eq!(messages(version), [format!("$SYS/broker/version 0 1 mynah {}", env!("CARGO_PKG_VERSION"))]);
    let forged = subscribed(&broker, &["-t", "$SYS/forged", "-t", "end", "-C", "1", "-q", "1"]);
    publish(&broker, &["-t", "$SYS/forged", "-m", "x", "-q", "1"]);
    publish(&broker, &["-t", "end", "-m", "x", "-q", "1"]);
    assert_eq!(messages(forged), ["end 1 0 x"]);
}
