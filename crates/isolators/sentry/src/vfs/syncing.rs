//! What was written reaches the host's disks: sync(2), syncfs(2).

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::{FileSystem, HostNode, Node, OpenFile};

impl FileSystem {
    /// Has all reach its disk that was written to what is mounted, in whatever namespace.
    pub fn sync(&self) {
        let copies: Vec<_> = lock(&self.copies).iter().filter_map(Weak::upgrade).collect();
        let tables = std::iter::once(&self.mounts).chain(&copies);
        let roots = tables.flat_map(|table| table.all()).filter_map(|mount| mount.root());
        let mut done = HashSet::new();
        for root in roots {
            if let Node::Host(node) = &root.node
                && done.insert(node.id().0)
            {
                // sync(2) tells of no errors.
                let _ = self.sync_host(node);
            }
        }
    }

    /// Has all reach its disk that was written to the file system of an open file.
    ///
    /// # Errors
    /// What the host says.
    pub fn sync_around(&self, file: &OpenFile) -> Result<(), Errno> {
        let Some(entry) = &file.entry else { return Ok(()) };
        // That is a directory or a file, whatever this is.
        let root = entry.mount.root().unwrap_or_else(|| Arc::clone(entry));
        if let Node::Host(node) = &root.node { self.sync_host(node) } else { Ok(()) }
    }

    fn sync_host(&self, node: &HostNode) -> Result<(), Errno> {
        self.broker.sync_all(node.handle(&self.broker)?)
    }
}
