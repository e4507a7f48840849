//! Power cuts and failing disks: nothing that was synced is missing, nothing appears that was not written, order is
//! kept.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::rig::{Author, FOLDER, Model, Random, Rig, SALT, open, open_with};
use crate::disk::Disk;
use crate::disk::simulated::{EIO, ENOSPC, Fault, SimulatedDisk};
use crate::report::Finding;
use crate::state::{Change, MemoryStates, State, StateError, States, Visit};
use crate::store::StoreOptions;

/// What a run left.
struct Left {
    history: Vec<Model>,
    /// Records that were synced.
    synced: usize,
}

/// Writes until the disk fails or `batches` are done.
fn run(disk: &SimulatedDisk, states: &MemoryStates, author: &mut Author, batches: usize) -> Left {
    let Ok((mut rig, found)) = open(disk, states) else {
        return Left { history: vec![author.model.clone()], synced: 0 };
    };
    assert!(author.history.contains(&found), "what was open is not what was written");
    author.resume(found);
    let mut synced = 0;
    for _ in 0..batches {
        if step(&mut rig, author, &mut synced).is_none() {
            break;
        }
    }
    Left { history: author.history.clone(), synced }
}

fn step(rig: &mut Rig, author: &mut Author, synced: &mut usize) -> Option<()> {
    for _ in 0..=author.random.below(4) {
        author.write(&mut rig.batch);
    }
    rig.write().ok()?;
    if author.random.below(3) > 0 {
        rig.sync().ok()?;
        *synced = author.history.len() - 1;
    }
    match author.random.below(12) {
        0 => {
            rig.sync().ok()?;
            rig.keep().ok()?;
            *synced = author.history.len() - 1;
        }
        1 => rig.keeper.flush(rig.writer.synced()).ok()?,
        _ => {}
    }
    Some(())
}

/// What is found is what was written up to some record, and no less than what was synced.
fn check(left: &Left, found: &Model) {
    let fits = left.history[left.synced..].contains(found);
    assert!(fits, "{} records were synced; found is none of what was so from there on", left.synced);
}

#[test]
fn after_a_power_cut_at_any_call_all_that_was_synced_is_there() {
    for seed in 0..12 {
        let whole = SimulatedDisk::new();
        run(&whole, &MemoryStates::default(), &mut Author::new(seed, 700), 60);
        for at in (seed % 3..whole.calls()).step_by(3) {
            let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
            disk.set_fault(Some(Fault::HaltAt(at)));
            let left = run(&disk, &states, &mut Author::new(seed, 700), 60);
            let mut random = Random::new(at + 1);
            let keep = random.below(4);
            let after = disk.crash(|| random.below(4) < keep);
            let (rig, found) = open(&after, &states.fork()).unwrap();
            check(&left, &found);
            assert!(!rig.report.findings.iter().any(Finding::is_loss), "{:?}", rig.report);
        }
    }
}

#[test]
fn what_was_synced_in_the_first_moments_of_a_store_outlives_the_machine() {
    let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
    let mut author = Author::new(3, 700);
    let (mut rig, _) = open(&disk, &states).unwrap();
    author.write(&mut rig.batch);
    rig.write().unwrap();
    rig.sync().unwrap();
    let (_, found) = open(&disk.crash(|| false), &states.fork()).unwrap();
    assert!(found == author.model && !found.is_empty());
}

#[test]
fn a_segment_that_is_set_aside_is_somewhere_whatever_is_lost() {
    let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
    run(&disk, &states, &mut Author::new(5, 700), 20);
    let (mut heads, path) = (disk.crash(|| true), Path::new(FOLDER).join("journal/0000000001.seg"));
    for bit in 0..8 {
        // Both copies of the head, in the only segment that there is.
        heads.flip(&path, bit);
        heads.flip(&path, 512 * 8 + bit);
    }
    for path in heads.files().into_iter().map(|(path, _)| path).filter(|other| *other != path) {
        heads.remove(&path).unwrap();
    }
    heads = heads.crash(|| true);
    drop(open(&heads, &MemoryStates::default()).unwrap());
    let after = heads.crash(|| false).files();
    assert!(
        after.iter().any(|(path, bytes)| path.ends_with("quarantine/0000000001.seg") && bytes.len() > 1024)
    );
}

#[test]
fn a_store_lives_through_many_power_cuts() {
    for seed in 100..130 {
        let (mut disk, mut states) = (SimulatedDisk::new(), MemoryStates::default());
        let (mut author, mut random) = (Author::new(seed, 900), Random::new(seed));
        for _ in 0..12 {
            disk.set_fault(Some(Fault::HaltAt(random.below(150))));
            let left = run(&disk, &states, &mut author, 80);
            disk = disk.crash(|| random.below(2) == 0);
            states = states.fork();
            if random.below(5) == 0 {
                // The state is lost as well, or falls back.
                states.damage(|map| map.retain(|_, _| random.below(6) > 0));
            }
            let (rig, found) = open(&disk, &states).unwrap();
            check(&left, &found);
            drop(rig);
            author.resume(found);
        }
    }
}

