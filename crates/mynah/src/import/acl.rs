//! An ACL file of Mosquitto, and the rules that mean the same. There, what a user's `topic` lines say comes before what
//! `pattern` lines say, and in both the denials come first; what no line allows is denied. Here a deny always wins.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use mynah_core::rules::RuleFilter;

use super::notes::{Note, Place, quoted};
use crate::complaint::Complaint;

/// What a line grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Deny,
    Read,
    Write,
    ReadWrite,
}

impl Access {
    /// In the order in which rules are written.
    const ALL: [Self; 4] = [Self::Deny, Self::Read, Self::Write, Self::ReadWrite];

    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "read" => Self::Read,
            "write" => Self::Write,
            "readwrite" => Self::ReadWrite,
            "deny" => Self::Deny,
            _ => return None,
        })
    }
}

/// A line about topics.
#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    is_pattern: bool,
    access: Access,
    filter: String,
}

/// An ACL file.
#[derive(Debug, Default)]
pub(super) struct Acl {
    anonymous: Vec<Entry>,
    users: BTreeMap<String, Vec<Entry>>,
    patterns: Vec<Entry>,
}

/// Whom rules are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Everybody,
    Users,
    Anonymous,
}

impl Whom {
    /// The criterion of a rule that is about all of them.
    const fn criterion(self) -> &'static str {
        match self {
            Self::Everybody => "",
            Self::Users => "anonymous = false\n",
            Self::Anonymous => "anonymous = true\n",
        }
    }
}

impl Acl {
    pub(super) fn read(path: &Path, notes: &mut Vec<Note>) -> Result<Self, Complaint> {
        let text =
            fs::read_to_string(path).map_err(|error| Complaint::File { path: path.to_owned(), error })?;
        Ok(Self::parse(path, &text, notes))
    }

    pub(super) fn parse(path: &Path, text: &str, notes: &mut Vec<Note>) -> Self {
        let path: Arc<Path> = path.into();
        let (mut acl, mut user) = (Self::default(), None);
        for (at, line) in text.lines().enumerate() {
            let place = Place { path: Arc::clone(&path), line: at + 1 };
            let line = line.trim();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest = rest.trim();
            let mut refused = || notes.push(Note::new(&place, line, "Mosquitto does not take this line"));
            match word {
                "" => {}
                _ if word.starts_with('#') => {}
                "user" if !rest.is_empty() => user = Some(rest.to_owned()),
                "topic" | "pattern" if !rest.is_empty() => {
                    let (access, filter) = match rest.split_once(' ') {
                        Some((access, filter)) => (Access::parse(access), filter.trim()),
                        None => (Some(Access::ReadWrite), rest),
                    };
                    let Some(access) = access else {
                        refused();
                        continue;
                    };
                    let is_pattern = word == "pattern";
                    let entry = Entry { place, is_pattern, access, filter: filter.to_owned() };
                    match &user {
                        _ if is_pattern => acl.patterns.push(entry),
                        Some(user) => acl.users.entry(user.clone()).or_default().push(entry),
                        None => acl.anonymous.push(entry),
                    }
                }
                _ => refused(),
            }
        }
        acl
    }

    /// Whether anything in it is about users.
    pub(super) fn names_users(&self) -> bool {
        !self.users.is_empty() || self.patterns.iter().any(|entry| entry.filter.contains("%u"))
    }

    /// The rules as tables of TOML.
    pub(super) fn rules(&self, whom: Whom, notes: &mut Vec<Note>) -> String {
        let mut text = String::new();
        if whom != Whom::Users {
            text += &tables("anonymous = true\n", self.anonymous.iter(), notes);
        }
        if whom != Whom::Anonymous {
            for (user, entries) in &self.users {
                if user == "*" {
                    let why = "rules cannot name a user so";
                    notes.extend(entries.iter().map(|entry| entry.note(why)));
                    continue;
                }
                text += &tables(&format!("identity = {}\n", quoted(user)), entries.iter(), notes);
            }
        }
        let patterns: Vec<&Entry> = self.patterns.iter().filter(|entry| self.counts(entry, notes)).collect();
        text + &tables(whom.criterion(), patterns.into_iter(), notes)
    }

