//! A store without threads on a simulated disk, and the naive model of what it has to hold.

use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mynah_model::{Class, Expiry, Layout, SubscriptionOptions, TenantId};

use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::error::StoreError;
use crate::journal::handed::{Handed, Piece};
use crate::journal::writer::Writer;
use crate::keeper::{Keeper, Thrift};
use crate::record::{
    Batch, EntryValue, Key, LeaseValue, Options, Owner, OwnerKind, OwnerValue, PayloadId, StoredMessage,
    SubscriptionValue, Value,
};
use crate::recovery::Recovered;
use crate::report::Report;
use crate::state::{MemoryStates, States};
use crate::store::{StoreOptions, open_and_stream};

pub(crate) const SALT: u32 = 0xfeed;
pub(crate) const FOLDER: &str = "/store";
pub(crate) const SEGMENT_BYTES: u32 = 16 << 10;

/// A generator that gives the same numbers for the same seed.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }
}

/// What is live: bytes of keys and values, and for each what it refers to.
pub(crate) type Model = BTreeMap<Vec<u8>, (Vec<u8>, Vec<u8>)>;

/// Makes records and keeps the model of what they mean, after each of them.
pub(crate) struct Author {
    pub(crate) random: Random,
    pub(crate) model: Model,
    /// The model after each record.
    pub(crate) history: Vec<Model>,
    next_payload: u64,
    next_sequence: u64,
    payload_bytes_max: u64,
}

fn owner(name: &[u8], kind: OwnerKind) -> Owner<'_> {
    Owner { tenant: TenantId::new(1), shard: u16::from(name[0]), kind, name }
}

fn bytes_of(key: &Key<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    bytes
}

impl Author {
    pub(crate) fn new(seed: u64, payload_bytes_max: u64) -> Self {
        let history = vec![Model::new()];
        let random = Random::new(seed);
        Self { random, model: Model::new(), history, next_payload: 1, next_sequence: 1, payload_bytes_max }
    }

    /// Goes on from what a store was found to hold.
    pub(crate) fn resume(&mut self, model: Model) {
        self.history = vec![model.clone()];
        self.model = model;
    }

    fn put(&mut self, batch: &mut Batch, key: &Key<'_>, value: &Value<'_>, refers_to: &[u8]) {
        batch.put(key, value).unwrap();
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        self.model.insert(bytes_of(key), (bytes, refers_to.to_vec()));
        self.history.push(self.model.clone());
    }

    fn delete(&mut self, batch: &mut Batch, key: &Key<'_>) {
        batch.delete(key).unwrap();
        self.model.remove(&bytes_of(key));
        self.history.push(self.model.clone());
    }

    fn message(&mut self, batch: &mut Batch) -> (PayloadId, Vec<u8>) {
        let id = PayloadId(self.next_payload);
        self.next_payload += 1;
        let length = 8 + self.random.below(self.payload_bytes_max) as usize;
        let native: Vec<u8> = id.0.to_le_bytes().iter().copied().cycle().take(length).collect();
        let message = StoredMessage {
            id,
            tenant: TenantId::new(1),
            layout: Layout { id: 1, version: 1 },
            class: Class::AtLeastOnce,
            retain: false,
            priority: 4,
            topic: (0, 1),
            payload: (1, length as u32),
            deadline: None,
            publisher: None,
            native: &native,
        };
        batch.payload(0, &message);
        self.history.push(self.model.clone());
        (id, native)
    }

    fn entry(&mut self, batch: &mut Batch, name: &[u8], id: PayloadId, native: &[u8]) {
        let class = Class::AtLeastOnce;
        let value = EntryValue { payload: id, class, retain: false, options: Options::NONE };
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let key = Key::Entry(owner(name, OwnerKind::Session), sequence);
        self.put(batch, &key, &Value::Entry(value), native);
    }

