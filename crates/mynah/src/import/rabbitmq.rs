//! Users of a RabbitMQ definitions file, as `rabbitmqctl export_definitions` and the management plugin write it.

use std::fs;
use std::path::Path;

use mynah_auth::{ImportedHash, User, check_word};
use serde::Deserialize;
use serde_json::Value;

use super::notes::Note;
use crate::complaint::Complaint;

/// What of the file is read. Other sections are counted.
#[derive(Debug, Deserialize)]
struct Definitions {
    users: Vec<Account>,
    #[serde(default)]
    permissions: Vec<Permission>,
    #[serde(default)]
    topic_permissions: Vec<Permission>,
    #[serde(flatten)]
    others: std::collections::BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Account {
    name: String,
    #[serde(default)]
    password_hash: String,
    /// Files of RabbitMQ before 3.6.1 have none.
    #[serde(default)]
    hashing_algorithm: String,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    limits: Value,
}

/// Before RabbitMQ 3.9 a text with commas, since then a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Tags {
    Text(String),
    List(Vec<String>),
}

impl Default for Tags {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

#[derive(Debug, Deserialize)]
struct Permission {
    user: String,
    vhost: String,
}

/// The users of a file, with the place of each.
pub(super) fn users(path: &Path, notes: &mut Vec<Note>) -> Result<Vec<(String, User)>, Complaint> {
    let text = fs::read_to_string(path).map_err(|error| Complaint::File { path: path.to_owned(), error })?;
    parse(path, &text, notes)
}

fn parse(path: &Path, text: &str, notes: &mut Vec<Note>) -> Result<Vec<(String, User)>, Complaint> {
    let definitions: Definitions = serde_json::from_str(text).map_err(|error| {
        Complaint::Other(format!("{}: these are no definitions of RabbitMQ: {error}", path.display()))
    })?;
    let place = |section: &str, at: usize| format!("{}: {section}[{at}]", path.display());
    let mut users = Vec::new();
    for (at, account) in definitions.users.iter().enumerate() {
        users.extend(user(account, &place("users", at), notes).map(|user| (place("users", at), user)));
    }
    let why = "permissions are about virtual hosts, queues and exchanges; write rules about topics";
    for (section, permissions) in
        [("permissions", &definitions.permissions), ("topic_permissions", &definitions.topic_permissions)]
    {
        for (at, permission) in permissions.iter().enumerate() {
            let what = format!("user {} in {}", permission.user, permission.vhost);
            notes.push(Note::new(place(section, at), what, why));
        }
    }
    for (section, value) in &definitions.others {
        if let Some(count) = value.as_array().map(Vec::len).filter(|count| *count > 0) {
            let what = format!("{section} ({count})");
            notes.push(Note::new(path.display(), what, "only users are taken over"));
        }
    }
    Ok(users)
}

/// A user as the users file has it.
fn user(account: &Account, place: &str, notes: &mut Vec<Note>) -> Option<User> {
    let what = format!("user {}", account.name);
    let algorithm = match account.hashing_algorithm.as_str() {
        "rabbit_password_hashing_sha256" | "rabbit_password_hashing_sha512" => &*account.hashing_algorithm,
        // Hashes by the MD5 of still older files are too short for this.
        "" => "rabbit_password_hashing_sha256",
        "rabbit_password_hashing_md5" => {
            notes.push(Note::new(
                place,
                what,
                "hashes by MD5 are not taken: let RabbitMQ make a new one first",
            ));
            return None;
        }
        _ => {
            notes.push(Note::new(place, what, "this hashing algorithm is not known"));
            return None;
        }
    };
    let mut user = User::new(&account.name);
    user.imported = ImportedHash::parse(&format!("{algorithm}${}", account.password_hash));
    if user.imported.is_none() {
        let why =
            if account.password_hash.is_empty() { "it has no password" } else { "this is no such hash" };
        notes.push(Note::new(place, what, why));
        return None;
    }
    if account.limits.as_object().is_some_and(|limits| !limits.is_empty()) {
        notes.push(Note::new(place, what.as_str(), "limits: write them as those of a rule"));
    }
    let tags: Vec<&str> = match &account.tags {
        Tags::Text(text) => text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect(),
        Tags::List(list) => list.iter().map(String::as_str).collect(),
    };
    let (groups, others): (Vec<&str>, Vec<&str>) = tags.into_iter().partition(|tag| check_word(tag).is_ok());
    for tag in others {
        notes.push(Note::new(place, what.as_str(), format!("the tag {tag} cannot be the name of a group")));
    }
    user.groups = groups.into_iter().collect();
    Some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<String>, Vec<String>) {
        let mut notes = Vec::new();
        let users = parse(Path::new("d.json"), text, &mut notes).unwrap();
        let users = users.iter().map(|(place, user)| format!("{place} {user}")).collect();
        (users, notes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn users_have_their_hash_and_their_tags_as_groups() {
        // The hash of RabbitMQ's manual: "Computing a Password Hash".
        let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        let of = |tags: &str| {
            format!(
                r#"{{"users": [{{"name": "ada", "password_hash": "{hash}", "tags": {tags},
                    "hashing_algorithm": "rabbit_password_hashing_sha256", "limits": {{}}}}]}}"#
            )
        };
        let line = format!("d.json: users[0] ada:rabbit_password_hashing_sha256${hash}");
        for (tags, groups) in [
            (r#"["administrator", "ops"]"#, " groups=administrator,ops"),
            (r#""administrator, ops""#, " groups=administrator,ops"),
            ("[]", ""),
            ("\"\"", ""),
        ] {
            assert_eq!(parsed(&of(tags)), (vec![format!("{line}{groups}")], Vec::new()), "{tags}");
        }
    }

    #[test]
    fn what_is_not_taken_over_is_noted_and_shows_no_hash() {
        let (users, notes) = parsed(
            r#"{"users": [
                {"name": "old", "password_hash": "c2VjcmV0", "hashing_algorithm": "rabbit_password_hashing_md5"},
                {"name": "odd", "password_hash": "c2VjcmV0", "hashing_algorithm": "mine"},
                {"name": "none", "password_hash": "", "hashing_algorithm": "rabbit_password_hashing_sha256"},
                {"name": "bad", "password_hash": "c2VjcmV0", "hashing_algorithm": "rabbit_password_hashing_sha512"}],
              "permissions": [{"user": "old", "vhost": "/", "configure": "", "write": "", "read": ".*"}],
              "queues": [{}, {}], "vhosts": [], "rabbit_version": "3.10.8"}"#,
        );
        assert_eq!(users, [""; 0]);
        let begin = [
            "d.json: users[0]: user old: hashes by MD5",
            "d.json: users[1]: user odd: this hashing algorithm",
            "d.json: users[2]: user none: it has no password",
            "d.json: users[3]: user bad: this is no such hash",
            "d.json: permissions[0]: user old in /: permissions",
            "d.json: queues (2): only users",
        ];
        assert_eq!(notes.len(), begin.len(), "{notes:?}");
        for (note, begin) in notes.iter().zip(begin) {
            assert!(note.starts_with(begin) && !note.contains("c2VjcmV0"), "{note}");
        }
    }

    #[test]
    fn another_document_is_refused() {
        for text in ["", "[]", "{}", r#"{"users": [{}]}"#] {
            let error = parse(Path::new("d.json"), text, &mut Vec::new()).unwrap_err().to_string();
            assert!(error.starts_with("d.json: these are no definitions of RabbitMQ"), "{error}");
        }
    }
}
