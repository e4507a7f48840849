//! Times of queues and streams, over crashes as well.

use std::collections::BTreeMap;
use std::time::Duration;

use mynah_model::Instant;

use crate::broker::Broker;

/// No later than this after its time does something happen.
const LATE_MAX: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(45);
const MESSAGES: u64 = 10_000;
const SPAN_MILLIS: u64 = 30_000;

fn says(broker: &mut Broker, peer: usize, lines: &str) -> String {
    broker.say(peer, lines);
    broker.hear(peer)
}

#[test]
fn a_stream_is_read_from_a_time_on_after_a_crash() {
    for (workers, then) in [(1, 1), (3, 1), (1, 3)] {
        let mut broker = Broker::durable(workers);
        let a = broker.open(0, "open a go");
        says(&mut broker, a, "declare s durable,stream");
        let mut times = Vec::new();
        for number in 0..6 {
            assert!(says(&mut broker, a, &format!("put s 1 {number}")).starts_with("published"));
            times.push(broker.now.as_micros() / 1_000);
            broker.advance(Duration::from_millis(250));
        }
        let mut broker = broker.crash(then);
        broker.advance(Duration::from_millis(250));
        let a = broker.open(0, "open a go");
        says(&mut broker, a, "put s 1 6");
        for (number, time) in times.iter().enumerate() {
            // A moment after one came, the next is the first.
            for (first, time) in [(number, *time), (number + 1, time + 1)] {
                let heard = says(&mut broker, a, &format!("eat 1 s * since={time}"));
                let said = heard.lines().filter_map(|line| line.rsplit_once(' ')).skip(1);
                let expected: Vec<String> = (first..7).map(|number| number.to_string()).collect();
                assert_eq!(said.map(|(_, payload)| payload).collect::<Vec<_>>(), expected);
                says(&mut broker, a, "stop 1");
            }
        }
    }
}

/// A number that follows from the one before, as if by chance.
const fn next_random(state: u64) -> u64 {
    let state = state ^ (state << 13);
    let state = state ^ (state >> 7);
    state ^ (state << 17)
}

/// Has what one of two consumers has heard taken off the list of what is due.
fn check(broker: &mut Broker, eater: usize, due: &mut BTreeMap<u64, Instant>) {
    for line in broker.hear(eater).lines().filter(|line| line.starts_with("lease")) {
        let number = line.rsplit_once(' ').and_then(|(_, number)| number.parse().ok()).unwrap();
        let time = due.remove(&number).expect("each comes once");
        assert!(time <= broker.now && broker.now <= time + LATE_MAX, "{line}: {time:?}, {:?}", broker.now);
    }
}

fn take_all(broker: &mut Broker) -> usize {
    let eater = broker.open(0, "open e go");
    broker.say(eater, "eat 1 q * settled\neat 2 morgue * settled");
    eater
}

#[test]
fn ten_thousand_delays_and_lifetimes_end_in_time_over_crashes() {
    for (workers, then) in [(1, 1), (3, 1), (1, 3)] {
        let mut broker = Broker::durable(workers);
        let a = broker.open(0, "open a go");
        says(&mut broker, a, "declare q durable\ndeclare morgue durable\ndeclare mortal durable,dead=morgue");
        let (mut state, mut due, mut lines) = (0x9E37_79B9_7F4A_7C15, BTreeMap::new(), String::new());
        for number in 0..MESSAGES {
            state = next_random(state);
            let millis = 1 + state % SPAN_MILLIS;
            lines += &match number % 2 {
                0 => format!("later {millis} put q 1 {number}\n"),
                _ => format!("for {millis} put mortal 1 {number}\n"),
            };
            due.insert(number, broker.now + Duration::from_millis(millis));
        }
        let said = says(&mut broker, a, lines.trim_end());
        assert_eq!(said.matches("published").count() as u64, MESSAGES);
        let mut eater = take_all(&mut broker);
        check(&mut broker, eater, &mut due);
        for step in 0.. {
            if due.is_empty() {
                break;
            }
            broker.advance(STEP);
            check(&mut broker, eater, &mut due);
            if [200, 430].contains(&step) {
                broker = broker.crash(if step == 200 { then } else { workers });
                eater = take_all(&mut broker);
                check(&mut broker, eater, &mut due);
            }
            assert!(broker.now <= Instant::from_micros(40_000_000), "{} never come", due.len());
        }
    }
}
