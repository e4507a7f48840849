//! Order: what a publisher sends comes to each subscriber, and to each member of a group, in the order it was sent.

use std::collections::BTreeMap;

use mynah_model::Limits;
use mynah_mqtt::Settings;
use proptest::prelude::*;

use super::{World, connect, entry, puback, pubcomp, publish, pubrec, pubrel, receiving, resume};

//= mqtt-5.0 [MQTT-4.6.0-5] [MQTT-4.6.0-6]
#[test]
fn messages_of_a_publisher_keep_their_order_over_workers_and_absence() {
    for qos in 0..=2 {
        let mut world = World::new();
        let live: Vec<usize> =
            (0..4).map(|n| world.subscriber(&format!("s{n}"), &[entry("t/+", qos)])).collect();
        let slow = world.connect(&receiving(connect("slow"), 3));
        world.subscribe(slow, 0, &[entry("t/+", qos)]);
        let away = world.connect(&resume("away", 100));
        world.subscribe(away, 0, &[entry("t/+", qos)]);
        world.0.cut(away);
        let publisher = world.client("p");
        for n in 1..=50_u16 {
            let topic = if n % 3 == 0 { "t/a" } else { "t/b" };
            world.say(publisher, &publish(topic, qos, n, &n.to_string()));
        }
        let expected: Vec<String> = (1..=50).map(|n: u16| n.to_string()).collect();
        for subscriber in live {
            assert_eq!(payloads(&world.hear(subscriber)), expected);
        }
        let mut member = Member { peer: slow, unanswered: Vec::new(), heard: Vec::new() };
        while member.take(&mut world) {
            member.answer(&mut world, qos, usize::MAX);
            world.0.settle();
        }
        assert_eq!(member.heard, expected);
        let heard = world.open(&resume("away", 100)).1;
        assert_eq!(payloads(&heard[1..]), if qos == 0 { Vec::new() } else { expected });
    }
}

fn payloads(heard: &[String]) -> Vec<String> {
    heard.iter().map(|packet| packet.split_once('=').unwrap().1.to_owned()).collect()
}

/// A client that answers when it is told to.
struct Member {
    peer: usize,
    unanswered: Vec<u16>,
    heard: Vec<String>,
}

impl Member {
    /// Reads what has come. Returns whether there were messages.
    fn take(&mut self, world: &mut World) -> bool {
        let before = self.heard.len();
        for packet in world.hear(self.peer).iter().filter(|packet| packet.starts_with('q')) {
            let id = packet.split_once('#').map(|(_, rest)| rest.split(' ').next().unwrap().parse().unwrap());
            self.unanswered.extend(id.iter());
            self.heard.push(packet.split_once('=').unwrap().1.to_owned());
        }
        self.heard.len() > before
    }

    /// Answers so many of its messages, of which the bytes wait for the worker's turn.
    fn answer(&mut self, world: &mut World, qos: u8, count: usize) {
        let count = count.min(self.unanswered.len());
        for id in self.unanswered.drain(..count) {
            let answer = if qos == 1 { puback(id) } else { [pubrec(id), pubcomp(id)].concat() };
            world.0.send(self.peer, &answer);
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// A publisher sends so many messages at once.
    Publish(usize, u16),
    /// A worker has its turn.
    Turn(usize),
    /// A member reads, and answers so many.
    Answer(usize, usize),
    /// A member joins that takes so many at a time.
    Join(u16),
    /// A member goes, if it holds nothing.
    Leave(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..3_usize, 1..5_u16).prop_map(|(publisher, count)| Act::Publish(publisher, count)),
        8 => (0..3_usize).prop_map(Act::Turn),
        5 => (0..9_usize, 0..5_usize).prop_map(|(member, count)| Act::Answer(member, count)),
        1 => (1..4_u16).prop_map(Act::Join),
        1 => (0..9_usize).prop_map(Act::Leave),
    ];
    prop::collection::vec(act, 1..120)
}

/// A group under several publishers whose workers take turns in any order.
struct Group {
    world: World,
    qos: u8,
    publishers: Vec<usize>,
    sent: [u16; 3],
    /// Those that have left as well.
    members: Vec<Member>,
    online: Vec<bool>,
}

impl Group {
    fn new(workers: u16, qos: u8) -> Self {
        let mut world = World::with(workers, Settings::default(), Limits::default());
        let publishers = (0..3).map(|n| world.client(&format!("p{n}"))).collect();
        Self { world, qos, publishers, sent: [0; 3], members: Vec::new(), online: Vec::new() }
    }