#[test]
fn a_disk_that_fails_once_loses_nothing() {
    for seed in 0..8 {
        let whole = SimulatedDisk::new();
        run(&whole, &MemoryStates::default(), &mut Author::new(seed, 700), 40);
        for (at, code) in (0..whole.calls()).flat_map(|at| [(at, EIO), (at, ENOSPC)]) {
            let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
            disk.set_fault(Some(Fault::FailAt(at, code)));
            let left = run(&disk, &states, &mut Author::new(seed, 700), 40);
            // The process stops at an error. What it wrote may be in the machine's memory, or nowhere.
            let mut random = Random::new(at);
            let keep = random.below(2) == 0;
            let after = if keep { disk.crash(|| true) } else { disk.crash(|| random.below(2) == 0) };
            let (_, found) = open(&after, &states.fork()).unwrap();
            check(&left, &found);
        }
    }
}

#[test]
fn opening_can_fail_at_any_call_and_be_tried_again() {
    let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
    let left = run(&disk, &states, &mut Author::new(5, 700), 60);
    for at in 0..40 {
        let torn = disk.crash(|| true);
        torn.set_fault(Some(Fault::HaltAt(at)));
        let states = states.fork();
        drop(open(&torn, &states));
        let mut random = Random::new(at);
        let (_, found) = open(&torn.crash(|| random.below(2) == 0), &states).unwrap();
        check(&left, &found);
    }
}

#[test]
fn a_journal_without_its_state_holds_everything() {
    for seed in 0..6 {
        let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
        let mut author = Author::new(seed, 700);
        let (mut rig, _) = open(&disk, &states).unwrap();
        for _ in 0..400 {
            author.write(&mut rig.batch);
            rig.write().unwrap();
            rig.sync().unwrap();
            if author.random.below(10) == 0 {
                rig.keep().unwrap();
            }
        }
        assert!(rig.keeper.segments.numbers()[0] > 1, "segments were removed on the way");
        drop(rig);
        let (rig, found) = open(&disk.crash(|| true), &MemoryStates::default()).unwrap();
        assert_eq!(found.len(), author.model.len());
        assert!(found == author.model);
        assert!(!rig.report.is_empty());
    }
}

#[test]
fn the_journal_stays_as_short_as_what_is_live() {
    let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
    let mut author = Author::new(1, 900);
    let (mut rig, _) = open(&disk, &states).unwrap();
    let mut most = 0;
    for _ in 0..4000 {
        author.write(&mut rig.batch);
        author.history.drain(..author.history.len() - 1);
        rig.write().unwrap();
        rig.sync().unwrap();
        rig.keep().unwrap();
        let bytes: usize = disk.files().iter().map(|(_, bytes)| bytes.len()).sum();
        let live: u64 = rig.keeper.live().unwrap().uses().values().map(|used| used.bytes).sum();
        most = most.max(bytes.saturating_sub(3 * live as usize));
    }
    assert!(most < 260_000, "{most} bytes more than three times what is live");
    drop(rig);
    let (_, found) = open(&disk.crash(|| true), &states).unwrap();
    assert!(found == author.model);
}

/// A state that fails at every so many commits.
struct Failing(MemoryStates, Arc<AtomicU32>);

struct FailingState(Box<dyn State>, Arc<AtomicU32>);

impl States for Failing {
    fn open(&self) -> Result<Box<dyn State>, StateError> {
        Ok(Box::new(FailingState(self.0.open()?, self.1.clone())))
    }

    fn set_aside(&self) -> std::io::Result<String> {
        self.0.set_aside()
    }
}

impl State for FailingState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.0.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StateError> {
        self.0.scan(from, to, visit)
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        if self.1.fetch_add(1, Ordering::Relaxed) % 4 == 3 {
            return Err(StateError("poisoned".to_owned()));
        }
        self.0.commit(changes)
    }

    fn sync(&mut self) -> Result<(), StateError> {
        self.0.sync()
    }
}

#[test]
fn a_state_that_is_poisoned_is_opened_again_and_catches_up() {
    for seed in 0..4 {
        let (disk, states, commits) = (SimulatedDisk::new(), MemoryStates::default(), Arc::default());
        let mut options = StoreOptions::new(Path::new(FOLDER));
        options.disk = Arc::new(disk.clone());
        options.salt = SALT;
        options.states = Some(Box::new(Failing(states.clone(), Arc::clone(&commits))));
        let mut author = Author::new(seed, 700);
        let (mut rig, _) = open_with(options).unwrap();
        for turn in 0..300 {
            author.write(&mut rig.batch);
            rig.write().unwrap();
            rig.sync().unwrap();
            if turn % 5 == 0 {
                // Making it anew may fail as well: then the next turn tries again.
                if rig.keeper.flush(rig.writer.synced()).is_ok() {
                    drop(rig.keeper.tick(rig.writer.synced(), &mut rig.batch));
                }
            }
        }
        assert!(commits.load(Ordering::Relaxed) > 30);
        drop(rig);
        let (_, found) = open(&disk.crash(|| false), &states.fork()).unwrap();
        assert!(found == author.model, "seed {seed}");
    }
}
