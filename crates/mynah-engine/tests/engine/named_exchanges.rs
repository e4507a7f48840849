//! Exchanges, whichever worker they, queues and publishers are at.

use std::fmt::Write as _;

use mynah_core::rules::Action;
use mynah_model::Limits;

use crate::broker::{Broker, settings};
use crate::rules::{self, rule};

fn brokers() -> [Broker; 2] {
    [Broker::new(1), Broker::new(3)]
}

fn says(broker: &mut Broker, peer: usize, lines: &str) -> String {
    broker.say(peer, lines);
    broker.hear(peer)
}

/// Peers at different workers, if there are several; the first has the queues `a`, `b`, `c` and consumes from them as 1, 2, 3.
fn peers(broker: &mut Broker) -> [usize; 3] {
    let peers = ["open a go", "open b go", "open d go"].map(|line| broker.open(0, line));
    for (consumer, queue) in [(1, "a"), (2, "b"), (3, "c")] {
        says(broker, peers[0], &format!("declare {queue} -\neat {consumer} {queue} * settled"));
    }
    peers
}

/// Which queues get a message, by what their consumers hear of it.
fn goes_to(broker: &mut Broker, [eater, publisher, _]: [usize; 3], line: &str) -> String {
    broker.say(publisher, line);
    let answer = broker.hear(publisher);
    let heard = broker.hear(eater);
    let consumers = heard.lines().map(|line| line.split(' ').nth(1).unwrap());
    let mut queues: Vec<_> =
        consumers.map(|consumer| ["a", "b", "c"][consumer.parse::<usize>().unwrap() - 1]).collect();
    queues.sort_unstable();
    assert_eq!(
        queues.is_empty(),
        !answer.starts_with("published") || answer.ends_with("unwanted\n"),
        "{answer}{heard}"
    );
    queues.concat()
}

#[test]
fn every_kind_of_exchange_leads_to_the_queues_that_it_should() {
    for mut broker in brokers() {
        let peers = peers(&mut broker);
        for kind in ["direct", "fanout", "topic", "headers", "hash"] {
            assert_eq!(
                says(&mut broker, peers[2], &format!("exchange {kind} {kind}")),
                format!("declared {kind} 0 0\n")
            );
        }
        let links = "link direct a k\nlink direct b k\nlink direct c other\nlink fanout a k\nlink fanout c -\n\
                     link topic a +/x/#\nlink topic b #/y\nlink topic c #\n\
                     link headers a - x-match=any,p=1,q=1\nlink headers b - p=1,q=2\nlink headers c - p=3";
        assert_eq!(says(&mut broker, peers[2], links), "bound\n".repeat(11));
        for (line, queues) in [
            ("send direct k 0 m", "ab"),
            ("send direct other 1 m", "c"),
            ("send direct - 1 m", ""),
            ("send fanout anything 1 m", "ac"),
            ("send topic a/x/y 1 m", "abc"),
            ("send topic $a/x 1 m", "ac"),
            ("send topic - 1 m", "c"),
            ("send headers - 1 p=1 q=2", "ab"),
            ("send headers - 1 q=1", "a"),
            ("send headers - 1 p=3 x", "c"),
            ("send headers - 1 x", ""),
            ("send  b 1 m", "b"),
        ] {
            for _ in 0..3 {
                assert_eq!(goes_to(&mut broker, peers, line), queues, "{line}");
            }
        }
        assert_eq!(
            says(&mut broker, peers[2], "unlink direct a k\nunlink headers a - x-match=any,p=1,q=1"),
            "bound\nbound\n"
        );
        assert_eq!(goes_to(&mut broker, peers, "send direct k 0 m"), "b");
        assert_eq!(goes_to(&mut broker, peers, "send headers - 1 p=1 q=2"), "b");
    }
}

