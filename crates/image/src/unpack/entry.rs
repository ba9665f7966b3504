//! One entry of a tar archive, as its headers describe it.

use std::fmt;

use super::sparse::Piece;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file, sparse ones too.
    Regular,
    /// Another name of an earlier file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regular => "a regular file",
            Self::HardLink => "a hard link",
            Self::Symlink => "a symbolic link",
            Self::CharDevice => "a character device",
            Self::BlockDevice => "a block device",
            Self::Directory => "a directory",
            Self::Fifo => "a FIFO",
        })
    }
}

/// A point in time: seconds since 1970 (negative before) and nanoseconds
/// after that second, below 1,000,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds on top.
    pub nanos: u32,
}

/// An extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// An entry's headers, put together. Nothing in it has been compared with a
/// file system: the path may be absolute, or full of `..`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which entry of the archive, counted from 1.
    pub index: u64,
    /// What it is.
    pub kind: EntryKind,
    /// Path as written in the archive, without NUL.
    pub path: Vec<u8>,
    /// Target of a hard or symbolic link, without NUL.
    pub link: Vec<u8>,
    /// Permission bits with setuid, setgid and sticky: at most 0o7777.
    pub mode: u32,
    /// Owner; never `u32::MAX`.
    pub uid: u32,
    /// Group; never `u32::MAX`.
    pub gid: u32,
    /// Size of a regular file as it appears, holes counted.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Time,
    /// Last access, where the archive says.
    pub atime: Option<Time>,
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Where the data of a sparse file belongs; the rest is holes.
    pub pieces: Option<Vec<Piece>>,
}
