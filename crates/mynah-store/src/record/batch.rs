//! Batches: what a worker submits in one turn, encoded and summed on its own thread.

use core::fmt;
use core::ops::Range;

use super::frame::{self, Kind, MORE_FOLLOWS, Place};
use super::gone::Gone;
use super::item::{PayloadId, Value};
use super::key::{KEY_BYTES_MAX, Key, Owner};
use super::message::StoredMessage;

/// Records in the order in which they were made. They stand in the journal together and in this order.
#[derive(Debug)]
pub struct Batch {
    salt: u32,
    bytes: Vec<u8>,
    records: usize,
    /// The last frame, which is completed when the next one begins.
    open: Option<Open>,
    in_group: bool,
    gone: Gone,
}

/// A frame that is not completed.
#[derive(Clone, Copy, Debug)]
struct Open {
    start: usize,
    kind: Kind,
    place: Place,
    /// It is part of the group that is being made.
    in_group: bool,
    /// The message in it, as long as a key can join it.
    message: Option<PayloadId>,
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
    pub(crate) fn new(salt: u32) -> Self {
        let (bytes, gone) = (Vec::new(), Gone::default());
        Self { salt, bytes, records: 0, open: None, in_group: false, gone }
    }

    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.gone.is_empty()
    }

    /// How many records there are.
    #[must_use]
    pub const fn records(&self) -> usize {
        self.records
    }

    /// The bytes that the batch takes in the journal.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.bytes.len().next_multiple_of(frame::ALIGNMENT) + self.gone.frame_bytes()
    }

    /// The records as they stand in the journal.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn as_bytes(&mut self) -> &[u8] {
        self.complete();
        &self.bytes
    }

    /// Gives the bytes away for empty ones.
    pub(crate) fn swap(&mut self, empty: &mut Vec<u8>) {
        self.complete();
        core::mem::swap(&mut self.bytes, empty);
        self.bytes.clear();
        (self.records, self.in_group) = (0, false);
    }

    /// Nothing can join what is there.
    fn complete(&mut self) {
        self.append_gone();
        self.seal(false);
    }

    /// Records from here to [`Batch::end_group`] hold together or not at all, whatever a crash leaves. Truncations of
    /// one queue that adjoin are one record at the end of the group.
    pub fn begin_group(&mut self) {
        self.end_group();
        self.in_group = true;
    }

    /// Ends a group.
    pub fn end_group(&mut self) {
        self.complete();
        self.in_group = false;
    }

    /// A message that later records refer to. Each message that is stored gets a reference in time: one without any is
    /// kept until the next start. It takes least room if the first key that refers to it is the next record.
    pub fn payload(&mut self, shard: u16, message: &StoredMessage<'_>) {
        let place = Place { tenant: message.tenant.number(), shard };
        self.append(Kind::Payload, place, |out| message.encode(out));
        if let Some(open) = &mut self.open {
            open.message = Some(message.id);
        }
    }

    /// A key has a value from here on.
    ///
    /// # Errors
    /// The key is too long, or the value does not belong to it. Nothing was added then.
    pub fn put(&mut self, key: &Key<'_>, value: &Value<'_>) -> Result<(), BatchError> {
        if !value.fits(key) {
            return Err(BatchError::Mismatch);
        }
        if let Some(message) = value.payload()
            && self.join(key, value, message)?
        {
            return Ok(());
        }
        self.keyed(Kind::Put, key, |out| value.encode(out))
    }

    /// Puts a key into the frame of the message that it refers to, if that is the last one. Returns whether it was.
    fn join(&mut self, key: &Key<'_>, value: &Value<'_>, message: PayloadId) -> Result<bool, BatchError> {
        let length = length(key)?;
        let Some(open) = self.open.as_mut().filter(|open| open.message == Some(message)) else {
            return Ok(false);
        };
        let before = self.bytes.len();
        key.encode(&mut self.bytes);
        value.encode(&mut self.bytes);
        let Ok(value_length) = u16::try_from(self.bytes.len() - before - usize::from(length)) else {
            self.bytes.truncate(before);
            return Ok(false);
        };
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&value_length.to_le_bytes());
        (open.kind, open.message) = (Kind::Referred, None);
        self.records += 1;
        Ok(true)
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
        let key = Key::Owner(owner);
        if self.in_group {
            length(&key)?;
            self.records += usize::from(self.gone.add(&key, gone));
            return Ok(());
        }
        self.keyed(Kind::Truncate, &key, |out| {
            out.extend_from_slice(&gone.start.to_le_bytes());
            out.extend_from_slice(&gone.end.to_le_bytes());
        })
    }

    /// Everything of a session or queue is gone, itself included.
    ///
    /// # Errors
    /// The name is too long.
    pub fn remove(&mut self, owner: Owner<'_>) -> Result<(), BatchError> {
        // What is put under this name from here on is not what was truncated.
        self.append_gone();
        self.keyed(Kind::Clear, &Key::Owner(owner), |_| ())
    }

    fn keyed(
        &mut self,
        kind: Kind,
        key: &Key<'_>,
        rest: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), BatchError> {
        let length = length(key)?;
        let place = Place { tenant: key.tenant().number(), shard: key.shard() };
        self.append(kind, place, |out| {
            out.extend_from_slice(&length.to_le_bytes());
            key.encode(out);
            rest(out);
        });
        Ok(())
    }

    pub(crate) fn append(&mut self, kind: Kind, place: Place, write: impl FnOnce(&mut Vec<u8>)) {
        self.seal(self.in_group);
        let (start, in_group) = (frame::open(&mut self.bytes), self.in_group);
        self.open = Some(Open { start, kind, place, in_group, message: None });
        write(&mut self.bytes);
        self.records += 1;
    }

    /// Completes the last frame. `goes_on` says that the next one is of the group that is being made.
    fn seal(&mut self, goes_on: bool) {
        let Some(Open { start, kind, place, in_group, .. }) = self.open.take() else { return };
        let flags = if in_group && goes_on { MORE_FOLLOWS } else { 0 };
        frame::seal(&mut self.bytes, start, self.salt, kind, place, flags);
    }

    /// Appends the truncations of the group.
    fn append_gone(&mut self) {
        if self.gone.is_empty() {
            return;
        }
        let mut gone = core::mem::take(&mut self.gone);
        for (key, place, numbers) in gone.iter() {
            self.append(Kind::Truncate, place, |out| {
                // Its length was looked at when it was added.
                out.extend_from_slice(&(key.len() as u16).to_le_bytes());
                out.extend_from_slice(key);
                out.extend_from_slice(&numbers.start.to_le_bytes());
                out.extend_from_slice(&numbers.end.to_le_bytes());
            });
        }
        self.records -= gone.len();
        gone.clear();
        self.gone = gone;
    }
}

