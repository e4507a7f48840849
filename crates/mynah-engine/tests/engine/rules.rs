//! Rules: what they permit whom, and what becomes of sessions when they change.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use mynah_core::rules::{Action, Address, Check, Network, Quota, Reach, Rule, RuleFilter, Rules, Who};
use mynah_engine::{Authenticated, Settings};
use mynah_model::{Groups, Identity, Limits, TenantId};

use crate::broker::{Broker, settings};
use Action::{Connect, Publish, Retain, Subscribe};

pub(crate) fn reach(filters: &[&str]) -> Reach {
    match filters {
        [] => Reach::Nothing,
        ["**"] => Reach::Everything,
        _ => Reach::Filters(filters.iter().map(|f| RuleFilter::new(f).unwrap()).collect()),
    }
}

/// A rule about everybody, or a user.
pub(crate) fn rule(name: &str, actions: &[Action], allow: &[&str], deny: &[&str]) -> Rule {
    let identities = if name == "*" { Vec::new() } else { vec![name.into()] };
    let who = Who { identities, ..Who::default() };
    Rule { who, actions: actions.to_vec(), allow: reach(allow), deny: reach(deny), ..Rule::default() }
}

pub(crate) fn broker(workers: u16, rules: Vec<Rule>) -> Broker {
    let rules = Arc::new(Rules::new(rules));
    Broker::with(Settings { rules, ..settings(workers, Limits::default()) })
}

impl Broker {
    pub(crate) fn change_rules(&mut self, rules: Vec<Rule>) {
        let rules = Arc::new(Rules::new(rules));
        for engine in &mut self.engines {
            engine.handle_rules(Arc::clone(&rules));
        }
        self.settle();
    }

    /// A peer that proves to be a user, and what it hears.
    pub(crate) fn log_in(
        &mut self,
        worker: usize,
        user: &str,
        groups: &[&str],
        line: &str,
    ) -> (usize, String) {
        let peer = self.try_accept(worker, 1).unwrap();
        self.say(peer, line);
        let (worker, id, _) = self.asked.pop().unwrap();
        let identity = Identity::user(TenantId::DEFAULT, user);
        let groups = Groups::from_iter(groups.iter().copied());
        let proved = Authenticated { groups, ..Authenticated::from(identity) };
        self.engines[worker].handle_authenticated(self.now, id, Ok(proved));
        self.settle();
        let heard = self.hear(peer);
        (peer, heard)
    }
}

#[test]
fn rules_decide_what_is_published_retained_subscribed_read_and_delivered() {
    let rules = [
        rule("*", &[Publish], &[], &["read-only/#"]),
        rule("*", &[Retain], &["secret/#", "open/#"], &[]),
        rule("*", &[Subscribe], &[], &["secret/#"]),
    ];
    for check in [Check::Subscription, Check::Delivery] {
        let mut rules = rules.to_vec();
        rules[2].check = check;
        let mut broker = broker(2, rules);
        let publisher = broker.open(0, "open p go");
        broker.say(publisher, "pub secret/old 1 keep x\npub open/old 1 keep y\npub read-only/x 1 - z");
        assert!(broker.hear(publisher).ends_with("refused 4 not authorized\n"));
        broker.say(publisher, "pub other 1 keep x\npub other 1 - x");
        assert_eq!(broker.hear(publisher), "refused 5 not authorized\npublished 6 unwanted\n");
        let refused = broker.shared.all_counters().iter().map(|c| c.publications_refused.read()).sum::<u64>();
        assert_eq!(refused, 2);
        let peer = broker.open(1, "open s go");
        broker.say(peer, "read secret/old\nread open/old\nsub secret/x 0\nsub # 0");
        let heard = broker.hear(peer);
        let (first, rest) = heard.split_once('\n').unwrap();
        assert_eq!(first, "refused not authorized", "{heard}");
        assert!(!heard.contains("secret/old"), "{heard}");
        assert_eq!(rest.contains("subscribed 0\nsubscribed 0\n"), check == Check::Delivery, "{heard}");
        // Twice: what was decided is remembered.
        for _ in 0..3 {
            broker.say(publisher, "pub secret/x 0 - x\npub open/new 0 - y\npub secret/new 1 - x");
        }
        let heard = broker.hear(peer);
        assert_eq!(heard.matches("open/new").count(), if check == Check::Delivery { 3 } else { 0 });
        assert!(!heard.contains("secret"), "{heard}");
    }
}

