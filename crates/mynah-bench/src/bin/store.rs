//! The store in a folder: a bare write and sync beside a commit of the journal, how fast a start is with a million of
//! each kind, and how much disk is left when everything was consumed.
//!
//! `store [FOLDER [COUNT [BYTES]]]`: the folder is made, and emptied in the end; a million is the count. Without a count (0)
//! starts are left out; instead of all that, with 1 ten million messages go through the store, with 2 one in a hundred
//! of them stays; with 3 only what a message costs is measured, with 4 only starts, with a million; with 5 a backlog of
//! two million messages of 100 bytes is made and read back; with 6 only bare writes with a sync after each are measured, of
//! BYTES (256: about what one message with a payload of 64 bytes takes in the journal), at the end of a file that grows
//! and in one whose room was taken in advance, as the journal's is.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mynah_model::{Class, Expiry, Layout, TenantId};
use mynah_store::{
    Batch, Disk, Durability, EntryValue, Key, Options, Owner, OwnerKind, OwnerValue, PayloadId, Producer,
    RealDisk, Recovered, Store, StoreOptions, StoredMessage, Value, ignore,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const PAYLOAD_BYTES: usize = 256;
const COMMITS: usize = 1000;
/// Bytes of a bare write.
const BARE_BYTES: usize = 256;
const TEN_MILLION: u64 = 10_000_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let folder =
        arguments.next().map_or_else(|| std::env::temp_dir().join("mynah-bench-store"), PathBuf::from);
    let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let bytes = arguments.next().and_then(|bytes| bytes.parse().ok()).unwrap_or(BARE_BYTES);
    let outcome = run(&folder, count, bytes);
    let _ = fs::remove_dir_all(&folder);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path, count: u64, bytes: usize) -> Outcome {
    fs::create_dir_all(folder)?;
    match count {
        1 => return churn(&folder.join("churn"), TEN_MILLION, 0),
        2 => return churn(&folder.join("stragglers"), TEN_MILLION, 100),
        3 => return cost(&folder.join("cost"), 3_000_000),
        4 => return starts(folder, 1_000_000),
        5 => return backlog(&folder.join("backlog"), 2_000_000),
        6 => return bare(folder, bytes),
        _ => {}
    }
    bare(folder, bytes)?;
    commits(&folder.join("commits"))?;
    cost(&folder.join("cost"), 3_000_000)?;
    if count > 0 {
        starts(folder, count)?;
    }
    churn(&folder.join("churn"), if count == 0 { 2_000_000 } else { count * 2 }, 0)
}

fn starts(folder: &Path, count: u64) -> Outcome {
    for part in [count / 10, count * 3 / 10, count] {
        start(&folder.join("retained"), "retained values", part, retained)?;
        start(&folder.join("sessions"), "in sessions of 10", part, sessions)?;
        start(&folder.join("session"), "in one session", part, one_session)?;
    }
    Ok(())
}

fn print_quantiles(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_micros();
    println!("{what:<34} p50 {:>6} us   p99 {:>6} us", at(50), at(99));
}

/// What the disk takes for a record: no store can be quicker.
fn bare(folder: &Path, bytes: usize) -> Outcome {
    let (path, record) = (folder.join("bare"), vec![7; bytes]);
    for (how, room) in [("at the end", 0), ("in room taken", COMMITS * bytes)] {
        let file = RealDisk.create(&path)?;
        if room > 0 {
            file.allocate(room as u64)?;
        }
        file.sync()?;
        let mut times = Vec::new();
        for turn in 0..COMMITS {
            let start = Instant::now();
            file.write_at(&record, (turn * bytes) as u64)?;
            file.sync()?;
            times.push(start.elapsed());
        }
        print_quantiles(&format!("{bytes} bytes {how}, and sync"), times);
        fs::remove_file(&path)?;
    }
    Ok(())
}

const fn owner(name: &[u8]) -> Owner<'_> {
    Owner { tenant: TenantId::DEFAULT, shard: 0, kind: OwnerKind::Session, name }
}

fn payload(batch: &mut Batch, id: PayloadId, native: &[u8]) {
    let message = StoredMessage {
        id,
        tenant: TenantId::DEFAULT,
        layout: Layout { id: 1, version: 1 },
        class: Class::AtLeastOnce,
        retain: false,
        priority: 4,
        topic: (0, 10),
        payload: (10, native.len() as u32),
        deadline: None,
        publisher: None,
        native,
    };
    batch.payload(0, &message);
}

