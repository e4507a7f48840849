//! A run: the broker is started, worked with and killed, again and again, and now and then everything is drained and
//! the ledger asked.

use std::fmt;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mynah_model::Class;

use crate::broker::{self, Addresses, Broker, Setup};
use crate::coap::Coap;
use crate::consumer::{Consumer, Wish};
use crate::http::Http;
use crate::ledger::{Totals, Violation};
use crate::producer::{self, Producer, Requester};
use crate::queues::{
    self, AmqpConsumer, AmqpProducer, DONE, Manner, Peer, QUEUES, StompConsumer, StompProducer, Visitor,
};
use crate::random::Random;
use crate::shared::{Phase, Shared};
use crate::undo::{Loss, Lost, Undo};

const PRODUCERS: u16 = 3;
const HTTP_PRODUCERS: u16 = 2;
const COAP_PRODUCERS: u16 = 2;
/// Those who publish on topics.
const PUBLISHERS: u16 = PRODUCERS + HTTP_PRODUCERS + COAP_PRODUCERS;
/// Producers to queues.
const STOMP_PRODUCERS: u16 = 3;
const AMQP_PRODUCERS: u16 = 3;

/// What consumers subscribe to. Filters of one session do not overlap.
const CONSUMERS: &[(&str, &[Wish])] = &[
    ("everything", &[("event/#", Class::ExactlyOnce, false), ("value/#", Class::ExactlyOnce, false)]),
    ("one-lane", &[("event/+/0", Class::AtLeastOnce, false)]),
    ("two-lanes", &[("event/+/1", Class::ExactlyOnce, false), ("event/+/2", Class::ExactlyOnce, false)]),
    ("one-producer", &[("event/0/#", Class::ExactlyOnce, false)]),
    ("changing", &[("value/+/0", Class::AtLeastOnce, false), ("event/+/2", Class::ExactlyOnce, true)]),
    ("at-least-once", &[("event/#", Class::AtLeastOnce, false)]),
];

/// How a consumer of queues acknowledges, and what it takes from.
type Taking = (Manner, &'static [&'static str]);

const STOMP_CONSUMERS: &[Taking] = &[
    (Manner::Individual, &[QUEUES[0], QUEUES[1]]),
    (Manner::Individual, &[QUEUES[1]]),
    (Manner::Cumulative, &[QUEUES[2], QUEUES[0]]),
    (Manner::SendsOn, &[QUEUES[3]]),
    (Manner::Individual, &[DONE]),
];

const AMQP_CONSUMERS: &[Taking] = &[
    (Manner::Individual, &[QUEUES[1], QUEUES[2]]),
    (Manner::Cumulative, &[QUEUES[0], QUEUES[3]]),
    (Manner::SendsOn, &[QUEUES[3], QUEUES[2]]),
    (Manner::Individual, &[DONE]),
];

/// Without an event for so long, what is outstanding does not come any more.
const QUIET: Duration = Duration::from_secs(3);

/// Everything was there: so long, what may come too often is waited for.
const AFTERMATH: Duration = Duration::from_millis(150);

/// How long a drain may take in all.
const DRAIN_MAX: Duration = Duration::from_secs(60);

const GLANCE: Duration = Duration::from_millis(10);

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program under test.
    pub program: PathBuf,
    /// An empty folder, for the configuration, the logs and the broker's folder.
    pub folder: PathBuf,
    /// Determines all choices.
    pub seed: u64,
    /// How often the broker is killed, or left alone for as long.
    pub cycles: u32,
    /// After how many cycles everything is drained and the ledger asked.
    pub drain_every: u32,
    /// Whether the broker is killed at all.
    pub kills: bool,
    /// Whether the configuration names the broker's folder.
    pub names_store: bool,
    /// Worker threads of the broker.
    pub workers: u16,
    /// The library that remembers what was not synced, if that is to be lost.
    pub library: Option<PathBuf>,
    /// Whether the library makes every sync do nothing.
    pub ignores_sync: bool,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Cycles that were run; fewer than wanted if there were violations.
    pub cycles: u32,
    /// Kills, those before the broker was ready included.
    pub kills: u32,
    /// Those of them before the broker was ready.
    pub early_kills: u32,
    /// What the clients did.
    pub totals: Totals,
    /// What was lost because it had not been synced.
    pub lost: Lost,
    /// What should not have happened.
    pub violations: Vec<Violation>,
}

/// Runs all cycles, or those before the first violation.
///
/// # Errors
/// The broker does not start, stops by itself, or something else that is needed is not there.
pub fn run(options: &Options) -> Result<Report> {
    let mut run = Run::new(options)?;
    let clients = run.clients()?;
    let outcome = run.cycles();
    run.shared.set_phase(Phase::Stop);
    run.broker = None;
    for client in clients {
        let _ = client.join();
    }
    let ledger = run.shared.ledger();
    let mut report = run.report.clone();
    (report.totals, report.violations) = (ledger.totals(), ledger.violations().to_vec());
    outcome.map(|()| report)
}

