//! The password file: one `user:hash` per line, with comments (`#`) and blank lines, which survive a rewrite. A file
//! is replaced as a whole or not at all.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{HashedPassword, PhcError};

/// A password file in memory. Changes reach the disk with [`PasswordFile::save`].
#[derive(Debug)]
pub struct PasswordFile {
    path: PathBuf,
    lines: Vec<Line>,
    warning: Option<Warning>,
}

#[derive(Debug)]
enum Line {
    /// A comment or a blank line, kept as it is.
    Other(String),
    User {
        name: Box<str>,
        hash: HashedPassword,
    },
}

impl PasswordFile {
    /// An empty file that exists on disk only after [`PasswordFile::save`].
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), lines: Vec::new(), warning: None }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or a line is wrong; the message says where and what to do.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let text = fs::read_to_string(path).map_err(|error| FileError::read(path, error))?;
        let mut file = Self { warning: Warning::of_mode(path), ..Self::new(path) };
        for (index, line) in text.lines().enumerate() {
            let line = file
                .parse_line(line)
                .map_err(|(column, what)| FileError::line(path, index + 1, column, what))?;
            file.lines.push(line);
        }
        Ok(file)
    }

    fn parse_line(&self, line: &str) -> Result<Line, (usize, LineError)> {
        let entry = line.trim();
        if entry.is_empty() || entry.starts_with('#') {
            return Ok(Line::Other(line.to_owned()));
        }
        let start = line.len() - line.trim_start().len() + 1;
        let (name, hash) = entry.split_once(':').ok_or((start, LineError::NoColon))?;
        check_name(name).map_err(|what| (start, what))?;
        if self.contains(name) {
            return Err((start, LineError::Duplicate(name.into())));
        }
        let hash_start = start + name.chars().count() + 1;
        let hash = HashedPassword::parse(hash).map_err(|what| (hash_start, LineError::Hash(what)))?;
        Ok(Line::User { name: name.into(), hash })
    }

    /// Something about the file that its owner should know.
    #[must_use]
    pub fn warning(&self) -> Option<&Warning> {
        self.warning.as_ref()
    }

    /// The users and their hashes, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &HashedPassword)> {
        self.lines.iter().filter_map(|line| match line {
            Line::User { name, hash } => Some((&**name, hash)),
            Line::Other(_) => None,
        })
    }

    /// Whether there is a user of this name.
    #[must_use]
    pub fn contains(&self, user: &str) -> bool {
        self.entries().any(|(name, _)| name == user)
    }

    /// Sets the password of a user, who is added if absent. Says whether the user was there before.
    ///
    /// # Errors
    /// The name cannot be written in the file.
    pub fn set(&mut self, user: &str, new: HashedPassword) -> Result<bool, FileError> {
        check_name(user).map_err(FileError::Name)?;
        for line in &mut self.lines {
            if let Line::User { name, hash } = line
                && **name == *user
            {
                *hash = new;
                return Ok(true);
            }
        }
        self.lines.push(Line::User { name: user.into(), hash: new });
        Ok(false)
    }

    /// Removes a user. Says whether there was one.
    pub fn remove(&mut self, user: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| !matches!(line, Line::User { name, .. } if **name == *user));
        self.lines.len() < before
    }

    /// Replaces the file on disk, readable and writable by its owner only. After a failure the old file is intact.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self) -> Result<(), FileError> {
        let failed = |error| FileError::Write { path: self.path.clone(), error };
        // A link is followed, so that the file it names is replaced and not the link.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = target.with_file_name(name);
        let result = self.write_new(&new).and_then(|()| fs::rename(&new, &target));
        if result.is_err() {
            // The failure that is reported is the first one; a file that was never made need not be removed.
            let _ = fs::remove_file(&new);
        }
        result.map_err(failed)
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.write_all(self.to_string().as_bytes())?;
        file.sync_all()
    }
}

impl fmt::Display for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            match line {
                Line::Other(text) => writeln!(f, "{text}")?,
                Line::User { name, hash } => writeln!(f, "{name}:{hash}")?,
            }
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), LineError> {
    if name.is_empty() {
        return Err(LineError::NoName);
    }
    let unusable = name.contains(':') || name.chars().any(char::is_control);
    if unusable || name.starts_with('#') || name.trim() != name {
        return Err(LineError::NameUnusable(name.into()));
    }
    Ok(())
}

/// Why a password file is not usable. The text says where, what, and what to do.
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
    /// A name cannot be written in the file.
    Name(LineError),
}

impl FileError {
    fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.to_owned(), error }
    }

    fn line(path: &Path, line: usize, column: usize, what: LineError) -> Self {
        Self::Line { path: path.to_owned(), line, column, what }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => match error.kind() {
                io::ErrorKind::NotFound => write!(
                    f,
                    "{}: there is no such password file; `mynah passwd add` makes one",
                    path.display()
                ),
                io::ErrorKind::PermissionDenied => write!(
                    f,
                    "{}: no permission to read the password file; make it belong to the user that runs the broker",
                    path.display()
                ),
                _ => write!(f, "{}: cannot read the password file: {error}", path.display()),
            },
            Self::Write { path, error } => {
                write!(f, "{}: cannot replace the password file: {error}", path.display())
            }
            Self::Line { path, line, column, what } => {
                write!(f, "{}:{line}:{column}: {what}", path.display())
            }
            Self::Name(what) => what.fmt(f),
        }
    }
}

impl std::error::Error for FileError {}

/// What is wrong with a line of a password file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// There is no `:`.
    NoColon,
    /// There is no name before the `:`.
    NoName,
    /// The name would be read back as something else.
    NameUnusable(Box<str>),
    /// The name stands in an earlier line.
    Duplicate(Box<str>),
    /// What follows the `:` is no usable hash.
    Hash(PhcError),
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
            Self::Hash(what) => write!(f, "{what}; set the password again with `mynah passwd add`"),
        }
    }
}

/// Something about a password file that is not an error but should not stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    path: PathBuf,
    mode: u32,
}

impl Warning {
    #[cfg(unix)]
    fn of_mode(path: &Path) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
        (mode & 0o007 != 0).then(|| Self { path: path.to_owned(), mode })
    }

    #[cfg(not(unix))]
    fn of_mode(_path: &Path) -> Option<Self> {
        None
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, mode) = (self.path.display(), self.mode);
        write!(
            f,
            "{path}: every user of this machine can open the password file (mode {mode:03o}); run `chmod 600 {path}`"
        )
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
pub(crate) mod tests;
