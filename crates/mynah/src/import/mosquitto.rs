//! A configuration of Mosquitto 2.0 as one of this broker: its files are read, and nothing is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mynah_auth::{ImportedHash, User};

use super::acl::{Acl, Whom};
use super::bridges::{Bridge, bridge};
use super::lines::{self, Conf, Line};
use super::listeners::{Listener, listener, number};
use super::notes::{Note, quoted};
use crate::complaint::Complaint;

/// The file of rules, beside that of the configuration.
pub(super) const RULES: &str = "rules.toml";
/// The file of users.
pub(super) const USERS: &str = "users";

/// The largest CONNECT unless something else is said: no other packet may have a lesser bound.
const CONNECT_BYTES_MAX: u64 = 8_192;

/// What a configuration means here.
#[derive(Debug, Default)]
pub(super) struct Translation {
    pub(super) configuration: String,
    /// Empty if everybody may do everything.
    pub(super) rules: String,
    /// The users, if there have to be any; with where each stands.
    pub(super) users: Option<Vec<(String, User)>>,
    /// Passwords of bridges, by the names of their files.
    pub(super) passwords: Vec<(String, String)>,
    pub(super) notes: Vec<Note>,
}

/// Translates the configuration in a file.
pub(super) fn translate(path: &Path) -> Result<Translation, Complaint> {
    let mut notes = Vec::new();
    let conf = lines::read(path, &mut notes)?;
    let listeners = listeners(&conf, &mut notes);
    if listeners.is_empty() {
        let reasons: Vec<String> = notes.iter().map(ToString::to_string).collect();
        let message = format!("no listener can be translated\n{}", reasons.join("\n"));
        return Err(Complaint::Other(message));
    }
    let bridges: Vec<Bridge> =
        conf.bridges.iter().filter_map(|section| bridge(section, &mut notes)).collect();
    let rules = rules(&conf, &listeners, &bridges, &mut notes)?;
    let users = users(&listeners, &mut notes)?;
    let mut text = String::new();
    if !rules.is_empty() {
        text += &format!("rules_file = {}\n", quoted(RULES));
    }
    text.extend(listeners.iter().map(|listener| listener.text.as_str()));
    text.extend(bridges.iter().map(|bridge| bridge.text.as_str()));
    if users.is_some() {
        text += &format!("\n[auth]\nusers_file = {}\n", quoted(USERS));
    }
    text += &tables(&conf, &mut notes);
    let passwords = bridges.into_iter().filter_map(|bridge| bridge.password).collect();
    Ok(Translation { configuration: text, rules, users, passwords, notes })
}

/// The listeners that can be, without those whose users or rules are others than before: users and rules are the same
/// wherever a client comes in.
fn listeners<'c>(conf: &'c Conf, notes: &mut Vec<Note>) -> Vec<Listener<'c>> {
    let mut taken: Vec<Listener<'c>> = Vec::new();
    let (mut names, mut sections) = (BTreeMap::new(), Vec::new());
    for section in &conf.listeners {
        let port = section.head.as_ref().map_or(section.value("port").unwrap_or("1883"), |head| {
            head.value.split(' ').next().unwrap_or_default()
        });
        let count = names.entry(port).and_modify(|count| *count += 1).or_insert(1);
        let name = if *count == 1 { format!("mqtt-{port}") } else { format!("mqtt-{port}-{count}") };
        let Some(new) = listener(conf, section, &name, notes) else { continue };
        let values = |line: Option<&Line>| line.map(Line::path);
        let differs = |old: &Listener<'_>| {
            let acl = values(old.acl) != values(new.acl);
            let passwords = old.passwords.is_some() && new.passwords.is_some();
            (old.users && new.users && acl)
                || (old.anonymous && new.anonymous && acl)
                || (passwords && values(old.passwords) != values(new.passwords))
        };
        if taken.iter().any(differs) {
            let why = "its users or rules are others than those of a listener before, which are the same for all here: \
                       the listener is left out; import it for a broker of its own";
            notes.extend(section.head.as_ref().map(|head| head.note(why)));
            continue;
        }
        taken.push(new);
        sections.push(section);
    }
    let has_users = taken.iter().any(|listener| listener.passwords.is_some());
    for (listener, section) in taken.iter().zip(sections) {
        if has_users && listener.anonymous && listener.passwords.is_none() {
            let why = "a client that sends a name here has to send its password too; Mosquitto believes it";
            notes.extend(section.head.as_ref().map(|head| head.note(why)));
        }
    }
    taken
}