struct Run<'o> {
    options: &'o Options,
    setup: Setup,
    undo: Option<Undo>,
    random: Random,
    shared: Arc<Shared>,
    broker: Option<Broker>,
    /// Brokers that were started.
    started: u32,
    report: Report,
}

impl<'o> Run<'o> {
    fn new(options: &'o Options) -> Result<Self> {
        let folder = broker::absolute(&options.folder)?;
        let mut setup = Setup {
            program: broker::absolute(&options.program)?,
            folder,
            names_store: options.names_store,
            workers: options.workers,
            environment: Vec::new(),
        };
        setup.prepare()?;
        let library = options.library.as_deref().map(broker::absolute).transpose()?;
        let undo = library.map(|library| Undo::new(&setup.store(), &setup.folder.join("undo"), &library));
        if let Some(undo) = &undo {
            setup.environment = undo.environment(options.ignores_sync);
        }
        let producers = (0..PRODUCERS).map(|number| format!("producer-{number}"));
        let by_http = (0..HTTP_PRODUCERS).map(|number| format!("http-{number}"));
        let by_coap = (0..COAP_PRODUCERS).map(|number| format!("coap-{number}"));
        let consumers = CONSUMERS.iter().map(|(name, _)| (*name).to_owned());
        let named =
            |kind: &'static str, count: usize| (0..count).map(move |number| format!("{kind}-{number}"));
        let at_queues = named("stomp-producer", STOMP_PRODUCERS.into())
            .chain(named("amqp-producer", AMQP_PRODUCERS.into()))
            .chain(named("stomp-consumer", STOMP_CONSUMERS.len()))
            .chain(named("amqp-consumer", AMQP_CONSUMERS.len()));
        let peers = producers.chain(by_http).chain(by_coap).chain(consumers).chain(at_queues);
        let shared = Arc::new(Shared::new(peers.collect()));
        Ok(Self {
            options,
            setup,
            undo,
            random: Random::new(options.seed),
            shared,
            broker: None,
            started: 0,
            report: Report::default(),
        })
    }

    /// Starts the clients, each on a thread of its own.
    fn clients(&mut self) -> Result<Vec<JoinHandle<()>>> {
        let mut clients = Vec::new();
        let mut peer = 0;
        let mut number = || {
            peer += 1;
            peer - 1
        };
        for _ in 0..PRODUCERS {
            let (shared, peer) = (self.shared.clone(), number());
            let name = format!("producer-{peer}");
            let client = Producer::new(shared, peer, &name, self.random.fork()).map_err(Error::other)?;
            clients.push(thread::spawn(move || client.run()));
        }
        for _ in 0..HTTP_PRODUCERS {
            let client = Requester::new(self.shared.clone(), number(), self.random.fork());
            let client = client.map_err(Error::other)?;
            clients.push(thread::spawn(move || client.run::<Http>()));
        }
        for _ in 0..COAP_PRODUCERS {
            let client = Requester::new(self.shared.clone(), number(), self.random.fork());
            let client = client.map_err(Error::other)?;
            clients.push(thread::spawn(move || client.run::<Coap>()));
        }
        for (name, wishes) in CONSUMERS {
            let (shared, random) = (self.shared.clone(), self.random.fork());
            let client = Consumer::new(shared, number(), name, random, wishes).map_err(Error::other)?;
            clients.push(thread::spawn(move || client.run()));
        }
        for _ in 0..STOMP_PRODUCERS {
            let machine = queues::stomp().map_err(Error::other)?;
            let peer = Peer::new(self.shared.clone(), number(), self.random.fork(), machine);
            clients.push(thread::spawn(move || StompProducer::new(peer).visit()));
        }
        for _ in 0..AMQP_PRODUCERS {
            let peer = Peer::new(self.shared.clone(), number(), self.random.fork(), queues::amqp());
            clients.push(thread::spawn(move || AmqpProducer::new(peer).visit()));
        }
        for (manner, queues) in STOMP_CONSUMERS {
            let machine = queues::stomp().map_err(Error::other)?;
            let peer = Peer::new(self.shared.clone(), number(), self.random.fork(), machine);
            clients.push(thread::spawn(move || StompConsumer::new(peer, *manner, queues).visit()));
        }
        for (manner, queues) in AMQP_CONSUMERS {
            let peer = Peer::new(self.shared.clone(), number(), self.random.fork(), queues::amqp());
            clients.push(thread::spawn(move || AmqpConsumer::new(peer, *manner, queues).visit()));
        }
        Ok(clients)
    }

