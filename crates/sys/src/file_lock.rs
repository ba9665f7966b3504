//! Locks that belong to an open file description (`F_OFD_SETLK`, fcntl(2)).
//!
//! They last until the last descriptor of that description is closed, so they
//! die with their holder, and others can ask about them without taking them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Takes the exclusive lock of the whole file, opened for writing. False if
/// somebody else has it.
///
/// # Errors
/// As fcntl(2).
pub fn try_lock(file: BorrowedFd<'_>) -> io::Result<bool> {
    let mut lock = whole_file();
    // SAFETY: `lock` is a valid struct flock for the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw mut lock) };
    match crate::check(result.into()) {
        Ok(_) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => Ok(false),
            _ => Err(error),
        },
    }
}

/// Whether somebody has locked the file through another description.
///
/// # Errors
/// As fcntl(2).
pub fn is_locked(file: BorrowedFd<'_>) -> io::Result<bool> {
    let mut lock = whole_file();
    // SAFETY: `lock` is a valid struct flock, which the kernel fills in.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    crate::check(result.into())?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

fn whole_file() -> libc::flock {
    // SAFETY: struct flock is plain numbers; OFD locks want l_pid zero.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(libc::F_WRLCK).unwrap_or(1);
    lock.l_whence = i16::try_from(libc::SEEK_SET).unwrap_or(0);
    lock
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::{Mode, OFlags, open};

    use super::{is_locked, try_lock};

    #[test]
    fn a_lock_lasts_as_long_as_its_description() {
        let path = std::env::temp_dir().join(format!("caisson-lock-{}", std::process::id()));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let first = open(&path, flags, Mode::RUSR | Mode::WUSR).unwrap();
        let second = open(&path, flags, Mode::empty()).unwrap();
        assert!(try_lock(first.as_fd()).unwrap());
        assert!(!is_locked(first.as_fd()).unwrap(), "one's own lock is no obstacle");
        assert!(is_locked(second.as_fd()).unwrap());
        assert!(!try_lock(second.as_fd()).unwrap());
        let copy = first.try_clone().unwrap();
        drop(first);
        assert!(is_locked(second.as_fd()).unwrap());
        drop(copy);
        assert!(try_lock(second.as_fd()).unwrap());
        std::fs::remove_file(path).unwrap();
    }
}
