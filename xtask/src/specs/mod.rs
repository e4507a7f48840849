//! `specs`: which statement of which specification is held by which test.
//!
//! `specs/NAME.toml` lists the statements of a specification, `specs/exceptions/NAME.toml` those without a test and why,
//! and tests cite them by `//= NAME [ID]`. The join of the three is `docs/compliance/NAME.md`.

mod citations;
mod join;
mod register;
mod table;

use std::fs;
use std::path::Path;

use citations::Citation;
use join::Joined;
use register::Specification;

use crate::tidy::Finding;
use crate::workspace::{Workspace, read};

/// Reads everything, prints what is wrong, and writes the tables, or with `check` compares them with what is there.
pub(crate) fn run(workspace: &Workspace, check: bool) -> Result<(), String> {
    let specifications = register::load(workspace)?;
    let (citations, mut findings) = citations(workspace)?;
    for citation in &citations {
        if specifications.iter().all(|s| s.name != citation.specification) {
            let message = format!("there is no specs/{}.toml", citation.specification);
            findings.push(Finding::new(&citation.file, citation.line, message));
        }
    }
    for specification in &specifications {
        let joined = join::join(specification, &citations);
        findings.extend(publish(workspace, specification, &joined, check)?);
        println!("{}: {}", specification.name, table::summary(&joined));
        findings.extend(joined.findings);
    }
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err("specs: 1 finding".to_owned()),
        n => Err(format!("specs: {n} findings")),
    }
}

fn citations(workspace: &Workspace) -> Result<(Vec<Citation>, Vec<Finding>), String> {
    let (mut found, mut findings) = (Vec::new(), Vec::new());
    for path in workspace.files(&[".rs"])? {
        let (citations, wrong) = citations::read_source(&workspace.shown(&path), &read(&path)?);
        found.extend(citations);
        findings.extend(wrong);
    }
    Ok((found, findings))
}

/// Writes the table of a specification, or finds that the one that is there is not up to date.
fn publish(
    workspace: &Workspace,
    specification: &Specification,
    joined: &Joined<'_>,
    check: bool,
) -> Result<Option<Finding>, String> {
    let shown = Path::new("docs/compliance").join(&specification.name).with_added_extension("md");
    let path = workspace.root.join(&shown);
    let text = table::render(specification, joined);
    let current = fs::read_to_string(&path).unwrap_or_default();
    if current == text {
        return Ok(None);
    }
    if check {
        return Ok(Some(Finding::new(
            &shown,
            1,
            "not up to date: run `cargo xtask specs` and look at what changed",
        )));
    }
    let broken = |error: std::io::Error| format!("{}: {error}", shown.display());
    fs::create_dir_all(path.parent().unwrap_or(&workspace.root)).map_err(broken)?;
    fs::write(&path, text).map_err(broken)?;
    println!("{} is new", shown.display());
    Ok(None)
}
