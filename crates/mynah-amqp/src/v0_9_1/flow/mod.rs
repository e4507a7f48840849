//! Side machines: deliveries that wait for an acknowledgement, publications that wait to be confirmed, contents that come
//! in parts, prefetch, heartbeats.

mod assembly;
mod confirms;
mod heartbeats;
mod prefetch;
mod unacknowledged;

pub use assembly::{Assembly, Content, Part};
pub use confirms::{Confirm, Confirms};
pub use heartbeats::{Due, Heartbeats};
pub use prefetch::{Grant, Prefetch};
pub use unacknowledged::{Unacknowledged, UnknownTag};
