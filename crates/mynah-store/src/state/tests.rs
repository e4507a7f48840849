//! What every state has to keep, whichever store is behind it.

use core::ops::ControlFlow;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use ::fjall::{Database, KeyspaceCreateOptions, PersistMode};

use super::redb::RedbStates;
use super::*;
use crate::record::key::tag;
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

/// The key of a message, or of an entry of one of two queues.
fn numbered(kind: u8, number: u64) -> Box<[u8]> {
    let start: &[u8] =
        [&b"\x01"[..], b"\x08\0\x01\0\x02\x01\0\x01q", b"\x08\0\x01\0\x02\x01\0\x02qq"][usize::from(kind)];
    [start, &number.to_be_bytes()].concat().into()
}

/// A key of each tag, and what a scan over all of them finds.
fn of_each_tag() -> (Vec<Change>, Vec<String>) {
    let keys = (0..=12u8).map(|tag| match tag {
        tag::PAYLOAD => numbered(0, 70),
        tag::ENTRY => numbered(1, 70),
        _ => [tag, b'k'].into(),
    });
    let changes = keys.clone().map(|key| (key, Some(b"v"[..].into()))).collect();
    (changes, keys.map(|key| format!("{}=v", key.escape_ascii())).collect())
}

#[test]
fn keys_that_have_a_keyspace_of_their_own_are_found_among_the_others() {
    let folder = Folder::new("keyspaces");
    let mut state = FjallStates::new(&folder.path().join("state")).open().unwrap();
    let (changes, found) = of_each_tag();
    let keys: Vec<_> = changes.iter().map(|(key, _)| key.clone()).collect();
    state.commit(changes).unwrap();
    assert_eq!(scanned(&*state, "", "\u{7f}", 99), found);
    assert_eq!(scanned(&*state, "\u{1}", "\u{9}", 99), found[1..9]);
    assert_eq!(scanned(&*state, "\u{1}kk", "\u{8}", 99), found[2..8]);
    assert_eq!(scanned(&*state, "\u{8}", "\u{8}kk", 99), found[8..9]);
    for stop in 1..=13 {
        assert_eq!(scanned(&*state, "", "\u{7f}", stop), found[..stop]);
    }
    assert!(keys.iter().all(|key| state.get(key).unwrap().is_some()));
    state.compact().unwrap();
    assert_eq!(scanned(&*state, "", "\u{7f}", 99), found);
}

/// What an earlier version wrote: keys by themselves, in keyspaces that `of` names.
fn opens_an_earlier(name: &str, of: impl Fn(u8) -> &'static str) {
    let folder = Folder::new(name);
    let path = folder.path().join("state");
    let (changes, found) = of_each_tag();
    let database = Database::builder(&path).open().unwrap();
    for (key, value) in changes {
        let keyspace = database.keyspace(of(key[0]), KeyspaceCreateOptions::default).unwrap();
        keyspace.insert(&key[..], &value.unwrap()[..]).unwrap();
    }
    database.persist(PersistMode::SyncAll).unwrap();
    drop(database);
    for _ in 0..2 {
        let mut state = FjallStates::new(&path).open().unwrap();
        assert_eq!(scanned(&*state, "", "\u{7f}", 99), found);
        state.commit(vec![(numbered(0, 70), Some(b"v"[..].into()))]).unwrap();
    }
    let database = Database::builder(&path).open().unwrap();
    let live = database.keyspace("live", KeyspaceCreateOptions::default).unwrap();
    assert_eq!(live.iter().count(), found.len() - 2);
    assert!(!database.keyspace_exists("messages") && !database.keyspace_exists("entries"));
}

#[test]
fn a_state_whose_keys_are_all_in_one_keyspace_is_opened() {
    opens_an_earlier("one-keyspace", |_| "live");
}

#[test]
fn a_state_whose_messages_and_entries_stand_by_themselves_is_opened() {
    opens_an_earlier("ungrouped", |tag| match tag {
        tag::PAYLOAD => "messages",
        tag::ENTRY => "entries",
        _ => "live",
    });
}

/// Numbers that are near each other, at the edges of groups and far apart.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..200u64, Just(u64::MAX - 1), (0..9u64).prop_map(|group| group * 64), any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn keys_in_groups_are_as_keys_by_themselves(
        commits in vec(vec((0..3u8, number(), 0..70u64, option::of(0..40usize)), 0..20), 1..8),
        ranges in vec(((0..3u8, number()), (0..3u8, number())), 1..8),
    ) {
        let folder = Folder::new("groups");
        let mut grouped = FjallStates::new(&folder.path().join("state")).open().unwrap();
        let mut single = MemoryStates::default().open().unwrap();
        for runs in commits {
            let mut changes = Vec::new();
            for (kind, from, count, value) in runs {
                let value = value.map(|bytes| vec![count as u8; bytes].into_boxed_slice());
                let numbers = from..from.saturating_add(count);
                changes.extend(numbers.map(|number| (numbered(kind, number), value.clone())));
            }
            single.commit(changes.clone()).unwrap();
            grouped.commit(changes).unwrap();
        }
        let all = |state: &dyn State, from: &[u8], to: &[u8]| {
            let mut found = Vec::new();
            let mut visit = |key: &[u8], value: &[u8]| {
                found.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            };
            state.scan(from, to, &mut visit).unwrap();
            found
        };
        let keys = all(&*single, b"", b"\xff");
        prop_assert_eq!(all(&*grouped, b"", b"\xff"), keys.clone());
        for (key, value) in keys.iter().take(50) {
            prop_assert_eq!(&grouped.get(key).unwrap(), &Some(value.clone()));
        }
        for (from, to) in ranges {
            let (from, to) = (numbered(from.0, from.1), numbered(to.0, to.1));
            prop_assert_eq!(grouped.get(&from).unwrap(), single.get(&from).unwrap());
            let beyond = [&from[..], &[0]].concat();
            for from in [&from[..], &beyond, &from[..5.min(from.len())], &from[..from.len() - 3]] {
                prop_assert_eq!(all(&*grouped, from, &to), all(&*single, from, &to));
            }
        }
    }
}

#[test]
fn a_group_that_cannot_be_read_is_damage() {
    let folder = Folder::new("group");
    let path = folder.path().join("state");
    drop(FjallStates::new(&path).open().unwrap());
    let database = Database::builder(&path).open().unwrap();
    let groups = database.keyspace("message-groups", KeyspaceCreateOptions::default).unwrap();
    groups.insert(&numbered(0, 64)[..], b"\x06\x05\0\0\0v").unwrap();
    groups.insert(&numbered(0, 128)[..], b"\x40\x01\0\0\0v").unwrap();
    database.persist(PersistMode::SyncAll).unwrap();
    drop((groups, database));
    let mut state = FjallStates::new(&path).open().unwrap();
    for number in [70, 128] {
        assert!(state.get(&numbered(0, number)).is_err());
        assert!(state.scan(&numbered(0, number), b"\x02", &mut |_, _| ControlFlow::Continue(())).is_err());
        assert!(state.commit(vec![(numbered(0, number), None)]).is_err());
    }
}