#[test]
fn a_consistent_hash_spreads_keys_and_keeps_each_in_its_queue() {
    for mut broker in brokers() {
        let peers = peers(&mut broker);
        says(&mut broker, peers[1], "exchange h hash\nlink h a 1\nlink h b 1\nlink h c 2");
        let mut counts = [0; 3];
        for key in 0..200 {
            let line = format!("send h k{key} 0 m");
            let queue = goes_to(&mut broker, peers, &line);
            assert_eq!(goes_to(&mut broker, peers, &line), queue);
            counts[["a", "b", "c"].iter().position(|name| **name == *queue).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| *count > 20) && counts[2] > 60, "{counts:?}");
        assert!(says(&mut broker, peers[1], "link h a heavy").starts_with("refused does not fit"));
    }
}

#[test]
fn exchanges_lead_to_each_other_once_however_they_are_linked() {
    for mut broker in brokers() {
        let peers = peers(&mut broker);
        says(
            &mut broker,
            peers[1],
            "exchange x fanout\nexchange y topic\nexchange z direct alt=w\nexchange w fanout internal",
        );
        let links = "link x >y -\nlink y >x #\nlink x >x -\nlink y >z #\nlink z a k\nlink y a k\nlink w c -";
        assert_eq!(says(&mut broker, peers[2], links), "bound\n".repeat(7));
        assert_eq!(goes_to(&mut broker, peers, "send x k 1 m"), "a");
        assert_eq!(goes_to(&mut broker, peers, "send x other 1 m"), "c", "the alternate");
        assert!(says(&mut broker, peers[1], "send w k 1 m").contains("not authorized"), "internal");
        assert!(says(&mut broker, peers[1], "send none k 1 m").contains("no such"));
        // To the topic space and from there.
        says(&mut broker, peers[1], "link z >amq.topic sky\nlink amq.topic >w t/#");
        let eater = broker.open(0, "open e go");
        says(&mut broker, eater, "sub sky 0\nsub t/+ 0");
        assert_eq!(goes_to(&mut broker, peers, "pub t/1 1 - m"), "c");
        assert_eq!(goes_to(&mut broker, peers, "send amq.topic t/2 1 m"), "c");
        assert!(broker.hear(eater).lines().all(|line| line.contains(" t/")));
        says(&mut broker, peers[1], "send z sky 1 m");
        assert!(broker.hear(eater).contains("sky m"));
        says(&mut broker, peers[1], "unlink amq.topic >w t/#");
        assert_eq!(says(&mut broker, peers[1], "raze w"), "deleted 0\n");
        assert_eq!(goes_to(&mut broker, peers, "send x other 1 m"), "");
    }
}

#[test]
fn beyond_the_topic_space_headers_decide_for_each_message() {
    for mut broker in brokers() {
        let peers = peers(&mut broker);
        says(
            &mut broker,
            peers[1],
            "link amq.topic >amq.headers t/#\nlink amq.headers a - p=1\nlink amq.match b - p=2",
        );
        says(&mut broker, peers[1], "link amq.topic >amq.match +/+\nbind c t/x");
        for _ in 0..3 {
            assert_eq!(goes_to(&mut broker, peers, "pub t/x 1 - p=1"), "ac");
            assert_eq!(goes_to(&mut broker, peers, "pub t/x 1 - p=2"), "bc");
            assert_eq!(goes_to(&mut broker, peers, "pub t/y 1 - p=3"), "");
            assert_eq!(goes_to(&mut broker, peers, "pub u/y 1 - p=2"), "b");
        }
    }
}

#[test]
fn an_exchange_is_declared_once_and_goes_when_it_should() {
    for mut broker in brokers() {
        let peers = peers(&mut broker);
        let peer = peers[2];
        assert_eq!(
            says(&mut broker, peer, "exchange x topic auto\nexchange x topic auto"),
            "declared x 0 0\n".repeat(2)
        );
        let differs = "refused does not fit what is there: inequivalent arg 'type' for exchange 'x': \
                       received 'fanout' but current is 'topic'\n";
        assert_eq!(says(&mut broker, peer, "exchange x fanout"), differs);
        for refused in ["exchange amq.mine topic", "exchange  fanout", "raze amq.direct", "link  a k"] {
            assert!(says(&mut broker, peer, refused).contains("not authorized"), "{refused}");
        }
        assert!(says(&mut broker, peer, "seek none").starts_with("refused no such"));
        assert!(says(&mut broker, peer, "link none a k").starts_with("refused no such"));
        assert!(says(&mut broker, peer, "link x none k").starts_with("refused no such"));
        assert!(says(&mut broker, peer, "link x a k+").starts_with("refused filter"));
        assert_eq!(
            says(&mut broker, peer, "link x a k\nlink x a k\nseek x"),
            "bound\nbound\ndeclared x 0 0\n"
        );
        assert!(says(&mut broker, peer, "raze x unused").contains("in use"));
        // Its last binding goes with the queue, and the exchange with it.
        assert_eq!(says(&mut broker, peers[0], "drop a"), "starved 1 no such queue or exchange\ndeleted 0\n");
        assert!(says(&mut broker, peer, "seek x").starts_with("refused no such"));
        assert!(says(&mut broker, peer, "send x k 1 m").contains("no such"));
        assert_eq!(says(&mut broker, peer, "exchange x direct\nraze x\nraze none").lines().count(), 3);
    }
}