    /// Whether a pattern has to be a rule. One that denies what no pattern allows changes nothing in Mosquitto; of others
    /// it is noted for whom they would not count there.
    fn counts(&self, pattern: &Entry, notes: &mut Vec<Note>) -> bool {
        let allowed = |other: &&Entry| other.access != Access::Deny && meet(&other.filter, &pattern.filter);
        if pattern.access != Access::Deny {
            return true;
        }
        if !self.patterns.iter().any(|other| allowed(&other)) {
            return false;
        }
        let topics = self.users.values().flatten().chain(&self.anonymous);
        for other in topics.filter(allowed) {
            let why = format!(
                "a deny always wins here; in Mosquitto `topic` lines come before `pattern` lines, so that {} allows \
                 what both select",
                other.place
            );
            notes.push(pattern.note(&why));
        }
        true
    }
}

impl Entry {
    fn note(&self, why: &str) -> Note {
        let word = if self.is_pattern { "pattern" } else { "topic" };
        Note::new(&self.place, format!("{word} {}", self.filter), why)
    }

    /// The filter as a rule has it. What cannot be said allows nothing, and denies more.
    fn translated(&self, notes: &mut Vec<Note>) -> Option<String> {
        let is_placeholder = |s: &str| s == "%u" || s == "%c";
        let cannot =
            |s: &str| (s.contains("%u") || s.contains("%c")) && !(self.is_pattern && is_placeholder(s));
        if !self.filter.split('/').any(cannot) {
            return match RuleFilter::new(&self.filter) {
                Ok(_) => Some(self.filter.clone()),
                Err(error) => {
                    notes.push(self.note(&error.to_string()));
                    (self.access == Access::Deny).then(|| "#".to_owned())
                }
            };
        }
        let what = if self.is_pattern {
            "%u and %c have to be the whole segment"
        } else {
            "%u and %c always stand for user and client in a rule, and in a `topic` line they do not"
        };
        if self.access != Access::Deny {
            notes.push(self.note(&format!("{what}: this allows nothing")));
            return None;
        }
        notes.push(self.note(&format!("{what}: `+` is denied in their place, which is more")));
        let segments = self.filter.split('/').map(|segment| if cannot(segment) { "+" } else { segment });
        Some(segments.collect::<Vec<_>>().join("/"))
    }
}

/// Tables for those who fit the criterion: one for each access that is there.
fn tables<'e>(
    criterion: &str,
    entries: impl Iterator<Item = &'e Entry> + Clone,
    notes: &mut Vec<Note>,
) -> String {
    let mut text = String::new();
    for access in Access::ALL {
        let of_access = entries.clone().filter(|entry| entry.access == access);
        let filters: Vec<(&Entry, String)> =
            of_access.filter_map(|entry| Some((entry, entry.translated(notes)?))).collect();
        let Some((first, _)) = filters.first() else { continue };
        let action = match access {
            Access::Read => "action = \"subscribe\"\n",
            Access::Write => "action = \"publish\"\n",
            Access::Deny | Access::ReadWrite => "action = [\"publish\", \"subscribe\"]\n",
        };
        let verb = if access == Access::Deny { "deny" } else { "allow" };
        let check = if access == Access::Write { "" } else { "check = \"delivery\"\n" };
        let lines: Vec<_> = filters.iter().map(|(entry, _)| entry.place.line.to_string()).collect();
        let listed: Vec<_> = filters.iter().map(|(_, filter)| quoted(filter)).collect();
        let source = format!("{} line {}", first.place.path.display(), lines.join(", "));
        text += &format!(
            "\n# {}\n[[rule]]\n{criterion}{action}{verb} = [{}]\n{check}",
            source.replace(char::is_control, " "),
            listed.join(", ")
        );
    }
    text
}

