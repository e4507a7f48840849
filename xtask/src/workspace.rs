//! What there is to check: the packages as cargo resolves them, and the files of the repository.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// Folders that hold nothing written by hand.
const SKIPPED: [&str; 3] = ["target", ".git", "node_modules"];

/// The repository and what cargo knows of it.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

/// A package of the workspace or one it depends on.
#[derive(Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Absent for a package of the workspace.
    source: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) manifest_path: PathBuf,
}

impl Package {
    /// Whether the package comes from outside the repository.
    pub(crate) fn is_external(&self) -> bool {
        self.source.is_some()
    }
}

/// A dependency as a manifest names it.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    kind: Option<String>,
}

impl Dependency {
    /// Whether the dependency becomes part of what is shipped; otherwise it serves tests or a build script.
    pub(crate) fn is_normal(&self) -> bool {
        self.kind.is_none()
    }
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// The folder that cargo builds in.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target)
}

/// The cargo that runs this program, so that both are of one toolchain.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

impl Workspace {
    /// Asks cargo, without the network where that is possible.
    pub(crate) fn load() -> Result<Self, String> {
        let ask = |offline: &[&str]| {
            cargo()
                .args(["metadata", "--format-version", "1"])
                .args(offline)
                .output()
                .map_err(|e| e.to_string())
        };
        let mut output = ask(&["--offline"])?;
        if !output.status.success() {
            output = ask(&[])?;
        }
        if !output.status.success() {
            return Err(format!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        let metadata = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("cargo metadata is not understood: {e}"))?;
        Ok(Self { root: root(), metadata })
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.metadata.packages.iter().filter(|p| self.metadata.workspace_members.contains(&p.id))
    }

    /// Everything that is built for a test run, on any platform.
    pub(crate) fn packages(&self) -> &[Package] {
        &self.metadata.packages
    }

    /// What `package` ships: itself and its normal dependencies, theirs, and so on.
    pub(crate) fn shipped_with(&self, package: &Package) -> Vec<&Package> {
        let nodes: HashMap<&str, &Node> =
            self.metadata.resolve.nodes.iter().map(|n| (n.id.as_str(), n)).collect();
        let mut seen = HashSet::from([package.id.as_str()]);
        let mut queue = vec![package.id.as_str()];
        while let Some(id) = queue.pop() {
            for dependency in nodes.get(id).map_or(&[][..], |node| &node.deps) {
                let normal = dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
                if normal && seen.insert(&dependency.pkg) {
                    queue.push(&dependency.pkg);
                }
            }
        }
        self.metadata.packages.iter().filter(|p| seen.contains(p.id.as_str())).collect()
    }

    /// The path of `file` as it is shown: from the root of the repository.
    pub(crate) fn shown(&self, file: &Path) -> PathBuf {
        file.strip_prefix(&self.root).unwrap_or(file).to_owned()
    }

    /// Files of the repository whose name ends in one of `endings`, by path.
    pub(crate) fn files(&self, endings: &[&str]) -> Result<Vec<PathBuf>, String> {
        let mut found = Vec::new();
        walk(&self.root, endings, &mut found)?;
        found.sort();
        Ok(found)
    }
}

fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) -> Result<(), String> {
    let broken = |error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type().map_err(broken)?;
        if kind.is_dir() && !SKIPPED.contains(&&*name) {
            walk(&entry.path(), endings, found)?;
        } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// The text of a file, with the file named in the error.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
