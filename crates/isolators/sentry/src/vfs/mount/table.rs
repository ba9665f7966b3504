//! The list of mounts, and how it changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::user_namespace::{Space, new_number};
use crate::task::waiter::lock;

use super::super::setup::same_mount;
use super::super::{Entry, Kind, Node};
use super::{Description, Mount};

/// Mounts that there may be.
const MOST: usize = 10_000;

/// Mounts of all namespaces: what a guest can make of them.
const MOST_IN_ALL: usize = 50_000;

/// The mounts of a namespace, by number.
#[derive(Debug, Default)]
pub struct MountTable {
    state: Mutex<State>,
    /// Where capabilities count that change it.
    pub owner: Space,
    /// Its number; 0 for a container's.
    pub number: u32,
    /// The root of all, of one that is a copy.
    top: OnceLock<Arc<Entry>>,
}

/// Numbers of mounts are one's own among all namespaces.
static LAST: AtomicU32 = AtomicU32::new(0);

impl Drop for MountTable {
    fn drop(&mut self) {
        // They hold each other otherwise.
        let mounts = std::mem::take(&mut lock(&self.state).mounts);
        for mount in mounts.values() {
            let root = mount.root();
            uncover(mount);
            if let Some(root) = root {
                root.dissolve();
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
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
        if state.mounts.len() >= MOST || super::count() >= MOST_IN_ALL {
            return Err(Errno::NOSPC);
        }
        // It may be in another namespace, by way of a descriptor.
        if !state.mounts.contains_key(&at.mount.id) {
            return Err(Errno::INVAL);
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
        // It shows what it covers to nobody who could not see it before.
        if mount.is_locked() || !state.mounts.contains_key(&mount.id) {
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
        let all = [mount.id, to.mount.id];
        if mount.is_locked() || !all.iter().all(|id| state.mounts.contains_key(id)) {
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
        if !is_root(old)
            || !is_root(new)
            || new.mount.place().is_none()
            || new.mount.is_locked()
            // They may be in another namespace, by way of a descriptor.
            || [old, new, put_old].iter().any(|at| !state.mounts.contains_key(&at.mount.id))
        {
            return Err(Errno::INVAL);
        }
        if old.mount.id == new.mount.id || old.mount.id == put_old.mount.id {
            return Err(Errno::BUSY);
        }
        // Else the tree would lead back to itself.
        if !state.below(new.mount.id).contains(&put_old.mount.id)
            || !state.below(old.mount.id).contains(&new.mount.id)
        {
            return Err(Errno::INVAL);
        }
        uncover(&new.mount);
        match old.mount.place() {
            // Of a process in a root that is itself mounted somewhere: what it covers there
            // stays covered.
            Some(place) => {
                uncover(&old.mount);
                cover(&place, new);
                new.mount.locked.store(old.mount.is_locked(), Ordering::SeqCst);
                old.mount.locked.store(false, Ordering::SeqCst);
            }
            None => new.stand(None),
        }
        cover(&put_old.top(), old);
        Ok(())
    }

    /// A copy for a namespace of its own, where `owner`'s capabilities count; if that is
    /// another one than here, nothing that is mounted in it can be taken away. Also returns
    /// where the roots of its mounts are, by the number of what they are copies of.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many.
    pub fn copy(&self, kernel: &Kernel, owner: &Space, locks: bool) -> Result<Copied, Errno> {
        let state = lock(&self.state);
        if super::count() + state.mounts.len() > MOST_IN_ALL {
            return Err(Errno::NOSPC);
        }
        let new = MountTable {
            state: Mutex::default(),
            owner: owner.clone(),
            number: new_number(),
            top: OnceLock::new(),
        };
        let mut roots = HashMap::new();
        let top = state.mounts.values().find(|mount| mount.place().is_none());
        let order = top.map(|top| state.below(top.id)).unwrap_or_default();
        for id in order {
            let found = state.mounts.get(&id).and_then(|mount| Some((mount, mount.root()?)));
            let Some((mount, root)) = found else { continue };
            let of = same_mount(&root, mount.flags());
            let place = match mount.place() {
                Some(place) => match moved(kernel, &roots, &place) {
                    Some(place) => Some(place),
                    // Where it is mounted is gone.
                    None => continue,
                },
                None => None,
            };
            let copy = lock(&new.state).add(of, root.node.clone(), root.kind());
            copy.mount.lock_as(mount, locks, place.is_some());
            match place {
                Some(place) => cover(&place, &copy),
                None => {
                    let _ = new.top.set(Arc::clone(&copy));
                }
            }
            roots.insert(id, copy);
        }
        Ok((Arc::new(new), roots))
    }

    /// What is seen at the root of all.
    #[must_use]
    pub fn base(&self) -> Option<Arc<Entry>> {
        let state = lock(&self.state);
        let first = state.mounts.values().find(|mount| mount.place().is_none())?.root()?;
        Some(first.top())
    }

    /// The root of all, of one that is a copy.
    #[must_use]
    pub fn top(&self) -> Option<&Arc<Entry>> {
        self.top.get()
    }

    /// Whether a mount is one of these.
    #[must_use]
    pub fn has(&self, mount: &Mount) -> bool {
        lock(&self.state).mounts.contains_key(&mount.id)
    }

    /// All mounts, by number.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Mount>> {
        lock(&self.state).mounts.values().cloned().collect()
    }
}

impl State {
    fn add(&mut self, of: Description, node: Node, kind: Kind) -> Arc<Entry> {
        let mount = Mount::new(LAST.fetch_add(1, Ordering::Relaxed) + 1, of);
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

/// A copy of a table, and the roots of its mounts.
pub(super) type Copied = (Arc<MountTable>, HashMap<u32, Arc<Entry>>);

/// Where an entry is among copies of mounts; `None` if it is gone there.
#[must_use]
pub fn moved(
    kernel: &Kernel,
    roots: &HashMap<u32, Arc<Entry>>,
    entry: &Arc<Entry>,
) -> Option<Arc<Entry>> {
    let own = entry.mount.root()?;
    let mut at = Arc::clone(roots.get(&entry.mount.id)?);
    let path = if Arc::ptr_eq(&own, entry) { b"/".to_vec() } else { entry.path_below(&own)? };
    let names: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|name| !name.is_empty()).collect();
    for (index, name) in names.iter().enumerate() {
        let last = index + 1 == names.len();
        at = match at.lookup(kernel, name, false) {
            Ok(child) => child,
            // Some are there only to be mounted on.
            Err(_) if matches!(entry.node, Node::Point) => {
                at.add_point(name, if last { entry.kind() } else { Kind::Directory })
            }
            Err(_) => return None,
        };
    }
    Some(at)
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