#[test]
fn a_peer_is_who_it_is_where_it_is_and_in_which_groups() {
    let by = |who: Who, allow: &str| Rule { who, ..rule("*", &[Publish], &[allow], &[]) };
    let mut broker = broker(
        2,
        vec![
            by(Who { groups: vec!["g".into()], ..Who::default() }, "of-group/%c"),
            by(Who { networks: vec![Network::v4(0x0A00_0000, 8)], ..Who::default() }, "of-network"),
            by(Who { protocols: vec!["lines".into()], ..Who::default() }, "of-protocol"),
            by(Who { anonymous: Some(true), ..Who::default() }, "of-nobody"),
        ],
    );
    let all = "pub of-group/@c 1 - x\npub of-network 1 - x\npub of-protocol 1 - x\npub of-nobody 1 - x";
    let heard = |broker: &mut Broker, peer| {
        broker.say(peer, all);
        broker.hear(peer).lines().map(|line| line.starts_with("published")).collect::<Vec<_>>()
    };
    // Wherever it comes in: one worker has the session.
    for worker in 0..2 {
        let (peer, opened) = broker.log_in(worker, "ann", &["g"], "open @c go");
        assert_eq!(opened, "opened new\n");
        assert_eq!(heard(&mut broker, peer), [true, false, true, false]);
        broker.cut(peer);
        let (peer, _) = broker.log_in(worker, "ann", &["h"], "open @c go");
        assert_eq!(heard(&mut broker, peer), [false, false, true, false]);
        broker.cut(peer);
        let peer = broker.accept(worker);
        let (at, id) = broker.place_of(peer);
        broker.engines[at].handle_address(id, Address::v4(0x0A01_0101));
        broker.say(peer, "open c go");
        broker.hear(peer);
        assert_eq!(heard(&mut broker, peer), [false, true, true, true]);
        broker.cut(peer);
    }
}

#[test]
fn who_may_not_connect_is_not_let_in_and_one_who_may_no_longer_is_put_out() {
    let (ann, not_bob) = (rule("ann", &[Connect], &["**"], &[]), rule("bob", &[Connect], &[], &["**"]));
    let mut broker = broker(2, vec![ann]);
    let (peer, heard) = broker.log_in(0, "ann", &[], "open @a stay");
    assert_eq!(heard, "opened new\n");
    assert_eq!(broker.log_in(0, "bob", &[], "open @b stay").1, "ended not authorized\n");
    broker.change_rules(vec![not_bob]);
    let (bob, heard) = broker.log_in(0, "bob", &[], "open @b stay");
    assert_eq!(
        (broker.is_connected(peer), broker.is_connected(bob), &*heard),
        (true, false, "ended not authorized\n")
    );
    broker.change_rules(vec![rule("ann", &[Connect], &[], &["**"])]);
    assert_eq!(broker.hear(peer), "ended not authorized\n");
    assert!(!broker.is_connected(peer));
    assert_eq!(broker.log_in(1, "bob", &[], "open @b stay").1, "opened new\n");
}

#[test]
fn a_subscription_that_is_no_longer_permitted_ends_and_its_peer_is_told() {
    let mut broker = broker(2, Vec::new());
    let (kept, cut) = (broker.open(0, "open kept stay"), broker.open(0, "open cut stay"));
    broker.say(kept, "sub a 1");
    broker.say(cut, "sub a 1\nsub b/# 1\nsub @g:b/# 1");
    let publisher = broker.open(0, "open p go");
    broker.change_rules(vec![rule("*", &[Subscribe], &["a"], &[])]);
    assert_eq!(broker.hear(cut), "subscribed 1\nsubscribed 1\nsubscribed 1\nended not authorized\n");
    assert!(broker.is_connected(kept) && !broker.is_connected(cut));
    assert_eq!(broker.shared.sizes().filters, 2);
    broker.say(publisher, "pub a 1 - x\npub b/c 1 - y");
    assert_eq!(broker.hear(publisher), "published 2\npublished 3 unwanted\n");
    let (_, heard) = broker.open_heard(0, "open cut stay");
    assert!(heard.starts_with("opened again\n") && heard.contains(" a x"), "{heard}");
}

#[test]
fn who_leaves_a_group_loses_its_rights() {
    let who = Who { groups: vec!["g".into()], ..Who::default() };
    let mut broker = broker(1, vec![Rule { who, ..rule("*", &[Publish, Subscribe], &["a/#"], &[]) }]);
    let (subscriber, _) = broker.log_in(0, "ann", &["g"], "open @s stay");
    let (publisher, _) = broker.log_in(0, "ann", &["g"], "open @p go");
    broker.say(subscriber, "sub a/b 1");
    let standings = |groups: &[&str]| {
        let groups = Groups::from_iter(groups.iter().copied());
        [(Identity::user(TenantId::DEFAULT, "ann"), Some(groups))].into()
    };
    broker.engines[0].handle_identities(broker.now, &standings(&["g", "h"]));
    broker.say(publisher, "pub a/b 1 - x");
    assert_eq!(broker.hear(publisher), "published 2\n");
    broker.engines[0].handle_identities(broker.now, &standings(&["h"]));
    broker.settle();
    assert!(broker.hear(subscriber).ends_with("ended not authorized\n") && !broker.is_connected(subscriber));
    broker.say(publisher, "pub a/b 1 - x");
    assert_eq!(broker.hear(publisher), "refused 3 not authorized\n");
}

