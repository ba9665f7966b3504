//! Trees of mounts that are in no namespace: of fsmount(2), and copies of open_tree(2). A
//! descriptor holds one until it is attached.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

use super::super::{Entry, Kind, Node};
use super::end::{dissolve, end};
use super::table::{cover, made};
use super::{Description, Mount, MountTable};

/// One of them.
#[derive(Debug)]
pub struct DetachedTree {
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
    pub(super) fn new(root: Arc<Entry>, mounts: Vec<Arc<Mount>>) -> Arc<Self> {
        mounts.iter().for_each(|mount| mount.detached.store(true, Ordering::SeqCst));
        let tree = Arc::new(DetachedTree { root, mounts: Mutex::new(mounts) });
        *lock(&tree.root.mount.tree) = Arc::downgrade(&tree);
        tree
    }

    /// Where it begins.
    #[must_use]
    pub fn root(&self) -> &Arc<Entry> {
        &self.root
    }

    /// Its mounts; none once it is attached.
    #[must_use]
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        lock(&self.mounts).clone()
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
        Ok(DetachedTree::new(root, mounts))
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
        let state = lock(&self.state);
        let copied = state.copy_tree(kernel, source, recursive);
        drop(state);
        let (root, mounts) = copied.map_err(|(errno, roots)| {
            dissolve(&roots);
            errno
        })?;
        Ok(DetachedTree::new(root, mounts))
    }

    /// Mounts a whole detached tree at `to`.
    ///
    /// # Errors
    /// As move_mount(2): `EINVAL` if it has been attached, or for a directory on something
    /// else or the reverse; else as [`Self::attach`].
    pub fn attach_tree(&self, tree: &DetachedTree, to: &Arc<Entry>) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        let to = state.place_for(to, tree.root.kind()).map_err(|errno| match errno {
            Errno::NOTDIR => Errno::INVAL,
            other => other,
        })?;
        let mut mounts = lock(&tree.mounts);
        if mounts.is_empty() {
            return Err(Errno::INVAL);
        }
        let leads_back =
            |mount: &Arc<Mount>| mount.root().is_some_and(|root| self.is_in(&root.node));
        if mounts.iter().any(leads_back) {
            return Err(Errno::LOOP);
        }
        state.has_room(mounts.len())?;
        mounts.iter().for_each(|mount| mount.detached.store(false, Ordering::SeqCst));
        cover(&to, &tree.root);
        state.mounts.extend(mounts.drain(..).map(|mount| (mount.id, mount)));
        Ok(())
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
        let ids = if recursive { state.below([root.mount.id]) } else { vec![root.mount.id] };
        Ok(ids.iter().filter_map(|id| state.mounts.get(id)).map(Arc::clone).collect())
    }
}
