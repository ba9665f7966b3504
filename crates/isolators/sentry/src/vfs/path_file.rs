//! Files that were opened as mere names (`O_PATH`).

use std::sync::Arc;

use rustix::io::Errno;

use super::mount::DetachedTree;
use super::{Attributes, Entry, File, Ready};

/// A name that is held.
pub(super) struct PathFile {
    entry: Arc<Entry>,
    attributes: Attributes,
    /// What is there as long as this is open.
    _tree: Option<Arc<DetachedTree>>,
}

impl PathFile {
    /// Of an entry with these attributes.
    pub(super) fn new(entry: &Arc<Entry>, attributes: Attributes) -> Self {
        PathFile { entry: Arc::clone(entry), attributes, _tree: None }
    }

    /// The root of a detached tree of mounts, which it keeps.
    pub(super) fn of_tree(tree: Arc<DetachedTree>, attributes: Attributes) -> Self {
        PathFile { entry: Arc::clone(tree.root()), attributes, _tree: Some(tree) }
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

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.entry.node.now_there()?.unwrap_or(self.attributes))
    }
}