    fn cycles(&mut self) -> Result<()> {
        for cycle in 1..=self.options.cycles {
            self.shared.ledger().begin_cycle(cycle);
            self.report.cycles = cycle;
            self.ensure_broker()?;
            let length = if self.random.happens(25) { 0..=30 } else { 50..=600 };
            let length = self.random.between(length);
            thread::sleep(Duration::from_millis(length));
            if cycle % self.options.drain_every == 0 || cycle == self.options.cycles {
                self.drain()?;
                if !self.shared.ledger().violations().is_empty() {
                    return Ok(());
                }
            }
            if self.options.kills {
                self.kill()?;
            }
        }
        self.finish()
    }

    /// The last broker reads what the others left, drains, and stops when it is asked to.
    fn finish(&mut self) -> Result<()> {
        self.ensure_broker()?;
        self.drain()?;
        self.shared.set_phase(Phase::Stop);
        self.shared.set_address(None);
        self.broker.take().map_or(Ok(()), Broker::stop)
    }

    /// Starts a broker if there is none; some do not live until they are ready.
    fn ensure_broker(&mut self) -> Result<()> {
        if self.broker.is_some() {
            return Ok(());
        }
        while self.options.kills && self.random.happens(20) {
            self.start()?;
            let moment = self.random.between(0..=60);
            thread::sleep(Duration::from_millis(moment));
            self.report.early_kills += 1;
            self.kill()?;
        }
        let addresses = self.start()?.ready()?;
        // Before anybody can change them.
        if self.random.happens(50) {
            self.look_at_values(addresses)?;
        }
        self.shared.ledger().cut_off();
        self.shared.set_address(Some(addresses));
        Ok(())
    }

    fn start(&mut self) -> Result<&mut Broker> {
        if let Some(undo) = &mut self.undo {
            undo.begin()?;
        }
        self.started += 1;
        Ok(self.broker.insert(Broker::start(&self.setup, self.started)?))
    }

    fn kill(&mut self) -> Result<()> {
        self.shared.set_address(None);
        self.broker.take().map_or(Ok(()), Broker::kill)?;
        self.report.kills += 1;
        if let Some(undo) = &mut self.undo {
            let loss =
                if self.options.ignores_sync { Loss::Everything } else { Loss::draw(&mut self.random) };
            self.report.lost += undo.apply(loss, &mut self.random)?;
        }
        Ok(())
    }

    /// Nothing new is published, everybody comes and stays, until everything has come or nothing comes any more.
    fn drain(&mut self) -> Result<()> {
        self.shared.set_phase(Phase::Drain);
        let start = Instant::now();
        let mut last = (0, Instant::now());
        while start.elapsed() < DRAIN_MAX {
            thread::sleep(GLANCE);
            let (events, outstanding) = {
                let mut ledger = self.shared.ledger();
                (ledger.events(), ledger.outstanding())
            };
            if events != last.0 {
                last = (events, Instant::now());
            }
            let patience = if outstanding == 0 && self.shared.all_idle() { AFTERMATH } else { QUIET };
            if last.1.elapsed() > patience {
                break;
            }
        }
        if let Some(addresses) = self.shared.address() {
            self.look_at_values(addresses)?;
        }
        self.shared.ledger().settle();
        self.shared.set_phase(Phase::Work);
        Ok(())
    }

    /// Compares the retained values with the ledger. Nobody may be changing them.
    fn look_at_values(&self, addresses: Addresses) -> Result<()> {
        let mut http = Http::open(addresses.http)?;
        for producer in 0..PUBLISHERS {
            for number in 0..producer::VALUE_TOPICS {
                let topic = producer::value_topic(producer, number);
                let answer = http.ask("GET", &topic, b"")?;
                let value = match answer.status {
                    200 => Some(answer.body.as_slice()),
                    404 => None,
                    status => return Err(Error::other(format!("GET of {topic} is answered with {status}"))),
                };
                self.shared.ledger().look_at(&topic, value);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cycles, kills, early_kills, totals, lost, violations } = self;
        let Totals { attempted, acknowledged, arrivals, again, values, .. } = totals;
        let Totals { sent, taken, retaken, confirmed, .. } = totals;
        writeln!(f, "{cycles} cycles, {kills} kills, {early_kills} of them before the broker was ready")?;
        writeln!(
            f,
            "{attempted} messages, {acknowledged} acknowledged; {arrivals} arrivals, {again} of them again; \
             {values} retained values looked at"
        )?;
        writeln!(
            f,
            "{sent} messages sent to queues, {taken} taken, {retaken} of them marked; {confirmed} confirmations"
        )?;
        if *lost != Lost::default() {
            writeln!(f, "lost at the kills: {lost}")?;
        }
        write!(f, "{} violations", violations.len())
    }
}

/// A folder for a run below the system's folder for temporary files.
#[must_use]
pub fn temporary_folder() -> PathBuf {
    let name = format!("mynah-crash-{}", std::process::id());
    Path::new(&std::env::temp_dir()).join(name)
}
