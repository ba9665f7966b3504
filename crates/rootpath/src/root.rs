//! The root of a container and resolution below it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

use crate::error::{FileKind, PathFault, Place, RootPathError};
use crate::inode::{expect_device, is_same, kind_of};

/// `openat2` answers EAGAIN when a rename or a mount anywhere on the system
/// made it unsure about a `..` (openat2(2)). An attacker can provoke that for
/// long, not for ever: give up after this many tries.
const EAGAIN_TRIES: u32 = 256;

const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// `openat2` with O_CLOEXEC and O_NOCTTY, EAGAIN and EINTR retried.
pub(crate) fn open_how(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let mut flags = flags | OFlags::CLOEXEC;
    // openat2 refuses everything but these beside O_PATH.
    if flags.contains(OFlags::PATH) {
        flags &= OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    } else {
        flags |= OFlags::NOCTTY;
    }
    let mut tries = 0;
    loop {
        match openat2(dir, path, flags, Mode::empty(), resolve) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if tries < EAGAIN_TRIES => tries += 1,
            done => return done,
        }
    }
}

/// O_TMPFILE carries O_DIRECTORY's bit: it has to be there as a whole.
pub(crate) fn may_create(flags: OFlags) -> bool {
    flags.contains(OFlags::CREATE) || flags.contains(OFlags::TMPFILE)
}

/// The root directory of a container, held by descriptor.
///
/// Every method takes paths of the container; see the crate's documentation
/// for how they are read. All methods are safe against a concurrent attacker
/// inside the root.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Root> for OwnedFd {
    fn from(root: Root) -> Self {
        root.fd
    }
}

impl Root {
    /// Takes a descriptor of the root directory (`O_PATH` is enough).
    ///
    /// Errors: not a directory.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, RootPathError> {
        let fault = match fstat(&fd) {
            Ok(stat) => match kind_of(&stat) {
                FileKind::Directory => return Ok(Self { fd }),
                found => PathFault::WrongKind { expected: FileKind::Directory, found },
            },
            Err(errno) => errno.into(),
        };
        Err(RootPathError::new("use as a root", Path::new("."), Place::Host, fault))
    }

    /// Opens `path`, a path of the *host* that the operator chose, as a root.
    pub fn open(path: &Path) -> Result<Self, RootPathError> {
        openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map(|fd| Self { fd })
            .map_err(|e| RootPathError::new("open the root directory", path, Place::Host, e))
    }

    pub(crate) fn fail(
        op: &'static str,
        path: &Path,
        fault: impl Into<PathFault>,
    ) -> RootPathError {
        RootPathError::new(op, path, Place::ContainerRoot, fault)
    }

    pub(crate) fn open_raw(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        open_how(self.fd.as_fd(), path, flags, IN_ROOT)
    }

    /// `O_PATH` descriptor of what `path` leads to, symbolic links followed
    /// inside the root. One system call.
    ///
    /// Errors: `ENOENT` (also for a dangling link), `ELOOP` for magic links
    /// (`/proc/self/fd/…`, `/proc/self/root`).
    pub fn resolve(&self, path: &Path) -> Result<OwnedFd, RootPathError> {
        self.open_raw(path, OFlags::PATH).map_err(|e| Self::fail("resolve", path, e))
    }

    /// As [`Root::resolve`], and the result is a directory (`ENOTDIR`
    /// otherwise): for a working directory, or a mount point.
    pub fn resolve_dir(&self, path: &Path) -> Result<OwnedFd, RootPathError> {
        self.open_raw(path, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|e| Self::fail("resolve directory", path, e))
    }

    /// As [`Root::resolve`], but a symbolic link at the last component is
    /// itself the result.
    pub fn resolve_no_follow_last(&self, path: &Path) -> Result<OwnedFd, RootPathError> {
        self.open_raw(path, OFlags::PATH | OFlags::NOFOLLOW)
            .map_err(|e| Self::fail("resolve", path, e))
    }

    /// `O_PATH` descriptor of the device at `path`, proven to be the character
    /// (or block) device `major:minor`; symbolic links are followed inside the
    /// root. Opening the device itself would have side effects, so it is not.
    pub fn resolve_device(
        &self,
        path: &Path,
        kind: FileKind,
        major: u32,
        minor: u32,
    ) -> Result<OwnedFd, RootPathError> {
        let fail = |fault| Self::fail("use as a device", path, fault);
        let fd = self.open_raw(path, OFlags::PATH).map_err(|e| fail(e.into()))?;
        let stat = fstat(&fd).map_err(|e| fail(e.into()))?;
        expect_device(&stat, kind, major, minor).map_err(fail)?;
        Ok(fd)
    }

    /// Opens the regular file at `path`, links followed inside the root.
    ///
    /// A FIFO, socket or device at that path is refused without being opened;
    /// even if an attacker swaps one in, the open doesn't block and the
    /// result is refused. `flags` must not ask for creation.
    pub fn open_file(&self, path: &Path, flags: OFlags) -> Result<File, RootPathError> {
        let fail = |fault: PathFault| Self::fail("open file", path, fault);
        if may_create(flags) || flags.intersects(OFlags::PATH | OFlags::TRUNC) {
            return Err(fail(PathFault::BadPath("flags beyond plain access to an existing file")));
        }
        let handle = self.open_raw(path, OFlags::PATH).map_err(|e| fail(e.into()))?;
        let before = fstat(&handle).map_err(|e| fail(e.into()))?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            return Err(fail(PathFault::WrongKind {
                expected: FileKind::Regular,
                found: kind_of(&before),
            }));
        }
        let fd = self.open_raw(path, flags | OFlags::NONBLOCK).map_err(|e| fail(e.into()))?;
        let after = fstat(&fd).map_err(|e| fail(e.into()))?;
        if is_same(&before, &after) { Ok(File::from(fd)) } else { Err(fail(PathFault::Replaced)) }
    }

    /// The whole content of a small regular file such as `/etc/passwd`.
    ///
    /// Errors: as [`Root::open_file`]; longer than `max` bytes.
    pub fn read_file_capped(&self, path: &Path, max: usize) -> Result<Vec<u8>, RootPathError> {
        let fail = |fault: PathFault| Self::fail("read", path, fault);
        let file = self.open_file(path, OFlags::RDONLY)?;
        let limit = u64::try_from(max).map_or(u64::MAX, |m| m.saturating_add(1));
        let mut content = Vec::new();
        file.take(limit).read_to_end(&mut content).map_err(|e| {
            fail(Errno::from_io_error(&e).map_or(PathFault::Os(Errno::IO), Into::into))
        })?;
        if content.len() > max {
            return Err(fail(PathFault::TooLong { max }));
        }
        Ok(content)
    }

    /// The directory that holds `path`'s last component, and its name: for
    /// operations on the name itself. The directory must exist.
    ///
    /// Errors: the last component is `..`, or there is none.
    pub fn parent_and_name(&self, path: &Path) -> Result<(OwnedFd, OsString), RootPathError> {
        let (parent, name) =
            split_last(path).map_err(|e| Self::fail("find the parent of", path, e))?;
        let fd = self
            .open_raw(parent, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|e| Self::fail("open the parent directory of", path, e))?;
        Ok((fd, name.to_owned()))
    }
}

/// Splits off the last component; `/` and `.` as parent are the root.
pub(crate) fn split_last(path: &Path) -> Result<(&Path, &OsStr), PathFault> {
    match path.components().next_back() {
        Some(Component::Normal(name)) => {
            let parent =
                path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("/"));
            Ok((parent, name))
        }
        _ => Err(PathFault::BadPath("the path does not end in a name")),
    }
}
