//! Where the program under test is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program: what the variable `MYNAH_BIN` names, else one that is built beside the tests that run.
pub(crate) fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("MYNAH_BIN") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "MYNAH_BIN names {}, which is not there", path.display());
            path
        }
        None => built(),
    })
}

/// An example of this crate.
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let built = cargo(&["--package", env!("CARGO_PKG_NAME"), "--example", name]);
    built.join("debug/examples").join(name)
}

/// Asks cargo each time: a program that is there may be older than its sources.
fn built() -> PathBuf {
    cargo(&["--package", "mynah", "--features", "ldap,tls-psk"]).join("debug/mynah")
}

/// Builds something into the target folder that the tests are in, and returns that folder.
fn cargo(arguments: &[&str]) -> PathBuf {
    // Tests are at TARGET/PROFILE/deps.
    let test = std::env::current_exe().unwrap_or_else(|error| panic!("who am I? {error}"));
    let Some(target) = test.ancestors().nth(3) else {
        panic!("{} is not in a target folder: set MYNAH_BIN", test.display());
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet"]).args(arguments).arg("--target-dir").arg(target);
    // What cargo tells a test of its package, build scripts would take for their own, and build again what depends on them.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"]
            .iter()
            .any(|of_package| text.starts_with(of_package))
        {
            build.env_remove(&name);
        }
    }
    let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "`cargo build {}` failed ({status:?}): see its message above, or set MYNAH_BIN",
        arguments.join(" ")
    );
    target.to_owned()
}
