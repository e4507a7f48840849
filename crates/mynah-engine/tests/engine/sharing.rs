//! Shared subscriptions: each message to one member, over workers, whatever becomes of the members.

use std::collections::{BTreeMap, BTreeSet};

use mynah_core::DropReason;
use mynah_core::rules::{Action, Check, Reach, Rule, RuleFilter, Rules};
use mynah_model::{Limits, ShareStrategy};

use crate::broker::{Broker, settings};

/// Members `m0` to `m9` and so on of the group `g`, all over the workers, and a publisher.
fn group(broker: &mut Broker, count: usize, line: &str) -> (Vec<usize>, usize) {
    let workers = broker.engines.len();
    let mut member = |i: usize| {
        let peer = broker.open(i % workers, &format!("open m{i} stay"));
        broker.say(peer, line);
        assert!(broker.hear(peer).starts_with("subscribed"));
        peer
    };
    let members = (0..count).map(&mut member).collect();
    (members, broker.open(0, "open p go"))
}

fn dropped(broker: &Broker, reason: DropReason) -> u64 {
    broker.shared.all_counters().iter().map(|c| c.dropped(reason).read()).sum()
}

//= mqtt-5.0 [MQTT-4.8.2-1]
//= mqtt-5.0 [MQTT-4.8.2-2]
#[test]
fn each_message_goes_to_one_member_in_turn() {
    let mut broker = Broker::new(3);
    let (members, publisher) = group(&mut broker, 6, "sub @g:t/+ 0");
    let workers: BTreeSet<usize> = members.iter().map(|&m| broker.worker_of(m)).collect();
    assert!(workers.len() > 1);
    for i in 0..12 {
        broker.say(publisher, &format!("pub t/{i} 0 - x"));
    }
    for (i, &member) in members.iter().enumerate() {
        assert_eq!(broker.hear(member), format!("msg 0 0 t/{i} x\nmsg 0 0 t/{} x\n", i + 6));
    }
}

#[test]
fn a_sticky_group_stays_with_one_member() {
    let limits = Limits { share_strategy: ShareStrategy::Sticky, ..Limits::default() };
    let mut broker = Broker::with(settings(2, limits));
    let (members, publisher) = group(&mut broker, 3, "sub @g:t 0");
    broker.say(publisher, "pub t 0 - a\npub t 0 - b");
    assert_eq!(broker.hear(members[0]), "msg 0 0 t a\nmsg 0 0 t b\n");
    broker.cut(members[0]);
    broker.say(publisher, "pub t 0 - c\npub t 0 - d");
    assert_eq!(broker.hear(members[1]), "msg 0 0 t c\nmsg 0 0 t d\n");
}

#[test]
fn groups_and_subscriptions_of_one_s_own_are_apart() {
    let mut broker = Broker::new(2);
    let (members, publisher) = group(&mut broker, 2, "sub @g:t 0 5");
    broker.say(members[0], "sub @h:t 0 6\nsub t 0 7");
    broker.hear(members[0]);
    broker.say(publisher, "pub t 0 - a\npub t 0 - b");
    let heard = broker.hear(members[0]);
    for (mark, count) in [("#5", 1), ("#6", 2), ("#7", 2)] {
        assert_eq!(heard.matches(mark).count(), count, "{heard}");
    }
    assert_eq!(broker.hear(members[1]), "msg 0 0 #5 t b\n");
    broker.say(members[0], "unsub @g:t\nunsub @g:t");
    assert_eq!(broker.hear(members[0]), "unsubscribed true\nunsubscribed false\n");
    broker.say(publisher, "pub t 0 - c");
    assert!(broker.hear(members[0]).contains("#7"), "its own subscription is still there");
    assert_eq!(broker.hear(members[1]), "msg 0 0 #5 t c\n");
}

