//! Why a store cannot be opened or used.

use core::fmt;
use std::io;

use crate::state::StateError;

/// Why a store cannot be opened or used.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has the folder.
    InUse,
    /// A later version of the program wrote this.
    Version {
        /// The version of the format.
        version: u16,
    },
    /// The disk says no.
    Disk(io::Error),
    /// The state cannot be used, and neither can one that was just made.
    State(StateError),
    /// What is to be imported is not an export.
    Import {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Whoever reads what is live does not want more.
    Stopped,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("another process uses this folder; stop it, or name another folder"),
            Self::Version { version } => {
                write!(f, "a later version of Mynah wrote this (format {version}); use that one")
            }
            Self::Disk(error) => write!(f, "the disk says: {error}"),
            Self::State(error) => error.fmt(f),
            Self::Import { line, problem } => write!(f, "line {line}: {problem}"),
            Self::Stopped => f.write_str("stopped on demand"),
        }
    }
}

impl core::error::Error for StoreError {}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<StateError> for StoreError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}
