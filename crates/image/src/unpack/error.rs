//! Why a layer could not be unpacked.

use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

use super::entry::EntryKind;

/// A layer that was not unpacked. What it left below the target is to be
/// thrown away by the caller.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The archive is malformed, or beyond a limit.
    #[error("the layer's archive is refused: {0}")]
    Archive(#[from] ArchiveError),
    /// One entry can't be brought to disk.
    #[error("entry {index} of the layer, {path:?}, can't be unpacked: {fault}")]
    Entry {
        /// Which entry, counted from 1.
        index: u64,
        /// Its path as the archive has it.
        path: PathBuf,
        /// Why.
        fault: EntryFault,
    },
    /// Work on the target directory itself failed.
    #[error("cannot {op} the directory to unpack into: {source}")]
    Target {
        /// What was tried.
        op: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// Something lies in the target already.
    #[error("the directory to unpack a layer into is not empty ({found:?} is there)")]
    TargetNotEmpty {
        /// A name that was found.
        found: PathBuf,
    },
    /// What is left after the last entry (modes and times of directories,
    /// whiteouts, what comes from lower layers) failed.
    #[error("cannot complete {path:?} of the layer: {fault}")]
    Complete {
        /// Path in the layer.
        path: PathBuf,
        /// Why.
        fault: EntryFault,
    },
    /// The thread that unpacks could not be started or walled in.
    #[error("cannot confine the unpacking of the layer ({op}): {source}")]
    Confine {
        /// What was tried.
        op: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The thread that unpacks ended without a result.
    #[error("the thread that unpacks the layer died")]
    Died,
}

impl UnpackError {
    /// The kernel's error number, where the kernel (or the archive's source)
    /// refused: `ENOSPC` and `EDQUOT` say that the disk is full.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Entry { fault: EntryFault::Os { source, .. }, .. }
            | Self::Complete { fault: EntryFault::Os { source, .. }, .. }
            | Self::Target { source, .. } => Some(*source),
            Self::Archive(ArchiveError { fault: ArchiveFault::Read(error), .. }) => {
                Errno::from_io_error(error)
            }
            _ => None,
        }
    }
}

/// What is wrong with an archive, and where.
#[derive(Debug, Error)]
#[error("{}at byte {offset}: {fault}", self.entry())]
pub struct ArchiveError {
    /// Where the header (or block) in question begins, in bytes of the
    /// uncompressed archive.
    pub offset: u64,
    /// The entry that the archive was at, as far as its name is known.
    pub path: Option<PathBuf>,
    /// Why.
    #[source]
    pub fault: ArchiveFault,
}

impl ArchiveError {
    fn entry(&self) -> String {
        self.path.as_ref().map(|path| format!("entry {path:?} ")).unwrap_or_default()
    }
}

