//! Batches: what a worker submits in one turn, encoded and summed on its own thread.

use core::fmt;
use core::ops::Range;

use super::frame::{self, Kind, Place};
use super::item::Value;
use super::key::{KEY_BYTES_MAX, Key, Owner};
use super::message::StoredMessage;

/// Records in the order in which they were made. They stand in the journal together and in this order.
#[derive(Debug)]
pub struct Batch {
    salt: u32,
    bytes: Vec<u8>,
    records: usize,
    /// Where the last record of the group that is being made starts.
    group: Option<usize>,
    in_group: bool,
}

/// A record that cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The key would be longer than [`KEY_BYTES_MAX`].
    KeyTooLong,
    /// The value belongs to another kind of key.
    Mismatch,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyTooLong => write!(f, "a name is too long to be stored: a key has {KEY_BYTES_MAX} bytes"),
            Self::Mismatch => f.write_str("the value belongs to another kind of key"),
        }
    }
}

impl core::error::Error for BatchError {}

impl Batch {
    pub(crate) const fn new(salt: u32) -> Self {
        Self { salt, bytes: Vec::new(), records: 0, group: None, in_group: false }
    }

    /// Whether there is nothing to store.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many records there are.
    #[must_use]
    pub const fn records(&self) -> usize {
        self.records
    }

    /// The bytes that the batch takes in the journal.
    #[must_use]
    pub const fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// The records as they stand in the journal.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the bytes away for empty ones.
    pub(crate) fn swap(&mut self, empty: &mut Vec<u8>) {
        core::mem::swap(&mut self.bytes, empty);
        self.bytes.clear();
        (self.records, self.group, self.in_group) = (0, None, false);
    }

    /// Records from here to [`Batch::end_group`] hold together or not at all, whatever a crash leaves.
    pub fn begin_group(&mut self) {
        (self.in_group, self.group) = (true, None);
    }

    /// Ends a group.
    pub fn end_group(&mut self) {
        (self.in_group, self.group) = (false, None);
    }

    /// A message that later records refer to. Each message that is stored gets a reference in time: one without any is
    /// kept until the next start.
    pub fn payload(&mut self, shard: u16, message: &StoredMessage<'_>) {
        let place = Place { tenant: message.tenant.number(), shard };
        self.append(Kind::Payload, place, |out| message.encode(out));
    }

    /// A key has a value from here on.
    ///
    /// # Errors
    /// The key is too long, or the value does not belong to it. Nothing was added then.
    pub fn put(&mut self, key: &Key<'_>, value: &Value<'_>) -> Result<(), BatchError> {
        if !value.fits(key) {
            return Err(BatchError::Mismatch);
        }
        self.keyed(Kind::Put, key, |out| value.encode(out))
    }

    /// A key has no value from here on.
    ///
    /// # Errors
    /// The key is too long.
    pub fn delete(&mut self, key: &Key<'_>) -> Result<(), BatchError> {
        self.keyed(Kind::Delete, key, |_| ())
    }

    /// The entries of a queue with these numbers, and their leases, are gone: its head has moved.
    ///
    /// # Errors
    /// The name is too long.
    pub fn truncate(&mut self, owner: Owner<'_>, gone: Range<u64>) -> Result<(), BatchError> {
        self.keyed(Kind::Truncate, &Key::Owner(owner), |out| {
            out.extend_from_slice(&gone.start.to_le_bytes());
            out.extend_from_slice(&gone.end.to_le_bytes());
        })
    }

    /// Everything of a session or queue is gone, itself included.
    ///
    /// # Errors
    /// The name is too long.
    pub fn remove(&mut self, owner: Owner<'_>) -> Result<(), BatchError> {
        self.keyed(Kind::Clear, &Key::Owner(owner), |_| ())
    }

    fn keyed(
        &mut self,
        kind: Kind,
        key: &Key<'_>,
        rest: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), BatchError> {
        let before = (self.bytes.len(), self.group);
        let place = Place { tenant: key.tenant().number(), shard: key.shard() };
        let mut length = 0;
        self.append(kind, place, |out| {
            let start = out.len();
            out.extend_from_slice(&[0; 2]);
            key.encode(out);
            length = out.len() - start - 2;
            // Too long a key is taken back below.
            out[start..start + 2].copy_from_slice(&(length as u16).to_le_bytes());
            rest(out);
        });
        if length > KEY_BYTES_MAX {
            self.bytes.truncate(before.0);
            self.records -= 1;
            self.unlink_group(before.1);
            return Err(BatchError::KeyTooLong);
        }
        Ok(())
    }

    pub(crate) fn append(&mut self, kind: Kind, place: Place, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        frame::append(&mut self.bytes, self.salt, kind, place, write);
        self.records += 1;
        if self.in_group
            && let Some(last) = self.group.replace(start)
        {
            frame::set_more_follows(&mut self.bytes[last..], self.salt);
        }
    }

    /// The record after `last` was taken back: nothing follows it.
    fn unlink_group(&mut self, last: Option<usize>) {
        self.group = last;
        if let Some(last) = last {
            frame::clear_more_follows(&mut self.bytes[last..], self.salt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::OwnerKind;
    use mynah_model::TenantId;

    fn flags(batch: &Batch) -> Vec<u8> {
        let (mut at, mut flags) = (0, Vec::new());
        while at < batch.bytes.len() {
            let (frame, taken) = frame::parse(&batch.bytes[at..], batch.salt).unwrap();
            flags.push(frame.flags);
            at += taken;
        }
        flags
    }

    #[test]
    fn all_but_the_last_record_of_a_group_say_that_more_follows() {
        let name = Key::Setting { tenant: TenantId::DEFAULT, name: b"x" };
        let mut batch = Batch::new(7);
        batch.delete(&name).unwrap();
        batch.begin_group();
        batch.delete(&name).unwrap();
        batch.delete(&name).unwrap();
        let long = [0; KEY_BYTES_MAX];
        let key = Key::Setting { tenant: TenantId::DEFAULT, name: &long };
        assert_eq!(batch.delete(&key), Err(BatchError::KeyTooLong));
        batch.end_group();
        batch.delete(&name).unwrap();
        assert_eq!(flags(&batch), [0, 1, 0, 0]);
        assert_eq!(batch.records(), 4);
    }

    #[test]
    fn a_value_under_the_wrong_key_is_refused() {
        let owner = Owner { tenant: TenantId::DEFAULT, shard: 0, kind: OwnerKind::Session, name: b"c" };
        let mut batch = Batch::new(7);
        assert_eq!(batch.put(&Key::Owner(owner), &Value::Received), Err(BatchError::Mismatch));
        assert!(batch.is_empty());
    }
}
