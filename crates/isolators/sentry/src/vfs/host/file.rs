//! Open files of the host's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use crate::mm::Anchor;

use super::super::{Attributes, File};
use super::HostNode;

/// An open regular file or directory of the host's.
#[derive(Debug)]
pub struct HostFile {
    fd: Arc<OwnedFd>,
    node: Arc<HostNode>,
    writes: bool,
    was_read: AtomicBool,
}

impl HostFile {
    /// Over a descriptor that the broker opened, perhaps for others too.
    #[must_use]
    pub fn reading(node: &Arc<HostNode>, fd: Arc<OwnedFd>) -> Self {
        HostFile { fd, node: Arc::clone(node), writes: false, was_read: AtomicBool::new(false) }
    }

    /// Over a descriptor of its own, which can write.
    #[must_use]
    pub fn writing(node: &Arc<HostNode>, fd: OwnedFd) -> Self {
        // Opening may have made an overlay's copy, or cut the file.
        node.changes.writers.fetch_add(1, Ordering::SeqCst);
        node.alter();
        let was_read = AtomicBool::new(false);
        HostFile { fd: Arc::new(fd), node: Arc::clone(node), writes: true, was_read }
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
            return rustix::io::pwritev2(&self.fd, &[std::io::IoSlice::new(from)], offset, flags);
        }
        rustix::io::pwrite(&self.fd, from, offset)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.node.attributes_of(self.fd.as_fd())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
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
        rustix::fs::ftruncate(&self.fd, size)
    }

    fn allocate(&self, mode: FallocateFlags, offset: u64, length: u64) -> Result<(), Errno> {
        rustix::fs::fallocate(&self.fd, mode, offset, length)
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
