//! What is written by hand about a specification: its statements in our words, and the reasons why some have no test.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::workspace::{Workspace, read};

/// A specification and what is known of it.
pub(crate) struct Specification {
    /// How citations name it: the stem of its file.
    pub(crate) name: String,
    pub(crate) register: Register,
    pub(crate) exceptions: Vec<Exception>,
}

/// `specs/NAME.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    pub(crate) title: String,
    pub(crate) edition: String,
    /// Where the ids come from.
    pub(crate) source: String,
    /// How many statements the specification has.
    pub(crate) count: usize,
    /// Which of the binding ones need a test or a reason.
    #[serde(default)]
    pub(crate) demanded: Demanded,
    pub(crate) statements: Vec<Statement>,
}

/// Of which statements it is a finding that no test cites them and no reason says why: less than all while the tests of
/// a specification are being written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Demanded {
    None,
    /// Those that a server has to hold.
    Server,
    #[default]
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    pub(crate) id: String,
    pub(crate) level: Level,
    pub(crate) applies: Applies,
    pub(crate) paraphrase: String,
}

/// How much a statement demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    Must,
    MustNot,
    Should,
    May,
}

/// Which end a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Applies {
    Server,
    Client,
    Both,
}

/// `specs/exceptions/NAME.toml`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// A statement without a test.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exception {
    pub(crate) id: String,
    pub(crate) reason: String,
}

impl Specification {
    pub(crate) fn register_file(&self) -> PathBuf {
        Path::new("specs").join(&self.name).with_added_extension("toml")
    }

    pub(crate) fn exceptions_file(&self) -> PathBuf {
        Path::new("specs/exceptions").join(&self.name).with_added_extension("toml")
    }
}

impl Statement {
    /// Whether a server has to hold it.
    pub(crate) fn binds_servers(&self) -> bool {
        self.level.is_binding() && self.applies != Applies::Client
    }

    /// Whether it needs a test or a reason.
    pub(crate) fn is_demanded(&self, demanded: Demanded) -> bool {
        match demanded {
            Demanded::None => false,
            Demanded::Server => self.binds_servers(),
            Demanded::All => self.level.is_binding(),
        }
    }
}

impl Level {
    /// Whether it demands something.
    pub(crate) const fn is_binding(self) -> bool {
        matches!(self, Self::Must | Self::MustNot)
    }

    pub(crate) const fn shown(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::MustNot => "must not",
            Self::Should => "should",
            Self::May => "may",
        }
    }
}

impl Applies {
    pub(crate) const fn shown(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
        }
    }
}

/// Every specification below `specs`, by name.
pub(super) fn load(workspace: &Workspace) -> Result<Vec<Specification>, String> {
    let folder = workspace.root.join("specs");
    let mut found = Vec::new();
    for path in workspace.files(&[".toml"])? {
        let Some(name) =
            path.file_stem().and_then(|stem| stem.to_str()).filter(|_| path.parent() == Some(&folder))
        else {
            continue;
        };
        let beside = folder.join("exceptions").join(name).with_added_extension("toml");
        let exceptions =
            if beside.exists() { parse::<Exceptions>(workspace, &beside)? } else { Exceptions::default() };
        let register = parse(workspace, &path)?;
        found.push(Specification { name: name.to_owned(), register, exceptions: exceptions.exceptions });
    }
    Ok(found)
}

fn parse<T: DeserializeOwned>(workspace: &Workspace, path: &Path) -> Result<T, String> {
    toml::from_str(&read(path)?).map_err(|error| format!("{}: {error}", workspace.shown(path).display()))
}
