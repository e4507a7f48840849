//! Records: what the journal is made of. Each says what is so from then on, under a key; none is logic to be repeated,
//! and the order of the journal decides for each key.

pub(crate) mod batch;
pub(crate) mod fields;
pub(crate) mod frame;
pub(crate) mod gone;
pub(crate) mod item;
pub(crate) mod key;
pub(crate) mod message;

pub use batch::{Batch, BatchError};
pub use fields::{Options, OptionsBuf};
pub use item::{
    DelayedValue, EntryValue, LeaseValue, OwnerValue, PayloadId, SubscriptionValue, Value, WillValue,
};
pub use key::{KEY_BYTES_MAX, Key, Owner, OwnerKind};
pub use message::StoredMessage;