#[test]
fn what_one_member_may_not_see_goes_to_one_that_may() {
    let filters = ["open/#", "%c/#"].map(|filter| RuleFilter::new(filter).unwrap());
    let (actions, allow) = (vec![Action::Subscribe], Reach::Filters(filters.into()));
    let rules = vec![Rule { actions, allow, check: Check::Delivery, ..Rule::default() }];
    let rules = std::sync::Arc::new(Rules::new(rules));
    let mut broker = Broker::with(mynah_engine::Settings { rules, ..settings(3, Limits::default()) });
    let (members, publisher) = group(&mut broker, 4, "sub @g:# 1");
    let workers: BTreeSet<usize> = members.iter().map(|&m| broker.worker_of(m)).collect();
    assert!(workers.len() > 1);
    for topic in ["m3/a", "m3/b", "m1/a", "open/a", "open/b", "nobody/a"] {
        broker.say(publisher, &format!("pub {topic} 0 - x"));
    }
    let heard = [0, 1, 2, 3].map(|m| broker.hear(members[m]));
    let expected =
        ["", "msg 0 0 m1/a x\n", "msg 0 0 open/a x\n", "msg 0 0 m3/a x\nmsg 0 0 m3/b x\nmsg 0 0 open/b x\n"];
    assert_eq!(heard, expected);

    // What only this one may see waits for it, and what others may see does not.
    broker.say(publisher, "pub m1/b 1 - x");
    assert_eq!(broker.hear(members[1]), "msg 1 1 m1/b x\n");
    broker.cut(members[1]);
    broker.say(publisher, "pub m1/c 1 - x\npub open/c 1 - x");
    let elsewhere: String = [0, 2, 3].map(|m| broker.hear(members[m])).concat();
    assert_eq!(elsewhere, "msg 1 1 open/c x\n");
    let (_, heard) = broker.open_heard(0, "open m1 stay");
    assert_eq!(heard, "opened again\nmsg 1 1 again m1/b x\nmsg 2 1 m1/c x\n");

    // Other rules, other members.
    for engine in &mut broker.engines {
        engine.handle_rules(std::sync::Arc::default());
    }
    broker.settle();
    for _ in 0..4 {
        broker.say(publisher, "pub nobody/b 0 - x");
    }
    let heard = [0, 2, 3].map(|m| broker.hear(members[m]));
    assert!(heard.iter().all(|heard| heard == "msg 0 0 nobody/b x\n"), "{heard:?}");
}

/// What a group has that was restored under rules that were not there before.
fn restored_under(check: Check, before: u16, after: u16) -> Broker {
    let mut broker = Broker::durable(before);
    let (members, publisher) = group(&mut broker, 4, "sub @g:# 1");
    members.into_iter().for_each(|member| broker.cut(member));
    for topic in ["m1/a", "m3/a", "open/a", "nobody/a"] {
        broker.say(publisher, &format!("pub {topic} 1 - x"));
    }
    let filters = ["open/#", "%c/#"].map(|filter| RuleFilter::new(filter).unwrap());
    let (actions, allow) = (vec![Action::Subscribe], Reach::Filters(filters.into()));
    let rules = Rules::new(vec![Rule { actions, allow, check, ..Rule::default() }]);
    let settings = settings(after, Limits::default());
    broker.crash_into(mynah_engine::Settings { rules: std::sync::Arc::new(rules), ..settings })
}

#[test]
fn members_that_are_restored_under_other_rules_see_no_more_than_these_let_them() {
    for (before, after) in [(1, 1), (2, 3), (3, 1)] {
        let mut broker = restored_under(Check::Delivery, before, after);
        let publisher = broker.open(0, "open p go");
        broker.say(publisher, "pub m0/b 1 - x\npub nobody/b 1 - x\npub open/b 1 - x");
        let mut seen = BTreeMap::new();
        let mut heard: Vec<_> = ["m0", "m1", "m2", "m3"]
            .map(|name| (name, broker.open_heard(0, &format!("open {name} stay"))))
            .into();
        // What one may not see goes on to others, until it is with one that may.
        for _ in 0..8 {
            for (name, (member, heard)) in &mut heard {
                for line in heard.lines().filter(|line| line.starts_with("msg ")) {
                    let topic = line.split(' ').find(|word| word.contains('/')).unwrap();
                    assert!(topic.starts_with("open/") || topic.starts_with(*name), "{name} sees {topic}");
                    assert!(seen.insert(topic.to_owned(), *name).is_none(), "{topic} comes twice");
                    broker.say(*member, &format!("ack {}", line.split(' ').nth(1).unwrap()));
                }
                *heard = broker.hear(*member);
            }
        }
        // Nothing is lost that one of them may see, whoever held it.
        let topics: Vec<_> = seen.keys().map(String::as_str).collect();
        assert_eq!(topics, ["m0/b", "m1/a", "m3/a", "open/a", "open/b"], "{before} {after}");
    }
}

