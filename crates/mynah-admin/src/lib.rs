//! The management listener: metrics in the format of Prometheus, and the health of the process.
//!
//! It reads what the workers count ([`mynah_core::Counters`]) and changes nothing.

mod collector;
mod readiness;
mod router;
mod snapshot;

pub use readiness::Readiness;
pub use router::router;
pub use snapshot::{BridgeCounts, MetricsSource, Snapshot, StoreCounts, Turns};
