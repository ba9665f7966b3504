//! Ranges of descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Marks every descriptor from `first` upwards close-on-exec
/// (close_range(2), Linux 5.11).
///
/// # Errors
/// As close_range(2).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: only changes the close-on-exec flag.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    crate::check(result).map(drop)
}

/// Whether `fd` is open, and without close-on-exec.
#[must_use]
pub fn is_inheritable(fd: u32) -> bool {
    let Ok(fd) = i32::try_from(fd) else { return false };
    // SAFETY: F_GETFD reads a flag of whatever the number means.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// The path by which procfs names this descriptor in the calling process.
#[must_use]
pub fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Closes every descriptor from `first` upwards but those in `keep`
/// (close_range(2), Linux 5.9).
///
/// For a process that is about to execute another program: whatever owner of
/// a closed descriptor is still in memory must never be dropped or used.
///
/// # Errors
/// As close_range(2).
pub fn close_all_except(first: u32, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
    kept.sort_unstable();
    let mut next = first;
    for fd in kept {
        if fd > next {
            close_range(next, fd - 1)?;
        }
        next = next.max(fd.saturating_add(1));
    }
    close_range(next, libc::c_uint::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the caller promised that nobody uses what is closed here.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    crate::check(result).map(drop)
}
