//! Why a command failed, in words for whoever gave it: what was wrong, where, and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use mynah_auth::{FileError, HashError};
use mynah_net::StartError;

use crate::config::Problem;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Complaint {
    /// The configuration is wrong.
    Configuration(Vec<Problem>),
    /// A file cannot be used.
    File { path: PathBuf, error: io::Error },
    /// A users file cannot be used.
    Users(FileError),
    /// A password cannot be used.
    Password(HashError),
    /// The broker cannot start.
    Start(StartError),
    /// The system refused something that the broker needs.
    System { what: &'static str, error: io::Error },
    /// Something else, said in full.
    Other(String),
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(problems) => {
                f.write_str("the configuration cannot be used")?;
                problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
            }
            Self::File { path, error } => {
                write!(f, "{}: {error}", path.display())?;
                f.write_str(match error.kind() {
                    io::ErrorKind::NotFound => " (check the path)",
                    io::ErrorKind::PermissionDenied => {
                        " (make it readable for the user that runs this command)"
                    }
                    io::ErrorKind::InvalidData => " (the file has to be UTF-8 text)",
                    _ => "",
                })
            }
            Self::Users(error) => error.fmt(f),
            Self::Password(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::System { what, error } => write!(f, "{what}: {error}"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl From<StartError> for Complaint {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<FileError> for Complaint {
    fn from(error: FileError) -> Self {
        Self::Users(error)
    }
}

impl From<HashError> for Complaint {
    fn from(error: HashError) -> Self {
        Self::Password(error)
    }
}