#[test]
fn a_member_that_may_not_be_one_any_more_is_none_when_it_is_back() {
    let mut broker = restored_under(Check::Subscription, 2, 2);
    assert_eq!(broker.shared.sizes().filters, 1);
    for name in ["m0", "m1", "m2", "m3"] {
        let peer = broker.accept(0);
        broker.say(peer, &format!("open {name} stay"));
        let heard = broker.hear(peer);
        // What it holds it sees as far as it may.
        let may_see = |line: &str| line.contains(" open/") || line.contains(&format!(" {name}/"));
        assert!(heard.starts_with("opened again\n") && heard.lines().skip(1).all(may_see), "{heard}");
    }
    assert_eq!(broker.shared.sizes().filters, 0);
    let told = broker.audited.iter().filter(|record| record.event.topic() == "$events/denied/subscribe");
    assert_eq!(told.count(), 4);
}

//= mqtt-5.0 [MQTT-4.8.2-3]
#[test]
fn a_member_s_own_class_counts_and_retained_values_are_not_replayed() {
    let mut broker = Broker::new(1);
    let publisher = broker.open(0, "open p go");
    broker.say(publisher, "pub t 1 keep old");
    let peer = broker.open(0, "open m stay");
    broker.say(peer, "sub @g:t 1");
    assert_eq!(broker.hear(peer), "subscribed 1\n");
    broker.say(publisher, "pub t 2 - x\npub t 0 - y");
    assert_eq!(broker.hear(peer), "msg 1 1 t x\nmsg 0 0 t y\n");
}

#[test]
fn an_empty_group_wants_nothing_and_one_without_anybody_online_keeps_for_a_member() {
    let mut broker = Broker::new(2);
    let (members, publisher) = group(&mut broker, 2, "sub @g:t 1");
    broker.cut(members[0]);
    broker.cut(members[1]);
    broker.say(publisher, "pub t 1 - a\npub t 1 - b\npub t 0 - c");
    assert!(!broker.hear(publisher).contains("unwanted"));
    assert_eq!(dropped(&broker, DropReason::Offline), 1);
    let mut heard: Vec<String> = (0..2).map(|i| broker.open_heard(0, &format!("open m{i} stay")).1).collect();
    heard.sort();
    assert_eq!(heard, ["opened again\nmsg 1 1 t a\n", "opened again\nmsg 1 1 t b\n"]);
    for i in 0..2 {
        broker.open(0, &format!("open m{i} go"));
    }
    broker.say(publisher, "pub t 1 - d");
    assert!(broker.hear(publisher).ends_with("unwanted\n"));
    assert_eq!(broker.shared.sizes().filters, 0);
}

#[test]
fn what_a_member_holds_goes_to_another_when_its_connection_ends() {
    let mut broker = Broker::new(2);
    let (members, publisher) = group(&mut broker, 2, "sub @g:t 2");
    for (i, class) in [1, 1, 2, 1, 1, 1, 2, 1].into_iter().enumerate() {
        broker.say(publisher, &format!("pub t {class} - {i}"));
    }
    // The window is two: the first member has 0 and 2 under way, 4 and 6 wait.
    assert_eq!(broker.hear(members[0]), "msg 1 1 t 0\nmsg 2 2 t 2\n");
    assert_eq!(broker.hear(members[1]), "msg 1 1 t 1\nmsg 2 1 t 3\n");
    broker.cut(members[0]);
    let mut heard = String::new();
    for id in 1..=7 {
        broker.say(members[1], &if id == 7 { "rec 7\nfin 7".to_owned() } else { format!("ack {id}") });
        heard.push_str(&broker.hear(members[1]));
    }
    assert_eq!(
        heard, "msg 3 1 t 5\nmsg 4 1 t 7\nmsg 5 1 t 0\nmsg 6 1 t 4\nmsg 7 2 t 6\nreceived 7\n",
        "after its own, in their order, but not what was under way at QoS 2"
    );
    //= mqtt-5.0 [MQTT-4.8.2-4]
    let (again, heard) = broker.open_heard(0, "open m0 stay");
    assert_eq!(heard, "opened again\nmsg 2 2 again t 2\n");
    //= mqtt-5.0 [MQTT-4.8.2-5]
    let before = dropped(&broker, DropReason::SessionEnded);
    broker.say(again, "quit go");
    assert_eq!(broker.hear(members[1]), "");
    assert_eq!(dropped(&broker, DropReason::SessionEnded), before + 1);
}

#[test]
fn what_an_offline_member_keeps_goes_to_another_when_its_session_ends() {
    let mut broker = Broker::new(2);
    let (members, publisher) = group(&mut broker, 2, "sub @g:t 1");
    members.iter().for_each(|&m| broker.cut(m));
    broker.say(publisher, "pub t 1 - a\npub t 1 - b");
    broker.open(0, "open m1 go");
    let (_, heard) = broker.open_heard(0, "open m0 stay");
    assert_eq!(heard, "opened again\nmsg 1 1 t a\nmsg 2 1 t b\n");
}

