//! Open files in memory.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use crate::mm::Anchor;

use super::super::{Attributes, File, Glance};
use super::TmpNode;

/// An open file.
#[derive(Debug)]
pub struct TmpFile(pub Arc<TmpNode>);

impl File for TmpFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.0.read(into, offset)
    }

    fn write(&self, from: &[u8], offset: u64, append: bool) -> Result<usize, Errno> {
        self.0.write(from, offset, append)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.0.attributes()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.memory().ok()
    }

    fn in_view(&self) -> Option<(BorrowedFd<'_>, Glance)> {
        let (fd, mut glance) = (self.0.memory_in_view()?, Glance::of_memory());
        glance.look(&rustix::fs::fstat(fd).ok()?, 0).map(|_| (fd, glance))
    }

    fn glance(&self, seen: &mut Glance) -> Option<u64> {
        seen.look(&rustix::fs::fstat(self.0.memory().ok()?).ok()?, 0)
    }

    fn direct(&self) -> Option<u64> {
        Some(1)
    }

    fn is_mapped(&self, _: bool) -> Anchor {
        Anchor::of(Arc::clone(&self.0) as _)
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.0.truncate(size)
    }

    fn allocate(&self, mode: FallocateFlags, offset: u64, length: u64) -> Result<(), Errno> {
        self.0.allocate(mode, offset, length)
    }

    fn seek_content(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        let fd = self.0.memory()?;
        let to = if hole { SeekFrom::Hole(offset) } else { SeekFrom::Data(offset) };
        rustix::fs::seek(fd, to)
    }
}

/// An open directory, or anything that is only a name (`O_PATH`).
pub struct TmpDirectory(pub Arc<TmpNode>);

impl File for TmpDirectory {
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        Err(Errno::ISDIR)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.0.attributes()
    }
}