/// The rules of the ACL files that are in use, as tables of TOML.
fn rules(
    conf: &Conf,
    listeners: &[Listener<'_>],
    bridges: &[Bridge],
    notes: &mut Vec<Note>,
) -> Result<String, Complaint> {
    let users = listeners.iter().find(|listener| listener.users).map(|listener| listener.acl);
    let anonymous = listeners.iter().find(|listener| listener.anonymous).map(|listener| listener.acl);
    let mut text = String::new();
    if users.flatten().or(anonymous.flatten()).is_some() {
        text +=
            "# A subscription is granted, and each message is looked at.\n[[rule]]\ncheck = \"delivery\"\n";
        let name = |bridge: &Bridge| quoted(&format!("bridge:{}", bridge.name));
        let names: Vec<String> = bridges.iter().map(name).collect();
        let everything = "action = [\"publish\", \"subscribe\"]\nallow = true\n";
        if !names.is_empty() {
            let names = names.join(", ");
            text += &format!(
                "\n# ACL files are not about bridges.\n[[rule]]\nidentity = [{names}]\n{everything}"
            );
        }
        let is_same = users.zip(anonymous).is_some_and(|(u, a)| u.map(Line::path) == a.map(Line::path));
        let parts = if is_same {
            [(users, Whom::Everybody), (None, Whom::Anonymous)]
        } else {
            [(users, Whom::Users), (anonymous, Whom::Anonymous)]
        };
        for (acl, whom) in parts {
            match acl {
                Some(Some(line)) => text += &of_acl(line, whom, listeners, notes)?,
                Some(None) => {
                    let is_anonymous = whom == Whom::Anonymous;
                    text += &format!("\n[[rule]]\nanonymous = {is_anonymous}\n{everything}");
                }
                None => {}
            }
        }
        text += &closed(&text);
    }
    if let Some(line) = conf.broker.get("message_size_limit").filter(|line| line.value != "0")
        && let Some(bytes) = number(line, 1..=u64::MAX, notes)
    {
        text += &format!("\n[[rule]]\nlimits = {{ message_bytes = {bytes} }}\n");
    }
    Ok(text)
}

/// Rules of one ACL file.
fn of_acl(
    line: &Line,
    whom: Whom,
    listeners: &[Listener<'_>],
    notes: &mut Vec<Note>,
) -> Result<String, Complaint> {
    let acl = Acl::read(&line.path(), notes)?;
    if acl.names_users() && !listeners.iter().any(|listener| listener.users) {
        let why = "it speaks of users, but nothing proves who a client is: a name without a password counts for nothing \
                   here, and everybody is anonymous";
        notes.push(line.note(why));
    }
    Ok(acl.rules(whom, notes))
}

/// An action that no rule allows would be permitted to everybody: rules that deny what no ACL file allows to anybody.
pub(super) fn closed(rules: &str) -> String {
    let allows = |action: &str| {
        rules.split("[[rule]]").any(|rule| {
            let mut lines = rule.lines();
            lines.clone().any(|line| line.starts_with("allow = "))
                && lines.any(|line| line.starts_with("action = ") && line.contains(action))
        })
    };
    let mut text = String::new();
    for (action, check) in [("publish", ""), ("subscribe", "check = \"delivery\"\n")] {
        if !allows(action) {
            text += &format!(
                "\n# No line allows this to anybody.\n[[rule]]\naction = {}\ndeny = true\n{check}",
                quoted(action)
            );
        }
    }
    text
}

/// The users of the password file, if listeners ask for passwords.
fn users(
    listeners: &[Listener<'_>],
    notes: &mut Vec<Note>,
) -> Result<Option<Vec<(String, User)>>, Complaint> {
    let Some(line) = listeners.iter().find_map(|listener| listener.passwords) else {
        let asks = |listener: &Listener<'_>| listener.text.contains("auth = \"password\"");
        return Ok(listeners.iter().any(asks).then(Vec::new));
    };
    let path = line.path();
    let text = fs::read_to_string(&path).map_err(|error| Complaint::File { path: path.clone(), error })?;
    let place = |at: usize| format!("{}:{}", path.display(), at + 1);
    let mut users = Vec::new();
    for (at, line) in text.lines().enumerate() {
        // Mosquitto passes over lines without a colon.
        let Some((name, hash)) = line.split_once(':').filter(|_| !line.starts_with('#')) else { continue };
        let (name, hash) = (name.trim(), hash.split(':').next().unwrap_or_default().trim());
        let mut user = User::new(name);
        user.imported = ImportedHash::parse(hash);
        if user.imported.is_some() {
            users.push((place(at), user));
        } else {
            let why = "there is no hash of mosquitto_passwd behind the name";
            notes.push(Note::new(place(at), format!("user {name}"), why));
        }
    }
    Ok(Some(users))
}

/// The tables that are about the broker as a whole.
fn tables(conf: &Conf, notes: &mut Vec<Note>) -> String {
    let broker = &conf.broker;
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    let mut set = |table, key: &str, value: String| {
        *tables.entry(table).or_default() += &format!("{key} = {value}\n");
    };
    if !broker.is_true("persistence") {
        set("store", "durability", "\"memory\"".to_owned());
    }
    if broker.is_true("allow_duplicate_messages") {
        set("mqtt", "overlapping", "\"each\"".to_owned());
    }
    if let Some(line) = broker.get("allow_zero_length_clientid").filter(|_| !conf.per_listener) {
        set("mqtt", "allow_empty_client_id", line.is_true().to_string());
    }
    if let Some(line) = broker.get("retain_available") {
        set("mqtt", "retain_available", line.is_true().to_string());
    }
    if let Some(line) = broker.get("persistent_client_expiration") {
        match seconds(&line.value) {
            Some(seconds) => set("limits", "session_expiry_s_max", seconds.to_string()),
            None => notes.push(line.note("Mosquitto does not take this line")),
        }
    }
    for (key, table, own, range, unlimited) in [
        ("max_inflight_messages", "mqtt", "receive_max", 1..=65_535, Some("65535")),
        ("max_packet_size", "mqtt", "packet_bytes_max", 1_024..=268_435_460, None),
        ("max_queued_messages", "limits", "backlog_messages_max", 1..=u64::from(u32::MAX), None),
        ("max_queued_bytes", "limits", "backlog_bytes_max", 1..=u64::from(u32::MAX), None),
        ("sys_interval", "sys", "interval_s", 0..=86_400, None),
    ] {
        let Some(line) = broker.get(key) else { continue };
        if let Some(unlimited) = unlimited.filter(|_| line.value == "0") {
            set(table, own, unlimited.to_owned());
        } else if let Some(number) = number(line, range, notes) {
            set(table, own, number.to_string());
            if own == "packet_bytes_max" && number < CONNECT_BYTES_MAX {
                set(table, "connect_packet_bytes_max", number.to_string());
            }
        }
    }
    tables.iter().map(|(name, keys)| format!("\n[{name}]\n{keys}")).collect()
}

/// A duration such as `14d`.
fn seconds(text: &str) -> Option<u64> {
    const HOUR: u64 = 3_600;
    let (at, unit) = text.char_indices().next_back()?;
    let unit = match unit {
        'h' => HOUR,
        'd' => 24 * HOUR,
        'w' => 7 * 24 * HOUR,
        'm' => 30 * 24 * HOUR,
        'y' => 365 * 24 * HOUR,
        _ => return None,
    };
    text[..at].parse::<u32>().ok().map(|count| u64::from(count) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counts_with_a_unit() {
        for (text, expected) in [
            ("2h", Some(7_200)),
            ("14d", Some(1_209_600)),
            ("1w", Some(604_800)),
            ("2m", Some(5_184_000)),
            ("1y", Some(31_536_000)),
            ("1", None),
            ("d", None),
            ("", None),
            ("9999999999d", None),
            ("1é", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn an_action_that_nothing_allows_is_denied() {
        let read = "[[rule]]\naction = \"subscribe\"\nallow = [\"publish\"]\n";
        assert!(closed(read).contains("\"publish\"\ndeny = true") && !closed(read).contains("subscribe"));
        assert_eq!(closed("").matches("deny = true").count(), 2);
        assert_eq!(closed("[[rule]]\naction = [\"publish\", \"subscribe\"]\nallow = true\n"), "");
    }
}
