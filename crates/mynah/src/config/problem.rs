//! What is wrong with a configuration file, as a reader can use it: place, words, the line and a mark under it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How alike two words are, from 0 to 1, when the one may be meant by the other.
const LIKENESS_MIN: f64 = 0.8;

/// Something wrong in a configuration file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    path: PathBuf,
    line: usize,
    column: usize,
    /// Characters that are marked.
    width: usize,
    source: String,
    message: String,
}

impl Problem {
    /// A problem with the bytes `span` of `text`.
    pub(crate) fn new(path: &Path, text: &str, span: Range<usize>, message: String) -> Self {
        let start = span.start.min(text.len());
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let source = text[line_start..].lines().next().unwrap_or_default();
        let line_end = line_start + source.len();
        let marked = text.get(start..span.end.clamp(start, line_end.max(start))).unwrap_or_default();
        Self {
            path: path.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            width: marked.chars().count().max(1),
            source: source.replace('\t', " "),
            message,
        }
    }

    /// A problem that the reader of TOML found.
    pub(crate) fn of_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        Self::new(path, text, span, reworded(error.message()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, width, source, message, .. } = self;
        let (path, gutter) = (self.path.display(), line.to_string().len());
        writeln!(f, "{path}:{line}:{column}: {message}")?;
        writeln!(f, "  {line} | {source}")?;
        write!(f, "  {:gutter$} | {:>column$}{}", "", "^", "^".repeat(width - 1))
    }
}

/// The words of the TOML reader in words for an operator.
fn reworded(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (found, expected) = quoted.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
    if message.starts_with("unknown field") {
        return choice("key", found, expected);
    }
    if message.starts_with("unknown variant") {
        return choice("value", found, expected);
    }
    if message.starts_with("missing field") {
        return format!("the key `{found}` is missing here");
    }
    if let Some((what, wanted)) = message.split_once(", expected ") {
        let what = what.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
        return format!("expected {}, found {}", range_of(wanted), what.replace('`', ""));
    }
    message.to_owned()
}

/// What one may have meant, or all there is to choose from.
pub(super) fn choice(kind: &str, found: &str, expected: &[&str]) -> String {
    let likeness = |candidate: &str| strsim::jaro_winkler(found, candidate);
    let nearest = expected.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let near = nearest.filter(|candidate| likeness(candidate) > LIKENESS_MIN);
    match near {
        Some(near) => format!("unknown {kind} `{found}`, did you mean `{near}`?"),
        None => format!("unknown {kind} `{found}`; there are: {}", expected.join(", ")),
    }
}

/// The name of a type of Rust as what may be written.
fn range_of(wanted: &str) -> String {
    match wanted {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "a nonzero u16" => "a whole number from 1 to 65535".to_owned(),
        "a nonzero usize" | "a nonzero u32" | "a nonzero u64" => "a whole number, 1 or more".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list `[…]`".to_owned(),
        other if other.starts_with("struct ") => "a table of keys".to_owned(),
        other => other.to_owned(),
    }
}
