//! Once, whatever is stored when the broker crashes: publications, wills and shared messages that concern several workers.

use std::time::Duration;

use crate::broker::Broker;
use crate::durable::held;

/// The numbers of workers before and after a crash.
const WORKERS: [(u16, u16); 6] = [(1, 1), (2, 2), (3, 3), (3, 1), (1, 3), (3, 2)];

const SESSIONS: [&str; 5] = ["a", "b", "c", "d", "e"];
const MEMBERS: [&str; 2] = ["g", "h"];

/// Sessions that want the topic, some of them as members of a group, with their peers.
fn receivers(workers: u16) -> (Broker, Vec<(&'static str, usize)>) {
    let alone = SESSIONS.map(|name| (name, format!("open {name} stay\nsub t 2\nsub exact 2")));
    let shared = MEMBERS.map(|name| (name, format!("open {name} stay\nsub @g:t 2\nsub @g:exact 2")));
    let all: Vec<_> = alone.into_iter().chain(shared).collect();
    let lines: Vec<&str> = all.iter().map(|(_, line)| line.as_str()).collect();
    let (broker, peers) = held(workers, &lines);
    (broker, all.iter().map(|(name, _)| *name).zip(peers).collect())
}

/// What peers have received: those that hear a message say so.
#[derive(Default)]
struct Received(Vec<(String, String)>);

impl Received {
    /// Everybody hears what there is and, if it is to be, says that it has it.
    fn hear(&mut self, broker: &mut Broker, peers: &[(&'static str, usize)]) {
        for &(name, peer) in peers {
            let heard = broker.hear(peer);
            for line in heard.lines().filter(|line| line.starts_with("msg ")) {
                let words: Vec<&str> = line.split(' ').collect();
                let again = words.contains(&"again");
                let of = |(who, id): &(String, String)| who == name && id == words[1];
                // Who has said that it has a message knows it again by its identifier.
                if !(again && self.0.iter().any(of)) {
                    self.0.push((name.to_owned(), words[1].to_owned()));
                }
                broker.say(peer, &format!("rec {}", words[1]));
            }
        }
    }

    /// Everybody who wants the topic has got one message, and of the group one of its members.
    fn check(&self, what: &str) {
        let count = |name: &str| self.0.iter().filter(|(who, _)| who == name).count();
        let counts = SESSIONS.map(count);
        assert_eq!(counts, [1; 5], "{what}: {:?}", self.0);
        assert_eq!(MEMBERS.map(count).iter().sum::<usize>(), 1, "{what}: {:?}", self.0);
    }
}

/// Those who come back after a crash.
fn come_back(broker: &mut Broker) -> Vec<(&'static str, usize)> {
    let all = SESSIONS.iter().chain(&MEMBERS);
    let open = |name: &&'static str| {
        let peer = broker.accept(0);
        broker.say(peer, &format!("open {name} stay"));
        (*name, peer)
    };
    all.map(open).collect()
}

/// Stores so many turns' changes, while peers receive. Returns whether there were as many.
fn store(
    broker: &mut Broker,
    peers: &[(&'static str, usize)],
    received: &mut Received,
    count: usize,
) -> bool {
    (0..count).all(|_| {
        let stored = broker.store_next();
        received.hear(broker, peers);
        stored
    })
}

#[test]
fn an_exactly_once_publication_arrives_once_whatever_is_stored_when_the_broker_crashes() {
    for (before, after) in WORKERS {
        for first in 0.. {
            let mut more = false;
            for second in 0..40 {
                let what = format!("{before} {after} {first} {second}");
                let mut received = Received::default();
                let (mut broker, peers) = receivers(before);
                broker.hold(false);
                let publisher = broker.open(0, "open p stay");
                broker.hold(true);
                broker.say(publisher, "pub t 2 keep x");
                received.hear(&mut broker, &peers);
                more = store(&mut broker, &peers, &mut received, first);
                let told = broker.hear(publisher);
                // It repeats what it has heard nothing of, after one crash and after another.
                let mut broker = broker.crash(after);
                let peers = come_back(&mut broker);
                received.hear(&mut broker, &peers);
                let publisher = broker.open(0, "open p stay");
                broker.hold(true);
                if told.is_empty() {
                    broker.say(publisher, "pub t 2 keep x");
                }
                let enough = store(&mut broker, &peers, &mut received, second);
                let told = told + &broker.hear(publisher);
                let mut broker = broker.crash(before);
                let peers = come_back(&mut broker);
                received.hear(&mut broker, &peers);
                let publisher = broker.open(0, "open p stay");
                if told.is_empty() {
                    broker.say(publisher, "pub t 2 keep x");
                    received.hear(&mut broker, &peers);
                    assert_eq!(broker.hear(publisher), "published 2\n", "{what}");
                }
                received.check(&what);
                let reader = broker.open(0, "open r go");
                broker.say(reader, "sub t 1");
                assert!(broker.hear(reader).contains("msg 1 1 retained t x"), "{what}");
                assert!(broker.disk().state.is_tidy(), "{what}");
                if !enough {
                    break;
                }
            }
            if !more {
                break;
            }
        }
    }
}

#[test]
fn an_identifier_that_is_free_again_stands_for_another_message() {
    for stored in 0..8 {
        let (mut broker, peers) = receivers(3);
        broker.hold(false);
        let publisher = broker.open(0, "open p stay");
        broker.hold(true);
        broker.say(publisher, "pub t 2 - x");
        let mut received = Received::default();
        store(&mut broker, &peers, &mut received, stored);
        // The client begins anew: its session is another one.
        broker.cut(publisher);
        broker.hold(false);
        let mut broker = broker.crash(3);
        let publisher = broker.open(0, "open p go");
        broker.cut(publisher);
        let publisher = broker.open(0, "open p stay");
        broker.say(publisher, "pub t 2 - y");
        assert_eq!(broker.hear(publisher), "published 2\n");
        for (name, peer) in come_back(&mut broker).into_iter().filter(|(name, _)| SESSIONS.contains(name)) {
            let heard = broker.hear(peer);
            assert_eq!(heard.matches(" t y\n").count(), 1, "{stored} {name}: {heard}");
        }
    }
}

#[test]
fn a_repetition_on_another_connection_waits_for_what_the_first_has_begun() {
    let (mut broker, _) = receivers(3);
    broker.hold(false);
    let publisher = broker.open(0, "open p stay");
    broker.hold(true);
    broker.say(publisher, "pub t 2 - x");
    broker.cut(publisher);
    let again = broker.accept(1);
    broker.say(again, "open p stay");
    broker.say(again, "pub t 2 - x");
    while broker.pending() > 0 {
        let receipts = |broker: &Broker| broker.disk().state.sessions[&b"p"[..]].received.contains(&2);
        broker.store_next();
        if broker.hear(again).contains("published") {
            assert!(receipts(&broker), "it is stored that it has arrived");
            return;
        }
    }
    panic!("it is not answered");
}

#[test]
fn a_will_is_published_once_whatever_is_stored_when_the_broker_crashes() {
    for (before, after) in WORKERS {
        for (kind, stored) in ["stay", "go"].into_iter().flat_map(|kind| (0..12).map(move |n| (kind, n))) {
            let what = format!("{before} {after} {kind} {stored}");
            let (mut broker, peers) = receivers(before);
            broker.hold(false);
            let dying = broker.open(0, &format!("open w {kind} exact"));
            broker.hold(true);
            broker.cut(dying);
            let mut received = Received::default();
            received.hear(&mut broker, &peers);
            store(&mut broker, &peers, &mut received, stored);
            let mut broker = broker.crash(after);
            broker.advance(Duration::from_millis(2));
            let peers = come_back(&mut broker);
            received.hear(&mut broker, &peers);
            broker.advance(Duration::from_millis(2));
            received.hear(&mut broker, &peers);
            received.check(&what);
            assert!(broker.disk().state.is_tidy(), "{what}");
        }
    }
}

#[test]
fn a_shared_message_goes_to_another_member_once_whatever_is_stored_when_the_session_ends() {
    for (before, after) in WORKERS {
        for stored in 0..10 {
            let what = format!("{before} {after} {stored}");
            let members = ["open g stay\nsub @g:t 2", "open h stay\nsub @g:t 2", "open i stay\nsub @g:t 2"];
            let (mut broker, peers) = held(before, &members);
            for peer in &peers {
                broker.cut(*peer);
            }
            broker.store_all();
            broker.hold(false);
            let publisher = broker.open(0, "open p stay");
            broker.say(publisher, "pub t 2 - x\npub t 2 - y\npub t 2 - z\npub t 2 - u");
            broker.hold(true);
            // One of them ends with what it holds.
            let gone = broker.accept(0);
            broker.say(gone, "open g go\nquit");
            for _ in 0..stored {
                broker.store_next();
            }
            let ended = !broker.disk().state.sessions.contains_key(&b"g"[..]);
            let mut broker = broker.crash(after);
            broker.advance(Duration::from_millis(2));
            let mut heard = String::new();
            for name in ["g", "h", "i"].iter().filter(|name| !ended || **name != "g") {
                let peer = broker.accept(0);
                broker.say(peer, &format!("take 9\nopen {name} stay"));
                heard += &broker.hear(peer);
            }
            for message in ["x", "y", "z", "u"] {
                assert_eq!(
                    heard.matches(&format!(" t {message}\n")).count(),
                    1,
                    "{what}: {message}: {heard}"
                );
            }
            assert!(broker.disk().state.is_tidy(), "{what}");
        }
    }
}

#[test]
fn retained_values_on_their_way_go_on_after_a_crash() {
    for stored in 0..30 {
        let (mut broker, _) = held(1, &[]);
        broker.hold(false);
        let publisher = broker.open(0, "open p go");
        for number in 0..50 {
            broker.say(publisher, &format!("pub v/{number} 2 keep x"));
        }
        let reader = broker.open(0, "take 20\nopen r stay");
        broker.hold(true);
        broker.say(reader, "sub v/+ 2");
        let mut topics = Vec::new();
        let mut hear = |broker: &mut Broker, reader: usize| {
            let heard = broker.hear(reader);
            for line in heard.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                if words[0] == "msg" {
                    let one = (words[1].to_owned(), words[words.len() - 2].to_owned());
                    // What comes again is known by its identifier.
                    if !(words.contains(&"again") && topics.contains(&one)) {
                        topics.push(one);
                    }
                    broker.say(reader, &format!("rec {}", words[1]));
                } else if words[0] == "received" || words[0] == "release" {
                    broker.say(reader, &format!("fin {}", words[1]));
                }
            }
            !heard.is_empty()
        };
        hear(&mut broker, reader);
        for _ in 0..stored {
            broker.store_next();
            hear(&mut broker, reader);
        }
        let subscribed = stored > 0;
        let mut broker = broker.crash(1);
        let reader = broker.accept(0);
        broker.say(reader, "open r stay");
        if !subscribed {
            broker.say(reader, "sub v/+ 2");
        }
        while hear(&mut broker, reader) {}
        let mut topics: Vec<String> = topics.into_iter().map(|(_, topic)| topic).collect();
        topics.sort_unstable();
        let all = topics.len();
        topics.dedup();
        assert_eq!((topics.len(), all), (50, 50), "{stored}");
    }
}
