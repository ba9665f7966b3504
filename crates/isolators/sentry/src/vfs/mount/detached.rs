//! Trees of mounts that are in no namespace: of fsmount(2), and copies of open_tree(2). A
//! descriptor holds one until it is attached.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

use super::super::{Entry, Kind, Node};
use super::end::{dissolve, end};
use super::sharing::{Family, Groups, Propagation};
use super::table::made;
use super::{Description, Mount, MountTable};

/// One of them.
#[derive(Debug)]
pub struct DetachedTree {
    /// Of the tables that it is for. It changes while that is locked.
    family: Mutex<Arc<Family>>,
    root: Arc<Entry>,
    /// All of it, until it is attached.
    mounts: Mutex<Vec<Arc<Mount>>>,
}

impl Drop for DetachedTree {
    fn drop(&mut self) {
        let mounts = std::mem::take(&mut *lock(&self.mounts));
        dissolve(&end(&mounts));
    }
}

impl DetachedTree {
    pub(super) fn new(
        family: &Arc<Family>,
        root: Arc<Entry>,
        mounts: Vec<Arc<Mount>>,
    ) -> Arc<Self> {
        mounts.iter().for_each(|mount| mount.detached.store(true, Ordering::SeqCst));
        let tree = Arc::new(DetachedTree {
            family: Mutex::new(Arc::clone(family)),
            root,
            mounts: Mutex::new(mounts),
        });
        *lock(&tree.root.mount.tree) = Arc::downgrade(&tree);
        tree
    }

    /// Where it begins.
    #[must_use]
    pub fn root(&self) -> &Arc<Entry> {
        &self.root
    }

    /// Has it be for the tables of a family, whose groups this returns. Of another container's
    /// it takes no part in anything: what is mounted there does not show here.
    fn join<'a>(&self, family: &'a Arc<Family>) -> MutexGuard<'a, Groups> {
        loop {
            let groups = family.groups();
            let before = Arc::clone(&lock(&self.family));
            if Arc::ptr_eq(&before, family) {
                return groups;
            }
            // Never both: others may go the other way.
            drop(groups);
            let mut groups = before.groups();
            let mut now = lock(&self.family);
            if Arc::ptr_eq(&now, &before) {
                self.mounts().iter().for_each(|mount| groups.leave(mount));
                *now = Arc::clone(family);
            }
        }
    }

    /// Its mounts; none once it is attached.
    #[must_use]
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        lock(&self.mounts).clone()
    }

    /// All of them, or the first.
    #[must_use]
    pub fn chosen(&self, recursive: bool) -> Vec<Arc<Mount>> {
        let mut all = self.mounts();
        if !recursive {
            all.truncate(1);
        }
        all
    }
}

impl MountTable {
    /// A file system in a mount of its own, which is not attached.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many.
    pub fn make_detached(
        &self,
        of: Description,
        node: Node,
        kind: Kind,
    ) -> Result<Arc<DetachedTree>, Errno> {
        lock(&self.state).has_room(1)?;
        let root = made(of, node, kind);
        let mounts = vec![Arc::clone(&root.mount)];
        Ok(DetachedTree::new(&self.family, root, mounts))
    }

