//! Tests of what the command line does.

use std::path::Path;
use std::sync::Arc;

use mynah_model::{Class, Layout, TenantId};

use super::*;
use crate::disk::simulated::SimulatedDisk;
use crate::record::{EntryValue, Key, Options, Owner, OwnerKind, PayloadId, StoredMessage, Value};
use crate::state::MemoryStates;
use crate::tests::rig::{Author, FOLDER, Gathered, Model, Rig, SALT, open};

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

/// A message on a topic for a session, as a broker writes it.
fn message(rig: &mut Rig, number: u64, name: &[u8], native: &[u8]) {
    let tenant = TenantId::new(1);
    let id = PayloadId(number);
    let stored = StoredMessage {
        id,
        tenant,
        layout: Layout { id: 1, version: 1 },
        class: Class::AtLeastOnce,
        retain: false,
        priority: 4,
        topic: (0, 6),
        payload: (6, native.len() as u32),
        deadline: None,
        publisher: None,
        native,
    };
    rig.batch.payload(0, &stored);
    let value = EntryValue { payload: id, class: Class::AtLeastOnce, retain: false, options: Options::NONE };
    let owner = Owner { tenant, shard: 0, kind: OwnerKind::Session, name };
    rig.batch.put(&Key::Entry(owner, number), &Value::Entry(value)).unwrap();
    rig.write().unwrap();
    rig.sync().unwrap();
}

#[test]
fn damage_says_what_it_was_about_and_what_came_last_is_read_too() {
    let (disk, states) = (SimulatedDisk::new(), MemoryStates::default());
    let (mut rig, _) = open(&disk, &states).unwrap();
    message(&mut rig, 7, b"pump", b"hall/1 water");
    message(&mut rig, 8, b"fan", b"hall/2 air");
    rig.keeper.flush(rig.writer.synced()).unwrap();
    rig.writer.close().unwrap();
    drop(rig);
    let path = disk.files().into_iter().find_map(|(path, bytes)| {
        let at = bytes.windows(5).position(|window| window == b"water")?;
        Some((path, at))
    });
    let (path, at) = path.unwrap();
    disk.flip(&path, at * 8);
    let entry = "message 7 for session `pump` of tenant 1";
    let about = [format!("{entry} (what was published to `hall/1`)")];
    let is_named = |report: &Report| {
        let named =
            |finding: &Finding| matches!(finding, Finding::Damage { about: found, .. } if *found == about);
        report.findings.iter().any(named)
    };
    let report = verify(&options(&disk, &states), |_, _| ()).unwrap();
    assert!(is_named(&report), "{report:?}");
    assert!(report.findings.contains(&Finding::Lost { what: entry.to_owned() }), "{report:?}");
    // The same where the journal is all that there is.
    let (rig, found) = open(&disk, &MemoryStates::default()).unwrap();
    assert!(is_named(&rig.report), "{:?}", rig.report);
    assert_eq!(found.len(), 1);
}

#[test]
fn the_journal_that_the_state_does_not_know_is_read_with_progress() {
    let (disk, _, written) = populated();
    let (mut found, mut heard) = (Gathered::default(), Vec::new());
    let mut take = |item: Recovered<'_>| {
        if let Recovered::Replayed(done, all) = item {
            assert!(done <= all && found.model.is_empty());
            heard.push(done);
        }
        found.take(item)
    };
    drop(open_and_stream(&mut options(&disk, &MemoryStates::default()), &mut take).unwrap());
    assert!(found.model == written);
    assert!(heard.len() > 2 && heard.is_sorted(), "{heard:?}");
}