    fn join(&mut self, receive_max: u16) {
        let name = format!("m{}", self.members.len());
        let peer = self.world.connect(&receiving(resume(&name, 100), receive_max));
        // Messages may come right behind the SUBACK, and are no answer to it.
        self.world.0.settle();
        let before = self.world.subscribe(peer, 0, &[entry("$share/g/t", 2)]);
        assert!(before.is_empty(), "{before:?}");
        self.members.push(Member { peer, unanswered: Vec::new(), heard: Vec::new() });
        self.online.push(true);
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Publish(publisher, count) => {
                for _ in 0..count {
                    self.sent[publisher] += 1;
                    let number = self.sent[publisher];
                    let packet = publish("t", self.qos, number, &format!("{publisher}-{number:05}"));
                    self.world.0.send(self.publishers[publisher], &packet);
                    if self.qos == 2 {
                        self.world.0.send(self.publishers[publisher], &pubrel(number));
                    }
                }
            }
            Act::Turn(worker) => {
                let workers = self.world.0.engines.len();
                self.world.0.turn(worker % workers);
            }
            Act::Answer(member, count) => {
                let at = member % self.members.len();
                if self.online[at] {
                    self.members[at].take(&mut self.world);
                    self.members[at].answer(&mut self.world, self.qos, count);
                }
            }
            Act::Join(receive_max) => self.join(receive_max),
            Act::Leave(member) => self.leave(member % self.members.len()),
        }
    }

    fn leave(&mut self, at: usize) {
        let online = self.online.iter().filter(|online| **online).count();
        if !self.online[at] || online == 1 {
            return;
        }
        self.world.0.settle();
        self.members[at].take(&mut self.world);
        if self.members[at].unanswered.is_empty() {
            self.world.0.cut(self.members[at].peer);
            self.online[at] = false;
        }
    }

    fn finish(&mut self) {
        let mut busy = true;
        while busy {
            self.world.0.settle();
            busy = false;
            for (member, _) in self.members.iter_mut().zip(&self.online).filter(|(_, online)| **online) {
                busy |= member.take(&mut self.world) || !member.unanswered.is_empty();
                member.answer(&mut self.world, self.qos, usize::MAX);
            }
        }
    }

    /// Every message came to one member, once, and to each in the order of its publisher.
    fn check(&self) {
        let mut count: BTreeMap<&str, u32> = BTreeMap::new();
        for member in &self.members {
            member.heard.iter().for_each(|payload| *count.entry(payload).or_default() += 1);
            for publisher in ["0-", "1-", "2-"] {
                let of_one: Vec<&String> =
                    member.heard.iter().filter(|payload| payload.starts_with(publisher)).collect();
                assert!(of_one.is_sorted(), "{of_one:?}");
            }
        }
        assert!(count.values().all(|&times| times == 1), "{count:?}");
        assert_eq!(count.len(), self.sent.iter().map(|&sent| usize::from(sent)).sum::<usize>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_shared_subscription_keeps_the_order_of_each_publisher_at_each_member(
        workers in 1..4_u16, qos in 0..3_u8, first in 1..4_u16, second in 1..4_u16, acts in acts()
    ) {
        let mut group = Group::new(workers, qos);
        group.join(first);
        group.join(second);
        for act in &acts {
            group.act(act);
        }
        group.finish();
        group.check();
    }
}