    /// Adds some records to a batch.
    pub(crate) fn write(&mut self, batch: &mut Batch) {
        let names: [&[u8]; 4] = [b"a", b"b", b"cc", b"d"];
        let name = names[self.random.below(4) as usize];
        let own = owner(name, OwnerKind::Session);
        match self.random.below(12) {
            0..=2 => {
                let (id, native) = self.message(batch);
                self.entry(batch, name, id, &native);
            }
            3 => {
                let (id, native) = self.message(batch);
                for name in names {
                    self.entry(batch, name, id, &native);
                }
            }
            4..=5 => {
                let (id, native) = self.message(batch);
                let topic = [b't', b'0' + self.random.below(6) as u8];
                let key = Key::Retained { tenant: TenantId::new(1), shard: 0, topic: &topic };
                self.put(batch, &key, &Value::Retained(id), &native);
            }
            6..=7 => self.delete_any(batch),
            8 => self.truncate(batch, own),
            9 => self.session(batch, own),
            10 => {
                let key = Key::Received(own, self.random.below(4) as u16);
                if self.random.below(2) == 0 {
                    self.put(batch, &key, &Value::Received, b"");
                } else {
                    self.delete(batch, &key);
                }
            }
            _ if self.random.below(8) == 0 => self.remove(batch, own),
            _ => self.lease(batch),
        }
    }

    fn delete_any(&mut self, batch: &mut Batch) {
        let index = self.random.below(self.model.len() as u64) as usize;
        let Some(bytes) = self.model.keys().nth(index).cloned() else { return };
        self.delete(batch, &Key::decode(&bytes).unwrap());
    }

    fn lease(&mut self, batch: &mut Batch) {
        let entries: Vec<Vec<u8>> = self
            .model
            .keys()
            .filter(|key| matches!(Key::decode(key), Some(Key::Entry(..))))
            .cloned()
            .collect();
        let Some(bytes) = entries.get(self.random.below(entries.len() as u64) as usize) else { return };
        let Some(Key::Entry(owner, sequence)) = Key::decode(bytes) else { return };
        let received = self.random.below(2) == 0;
        let value = LeaseValue { delivery: 7, received, count: 1, options: Options::NONE };
        self.put(batch, &Key::Lease(owner, sequence), &Value::Lease(value), b"");
    }

    fn session(&mut self, batch: &mut Batch, own: Owner<'_>) {
        let value = OwnerValue {
            identity: b"user",
            anonymous: false,
            expiry: Expiry::Never,
            receive_max: 10,
            detached_at: None,
            head: 0,
            options: Options::NONE,
        };
        batch.begin_group();
        let before = self.history.len();
        self.put(batch, &Key::Owner(own), &Value::Owner(value), b"");
        let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::new(Class::ExactlyOnce) };
        let value = SubscriptionValue { options, more: Options::NONE };
        let filter = [b'f', b'0' + self.random.below(5) as u8];
        self.put(batch, &Key::Subscription(own, &filter), &Value::Subscription(value), b"");
        batch.end_group();
        // Half of a group is never seen.
        self.history[before] = self.history[before - 1].clone();
    }

    fn retain(&mut self, keep: impl Fn(&Key<'_>) -> bool) {
        self.model.retain(|bytes, _| keep(&Key::decode(bytes).unwrap()));
        self.history.push(self.model.clone());
    }

    fn truncate(&mut self, batch: &mut Batch, own: Owner<'_>) {
        let to = self.next_sequence.saturating_sub(self.random.below(6));
        batch.begin_group();
        for gone in [0..to / 2, to / 2..to] {
            batch.truncate(own, gone).unwrap();
        }
        batch.end_group();
        self.retain(|key| match key {
            Key::Entry(owner, sequence) | Key::Lease(owner, sequence) => *owner != own || *sequence >= to,
            _ => true,
        });
    }

    fn remove(&mut self, batch: &mut Batch, own: Owner<'_>) {
        batch.remove(own).unwrap();
        self.retain(|key| match key {
            Key::Owner(owner) | Key::Will(owner) => *owner != own,
            Key::Entry(owner, _) | Key::Lease(owner, _) => *owner != own,
            Key::Subscription(owner, _) => *owner != own,
            Key::Received(owner, _) => *owner != own,
            _ => true,
        });
    }
}

