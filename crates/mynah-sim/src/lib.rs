//! The whole broker in one thread: several engines, their inboxes, links and clients of MQTT 3.1.1 and 5.0, in an order
//! that a seed shuffles, against a naive model that says what every session must get.
//!
//! ```text
//!   schedule ----> client <---- link ----> engine <--- letters ---> engine
//!                    | says, hears           | witness: when
//!                    +--------> model <------+
//! ```
//!
//! * `schedule` draws what clients do, `shape` how the world is made, `rest` brings it to its end;
//! * `world` has the engines and gives them turns as a worker does; `link` is what lies between them and clients;
//! * `client` is a client with its session; `model` is the reference, `witness` tells it when the engine acts;
//! * `layer` is the decorator around the protocol that witness and faults have in common;
//! * `outage` is a world of its own, with a store, where the broker is cut off again and again;
//! * `queues` is another, with named queues and clients of AMQP 0-9-1;
//! * `fault` breaks promises on purpose, `trace` keeps the last events of a run that failed.
//!
//! ```
//! let summary = mynah_sim::run(1, mynah_sim::Options::default())?;
//! assert!(summary.arrivals > 0);
//! # Ok::<(), mynah_sim::Failure>(())
//! ```

mod client;
mod fault;
mod layer;
mod link;
mod model;
mod outage;
mod queues;
mod rest;
mod schedule;
mod shape;
mod trace;
mod wish;
mod witness;
mod world;

use std::fmt;
use std::ops::AddAssign;

pub use fault::Fault;
pub use outage::{Keeping, Lapse, Outages, Outcome, run_outages};
pub use queues::{Served, run_queues};

use crate::model::Violation;
use crate::trace::Trace;
use crate::world::World;

/// How a seed is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Steps: in each a client may do something, and the world moves on a little.
    pub steps: u32,
    /// A promise that the broker is made to break.
    pub fault: Option<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self { steps: 200, fault: None }
    }
}

/// What was run and checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Seeds.
    pub schedules: u64,
    /// Steps.
    pub steps: u64,
    /// Connections that clients opened.
    pub connections: u64,
    /// Connections that were ended because their client came in again.
    pub take_overs: u64,
    /// Publications that the broker took in.
    pub publications: u64,
    /// Wills that were published.
    pub wills: u64,
    /// Messages that came to clients, each compared with the model.
    pub arrivals: u64,
    /// Messages of QoS 0 that slow readers cost.
    pub slow_drops: u64,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.connections += other.connections;
        self.take_overs += other.take_overs;
        self.publications += other.publications;
        self.wills += other.wills;
        self.arrivals += other.arrivals;
        self.slow_drops += other.slow_drops;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schedules, steps, connections, take_overs, publications, wills, arrivals, slow_drops } =
            self;
        write!(
            f,
            "{schedules} schedules, {steps} steps, {connections} connections, {take_overs} take-overs, "
        )?;
        write!(f, "{publications} publications, {wills} wills, {arrivals} messages checked, ")?;
        write!(f, "{slow_drops} dropped for slow readers")
    }
}

/// A promise was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed that shows it, always in the same way.
    pub seed: u64,
    /// What is wrong.
    pub violation: String,
    /// The last events before it was noticed.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        write!(f, "seed {}: {}", self.seed, self.violation)
    }
}

impl std::error::Error for Failure {}

/// Runs the schedule of a seed, brings the world to rest, and compares everything with the model. A seed that fails is
/// run once more for its trace.
///
/// # Errors
/// The first promise that was not kept.
pub fn run(seed: u64, options: Options) -> Result<Summary, Failure> {
    let mut world = World::new(seed, options.fault, Trace::new(false));
    let Err(Violation(violation)) = play(&mut world, options) else { return Ok(summary(&world, options)) };
    let mut world = World::new(seed, options.fault, Trace::new(true));
    let again = play(&mut world, options).err().map(|Violation(text)| text);
    let mut trace = world.trace.into_lines();
    if again.as_ref() != Some(&violation) {
        trace.push(format!("the second run came to {again:?}: the simulation is not deterministic"));
    }
    Err(Failure { seed, violation, trace })
}

fn play(world: &mut World, options: Options) -> Result<(), Violation> {
    (1..=options.steps).try_for_each(|step| world.step(step))?;
    world.come_to_rest()
}

fn summary(world: &World, options: Options) -> Summary {
    let tally = world.model.tally;
    let slow = mynah_core::DropReason::SlowConsumer;
    Summary {
        schedules: 1,
        steps: u64::from(options.steps),
        connections: world.links.len() as u64,
        take_overs: tally.take_overs,
        publications: tally.publications,
        wills: tally.wills,
        arrivals: tally.arrivals,
        slow_drops: world.counters().map(|counters| counters.dropped(slow).read()).sum(),
    }
}
