//! Making mount points: directories and files below the root.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, mkdirat, openat};
use rustix::io::Errno;

use crate::error::{FileKind, PathFault, RootPathError};
use crate::inode::kind_of;
use crate::root::{Root, open_how, split_last};
use crate::would_be::{WouldBe, would_be};

/// Mode of directories made on the way to a file, as runc has it.
pub(crate) const PARENT_MODE: Mode = Mode::from_raw_mode(0o755);

/// Somebody may create and remove the name we want, in turns, for ever.
const CREATE_TRIES: u32 = 32;

/// One plain name below a directory we hold: no link, no `..`.
const ONE_STEP: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

impl Root {
    /// Makes the directory `path` and what is missing on the way, and returns
    /// an `O_PATH` descriptor of it.
    ///
    /// `mode` (less the umask) goes to every directory that is made; existing
    /// ones keep theirs. Links are followed inside the root; a dangling link
    /// has its target made, as runc does. A component that turns into a link
    /// while we create below it is an error.
    ///
    /// Costs one system call if the directory exists, four if only its last
    /// component is missing.
    pub fn mkdir_all(&self, path: &Path, mode: Mode) -> Result<OwnedFd, RootPathError> {
        self.mkdir_all_raw(path, mode).map_err(|e| Self::fail("create directory", path, e))
    }

    fn mkdir_all_raw(&self, path: &Path, mode: Mode) -> Result<OwnedFd, Errno> {
        match self.open_raw(path, OFlags::PATH | OFlags::DIRECTORY) {
            // The empty path is nothing, as it is to the kernel.
            Err(Errno::NOENT) if !path.as_os_str().is_empty() => {}
            done => return done,
        }
        if let Some(done) = self.mkdir_last(path, mode) {
            return done;
        }
        for _ in 0..CREATE_TRIES {
            let WouldBe { deepest, missing } = would_be(self, path)?;
            match make_below(deepest, &missing, mode) {
                // Its parent was removed under us.
                Err(Errno::NOENT) => {}
                done => return done,
            }
        }
        Err(Errno::NOENT)
    }

    /// The common case: only the last component is missing. `None` where that
    /// is not so, or the name is taken (by a dangling link, most likely).
    fn mkdir_last(&self, path: &Path, mode: Mode) -> Option<Result<OwnedFd, Errno>> {
        let (parent, name) = split_last(path).ok()?;
        let parent = self.open_raw(parent, OFlags::PATH | OFlags::DIRECTORY).ok()?;
        match mkdirat(&parent, name, mode) {
            Ok(()) => Some(open_child_dir(parent.as_fd(), name)),
            Err(Errno::EXIST | Errno::NOENT) => None,
            Err(errno) => Some(Err(errno)),
        }
    }

    /// Makes an empty regular file at `path` if nothing is there, and returns
    /// a descriptor of what is there (`O_PATH`, or read-only if just made): a
    /// mount point for anything but a directory.
    ///
    /// `mode` is less the umask. Missing parents are made with mode 0755.
    /// Links, dangling ones too, are followed inside the root. A directory in
    /// that place is an error.
    ///
    /// Costs two system calls if the file exists.
    pub fn create_file_at(&self, path: &Path, mode: Mode) -> Result<OwnedFd, RootPathError> {
        self.create_file_raw(path, mode).map_err(|e| Self::fail("create file", path, e))
    }

    fn create_file_raw(&self, path: &Path, mode: Mode) -> Result<OwnedFd, PathFault> {
        for _ in 0..CREATE_TRIES {
            match self.open_raw(path, OFlags::PATH) {
                Ok(fd) => return expect_not_dir(fd),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
            // A directory is meant by `a/`, `a/..` and `/`; only a name can be a file.
            let (parent, name) = split_last(path)?;
            match self
                .mkdir_all_raw(parent, PARENT_MODE)
                .and_then(|parent| create_child_file(parent.as_fd(), name, mode))
            {
                Err(Errno::EXIST) => {}
                done => return done.map_err(Into::into),
            }
            // The name is taken, yet leads nowhere: a dangling link, or a race.
            let WouldBe { deepest, missing } = would_be(self, path)?;
            let Some((name, parents)) = missing.split_last() else {
                continue;
            };
            match make_below(deepest, parents, PARENT_MODE)
                .and_then(|parent| create_child_file(parent.as_fd(), name, mode))
            {
                Err(Errno::EXIST | Errno::NOENT) => {}
                done => return done.map_err(Into::into),
            }
        }
        Err(PathFault::Replaced)
    }
}

fn expect_not_dir(fd: OwnedFd) -> Result<OwnedFd, PathFault> {
    match kind_of(&fstat(&fd)?) {
        found @ FileKind::Directory => {
            Err(PathFault::WrongKind { expected: FileKind::Regular, found })
        }
        _ => Ok(fd),
    }
}

/// Makes `names`, one inside the other, below `dir`.
fn make_below(mut dir: OwnedFd, names: &[OsString], mode: Mode) -> Result<OwnedFd, Errno> {
    if names.is_empty() {
        // Somebody else made it meanwhile, or it is no directory.
        return open_how(dir.as_fd(), Path::new("."), OFlags::PATH | OFlags::DIRECTORY, ONE_STEP);
    }
    for name in names {
        match mkdirat(&dir, name.as_os_str(), mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        dir = open_child_dir(dir.as_fd(), name)?;
    }
    Ok(dir)
}

fn open_child_dir(dir: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    open_how(dir, Path::new(name), OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW, ONE_STEP)
}

fn create_child_file(dir: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> Result<OwnedFd, Errno> {
    // O_EXCL: an existing link is never followed, an existing FIFO never opened.
    openat(
        dir,
        name,
        OFlags::RDONLY
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NOCTTY,
        mode,
    )
}