    /// A copy of what is at `source`, with what is mounted in it if `recursive`.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn copy_detached(
        &self,
        kernel: &Kernel,
        source: &Arc<Entry>,
        recursive: bool,
    ) -> Result<Arc<DetachedTree>, Errno> {
        let mut groups = self.family.groups();
        let (root, mounts) = self.copy_tree(kernel, &mut groups, source, recursive)?;
        drop(groups);
        Ok(DetachedTree::new(&self.family, root, mounts))
    }

    /// Mounts a whole detached tree at `to`.
    ///
    /// # Errors
    /// As move_mount(2): `EINVAL` if it has been attached, or for a directory on something
    /// else or the reverse; else as [`Self::attach`].
    pub fn attach_tree(
        &self,
        kernel: &Kernel,
        tree: &DetachedTree,
        to: &Arc<Entry>,
    ) -> Result<(), Errno> {
        // First without a change to what may be another container's.
        self.place_for_tree(&tree.mounts(), &tree.root, to)?;
        let mut groups = tree.join(&self.family);
        let mut mounts = lock(&tree.mounts);
        let to = self.place_for_tree(&mounts, &tree.root, to)?;
        let detach = |detached| {
            mounts.iter().for_each(|mount| mount.detached.store(detached, Ordering::SeqCst));
        };
        detach(false);
        self.spread(kernel, &mut groups, (&to, &tree.root, &mounts), true)
            .inspect_err(|_| detach(true))?;
        mounts.clear();
        Ok(())
    }

    /// What the root of a detached tree of these mounts is to cover that is mounted at `to`.
    fn place_for_tree(
        &self,
        mounts: &[Arc<Mount>],
        root: &Arc<Entry>,
        to: &Arc<Entry>,
    ) -> Result<Arc<Entry>, Errno> {
        let place = lock(&self.state).place_for(to, root.kind());
        let to = place.map_err(|errno| match errno {
            Errno::NOTDIR => Errno::INVAL,
            other => other,
        })?;
        if mounts.is_empty() {
            return Err(Errno::INVAL);
        }
        let leads_back =
            |mount: &Arc<Mount>| mount.root().is_some_and(|root| self.is_in(&root.node));
        if mounts.iter().any(leads_back) {
            return Err(Errno::LOOP);
        }
        let bound = mounts.iter().any(|mount| mount.sharing().unbindable);
        if to.mount.is_shared() && bound {
            return Err(Errno::INVAL);
        }
        Ok(to)
    }

    /// Makes mounts of a detached tree shared, and so on: all, or the first.
    pub fn make_tree(&self, tree: &DetachedTree, recursive: bool, what: Propagation) {
        let mut groups = tree.join(&self.family);
        tree.chosen(recursive).iter().for_each(|mount| groups.make(mount, what));
    }

    /// The mounts of which one begins at `root`, with those in it if `recursive`.
    ///
    /// # Errors
    /// `EINVAL` if none of this table's does.
    pub fn mounts_from(
        &self,
        root: &Arc<Entry>,
        recursive: bool,
    ) -> Result<Vec<Arc<Mount>>, Errno> {
        let state = lock(&self.state);
        let own = root.mount.root().is_some_and(|own| Arc::ptr_eq(&own, root));
        if !own || !state.mounts.contains_key(&root.mount.id) {
            return Err(Errno::INVAL);
        }
        let first = [Arc::clone(&root.mount)];
        Ok(if recursive { state.below(first) } else { Vec::from(first) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sharing::{How, Sharing};
    use super::*;

    #[test]
    fn a_tree_of_another_container_leaves_its_groups() {
        let tables = [MountTable::default(), MountTable::default()];
        let roots = tables
            .each_ref()
            .map(|table| table.root(Description::default(), Node::Point, Kind::Directory));
        for (table, root) in tables.iter().zip(&roots) {
            table.make(&[Arc::clone(&root.mount)], Propagation::Shared);
        }
        let [ours, theirs] = &tables;
        let tree = ours.make_detached(Description::default(), Node::Point, Kind::Directory);
        let tree = tree.unwrap();
        let first = &tree.root.mount;
        ours.family.groups().copied(first, &roots[0].mount, How::Same);
        assert_eq!(first.sharing(), roots[0].mount.sharing());
        assert_eq!(ours.family.groups().members(1).len(), 2);
        // It is the slave of nobody there, though there is a group of the same number.
        theirs.make_tree(&tree, true, Propagation::Slave);
        assert_eq!(first.sharing(), Sharing::default());
        assert_eq!(ours.family.groups().members(1).len(), 1);
        theirs.make_tree(&tree, true, Propagation::Shared);
        assert_eq!(first.sharing().group, 2);
        // Nor is a copy of what is not there.
        theirs.family.groups().copied(first, &roots[0].mount, How::Same);
        assert_eq!(first.sharing(), Sharing::default());
        assert_eq!(theirs.family.groups().members(1).len(), 1);
    }
}
