//! What may be wrong with a users file, in words that say where, what, and what to do.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::PhcError;

/// Why a users file is not usable. The text says where, what, and what to do.
#[derive(Debug)]
pub enum FileError {
    /// The file cannot be read.
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file cannot be replaced.
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line is wrong.
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// Which character of the line, counted from 1.
        column: usize,
        /// What is wrong.
        what: LineError,
    },
    /// A user cannot be written in the file.
    User(LineError),
    /// There is no such user.
    Unknown {
        /// Which file.
        path: PathBuf,
        /// The user that is not there.
        user: Box<str>,
    },
    /// A user is of a tenant that the configuration does not name.
    Tenant {
        /// Which file.
        path: PathBuf,
        /// The user.
        user: Box<str>,
        /// The tenant.
        tenant: Box<str>,
    },
}

impl FileError {
    pub(super) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.to_owned(), error }
    }

    pub(super) fn line(path: &Path, line: usize, column: usize, what: LineError) -> Self {
        Self::Line { path: path.to_owned(), line, column, what }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => {
                let path = path.display();
                match error.kind() {
                    io::ErrorKind::NotFound => {
                        write!(f, "{path}: there is no such users file; `mynah user add` makes one")
                    }
                    io::ErrorKind::PermissionDenied => write!(
                        f,
                        "{path}: no permission to read the users file; make it belong to the user that runs the broker"
                    ),
                    _ => write!(f, "{path}: cannot read the users file: {error}"),
                }
            }
            Self::Write { path, error } => {
                write!(f, "{}: cannot replace the users file: {error}", path.display())
            }
            Self::Line { path, line, column, what } => {
                write!(f, "{}:{line}:{column}: {what}", path.display())
            }
            Self::User(what) => what.fmt(f),
            Self::Unknown { path, user } => write!(
                f,
                "{}: there is no user {user:?}; `mynah user list` shows who is there",
                path.display()
            ),
            Self::Tenant { path, user, tenant } => write!(
                f,
                "{}: the user {user:?} is of the tenant `{tenant}`, which the configuration does not name; add it under \
                 [tenants]",
                path.display()
            ),
        }
    }
}

impl std::error::Error for FileError {}

/// What is wrong with a line of a users file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// There is no `:`.
    NoColon,
    /// There is no name before the `:`.
    NoName,
    /// The name would be read back as something else.
    NameUnusable(Box<str>),
    /// The name stands in an earlier line of the same tenant.
    Duplicate(Box<str>),
    /// Another user of the same tenant would have the same address where case does not count.
    Folds {
        /// The new name.
        name: Box<str>,
        /// The name that is there.
        other: Box<str>,
    },
    /// Nothing in the line could prove who the user is.
    NothingProves,
    /// A hash of argon2 is not usable.
    Hash(PhcError),
    /// A pre-shared key is not usable.
    PreSharedKey,
    /// The fingerprint of a certificate is not usable.
    Fingerprint,
    /// What is here is there already.
    Twice(Box<str>),
    /// The name of a group or a tenant cannot be written.
    WordUnusable(Box<str>),
    /// Nothing that a users file knows.
    Unknown,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColon => f.write_str("a line is `user:hash`; there is no `:` here"),
            Self::NoName => f.write_str("the user name before the `:` is empty; write `user:hash`"),
            Self::NameUnusable(name) => write!(
                f,
                "the user name {name:?} is not usable: it may not contain `:` or a control character, start with `#`, \
                 or start or end with a blank"
            ),
            Self::Duplicate(name) => {
                write!(f, "the user {name:?} is in the file twice; remove one of the two lines")
            }
            Self::Folds { name, other } => write!(
                f,
                "the user name {name:?} is too much like {other:?}: where case does not count they would be one; choose \
                 another"
            ),
            Self::NothingProves => f.write_str(
                "nothing here could prove who the user is; set a password with `mynah user passwd`, or remove the line",
            ),
            Self::Hash(what) => write!(f, "{what}; set the password again with `mynah user passwd`"),
            Self::PreSharedKey => {
                f.write_str("a pre-shared key is 16 to 64 bytes in hexadecimal digits, such as psk=00112233…")
            }
            Self::Fingerprint => f.write_str("a fingerprint is the SHA-256 of a certificate: 64 hexadecimal digits"),
            Self::Twice(what) => write!(f, "{what} is in the line twice; remove one"),
            Self::WordUnusable(word) => write!(
                f,
                "the name {word:?} is not usable for a group or a tenant: write letters, digits, and - _ . / @"
            ),
            Self::Unknown => f.write_str(
                "this is neither a password hash nor anything else that a users file knows; set the password again with \
                 `mynah user passwd`",
            ),
        }
    }
}

impl std::error::Error for LineError {}

/// Something about a users file that is not an error but should not stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Others than its owner can open the file.
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Two users would have the same address where case does not count.
    Folds {
        /// Which file.
        path: PathBuf,
        /// One of them.
        one: Box<str>,
        /// The other.
        other: Box<str>,
    },
}

impl Warning {
    #[cfg(unix)]
    pub(super) fn of_mode(path: &Path) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
        (mode & 0o007 != 0).then(|| Self::Mode { path: path.to_owned(), mode })
    }

    #[cfg(not(unix))]
    pub(super) fn of_mode(_path: &Path) -> Option<Self> {
        None
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode { path, mode } => {
                let path = path.display();
                write!(
                    f,
                    "{path}: every user of this machine can open the users file (mode {mode:03o}); run `chmod 600 {path}`"
                )
            }
            Self::Folds { path, one, other } => write!(
                f,
                "{}: the users {one:?} and {other:?} would be one where case does not count; rename one",
                path.display()
            ),
        }
    }
}
