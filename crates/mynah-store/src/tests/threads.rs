//! The store with its threads: on a disk that fails, and on a real one with fjall.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mynah_model::{Class, Layout, TenantId};

use super::rig::{FOLDER, Gathered, Random, SALT, SEGMENT_BYTES};
use crate::disk::simulated::{EIO, ENOSPC, Fault, SimulatedDisk};
use crate::error::StoreError;
use crate::journal::{Durability, Producer, SubmitError, Ticket};
use crate::record::{Batch, EntryValue, Key, Options, Owner, OwnerKind, PayloadId, StoredMessage, Value};
use crate::report::Finding;
use crate::state::MemoryStates;
use crate::store::{Store, StoreOptions, ignore};
use crate::testing::{Folder, SteppedStore};

fn simulated(disk: &SimulatedDisk) -> StoreOptions {
    let mut options = StoreOptions::new(Path::new(FOLDER));
    options.disk = Arc::new(disk.clone());
    options.states = Some(Box::new(MemoryStates::default()));
    (options.salt, options.segment_bytes) = (SALT, SEGMENT_BYTES);
    options
}

const OWNER: Owner<'_> =
    Owner { tenant: TenantId::DEFAULT, shard: 3, kind: OwnerKind::Session, name: b"reader" };

/// A message and an entry that refers to it.
fn entry(batch: &mut Batch, id: PayloadId, sequence: u64) {
    let native = format!("t{sequence:0>100}").into_bytes();
    let message = StoredMessage {
        id,
        tenant: TenantId::DEFAULT,
        layout: Layout { id: 1, version: 1 },
        class: Class::AtLeastOnce,
        retain: false,
        priority: 4,
        topic: (0, 1),
        payload: (1, native.len() as u32),
        deadline: None,
        publisher: None,
        native: &native,
    };
    let value = EntryValue { payload: id, class: Class::AtLeastOnce, retain: true, options: Options::NONE };
    batch.payload(3, &message);
    batch.put(&Key::Entry(OWNER, sequence), &Value::Entry(value)).unwrap();
}

fn enqueue(store: &Store, producer: &Producer, sequence: u64, durability: Durability) -> Ticket {
    let mut batch = producer.batch();
    entry(&mut batch, store.new_payload_id(), sequence);
    producer.submit(&mut batch, durability).unwrap()
}

fn wait_until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn many_submit_and_each_is_woken_when_its_own_is_synced() {
    let disk = SimulatedDisk::new();
    let (store, report) = Store::open(simulated(&disk), &mut ignore).unwrap();
    assert!(report.is_empty());
    std::thread::scope(|scope| {
        for worker in 0..3u64 {
            let store = &store;
            scope.spawn(move || {
                let wakes = Arc::new(AtomicU64::new(0));
                let counted = wakes.clone();
                let producer = store.producer(Box::new(move || {
                    counted.fetch_add(1, Ordering::AcqRel);
                }));
                for turn in 0..100 {
                    let before = wakes.load(Ordering::Acquire);
                    let ticket = enqueue(store, &producer, worker * 1000 + turn, Durability::Sync);
                    wait_until(|| wakes.load(Ordering::Acquire) > before && producer.synced() >= ticket);
                }
            });
        }
    });
    assert!(store.status().syncs <= 300);
    store.close().unwrap();
    let mut found = Gathered::default();
    let after = disk.crash(|| false);
    let (store, report) = Store::open(simulated(&after), &mut |recovered| found.take(recovered)).unwrap();
    assert_eq!(found.model.len(), 300);
    assert!(report.findings.iter().all(|finding| matches!(finding, Finding::StateSetAside { .. })));
    drop(store);
}

#[test]
fn what_nobody_waits_for_is_synced_in_time() {
    let disk = SimulatedDisk::new();
    let (store, _) = Store::open(simulated(&disk), &mut ignore).unwrap();
    let producer = store.producer(Box::new(|| ()));
    let start = Instant::now();
    let ticket = enqueue(&store, &producer, 1, Durability::Interval(Duration::from_millis(50)));
    wait_until(|| producer.synced() >= ticket);
    assert!(start.elapsed() >= Duration::from_millis(50));
    let ticket = enqueue(&store, &producer, 2, Durability::Memory);
    wait_until(|| producer.synced() >= ticket);
}

