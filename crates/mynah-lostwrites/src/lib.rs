//! A library to be preloaded (`LD_PRELOAD`) into a program on 64-bit Linux: it stands in for the functions of libc that
//! change files and folders, and notes for those below `LOSTWRITES_FOLDER` what each change replaces. After the program
//! was killed, `mynah_crash::undo` puts back what had not been synced. Nothing of this is ever shipped.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod follow;
mod system;

use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_uint, c_void};

use libc::{iovec, mode_t, off_t, size_t, ssize_t};

use crate::follow::{Follower, follower};

/// The path that a caller hands over.
///
/// # Safety
/// It ends in NUL and outlives the call, as libc demands too.
unsafe fn path<'a>(path: *const c_char) -> &'a CStr {
    // SAFETY: the caller says so.
    unsafe { CStr::from_ptr(path) }
}

/// The follower, if it follows this file.
fn file(fd: c_int) -> Option<&'static Follower> {
    follower().filter(|follower| follower.opened(fd).is_some_and(|status| status.is_file))
}

fn open_file(fd: c_int, name: &CStr, flags: c_int, mode: mode_t) -> c_int {
    let open = || system::open_at(fd, name, flags, mode);
    let changes = libc::O_CREAT | libc::O_TRUNC | libc::O_DSYNC | libc::O_DIRECT;
    match follower() {
        Some(follower) if flags & changes != 0 => match follower.named(fd, name) {
            Some(path) => follower.open(&path, flags, open),
            None => open(),
        },
        _ => open(),
    }
}

