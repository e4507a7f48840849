//! Damage: single bits that turn, in the journal and in the state. Nothing panics, nothing wrong is handed over, and
//! what is lost is told.

use super::rig::{Author, Model, Random, Rig, open};
use crate::disk::simulated::SimulatedDisk;
use crate::report::Finding;
use crate::state::MemoryStates;

/// A store with some of everything in it, and what it holds.
fn populated(seed: u64) -> (SimulatedDisk, MemoryStates, Model) {
    let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
    let mut author = Author::new(seed, 600);
    let (mut rig, _) = open(&disk, &states).unwrap();
    for turn in 0..150 {
        author.write(&mut rig.batch);
        rig.write().unwrap();
        rig.sync().unwrap();
        if turn == 100 {
            rig.keep().unwrap();
            rig.keeper.flush(rig.writer.synced()).unwrap();
        }
    }
    rig.writer.close().unwrap();
    drop(rig);
    (disk, states, author.model)
}

/// Every value is one that was written for its key, with the message that was written for it; what is missing is told.
fn judge(rig: &Rig, found: &Model, written: &Model, history: &[Model]) {
    for (key, value) in found {
        let known = written.get(key) == Some(value) || history.iter().any(|m| m.get(key) == Some(value));
        assert!(known, "a value that nobody wrote: {}", key.escape_ascii());
    }
    if found != written {
        let told = rig
            .report
            .findings
            .iter()
            .any(|finding| finding.is_loss() || matches!(finding, Finding::TornTail { .. }));
        assert!(told, "a silent loss; told was {:?}", rig.report);
    }
}

#[test]
fn a_flipped_bit_in_the_journal_is_never_served_and_never_silent() {
    let (disk, states, written) = populated(3);
    let history = {
        let mut author = Author::new(3, 600);
        let mut batch = crate::record::Batch::new(super::rig::SALT);
        (0..150).for_each(|_| author.write(&mut batch));
        author.history
    };
    let files = disk.files();
    let bits: usize = files.iter().map(|(_, bytes)| bytes.len() * 8).sum();
    let mut random = Random::new(1);
    for _ in 0..1500 {
        let mut bit = random.below(bits as u64) as usize;
        let file = files.iter().find(|(_, bytes)| {
            let inside = bit < bytes.len() * 8;
            bit -= if inside { 0 } else { bytes.len() * 8 };
            inside
        });
        let damaged = disk.crash(|| true);
        damaged.flip(&file.unwrap().0, bit);
        let (rig, found) = open(&damaged, &states.fork()).unwrap();
        judge(&rig, &found, &written, &history);
    }
}

#[test]
fn a_damaged_state_is_made_anew_from_the_journal() {
    let (disk, states, written) = populated(4);
    let (mut random, mut told) = (Random::new(2), 0);
    for turn in 0..400 {
        let damaged = states.fork();
        damaged.damage(|map| {
            let index = random.below(map.len() as u64) as usize;
            let Some(key) = map.keys().nth(index).cloned() else { return };
            match turn % 3 {
                0 => drop(map.remove(&key)),
                1 => {
                    let value = map.get_mut(&key).unwrap();
                    let bit = random.below(value.len() as u64 * 8) as usize;
                    value[bit / 8] ^= 1 << (bit % 8);
                }
                _ => {
                    let mut value = map.remove(&key).unwrap();
                    let mut other = key.to_vec();
                    *other.last_mut().unwrap() ^= 1;
                    value = map.insert(other.into(), value.clone()).unwrap_or(value);
                    drop(value);
                }
            }
        });
        let (rig, found) = open(&disk.crash(|| true), &damaged).unwrap();
        assert!(found == written, "turn {turn}: {:?}", rig.report);
        told += usize::from(!rig.report.is_empty());
    }
    // What the journal says anew at the start is healed by that, and not looked at before.
    assert!(told > 350, "{told} of 400");
}