#[test]
fn a_sync_that_fails_is_the_last_thing_that_happens() {
    let disk = SimulatedDisk::new();
    let (store, _) = Store::open(simulated(&disk), &mut ignore).unwrap();
    let (woken, wakes) = mpsc::channel();
    let producer = store.producer(Box::new(move || woken.send(()).unwrap_or_default()));
    let synced = producer.synced();
    // The write, and then its sync.
    disk.set_fault(Some(Fault::FailAt(disk.calls() + 1, EIO)));
    let ticket = enqueue(&store, &producer, 1, Durability::Sync);
    wakes.recv_timeout(Duration::from_secs(20)).unwrap();
    let fatal = producer.fatal().unwrap();
    assert!(fatal.to_string().contains("sync failed"), "{fatal}");
    assert!(producer.synced() < ticket && producer.synced() == synced);
    let mut batch = producer.batch();
    batch.delete(&Key::Entry(OWNER, 1)).unwrap();
    assert_eq!(producer.submit(&mut batch, Durability::Sync), Err(SubmitError::Failed(fatal.clone())));
    assert_eq!(store.close(), Err(fatal));
}

#[test]
fn a_full_disk_is_waited_out() {
    let disk = SimulatedDisk::new();
    let (store, _) = Store::open(simulated(&disk), &mut ignore).unwrap();
    let producer = store.producer(Box::new(|| ()));
    let calls = disk.calls();
    disk.set_fault(Some(Fault::FailDuring(calls, calls + 3, ENOSPC)));
    let ticket = enqueue(&store, &producer, 1, Durability::Sync);
    wait_until(|| store.status().waits_for_space);
    assert!(store.is_low_on_space() && producer.synced() < ticket);
    wait_until(|| producer.synced() >= ticket);
    assert!(!store.status().waits_for_space && producer.fatal().is_none());
}

#[test]
fn the_watermark_is_seen_and_left_again() {
    let disk = SimulatedDisk::new();
    disk.set_free(100 << 20);
    let (store, _) = Store::open(simulated(&disk), &mut ignore).unwrap();
    wait_until(|| store.is_low_on_space());
    disk.set_free(300 << 20);
    wait_until(|| !store.is_low_on_space());
}

#[test]
fn a_batch_that_is_too_large_is_refused_and_kept() {
    let disk = SimulatedDisk::new();
    let mut options = simulated(&disk);
    options.waiting_bytes_max = 100;
    let (store, _) = Store::open(options, &mut ignore).unwrap();
    let producer = store.producer(Box::new(|| ()));
    let mut batch = producer.batch();
    batch.put(&Key::Setting { tenant: TenantId::DEFAULT, name: b"x" }, &Value::Bytes(&[0; 200])).unwrap();
    assert_eq!(producer.submit(&mut batch, Durability::Sync), Err(SubmitError::TooLarge));
    assert_eq!(batch.records(), 1);
}

#[test]
fn a_folder_has_one_process() {
    let folder = Folder::new("one");
    let (store, _) = Store::open(StoreOptions::new(folder.path()), &mut ignore).unwrap();
    let second = Store::open(StoreOptions::new(folder.path()), &mut ignore);
    assert!(matches!(second, Err(StoreError::InUse)));
    store.close().unwrap();
    drop(Store::open(StoreOptions::new(folder.path()), &mut ignore).unwrap());
}

#[test]
fn a_backlog_is_read_back_in_pages() {
    let folder = Folder::new("pages");
    let (store, _) = Store::open(StoreOptions::new(folder.path()), &mut ignore).unwrap();
    let producer = store.producer(Box::new(|| ()));
    let last = (1..=500).map(|sequence| enqueue(&store, &producer, sequence, Durability::Sync)).last();
    wait_until(|| Some(producer.synced()) >= last);
    let page = |from, max| {
        let (sender, receiver) = mpsc::channel();
        store.page(OWNER, from, max, Box::new(move |page| drop(sender.send(page))));
        receiver.recv_timeout(Duration::from_secs(20)).unwrap().unwrap()
    };
    let entries = page(400, 3);
    assert!(entries.iter().map(|entry| entry.sequence).eq([400, 401, 402]));
    assert_eq!(entries[0].message.as_ref().unwrap().payload(), format!("{:0>100}", 400).as_bytes());
    assert_eq!(page(450, 1000).len(), 51);
    let mut batch = producer.batch();
    batch.truncate(OWNER, 0..499).unwrap();
    let ticket = producer.submit(&mut batch, Durability::Sync).unwrap();
    wait_until(|| producer.synced() >= ticket);
    assert_eq!(page(0, 1000).len(), 2);
    store.close().unwrap();
}