/// Defines functions of libc that do the same under two names: with 64 bits for offsets, they are one.
macro_rules! both {
    ($($(#[$doc:meta])* $name:ident, $name64:ident = ($($argument:ident: $kind:ty),*) -> $result:ty $body:block)*) => {$(
        $(#[$doc])*
        // SAFETY: the name and the signature are libc's, variadic arguments passed as Linux passes them.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> $result $body

        /// The same.
        ///
        /// # Safety
        /// The same.
        // SAFETY: as above.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name64($($argument: $kind),*) -> $result {
            // SAFETY: the caller keeps the same promise.
            unsafe { $name($($argument),*) }
        }
    )*};
}

/// Defines functions of libc.
macro_rules! one {
    ($($(#[$doc:meta])* $name:ident = ($($argument:ident: $kind:ty),*) -> $result:ty $body:block)*) => {$(
        $(#[$doc])*
        // SAFETY: the name and the signature are libc's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> $result $body
    )*};
}

both! {
    /// open(2)
    ///
    /// # Safety
    /// That of libc.
    open, open64 = (name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        // SAFETY: libc demands a path.
        open_file(libc::AT_FDCWD, unsafe { path(name) }, flags, mode)
    }

    /// openat(2)
    ///
    /// # Safety
    /// That of libc.
    openat, openat64 = (fd: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        // SAFETY: libc demands a path.
        open_file(fd, unsafe { path(name) }, flags, mode)
    }

    /// creat(2)
    ///
    /// # Safety
    /// That of libc.
    creat, creat64 = (name: *const c_char, mode: mode_t) -> c_int {
        let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        // SAFETY: libc demands a path.
        open_file(libc::AT_FDCWD, unsafe { path(name) }, flags, mode)
    }

    /// pwrite(2)
    ///
    /// # Safety
    /// That of libc.
    pwrite, pwrite64 = (fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
        let write = || system::write_at(fd, bytes, count, at);
        match (file(fd), u64::try_from(at)) {
            (Some(follower), Ok(at)) => follower.change(fd, |_| at, count as u64, write),
            _ => write(),
        }
    }

    /// pwritev(2)
    ///
    /// # Safety
    /// That of libc.
    pwritev, pwritev64 = (fd: c_int, buffers: *const iovec, count: c_int, at: off_t) -> ssize_t {
        let write = || system::write_all_of_at(fd, buffers, count, at);
        match (file(fd), u64::try_from(at)) {
            (Some(follower), Ok(at)) => {
                // SAFETY: libc demands so many buffers.
                let bytes = unsafe { system::total(buffers, count) };
                follower.change(fd, |_| at, bytes as u64, write)
            }
            _ => write(),
        }
    }

    /// ftruncate(2)
    ///
    /// # Safety
    /// That of libc.
    ftruncate, ftruncate64 = (fd: c_int, size: off_t) -> c_int {
        let change = || system::call(libc::SYS_ftruncate, [fd.into(), size, 0, 0]);
        match (file(fd), u64::try_from(size)) {
            (Some(follower), Ok(size)) => follower.resize(fd, size, change),
            _ => change(),
        }
    }

    /// fallocate(2)
    ///
    /// # Safety
    /// That of libc.
    fallocate, fallocate64 = (fd: c_int, mode: c_int, at: off_t, bytes: off_t) -> c_int {
        let change = || system::call(libc::SYS_fallocate, [fd.into(), mode.into(), at, bytes]);
        let Some(follower) = file(fd) else { return change() };
        if mode & !libc::FALLOC_FL_KEEP_SIZE == 0 {
            // No byte changes but those behind the end.
            follower.change(fd, |status| status.size, 0, change)
        } else {
            follower.unfollowed("fallocate with a hole or a shift");
            change()
        }
    }

    /// posix_fallocate(3)
    ///
    /// # Safety
    /// That of libc.
    posix_fallocate, posix_fallocate64 = (fd: c_int, at: off_t, bytes: off_t) -> c_int {
        // SAFETY: the function above has no further conditions.
        if unsafe { fallocate(fd, 0, at, bytes) } == 0 {
            return 0;
        }
        std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
    }

    /// mmap(2). What is written through a shared mapping is seen by nobody.
    ///
    /// # Safety
    /// That of libc.
    mmap, mmap64 = (to: *mut c_void, bytes: size_t, protection: c_int, flags: c_int, fd: c_int, at: off_t) -> *mut c_void {
        let is_written = flags & libc::MAP_SHARED != 0 && protection & libc::PROT_WRITE != 0;
        if is_written && fd >= 0 && let Some(follower) = file(fd) {
            follower.unfollowed("a file was mapped to be written to");
        }
        system::map(to, bytes, (protection, flags), fd, at)
    }

    /// sendfile(2), refused for files that are followed: the callers then read and write.
    ///
    /// # Safety
    /// That of libc.
    sendfile, sendfile64 = (to: c_int, from: c_int, at: *mut off_t, count: size_t) -> ssize_t {
        if file(to).is_some() {
            return system::fail(libc::EINVAL);
        }
        // SAFETY: the caller keeps libc's promise.
        unsafe { libc::syscall(libc::SYS_sendfile, to, from, at, count) as ssize_t }
    }
}

one! {
    /// write(2)
    ///
    /// # Safety
    /// That of libc.
    write = (fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
        let write = || system::write(fd, bytes, count);
        file(fd).map_or_else(write, |follower| follower.write(fd, count, write))
    }

    /// writev(2)
    ///
    /// # Safety
    /// That of libc.
    writev = (fd: c_int, buffers: *const iovec, count: c_int) -> ssize_t {
        let write = || system::write_all_of(fd, buffers, count);
        let Some(follower) = file(fd) else { return write() };
        // SAFETY: libc demands so many buffers.
        let bytes = unsafe { system::total(buffers, count) };
        follower.write(fd, bytes, write)
    }

    /// copy_file_range(2), refused for files that are followed: the callers then read and write.
    ///
    /// # Safety
    /// That of libc.
    copy_file_range = (from: c_int, from_at: *mut off_t, to: c_int, to_at: *mut off_t, count: size_t, flags: c_uint) -> ssize_t {
        if file(to).is_some() {
            return system::fail(libc::EINVAL);
        }
        // SAFETY: the caller keeps libc's promise.
        unsafe {
            libc::syscall(libc::SYS_copy_file_range, from, from_at, to, to_at, count, flags) as ssize_t
        }
    }

    /// fsync(2)
    ///
    /// # Safety
    /// That of libc.
    fsync = (fd: c_int) -> c_int {
        sync(fd, libc::SYS_fsync)
    }

    /// fdatasync(2)
    ///
    /// # Safety
    /// That of libc.
    fdatasync = (fd: c_int) -> c_int {
        sync(fd, libc::SYS_fdatasync)
    }

    /// rename(2)
    ///
    /// # Safety
    /// That of libc.
    rename = (from: *const c_char, to: *const c_char) -> c_int {
        // SAFETY: the caller keeps libc's promise.
        unsafe { renameat2(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
    }

    /// renameat(2)
    ///
    /// # Safety
    /// That of libc.
    renameat = (from_fd: c_int, from: *const c_char, to_fd: c_int, to: *const c_char) -> c_int {
        // SAFETY: the caller keeps libc's promise.
        unsafe { renameat2(from_fd, from, to_fd, to, 0) }
    }

    /// renameat2(2)
    ///
    /// # Safety
    /// That of libc.
    renameat2 = (from_fd: c_int, from: *const c_char, to_fd: c_int, to: *const c_char, flags: c_uint) -> c_int {
        // SAFETY: libc demands paths.
        let (from, to) = unsafe { (path(from), path(to)) };
        let rename = || system::rename((from_fd, from), (to_fd, to), flags);
        let Some(follower) = follower() else { return rename() };
        match (follower.named(from_fd, from), follower.named(to_fd, to)) {
            (Some(from), Some(to)) if flags & libc::RENAME_EXCHANGE == 0 => follower.rename(&from, &to, rename),
            (None, None) => rename(),
            _ => {
                follower.unfollowed("a rename across the edge of the folder, or an exchange");
                rename()
            }
        }
    }

    /// unlink(2)
    ///
    /// # Safety
    /// That of libc.
    unlink = (name: *const c_char) -> c_int {
        // SAFETY: the caller keeps libc's promise.
        unsafe { unlinkat(libc::AT_FDCWD, name, 0) }
    }

    /// rmdir(2)
    ///
    /// # Safety
    /// That of libc.
    rmdir = (name: *const c_char) -> c_int {
        // SAFETY: the caller keeps libc's promise.
        unsafe { unlinkat(libc::AT_FDCWD, name, libc::AT_REMOVEDIR) }
    }

    /// unlinkat(2)
    ///
    /// # Safety
    /// That of libc.
    unlinkat = (fd: c_int, name: *const c_char, flags: c_int) -> c_int {
        // SAFETY: libc demands a path.
        let name = unsafe { path(name) };
        let remove = || system::call_path(libc::SYS_unlinkat, fd, name, flags.into());
        match follower().and_then(|follower| Some((follower, follower.named(fd, name)?))) {
            Some((follower, path)) => follower.remove(&path, remove),
            None => remove(),
        }
    }

    /// mkdir(2)
    ///
    /// # Safety
    /// That of libc.
    mkdir = (name: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: the caller keeps libc's promise.
        unsafe { mkdirat(libc::AT_FDCWD, name, mode) }
    }

    /// mkdirat(2)
    ///
    /// # Safety
    /// That of libc.
    mkdirat = (fd: c_int, name: *const c_char, mode: mode_t) -> c_int {
        // SAFETY: libc demands a path.
        let name = unsafe { path(name) };
        let make = || system::call_path(libc::SYS_mkdirat, fd, name, mode.into());
        match follower().and_then(|follower| Some((follower, follower.named(fd, name)?))) {
            Some((follower, path)) => follower.make_folder(&path, make),
            None => make(),
        }
    }

    /// link(2)
    ///
    /// # Safety
    /// That of libc.
    link = (from: *const c_char, to: *const c_char) -> c_int {
        // SAFETY: the caller keeps libc's promise.
        unsafe { linkat(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
    }

    /// linkat(2)
    ///
    /// # Safety
    /// That of libc.
    linkat = (from_fd: c_int, from: *const c_char, to_fd: c_int, to: *const c_char, flags: c_int) -> c_int {
        // SAFETY: libc demands a path, and the kernel reads both.
        let (link, name) = unsafe {
            let link = || libc::syscall(libc::SYS_linkat, from_fd, from, to_fd, to, flags) as c_int;
            (link, path(to))
        };
        match follower().and_then(|follower| Some((follower, follower.named(to_fd, name)?))) {
            Some((follower, path)) => follower.link(&path, link),
            None => link(),
        }
    }
}

fn sync(fd: c_int, number: libc::c_long) -> c_int {
    let sync = || system::call(number, [fd.into(), 0, 0, 0]);
    match follower().and_then(|follower| Some((follower, follower.opened(fd)?))) {
        Some((follower, status)) => follower.sync(status.inode, sync),
        None => sync(),
    }
}