#[test]
fn a_dead_letter_goes_where_an_exchange_leads() {
    for mut broker in brokers() {
        let peers = peers(&mut broker);
        let said = "exchange dlx direct\nlink dlx a gone\nlink dlx b gone\nlink dlx >amq.topic gone\n\
                    declare work deadx=dlx/gone\nsub gone 1";
        assert_eq!(says(&mut broker, peers[2], said).lines().count(), 6);
        says(&mut broker, peers[2], "put work 1 m\neat 9 work *");
        broker.say(peers[2], "no 9 1 1");
        let heard = broker.hear(peers[0]);
        for queue in [1, 2] {
            assert!(heard.contains(&format!("lease {queue} 1 dead work rejected 1 work m\n")), "{heard}");
        }
        assert!(broker.hear(peers[2]).contains("work m"));
        // Round in circles only if somebody has rejected it.
        says(
            &mut broker,
            peers[2],
            "exchange ring fanout\ndeclare round ttl=10,deadx=ring/-\nlink ring round -",
        );
        says(&mut broker, peers[2], "put round 1 m");
        broker.advance(std::time::Duration::from_millis(50));
        assert_eq!(says(&mut broker, peers[2], "present round"), "declared round 0 0\n");
    }
}

#[test]
fn who_binds_and_who_publishes_has_to_have_the_right() {
    for workers in [1, 3] {
        let rules = vec![
            rule("*", &[Action::Configure], &["mine/#"], &[]),
            rule("*", &[Action::Consume], &["mine/read"], &[]),
            rule("*", &[Action::Publish], &["$exchange/mine%2Fread/a/#", "$exchange/mine%2Fq/#"], &[]),
            rule("*", &[Action::Subscribe], &["seen/+"], &["seen/not"]),
        ];
        let mut broker = rules::broker(workers, rules);
        let a = broker.open(0, "open a go");
        let refused = "refused not authorized\n";
        assert_eq!(says(&mut broker, a, "exchange other fanout"), refused);
        assert_eq!(says(&mut broker, a, "exchange mine/x fanout alt=other"), refused);
        assert_eq!(
            says(&mut broker, a, "exchange mine/x fanout\nexchange mine/read fanout").lines().count(),
            2
        );
        assert_eq!(says(&mut broker, a, "declare mine/q -"), "declared mine/q 0 0\n");
        assert_eq!(says(&mut broker, a, "raze other"), refused);
        assert_eq!(
            says(&mut broker, a, "link mine/x mine/q k"),
            refused,
            "what it may not take from it may not be copied"
        );
        assert_eq!(says(&mut broker, a, "link mine/read other k"), refused);
        assert_eq!(says(&mut broker, a, "link mine/read mine/q k"), "bound\n");
        assert_eq!(says(&mut broker, a, "link amq.topic >mine/x seen/y"), "bound\n");
        assert_eq!(says(&mut broker, a, "link amq.topic >mine/x seen/+"), refused);
        assert_eq!(says(&mut broker, a, "link mine/read >amq.topic seen/y"), refused);
        assert!(says(&mut broker, a, "send mine/read b 1 m").contains("not authorized"));
        assert!(says(&mut broker, a, "send mine/x a 1 m").contains("not authorized"));
        assert!(says(&mut broker, a, "send mine/read a/b 1 m").starts_with("published"));
        assert_eq!(
            says(&mut broker, a, "declare mine/d dead=other"),
            refused,
            "its dead letters are its own words"
        );
        assert_eq!(says(&mut broker, a, "declare mine/d deadx=mine/x/k"), refused);
        assert_eq!(says(&mut broker, a, "declare mine/d deadx=mine/q/k"), "declared mine/d 0 0\n");
    }
}

