//! `/proc/sys/fs/lease-break-time`, open to be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::Errno;

use super::super::texts::{read_number, read_text};
use super::super::{Attributes, File};

/// Its path below `/proc/sys`.
pub(super) const PATH: &str = "fs/lease-break-time";
/// Most bytes of a value.
const MOST: usize = 64;

/// The setting of a kernel.
pub(super) struct LeaseTimeFile {
    pub(super) seconds: Arc<AtomicI32>,
    pub(super) attributes: Attributes,
}

impl File for LeaseTimeFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let text = format!("{}\n", self.seconds.load(Ordering::SeqCst));
        Ok(read_text(text.as_bytes(), into, offset))
    }

    fn write(&self, from: &[u8], offset: u64, _: bool) -> Result<usize, Errno> {
        // As Linux: what comes later than the first piece is of no effect.
        if offset > 0 || from.is_empty() {
            return Ok(from.len());
        }
        let value = read_number(from.get(..MOST).unwrap_or(from))?;
        self.seconds.store(value, Ordering::SeqCst);
        Ok(from.len())
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}
