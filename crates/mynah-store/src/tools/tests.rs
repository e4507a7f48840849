//! Tests of what the command line does.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::disk::simulated::SimulatedDisk;
use crate::state::MemoryStates;
use crate::tests::rig::{Author, FOLDER, Gathered, Model, SALT, open};

fn options(disk: &SimulatedDisk, states: &MemoryStates) -> StoreOptions {
    let mut options = StoreOptions::new(Path::new(FOLDER));
    options.disk = Arc::new(disk.clone());
    options.states = Some(Box::new(states.clone()));
    (options.salt, options.segment_bytes) = (SALT, 1 << 20);
    options
}

fn populated() -> (SimulatedDisk, MemoryStates, Model) {
    let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
    let mut author = Author::new(11, 300);
    let (mut rig, _) = open(&disk, &states).unwrap();
    for _ in 0..120 {
        author.write(&mut rig.batch);
        rig.write().unwrap();
        rig.sync().unwrap();
    }
    rig.keep().unwrap();
    rig.writer.close().unwrap();
    rig.keeper.flush(rig.writer.synced()).unwrap();
    drop(rig);
    (disk, states, author.model)
}

#[test]
fn an_export_is_imported_as_it_was() {
    let (disk, states, written) = populated();
    let mut out = Vec::new();
    let report = export(options(&disk, &states), &mut out, |_, _| ()).unwrap();
    assert!(report.is_empty(), "{report:?}");
    let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
    import(options(&disk, &states), &mut &out[..], |_| ()).unwrap();
    let mut found = Gathered::default();
    drop(open_and_stream(&mut options(&disk, &states), &mut |item| found.take(item)).unwrap());
    let contents = |model: &Model| -> Vec<_> {
        model.iter().map(|(key, (_, refers_to))| (key.clone(), refers_to.clone())).collect()
    };
    assert!(contents(&found.model) == contents(&written));
    let mut again = Vec::new();
    export(options(&disk, &states), &mut again, |_, _| ()).unwrap();
    let lines = |text: &[u8]| text.split(|&byte| byte == b'\n').count();
    assert_eq!(lines(&again), lines(&out));
}

#[test]
fn a_line_that_is_no_record_is_named() {
    for (line, problem) in [
        ("[]", "line 2: not an object"),
        ("{\"kind\":\"x\",\"tenant\":0,\"shard\":0}", "line 2: `x` is no kind of record"),
        (
            "{\"kind\":\"retained\",\"tenant\":0,\"shard\":0,\"topic\":\"a\",\"message\":7}",
            "line 2: there is no message 7 before",
        ),
        (
            "{\"kind\":\"received\",\"tenant\":0,\"shard\":0,\"name\":\"a\",\"id\":70000}",
            "line 2: `id` is missing, or not a number that fits",
        ),
    ] {
        let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
        let text = format!("\n{line}\n");
        let error = import(options(&disk, &states), &mut text.as_bytes(), |_| ()).unwrap_err();
        assert_eq!(error.to_string(), problem);
    }
}

#[test]
fn a_sound_store_is_verified_counted_and_repaired() {
    let (disk, states, written) = populated();
    let mut last = (0, 1);
    assert_eq!(
        verify(&options(&disk, &states), |done, total| last = (done, total)).unwrap(),
        Report::default()
    );
    assert_eq!(last.0, last.1);
    let (stat, _) = stat(options(&disk, &states), |_, _| ()).unwrap();
    let items: u64 =
        stat.records.iter().filter(|(kind, _)| **kind != "message").map(|(_, count)| count).sum();
    assert_eq!(items, written.len() as u64);
    let report = repair(options(&disk, &states), |_, _| ()).unwrap();
    assert!(matches!(report.findings[..], [Finding::StateSetAside { .. }]), "{report:?}");
    let (_, found) = open(&disk, &states).unwrap();
    assert!(found == written);
}

#[test]
fn verify_finds_damage_and_changes_nothing() {
    let (disk, states, _) = populated();
    let (path, bytes) = disk.files().into_iter().rev().find(|(_, bytes)| bytes.len() > 4096).unwrap();
    disk.flip(&path, 2000 * 8);
    let calls = disk.calls();
    let report = verify(&options(&disk, &states), |_, _| ()).unwrap();
    assert!(report.findings.iter().any(Finding::is_loss), "{report:?}");
    assert_eq!(disk.calls(), calls);
    assert_eq!(disk.files().iter().find(|(other, _)| *other == path).unwrap().1.len(), bytes.len());
    states.damage(|map| drop(map.pop_last()));
    let report = verify(&options(&disk, &states), |_, _| ()).unwrap();
    assert!(report.findings.iter().any(|finding| matches!(finding, Finding::StateDamaged { .. })));
}
