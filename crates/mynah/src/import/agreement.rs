//! Random ACL files: the rules decide as Mosquitto does, whose way is written down here once more and naively; where a note
//! says that they do not, they permit less.

use std::fs;
use std::path::Path;

use mynah_core::rules::{Action, Names, Peer, Resolver};
use mynah_model::{Identity, TenantId, Topic};
use proptest::prelude::*;

use super::acl::{Acl, Whom};
use super::mosquitto::closed;
use crate::config;

/// A line: whose it is (a pattern, or of a user, of whom the first is nobody), what it grants, and where.
type Line = (Option<usize>, &'static str, String);

const USERS: [Option<&str>; 4] = [None, Some("ada"), Some("bob"), Some("eve")];
const CLIENTS: [&str; 2] = ["c1", "c2"];

fn filters() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ada", "c1", "+", "%u", "%c", "$SYS"]);
    let segments = prop::collection::vec(segment, 1..4);
    (segments, any::<bool>()).prop_map(|(segments, has_tail)| {
        let text = segments.join("/");
        if has_tail { text + "/#" } else { text }
    })
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let access = prop::sample::select(vec!["read", "write", "readwrite", "deny"]);
    // Nobody speaks of eve.
    let whose = prop::option::of(0..USERS.len() - 1);
    prop::collection::vec((whose, access, prop_oneof![4 => filters(), 1 => Just("#".to_owned())]), 1..8)
}

fn topics() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ada", "bob", "c1", "$SYS"]);
    prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("/"))
}

/// The file: lines of nobody stand before those of users, patterns anywhere.
fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    for (user, name) in USERS.iter().enumerate() {
        text += &name.map_or(String::new(), |name| format!("user {name}\n"));
        for (whose, access, filter) in lines {
            match whose {
                None if user == 1 => text += &format!("pattern {access} {filter}\n"),
                Some(whose) if *whose == user => text += &format!("topic {access} {filter}\n"),
                _ => {}
            }
        }
    }
    text
}

fn matches(filter: &str, topic: &str) -> bool {
    if filter.starts_with('$') != topic.starts_with('$') {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some(one), Some(other)) if one == other || one == "+" => {}
            _ => return false,
        }
    }
}

/// `mosquitto_acl_check_default` of Mosquitto 2.0: the user's lines, then the patterns; in both the denials first.
fn mosquitto_permits(lines: &[Line], user: usize, client: &str, access: &str, topic: &str) -> bool {
    let own = lines.iter().filter(|line| line.0 == Some(user)).map(|line| (line.1, line.2.clone()));
    let patterns = lines.iter().filter(|line| line.0.is_none()).filter_map(|(_, access, filter)| {
        let name = USERS[user];
        let filter = if filter.contains("%u") { filter.replace("%u", name?) } else { filter.clone() };
        Some((*access, filter.replace("%c", client)))
    });
    for part in [own.collect::<Vec<_>>(), patterns.collect()] {
        let selects = |line: &&(&str, String)| matches(&line.1, topic);
        if part.iter().filter(selects).any(|line| line.0 == "deny") {
            return false;
        }
        if part.iter().filter(selects).any(|line| line.0 == access || line.0 == "readwrite") {
            return true;
        }
    }
    false
}

proptest! {
    #[test]
    fn rules_decide_as_mosquitto_does_or_a_note_says_that_they_permit_less(
        lines in lines(),
        topics in prop::collection::vec(topics(), 1..20),
    ) {
        let mut notes = Vec::new();
        let acl = Acl::parse(Path::new("acl"), &text(&lines), &mut notes);
        let rules = acl.rules(Whom::Everybody, &mut notes);
        let rules = format!("[[rule]]\ncheck = \"delivery\"\n{rules}{}", closed(&rules));
        let path = std::env::temp_dir().join(format!("mynah-agreement-{}.toml", std::process::id()));
        fs::write(&path, &rules).unwrap();
        let set = config::load_rules(Some(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        let mut resolver = Resolver::new(set.rules);
        for (user, name) in USERS.iter().enumerate() {
            let identity = name.map_or_else(
                || Identity::anonymous(TenantId::DEFAULT, "l"),
                |name| Identity::user(TenantId::DEFAULT, name),
            );
            let rights = resolver.resolve(&Peer::new(&identity, "mqtt"));
            for (client, topic) in CLIENTS.iter().flat_map(|client| topics.iter().map(move |t| (client, t))) {
                let names = Names::new(&identity, client.as_bytes());
                let own = Topic::new(topic.as_bytes()).unwrap();
                for (action, access) in [(Action::Publish, "write"), (Action::Subscribe, "read")] {
                    let here = rights.permits(action, names, own);
                    let there = mosquitto_permits(&lines, user, client, access, topic);
                    let agrees = if notes.is_empty() { here == there } else { !here || there };
                    prop_assert!(
                        agrees,
                        "{name:?} {client} {access} {topic}: here {here}, there {there}\n{}\n{rules}{notes:?}",
                        text(&lines)
                    );
                }
            }
        }
    }
}
