//! `/proc/<pid>/oom_score_adj`, open to be written: what is said is kept and told, and children
//! have it too. It is the host that ends programs for want of memory, a sandbox as a whole.

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::Process;
use crate::task::waiter::lock;

use super::super::texts::{read_number, read_text};
use super::super::{Attributes, File};

/// What it may be, and what the opposite of that is.
const MOST: i32 = 1000;

/// The adjustment of a process.
pub(super) struct AdjustmentFile {
    pub(super) process: Arc<Process>,
    /// Whether who opened it may lower it below what it was set to.
    pub(super) free: bool,
    pub(super) attributes: Attributes,
}

impl File for AdjustmentFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let text = format!("{}\n", lock(&self.process.oom_adjustment).0);
        Ok(read_text(text.as_bytes(), into, offset))
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        let wanted: i32 = read_number(from)?;
        if !(-MOST..=MOST).contains(&wanted) {
            return Err(Errno::INVAL);
        }
        let mut adjustment = lock(&self.process.oom_adjustment);
        if !self.free && wanted < adjustment.1 {
            return Err(Errno::ACCESS);
        }
        adjustment.0 = wanted;
        if self.free {
            adjustment.1 = wanted;
        }
        Ok(from.len())
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}
