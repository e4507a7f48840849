//! `mosquitto.conf` as lines of option and value, those of `include_dir` in their place, sorted by what they are about:
//! the broker, a listener or a bridge. Which option is about what is in mosquitto.conf(5).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::notes::{Note, Place};
use super::options::{self, Scope};
use crate::complaint::Complaint;

/// An option and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) place: Place,
    /// The folder that files are named from: that of the main file.
    folder: Arc<Path>,
    pub(super) key: String,
    pub(super) value: String,
}

impl Line {
    /// The line as something that could not be translated.
    pub(super) fn note(&self, why: impl Into<String>) -> Note {
        Note::new(&self.place, self.key.as_str(), why)
    }

    pub(super) fn is_true(&self) -> bool {
        self.value == "true" || self.value == "1"
    }

    /// A file that the value names.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.value)
    }
}

/// The lines about one listener or one bridge, or about the broker.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// The line that begins it; none for the default listener and for the broker.
    pub(super) head: Option<Line>,
    pub(super) lines: Vec<Line>,
}

impl Section {
    fn new(head: Line) -> Self {
        Self { head: Some(head), lines: Vec::new() }
    }

    /// The line that counts for an option: the last.
    pub(super) fn get(&self, key: &str) -> Option<&Line> {
        self.lines.iter().rev().find(|line| line.key == key)
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        self.get(key).is_some_and(Line::is_true)
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(|line| line.value.as_str())
    }
}

/// The whole configuration.
#[derive(Debug, Default)]
pub(super) struct Conf {
    pub(super) broker: Section,
    pub(super) listeners: Vec<Section>,
    pub(super) bridges: Vec<Section>,
    pub(super) per_listener: bool,
    /// Whether nothing says where to listen: then only this machine is served.
    pub(super) is_local: bool,
}

impl Conf {
    /// An option of authentication that holds at a listener.
    pub(super) fn security<'c>(&'c self, listener: &'c Section, key: &str) -> Option<&'c Line> {
        let section = if self.per_listener { listener } else { &self.broker };
        section.get(key)
    }

    pub(super) fn allows_anonymous(&self, listener: &Section) -> bool {
        self.security(listener, "allow_anonymous").map_or(self.is_local, Line::is_true)
    }
}

/// Reads a configuration, and notes the options that have no counterpart.
pub(super) fn read(path: &Path, notes: &mut Vec<Note>) -> Result<Conf, Complaint> {
    let folder: Arc<Path> = path.parent().unwrap_or(Path::new("")).into();
    let mut lines = Vec::new();
    for line in lines_of(path, &folder)? {
        if line.key == "include_dir" {
            for path in included(&line.path())? {
                lines.extend(lines_of(&path, &folder)?);
            }
        } else {
            lines.push(line);
        }
    }
    Ok(sorted(lines, notes))
}

fn lines_of(path: &Path, folder: &Arc<Path>) -> Result<Vec<Line>, Complaint> {
    let text = fs::read_to_string(path).map_err(|error| Complaint::File { path: path.to_owned(), error })?;
    Ok(parse(path, folder, &text))
}

pub(super) fn parse(path: &Path, folder: &Arc<Path>, text: &str) -> Vec<Line> {
    let path: Arc<Path> = path.into();
    let line = |(at, line): (usize, &str)| {
        let line = line.trim();
        let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let place = Place { path: Arc::clone(&path), line: at + 1 };
        Line { place, folder: Arc::clone(folder), key: key.to_owned(), value: value.trim_start().to_owned() }
    };
    text.lines()
        .enumerate()
        .map(line)
        .filter(|line| !line.key.is_empty() && !line.key.starts_with('#'))
        .collect()
}

/// The files of a folder in the order in which Mosquitto reads them: upper case before the lower case of the same letter.
fn included(folder: &Path) -> Result<Vec<PathBuf>, Complaint> {
    let wrong = |error| Complaint::File { path: folder.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|extension| extension == "conf") {
            paths.push(path);
        }
    }
    paths.sort_by_cached_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name.to_lowercase(), name)
    });
    Ok(paths)
}

/// Puts each line into the section that it is about.
pub(super) fn sorted(lines: Vec<Line>, notes: &mut Vec<Note>) -> Conf {
    let mut conf = Conf { is_local: true, ..Conf::default() };
    let mut default = Section::default();
    for line in lines {
        let Some(option) = options::find(&line.key) else {
            notes.push(line.note("no option of Mosquitto 2.0 that is known here"));
            continue;
        };
        if let Some(why) = option.untranslated {
            notes.push(line.note(why));
        }
        conf.is_local &= !matches!(&*line.key, "listener" | "port" | "bind_address");
        match (&*line.key, option.scope) {
            ("per_listener_settings", _) => conf.per_listener = line.is_true(),
            ("listener", _) => conf.listeners.push(Section::new(line)),
            ("connection", _) => conf.bridges.push(Section::new(line)),
            (_, Scope::Bridge) => match conf.bridges.last_mut() {
                Some(bridge) => bridge.lines.push(line),
                None => notes.push(line.note("stands before any `connection`")),
            },
            (_, Scope::Security) if !conf.per_listener => conf.broker.lines.push(line),
            (_, Scope::Listener | Scope::Security) => {
                conf.listeners.last_mut().unwrap_or(&mut default).lines.push(line);
            }
            (_, Scope::Broker) => conf.broker.lines.push(line),
        }
    }
    // Mosquitto starts its default listener if there is no other, or if anything but these is said of it.
    let says = |line: &Line| !matches!(&*line.key, "acl_file" | "allow_anonymous" | "max_topic_alias");
    if conf.listeners.is_empty() || default.lines.iter().any(says) {
        conf.listeners.insert(0, default);
    }
    conf
}