#[test]
fn a_queue_with_many_bindings_goes_bit_by_bit_and_stalls_nobody() {
    let limits = Limits { queue_bindings_max: 200_000, ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    let peers = peers(&mut broker);
    says(&mut broker, peers[2], "exchange x direct\nexchange y topic auto\ndeclare big -");
    for slice in 0..20 {
        let mut lines = String::new();
        for at in slice * 1_000..(slice + 1) * 1_000 {
            writeln!(lines, "link x big k{at}\nlink y big +/k{at}").unwrap();
        }
        assert_eq!(says(&mut broker, peers[2], lines.trim_end()).lines().count(), 2_000);
    }
    says(&mut broker, peers[2], "link x a k7");
    assert_eq!(says(&mut broker, peers[2], "drop big"), "deleted 0\n");
    assert_eq!(goes_to(&mut broker, peers, "send x k7 1 m"), "a");
    assert_eq!(goes_to(&mut broker, peers, "send x k8 1 m"), "");
    assert!(says(&mut broker, peers[2], "seek y").starts_with("refused no such"), "its last binding is gone");
}

#[test]
fn durable_exchanges_and_bindings_are_there_after_a_crash() {
    for (workers, then) in [(1, 1), (3, 3), (3, 1), (1, 3)] {
        let mut broker = Broker::durable(workers);
        let (a, b) = (broker.open(0, "open a go"), broker.open(0, "open b go"));
        broker.hold(true);
        assert_eq!(says(&mut broker, a, "exchange x topic durable"), "");
        broker.store_all();
        assert_eq!(broker.hear(a), "declared x 0 0\n");
        broker.hold(false);
        says(
            &mut broker,
            a,
            "declare q durable\ndeclare brief -\nexchange gone fanout durable\nexchange short fanout",
        );
        says(&mut broker, b, "exchange y headers durable\nexchange old direct durable,auto");
        says(
            &mut broker,
            a,
            "link x q a/+\nlink x q b/#\nlink x >y #\nlink y q - p=1\nlink amq.direct q d\nlink old q k",
        );
        says(&mut broker, b, "unlink x q b/#\nunlink old q k\nlink x brief #\nlink short q -\nlink gone q -");
        says(&mut broker, b, "raze gone\nexchange gone fanout durable");
        says(&mut broker, b, "send amq.direct d 1 one\nsend x a/1 1 two\nsend x b/1 1 three");
        let mut broker = broker.crash(then);
        let (a, b) = (broker.open(0, "open a go"), broker.open(0, "open b go"));
        assert_eq!(
            says(&mut broker, a, "seek x\nseek y\nseek gone"),
            "declared x 0 0\ndeclared y 0 0\ndeclared gone 0 0\n"
        );
        for lost in ["short", "old", "present brief"] {
            let line = if lost.contains(' ') { lost.to_owned() } else { format!("seek {lost}") };
            assert!(says(&mut broker, a, &line).starts_with("refused no such"), "{line}");
        }
        assert_eq!(
            says(&mut broker, a, "eat 1 q * settled"),
            "eating 1\nlease 1 1 again 1 0 d one\nlease 1 2 again 1 0 a/1 two\n"
        );
        broker.say(b, "send x a/2 1 four\nsend x b/2 1 p=1\nsend x b/2 1 five\nsend gone - 1 six\nsend amq.direct d 1 seven");
        assert_eq!(broker.hear(a), "lease 1 3 a/2 four\nlease 1 4 b/2 p=1\nlease 1 5 d seven\n");
        assert!(broker.hear(b).contains("unwanted"));
        // What was left of an exchange that is gone is gone too.
        assert!(
            broker.disk().state.queues[&b"q"[..]].bindings.iter().all(|(source, _)| &**source != b"gone")
        );
    }
}
