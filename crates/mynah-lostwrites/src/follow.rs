//! What is noted before each change. One lock is held over the note and the change, so that the notes are in the order
//! of the changes; a sync is not held up by it.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::raw::c_int;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use mynah_crash::undo::{FAIL_SYNC, FOLDER, IGNORE_SYNC, LOG, PINS, Record, SIDE};

use crate::system::{self, Status};

/// Where this library writes its notes.
pub(crate) struct Follower {
    folder: PathBuf,
    pins: PathBuf,
    log: c_int,
    pub(crate) ignores_sync: bool,
    fails_sync: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pinned: HashSet<u64>,
    tickets: u64,
    buffer: Vec<u8>,
}

/// The follower, if the environment asks for one.
pub(crate) fn follower() -> Option<&'static Follower> {
    static FOLLOWER: OnceLock<Option<Follower>> = OnceLock::new();
    FOLLOWER.get_or_init(Follower::from_environment).as_ref()
}

impl Follower {
    fn from_environment() -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os(FOLDER)?);
        let side = PathBuf::from(std::env::var_os(SIDE)?);
        let log = system::c_path(side.join(LOG))?;
        let Some(log) = system::open(&log, libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND) else {
            die("the folder of LOSTWRITES_SIDE cannot be written to");
        };
        let ignores_sync = std::env::var_os(IGNORE_SYNC).is_some();
        let fails_sync = std::env::var_os(FAIL_SYNC).map(PathBuf::from);
        Some(Self { folder, pins: side.join(PINS), log, ignores_sync, fails_sync, state: Mutex::default() })
    }

    /// An open file or folder that is followed.
    pub(crate) fn opened(&self, fd: c_int) -> Option<Status> {
        let status = system::status_of(fd).filter(|status| status.is_file || status.is_folder)?;
        system::path_of(fd).is_some_and(|path| path.starts_with(&self.folder)).then_some(status)
    }

    /// The absolute path that is meant, if it is followed.
    pub(crate) fn named(&self, fd: c_int, path: &CStr) -> Option<PathBuf> {
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        let path = if path.is_absolute() {
            path.to_owned()
        } else if fd == libc::AT_FDCWD {
            system::working_folder()?.join(path)
        } else {
            system::path_of(fd)?.join(path)
        };
        let mut plain = PathBuf::new();
        for component in path.components() {
            match component {
                Component::ParentDir => drop(plain.pop()),
                Component::CurDir => {}
                other => plain.push(other),
            }
        }
        (plain.starts_with(&self.folder) && plain != self.folder).then_some(plain)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, state: &mut State, record: &Record<'_>) {
        state.buffer.clear();
        record.encode(&mut state.buffer);
        if !system::append(self.log, &state.buffer) {
            die("a note cannot be written");
        }
    }

    /// Keeps a link to a file, so that it can be restored and its inode is not given to another one.
    fn pin(&self, state: &mut State, inode: u64, from: &CStr, flags: c_int) {
        if state.pinned.insert(inode)
            && let Some(to) = system::c_path(self.pins.join(inode.to_string()))
            && !system::link(from, &to, flags)
            && system::status_at(&to).is_none()
        {
            die("no link can be made to a file: is the folder of LOSTWRITES_SIDE on another file system?");
        }
    }

    /// A change of the bytes from `offset` on of an open file.
    pub(crate) fn change<T>(
        &self,
        fd: c_int,
        offset: impl FnOnce(&Status) -> u64,
        bytes: u64,
        change: impl FnOnce() -> T,
    ) -> T {
        let mut state = self.lock();
        // As it is now that nobody else changes it.
        if let Some(status) = system::status_of(fd) {
            self.note_change(&mut state, fd, &status, offset(&status), bytes);
        }
        change()
    }

    fn note_change(&self, state: &mut State, fd: c_int, status: &Status, offset: u64, bytes: u64) {
        let Ok(path) = CString::new(format!("/proc/self/fd/{fd}")) else { return };
        self.pin(state, status.inode, &path, libc::AT_SYMLINK_FOLLOW);
        let there = status.size.saturating_sub(offset).min(bytes);
        let there = usize::try_from(there).unwrap_or(0);
        // A descriptor for writing only reads nothing.
        let reader = if there > 0 { system::open(&path, libc::O_RDONLY) } else { None };
        let old = reader.map(|fd| system::read_at(fd, offset, there)).unwrap_or_default();
        if let Some(fd) = reader {
            system::close(fd);
        }
        let (inode, size) = (status.inode, status.size);
        self.note(state, &Record::Range { inode, offset, bytes, size, old: &old });
    }

    /// A write at the place where the descriptor is.
    pub(crate) fn write(&self, fd: c_int, bytes: usize, write: impl FnOnce() -> isize) -> isize {
        let flags = system::flags(fd);
        let offset = |status: &Status| {
            if flags & libc::O_APPEND == 0 { system::position(fd) } else { status.size }
        };
        self.change(fd, offset, bytes as u64, write)
    }

    /// Another length. What is cut off is noted.
    pub(crate) fn resize(&self, fd: c_int, size: u64, change: impl FnOnce() -> c_int) -> c_int {
        let old = system::status_of(fd).map_or(0, |status| status.size);
        self.change(fd, |status| size.min(status.size), old.saturating_sub(size), change)
    }

    /// An open that may make or empty a file.
    pub(crate) fn open(&self, path: &Path, flags: c_int, open: impl FnOnce() -> c_int) -> c_int {
        if flags & (libc::O_DSYNC | libc::O_DIRECT) != 0 {
            self.unfollowed("a file was opened with O_DSYNC, O_SYNC or O_DIRECT");
        }
        let Some(name) = system::c_path(path.to_owned()) else { return open() };
        let mut state = self.lock();
        let before = system::status_at(&name);
        if let Some(status) = before
            && flags & libc::O_TRUNC != 0
            && status.is_file
            && let Some(fd) = system::open(&name, libc::O_RDONLY)
        {
            self.note_change(&mut state, fd, &status, 0, status.size);
            system::close(fd);
        }
        let fd = open();
        if before.is_none() && fd >= 0 {
            self.note_made(&mut state, path, &name);
        }
        fd
    }

    fn note_made(&self, state: &mut State, path: &Path, name: &CStr) {
        if let Some(status) = system::status_at(name).filter(|status| status.is_file) {
            let (inode, folder) = (status.inode, parent(path));
            self.note(state, &Record::Made { inode, folder, path: bytes(path) });
            self.pin(state, inode, name, 0);
        }
    }

    /// A second name for a file.
    pub(crate) fn link(&self, path: &Path, link: impl FnOnce() -> c_int) -> c_int {
        let mut state = self.lock();
        let result = link();
        if result == 0
            && let Some(name) = system::c_path(path.to_owned())
        {
            self.note_made(&mut state, path, &name);
        }
        result
    }

    /// The end of a name.
    pub(crate) fn remove(&self, path: &Path, remove: impl FnOnce() -> c_int) -> c_int {
        let mut state = self.lock();
        if let Some((name, status)) = there(path) {
            let folder = parent(path);
            if status.is_folder {
                self.note(&mut state, &Record::FolderRemoved { folder, path: bytes(path) });
            } else {
                self.pin(&mut state, status.inode, &name, 0);
                self.note(&mut state, &Record::Removed { inode: status.inode, folder, path: bytes(path) });
            }
        }
        remove()
    }

    /// Another name.
    pub(crate) fn rename(&self, from: &Path, to: &Path, rename: impl FnOnce() -> c_int) -> c_int {
        let mut state = self.lock();
        if let Some((name, moved)) = there(from) {
            let replaced = there(to).filter(|(_, status)| status.is_file);
            if let Some((name, status)) = &replaced {
                self.pin(&mut state, status.inode, name, 0);
            }
            if moved.is_file {
                self.pin(&mut state, moved.inode, &name, 0);
            }
            let replaced = replaced.map_or(0, |(_, status)| status.inode);
            let (inode, folder) = (moved.inode, parent(to));
            let record = Record::Renamed { inode, folder, replaced, from: bytes(from), to: bytes(to) };
            self.note(&mut state, &record);
        }
        rename()
    }

    /// A new folder.
    pub(crate) fn make_folder(&self, path: &Path, make: impl FnOnce() -> c_int) -> c_int {
        let mut state = self.lock();
        let is_there = system::c_path(path.to_owned()).is_none_or(|name| system::status_at(&name).is_some());
        if !is_there {
            self.note(&mut state, &Record::FolderMade { folder: parent(path), path: bytes(path) });
        }
        make()
    }

    /// A sync: what was noted before it begins is safe once it has succeeded.
    pub(crate) fn sync(&self, inode: u64, sync: impl FnOnce() -> c_int) -> c_int {
        if self.ignores_sync {
            return 0;
        }
        if self.fails_sync.as_ref().is_some_and(|file| file.exists()) {
            return system::fail(libc::EIO) as c_int;
        }
        let ticket = {
            let mut state = self.lock();
            state.tickets += 1;
            let ticket = state.tickets;
            self.note(&mut state, &Record::SyncBegins { ticket, inode });
            ticket
        };
        let result = sync();
        if result == 0 {
            self.note(&mut self.lock(), &Record::SyncEnds { ticket });
        }
        result
    }

    /// Something that cannot be undone. Whoever undoes refuses to when he reads this.
    pub(crate) fn unfollowed(&self, what: &str) {
        self.note(&mut self.lock(), &Record::Unfollowed { what: what.as_bytes() });
    }
}

/// What has a name, with the name as the kernel understands it.
fn there(path: &Path) -> Option<(CString, Status)> {
    let name = system::c_path(path.to_owned())?;
    let status = system::status_at(&name)?;
    Some((name, status))
}

/// The inode of the folder that a name is in.
fn parent(path: &Path) -> u64 {
    let folder = path.parent().and_then(|folder| system::c_path(folder.to_owned()));
    folder.and_then(|folder| system::status_at(&folder)).map_or(0, |status| status.inode)
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Without notes the run would prove nothing.
fn die(why: &str) -> ! {
    system::append(libc::STDERR_FILENO, format!("mynah-lostwrites: {why}\n").as_bytes());
    std::process::abort()
}
