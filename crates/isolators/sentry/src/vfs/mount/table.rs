//! The list of mounts, and how it changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::super::{Entry, Kind, Node};
use super::{Description, Mount};

/// Mounts that there may be.
const MOST: usize = 10_000;

/// All mounts, by number. There is one namespace of mounts.
#[derive(Debug, Default)]
pub struct MountTable {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u32,
    mounts: BTreeMap<u32, Arc<Mount>>,
}

impl MountTable {
    /// Makes the root of all.
    #[must_use]
    pub fn root(&self, of: Description, node: Node, kind: Kind) -> Arc<Entry> {
        let mut state = lock(&self.state);
        state.add(of, node, kind)
    }

    /// Mounts a file system on what is at `at`.
    ///
    /// # Errors
    /// `ENOTDIR` for a directory on something else or the reverse; `ENOSPC` if there are too
    /// many.
    pub fn attach(
        &self,
        at: &Arc<Entry>,
        of: Description,
        node: Node,
        kind: Kind,
    ) -> Result<Arc<Entry>, Errno> {
        if (at.kind() == Kind::Directory) != (kind == Kind::Directory) {
            return Err(Errno::NOTDIR);
        }
        let mut state = lock(&self.state);
        if state.mounts.len() >= MOST {
            return Err(Errno::NOSPC);
        }
        let root = state.add(of, node, kind);
        cover(at, &root);
        Ok(root)
    }

    /// Takes away what is mounted at `root`, the root of a mount; mounts in it too if `lazily`.
    ///
    /// # Errors
    /// `EINVAL` if it is no such root, or the root of all; `EBUSY` if something is mounted
    /// in it.
    pub fn detach(&self, root: &Arc<Entry>, lazily: bool) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        let mount = &root.mount;
        if mount.root().is_none_or(|r| !Arc::ptr_eq(&r, root)) || mount.place().is_none() {
            return Err(Errno::INVAL);
        }
        let below = state.below(mount.id);
        if below.len() > 1 && !lazily {
            return Err(Errno::BUSY);
        }
        for id in below.iter().rev() {
            if let Some(mount) = state.mounts.remove(id) {
                uncover(&mount);
            }
        }
        Ok(())
    }

    /// Moves what is mounted at `root` to `to`.
    ///
    /// # Errors
    /// As mount(2) with `MS_MOVE`.
    pub fn relocate(&self, root: &Arc<Entry>, to: &Arc<Entry>) -> Result<(), Errno> {
        let state = lock(&self.state);
        let mount = &root.mount;
        if mount.root().is_none_or(|r| !Arc::ptr_eq(&r, root)) || mount.place().is_none() {
            return Err(Errno::INVAL);
        }
        if (to.kind() == Kind::Directory) != (root.kind() == Kind::Directory) {
            return Err(Errno::NOTDIR);
        }
        if state.below(mount.id).contains(&to.mount.id) {
            return Err(Errno::LOOP);
        }
        uncover(mount);
        cover(to, root);
        Ok(())
    }

    /// Makes `new`, the root of a mount, the root of all; the old root is mounted at `put_old`
    /// below it. The caller moves processes.
    ///
    /// # Errors
    /// As pivot_root(2).
    pub fn pivot(
        &self,
        old: &Arc<Entry>,
        new: &Arc<Entry>,
        put_old: &Arc<Entry>,
    ) -> Result<(), Errno> {
        let state = lock(&self.state);
        let is_root =
            |entry: &Arc<Entry>| entry.mount.root().is_some_and(|r| Arc::ptr_eq(&r, entry));
        if !is_root(old) || !is_root(new) || new.mount.place().is_none() {
            return Err(Errno::INVAL);
        }
        if old.mount.id == new.mount.id || old.mount.id == put_old.mount.id {
            return Err(Errno::BUSY);
        }
        if !state.below(new.mount.id).contains(&put_old.mount.id) {
            return Err(Errno::INVAL);
        }
        uncover(&new.mount);
        match old.mount.place() {
            // Of a process in a root that is itself mounted somewhere.
            Some(place) => {
                uncover(&old.mount);
                cover(&place, new);
            }
            None => new.stand(None),
        }
        cover(&put_old.top(), old);
        Ok(())
    }

    /// All mounts, by number.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Mount>> {
        lock(&self.state).mounts.values().cloned().collect()
    }
}

impl State {
    fn add(&mut self, of: Description, node: Node, kind: Kind) -> Arc<Entry> {
        self.last += 1;
        let mount = Mount::new(self.last, of);
        let root = Entry::mounted(&mount, node, kind);
        *lock(&mount.root) = Arc::downgrade(&root);
        self.mounts.insert(mount.id, mount);
        root
    }

    /// A mount and all that are mounted in it, from above to below.
    fn below(&self, id: u32) -> Vec<u32> {
        let mut found = vec![id];
        let mut next = 0;
        while let Some(above) = found.get(next).copied() {
            next += 1;
            let inside = self.mounts.values().filter(|mount| {
                mount.place().is_some_and(|place| place.mount.id == above)
                    && !found.contains(&mount.id)
            });
            let inside: Vec<u32> = inside.map(|mount| mount.id).collect();
            found.extend(inside);
        }
        found
    }
}

/// Puts a mount's root on an entry, which has nothing on it.
fn cover(at: &Arc<Entry>, root: &Arc<Entry>) {
    root.stand(Some(at));
    *lock(&root.mount.place) = Some(Arc::clone(at));
    at.set_covering(Some(root));
}

fn uncover(mount: &Mount) {
    let place = lock(&mount.place).take();
    if let Some(place) = place {
        place.set_covering(None);
    }
}
