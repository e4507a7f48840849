//! What every state has to keep, whichever store is behind it.

use core::ops::ControlFlow;

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
