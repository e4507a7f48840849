//! Documents that cannot drift unseen: a link leads to a file, and the README names the Rust version of the manifest.

use std::path::Path;

use super::Finding;
use crate::workspace::{Workspace, read};

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for path in workspace.files(&[".md"])? {
        let shown = workspace.shown(&path);
        let folder = path.parent().unwrap_or(&workspace.root);
        for (line, target) in links(&read(&path)?) {
            if !folder.join(&target).exists() {
                let message = format!("the link to `{target}` leads nowhere: correct or remove it");
                findings.push(Finding::new(&shown, line, message));
            }
        }
    }
    let manifest = read(&workspace.root.join("Cargo.toml"))?;
    let readme = read(&workspace.root.join("README.md"))?;
    findings.extend(rust_version(&manifest, &readme));
    Ok(findings)
}

/// Links to files: line, counted from 1, and target without its anchor. Code blocks have none.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        for (at, opening) in line.match_indices("](") {
            let rest = &line[at + opening.len()..];
            let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
            if !in_code && !target.is_empty() && !target.contains(':') {
                found.push((index + 1, target.to_owned()));
            }
        }
    }
    found
}

/// Compares every `Rust 1.x` of the README with the manifest's `rust-version`.
fn rust_version(manifest: &str, readme: &str) -> Vec<Finding> {
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap_or_default();
    let version = version.trim_matches('"');
    let file = Path::new("README.md");
    let mut named = false;
    let mut findings = Vec::new();
    for (index, line) in readme.lines().enumerate() {
        for (at, word) in line.match_indices("Rust 1.") {
            named = true;
            let digits =
                line[at + word.len()..].split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            if format!("1.{digits}") != version {
                let message =
                    format!("Rust 1.{digits} is named, the manifest says {version}: make them agree");
                findings.push(Finding::new(file, index + 1, message));
            }
        }
    }
    if !named {
        let message = format!("the Rust version that is needed is not named: say `Rust {version}`");
        findings.push(Finding::new(file, 1, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found_and_others_are_not() {
        let text =
            "[a](docs/a.md#x) [b](https://example.org) [c](#here)\n```\n[d](e)\n```\n![f](g.png \"h\")\n";
        assert_eq!(links(text), [(1, "docs/a.md".to_owned()), (5, "g.png".to_owned())]);
    }

    #[test]
    fn the_readme_names_the_version_of_the_manifest() {
        let manifest = "edition = \"2024\"\nrust-version = \"1.95\"\n";
        assert_eq!(rust_version(manifest, "needs Rust 1.95 or later\n"), []);
        let shown =
            |readme: &str| rust_version(manifest, readme).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            shown("x\nneeds Rust 1.9\n"),
            ["README.md:2: Rust 1.9 is named, the manifest says 1.95: make them agree"]
        );
        assert_eq!(
            shown("x\n"),
            ["README.md:1: the Rust version that is needed is not named: say `Rust 1.95`"]
        );
    }
}
