//! Open files in memory.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use crate::task::waiter::Waiter;

use super::super::{Attributes, File, Ready};
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

    fn ready(&self) -> Ready {
        Ready::IN | Ready::OUT
    }

    fn watch(&self, _: &Arc<Waiter>) {}

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.0.attributes()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.memory().ok()
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

    fn ready(&self) -> Ready {
        Ready::IN | Ready::OUT
    }

    fn watch(&self, _: &Arc<Waiter>) {}

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.0.attributes()
    }
}

/// A file that memfd_create(2) made.
pub struct MemoryFile {
    file: TmpFile,
    label: String,
}

impl MemoryFile {
    /// Of a file without a name, which it was asked to be called.
    #[must_use]
    pub fn new(node: Arc<TmpNode>, name: &[u8]) -> Self {
        let label = format!("/memfd:{} (deleted)", String::from_utf8_lossy(name));
        MemoryFile { file: TmpFile(node), label }
    }
}

/// Opens a file in memory without a name again; `None` if the file is none.
pub(in crate::vfs) fn memory_again(file: &dyn File) -> Option<Box<dyn File>> {
    let MemoryFile { file, label } = file.own()?.downcast_ref()?;
    let (file, label) = (TmpFile(Arc::clone(&file.0)), label.clone());
    Some(Box::new(MemoryFile { file, label }))
}

impl File for MemoryFile {
    fn own(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }

    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.file.read(into, offset)
    }

    fn write(&self, from: &[u8], offset: u64, append: bool) -> Result<usize, Errno> {
        // Seals are the host's to keep.
        self.file.0.memory()?;
        self.file.write(from, offset, append)
    }

    fn ready(&self) -> Ready {
        self.file.ready()
    }

    fn watch(&self, _: &Arc<Waiter>) {}

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.file.attributes()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.descriptor()
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.file.0.memory()?;
        self.file.truncate(size)
    }

    fn allocate(&self, mode: FallocateFlags, offset: u64, length: u64) -> Result<(), Errno> {
        self.file.allocate(mode, offset, length)
    }

    fn seek_content(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        self.file.seek_content(offset, hole)
    }

    fn seals(&self) -> Option<BorrowedFd<'_>> {
        self.file.descriptor()
    }

    fn label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}
