//! What outlives the process: a journal that is synced before anything is acknowledged, and a state that makes a start
//! quick. The owner of the file format, which `docs/internals/store.md` describes byte by byte.

mod disk;
mod error;
mod journal;
mod keeper;
mod live;
mod position;
mod record;
mod recovery;
mod replay;
mod report;
mod segment;
mod state;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod tools;

pub use disk::{Disk, DiskFile, RealDisk};
pub use error::StoreError;
pub use journal::{Durability, Fatal, Producer, SubmitError, Ticket, Wake};
pub use position::Position;
pub use record::{
    Batch, BatchError, DelayedValue, EntryValue, KEY_BYTES_MAX, Key, LeaseValue, Options, OptionsBuf, Owner,
    OwnerKind, OwnerValue, PayloadId, StoredMessage, SubscriptionValue, Value, WillValue,
};
pub use recovery::{Recovered, Take};
pub use report::{Finding, Report};
pub use state::{Change, FjallStates, MemoryStates, State, StateError, States, Visit};
pub use store::{Page, PagedEntry, Status, Store, StoreOptions, ignore};
