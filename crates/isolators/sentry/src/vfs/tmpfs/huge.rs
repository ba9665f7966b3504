//! Files of huge pages (`MFD_HUGETLB`), of which there are none: such a file has a size, and
//! nothing in it.

use std::any::Any;
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::super::{Attributes, File, Kind};
use super::TmpNode;

/// Bytes of a huge page by their logarithm, as calls ask for it; 0 is what is usual.
#[must_use]
pub fn page_size(logarithm: u32) -> Option<u64> {
    match logarithm {
        0 | 21 => Some(1 << 21),
        30 => Some(1 << 30),
        _ => None,
    }
}

/// An open file.
#[derive(Debug)]
pub struct HugeFile(pub Arc<TmpNode>);

impl TmpNode {
    /// Bytes of its pages, if they are huge. What others have the number of a device in.
    #[must_use]
    pub fn huge_page(&self) -> Option<u64> {
        (self.kind == Kind::Regular && self.number != 0).then_some(self.number)
    }
}

impl HugeFile {
    /// Bytes of its pages.
    #[must_use]
    pub fn page(&self) -> u64 {
        self.0.huge_page().unwrap_or(1 << 21)
    }
}

impl File for HugeFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.0.read(into, offset)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.0.attributes()
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        if size.is_multiple_of(self.page()) { self.0.truncate(size) } else { Err(Errno::INVAL) }
    }

    fn allocate(&self, mode: FallocateFlags, offset: u64, length: u64) -> Result<(), Errno> {
        if mode.contains(FallocateFlags::PUNCH_HOLE) {
            return self.0.allocate(mode, offset, length);
        }
        Err(if mode.is_empty() { Errno::NOSPC } else { Errno::OPNOTSUPP })
    }
}
