//! Files that were opened as mere names (`O_PATH`).

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::waiter::Waiter;

use super::{Attributes, Entry, File, Ready};

/// A name that is held.
pub(super) struct PathFile {
    entry: Arc<Entry>,
    attributes: Attributes,
}

impl PathFile {
    /// Of an entry with these attributes.
    pub(super) fn new(entry: &Arc<Entry>, attributes: Attributes) -> Self {
        PathFile { entry: Arc::clone(entry), attributes }
    }
}

impl File for PathFile {
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    fn ready(&self) -> Ready {
        Ready::NVAL
    }

    fn watch(&self, _: &Arc<Waiter>) {}

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.entry.node.now_there()?.unwrap_or(self.attributes))
    }
}
