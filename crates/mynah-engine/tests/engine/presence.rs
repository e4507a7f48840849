//! Who is here: values that nobody has published, for those who ask.

use std::collections::BTreeMap;
use std::time::Duration;

use mynah_core::rules::Action;

use crate::broker::Broker;
use crate::rules::{broker, rule};

/// What a peer has heard of who is here: the last state of each topic, `None` where the value was cleared.
fn heard(broker: &mut Broker, peer: usize) -> BTreeMap<String, Option<String>> {
    let mut states = BTreeMap::new();
    for line in broker.hear(peer).lines().filter(|line| line.contains("$presence/")) {
        let (_, line) = line.split_once("$presence/").unwrap();
        let (topic, state) = line.split_once(' ').unwrap();
        states.insert(topic.to_owned(), (!state.is_empty()).then(|| state.to_owned()));
    }
    states
}

fn online(second: u32) -> Option<String> {
    Some(format!(r#"{{"state":"online","protocol":"lines","since":"1970-01-01T00:00:{second:02}.000Z"}}"#))
}

fn offline(second: u32) -> Option<String> {
    Some(format!(r#"{{"state":"offline","since":"1970-01-01T00:00:{second:02}.000Z"}}"#))
}

fn states(all: &[(&str, Option<String>)]) -> BTreeMap<String, Option<String>> {
    all.iter().map(|(topic, state)| ((*topic).to_owned(), state.clone())).collect()
}

#[test]
fn a_subscriber_sees_who_is_here_and_hears_of_changes() {
    for workers in [1, 2] {
        let mut broker = Broker::new(workers);
        let gone = broker.open(0, "open gone stay");
        let here = broker.open(0, "open a/b+c go");
        for i in 0..4 {
            broker.open(0, &format!("open s{i} go"));
        }
        broker.advance(Duration::from_secs(1));
        broker.cut(gone);
        let watcher = broker.open(0, "open w go");
        broker.say(watcher, "sub # 0\nsub $presence/# 0");
        let mut expected =
            vec![("open/a%2Fb%2Bc", online(1)), ("open/gone", offline(2)), ("open/w", online(2))];
        let others = ["open/s0", "open/s1", "open/s2", "open/s3"];
        expected.extend(others.map(|name| (name, online(1))));
        assert_eq!(heard(&mut broker, watcher), states(&expected));

        broker.advance(Duration::from_secs(1));
        broker.cut(here);
        let late = broker.open(workers as usize - 1, "open late stay");
        broker.open(0, "open gone stay");
        let changes = [("open/a%2Fb%2Bc", None), ("open/gone", online(3)), ("open/late", online(3))];
        assert_eq!(heard(&mut broker, watcher), states(&changes));
        broker.cut(late);
        assert_eq!(heard(&mut broker, watcher), states(&[("open/late", offline(3))]));

        let second = broker.open(0, "open w2 go");
        broker.say(
            second,
            "sub $presence/open/late 1\nread $presence/open/late\nread $presence/open/a%2Fb%2Bc",
        );
        let late = offline(3).unwrap();
        assert_eq!(
            broker.hear(second),
            format!(
                "subscribed 1\nvalue Some({late:?})\nvalue None\nmsg 0 0 retained $presence/open/late {late}\n"
            )
        );
        assert_eq!(broker.shared.sizes().retained_messages, 0, "none of them is a value of a peer");
    }
}

#[test]
fn whoever_reads_first_hears_when_it_is_known() {
    for workers in [1, 2] {
        let mut broker = Broker::new(workers);
        let peers: Vec<_> = (0..6).map(|i| broker.open(0, &format!("open p{i} stay"))).collect();
        let reader = broker.open(0, "open r go");
        broker.say(reader, "read $presence/open/p3\npub t 1 - x\nread $presence/open/none");
        let mut lines: Vec<_> = broker.hear(reader).lines().map(str::to_owned).collect();
        lines.sort_unstable();
        let shown = format!("value Some({:?})", online(1).unwrap());
        assert_eq!(lines, ["published 3 unwanted", "value None", &shown]);
        broker.cut(peers[3]);
        broker.say(reader, "read $presence/open/p3");
        assert_eq!(broker.hear(reader), format!("value Some({:?})\n", offline(1).unwrap()));
    }
}

#[test]
fn nobody_publishes_presence_and_only_rules_show_it() {
    let mut broker = broker(2, vec![rule("*", &[Action::Subscribe], &["$presence/%u/#"], &[])]);
    let (ada, opened) = broker.log_in(0, "ada", &[], "open @a go");
    assert!(opened.starts_with("opened"), "{opened}");
    broker.log_in(1, "bob", &[], "open @b go");
    broker.say(
        ada,
        "sub $presence/# 0\nsub $presence/ada/# 0\npub $presence/ada/x 1 keep lie\nread $presence/bob/@b",
    );
    let heard = broker.hear(ada);
    assert!(heard.contains("refused not authorized\nsubscribed 0\nrefused 4 not authorized\n"), "{heard}");
    assert!(heard.contains("refused not authorized\n"), "{heard}");
    assert_eq!(heard.matches("$presence/").count(), 1, "{heard}");
    assert!(heard.contains(" $presence/ada/@a {\"state\":\"online\""), "{heard}");
}

#[test]
fn after_a_restart_everyone_is_away_until_seen_and_nothing_of_it_is_stored() {
    let mut broker = Broker::durable(2);
    let peers: Vec<_> = (0..3).map(|i| broker.open(0, &format!("open p{i} stay"))).collect();
    let watcher = broker.open(0, "open w stay");
    broker.say(watcher, "sub $presence/# 1");
    assert_eq!(heard(&mut broker, watcher).len(), 4);
    for peer in peers {
        broker.cut(peer);
    }
    let mut broker = broker.crash(2);
    let watcher = broker.open(1, "open w stay");
    // What the subscription was shown is not shown again; changes are.
    broker.open(0, "open p1 stay");
    assert_eq!(heard(&mut broker, watcher).get("open/p1"), Some(&online(1)));
    broker.say(watcher, "sub $presence/open/+ 1");
    let all =
        [("open/p0", offline(1)), ("open/p1", online(1)), ("open/p2", offline(1)), ("open/w", online(1))];
    assert_eq!(heard(&mut broker, watcher), states(&all));
}