#[test]
fn what_waits_for_a_peer_that_is_away_is_looked_at_when_it_is_back() {
    let mut broker = broker(2, Vec::new());
    let away = broker.open(0, "open away stay");
    broker.say(away, "sub a/# 1\nsub b 1");
    broker.cut(away);
    let publisher = broker.open(0, "open p go");
    broker.say(publisher, "pub a/x 1 - one\npub b 1 - two\npub a/y 1 - three");
    // Nobody knows who it will be that comes back: the subscriptions stay until then.
    broker.change_rules(vec![rule("*", &[Subscribe], &["a/x", "b"], &[])]);
    assert_eq!(broker.shared.sizes().filters, 2);
    broker.say(publisher, "pub a/z 1 - four");
    let (back, heard) = broker.open_heard(0, "open away stay");
    let seen: Vec<_> = heard.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(seen, ["again", "one", "two"], "{heard}");
    assert_eq!(broker.shared.sizes().filters, 1);
    broker.say(back, "ack 1\nack 2");
    assert_eq!(broker.hear(back), "");
    let dropped = broker.shared.all_counters().iter();
    let dropped = dropped.map(|c| c.dropped(mynah_core::DropReason::NotAuthorized).read()).sum::<u64>();
    assert_eq!(dropped, 2);
    // From here on it is known.
    broker.cut(back);
    broker.change_rules(vec![rule("*", &[Subscribe], &["a/x"], &[])]);
    assert_eq!(broker.shared.sizes().filters, 0);
}

#[test]
fn of_what_an_absent_peer_may_see_in_part_only_that_waits_for_it() {
    let checked = Rule { check: Check::Delivery, ..rule("*", &[Subscribe], &["a"], &[]) };
    let mut broker = broker(2, vec![checked]);
    let away = broker.open(0, "open away stay");
    broker.say(away, "sub # 1");
    broker.cut(away);
    let publisher = broker.open(0, "open p go");
    broker.say(publisher, "pub a 1 - one\npub b 1 - two\npub a 1 - three");
    let (_, heard) = broker.open_heard(0, "open away stay");
    assert_eq!(heard.matches("msg").count(), 2, "{heard}");
    assert!(!heard.contains("two"), "{heard}");
}

#[test]
fn a_will_is_published_if_its_peer_may_then() {
    let will = |broker: &mut Broker, topic: &str| {
        let peer = broker.open(0, &format!("open w go {topic}"));
        let watcher = broker.open(0, "open watch go");
        broker.say(watcher, "sub # 0");
        broker.cut(peer);
        let heard = broker.hear(watcher);
        broker.cut(watcher);
        heard.contains("gone")
    };
    let mut broker = broker(2, vec![rule("*", &[Publish], &["wills/%c"], &[])]);
    assert!(will(&mut broker, "wills/w") && !will(&mut broker, "wills/x") && !will(&mut broker, "$SYS/x"));
    let peer = broker.open(0, "open w hour wills/w 1000");
    broker.cut(peer);
    let watcher = broker.open(0, "open watch go");
    broker.say(watcher, "sub # 0");
    broker.change_rules(vec![rule("*", &[Publish], &[], &["wills/#"])]);
    broker.advance(Duration::from_secs(2));
    assert_eq!(broker.hear(watcher), "subscribed 0\n");
    broker.change_rules(Vec::new());
    assert!(will(&mut broker, "wills/x") && !will(&mut broker, "$SYS/x"));
}

#[test]
fn a_rate_is_kept_by_reading_no_faster() {
    let quota = Quota { messages_per_s: NonZeroU32::new(10), ..Quota::default() };
    let mut broker = broker(1, vec![Rule { quota, ..rule("*", &[], &[], &[]) }]);
    let peer = broker.open(0, "open p go");
    broker.say(peer, &["pub a 1 - x"; 100].join("\n"));
    assert!(!broker.wants_bytes(peer));
    assert_eq!(broker.hear(peer).lines().count(), 11, "a second's worth, and the one that was too much");
    for _ in 0..30 {
        broker.advance(Duration::from_millis(100));
    }
    assert_eq!(broker.hear(peer).lines().count(), 30);
    assert!(!broker.wants_bytes(peer));
    broker.change_rules(Vec::new());
    broker.advance(Duration::from_secs(1));
    assert_eq!(broker.hear(peer).lines().count(), 59, "nothing was lost");
    assert!(broker.wants_bytes(peer));
}

