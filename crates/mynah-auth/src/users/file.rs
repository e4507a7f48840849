//! The users file: one user in a line, with comments (`#`) and blank lines, which survive a rewrite. A file is replaced
//! as a whole or not at all, and by one program at a time.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::{FileError, LineError, Warning};
use super::name::{folded, prepared};
use super::user::User;
use crate::credential::{from_base64, random, to_base64};

/// How the line begins that has the key of the salts of users who do not exist.
const KEY_PREFIX: &str = ":key=";

/// A users file in memory. Changes reach the disk with [`UsersFile::edit`].
#[derive(Debug)]
pub struct UsersFile {
    path: PathBuf,
    lines: Vec<Line>,
    /// The line of each user.
    index: HashMap<Key, usize>,
    /// The name of each user, by what it folds to.
    folds: HashMap<Key, Box<str>>,
    warnings: Vec<Warning>,
}

/// A tenant and a name in it.
type Key = (Option<Box<str>>, Box<str>);

enum Line {
    /// A comment or a blank line, kept as it is.
    Other(String),
    /// What salts of users who do not exist are made of, so that they stay the same.
    Key([u8; 32]),
    User(Box<User>),
}

impl fmt::Debug for Line {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text) => f.debug_tuple("Other").field(text).finish(),
            Self::Key(_) => f.write_str("Key"),
            Self::User(user) => f.debug_tuple("User").field(user).finish(),
        }
    }
}

