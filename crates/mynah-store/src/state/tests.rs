//! What every state has to keep, whichever store is behind it.

use core::ops::ControlFlow;

use ::fjall::{Database, KeyspaceCreateOptions, PersistMode};

use super::redb::RedbStates;
use super::*;
use crate::testing::Folder;

fn put(key: &str, value: &str) -> Change {
    (key.as_bytes().into(), Some(value.as_bytes().into()))
}

fn scanned(state: &dyn State, from: &str, to: &str, max: usize) -> Vec<String> {
    let mut found = Vec::new();
    state
        .scan(from.as_bytes(), to.as_bytes(), &mut |key, value| {
            found.push(format!("{}={}", key.escape_ascii(), value.escape_ascii()));
            if found.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    found
}

fn keeps_the_contract(states: &dyn States) {
    let mut state = states.open().unwrap();
    assert_eq!(state.get(b"a").unwrap(), None);
    assert_eq!(scanned(&*state, "", "z", 9), [""; 0]);
    state.commit(vec![put("b", "1"), put("a", "2"), put("c", "")]).unwrap();
    state.commit(vec![put("a", "3"), (b"b"[..].into(), None), put("ca", "4")]).unwrap();
    assert_eq!(state.get(b"a").unwrap(), Some(b"3".to_vec()));
    assert_eq!(state.get(b"b").unwrap(), None);
    assert_eq!(scanned(&*state, "a", "z", 9), ["a=3", "c=", "ca=4"]);
    assert_eq!(scanned(&*state, "b", "ca", 9), ["c="]);
    assert_eq!(scanned(&*state, "a", "z", 1), ["a=3"]);
    assert_eq!(scanned(&*state, "z", "a", 9), [""; 0]);
    state.sync().unwrap();
    drop(state);
    let state = states.open().unwrap();
    assert_eq!(scanned(&*state, "a", "z", 9), ["a=3", "c=", "ca=4"]);
    drop(state);
    states.set_aside().unwrap();
    let state = states.open().unwrap();
    assert_eq!(scanned(&*state, "a", "z", 9), [""; 0]);
}

#[test]
fn a_state_in_memory_keeps_the_contract() {
    keeps_the_contract(&MemoryStates::default());
}

#[test]
fn a_state_on_fjall_keeps_the_contract() {
    let folder = Folder::new("fjall");
    keeps_the_contract(&FjallStates::new(&folder.path().join("state")));
}

#[test]
fn a_state_on_redb_keeps_the_contract() {
    let folder = Folder::new("redb");
    keeps_the_contract(&RedbStates::new(folder.path()));
}

#[test]
fn a_state_in_memory_forgets_what_was_not_synced() {
    let states = MemoryStates::default();
    let mut state = states.open().unwrap();
    state.commit(vec![put("a", "1")]).unwrap();
    state.sync().unwrap();
    state.commit(vec![put("b", "1")]).unwrap();
    drop(state);
    assert_eq!(scanned(&*states.open().unwrap(), "a", "z", 9), ["a=1"]);
}

/// A key of each tag, and what a scan over all of them finds.
fn of_each_tag() -> (Vec<Change>, Vec<String>) {
    let keys = (0..=12).map(|tag| vec![tag, b'k']);
    let changes = keys.clone().map(|key| (key.into(), Some(b"v"[..].into()))).collect();
    (changes, keys.map(|key| format!("{}=v", key.escape_ascii())).collect())
}

#[test]
fn keys_that_have_a_keyspace_of_their_own_are_found_among_the_others() {
    let folder = Folder::new("keyspaces");
    let mut state = FjallStates::new(&folder.path().join("state")).open().unwrap();
    let (changes, found) = of_each_tag();
    state.commit(changes).unwrap();
    assert_eq!(scanned(&*state, "", "\u{7f}", 99), found);
    assert_eq!(scanned(&*state, "\u{1}", "\u{9}", 99), found[1..9]);
    assert_eq!(scanned(&*state, "\u{1}kk", "\u{8}", 99), found[2..8]);
    assert_eq!(scanned(&*state, "\u{8}", "\u{8}kk", 99), found[8..9]);
    for stop in 1..=13 {
        assert_eq!(scanned(&*state, "", "\u{7f}", stop), found[..stop]);
    }
    assert!((0..=12).all(|tag| state.get(&[tag, b'k']).unwrap().is_some()));
    state.compact().unwrap();
    assert_eq!(scanned(&*state, "", "\u{7f}", 99), found);
}

#[test]
fn a_state_whose_keys_are_all_in_one_keyspace_is_opened() {
    let folder = Folder::new("one-keyspace");
    let path = folder.path().join("state");
    let (changes, found) = of_each_tag();
    let database = Database::builder(&path).open().unwrap();
    let live = database.keyspace("live", KeyspaceCreateOptions::default).unwrap();
    for (key, value) in changes {
        live.insert(&key[..], &value.unwrap()[..]).unwrap();
    }
    database.persist(PersistMode::SyncAll).unwrap();
    drop((live, database));
    for _ in 0..2 {
        let mut state = FjallStates::new(&path).open().unwrap();
        assert_eq!(scanned(&*state, "", "\u{7f}", 99), found);
        state.commit(vec![(b"\x01k"[..].into(), Some(b"v"[..].into()))]).unwrap();
    }
    let database = Database::builder(&path).open().unwrap();
    let live = database.keyspace("live", KeyspaceCreateOptions::default).unwrap();
    assert_eq!(live.iter().count(), found.len() - 2);
}
