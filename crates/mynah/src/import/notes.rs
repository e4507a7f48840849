//! What an import could not translate: where it stands, what it is, and why.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A line of a file that is imported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) path: Arc<Path>,
    pub(super) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// Something that is not translated, or means something else here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Where it stands: file and line, or a place in a document.
    pub(super) place: String,
    /// What it is. Never a value that could be secret.
    pub(super) what: String,
    pub(super) why: String,
}

impl Note {
    pub(super) fn new(place: impl fmt::Display, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { place: place.to_string(), what: what.into(), why: why.into() }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.what, self.why)
    }
}

/// The notes as comments of TOML: what is imported may hold any character, and a comment is one line.
pub(super) fn comments(notes: &[Note]) -> String {
    let comment = |note: &Note| format!("# {}\n", note.to_string().replace(char::is_control, " "));
    notes.iter().map(comment).collect()
}

/// Text as a string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
