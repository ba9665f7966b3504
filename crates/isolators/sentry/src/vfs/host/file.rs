//! Open files of the host's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use crate::mm::Anchor;

use super::super::{Attributes, File, Glance, Kind};
use super::{HostNode, KNOWN_FOR};

/// An open regular file or directory of the host's.
#[derive(Debug)]
pub struct HostFile {
    fd: Arc<OwnedFd>,
    node: Arc<HostNode>,
    writes: bool,
    was_read: AtomicBool,
    /// What [`File::direct`] tells.
    direct: OnceLock<u64>,
}

/// To what offsets, lengths and memory are to be aligned for reads and writes without a cache of
/// a regular file, as most disks have it; 1 where nothing is.
pub(in super::super) fn direct_alignment(fd: BorrowedFd<'_>) -> u64 {
    const TMPFS: i64 = 0x0102_1994;
    let memory = rustix::fs::fstatfs(fd).is_ok_and(|told| told.f_type == TMPFS);
    if memory { 1 } else { 512 }
}

impl HostFile {
    /// Over a descriptor that the broker opened, perhaps for others too.
    #[must_use]
    pub fn reading(node: &Arc<HostNode>, fd: Arc<OwnedFd>) -> Self {
        HostFile::new(node, fd, false)
    }

    /// Over a descriptor of its own, which can write.
    #[must_use]
    pub fn writing(node: &Arc<HostNode>, fd: OwnedFd) -> Self {
        // Opening may have made an overlay's copy, or cut the file.
        node.changes.writers.fetch_add(1, Ordering::SeqCst);
        node.alter();
        HostFile::new(node, Arc::new(fd), true)
    }

    fn new(node: &Arc<HostNode>, fd: Arc<OwnedFd>, writes: bool) -> Self {
        let was_read = AtomicBool::new(false);
        HostFile { fd, node: Arc::clone(node), writes, was_read, direct: OnceLock::new() }
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        if self.writes {
            self.node.touch();
            self.node.changes.writers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl File for HostFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if !self.was_read.swap(true, Ordering::Relaxed) {
            self.node.is_read();
        }
        rustix::io::pread(&self.fd, into, offset)
    }

    fn write(&self, from: &[u8], offset: u64, append: bool) -> Result<usize, Errno> {
        if append {
            let flags = rustix::io::ReadWriteFlags::APPEND;
            let from = [std::io::IoSlice::new(from)];
            let done = rustix::io::pwritev2(&self.fd, &from, offset, flags);
            self.node.changes.content();
            return done;
        }
        let done = rustix::io::pwrite(&self.fd, from, offset);
        self.node.changes.content();
        done
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.node.attributes_of(self.fd.as_fd())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn in_view(&self) -> Option<(BorrowedFd<'_>, Glance)> {
        let regular = self.node.kind() == Kind::Regular;
        Some((self.fd.as_fd(), regular.then(|| Glance::of(self.fd.as_fd())).flatten()?))
    }

    fn glance(&self, seen: &mut Glance) -> Option<u64> {
        let count = self.node.changes.count();
        let known = if self.node.may_be_believed() { seen.known(count, KNOWN_FOR) } else { None };
        known.or_else(|| seen.look(&rustix::fs::fstat(&self.fd).ok()?, count))
    }

    fn direct(&self) -> Option<u64> {
        let regular = self.node.kind() == Kind::Regular;
        regular.then(|| *self.direct.get_or_init(|| direct_alignment(self.fd.as_fd())))
    }

    fn is_mapped(&self, shared: bool) -> Anchor {
        if shared && self.writes {
            self.node.fs.keep_mapped(&self.node.changes);
        } else {
            self.node.is_read();
        }
        Anchor::default()
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        let done = rustix::fs::ftruncate(&self.fd, size);
        self.node.changes.content();
        done
    }

    fn allocate(&self, mode: FallocateFlags, offset: u64, length: u64) -> Result<(), Errno> {
        let done = rustix::fs::fallocate(&self.fd, mode, offset, length);
        self.node.changes.content();
        done
    }

    fn seek_content(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        let to = if hole { SeekFrom::Hole(offset) } else { SeekFrom::Data(offset) };
        rustix::fs::seek(&self.fd, to)
    }

    fn sync(&self) -> Result<(), Errno> {
        rustix::fs::fsync(&self.fd)
    }

    fn sync_range(&self, _: u64, _: u64, flags: u32) -> Result<(), Errno> {
        // A call of the host's less: more is written than was asked for, and waited for.
        if flags == 0 { Ok(()) } else { self.sync() }
    }
}