/// A store without threads.
pub(crate) struct Rig {
    pub(crate) writer: Writer,
    pub(crate) keeper: Keeper,
    handed: Arc<Handed>,
    random: Random,
    pub(crate) batch: Batch,
    pub(crate) report: Report,
}

/// Opens a store and says what it holds.
pub(crate) fn open(disk: &SimulatedDisk, states: &MemoryStates) -> Result<(Rig, Model), StoreError> {
    let mut options = StoreOptions::new(Path::new(FOLDER));
    options.disk = Arc::new(disk.clone()) as Arc<dyn Disk>;
    options.states = Some(Box::new(states.clone()) as Box<dyn States>);
    options.salt = SALT;
    open_with(options)
}

pub(crate) fn open_with(mut options: StoreOptions) -> Result<(Rig, Model), StoreError> {
    let mut found = Gathered::default();
    let mut opened = open_and_stream(&mut options, &mut |recovered| found.take(recovered))?;
    let report = core::mem::take(&mut opened.report);
    let salt = opened.live.salt();
    let writer = Writer::start(opened.segments.clone(), salt, SEGMENT_BYTES, opened.next_segment)?;
    let thrift = Thrift { snapshot_bytes: 20_000, slack_bytes: 40_000, pressure_bytes: 100_000 };
    let handed = Arc::new(Handed::default());
    let keeper = Keeper::new(opened, handed.clone(), thrift);
    let (batch, random) = (Batch::new(salt), Random::new(1));
    Ok((Rig { writer, keeper, handed, random, batch, report }, found.model))
}

/// What was handed over, as a model.
#[derive(Default)]
pub(crate) struct Gathered {
    payloads: BTreeMap<u64, Vec<u8>>,
    pub(crate) model: Model,
}

impl Gathered {
    pub(crate) fn take(&mut self, recovered: Recovered<'_>) -> ControlFlow<()> {
        match recovered {
            Recovered::Restart => *self = Self::default(),
            Recovered::Progress(..) | Recovered::Replayed(..) => {}
            Recovered::Payload(message) => drop(self.payloads.insert(message.id.0, message.native.to_vec())),
            Recovered::Item(key, value) => {
                let mut bytes = Vec::new();
                value.encode(&mut bytes);
                let refers_to = value.payload().and_then(|id| self.payloads.get(&id.0).cloned());
                self.model.insert(bytes_of(&key), (bytes, refers_to.unwrap_or_default()));
            }
        }
        ControlFlow::Continue(())
    }
}

impl Rig {
    /// Writes what is in the batch.
    pub(crate) fn write(&mut self) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        self.batch.swap(&mut bytes);
        let (at, records_at) = self.writer.write(&[&bytes])?;
        // What is not handed over is read from the files.
        if !bytes.is_empty() && self.random.below(2) == 0 {
            let piece = Piece { at, records_at, end: self.writer.end(), batches: vec![bytes] };
            self.handed.give(piece, &mut Vec::new());
        }
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        Ok(self.writer.sync().map_err(std::io::Error::from)?)
    }

    /// Lets the keeper do what there is to do, and writes what it submits.
    pub(crate) fn keep(&mut self) -> Result<(), StoreError> {
        assert!(self.batch.is_empty());
        for _ in 0..1000 {
            let more = self.keeper.tick(self.writer.synced(), &mut self.batch)?;
            if !self.batch.is_empty() {
                self.write()?;
                self.sync()?;
            } else if !more {
                return Ok(());
            }
        }
        panic!("the keeper never comes to an end");
    }
}
