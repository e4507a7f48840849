//! The disk of this machine. What is synced, renamed and removed goes through the C library by way of `std`, where a
//! preloaded library of a test can see it; what `std` does not have, by way of `rustix`, which a test builds to go there.

use core::any::Any;
use core::num::NonZeroU64;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Disk, DiskFile};

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(here_if_empty(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is not one of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(file)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().read(true).write(true).open(file)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(here_if_empty(folder))?.sync_all()
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let room = rustix::fs::statvfs(folder)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(file)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// What stands above a relative name of one part is the folder of the process.
fn here_if_empty(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Bytes of the largest page that is common; of a smaller one a little more stays.
const PAGE_BYTES: u64 = 64 << 10;

/// Bytes that every system reads ahead on demand.
const EXPECTED_BYTES: u64 = 128 << 10;

/// Parts of one write that every system takes.
const PARTS_MAX: usize = 1024;

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn write_parts_at(&self, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
        for parts in parts.chunks(PARTS_MAX) {
            let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let mut left = &mut slices[..];
            // Parts without bytes go first: what is written of nothing says nothing.
            IoSlice::advance_slices(&mut left, 0);
            while !left.is_empty() {
                match rustix::io::pwritev(&self.0, left, offset) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => {
                        offset += count as u64;
                        IoSlice::advance_slices(&mut left, count);
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            // Some file systems know no such thing: then a lack of room is seen when it is written to.
            Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::NOSYS) => self.0.set_len(bytes),
            outcome => Ok(outcome?),
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn forget(&self, from: u64, to: u64) {
        // A page of which a part is not synced yet stays.
        let (from, to) = (from & !(PAGE_BYTES - 1), to & !(PAGE_BYTES - 1));
        if let Some(bytes) = to.checked_sub(from).and_then(NonZeroU64::new) {
            // Advice that is not taken costs memory and nothing else.
            let _ = rustix::fs::fadvise(&self.0, from, Some(bytes), rustix::fs::Advice::DontNeed);
        }
    }

    fn expect(&self, from: u64, to: u64) {
        let mut at = from;
        while at < to {
            // The system takes no more at a time.
            let next = to.min(at + EXPECTED_BYTES);
            let bytes = NonZeroU64::new(next - at);
            // As above.
            let _ = rustix::fs::fadvise(&self.0, at, bytes, rustix::fs::Advice::WillNeed);
            at = next;
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn files_are_made_written_read_renamed_and_removed() {
        let folder = Folder::new("disk");
        let disk = RealDisk;
        let (inner, path) = (folder.path().join("a/b"), folder.path().join("a/b/one"));
        assert!(disk.list(&inner).unwrap().is_empty());
        disk.create_folder(&inner).unwrap();
        let file = disk.create(&path).unwrap();
        assert!(disk.create(&path).is_err());
        file.allocate(4096).unwrap();
        file.write_parts_at(&[b"hel", b"", b"lo"], 10).unwrap();
        file.sync().unwrap();
        file.truncate(100).unwrap();
        assert_eq!(file.bytes().unwrap(), 100);
        disk.rename(&path, &inner.join("two")).unwrap();
        disk.sync_folder(&inner).unwrap();
        assert_eq!(disk.list(&inner).unwrap(), ["two"]);
        let mut read = [0; 200];
        let count = crate::disk::read_full(&*disk.open(&inner.join("two")).unwrap(), &mut read, 10).unwrap();
        assert_eq!((count, &read[..5]), (90, &b"hello"[..]));
        let file = disk.open(&inner.join("two")).unwrap();
        file.write_parts_at(&[&b"ab"[..]; 3000], 7).unwrap();
        assert_eq!(file.bytes().unwrap(), 6007);
        disk.remove(&inner.join("two")).unwrap();
        assert!(disk.free_bytes(&inner).unwrap() > 0);
    }

    #[test]
    fn a_lock_is_had_once() {
        let folder = Folder::new("lock");
        let path = folder.path().join("lock");
        let held = RealDisk.lock(&path).unwrap();
        assert!(held.is_some());
        assert!(RealDisk.lock(&path).unwrap().is_none());
        drop(held);
        assert!(RealDisk.lock(&path).unwrap().is_some());
    }
}