#[test]
fn a_silence_that_the_broker_asked_for_is_not_the_peer_s() {
    let quota = Quota { bytes_per_s: NonZeroU64::new(10), ..Quota::default() };
    let mut broker = broker(1, vec![Rule { quota, ..rule("*", &[], &[], &[]) }]);
    let peer = broker.open(0, "open p go");
    broker.say(peer, &format!("pub a 1 - {}", "x".repeat(200)));
    broker.advance(Duration::from_millis(8_990));
    assert!(!broker.wants_bytes(peer));
    broker.advance(Duration::from_millis(20));
    assert!(broker.wants_bytes(peer) && broker.is_connected(peer));
}

#[test]
fn more_and_larger_than_permitted_is_refused() {
    let quota = Quota {
        connections: NonZeroU32::new(2),
        subscriptions: NonZeroU32::new(1),
        message_bytes: NonZeroU64::new(3),
        ..Quota::default()
    };
    let limited = vec![Rule { quota, ..rule("*", &[], &[], &[]) }];
    let mut broker = broker(2, limited.clone());
    let (first, second) = (broker.open(0, "open a stay"), broker.open(1, "open b go"));
    broker.say(first, "sub x 0\nsub x 1\nsub y 0\npub x 1 - abc\npub x 1 - abcd");
    let heard = broker.hear(first);
    assert!(heard.starts_with("subscribed 0\nsubscribed 1\nrefused quota exceeded\n"), "{heard}");
    assert!(heard.ends_with("refused 6 message too large\n"), "{heard}");
    let third = broker.accept(0);
    broker.say(third, "open c go");
    assert_eq!(broker.hear(third), "ended quota exceeded\n");
    let first = broker.open(0, "open a stay");
    assert!(broker.is_connected(first), "a take-over needs no more room");
    broker.cut(second);
    let second = broker.open(0, "open c go");
    // Who is here stays when a limit comes, and counts.
    broker.change_rules(Vec::new());
    let more = broker.open(0, "open d go");
    broker.change_rules(limited);
    assert!(broker.is_connected(more));
    for leaver in [more, second] {
        let refused = broker.accept(0);
        broker.say(refused, "open e go");
        assert_eq!(broker.hear(refused), "ended quota exceeded\n");
        broker.cut(leaver);
    }
    broker.open(0, "open e go");
}

#[test]
fn a_review_takes_a_part_of_each_turn() {
    let mut broker = broker(1, Vec::new());
    let peers: Vec<usize> = (0..1_000).map(|n| broker.open(0, &format!("open s{n} go"))).collect();
    for &peer in &peers {
        broker.say(peer, "sub a 0");
    }
    broker.engines[0].handle_rules(Arc::new(Rules::new(vec![rule("*", &[Subscribe], &[], &["a"])])));
    broker.turn(0);
    let connected = |broker: &Broker| peers.iter().filter(|&&peer| broker.is_connected(peer)).count();
    let after_one_turn = connected(&broker);
    assert!((500..1_000).contains(&after_one_turn), "{after_one_turn}");
    broker.settle();
    assert_eq!((connected(&broker), broker.shared.sizes().filters), (0, 0));
}

/// Bytes that a client of MQTT hears when its subscription is no longer permitted.
fn heard_at_the_end(connect: &[u8], subscribe: &[u8]) -> Vec<u8> {
    let mut settings = settings(1, Limits::default());
    for listener in &mut settings.listeners {
        listener.protocol = Arc::new(mynah_mqtt::Mqtt::new(mynah_mqtt::Config::default()));
    }
    let mut broker = Broker::with(settings);
    let peer = broker.accept(0);
    broker.send(peer, connect);
    broker.send(peer, subscribe);
    broker.settle();
    broker.hear_bytes(peer);
    broker.change_rules(vec![rule("*", &[Subscribe], &[], &["a"])]);
    assert!(!broker.is_connected(peer));
    broker.hear_bytes(peer)
}

#[test]
fn each_version_of_mqtt_says_in_its_way_that_a_subscription_has_ended() {
    let v3 = heard_at_the_end(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c", b"\x82\x06\0\x01\0\x01a\0");
    assert!(v3.is_empty(), "{v3:?}");
    let v5 = heard_at_the_end(b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01c", b"\x82\x07\0\x01\0\0\x01a\0");
    assert_eq!((v5[0], v5[2]), (0xE0, 0x87), "{v5:?}");
}
