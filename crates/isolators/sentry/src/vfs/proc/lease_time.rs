//! `/proc/sys/fs/lease-break-time`, open to be written.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;

use super::super::file::read_text;
use super::super::{Attributes, File};

/// Its path below `/proc/sys`.
pub(super) const PATH: &str = "fs/lease-break-time";
/// Most bytes of a value.
const MOST: usize = 64;

/// The setting of a kernel.
pub(super) struct LeaseTimeFile {
    pub(super) kernel: Weak<Kernel>,
    pub(super) attributes: Attributes,
}

impl LeaseTimeFile {
    fn kernel(&self) -> Result<Arc<Kernel>, Errno> {
        self.kernel.upgrade().ok_or(Errno::IO)
    }
}

/// What it says.
pub(super) fn text(kernel: &Kernel) -> Vec<u8> {
    format!("{}\n", kernel.files.lease_break.load(Ordering::SeqCst)).into_bytes()
}

impl File for LeaseTimeFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        Ok(read_text(&text(&*self.kernel()?), into, offset))
    }

    fn write(&self, from: &[u8], offset: u64, _: bool) -> Result<usize, Errno> {
        // As Linux: what comes later than the first piece is of no effect.
        if offset > 0 || from.is_empty() {
            return Ok(from.len());
        }
        let value = from.get(..from.len().min(MOST)).unwrap_or_default();
        let value = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
        let kernel = self.kernel()?;
        kernel.files.lease_break.store(value.ok_or(Errno::INVAL)?, Ordering::SeqCst);
        Ok(from.len())
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}
