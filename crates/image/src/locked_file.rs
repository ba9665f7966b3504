//! Files and directories that are claimed by a lock on themselves.
//!
//! The lock is flock(2)'s: it belongs to the open file, so it dies with its
//! holder, however that ends. Whoever gets it looks whether the name still
//! leads to what was locked: the holder before may have renamed or removed it.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// What a lock is taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// A file, made if it is not there.
    File,
    /// A directory, made if it is not there.
    Directory,
}

/// A failed call on a path of the store.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}: {source}", path.display())]
pub struct StoreIoError {
    /// What was tried, such as `open`.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    pub source: std::io::Error,
}

impl StoreIoError {
    /// A closure for `map_err`.
    pub(crate) fn on<E: Into<std::io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source: source.into() }
    }

    /// Whether the file system, or the user's share of it, is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        no_space(&self.source)
    }
}

/// Whether `error` says that a file system or a quota is full.
pub(crate) fn no_space(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// Makes and locks `path`; waits for whoever holds it.
pub(crate) fn claim(path: &Path, what: Claimed) -> Result<File, StoreIoError> {
    loop {
        let file = open(path, what, true)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .or_else(|e| if e == Errno::INTR { Ok(()) } else { Err(e) })
            .map_err(StoreIoError::on("lock", path))?;
        if try_lock(&file, path)? && same(&file, path)? {
            return Ok(file);
        }
    }
}

/// The same without waiting: `None` when somebody holds it. `make` says
/// whether it is made when it is not there; if not, `None` too.
pub(crate) fn try_claim(
    path: &Path,
    what: Claimed,
    make: bool,
) -> Result<Option<File>, StoreIoError> {
    loop {
        let file = match open(path, what, make) {
            Err(e) if !make && e.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if !try_lock(&file, path)? {
            return Ok(None);
        }
        if same(&file, path)? {
            return Ok(Some(file));
        }
    }
}

fn open(path: &Path, what: Claimed, make: bool) -> Result<File, StoreIoError> {
    let (flags, mode) = match what {
        Claimed::File => {
            let create = if make { OFlags::CREATE } else { OFlags::empty() };
            (OFlags::RDWR | create, Mode::from_raw_mode(0o600))
        }
        Claimed::Directory => {
            if make {
                match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(StoreIoError::on("make", path)(e)),
                }
            }
            (OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
        }
    };
    let result = rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode);
    match result {
        Ok(fd) => Ok(File::from(fd)),
        // Removed between mkdir and open: the caller's loop would do the same.
        Err(Errno::NOENT) if make => open(path, what, make),
        Err(e) => Err(StoreIoError::on("open", path)(e)),
    }
}

fn try_lock(file: &File, path: &Path) -> Result<bool, StoreIoError> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(StoreIoError::on("lock", path)(e)),
    }
}

/// Whether `path` still leads to what was locked.
fn same(file: &File, path: &Path) -> Result<bool, StoreIoError> {
    let held = rustix::fs::fstat(file).map_err(StoreIoError::on("stat", path))?;
    match rustix::fs::lstat(path) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(StoreIoError::on("stat", path)(e)),
    }
}

/// Names in the directory `path`; none when it is not there. Names that are
/// not UTF-8 are none of ours and left out.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, StoreIoError> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        other => other.map_err(StoreIoError::on("list", path))?,
    };
    for entry in entries {
        let entry = entry.map_err(StoreIoError::on("list", path))?;
        if let Some(name) = Some(entry.file_name()).as_deref().and_then(OsStr::to_str) {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

/// Makes a directory and those above it; not an error when it is there.
pub(crate) fn make_dirs(path: &Path, mode: u32) -> Result<(), StoreIoError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(StoreIoError::on("make", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_excludes_and_follows_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let first = claim(&path, Claimed::File).unwrap();
        assert!(try_claim(&path, Claimed::File, true).unwrap().is_none());
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || claim(&path, Claimed::File).unwrap()
        });
        std::thread::sleep(std::time::Duration::from_millis(30));
        // The holder gives the file another name: the waiter makes a new one.
        std::fs::rename(&path, dir.path().join("b")).unwrap();
        drop(first);
        let second = waiter.join().unwrap();
        assert!(same(&second, &path).unwrap());
        assert!(try_claim(&dir.path().join("none"), Claimed::File, false).unwrap().is_none());
        let sub = dir.path().join("d");
        let held = claim(&sub, Claimed::Directory).unwrap();
        assert!(try_claim(&sub, Claimed::Directory, true).unwrap().is_none());
        drop(held);
        assert!(try_claim(&sub, Claimed::Directory, false).unwrap().is_some());
    }
}