fn enqueue(batch: &mut Batch, store: &Store, name: &[u8], sequence: u64) -> Outcome {
    enqueue_bytes(batch, store, name, sequence, &[b'x'; PAYLOAD_BYTES])
}

fn enqueue_bytes(batch: &mut Batch, store: &Store, name: &[u8], sequence: u64, native: &[u8]) -> Outcome {
    let id = store.new_payload_id();
    payload(batch, id, native);
    let value = EntryValue { payload: id, class: Class::AtLeastOnce, retain: false, options: Options::NONE };
    Ok(batch.put(&Key::Entry(owner(name), sequence), &Value::Entry(value))?)
}

fn commits(folder: &Path) -> Outcome {
    let (store, _) = Store::open(StoreOptions::new(folder), &mut ignore)?;
    let (woken, wakes) = mpsc::channel();
    let producer = store.producer(Box::new(move || woken.send(()).unwrap_or_default()));
    let (mut batch, mut times) = (producer.batch(), Vec::new());
    for turn in 0..COMMITS {
        let start = Instant::now();
        enqueue(&mut batch, &store, b"one", turn as u64)?;
        let ticket = producer.submit(&mut batch, Durability::Sync)?;
        while producer.synced() < ticket {
            wakes.recv_timeout(Duration::from_secs(60))?;
        }
        times.push(start.elapsed());
    }
    print_quantiles("commit of one message of 256 bytes", times);
    let (start, before, messages) = (Instant::now(), store.status().syncs, 200_000u64);
    for sequence in 0..messages {
        enqueue(&mut batch, &store, b"many", sequence)?;
        if sequence % 16 == 15 {
            let ticket = producer.submit(&mut batch, Durability::Sync)?;
            // As many as 4096 messages wait for their acknowledgement.
            while producer.synced().0 + 256 < ticket.0 {
                wakes.recv_timeout(Duration::from_secs(60))?;
            }
        }
    }
    let took = start.elapsed().as_secs_f64();
    let syncs = store.status().syncs - before;
    let rate = messages as f64 / took;
    println!("4096 in flight: {rate:.0} messages a second, {:.0} to a sync", messages as f64 / syncs as f64);
    store.close()?;
    Ok(fs::remove_dir_all(folder)?)
}

/// Messages through 100 sessions, 4,096 in flight, each settled as soon as it is synced, in groups as a worker's turn
/// makes them: what a message costs.
fn cost(folder: &Path, count: u64) -> Outcome {
    let (store, _) = Store::open(StoreOptions::new(folder), &mut ignore)?;
    let (woken, wakes) = mpsc::channel();
    let producer = store.producer(Box::new(move || woken.send(()).unwrap_or_default()));
    let names: Vec<String> = (0..100).map(|number| format!("client-{number}")).collect();
    let name = |number: u64| names[(number % 100) as usize].as_bytes();
    let (mut batch, mut settled, mut waiting) = (producer.batch(), 0, VecDeque::new());
    let (before, syncs, start) = (thread_times(), store.status().syncs, Instant::now());
    batch.begin_group();
    for number in 0..count {
        enqueue(&mut batch, &store, name(number), number / 100)?;
        if number % 32 == 31 {
            batch.end_group();
            waiting.push_back((producer.submit(&mut batch, Durability::Sync)?, number + 1));
            batch.begin_group();
        }
        while number - settled >= 4096 {
            wakes.recv_timeout(Duration::from_secs(60))?;
            while let Some((_, upto)) = waiting.pop_front_if(|(ticket, _)| *ticket <= producer.synced()) {
                for old in settled..upto {
                    batch.truncate(owner(name(old)), old / 100..old / 100 + 1)?;
                }
                settled = upto;
            }
        }
    }
    let took = start.elapsed().as_secs_f64();
    let syncs = store.status().syncs - syncs;
    print!(
        "4096 in flight and settled: {:.0} a second, {:.0} to a sync;",
        count as f64 / took,
        count as f64 / syncs as f64
    );
    let mut sum = 0.0;
    for (thread, nanos) in thread_times() {
        let spent = (nanos - before.get(&thread).copied().unwrap_or(0)) as f64 / 1000.0 / count as f64;
        sum += spent;
        print!(" {thread} {spent:.3}");
    }
    println!(" all {sum:.3} us of processor time a message");
    store.close()?;
    Ok(fs::remove_dir_all(folder)?)
}

