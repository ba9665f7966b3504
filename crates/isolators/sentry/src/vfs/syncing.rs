//! What was written reaches the host's disks: sync(2), syncfs(2).

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::{FileSystem, Kind, MountTable, Node, OpenFile};

impl FileSystem {
    /// Has all reach its disk that was written to what is mounted, in whatever namespace.
    pub fn sync(&self) {
        let mut done = HashSet::new();
        for (device, handle) in self.disks() {
            // sync(2) tells of no errors; another mount's handle may do.
            if !done.contains(&device) && self.sync_host(handle.as_fd()).is_ok() {
                done.insert(device);
            }
        }
    }

    /// Has all reach its disk that was written to the file system of an open file.
    ///
    /// # Errors
    /// What the host says.
    pub fn sync_around(&self, file: &OpenFile) -> Result<(), Errno> {
        let Some(entry) = &file.entry else { return Ok(()) };
        let Node::Host(node) = &entry.node else { return Ok(()) };
        if matches!(node.kind(), Kind::Regular | Kind::Directory) {
            return self.sync_host(node.handle(&self.broker)?);
        }
        // By such a file the host's can't be told; by others of its file system.
        let (device, _) = node.id();
        match self.disks().find(|(other, _)| *other == device) {
            Some((_, handle)) => self.sync_host(handle.as_fd()),
            // The guest has nothing there that could have been written.
            None => Ok(()),
        }
    }

    /// Tables of mounts besides the first one that are still there.
    pub(super) fn copies(&self) -> Vec<Arc<MountTable>> {
        let mut copies = lock(&self.copies);
        copies.retain(|table| table.strong_count() > 0);
        copies.iter().filter_map(Weak::upgrade).collect()
    }

    /// Handles in the host's file systems, by device, of some more than one.
    fn disks(&self) -> impl Iterator<Item = (u64, Arc<OwnedFd>)> {
        let copies = self.copies();
        let tables = std::iter::once(&self.mounts).chain(&copies);
        let roots: Vec<_> =
            tables.flat_map(|table| table.all()).filter_map(|mount| mount.root()).collect();
        roots.into_iter().flat_map(|root| match &root.node {
            Node::Host(node) => node.fs.disks(),
            _ => Vec::new(),
        })
    }

    fn sync_host(&self, handle: BorrowedFd<'_>) -> Result<(), Errno> {
        self.broker.sync_all(handle)
    }
}
