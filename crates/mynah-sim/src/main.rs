//! Runs seeds of the simulation and prints what was checked, or the seed that fails with its last events.

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use mynah_sim::{Fault, Keeping, Lapse, Options, Outages, Summary, run, run_outages, run_queues};

#[derive(Parser)]
#[command(name = "mynah-sim", about = "Runs the whole broker in one thread, in orders that seeds shuffle")]
struct Arguments {
    /// How many seeds are run, from the first on
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The only seed to be run
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Steps of each schedule
    #[arg(long, default_value_t = 200)]
    steps: u32,
    /// A promise that the broker is made to break
    #[arg(long)]
    fault: Option<Fault>,
    /// Cuts the broker off again and again instead, with a store
    #[arg(long)]
    outages: bool,
    /// Sends to named queues and takes from them instead, with a store
    #[arg(long, conflicts_with = "outages")]
    queues: bool,
    /// What is acknowledged is synced only later, and an outage may take it back until then
    #[arg(long, requires = "outages")]
    interval: bool,
    /// What the broker is made to neglect, with a store
    #[arg(long)]
    lapse: Option<Lapse>,
}

fn main() -> ExitCode {
    let Arguments { seeds, seed, from, steps, fault, outages, queues, interval, lapse } = Arguments::parse();
    let (first, count) = seed.map_or((from, seeds), |seed| (seed, 1));
    let start = Instant::now();
    if outages {
        let keeping = if interval { Keeping::Interval } else { Keeping::Sync };
        return cut_off(
            first..first.saturating_add(count),
            Outages { keeping, lapse, ..Outages::default() },
            start,
        );
    }
    if queues {
        return serve(first..first.saturating_add(count), lapse, start);
    }
    let mut total = Summary::default();
    for seed in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        match run(seed, Options { steps, fault }) {
            Ok(summary) => total += summary,
            Err(failure) => {
                eprintln!("{failure}\nseeds before it: {total}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{total}, {:.1} s", start.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

fn cut_off(seeds: Range<u64>, what: Outages, start: Instant) -> ExitCode {
    let (mut outages, mut acknowledged, mut arrivals) = (0, 0, 0);
    for seed in seeds {
        let problems = match run_outages(seed, what) {
            Ok(outcome) => {
                outages += outcome.outages;
                acknowledged += outcome.totals.acknowledged;
                arrivals += outcome.totals.arrivals;
                outcome.violations.iter().map(ToString::to_string).collect()
            }
            Err(problem) => vec![problem],
        };
        if !problems.is_empty() {
            eprintln!("{}\nseed {seed}: {} violations", problems.join("\n"), problems.len());
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{outages} outages, {acknowledged} messages acknowledged, {arrivals} messages checked, {:.1} s",
        start.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

fn serve(seeds: Range<u64>, lapse: Option<Lapse>, start: Instant) -> ExitCode {
    let (mut outages, mut sent, mut taken, mut dead_letters) = (0, 0, 0, 0);
    for seed in seeds {
        let problems = match run_queues(seed, lapse) {
            Ok(served) => {
                outages += served.outages;
                sent += served.totals.sent;
                taken += served.totals.taken;
                dead_letters += served.dead_letters;
                served.violations
            }
            Err(problem) => vec![problem],
        };
        if !problems.is_empty() {
            eprintln!("{}\nseed {seed}: {} violations", problems.join("\n"), problems.len());
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{outages} outages, {sent} messages sent, {taken} taken, {dead_letters} dead letters, {:.1} s",
        start.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}