/// Whether there may be a topic that both select.
fn meet(one: &str, other: &str) -> bool {
    let is_wild = |segment: &str| segment.contains(['+', '#', '%']);
    let (first, second) = (one.split('/').next().unwrap_or(one), other.split('/').next().unwrap_or(other));
    if first.starts_with('$') != second.starts_with('$') {
        return false;
    }
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(a), Some(b)) if a == b || is_wild(a) || is_wild(b) => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> (Vec<String>, Vec<String>) {
        let mut notes = Vec::new();
        let acl = Acl::parse(Path::new("acl"), text, &mut notes);
        let rules = acl.rules(Whom::Everybody, &mut notes);
        let rules = rules.lines().filter(|line| !line.is_empty() && *line != "[[rule]]");
        (rules.map(str::to_owned).collect(), notes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_are_about_anonymous_clients_then_a_user_and_patterns_about_all() {
        let text = "topic read news/#\n\n# a comment\nuser ada\ntopic a b\ntopic a\npattern write up/%u/x y\n\
                    topic deny a/secret\ntopic readwrite b/+\n";
        let expected = [
            "# acl line 1",
            "anonymous = true",
            "action = \"subscribe\"",
            "allow = [\"news/#\"]",
            "check = \"delivery\"",
            "# acl line 8",
            "identity = \"ada\"",
            "action = [\"publish\", \"subscribe\"]",
            "deny = [\"a/secret\"]",
            "check = \"delivery\"",
            "# acl line 6, 9",
            "identity = \"ada\"",
            "action = [\"publish\", \"subscribe\"]",
            "allow = [\"a\", \"b/+\"]",
            "check = \"delivery\"",
            "# acl line 7",
            "action = \"publish\"",
            "allow = [\"up/%u/x y\"]",
        ];
        let (rules, notes) = rules(text);
        assert_eq!(rules, expected);
        assert_eq!(notes, ["acl:5: topic a b: Mosquitto does not take this line"]);
    }

    #[test]
    fn what_a_rule_cannot_say_allows_nothing_and_denies_more() {
        let text = "user ada\ntopic read x/%u/y\npattern read b-%u/c\npattern deny c-%u/c\npattern c-x/c\n";
        let (rules, notes) = rules(text);
        assert!(rules.contains(&"deny = [\"+/c\"]".to_owned()), "{rules:?}");
        assert!(!rules.concat().contains('%') && notes.len() == 3, "{rules:?} {notes:?}");
    }

    #[test]
    fn a_pattern_that_denies_in_vain_is_left_out_and_one_that_denies_more_here_is_noted() {
        let (rules_in_vain, notes) = rules("user ada\ntopic a/#\npattern deny a/b\npattern read x\n");
        assert!(!rules_in_vain.concat().contains("deny") && notes.is_empty(), "{rules_in_vain:?} {notes:?}");
        let (rules, notes) = rules("user ada\ntopic a/#\npattern deny a/%c\npattern read a/b\n");
        assert!(rules.contains(&"deny = [\"a/%c\"]".to_owned()), "{rules:?}");
        assert!(
            notes.len() == 1 && notes[0].contains("acl:3") && notes[0].contains("acl:2 allows"),
            "{notes:?}"
        );
    }

    #[test]
    fn filters_meet_where_a_topic_is_in_both() {
        for (one, other, expected) in [
            ("a/#", "a", true),
            ("a/+", "+/b", true),
            ("a/%u", "a/x/y", false),
            ("#", "$SYS/x", false),
            ("$SYS/#", "$SYS/+", true),
            ("a/b", "a/c", false),
        ] {
            assert_eq!((meet(one, other), meet(other, one)), (expected, expected), "{one} {other}");
        }
    }
}