/// Processor time of each thread of this process in nanoseconds, by name; empty where Linux does not tell.
fn thread_times() -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let nanos = read("schedstat").split(' ').next().and_then(|field| field.parse::<u64>().ok());
        *times.entry(read("comm").trim().to_owned()).or_default() += nanos.unwrap_or_default();
    }
    times
}

fn submit(producer: &Producer, batch: &mut Batch) -> Outcome {
    if batch.bytes_len() > 256 << 10 {
        producer.submit(batch, Durability::Memory)?;
    }
    Ok(())
}

fn retained(store: &Store, producer: &Producer, count: u64) -> Outcome {
    let mut batch = producer.batch();
    for number in 0..count {
        let id = store.new_payload_id();
        payload(&mut batch, id, &[b'x'; PAYLOAD_BYTES]);
        let topic = format!("sites/{}/devices/{number}/state", number % 100);
        let key = Key::Retained { tenant: TenantId::DEFAULT, shard: 0, topic: topic.as_bytes() };
        batch.put(&key, &Value::Retained(id))?;
        submit(producer, &mut batch)?;
    }
    producer.submit(&mut batch, Durability::Sync)?;
    Ok(())
}

fn sessions(store: &Store, producer: &Producer, count: u64) -> Outcome {
    let mut batch = producer.batch();
    let value = OwnerValue {
        identity: b"device",
        anonymous: false,
        expiry: Expiry::Never,
        receive_max: 100,
        detached_at: None,
        head: 0,
        options: Options::NONE,
    };
    for number in 0..count {
        let name = format!("client-{}", number / 10);
        if number % 10 == 0 {
            batch.put(&Key::Owner(owner(name.as_bytes())), &Value::Owner(value))?;
        }
        enqueue(&mut batch, store, name.as_bytes(), number)?;
        submit(producer, &mut batch)?;
    }
    producer.submit(&mut batch, Durability::Sync)?;
    Ok(())
}

fn one_session(store: &Store, producer: &Producer, count: u64) -> Outcome {
    let mut batch = producer.batch();
    for number in 0..count {
        enqueue(&mut batch, store, b"the-one", number)?;
        submit(producer, &mut batch)?;
    }
    producer.submit(&mut batch, Durability::Sync)?;
    Ok(())
}

/// Fills a store and times its next start.
fn start(folder: &Path, what: &str, count: u64, fill: fn(&Store, &Producer, u64) -> Outcome) -> Outcome {
    let (store, _) = Store::open(StoreOptions::new(folder), &mut ignore)?;
    fill(&store, &store.producer(Box::new(|| ())), count)?;
    store.close()?;
    let (begun, cpu) = (Instant::now(), cpu_time());
    let (mut items, mut bytes) = (0u64, 0);
    let (store, report) = Store::open(StoreOptions::new(folder), &mut |recovered| {
        match recovered {
            Recovered::Item(..) => items += 1,
            Recovered::Payload(message) => bytes += message.native.len(),
            Recovered::Restart | Recovered::Progress(..) | Recovered::Replayed(..) => {}
        }
        ControlFlow::Continue(())
    })?;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_time() - cpu);
    if items < count || bytes < count as usize * PAYLOAD_BYTES || !report.is_empty() {
        return Err(format!("{items} items and {bytes} bytes were found of {count}: {report:?}").into());
    }
    println!(
        "start {count:>8} {what:<18} {took:>6.2} s, {:>8.0} a second ({:.0} by processor time), {} MB peak",
        items as f64 / took,
        items as f64 / cpu,
        peak_bytes() >> 20,
    );
    store.close()?;
    Ok(fs::remove_dir_all(folder)?)
}