/// The length of a key.
fn length(key: &Key<'_>) -> Result<u16, BatchError> {
    match key.bytes_len() {
        length @ 0..=KEY_BYTES_MAX => Ok(length as u16),
        _ => Err(BatchError::KeyTooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fields::Options;
    use crate::record::item::EntryValue;
    use crate::record::key::OwnerKind;
    use mynah_model::{Class, Layout, TenantId};

    /// The kinds and flags of the frames.
    fn frames(batch: &mut Batch) -> Vec<(Kind, u8)> {
        let (mut at, mut frames, salt) = (0, Vec::new(), batch.salt);
        let bytes = batch.as_bytes();
        while at < bytes.len() {
            let (frame, taken) = frame::parse(&bytes[at..], salt).unwrap();
            frames.push((frame.kind, frame.flags));
            at += taken;
        }
        frames
    }

    const OWNER: Owner<'_> =
        Owner { tenant: TenantId::DEFAULT, shard: 0, kind: OwnerKind::Session, name: b"c" };

    fn message(batch: &mut Batch, id: u64) -> Value<'static> {
        let message = StoredMessage {
            id: PayloadId(id),
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 1, version: 1 },
            class: Class::AtLeastOnce,
            retain: false,
            priority: 4,
            topic: (0, 1),
            payload: (1, 5),
            deadline: None,
            publisher: None,
            native: b"topic",
        };
        batch.payload(0, &message);
        let (payload, class, options) = (PayloadId(id), Class::AtLeastOnce, Options::NONE);
        Value::Entry(EntryValue { payload, class, retain: false, options })
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
        let flags: Vec<u8> = frames(&mut batch).iter().map(|(_, flags)| *flags).collect();
        assert_eq!(flags, [0, 1, 0, 0]);
        assert_eq!(batch.records(), 4);
    }

    #[test]
    fn an_entry_joins_the_message_before_it_and_no_other() {
        let mut batch = Batch::new(7);
        let key = |number| Key::Entry(OWNER, number);
        let one = message(&mut batch, 1);
        batch.put(&key(1), &one).unwrap();
        batch.put(&key(2), &one).unwrap();
        let two = message(&mut batch, 2);
        batch.put(&key(3), &one).unwrap();
        batch.put(&key(4), &two).unwrap();
        assert_eq!(batch.records(), 6);
        let kinds: Vec<Kind> = frames(&mut batch).iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [Kind::Referred, Kind::Put, Kind::Payload, Kind::Put, Kind::Put]);
        let (frame, _) = frame::parse(&batch.bytes, 7).unwrap();
        let (stored, entry) = frame.message().unwrap();
        assert_eq!(StoredMessage::decode(0, stored).unwrap().native, b"topic");
        let (bytes, value) = entry.unwrap();
        assert_eq!((Key::decode(bytes), Value::decode(bytes[0], value)), (Some(key(1)), Some(one)));
    }

    #[test]
    fn a_message_that_is_the_last_of_a_group_has_no_entry_of_the_next() {
        let mut batch = Batch::new(7);
        batch.begin_group();
        let entry = message(&mut batch, 1);
        batch.begin_group();
        batch.put(&Key::Entry(OWNER, 1), &entry).unwrap();
        batch.delete(&Key::Entry(OWNER, 1)).unwrap();
        batch.end_group();
        assert_eq!(frames(&mut batch), [(Kind::Payload, 0), (Kind::Put, 1), (Kind::Delete, 0)]);
    }

    #[test]
    fn truncations_that_adjoin_are_one_record_at_the_end_of_their_group() {
        let mut batch = Batch::new(7);
        let other = Owner { name: b"d", ..OWNER };
        batch.begin_group();
        for (owner, gone) in [(OWNER, 1..3), (other, 1..2), (OWNER, 3..4), (OWNER, 7..9)] {
            batch.truncate(owner, gone).unwrap();
        }
        let entry = message(&mut batch, 1);
        batch.put(&Key::Entry(OWNER, 9), &entry).unwrap();
        assert_eq!((batch.records(), batch.is_empty()), (5, false));
        let bytes = batch.bytes_len();
        batch.end_group();
        assert_eq!((batch.records(), batch.bytes_len()), (5, bytes));
        let truncate = (Kind::Truncate, 1);
        assert_eq!(frames(&mut batch), [(Kind::Referred, 1), truncate, truncate, (Kind::Truncate, 0)]);
    }

    #[test]
    fn what_is_removed_was_truncated_before() {
        let mut batch = Batch::new(7);
        batch.begin_group();
        batch.truncate(OWNER, 1..3).unwrap();
        batch.remove(OWNER).unwrap();
        batch.truncate(OWNER, 3..4).unwrap();
        let kinds: Vec<Kind> = frames(&mut batch).iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [Kind::Truncate, Kind::Clear, Kind::Truncate]);
    }

    #[test]
    fn a_value_under_the_wrong_key_is_refused() {
        let owner = Owner { tenant: TenantId::DEFAULT, shard: 0, kind: OwnerKind::Session, name: b"c" };
        let mut batch = Batch::new(7);
        assert_eq!(batch.put(&Key::Owner(owner), &Value::Received), Err(BatchError::Mismatch));
        assert!(batch.is_empty());
    }
}
