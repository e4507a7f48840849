//! Dependency levels: which crate of the workspace may use which, and what a pure crate may not reach at all. The
//! table is the architecture; a line here and in `ARCHITECTURE.md` is changed together.

use std::path::Path;

use super::Finding;
use crate::workspace::{Package, Workspace};

/// How much of the world a crate may touch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No clock, entropy, socket, thread or runtime.
    Pure,
    /// Blocking I/O, no runtime.
    Blocking,
    /// May name an async runtime.
    Runtime,
    /// For development: nothing that is shipped may use it.
    Development,
}

/// Crates that may use every other one.
const EVERYTHING: &[&str] = &["*"];

#[rustfmt::skip]
const LEVELS: &[(&str, Kind, &[&str])] = &[
    ("mynah-model",   Kind::Pure,        &[]),
    ("mynah-core",    Kind::Pure,        &["mynah-model"]),
    ("mynah-stack",   Kind::Pure,        &["mynah-model"]),
    ("mynah-mqtt",    Kind::Pure,        &["mynah-model", "mynah-stack"]),
    ("mynah-mqttsn",  Kind::Pure,        &["mynah-model", "mynah-stack"]),
    ("mynah-coap",    Kind::Pure,        &["mynah-model", "mynah-stack"]),
    ("mynah-amqp",    Kind::Pure,        &["mynah-model", "mynah-stack"]),
    ("mynah-stomp",   Kind::Pure,        &["mynah-model", "mynah-stack"]),
    ("mynah-xmpp",    Kind::Pure,        &["mynah-model", "mynah-stack"]),
    ("mynah-http",    Kind::Runtime,     &["mynah-model", "mynah-stack"]),
    ("mynah-dtls",    Kind::Pure,        &["mynah-model"]),
    ("mynah-engine",  Kind::Pure,        &["mynah-model", "mynah-core", "mynah-stack"]),
    ("mynah-store",   Kind::Blocking,    &["mynah-model"]),
    ("mynah-auth",    Kind::Runtime,     &["mynah-model"]),
    ("mynah-net",     Kind::Runtime,     &["mynah-model", "mynah-core", "mynah-stack", "mynah-engine", "mynah-store", "mynah-auth", "mynah-dtls"]),
    ("mynah-admin",   Kind::Runtime,     &["mynah-model", "mynah-core"]),
    ("mynah-cluster", Kind::Runtime,     &["mynah-model", "mynah-core", "mynah-store"]),
    ("mynah",         Kind::Runtime,     EVERYTHING),
    ("mynah-sim",     Kind::Development, EVERYTHING),
    ("mynah-crash",   Kind::Development, EVERYTHING),
    ("mynah-interop", Kind::Development, EVERYTHING),
    ("mynah-lostwrites", Kind::Development, EVERYTHING),
    ("mynah-bench",   Kind::Development, EVERYTHING),
    ("mynah-fuzz",    Kind::Development, EVERYTHING),
    ("xtask",         Kind::Development, &[]),
];

/// What a pure crate may not reach, through however many hands.
const IMPURE: &[&str] = &[
    "async-io",
    "async-std",
    "axum",
    "chrono",
    "getrandom",
    "hyper",
    "jiff",
    "libc",
    "mio",
    "nix",
    "polling",
    "quinn",
    "rand",
    "rustix",
    "signal-hook",
    "smol",
    "socket2",
    "time",
    "tokio",
    "tracing-subscriber",
    "windows-sys",
];

/// What a pure crate may reach all the same: the cryptography of ring brings it, and is handed its source of randomness.
const CRYPTOGRAPHY: (&str, &[&str]) = ("mynah-dtls", &["getrandom", "libc", "windows-sys"]);

/// Async runtimes: only some crates may name one.
const RUNTIMES: &[&str] = &["async-std", "smol", "tokio"];

/// Crates with lints of their own, because they cannot do without `unsafe`. None of them may be shipped.
const UNSAFE: &[&str] = &["mynah-lostwrites"];

/// Crates of the workspace, development included. A crate exists to forbid a dependency; a folder does for the rest.
const CRATES_MAX: usize = 22;

/// Folders of the crates that the table calls pure.
pub(super) fn is_pure(file: &Path) -> bool {
    LEVELS
        .iter()
        .any(|(name, kind, _)| *kind == Kind::Pure && file.starts_with(Path::new("crates").join(name)))
}

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.members() {
        let manifest = workspace.shown(&package.manifest_path);
        let Some(&(_, kind, allowed)) = LEVELS.iter().find(|(name, ..)| *name == package.name) else {
            let message =
                format!("`{}` has no level: add it to the table in xtask/src/tidy/levels.rs", package.name);
            findings.push(Finding::new(&manifest, 1, message));
            continue;
        };
        let text = crate::workspace::read(&package.manifest_path).unwrap_or_default();
        let mut report = |name: &str, message: String| {
            findings.push(Finding::new(&manifest, line_of(&text, name), message));
        };
        for (name, message) in direct(package, kind, allowed) {
            report(name, message);
        }
        if let Some(message) = lints(package, kind, &text) {
            report("[lints]", message);
        }
        if kind == Kind::Pure {
            let excused = |name: &str| package.name == CRYPTOGRAPHY.0 && CRYPTOGRAPHY.1.contains(&name);
            let is_impure = |p: &&&Package| IMPURE.contains(&p.name.as_str()) && !excused(&p.name);
            for shipped in workspace.shipped_with(package).iter().filter(is_impure) {
                let message = format!(
                    "`{}` is pure and may not reach `{}`, not even through another crate",
                    package.name, shipped.name
                );
                report(&shipped.name, message);
            }
        }
    }
    let count = workspace.members().count();
    if count > CRATES_MAX {
        let message =
            format!("{count} crates, {CRATES_MAX} are the ceiling: make it a folder of an existing crate");
        findings.push(Finding::new(Path::new("Cargo.toml"), 1, message));
    }
    findings
}

