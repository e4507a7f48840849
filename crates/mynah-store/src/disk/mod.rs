//! Files, behind a trait: what tests replace by a disk that drops, reorders, tears and fails writes.

mod real;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulated;

use core::any::Any;
use core::fmt::Debug;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

pub use real::RealDisk;

/// Where files are.
pub trait Disk: Debug + Send + Sync {
    /// Makes a folder and those above it, unless they are there. Each lasting after [`Disk::sync_folder`] of the one
    /// above it.
    ///
    /// # Errors
    /// What the system says.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Names of the files in a folder, sorted; none if there is no such folder.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes a file that was not there. Lasting after [`Disk::sync_folder`].
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there, to read and to write.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file or folder another name. Lasting after [`Disk::sync_folder`] of both folders.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Lasting after [`Disk::sync_folder`].
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, file: &Path) -> io::Result<()>;

    /// Makes the names in a folder last.
    ///
    /// # Errors
    /// What the system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Bytes that are free where `folder` is.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;

    /// Keeps other processes out for as long as the value lives; none if another process has it.
    ///
    /// # Errors
    /// What the system says.
    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Reads some bytes at a place; none at the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes at a place. Lasting after [`DiskFile::sync`].
    ///
    /// # Errors
    /// What the system says. Some of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all bytes of all parts, one after the other, at a place. Lasting after [`DiskFile::sync`].
    ///
    /// # Errors
    /// What the system says. Some of the bytes may have been written.
    fn write_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.write_at(&parts.concat(), offset)
    }

    /// Makes what was written last.
    ///
    /// # Errors
    /// What the system says. Nothing is known then of what was written since the last success.
    fn sync(&self) -> io::Result<()>;

    /// Takes room for so many bytes, which read as zeros. The file becomes that long.
    ///
    /// # Errors
    /// What the system says.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Makes the file shorter.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// What stands from `from` to `to`, and is synced, is not read again soon: the system need not keep it in memory.
    fn forget(&self, from: u64, to: u64) {
        let _ = (from, to);
    }

    /// What stands from `from` to `to` is read in a moment: the system may begin to read it.
    fn expect(&self, from: u64, to: u64) {
        let _ = (from, to);
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// What the system says.
    fn bytes(&self) -> io::Result<u64>;
}

/// Reads until `bytes` is full or the file ends. Returns how many there were.
pub(crate) fn read_full(file: &dyn DiskFile, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Makes a folder that outlives the machine, with those above it that are not there.
pub(crate) fn create_folder(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    let mut made = Vec::new();
    for path in folder.ancestors() {
        let (Some(above), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
            break;
        };
        // A folder that cannot be looked into was not made here.
        if disk.list(above).map_or(true, |names| names.iter().any(|other| other == name)) {
            break;
        }
        made.push(above);
    }
    disk.create_folder(folder)?;
    let Some(above) = folder.parent() else { return Ok(()) };
    if made.is_empty() {
        // It may have been made by a run that ended before it synced. A folder above that belongs to somebody else
        // need not let itself be synced.
        return match disk.sync_folder(above) {
            Err(error) if is_refusal(&error) => Ok(()),
            outcome => outcome,
        };
    }
    made.into_iter().try_for_each(|above| disk.sync_folder(above))
}

/// Whether a folder does not let itself be synced by who asks, or not at all.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported)
}
