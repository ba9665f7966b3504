//! `/proc/<pid>/mem`: a process's memory as a file.

use std::sync::{Arc, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::Space;
use crate::task::Process;
use crate::task::trace::{Piece, access};

use super::super::{Attributes, File, Walker};
use super::privacy::memory_of;

/// The memory that the process had when this was opened.
pub(super) struct MemoryFile {
    kernel: Weak<Kernel>,
    space: Weak<Space>,
    attributes: Attributes,
}

impl MemoryFile {
    /// For who may trace the process.
    ///
    /// # Errors
    /// `EACCES`; `ESRCH` if it has ended.
    pub(super) fn open(
        walker: &Walker<'_>,
        process: &Process,
        attributes: Attributes,
    ) -> Result<Self, Errno> {
        let kernel = Arc::downgrade(&process.kernel().ok_or(Errno::SRCH)?);
        let space = Arc::downgrade(&memory_of(walker, process)?);
        Ok(MemoryFile { kernel, space, attributes })
    }

    fn copy(&self, piece: Piece<'_>, wanted: usize, offset: u64) -> Result<usize, Errno> {
        let (Some(kernel), Some(space)) = (self.kernel.upgrade(), self.space.upgrade()) else {
            return Ok(0);
        };
        match access(&kernel, &space, offset, piece, None) {
            // Nothing is left of one that has ended.
            0 if wanted > 0 && space.users() > 0 => Err(Errno::IO),
            copied => Ok(copied),
        }
    }
}

impl File for MemoryFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let wanted = into.len();
        self.copy(Piece::Read(into), wanted, offset)
    }

    fn write(&self, from: &[u8], offset: u64, _: bool) -> Result<usize, Errno> {
        self.copy(Piece::Write(from), from.len(), offset)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }
}
