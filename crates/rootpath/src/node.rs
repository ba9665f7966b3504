//! Device nodes, symbolic links, ownership and removal below the root.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, makedev, mknodat, openat,
    readlinkat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::create::PARENT_MODE;
use crate::error::{FileKind, PathFault, RootPathError};
use crate::inode::{expect_device, kind_of};
use crate::procfs::{ProcHandle, ProcScope};
use crate::root::{Root, split_last};

/// Kinds of nodes that mknod(2) makes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// Character device with its numbers.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Block device with its numbers.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Named pipe.
    Fifo,
}

/// A node to be made.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits, exact: the umask does not apply.
    pub mode: Mode,
    /// Owner, as seen from the caller's user namespace.
    pub uid: Uid,
    /// Group, as seen from the caller's user namespace.
    pub gid: Gid,
}

impl Root {
    /// Makes a device node or FIFO, its missing parents with mode 0755, and
    /// returns an `O_PATH` descriptor of it.
    ///
    /// A node of the same kind and numbers that is there already is kept as
    /// it is, owner and mode included; anything else there is an error
    /// ([`RootPathError::is_conflict`]). A link at the last component is not
    /// followed. `EPERM` comes back where devices can't be made (user
    /// namespaces): bind the host's node then.
    ///
    /// Five system calls where owner and umask need no correction.
    pub fn mknod(&self, path: &Path, node: &Node) -> Result<OwnedFd, RootPathError> {
        let (parent, name) =
            split_last(path).map_err(|e| Self::fail("create device node", path, e))?;
        let parent = self.mkdir_all(parent, PARENT_MODE)?;
        make_node(parent.as_fd(), name, node).map_err(|e| Self::fail("create device node", path, e))
    }

    /// As [`Root::mknod`], for several nodes in one directory: `dir` came from
    /// this root, `name` is one plain name.
    pub fn mknod_in(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        node: &Node,
    ) -> Result<OwnedFd, RootPathError> {
        one_name(name)
            .and_then(|name| make_node(dir, name, node))
            .map_err(|e| Self::fail("create device node", Path::new(name), e))
    }

    /// Makes a symbolic link at `path`. `target` is text, used as it is.
    /// The parent directory must exist; one with the same target that is
    /// there already is fine, anything else there is an error
    /// ([`RootPathError::is_conflict`]).
    pub fn symlink(&self, path: &Path, target: &Path) -> Result<(), RootPathError> {
        let (dir, name) = self.parent_and_name(path)?;
        make_symlink(dir.as_fd(), &name, target)
            .map_err(|e| Self::fail("create symbolic link", path, e))
    }

    /// As [`Root::symlink`], in a directory that came from this root.
    pub fn symlink_in(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        target: &Path,
    ) -> Result<(), RootPathError> {
        one_name(name)
            .and_then(|name| make_symlink(dir, name, target))
            .map_err(|e| Self::fail("create symbolic link", Path::new(name), e))
    }

    /// The text of the symbolic link at `path`.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf, RootPathError> {
        let fd = self.resolve_no_follow_last(path)?;
        link_text(&fd, OsStr::new(""))
            // An empty name on anything but a link gives ENOENT.
            .map_err(|e| {
                let e = if e == Errno::NOENT { Errno::INVAL } else { e };
                Self::fail("read link", path, e)
            })
    }

    /// Changes owner and group of `path` itself (a last link is not
    /// followed). `None` leaves one as it is.
    pub fn chown(
        &self,
        path: &Path,
        uid: Option<Uid>,
        gid: Option<Gid>,
    ) -> Result<(), RootPathError> {
        let fd = self.resolve_no_follow_last(path)?;
        chownat(&fd, "", uid, gid, AtFlags::EMPTY_PATH)
            .map_err(|e| Self::fail("change owner of", path, e))
    }

    /// Removes the file, link, node or empty directory at `path`. A last link
    /// is removed, not followed. Errors: `ENOENT`, `ENOTEMPTY`, `EBUSY`.
    pub fn remove(&self, path: &Path) -> Result<(), RootPathError> {
        let (dir, name) = self.parent_and_name(path)?;
        match unlinkat(&dir, name.as_os_str(), AtFlags::empty()) {
            Err(Errno::ISDIR) => unlinkat(&dir, name.as_os_str(), AtFlags::REMOVEDIR),
            done => done,
        }
        .map_err(|e| Self::fail("remove", path, e))
    }
}

fn one_name(name: &OsStr) -> Result<&OsStr, PathFault> {
    match split_last(Path::new(name))? {
        (_, last) if last == name => Ok(name),
        _ => Err(PathFault::BadPath("not one plain name")),
    }
}

fn make_node(dir: BorrowedFd<'_>, name: &OsStr, node: &Node) -> Result<OwnedFd, PathFault> {
    let (file_type, dev) = match node.kind {
        NodeKind::Char { major, minor } => (FileType::CharacterDevice, makedev(major, minor)),
        NodeKind::Block { major, minor } => (FileType::BlockDevice, makedev(major, minor)),
        NodeKind::Fifo => (FileType::Fifo, 0),
    };
    let made = match mknodat(dir, name, file_type, node.mode, dev) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(errno.into()),
    };
    let fd = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&fd)?;
    match node.kind {
        NodeKind::Char { major, minor } => {
            expect_device(&stat, FileKind::CharDevice, major, minor)?;
        }
        NodeKind::Block { major, minor } => {
            expect_device(&stat, FileKind::BlockDevice, major, minor)?;
        }
        NodeKind::Fifo if kind_of(&stat) != FileKind::Fifo => {
            return Err(PathFault::WrongKind { expected: FileKind::Fifo, found: kind_of(&stat) });
        }
        NodeKind::Fifo => {}
    }
    if made {
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        if owner != (node.uid, node.gid) {
            chownat(&fd, "", Some(node.uid), Some(node.gid), AtFlags::EMPTY_PATH)?;
        }
        if Mode::from_raw_mode(stat.st_mode) != node.mode {
            // The umask took bits away. There is no fchmod for O_PATH before
            // Linux 6.6; the way through procfs is slow, so callers with many
            // nodes clear their umask.
            ProcHandle::new(ProcScope::Pids)
                .and_then(|proc| proc.chmod(&fd, node.mode))
                .map_err(|e| e.source)?;
        }
    }
    Ok(fd)
}

fn make_symlink(dir: BorrowedFd<'_>, name: &OsStr, target: &Path) -> Result<(), PathFault> {
    match symlinkat(target, dir, name) {
        Err(Errno::EXIST) => {}
        done => return done.map_err(Into::into),
    }
    match link_text(dir, name) {
        Ok(found) if found.as_os_str() == target.as_os_str() => Ok(()),
        Ok(found) => Err(PathFault::WrongTarget { found }),
        // Not a link at all.
        Err(Errno::INVAL) => Err(Errno::EXIST.into()),
        Err(errno) => Err(errno.into()),
    }
}

fn link_text(dir: impl AsFd, name: &OsStr) -> Result<PathBuf, Errno> {
    let text = readlinkat(dir, name, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(text.into_bytes())))
}