/// A store on the real disk with fjall: some of everything, in several segments.
fn populate(folder: &Path) {
    for run in 0..3 {
        let mut options = StoreOptions::new(folder);
        options.segment_bytes = 32 << 10;
        let (store, _) = Store::open(options, &mut ignore).unwrap();
        let producer = store.producer(Box::new(|| ()));
        for sequence in 0..100 {
            enqueue(&store, &producer, run * 1000 + sequence, Durability::Memory);
        }
        store.close().unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(folder: &Path, found: &mut Vec<(std::path::PathBuf, u64)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push((entry.path(), entry.metadata().unwrap().len()));
        }
    }
    found.sort_unstable();
}

#[test]
fn a_flipped_bit_in_any_file_is_never_served_and_never_silent() {
    let original = Folder::new("whole");
    populate(original.path());
    let mut paths = Vec::new();
    files(original.path(), &mut paths);
    paths.retain(|(_, bytes)| *bytes > 0);
    let mut random = Random::new(9);
    for turn in 0..120 {
        let folder = Folder::new("flipped");
        copy(original.path(), folder.path());
        let (path, bytes) = &paths[turn % paths.len()];
        let path = folder.path().join(path.strip_prefix(original.path()).unwrap());
        let mut content = std::fs::read(&path).unwrap();
        // fjall makes its journal far longer than what is in it: most of it means nothing.
        let bit = random.below((*bytes).min(40_000) * 8) as usize;
        content[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, content).unwrap();
        let mut found = Gathered::default();
        let opened = Store::open(StoreOptions::new(folder.path()), &mut |recovered| found.take(recovered));
        let (store, report) = opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (key, (_, native)) in &found.model {
            let Some(Key::Entry(_, sequence)) = Key::decode(key) else { panic!("an unknown key") };
            assert_eq!(*native, format!("t{sequence:0>100}").into_bytes());
        }
        let told = report.findings.iter().any(|f| f.is_loss() || matches!(f, Finding::TornTail { .. }));
        assert!(found.model.len() == 300 || told, "{}: {report:?}", path.display());
        drop(store);
    }
}

#[test]
fn names_of_messages_are_never_given_twice() {
    let folder = Folder::new("names");
    let mut last = PayloadId(0);
    for _ in 0..3 {
        let (store, _) = Store::open(StoreOptions::new(folder.path()), &mut ignore).unwrap();
        let producer = store.producer(Box::new(|| ()));
        let next = store.new_payload_id();
        assert!(next > last);
        enqueue(&store, &producer, next.0, Durability::Sync);
        last = PayloadId(next.0 + 1);
        store.close().unwrap();
    }
}

#[test]
fn a_store_without_threads_is_read_back_after_a_power_cut() {
    let disk = SimulatedDisk::new();
    let (mut store, _) = SteppedStore::open(simulated(&disk), &mut ignore).unwrap();
    let mut batch = store.batch();
    for sequence in 0..2 {
        let id = store.new_payload_id();
        entry(&mut batch, id, sequence);
        store.write(&mut batch).unwrap();
        if sequence == 0 {
            store.sync().unwrap();
        }
    }
    assert_eq!(store.page(OWNER, 0, 10).unwrap().len(), 1);
    assert!(!store.keep().unwrap() && store.take_findings().is_empty());
    store.flush().unwrap();
    let mut found = Gathered::default();
    let after = disk.crash(|| false);
    let open = SteppedStore::open(simulated(&after), &mut |recovered| found.take(recovered));
    assert_eq!(found.model.len(), 1);
    drop(open.unwrap());
}
