//! Ten thousand rules and a hundred thousand sessions: what a decision adds to a publication, and how long it takes until
//! other rules are in force. Fails if that is more than a second, or if a subscription outlives its right.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mynah_bench::{Broker, connect_as, publish, subscribe};
use mynah_core::rules::{Action, Network, Quota, Reach, Rule, RuleFilter, Rules, Who};
use mynah_engine::ConnectionId;
use mynah_model::Groups;

const SESSIONS: u32 = 100_000;
const GROUPS: u32 = 1_000;
/// The group whose members lose their right.
const LOSERS: u32 = 7;
const ROUNDS: usize = 40;
const BATCH: usize = 2_000;

fn main() -> ExitCode {
    let rules = rules(None);
    println!("{} rules, {SESSIONS} sessions in {GROUPS} groups", rules.len());
    let (mut free, mut ruled) = (Broker::default(), Broker::with_rules(Arc::clone(&rules)));
    let start = Instant::now();
    let clients: Vec<ConnectionId> = (0..SESSIONS).map(|number| open(&mut ruled, number)).collect();
    println!("opening   {} ns a session, subscription included", (start.elapsed() / SESSIONS).as_nanos());
    let others: Vec<ConnectionId> = (0..SESSIONS).map(|number| open(&mut free, number)).collect();
    measure("one publisher, one topic", &mut free, &others[..1], &mut ruled, &clients[..1], 1);
    measure("one publisher, 25 topics", &mut free, &others[..1], &mut ruled, &clients[..1], 25);
    measure(
        "1,000 publishers, each its topic",
        &mut free,
        &others[..1_000],
        &mut ruled,
        &clients[..1_000],
        1,
    );
    measure(
        "20,000 publishers, each its topic",
        &mut free,
        &others[..20_000],
        &mut ruled,
        &clients[..20_000],
        1,
    );
    change(&mut ruled)
}

/// A device publishes below its own name, which the rules have to put in, and reads what is for its group.
fn open(broker: &mut Broker, number: u32) -> ConnectionId {
    let (name, group) = (format!("device-{number}"), format!("group-{}", number % GROUPS));
    let id = broker.open_as(&connect_as(&name), &name, Groups::from_iter([group.as_str()]));
    broker.turn(&[(id, &subscribe(&format!("groups/{group}/+"), 0))]);
    id
}

fn rule(who: Who, actions: &[Action], allow: &[String], deny: &[String]) -> Rule {
    let reach = |texts: &[String]| {
        let filters: Vec<RuleFilter> = texts.iter().filter_map(|text| RuleFilter::new(text).ok()).collect();
        if filters.is_empty() { Reach::Nothing } else { Reach::Filters(filters) }
    };
    let (allow, deny) = (reach(allow), reach(deny));
    Rule { who, actions: actions.to_vec(), allow, deny, quota: Quota::default(), ..Rule::default() }
}

/// Rules about everybody, about groups, networks and single devices; without what `loser` may read.
fn rules(loser: Option<u32>) -> Arc<Rules> {
    let one = |text: String| vec![text];
    let mut all = vec![rule(Who::default(), &[Action::Publish], &one("devices/%u/#".into()), &[])];
    for number in 0..GROUPS {
        let who = Who { groups: vec![format!("group-{number}").into()], ..Who::default() };
        let filter = one(format!("groups/group-{number}/#"));
        if loser != Some(number) {
            all.push(rule(who, &[Action::Subscribe], &filter, &[]));
        }
    }
    for number in 0..499 {
        let filter = one(format!("devices/+/secret-{number}/#"));
        all.push(rule(Who::default(), &[Action::Publish, Action::Subscribe], &[], &filter));
    }
    for number in 0..500 {
        let who = Who { networks: vec![Network::v4(number << 16, 16)], ..Who::default() };
        all.push(rule(who, &[Action::Publish], &[], &one(format!("far/{number}/#"))));
    }
    for number in 0..8_000 {
        let who = Who { identities: vec![format!("device-{number}").into()], ..Who::default() };
        all.push(rule(
            who,
            &[Action::Publish],
            &one(format!("extra/{number}/+")),
            &one(format!("devices/+/{number}")),
        ));
    }
    Arc::new(Rules::new(all))
}

/// Publishes in two brokers in turn, one without rules, and compares the best of many rounds: what else the machine does
/// only adds.
fn measure(
    what: &str,
    free: &mut Broker,
    others: &[ConnectionId],
    ruled: &mut Broker,
    clients: &[ConnectionId],
    topics: usize,
) {
    let packets: Vec<Vec<u8>> = (0..clients.len().max(topics))
        .map(|n| publish(&format!("devices/device-{}/t{}", n % clients.len(), n % topics), 0, 0, b"21.5"))
        .collect();
    let count = BATCH.max(clients.len());
    let round = |broker: &mut Broker, ids: &[ConnectionId]| {
        let start = Instant::now();
        if ids.len() == 1 {
            let bytes: Vec<u8> = packets.iter().cycle().take(count).flatten().copied().collect();
            let start = Instant::now();
            broker.turn(&[(ids[0], &bytes)]);
            return start.elapsed();
        }
        for (n, packet) in packets.iter().cycle().take(count).enumerate() {
            broker.bytes(ids[n % ids.len()], packet);
        }
        start.elapsed()
    };
    let (mut without, mut with) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        without = without.min(round(free, others));
        with = with.min(round(ruled, clients));
    }
    let ns = |time: Duration| time.as_nanos() as f64 / count as f64;
    println!(
        "{what:<34} {:>6.1} ns without rules, {:>6.1} ns with: {:+.1} ns",
        ns(without),
        ns(with),
        ns(with) - ns(without)
    );
}

fn change(broker: &mut Broker) -> ExitCode {
    let start = Instant::now();
    let rules = rules(Some(LOSERS));
    let compiled = start.elapsed();
    let (before, start) = (broker.connections(), Instant::now());
    broker.handle_rules(rules);
    let (mut turns, mut longest) = (0_u32, Duration::ZERO);
    loop {
        let turn = Instant::now();
        let more = broker.pump();
        (turns, longest) = (turns + 1, longest.max(turn.elapsed()));
        if !more {
            break;
        }
    }
    let taken = start.elapsed();
    let ended = before - broker.connections();
    println!("change    {} ms to compile; in force after {} ms", compiled.as_millis(), taken.as_millis());
    println!("          {turns} turns, the longest {} us; {ended} connections ended", longest.as_micros());
    if ended == (SESSIONS / GROUPS) as usize && taken + compiled < Duration::from_secs(1) {
        return ExitCode::SUCCESS;
    }
    println!("FAILED: it takes too long, or other connections ended than those of one group");
    ExitCode::FAILURE
}
