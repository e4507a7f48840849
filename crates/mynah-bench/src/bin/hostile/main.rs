//! A soak under hostile input: the real broker is flooded with half-open connections, slow readers, announced packets
//! of 256 MiB and CONNECTs that trickle, while honest publishers and subscribers of QoS 1 count their messages.
//! Fails if one of theirs is lost, or if the broker's memory passes its bound. Times are only reported.

mod attacks;
mod broker;
mod client;
mod honest;

use std::io::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use attacks::{Attack, Running};
use broker::{Bounds, Broker, Metrics};
use client::{Client, PATIENCE};
use honest::{Account, Pace, Pair};

const USAGE: &str = "usage: hostile --mynah PROGRAM [--secs N] [--workers N] [--half-open N]
  --secs       seconds in all (60)
  --workers    of the broker (1)
  --half-open  connections beyond the broker's bound (5000)";

/// What is attacked, with these bounds.
const BACKLOG_BYTES_MAX: usize = 16 << 20;
const OUTBOUND_BYTES_MAX: usize = 1 << 20;
const HALF_OPEN_MAX: usize = 4_096;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Sessions of slow readers: each may fill its backlog and its outbound buffer.
const SLOW_READERS: usize = 3;
/// What a message in a backlog costs beyond the bytes that the bound counts, and an allocator's slack: a half more.
const BACKLOG_COST: (usize, usize) = (3, 2);
/// What a peer that has not opened a session may cost.
const HALF_OPEN_BYTES_MAX: usize = 4 << 10;
const SLACK_BYTES: usize = 32 << 20;

const HONEST_PAIRS: usize = 4;
const LORISES: usize = 500;
const STEADY: Pace =
    Pace { batch: 16, period: Duration::from_millis(20), lead_max: 10_000, payload_bytes: 64 };
/// As fast as the honest reader of the same messages can follow.
const FULL_LOAD: Pace = Pace { batch: 64, period: Duration::ZERO, lead_max: 1_000, payload_bytes: 1_024 };
const LOAD_TOPIC: &str = "load/all";

struct Arguments {
    mynah: PathBuf,
    secs: u64,
    workers: u16,
    half_open: usize,
}