/// What is wrong with the dependencies that the manifest of `package` names.
fn direct<'p>(package: &'p Package, kind: Kind, allowed: &[&str]) -> Vec<(&'p str, String)> {
    let mut wrong = Vec::new();
    for dependency in package.dependencies.iter().filter(|d| d.is_normal()) {
        let name = dependency.name.as_str();
        if let Some((_, other, _)) = LEVELS.iter().find(|(level, ..)| *level == name) {
            if *other == Kind::Development && kind != Kind::Development {
                wrong.push((
                    name,
                    format!("`{name}` is for development; what is shipped may not depend on it"),
                ));
            } else if allowed != EVERYTHING && !allowed.contains(&name) {
                let list = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                let message = format!("`{}` may not depend on `{name}` (it may on: {list})", package.name);
                wrong.push((name, message));
            }
        }
        if RUNTIMES.contains(&name) && matches!(kind, Kind::Pure | Kind::Blocking) {
            wrong.push((
                name,
                format!("`{}` may not name a runtime; put the code where one runs", package.name),
            ));
        }
    }
    wrong
}

/// What is wrong with the lints of a package: those of the workspace forbid `unsafe`.
fn lints(package: &Package, kind: Kind, manifest: &str) -> Option<String> {
    let name = package.name.as_str();
    if UNSAFE.contains(&name) {
        let message = format!("`{name}` has `unsafe` and so may be for development only");
        return (kind != Kind::Development).then_some(message);
    }
    let takes_them =
        manifest.lines().skip_while(|line| *line != "[lints]").nth(1) == Some("workspace = true");
    (!takes_them)
        .then(|| format!("`{name}` does not take the workspace's lints: add [lints] workspace = true"))
}

/// The line on which a manifest names a dependency, or its first line.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let names =
        |line: &str| line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    manifest.lines().position(names).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
        let package = json!({
            "id": name, "name": name, "version": "0.1.0", "license": null, "source": null,
            "dependencies": dependencies, "manifest_path": "Cargo.toml",
        });
        serde_json::from_value(package).unwrap()
    }

    fn wrong(name: &str, dependencies: &[(&str, Option<&str>)]) -> Vec<String> {
        let (_, kind, allowed) = LEVELS.iter().find(|(level, ..)| *level == name).unwrap();
        direct(&package(name, dependencies), *kind, allowed).into_iter().map(|(_, message)| message).collect()
    }

    #[test]
    fn a_stack_may_use_the_contract_and_never_the_core_or_another_stack() {
        assert_eq!(wrong("mynah-mqtt", &[("mynah-stack", None), ("mynah-core", Some("dev"))]), [""; 0]);
        assert_eq!(
            wrong("mynah-mqtt", &[("mynah-core", None)]),
            ["`mynah-mqtt` may not depend on `mynah-core` (it may on: mynah-model, mynah-stack)"]
        );
        assert_eq!(wrong("mynah-coap", &[("mynah-mqtt", None)]).len(), 1);
    }

    #[test]
    fn a_runtime_stays_in_the_crates_that_may_name_it() {
        assert_eq!(wrong("mynah-net", &[("tokio", None)]), [""; 0]);
        assert_eq!(wrong("mynah-core", &[("tokio", None)]).len(), 1);
        assert_eq!(wrong("mynah-store", &[("tokio", None)]).len(), 1);
        assert_eq!(wrong("mynah-core", &[("tokio", Some("dev"))]), [""; 0]);
    }

    #[test]
    fn nothing_shipped_depends_on_a_crate_for_development() {
        assert_eq!(
            wrong("mynah", &[("mynah-sim", None)]),
            ["`mynah-sim` is for development; what is shipped may not depend on it"]
        );
        assert_eq!(wrong("mynah-bench", &[("mynah-sim", None)]), [""; 0]);
    }

    #[test]
    fn only_a_crate_for_development_has_lints_of_its_own() {
        let wrong = |name: &str, kind, manifest: &str| lints(&package(name, &[]), kind, manifest).is_some();
        assert!(!wrong("mynah-core", Kind::Pure, "[lints]\nworkspace = true\n"));
        assert!(wrong("mynah-core", Kind::Pure, "[lints.rust]\nunsafe_code = \"allow\"\n"));
        assert!(!wrong("mynah-lostwrites", Kind::Development, ""));
        assert!(wrong("mynah-lostwrites", Kind::Blocking, ""));
    }

    #[test]
    fn the_table_knows_its_own_names() {
        for (name, _, allowed) in LEVELS {
            for other in allowed.iter().filter(|other| **other != "*") {
                assert!(LEVELS.iter().any(|(level, ..)| level == other), "{name} names {other}");
            }
        }
    }

    #[test]
    fn a_finding_points_at_the_line_of_the_dependency() {
        let manifest = "[dependencies]\nmynah-stack.workspace = true\nmynah = { path = \"x\" }\n";
        assert_eq!(line_of(manifest, "mynah-stack"), 2);
        assert_eq!(line_of(manifest, "mynah"), 3);
        assert_eq!(line_of(manifest, "tokio"), 1);
    }
}
