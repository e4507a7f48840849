//! The kernel, asked directly: what stands in for libc's functions cannot call them.

use std::ffi::{CStr, CString, OsString};
use std::os::raw::{c_int, c_void};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use libc::{off_t, size_t, ssize_t};

/// What there is to know of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) is_file: bool,
    pub(crate) is_folder: bool,
}

/// A path that the kernel understands.
pub(crate) fn c_path(path: PathBuf) -> Option<CString> {
    CString::new(path.into_os_string().into_vec()).ok()
}

pub(crate) fn status_of(fd: c_int) -> Option<Status> {
    status(fd, c"", libc::AT_EMPTY_PATH)
}

pub(crate) fn status_at(path: &CStr) -> Option<Status> {
    status(libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW)
}

fn status(fd: c_int, path: &CStr, flags: c_int) -> Option<Status> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the path ends in NUL, and the kernel writes one `stat`, for which there is room.
    let result = unsafe { libc::syscall(libc::SYS_newfstatat, fd, path.as_ptr(), stat.as_mut_ptr(), flags) };
    if result != 0 {
        return None;
    }
    // SAFETY: zeroes are a `stat`, and so is what the kernel wrote.
    let stat = unsafe { stat.assume_init() };
    let kind = stat.st_mode & libc::S_IFMT;
    Some(Status {
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        is_file: kind == libc::S_IFREG,
        is_folder: kind == libc::S_IFDIR,
    })
}

/// The path of an open file.
pub(crate) fn path_of(fd: c_int) -> Option<PathBuf> {
    let link = CString::new(format!("/proc/self/fd/{fd}")).ok()?;
    let mut buffer = vec![0_u8; 4_096];
    // SAFETY: the path ends in NUL, and the kernel writes at most as many bytes as there are.
    let length = unsafe {
        libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, link.as_ptr(), buffer.as_mut_ptr(), buffer.len())
    };
    buffer.truncate(usize::try_from(length).ok()?);
    Some(OsString::from_vec(buffer).into())
}

pub(crate) fn working_folder() -> Option<PathBuf> {
    let mut buffer = vec![0_u8; 4_096];
    // SAFETY: the kernel writes at most as many bytes as there are.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    // With the NUL at its end.
    buffer.truncate(usize::try_from(length).ok()?.checked_sub(1)?);
    Some(OsString::from_vec(buffer).into())
}

pub(crate) fn open_at(fd: c_int, path: &CStr, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the path ends in NUL.
    let result = unsafe { libc::syscall(libc::SYS_openat, fd, path.as_ptr(), flags, mode) };
    c_int::try_from(result).unwrap_or(-1)
}

/// Opens a file that this library keeps for itself.
pub(crate) fn open(path: &CStr, flags: c_int) -> Option<c_int> {
    let fd = open_at(libc::AT_FDCWD, path, flags | libc::O_CLOEXEC, 0o600);
    (fd >= 0).then_some(fd)
}

pub(crate) fn close(fd: c_int) {
    // SAFETY: the descriptor is this library's own, and is not used afterwards.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// Writes all bytes, or says that it cannot.
pub(crate) fn append(fd: c_int, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: the kernel reads at most as many bytes as there are.
        let count = unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) };
        match usize::try_from(count) {
            Ok(count @ 1..) => bytes = &bytes[count.min(bytes.len())..],
            _ => return false,
        }
    }
    true
}

/// What a file has there, as far as it goes.
pub(crate) fn read_at(fd: c_int, offset: u64, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0_u8; bytes];
    let mut length = 0;
    while length < bytes {
        let rest = &mut buffer[length..];
        let at = offset + length as u64;
        // SAFETY: the kernel writes at most as many bytes as are left.
        let count = unsafe { libc::syscall(libc::SYS_pread64, fd, rest.as_mut_ptr(), rest.len(), at) };
        match usize::try_from(count) {
            Ok(count @ 1..) => length += count,
            _ => break,
        }
    }
    buffer.truncate(length);
    buffer
}

