//! A long run at half of what the broker can take, with restarts in it: its memory stays flat, its folder within the
//! bound, and nothing that was acknowledged is missing.

mod load;
mod samples;

use std::fmt;
use std::io::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::broker::{self, Broker, Setup};
use crate::shared::{Phase, Shared};
use load::{Load, PAIRS};
use samples::{Life, Sample};

/// How long the broker is given all it takes: at first unmeasured.
const WARM_UP: Duration = Duration::from_secs(3);
const FULL_LOAD: Duration = Duration::from_secs(12);

/// Brokers that carry the load, one after the other.
const LIVES: u32 = 3;

/// How often memory and folder are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long what was published may take to come when nothing new is.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program under test.
    pub program: PathBuf,
    /// An empty folder, for the configuration, the logs and the broker's folder.
    pub folder: PathBuf,
    /// How long the load lasts.
    pub length: Duration,
    /// Worker threads of the broker.
    pub workers: u16,
    /// Messages a second; half of what the broker takes if absent.
    pub rate: Option<u64>,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Messages a second that the broker took as fast as it could.
    pub full_rate: u64,
    /// Messages a second that it was given.
    pub rate: u64,
    /// Messages that came.
    pub received: u64,
    /// Messages that came again, which QoS 1 allows after a restart.
    pub again: u64,
    /// What was measured in each broker's life.
    pub lives: Vec<Life>,
    /// What should not have been.
    pub faults: Vec<String>,
}

/// Finds out what the broker can take, gives it half of that, and restarts it twice: it is killed, then asked to stop.
///
/// # Errors
/// The broker does not start, stops by itself, or something else that is needed is not there.
pub fn run(options: &Options) -> Result<Report> {
    let folder = broker::absolute(&options.folder)?;
    let program = broker::absolute(&options.program)?;
    let setup =
        Setup { program, folder, names_store: true, workers: options.workers, environment: Vec::new() };
    setup.prepare()?;
    let shared = Arc::new(Shared::new(Vec::new()));
    let mut run = Run { setup, shared: Arc::clone(&shared), load: Load::start(&shared)?, brokers: 0 };
    let outcome = run.all(options);
    shared.set_phase(Phase::Stop);
    let mut report = outcome?;
    report.faults.extend(run.load.finish());
    Ok(report)
}

struct Run {
    setup: Setup,
    shared: Arc<Shared>,
    load: Load,
    brokers: u32,
}

impl Run {
    fn all(&mut self, options: &Options) -> Result<Report> {
        let mut report = Report::default();
        let broker = self.broker()?;
        report.full_rate = self.full_rate(&broker)?;
        self.end(broker, false)?;
        report.rate = options.rate.unwrap_or(report.full_rate / 2);
        self.load.rate.store(report.rate / PAIRS as u64, Ordering::Release);
        for number in 0..LIVES {
            let started = Instant::now();
            let broker = self.broker()?;
            let start = started.elapsed();
            let life = self.live(&broker, start, options.length / LIVES)?;
            println!("{life}");
            report.faults.extend(life.faults());
            report.lives.push(life);
            if number + 1 == LIVES {
                self.drain(&mut report);
            }
            self.end(broker, number % 2 == 0 && number + 1 < LIVES)?;
        }
        report.faults.extend(samples::growth(&report.lives));
        (report.received, report.again) = (self.load.received(), self.load.again());
        Ok(report)
    }

    fn broker(&mut self) -> Result<Broker> {
        self.brokers += 1;
        let mut broker = Broker::start(&self.setup, self.brokers)?;
        self.shared.set_address(Some(broker.ready()?));
        Ok(broker)
    }

    fn end(&self, broker: Broker, is_killed: bool) -> Result<()> {
        self.shared.set_address(None);
        if is_killed { broker.kill() } else { broker.stop() }
    }

    /// Messages a second when every publisher sends what it may.
    fn full_rate(&self, broker: &Broker) -> Result<u64> {
        thread::sleep(WARM_UP);
        let (before, start) = (self.load.received(), Instant::now());
        thread::sleep(FULL_LOAD);
        let rate = (self.load.received() - before) as f64 / start.elapsed().as_secs_f64();
        println!(
            "at full load {rate:.0} messages a second, {} MiB resident, load {PAIRS} publishers and {PAIRS} sessions",
            broker.resident_bytes()? >> 20
        );
        if rate < 1.0 {
            return Err(Error::other("nothing comes"));
        }
        Ok(rate as u64)
    }

    /// One broker's share of the run.
    fn live(&self, broker: &Broker, start: Duration, length: Duration) -> Result<Life> {
        let (begun, before) = (Instant::now(), self.load.received());
        let mut samples = Vec::new();
        while begun.elapsed() < length {
            thread::sleep(INTERVAL);
            let outstanding = self.load.outstanding();
            samples.push(Sample {
                at: begun.elapsed(),
                resident_bytes: broker.resident_bytes()?,
                folder_bytes: samples::folder_bytes(&self.setup.store())?,
                outstanding,
            });
        }
        let rate = (self.load.received() - before) as f64 / begun.elapsed().as_secs_f64();
        Ok(Life { start, rate: rate as u64, samples })
    }

    /// Nothing new is published, and everything has to come.
    fn drain(&self, report: &mut Report) {
        self.shared.set_phase(Phase::Drain);
        let start = Instant::now();
        while !self.load.is_settled() && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(50));
        }
        if !self.load.is_settled() {
            report.faults.push(format!("{} messages did not come", self.load.outstanding()));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { full_rate, rate, received, again, lives, faults } = self;
        let length: Duration = lives.iter().filter_map(|life| life.samples.last()).map(|last| last.at).sum();
        write!(
            f,
            "{received} messages came, {again} again; {} s at {rate} of {full_rate} a second, {} restarts, {} faults",
            length.as_secs(),
            lives.len(),
            faults.len()
        )
    }
}
