//! Checks of what the compiler does not see. Each finding names a place and says what to do.

mod documents;
mod levels;
mod licences;
pub(crate) mod scan;
mod sizes;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::workspace::Workspace;

/// Something to be put right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: PathBuf,
    line: usize,
    message: String,
}

impl Finding {
    pub(crate) fn new(file: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

/// Runs every check and prints what it found.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    let mut findings = levels::check(workspace);
    findings.extend(sources::check(workspace)?);
    findings.extend(sizes::check(workspace)?);
    findings.extend(licences::check(workspace)?);
    findings.extend(documents::check(workspace)?);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: nothing to put right");
            Ok(())
        }
        1 => Err("tidy: 1 finding".to_owned()),
        n => Err(format!("tidy: {n} findings")),
    }
}