impl UsersFile {
    /// An empty file that does not exist on disk.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            lines: Vec::new(),
            index: HashMap::new(),
            folds: HashMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or a line is wrong; the message says where and what to do.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let text = fs::read_to_string(path).map_err(|error| FileError::read(path, error))?;
        let mut file = Self::new(path);
        file.warnings.extend(Warning::of_mode(path));
        for (index, line) in text.lines().enumerate() {
            file.take_line(line).map_err(|(column, what)| FileError::line(path, index + 1, column, what))?;
        }
        Ok(file)
    }

    /// Changes the file at `path`, which need not exist: reads it, lets `change` work on it, and replaces it, readable and
    /// writable by its owner only. Nobody else changes it meanwhile. After a failure the old file is intact.
    ///
    /// # Errors
    /// The file cannot be read or replaced, a line is wrong, or `change` failed.
    pub fn edit<T, E: From<FileError>>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        // A link is followed, so that the file it names is replaced and not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let failed = |error| FileError::Write { path: path.to_owned(), error };
        // The folder is locked, because the file is another one after each change.
        let folder =
            target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let lock = fs::File::open(folder).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut file = if target.exists() { Self::open(path)? } else { Self::new(path) };
        let result = change(&mut file)?;
        file.save(&target).and_then(|()| lock.sync_all()).map_err(failed)?;
        Ok(result)
    }

    fn take_line(&mut self, line: &str) -> Result<(), (usize, LineError)> {
        let entry = line.trim();
        let line = if entry.is_empty() || entry.starts_with('#') {
            Line::Other(line.to_owned())
        } else if let Some(key) = entry.strip_prefix(KEY_PREFIX) {
            let key = from_base64(key).and_then(|key| key.as_ref().try_into().ok());
            Line::Key(key.ok_or((1, LineError::Unknown))?)
        } else {
            let start = line.len() - line.trim_start().len() + 1;
            let (name, fields) = entry.split_once(':').ok_or((start, LineError::NoColon))?;
            check_name(name).map_err(|what| (start, what))?;
            let behind = start + name.chars().count() + 1;
            let user = User::parse(name, fields).map_err(|(column, what)| (behind + column, what))?;
            if self.index.contains_key(&key_of(&user)) {
                return Err((start, LineError::Duplicate(name.into())));
            }
            self.push(user);
            return Ok(());
        };
        self.lines.push(line);
        Ok(())
    }

    fn push(&mut self, user: User) {
        self.index.insert(key_of(&user), self.lines.len());
        if let Some(fold) = fold_of(&user)
            && let Some(other) = self.folds.insert(fold, user.name.clone())
        {
            let (path, one) = (self.path.clone(), user.name.clone());
            self.warnings.push(Warning::Folds { path, one, other });
        }
        self.lines.push(Line::User(Box::new(user)));
    }

    /// What about the file its owner should know.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The users, in the order of the file.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        users(&self.lines)
    }

    /// What salts of users who do not exist are made of, if the file has it.
    pub(crate) fn key(&self) -> Option<&[u8; 32]> {
        self.lines.iter().find_map(|line| match line {
            Line::Key(key) => Some(key),
            Line::Other(_) | Line::User(_) => None,
        })
    }

    /// A user of a tenant, which is none for the tenant `default`.
    #[must_use]
    pub fn user(&self, tenant: Option<&str>, name: &str) -> Option<&User> {
        match self.lines.get(*self.index.get(&(tenant.map(Into::into), prepared(name)?.as_ref().into()))?) {
            Some(Line::User(user)) => Some(user),
            _ => None,
        }
    }

    /// A user of a tenant, to be changed. Its name and tenant have to stay.
    ///
    /// # Errors
    /// There is no such user.
    pub fn user_mut(&mut self, tenant: Option<&str>, name: &str) -> Result<&mut User, FileError> {
        let unknown = || FileError::Unknown { path: self.path.clone(), user: name.into() };
        let key = prepared(name).map(|name| (tenant.map(Into::into), Box::from(&*name)));
        let place = key.and_then(|key| self.index.get(&key).copied()).ok_or_else(unknown)?;
        match self.lines.get_mut(place) {
            Some(Line::User(user)) => Ok(user),
            _ => Err(FileError::Unknown { path: self.path.clone(), user: name.into() }),
        }
    }

    /// Adds a user.
    ///
    /// # Errors
    /// The name cannot be written in the file, is there already, or folds together with one that is there (in a JID
    /// they would be one: XEP-0106, RFC 7622).
    pub fn add(&mut self, user: User) -> Result<(), FileError> {
        let name = &user.name;
        check_name(name).map_err(FileError::User)?;
        let unusable = || FileError::User(LineError::NameUnusable(name.clone()));
        let is_prepared = prepared(name).is_some_and(|prepared| *prepared == **name);
        let fold = fold_of(&user).filter(|_| is_prepared).ok_or_else(unusable)?;
        let what = if self.index.contains_key(&key_of(&user)) {
            LineError::Duplicate(name.clone())
        } else if let Some(other) = self.folds.get(&fold) {
            LineError::Folds { name: name.clone(), other: other.clone() }
        } else {
            self.push(user);
            return Ok(());
        };
        Err(FileError::User(what))
    }

    /// Removes a user.
    ///
    /// # Errors
    /// There is no such user.
    pub fn remove(&mut self, tenant: Option<&str>, name: &str) -> Result<(), FileError> {
        let user = self.user_mut(tenant, name)?;
        let (key, fold) = (key_of(user), fold_of(user));
        if let Some(fold) = fold {
            self.folds.remove(&fold);
        }
        let Some(place) = self.index.remove(&key) else { return Ok(()) };
        self.lines.remove(place);
        self.index.values_mut().filter(|other| **other > place).for_each(|other| *other -= 1);
        Ok(())
    }

    fn save(&mut self, target: &Path) -> io::Result<()> {
        if self.key().is_none() {
            let key = random().map_err(io::Error::other)?;
            self.lines.insert(0, Line::Key(key));
            self.index.values_mut().for_each(|place| *place += 1);
        }
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = target.with_file_name(name);
        let result = self.write_new(&new).and_then(|()| fs::rename(&new, target));
        if result.is_err() {
            // The failure that is reported is the first one; a file that was never made need not be removed.
            let _ = fs::remove_file(&new);
        }
        result
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

fn users(lines: &[Line]) -> impl Iterator<Item = &User> {
    lines.iter().filter_map(|line| match line {
        Line::User(user) => Some(&**user),
        Line::Other(_) | Line::Key(_) => None,
    })
}

fn key_of(user: &User) -> Key {
    (user.tenant.clone(), user.name.clone())
}

fn fold_of(user: &User) -> Option<Key> {
    Some((user.tenant.clone(), folded(&user.name)?.into()))
}

impl fmt::Display for UsersFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            match line {
                Line::Other(text) => writeln!(f, "{text}")?,
                Line::Key(key) => writeln!(f, "{KEY_PREFIX}{}", to_base64(key))?,
                Line::User(user) => writeln!(f, "{user}")?,
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

#[cfg(test)]
#[path = "file_tests.rs"]
pub(crate) mod tests;