/// What is wrong with an archive.
#[derive(Debug, Error)]
pub enum ArchiveFault {
    /// Its source failed.
    #[error("reading failed: {0}")]
    Read(#[source] std::io::Error),
    /// It ends inside a header or a file.
    #[error("the archive is truncated: {missing} more bytes were announced")]
    Truncated {
        /// Bytes that should have followed.
        missing: u64,
    },
    /// A header's checksum does not match.
    #[error("the header's checksum is {computed}, the header says {stored}")]
    Checksum {
        /// Sum of the header's bytes.
        computed: i64,
        /// What the header claims.
        stored: i64,
    },
    /// Something other than zeros follows the end mark, or only one of its
    /// two blocks is there.
    #[error("data after the end of the archive")]
    TrailingGarbage,
    /// A number that is none, or does not fit.
    #[error("the field {field} is no number in its range: {value:?}")]
    Number {
        /// Field of the header, or key of the PAX record.
        field: &'static str,
        /// What was found.
        value: String,
    },
    /// An entry of a type that no layer has.
    #[error("an entry of type {0:?} does not belong in a layer")]
    UnknownType(char),
    /// Data where none can be.
    #[error("{kind} with {size} bytes of data")]
    UnexpectedData {
        /// What the entry is.
        kind: EntryKind,
        /// What it claims.
        size: u64,
    },
    /// The header and the PAX record disagree; readers would differ on where
    /// the next header is.
    #[error("the header says {header} bytes, its PAX record {pax}")]
    SizeConflict {
        /// Size in the header.
        header: u64,
        /// Size in the extended header.
        pax: u64,
    },
    /// Two names for one entry.
    #[error("two different names for one entry, by a GNU long name and by PAX")]
    NameConflict,
    /// Two extension headers of one kind for one entry.
    #[error("more than one extension header of type {0:?} for one entry")]
    RepeatedExtension(char),
    /// An extension header of nothing.
    #[error("the archive ends behind an extension header")]
    DanglingExtension,
    /// A PAX record that does not follow the form `length key=value\n`.
    #[error("malformed PAX record: {0}")]
    Pax(&'static str),
    /// A key that may not be global.
    #[error("{0:?} in a global PAX header would apply to every entry")]
    GlobalKey(String),
    /// A NUL byte in a name.
    #[error("a NUL byte in {0}")]
    Nul(&'static str),
    /// A sparse file's map is not one.
    #[error("malformed map of a sparse file: {0}")]
    Sparse(&'static str),
    /// Beyond a limit.
    #[error("{what}: {found} is more than the limit of {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// What the archive has (at least).
        found: u64,
        /// The limit.
        limit: u64,
    },
}

/// Why one entry can't be unpacked.
#[derive(Debug, Error)]
pub enum EntryFault {
    /// The path (or a hard link's target) has a component `..`.
    #[error("{0} contains `..`")]
    ParentReference(&'static str),
    /// The path (or target) is no path.
    #[error("{0}")]
    BadPath(&'static str),
    /// Beyond a limit.
    #[error("{what}: {found} is more than the limit of {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// What the entry has.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A name that is reserved for whiteouts, in a place where it is none.
    #[error("{0:?} is a name reserved for whiteouts")]
    ReservedName(PathBuf),
    /// A whiteout of `.`, `..` or of nothing.
    #[error("the whiteout names no file in its directory")]
    BadWhiteout,
    /// The root of the layer as anything but a directory.
    #[error("the layer's root can't be {0}")]
    Root(EntryKind),
    /// A path through something that is no directory.
    #[error("{0:?} on the way is not a directory")]
    NotADirectory(PathBuf),
    /// Too many symbolic links on the way.
    #[error("too many symbolic links on the way")]
    LinkLoop,
    /// A hard link to a directory.
    #[error("a hard link to {0:?}, which is a directory")]
    LinkToDirectory(PathBuf),
    /// A hard link to something that neither this layer nor a lower one has.
    #[error("hard link to {0:?}, which is in neither this layer nor a lower one")]
    LinkTarget(PathBuf),
    /// A character device 0:0, which is how overlay file systems mark
    /// whiteouts.
    #[error("a character device 0:0 would forge a whiteout")]
    ForgedWhiteout,
    /// An owner that this user namespace does not map.
    #[error(
        "owner {uid}:{gid} is not mapped in this user namespace: give the user more ids in \
         /etc/subuid and /etc/subgid"
    )]
    UnmappedOwner {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
    /// The archive broke inside this entry.
    #[error(transparent)]
    Archive(Box<ArchiveError>),
    /// The kernel refused.
    #[error("cannot {op}: {source}")]
    Os {
        /// What was tried.
        op: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
}

impl EntryFault {
    /// For `map_err` on system calls.
    pub(crate) fn os(op: &'static str) -> impl Fn(Errno) -> Self {
        move |source| Self::Os { op, source }
    }
}

impl From<ArchiveError> for EntryFault {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(Box::new(error))
    }
}