/// Where the next write of a descriptor goes.
pub(crate) fn position(fd: c_int) -> u64 {
    // SAFETY: no memory is involved.
    let position = unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) };
    u64::try_from(position).unwrap_or(0)
}

/// With which flags a descriptor was opened.
pub(crate) fn flags(fd: c_int) -> c_int {
    // SAFETY: no memory is involved.
    let flags = unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL, 0) };
    c_int::try_from(flags).unwrap_or(0)
}

/// Gives a file another name; whether it is there then.
pub(crate) fn link(from: &CStr, to: &CStr, flags: c_int) -> bool {
    // SAFETY: both paths end in NUL.
    let result = unsafe {
        libc::syscall(libc::SYS_linkat, libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags)
    };
    result == 0
}

/// The length of a list of buffers.
///
/// # Safety
/// There are `count` of them.
pub(crate) unsafe fn total(buffers: *const libc::iovec, count: c_int) -> usize {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller says that there are so many.
    (0..count).map(|at| unsafe { (*buffers.add(at)).iov_len }).sum()
}

/// Fails a call as the kernel does.
pub(crate) fn fail(error: c_int) -> ssize_t {
    // SAFETY: libc has an `errno` for each thread.
    unsafe { *libc::__errno_location() = error };
    -1
}

pub(crate) fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: a wrong address is an error of the kernel's.
    unsafe { libc::syscall(libc::SYS_write, fd, bytes, count) as ssize_t }
}

pub(crate) fn write_at(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    // SAFETY: a wrong address is an error of the kernel's.
    unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, at) as ssize_t }
}

pub(crate) fn write_all_of(fd: c_int, buffers: *const libc::iovec, count: c_int) -> ssize_t {
    // SAFETY: a wrong address is an error of the kernel's.
    unsafe { libc::syscall(libc::SYS_writev, fd, buffers, count) as ssize_t }
}

pub(crate) fn write_all_of_at(fd: c_int, buffers: *const libc::iovec, count: c_int, at: off_t) -> ssize_t {
    // SAFETY: a wrong address is an error of the kernel's; the upper half of the offset is 0 on 64 bits.
    unsafe { libc::syscall(libc::SYS_pwritev, fd, buffers, count, at, 0) as ssize_t }
}

/// A call whose arguments are numbers.
pub(crate) fn call(number: libc::c_long, arguments: [i64; 4]) -> c_int {
    let [a, b, c, d] = arguments;
    // SAFETY: no argument is an address.
    let result = unsafe { libc::syscall(number, a, b, c, d) };
    c_int::try_from(result).unwrap_or(-1)
}

/// A call with a folder's descriptor, a path and a number.
pub(crate) fn call_path(number: libc::c_long, fd: c_int, path: &CStr, argument: i64) -> c_int {
    // SAFETY: the path ends in NUL.
    let result = unsafe { libc::syscall(number, fd, path.as_ptr(), argument) };
    c_int::try_from(result).unwrap_or(-1)
}

pub(crate) fn rename(from: (c_int, &CStr), to: (c_int, &CStr), flags: u32) -> c_int {
    // SAFETY: both paths end in NUL.
    let result =
        unsafe { libc::syscall(libc::SYS_renameat2, from.0, from.1.as_ptr(), to.0, to.1.as_ptr(), flags) };
    c_int::try_from(result).unwrap_or(-1)
}

pub(crate) fn map(
    address: *mut c_void,
    bytes: size_t,
    (protection, flags): (c_int, c_int),
    fd: c_int,
    at: off_t,
) -> *mut c_void {
    // SAFETY: the caller asks for it as he would ask libc, under the same conditions.
    unsafe { libc::syscall(libc::SYS_mmap, address, bytes, protection, flags, fd, at) as *mut c_void }
}
