//! What can go wrong below a container's root or in procfs.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;
use thiserror::Error;

/// A failed operation on one path.
#[derive(Debug, Error)]
#[error("cannot {op} {path:?} {place}: {source}")]
pub struct RootPathError {
    /// What was tried, as a verb phrase: `create directory`, `open file`.
    pub op: &'static str,
    /// The path as the caller gave it.
    pub path: PathBuf,
    /// Which tree the path belongs to.
    pub place: Place,
    /// What was wrong.
    pub source: PathFault,
}

/// The tree that a [`RootPathError`] speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Below the root of a container.
    ContainerRoot,
    /// Below the root of a procfs.
    Procfs,
    /// The host's own name space (only ever the root itself).
    Host,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ContainerRoot => "below the container's root",
            Self::Procfs => "in procfs",
            Self::Host => "on the host",
        })
    }
}

/// Why an operation was refused.
#[derive(Debug, Error)]
pub enum PathFault {
    /// The kernel said no.
    #[error(transparent)]
    Os(#[from] Errno),
    /// Something else stands there than what was asked for.
    #[error("expected {expected}, found {found}")]
    WrongKind {
        /// What the caller asked for.
        expected: FileKind,
        /// What is there.
        found: FileKind,
    },
    /// A device node with other numbers than asked for.
    #[error("expected {kind} {major}:{minor}, found {found_major}:{found_minor}")]
    WrongDevice {
        /// Character or block device.
        kind: FileKind,
        /// Major number asked for.
        major: u32,
        /// Minor number asked for.
        minor: u32,
        /// Major number found.
        found_major: u32,
        /// Minor number found.
        found_minor: u32,
    },
    /// A symbolic link with another target than asked for.
    #[error("a symbolic link to {found:?} is there already")]
    WrongTarget {
        /// Target of the existing link.
        found: PathBuf,
    },
    /// The inode changed between check and use: somebody is racing us.
    #[error("it was replaced while it was being opened")]
    Replaced,
    /// A file longer than the caller wants to read.
    #[error("longer than {max} bytes")]
    TooLong {
        /// The caller's limit in bytes.
        max: usize,
    },
    /// A file system of another type stands where procfs was expected.
    #[error("not on procfs (file system type {found:#x})")]
    NotProcfs {
        /// `f_type` found, see statfs(2).
        found: u64,
    },
    /// The procfs root is a bind mount of some inner directory.
    #[error("not the root of a procfs (inode {ino})")]
    NotProcfsRoot {
        /// Inode number found.
        ino: u64,
    },
    /// The path itself can't be used for this operation.
    #[error("{0}")]
    BadPath(&'static str),
    /// The kernel took fewer bytes than one write has to carry.
    #[error("only {written} of {len} bytes were taken")]
    ShortWrite {
        /// Bytes taken.
        written: usize,
        /// Bytes offered.
        len: usize,
    },
}

/// File types as in `st_mode`, with printable names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
    Unknown,
}

impl From<FileType> for FileKind {
    fn from(t: FileType) -> Self {
        match t {
            FileType::RegularFile => Self::Regular,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::CharDevice => "a character device",
            Self::BlockDevice => "a block device",
            Self::Unknown => "a file of unknown type",
        })
    }
}

impl RootPathError {
    pub(crate) fn new(
        op: &'static str,
        path: &Path,
        place: Place,
        source: impl Into<PathFault>,
    ) -> Self {
        Self { op, path: path.to_owned(), place, source: source.into() }
    }

    /// The kernel's error number, where the kernel refused.
    pub fn errno(&self) -> Option<Errno> {
        match self.source {
            PathFault::Os(errno) => Some(errno),
            _ => None,
        }
    }

    /// Nothing is there (`ENOENT`).
    pub fn is_not_found(&self) -> bool {
        self.errno() == Some(Errno::NOENT)
    }

    /// Something is there already, and it is not what was asked for.
    pub fn is_conflict(&self) -> bool {
        matches!(
            self.source,
            PathFault::Os(Errno::EXIST)
                | PathFault::WrongKind { .. }
                | PathFault::WrongDevice { .. }
                | PathFault::WrongTarget { .. }
        )
    }

    /// Not permitted (`EPERM` or `EACCES`).
    pub fn is_permission(&self) -> bool {
        matches!(self.errno(), Some(Errno::PERM | Errno::ACCESS))
    }
}