//= mqtt-5.0 [MQTT-4.8.2-6]
#[test]
fn what_a_member_rejects_is_offered_to_nobody_else() {
    let mut broker = Broker::new(1);
    let (members, publisher) = group(&mut broker, 2, "sub @g:t 1");
    broker.say(publisher, "pub t 1 - a");
    broker.say(members[0], "rej 1");
    broker.cut(members[0]);
    assert_eq!(broker.hear(members[1]), "");
}

#[test]
fn a_message_on_its_way_to_a_member_that_leaves_finds_another() {
    for gone in ["stay", "go"] {
        let mut broker = Broker::new(3);
        let (members, publisher) = group(&mut broker, 6, "sub @g:t 1");
        let far = members.iter().position(|&m| broker.worker_of(m) != broker.worker_of(publisher)).unwrap();
        for _ in 0..far {
            broker.say(publisher, "pub t 1 - earlier");
        }
        // The message is handed to the other worker's inbox when the member has gone there.
        broker.send(publisher, b"pub t 1 - late\n");
        if gone == "stay" {
            broker.cut(members[far]);
        } else {
            let (worker, id) = broker.place_of(members[far]);
            broker.engines[worker].handle_bytes(broker.now, id, b"quit go\n");
            broker.settle();
        }
        let got = members.iter().filter(|&&m| m != members[far] && broker.hear(m).contains("late")).count();
        assert_eq!(got, 1, "{gone}");
    }
}

/// A sequence that a seed determines.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides) as usize
    }
}

/// Reads what a member heard, confirms it, and returns the payloads that are new to it.
fn take(broker: &mut Broker, member: usize) -> Vec<String> {
    let mut taken = Vec::new();
    loop {
        let heard = broker.hear(member);
        let messages: Vec<&str> = heard.lines().filter(|line| line.starts_with("msg")).collect();
        if messages.is_empty() {
            return taken;
        }
        for line in messages {
            let id = line.split(' ').nth(1).unwrap();
            taken.push(line.rsplit(' ').next().unwrap().to_owned());
            broker.say(member, &format!("ack {id}"));
        }
    }
}

/// Members come and go, publishers go on: nothing of QoS 1 is lost, and while no member goes each publisher's messages
/// come in order to each member and once.
#[test]
fn nothing_is_lost_and_order_is_kept_while_members_come_and_go() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let mut broker = Broker::new(1 + seed as u16 % 3);
        let (mut members, publisher) = group(&mut broker, 4, "sub @g:t/# 1");
        let publishers = [publisher, broker.open(0, "open q go")];
        let mut online = [true; 4];
        let steady = seed % 2 == 0;
        let mut got: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let mut sent = BTreeSet::new();
        for number in 1_000..1_150 {
            match dice.roll(10) {
                0 if !steady => {
                    let m = dice.roll(4);
                    if online[m] && online.iter().filter(|online| **online).count() > 1 {
                        broker.cut(members[m]);
                    } else if !online[m] {
                        members[m] = broker.accept(dice.roll(broker.engines.len() as u64));
                        broker.say(members[m], &format!("open m{m} stay"));
                    } else {
                        continue;
                    }
                    online[m] = !online[m];
                }
                1..=3 => {
                    let m = dice.roll(4);
                    if !online[m] {
                        continue;
                    }
                    got.entry(m).or_default().extend(take(&mut broker, members[m]));
                }
                _ => {
                    let p = dice.roll(2);
                    broker.say(publishers[p], &format!("pub t/{p} 1 - {p}-{number}"));
                    sent.insert(format!("{p}-{number}"));
                }
            }
        }
        for m in 0..4 {
            if !online[m] {
                members[m] = broker.accept(0);
                broker.say(members[m], &format!("open m{m} stay"));
            }
            got.entry(m).or_default().extend(take(&mut broker, members[m]));
        }
        let all: Vec<&String> = got.values().flatten().collect();
        assert_eq!(all.iter().map(|name| (*name).clone()).collect::<BTreeSet<_>>(), sent, "seed {seed}");
        if steady {
            assert_eq!(all.len(), sent.len(), "seed {seed}: each comes once");
            for names in got.values() {
                for p in ["0-", "1-"] {
                    let of_one: Vec<_> = names.iter().filter(|name| name.starts_with(p)).collect();
                    assert!(of_one.is_sorted(), "seed {seed}: {of_one:?}");
                }
            }
        }
    }
}