fn arguments() -> Option<Arguments> {
    let mut parsed = Arguments { mynah: PathBuf::new(), secs: 60, workers: 1, half_open: 5_000 };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--mynah" => parsed.mynah = value.into(),
            "--secs" => parsed.secs = value.parse().ok()?,
            "--workers" => parsed.workers = value.parse().ok()?,
            "--half-open" => parsed.half_open = value.parse().ok()?,
            _ => return None,
        }
    }
    parsed.mynah.is_file().then_some(parsed)
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match soak(&arguments) {
        Ok(faults) if faults.is_empty() => {
            println!("passed");
            ExitCode::SUCCESS
        }
        Ok(faults) => {
            println!("FAILED: {}", faults.join("; "));
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is done in one part of the soak.
struct Phase {
    name: &'static str,
    attacks: Vec<Attack>,
    has_load: bool,
}

fn phases(half_open: usize) -> [Phase; 7] {
    let flood = Attack::HalfOpen(half_open);
    let loris = Attack::SlowLoris(LORISES);
    let phase = |name, attacks: &[Attack], has_load| Phase { name, attacks: attacks.to_vec(), has_load };
    [
        phase("calm", &[], false),
        phase("full load", &[], true),
        phase("half-open flood", &[flood], false),
        phase("trickling CONNECTs", &[loris], false),
        phase("slow readers", &[Attack::SlowReaders], true),
        phase("256 MiB announced", &[Attack::Announcements], false),
        phase("all at once", &[flood, loris, Attack::SlowReaders, Attack::Announcements], true),
    ]
}

/// Runs all parts. Returns what is wrong.
fn soak(arguments: &Arguments) -> Result<Vec<String>> {
    let bounds = Bounds {
        workers: arguments.workers,
        half_open_max: HALF_OPEN_MAX,
        backlog_bytes_max: BACKLOG_BYTES_MAX,
        outbound_bytes_max: OUTBOUND_BYTES_MAX,
        connect_timeout: CONNECT_TIMEOUT,
    };
    let half_open_max = HALF_OPEN_MAX * usize::from(arguments.workers);
    let broker = Broker::start(&arguments.mynah, &bounds)?;
    let mut account = Account::default();
    let mut pairs = Vec::new();
    for n in 0..HONEST_PAIRS {
        pairs.push(Pair::start(broker.mqtt, &format!("honest/{n}"), STEADY)?);
    }
    let (start, _) = broker.resident_bytes()?;
    let bound = start
        + (SLOW_READERS * BACKLOG_BYTES_MAX * BACKLOG_COST.0 / BACKLOG_COST.1
            + (SLOW_READERS + 1) * OUTBOUND_BYTES_MAX
            + half_open_max * HALF_OPEN_BYTES_MAX
            + SLACK_BYTES) as u64;
    println!("memory at start {} MiB, bound {} MiB", start >> 20, bound >> 20);
    println!("{:<20} turns: p50      p99    p99.9 ms | messages/s: honest, load | MiB | half-open", "");
    let phases = phases(half_open_max + arguments.half_open);
    let before = broker.metrics()?;
    let length = Duration::from_secs(arguments.secs) / phases.len() as u32;
    let mut faults = Vec::new();
    for phase in &phases {
        faults.extend(run_phase(&broker, phase, length, &pairs, &mut account)?);
    }
    for pair in pairs {
        pair.finish(&mut account);
    }
    faults.extend(aftermath(&broker)?);
    let (end, peak) = broker.resident_bytes()?;
    println!("memory at the end {} MiB, at the most {} MiB", end >> 20, peak >> 20);
    println!("turns in all: p99 {} ms", broker.metrics()?.turn_millis(&before, 0.99));
    if peak > bound {
        faults.push(format!("memory: {} MiB, the bound is {} MiB", peak >> 20, bound >> 20));
    }
    faults.extend(settle(account));
    Ok(faults)
}

/// When all is over nobody may be left half-open, and newcomers are let in.
fn aftermath(broker: &Broker) -> Result<Option<String>> {
    let deadline = Instant::now() + CONNECT_TIMEOUT + PATIENCE;
    loop {
        let left = broker.metrics()?.half_open;
        if left == 0 {
            break;
        }
        if Instant::now() > deadline {
            return Ok(Some(format!("{left} connections are still counted as half-open")));
        }
        thread::sleep(Duration::from_millis(250));
    }
    let newcomer = Client::open(broker.mqtt, "newcomer");
    Ok(newcomer.err().map(|error| format!("a newcomer after the attacks: {error}")))
}

fn run_phase(
    broker: &Broker,
    phase: &Phase,
    length: Duration,
    pairs: &[Pair],
    account: &mut Account,
) -> Result<Vec<String>> {
    let honest = || pairs.iter().map(|pair| pair.tally.received()).sum::<u64>();
    let (before, honest_before, start) = (broker.metrics()?, honest(), Instant::now());
    let load = if phase.has_load { Some(Pair::start(broker.mqtt, LOAD_TOPIC, FULL_LOAD)?) } else { None };
    let running: Vec<Running> =
        phase.attacks.iter().map(|attack| attack.start(broker.mqtt, LOAD_TOPIC)).collect();
    let mut resident_max = 0;
    let mut half_open_max = 0;
    while start.elapsed() < length {
        thread::sleep(Duration::from_millis(250));
        resident_max = resident_max.max(broker.resident_bytes()?.0);
        half_open_max = half_open_max.max(broker.metrics()?.half_open);
    }
    let after = broker.metrics()?;
    let seconds = start.elapsed().as_secs_f64();
    let per_second = |count: u64| (count as f64 / seconds) as u64;
    let (honest, load_received) =
        (honest() - honest_before, load.as_ref().map_or(0, |load| load.tally.received()));
    println!(
        "{:<20} {:>10.3} {:>8.3} {:>8.3}    | {:>10} {:>10}    | {:>4} | {:>5}",
        phase.name,
        after.turn_millis(&before, 0.5),
        after.turn_millis(&before, 0.99),
        after.turn_millis(&before, 0.999),
        per_second(honest),
        per_second(load_received),
        resident_max >> 20,
        half_open_max,
    );
    let mut faults = Vec::new();
    for (attack, running) in phase.attacks.iter().zip(running) {
        faults.extend(judge(*attack, running, &before, &after));
    }
    if let Some(load) = load {
        load.finish(account);
    }
    if honest == 0 {
        faults.push(format!("{}: the honest got nothing", phase.name));
    }
    Ok(faults)
}

/// Ends an attack, reports its effect, and says what should have been otherwise.
fn judge(attack: Attack, running: Running, before: &Metrics, after: &Metrics) -> Option<String> {
    let effect = running.finish();
    let [opened, closed, ignored, sipped] =
        [&effect.opened, &effect.closed, &effect.ignored, &effect.sipped].map(|n| n.load(Ordering::Relaxed));
    let dropped = |of: fn(&Metrics) -> u64| of(after) - of(before);
    let more = match attack {
        Attack::SlowReaders => format!(
            ", {sipped} messages taken, {} dropped from full backlogs, {} at full buffers",
            dropped(|m| m.backlog_full),
            dropped(|m| m.slow_consumer)
        ),
        _ => String::new(),
    };
    println!("  {attack:?}: {opened} connections opened, {closed} closed by the broker{more}");
    (ignored > 0).then(|| format!("{attack:?}: {ignored} connections were not closed"))
}

fn settle(mut account: Account) -> Vec<String> {
    account.waits.sort_unstable();
    let share = |share: f64| account.waits.get((account.waits.len() as f64 * share) as usize);
    println!(
        "honest: {} published and acknowledged, {} received, {} twice; a batch waited p50 {:?}, p99 {:?}",
        account.published,
        account.received,
        account.duplicates,
        share(0.5).copied().unwrap_or_default(),
        share(0.99).copied().unwrap_or_default()
    );
    if account.received < account.published {
        account.failures.push(format!("{} messages are lost", account.published - account.received));
    }
    account.failures
}
