//! Sizes: a function fits a screen, a file has one subject. What is larger stands in `xtask/ratchet.toml`, which may
//! only shrink.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::Finding;
use super::scan::{code_of, functions};
use crate::workspace::{Workspace, read};

/// Lines of a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Lines of a file, tests included.
const FILE_LINES_MAX: usize = 600;

/// Entries of the ratchet. Lower this with every entry that goes; it is never raised.
const RATCHET_ENTRIES_MAX: usize = 0;

const RATCHET: &str = "xtask/ratchet.toml";

/// What is larger than it should be, with its size in lines.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ratchet {
    /// By path.
    files: BTreeMap<String, usize>,
    /// By `path::name`.
    functions: BTreeMap<String, usize>,
}

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Finding>, String> {
    let ratchet: Ratchet = toml::from_str(&read(&workspace.root.join(RATCHET))?)
        .map_err(|error| format!("{RATCHET}: {error}"))?;
    let mut sizes = Sizes { ratchet, findings: Vec::new() };
    sizes.entries(RATCHET_ENTRIES_MAX);
    for path in workspace.files(&[".rs"])? {
        sizes.source(&workspace.shown(&path), &read(&path)?);
    }
    Ok(sizes.finish())
}

struct Sizes {
    ratchet: Ratchet,
    findings: Vec<Finding>,
}

impl Sizes {
    fn entries(&mut self, max: usize) {
        let entries = self.ratchet.files.len() + self.ratchet.functions.len();
        if entries > max {
            let message = format!("{entries} entries, {max} are the limit: the ratchet only shrinks");
            self.findings.push(Finding::new(Path::new(RATCHET), 1, message));
        }
    }

    fn source(&mut self, file: &Path, text: &str) {
        let shown = file.display().to_string();
        let lines = text.lines().count();
        let allowed = self.ratchet.files.remove(&shown);
        let remedy = "split it by subject";
        self.compare(file, 1, "the file", lines, (FILE_LINES_MAX, allowed), remedy);
        for function in functions(&code_of(text)) {
            let lines = function.last - function.first + 1;
            let what = format!("`{}`", function.name);
            let allowed = if lines > FUNCTION_LINES_MAX {
                self.ratchet.functions.remove(&format!("{shown}::{}", function.name))
            } else {
                None
            };
            let remedy = "give its parts names";
            self.compare(file, function.first, &what, lines, (FUNCTION_LINES_MAX, allowed), remedy);
        }
    }

    /// Compares one size with its limit, or with what the ratchet allows.
    fn compare(
        &mut self,
        file: &Path,
        line: usize,
        what: &str,
        lines: usize,
        (max, allowed): (usize, Option<usize>),
        remedy: &str,
    ) {
        let message = match allowed {
            None if lines > max => format!("{what} has {lines} lines, {max} are the limit: {remedy}"),
            Some(listed) if lines > listed => format!("{what} grew from {listed} to {lines} lines: {remedy}"),
            Some(listed) if lines <= max => {
                format!("{what} fits again: remove its entry ({listed}) from {RATCHET}")
            }
            Some(listed) if lines < listed => {
                format!("{what} shrank to {lines} lines: lower its entry in {RATCHET}")
            }
            _ => return,
        };
        self.findings.push(Finding::new(file, line, message));
    }

    /// What is listed and was not met is stale.
    fn finish(mut self) -> Vec<Finding> {
        let (files, functions) = (self.ratchet.files.keys(), self.ratchet.functions.keys());
        let stale =
            files.chain(functions).map(|entry| format!("`{entry}` is not there or fits: remove the entry"));
        self.findings.extend(stale.map(|message| Finding::new(Path::new(RATCHET), 1, message)));
        self.findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(ratchet: &str, text: &str) -> Vec<String> {
        let mut sizes = Sizes { ratchet: toml::from_str(ratchet).unwrap(), findings: Vec::new() };
        sizes.entries(1);
        sizes.source(Path::new("a.rs"), text);
        sizes.finish().iter().map(ToString::to_string).collect()
    }

    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "x;\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_fits_a_screen() {
        assert_eq!(findings("", &function(70)), [""; 0]);
        assert_eq!(
            findings("", &function(71)),
            ["a.rs:1: `f` has 71 lines, 70 are the limit: give its parts names"]
        );
    }

    #[test]
    fn a_file_has_one_subject() {
        assert_eq!(findings("", &"//\n".repeat(600)), [""; 0]);
        assert_eq!(
            findings("", &"//\n".repeat(601)),
            ["a.rs:1: the file has 601 lines, 600 are the limit: split it by subject"]
        );
    }

    #[test]
    fn the_ratchet_turns_one_way() {
        let listed = "[functions]\n\"a.rs::f\" = 80\n";
        assert_eq!(findings(listed, &function(80)), [""; 0]);
        assert_eq!(
            findings(listed, &function(81)),
            ["a.rs:1: `f` grew from 80 to 81 lines: give its parts names"]
        );
        assert_eq!(
            findings(listed, &function(75)),
            ["a.rs:1: `f` shrank to 75 lines: lower its entry in xtask/ratchet.toml"]
        );
        assert_eq!(
            findings(listed, &function(20)),
            ["xtask/ratchet.toml:1: `a.rs::f` is not there or fits: remove the entry"]
        );
    }

    #[test]
    fn the_ratchet_takes_no_new_entries() {
        let listed = "[functions]\n\"a.rs::f\" = 80\n[files]\n\"a.rs\" = 700\n";
        let found = findings(listed, &function(80));
        assert_eq!(found[0], "xtask/ratchet.toml:1: 2 entries, 1 are the limit: the ratchet only shrinks");
    }
}
