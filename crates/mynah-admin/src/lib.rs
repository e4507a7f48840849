//! The management listener: metrics in the format of Prometheus, the health of the process, and queues, exchanges and
//! connections, in words of its own (`api`) and in those of RabbitMQ (`rabbitmq`).
//!
//! It reads what the workers count ([`mynah_core::Counters`]), and asks the broker for the rest ([`Broker`]).

pub mod accounts;
mod api;
mod asker;
mod broker;
mod collector;
mod connections;
pub mod definitions;
pub mod messages;
mod rabbitmq;
mod readiness;
mod refusal;
mod request;
mod router;
mod snapshot;
pub mod terms;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use asker::Asker;
pub use broker::{Answer, Broker};
pub use readiness::Readiness;
pub use router::router;
pub use snapshot::{BridgeCounts, MetricsSource, QueueCounts, Snapshot, StoreCounts, Turns};
