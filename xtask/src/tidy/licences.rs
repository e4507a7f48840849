//! What is built in comes with a licence that `deny.toml` allows, from the public registry, and stays within a number
//! of crates that somebody can still look at.

use std::path::Path;

use serde::Deserialize;

use super::Finding;
use crate::workspace::{Workspace, read};

/// Crates of others that are built for the broker and its tests.
const EXTERNAL_CRATES_MAX: usize = 350;

/// What a lock file of the public registry says, whatever mirror served it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Finding>, String> {
    let deny: Deny =
        toml::from_str(&read(&workspace.root.join("deny.toml"))?).map_err(|e| format!("deny.toml: {e}"))?;
    let (lock, manifest) = (Path::new("Cargo.lock"), Path::new("Cargo.toml"));
    let lock_text = read(&workspace.root.join(lock))?;
    let mut findings = Vec::new();
    for package in workspace.packages() {
        let licence = package.license.as_deref().unwrap_or("none");
        if !is_allowed(licence, &deny.licenses.allow) {
            let line =
                lock_text.lines().position(|l| l == format!("name = \"{}\"", package.name)).unwrap_or(0) + 1;
            let message = format!(
                "`{}` {} has licence `{licence}`, which deny.toml does not allow: use another crate",
                package.name, package.version
            );
            findings.push(Finding::new(lock, line, message));
        }
    }
    findings.extend(sources(&lock_text));
    let count = workspace.packages().iter().filter(|p| p.is_external()).count();
    if count > EXTERNAL_CRATES_MAX {
        let message =
            format!("{count} crates of others, {EXTERNAL_CRATES_MAX} are the limit: drop a dependency");
        findings.push(Finding::new(manifest, 1, message));
    }
    Ok(findings)
}

/// Sources in the lock file that are not the public registry.
fn sources(lock: &str) -> Vec<Finding> {
    let foreign = |line: &str| {
        line.strip_prefix("source = \"").is_some_and(|source| source.trim_end_matches('"') != REGISTRY)
    };
    let lines = lock.lines().enumerate().filter(|(_, line)| foreign(line));
    let message = "a source other than the public registry: depend on a published version";
    lines.map(|(index, _)| Finding::new(Path::new("Cargo.lock"), index + 1, message)).collect()
}

/// Whether an SPDX expression can be met with the licences in `allowed`. The old form `MIT/Apache-2.0` means `OR`, and
/// operators may be in lower case (SPDX 3).
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let spaced = spaced.replace(" or ", " OR ").replace(" and ", " AND ");
    let mut tokens: Vec<&str> = spaced.split_whitespace().rev().collect();
    let met = any_of(&mut tokens, allowed);
    met && tokens.is_empty()
}

/// `a OR b OR …`; `tokens` ends with what comes next.
fn any_of(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut met = all_of(tokens, allowed);
    while tokens.last() == Some(&"OR") {
        tokens.pop();
        met |= all_of(tokens, allowed);
    }
    met
}

/// `a AND b AND …`
fn all_of(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut met = one(tokens, allowed);
    while tokens.last() == Some(&"AND") {
        tokens.pop();
        met &= one(tokens, allowed);
    }
    met
}

/// `a`, `a WITH exception` or `( … )`
fn one(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    match tokens.pop() {
        None => false,
        Some("(") => {
            let met = any_of(tokens, allowed);
            tokens.pop() == Some(")") && met
        }
        Some(licence) => {
            let mut name = licence.to_owned();
            if tokens.last() == Some(&"WITH") {
                tokens.pop();
                name = format!("{name} WITH {}", tokens.pop().unwrap_or_default());
            }
            allowed.contains(&name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_or_not() {
        let allowed =
            ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        for (expression, met) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("MIT AND GPL-3.0-only", false),
            ("(MIT OR GPL-3.0-only) AND Unicode-3.0", true),
            ("MIT/Apache-2.0", true),
            ("MIT or GPL-3.0-only", true),
            ("MIT and GPL-3.0-only", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-2.0 WITH Classpath-exception-2.0", false),
            ("none", false),
            ("", false),
            ("(MIT", false),
            ("MIT MIT", false),
        ] {
            assert_eq!(is_allowed(expression, &allowed), met, "{expression}");
        }
    }

    #[test]
    fn only_the_public_registry_is_a_source() {
        let lock = format!("source = \"{REGISTRY}\"\nsource = \"git+https://example.org/x\"\n");
        let found = sources(&lock);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("Cargo.lock:2: "));
    }
}