/// Messages through 10,000 sessions, consumed a little later: what is left on the disk.
fn churn(folder: &Path, count: u64, straggler_every: u64) -> Outcome {
    let (store, _) = Store::open(StoreOptions::new(folder), &mut ignore)?;
    let producer = store.producer(Box::new(|| ()));
    let (mut batch, mut most, mut over, start) = (producer.batch(), 0, 0, Instant::now());
    let lag = 20_000;
    let name = |number: u64| format!("client-{}", number % 10_000);
    for number in 0..count + lag {
        if number < count {
            enqueue(&mut batch, &store, name(number).as_bytes(), number)?;
        }
        if number >= lag && (straggler_every == 0 || (number - lag) % straggler_every != 0) {
            let old = number - lag;
            batch.delete(&Key::Entry(owner(name(old).as_bytes()), old))?;
        }
        settle_turn(&producer, &mut batch, number)?;
        if number % 20_000 == 0 {
            let bytes = folder_bytes(folder)?;
            most = most.max(bytes);
            over = over.max(bytes.saturating_sub(3 * store.status().live_bytes));
        }
    }
    producer.submit(&mut batch, Durability::Sync)?;
    let took = start.elapsed().as_secs_f64();
    println!(
        "{count} messages through 10,000 sessions in {took:.1} s: {} MB at most, {} MB beyond three times what is live",
        most >> 20,
        over >> 20
    );
    let start = Instant::now();
    let stragglers = count.checked_div(straggler_every).unwrap_or(0);
    while store.status().live_messages > stragglers && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(100));
    }
    // Half a minute later the state has been written once more.
    let caught_up = start.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(30));
    let left = folder_bytes(folder)?;
    println!(
        "consumed but for {stragglers}, and known to be {caught_up:.1} s later: {} MB left, {:?}",
        left >> 20,
        store.status()
    );
    for finding in store.take_findings() {
        println!("found: {finding}");
    }
    Ok(store.close()?)
}

/// Messages of 100 bytes for 100 sessions that nobody reads, and then all of them read back and settled.
fn backlog(folder: &Path, count: u64) -> Outcome {
    let (store, _) = Store::open(StoreOptions::new(folder), &mut ignore)?;
    let producer = store.producer(Box::new(|| ()));
    let names: Vec<String> = (0..100).map(|number| format!("client-{number}")).collect();
    let (mut batch, start) = (producer.batch(), Instant::now());
    for number in 0..count {
        let name = names[(number % 100) as usize].as_bytes();
        enqueue_bytes(&mut batch, &store, name, number / 100, &[b'x'; 100])?;
        settle_turn(&producer, &mut batch, number)?;
    }
    wait_for(&producer, &mut batch)?;
    let filled = start.elapsed().as_secs_f64();
    println!("backlog of {count}: {:.0} a second, {} MB peak", count as f64 / filled, peak_bytes() >> 20);
    let (start, mut read, mut from) = (Instant::now(), 0, 0);
    while read < count {
        for name in &names {
            let (sender, pages) = mpsc::channel();
            store.page(owner(name.as_bytes()), from, 1000, Box::new(move |page| drop(sender.send(page))));
            let page = pages.recv_timeout(Duration::from_secs(60))??;
            if page.iter().any(|entry| entry.message.as_ref().is_none_or(|m| m.view().native.len() != 100)) {
                return Err("a message of the backlog cannot be read".into());
            }
            read += page.len() as u64;
            batch.truncate(owner(name.as_bytes()), from..from + page.len() as u64)?;
        }
        from += 1000;
        settle_turn(&producer, &mut batch, 0)?;
    }
    wait_for(&producer, &mut batch)?;
    let drained = start.elapsed().as_secs_f64();
    println!("read back: {:.0} a second, {} MB peak", count as f64 / drained, peak_bytes() >> 20);
    Ok(store.close()?)
}

/// Submits what one turn in 32 numbers has made, and waits where that is asked for.
fn settle_turn(producer: &Producer, batch: &mut Batch, number: u64) -> Outcome {
    if number.is_multiple_of(32) {
        producer.submit(batch, Durability::Sync)?;
        while producer.is_congested() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

fn wait_for(producer: &Producer, batch: &mut Batch) -> Outcome {
    let ticket = producer.submit(batch, Durability::Sync)?;
    while producer.synced() < ticket {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Bytes that the files of a folder take on the disk.
fn folder_bytes(folder: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // What is removed meanwhile takes nothing.
        let Ok(meta) = entry.metadata() else { continue };
        bytes += if meta.is_dir() { folder_bytes(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(bytes)
}

/// Processor time of this process, in seconds; zero where Linux does not tell.
fn cpu_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

/// The most memory that this process ever had; zero where Linux does not tell.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or_default() << 10
}
