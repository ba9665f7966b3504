//! One worker at a time on a container.
//!
//! The lock is flock(2) on a file in the container's directory: it dies with
//! its holder. Whoever finds a container half made or half removed, and its
//! lock free, knows that the worker is dead, and finishes or undoes the work.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, fstat, openat, statat};
use rustix::io::Errno;

/// Why a container's lock can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The container is gone.
    #[error("the container in {0} has been removed meanwhile")]
    Gone(PathBuf),
    /// The lock can't be used.
    #[error("cannot lock {path}: {source}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
}

/// The lock of one container, held.
#[derive(Debug)]
pub(crate) struct ContainerLock {
    _file: OwnedFd,
}

impl ContainerLock {
    /// Makes the directory of a new container and locks it.
    ///
    /// # Errors
    /// [`LockError::Unusable`].
    pub(crate) fn create(dir: &Path) -> Result<Self, LockError> {
        loop {
            let fail = |source| LockError::Unusable { path: dir.to_owned(), source };
            match rustix::fs::mkdir(dir, Mode::RWXU) {
                // A collector may take the directory before it is locked, and
                // find it to be nobody's.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => {
                    let parent = dir.parent().unwrap_or(dir);
                    std::fs::create_dir_all(parent)
                        .map_err(|e| fail(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
                    continue;
                }
                Err(source) => return Err(fail(source)),
            }
            match Self::take(dir, OFlags::CREATE, FlockOperation::LockExclusive) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) | Err(LockError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the lock of a container that is there.
    ///
    /// # Errors
    /// [`LockError::Gone`].
    pub(crate) fn wait(dir: &Path) -> Result<Self, LockError> {
        match Self::take(dir, OFlags::empty(), FlockOperation::LockExclusive)? {
            Some(lock) => Ok(lock),
            None => Err(LockError::Gone(dir.to_owned())),
        }
    }

    /// The lock, if nobody has it.
    ///
    /// # Errors
    /// [`LockError::Gone`].
    pub(crate) fn try_take(dir: &Path) -> Result<Option<Self>, LockError> {
        Self::take(dir, OFlags::CREATE, FlockOperation::NonBlockingLockExclusive)
    }

    fn take(
        dir: &Path,
        flags: OFlags,
        operation: FlockOperation,
    ) -> Result<Option<Self>, LockError> {
        let path = dir.join("lock");
        let fail = |source| LockError::Unusable { path: path.clone(), source };
        let flags = flags | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Err(LockError::Gone(dir.to_owned())),
            Err(source) => return Err(fail(source)),
        };
        loop {
            match flock(&file, operation) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(source) => return Err(fail(source)),
            }
        }
        // The holder may have removed the container while we waited.
        let ours = fstat(&file).map_err(fail)?;
        match statat(CWD, &path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) => {
                Ok(Some(Self { _file: file }))
            }
            Ok(_) | Err(Errno::NOENT) => Err(LockError::Gone(dir.to_owned())),
            Err(source) => Err(fail(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_none_after_removal() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("containers/a");
        let first = ContainerLock::create(&dir).unwrap();
        assert!(ContainerLock::try_take(&dir).unwrap().is_none());
        let waiter = std::thread::spawn({
            let dir = dir.clone();
            move || ContainerLock::wait(&dir)
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::fs::remove_dir_all(&dir).unwrap();
        drop(first);
        assert!(matches!(waiter.join().unwrap(), Err(LockError::Gone(_))));
        assert!(matches!(ContainerLock::wait(&dir), Err(LockError::Gone(_))));
    }
}
