//! What the sources say: every file opens with its subject, no drawer is called `util`, nothing is left unfinished,
//! pure crates reach for no clock or socket, and no file knows the machine it was written on.

use std::path::Path;

use super::Finding;
use super::levels::is_pure;
use super::scan::{code_of, has_word};
use crate::workspace::{Workspace, read};

/// Names that say nothing of what is inside.
const DRAWERS: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "manager", "data", "info"];

/// Code that is not to be shipped, and what to do with it.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo!(", "finish it or leave it out"),
    ("unimplemented!(", "finish it or leave it out"),
    ("dbg!(", "remove it, or use `tracing` where that is allowed"),
];

/// Marks of unfinished work, in comments too. Put together here so that this file does not find itself.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];

/// What a pure crate may not name, and what it takes in its place.
const IMPURE: &[(&str, &str)] = &[
    ("Instant::now", "take the instant as an argument"),
    ("SystemTime", "take the time as an argument"),
    ("std::net", "leave sockets and addresses to mynah-net"),
    ("std::thread", "leave threads to mynah-net"),
    ("std::fs", "leave files to mynah-store or the binary"),
    ("std::env", "take the value as an argument"),
    ("std::process", "return an error"),
    ("tokio", "leave runtimes to mynah-net"),
    ("getrandom", "take randomness as an argument"),
    ("rand::", "take randomness as an argument"),
];

/// The type of an argument, and of nothing that draws by itself.
const RANDOMNESS_AS_ARGUMENT: &str = "ring::rand::SecureRandom";

/// Folders of one machine. Put together here so that this file does not find itself.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for path in workspace.files(&[".rs"])? {
        let (shown, text) = (workspace.shown(&path), read(&path)?);
        findings.extend(file_name(&shown));
        findings.extend(source(&shown, &text));
    }
    for path in workspace.files(&[".rs", ".md", ".toml", ".py", ".sh", ".yml", "run"])? {
        findings.extend(machine_paths(&workspace.shown(&path), &read(&path)?));
    }
    Ok(findings)
}

/// Refuses a file or folder that is named like a drawer.
fn file_name(file: &Path) -> Vec<Finding> {
    let drawer = file.with_extension("");
    let drawers =
        drawer.components().filter_map(|part| part.as_os_str().to_str()).filter(|p| DRAWERS.contains(p));
    drawers
        .map(|name| Finding::new(file, 1, format!("`{name}` says nothing: name the file after its subject")))
        .collect()
}

fn source(file: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !text.starts_with("//! ") {
        findings.push(Finding::new(file, 1, "start with `//! `: one to five lines on what lives here"));
    }
    let code = code_of(text);
    let pure = is_pure(file) && !is_test(file);
    let mut in_tests = false;
    for (index, (line, raw)) in code.lines().zip(text.lines()).enumerate() {
        in_tests |= line.trim() == "#[cfg(test)]";
        let mut report = |message: String| findings.push(Finding::new(file, index + 1, message));
        for name in DRAWERS.iter().filter(|name| is_module(line, name)) {
            report(format!("`{name}` says nothing: name the module after its subject"));
        }
        for (token, remedy) in UNFINISHED.iter().filter(|(token, _)| has_word(line, token)) {
            report(format!("`{token}…)` is not to be shipped: {remedy}"));
        }
        for mark in MARKS.iter().filter(|mark| has_word(raw, mark)) {
            report(format!("`{mark}` is not to be shipped: do it, or open an issue"));
        }
        let line = &line.replace(RANDOMNESS_AS_ARGUMENT, "");
        let impure = IMPURE.iter().filter(|(token, _)| pure && !in_tests && has_word(line, token));
        for (token, remedy) in impure {
            report(format!("`{token}` in a pure crate: {remedy}"));
        }
    }
    findings
}

/// Whether the file holds tests only; those may use the machine they run on.
fn is_test(file: &Path) -> bool {
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let folders = ["tests", "benches", "examples"];
    name == "tests" || name.ends_with("_tests") || file.iter().any(|part| folders.iter().any(|f| part == *f))
}

fn is_module(line: &str, name: &str) -> bool {
    let line = line
        .trim()
        .trim_start_matches("pub(crate) ")
        .trim_start_matches("pub(super) ")
        .trim_start_matches("pub ");
    line.strip_prefix("mod ").is_some_and(|rest| rest.trim_end_matches([' ', '{', '}', ';']) == name)
}

fn machine_paths(file: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for path in MACHINE_PATHS {
            // In the middle of a topic or a relative path it is no machine's folder.
            let begins =
                |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "+#._-}/$".contains(c));
            if line.match_indices(path).any(|(at, _)| begins(at)) {
                let message = format!("`{path}…` is a folder of one machine: use a relative path");
                findings.push(Finding::new(file, index + 1, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(file: &str, text: &str) -> Vec<String> {
        source(Path::new(file), text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_opens_with_its_subject() {
        assert_eq!(
            messages("crates/mynah-net/src/a.rs", "use x;\n"),
            ["crates/mynah-net/src/a.rs:1: start with `//! `: one to five lines on what lives here"]
        );
        assert_eq!(messages("crates/mynah-net/src/a.rs", "//! Sockets.\n"), [""; 0]);
    }

    #[test]
    fn a_pure_crate_names_no_clock_outside_its_tests() {
        let text = "//! X.\nfn f() { Instant::now(); } // Instant::now\n#[cfg(test)]\nmod tests { use std::thread; }\n";
        assert_eq!(
            messages("crates/mynah-core/src/a.rs", text),
            ["crates/mynah-core/src/a.rs:2: `Instant::now` in a pure crate: take the instant as an argument"]
        );
        assert_eq!(messages("crates/mynah-net/src/a.rs", text), [""; 0]);
        assert_eq!(messages("crates/mynah-core/src/index_tests.rs", text), [""; 0]);
        assert_eq!(messages("crates/mynah-core/tests/main.rs", text), [""; 0]);
    }

    #[test]
    fn drawers_and_unfinished_work_are_refused() {
        let text = concat!("//! X.\npub mod utils;\nfn f() { dbg!(1); }\n// TO", "DO: later\n");
        assert_eq!(messages("xtask/src/a.rs", text).len(), 3);
        assert_eq!(file_name(Path::new("crates/mynah/src/common/mod.rs")).len(), 1);
        assert_eq!(file_name(Path::new("crates/mynah/src/helpers.rs")).len(), 1);
        assert_eq!(file_name(Path::new("crates/mynah/src/commonwealth.rs")), []);
    }

    #[test]
    fn a_folder_of_one_machine_is_found_and_a_topic_is_not() {
        let found = |line: &str| machine_paths(Path::new("README.md"), line).len();
        assert_eq!(found(concat!("see `/ro", "ot/x`")), 1);
        assert_eq!(found(concat!("a topic a/ho", "me/b and +/ho", "me/b")), 0);
    }
}
