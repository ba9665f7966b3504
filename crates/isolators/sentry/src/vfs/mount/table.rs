//! The list of mounts, and how it changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::user_namespace::Space;
use crate::task::waiter::lock;

use super::super::{Entry, Kind, Node};
use super::end::{dissolve, end, end_in_turn};
use super::sharing::{Family, Propagation};
use super::spread::{also_gone, has_busy_copy};
use super::{Description, Mount, MountFlags, Standing};

/// Mounts that there may be.
pub(super) const MOST: usize = 10_000;

/// Mounts of all namespaces: what a guest can make of them.
pub(super) const MOST_IN_ALL: usize = 50_000;

/// When a mount is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// If nobody uses it.
    Unused,
    /// The same, and if nobody has since that was asked before (`MNT_EXPIRE`).
    Expired,
    /// At once, with what is mounted in it (`MNT_DETACH`).
    Lazily,
}

/// The mounts of a namespace, by number.
#[derive(Debug, Default)]
pub struct MountTable {
    pub(super) state: Arc<Mutex<State>>,
    /// Where capabilities count that change it.
    pub owner: Space,
    /// Its number; 0 for a container's.
    pub number: u64,
    /// The root of all, of one that is a copy.
    pub(super) top: OnceLock<Arc<Entry>>,
    /// Held while flags of several mounts are changed.
    pub changing: Mutex<()>,
    /// Held while it is changed.
    pub(super) family: Arc<Family>,
}

/// Numbers of mounts are one's own among all namespaces, at any time: they tell whose it is.
static LAST: AtomicU64 = AtomicU64::new(0);

impl Drop for MountTable {
    fn drop(&mut self) {
        // They hold each other otherwise. Nothing more comes in.
        let mounts = {
            let mut state = lock(&self.state);
            state.ended = true;
            std::mem::take(&mut state.mounts)
        };
        end_in_turn(mounts.into_values().collect());
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) mounts: BTreeMap<u64, Arc<Mount>>,
    /// Where capabilities count that change it.
    pub(super) owner: Space,
    /// The mount that is the root of all.
    pub(super) base: u64,
    /// Whether nobody has it any more: what is put in would stay for good.
    pub(super) ended: bool,
}

impl MountTable {
    /// Makes the root of all.
    #[must_use]
    pub fn root(&self, of: Description, node: Node, kind: Kind) -> Arc<Entry> {
        let root = made(of, node, kind);
        let mut state = lock(&self.state);
        state.base = root.mount.id;
        state.enter(&self.state, &[Arc::clone(&root.mount)]);
        drop(state);
        root
    }

    /// Mounts a file system on what is at `at`.
    ///
    /// # Errors
    /// `ENOTDIR` for a directory on something else or the reverse; `ENOSPC` if there are too
    /// many; `EOPNOTSUPP` on what is a process's own in procfs.
    pub fn attach(
        &self,
        kernel: &Kernel,
        at: &Arc<Entry>,
        (of, node): (Description, Node),
        kind: Kind,
    ) -> Result<Arc<Entry>, Errno> {
        let mut groups = self.family.groups();
        let to = lock(&self.state).place_for(at, kind)?;
        let root = made(of, node, kind);
        self.spread(kernel, &mut groups, (&to, &root, &[Arc::clone(&root.mount)]), true)?;
        Ok(root)
    }

    /// Whether a file system of a type is mounted here of which nothing is hidden for good,
    /// so that another one with `flags` shows no more; those of them that it has to keep.
    #[must_use]
    pub fn shows_whole(&self, kind: &str, flags: MountFlags) -> Option<MountFlags> {
        let state = lock(&self.state);
        let covered = |mount: &Arc<Mount>| {
            let within = |other: &Arc<Mount>| {
                other.is_locked() && other.place().is_some_and(|at| at.mount.id == mount.id)
            };
            state.mounts.values().any(within)
        };
        let whole = |mount: &Arc<Mount>| {
            let kept = mount.kept_flags() & MountFlags::READ_ONLY;
            let all = mount.kind == kind && mount.inside == b"/";
            let all = all && mount.veils.is_empty() && !covered(mount);
            (all && flags.contains(kept)).then_some(kept)
        };
        state.mounts.values().find_map(whole)
    }

    /// Takes away what is mounted at `root`, the root of a mount.
    ///
    /// # Errors
    /// `EINVAL` if it is no such root, or the root of all; unless lazily, `EBUSY` if something is
    /// mounted in it, or it or a peer's copy is in use; `EAGAIN` if it only begins to expire.
    pub fn detach(&self, kernel: &Kernel, root: &Arc<Entry>, how: Leave) -> Result<(), Errno> {
        // Who comes while it is taken away is in what has ended.
        let standing = (how != Leave::Lazily).then(|| Standing::now(kernel));
        let groups = self.family.groups();
        let mut gone = {
            let state = lock(&self.state);
            state.check_free(root)?;
            let below = state.below([Arc::clone(&root.mount)]);
            let in_it = below.len() > 1;
            if standing.as_ref().is_some_and(|all| in_it || root.mount.is_in_use(all)) {
                return Err(Errno::BUSY);
            }
            if how == Leave::Expired && root.mount.begins_to_expire() {
                return Err(Errno::AGAIN);
            }
            below
        };
        if standing.is_some_and(|standing| has_busy_copy(kernel, &groups, &root.mount, &standing)) {
            return Err(Errno::BUSY);
        }
        gone.extend(also_gone(kernel, &groups, &gone));
        for mount in &gone {
            if let Some(table) = mount.table() {
                lock(&table).mounts.remove(&mount.id);
            }
        }
        let roots = end(&gone);
        drop(groups);
        dissolve(&roots);
        Ok(())
    }

    /// Moves what is mounted at `root` to `to`.
    ///
    /// # Errors
    /// As mount(2) with `MS_MOVE`.
    pub fn relocate(
        &self,
        kernel: &Kernel,
        root: &Arc<Entry>,
        to: &Arc<Entry>,
    ) -> Result<(), Errno> {
        let mut groups = self.family.groups();
        let mount = &root.mount;
        let (to, tree) = {
            let state = lock(&self.state);
            state.check_free(root)?;
            let to = state.place_for(to, root.kind())?;
            let place = mount.place().ok_or(Errno::INVAL)?;
            let tree = state.below([Arc::clone(mount)]);
            // Others would still see it where it was; or could not be let see it.
            let bound = tree.iter().any(|mount| mount.sharing().unbindable);
            if place.mount.is_shared() || to.mount.is_shared() && bound {
                return Err(Errno::INVAL);
            }
            if tree.iter().any(|mount| mount.id == to.mount.id) {
                return Err(Errno::LOOP);
            }
            (to, tree)
        };
        self.spread(kernel, &mut groups, (&to, root, &tree), false)
    }

    /// Makes mounts of this table shared, and so on.
    pub fn make(&self, mounts: &[Arc<Mount>], what: Propagation) {
        let mut groups = self.family.groups();
        mounts.iter().for_each(|mount| groups.make(mount, what));
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
        let _groups = self.family.groups();
        let mut state = lock(&self.state);
        let is_root =
            |entry: &Arc<Entry>| entry.mount.root().is_some_and(|r| Arc::ptr_eq(&r, entry));
        let shared = |mount: &Mount| mount.place().is_some_and(|place| place.mount.is_shared());
        if new.mount.is_locked()
            || put_old.mount.is_shared()
            || shared(&new.mount)
            || shared(&old.mount)
            // They may be in another namespace, by way of a descriptor.
            || [old, new, put_old].iter().any(|at| !state.mounts.contains_key(&at.mount.id))
        {
            return Err(Errno::INVAL);
        }
        if old.mount.id == new.mount.id || old.mount.id == put_old.mount.id {
            return Err(Errno::BUSY);
        }
        if !is_root(old) || !is_root(new) || new.mount.place().is_none() {
            return Err(Errno::INVAL);
        }
        // Else the tree would lead back to itself.
        let is_below = |mount: &Mount, above: &Arc<Mount>| {
            state.below([Arc::clone(above)]).iter().any(|other| other.id == mount.id)
        };
        if !is_below(&put_old.mount, &new.mount) || !is_below(&new.mount, &old.mount) {
            return Err(Errno::INVAL);
        }
        uncover(&new.mount);
        match old.mount.place() {
            // Of a process in a root that is itself mounted somewhere: what it covers there
            // stays covered, at any time.
            Some(place) => {
                new.mount.stay_as(&old.mount);
                cover(&place, new);
                old.mount.unlock();
            }
            None => {
                new.stand(None);
                state.base = new.mount.id;
            }
        }
        cover(&put_old.top(), old);
        Ok(())
    }

    /// What is seen at the root of all.
    #[must_use]
    pub fn base(&self) -> Option<Arc<Entry>> {
        let state = lock(&self.state);
        Some(state.mounts.get(&state.base)?.root()?.top())
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

    /// Whether a directory can be looked at from another place without showing what somebody
    /// else's mounts hide: it is here, and nothing locked is mounted in it.
    #[must_use]
    pub fn hides_nothing(&self, directory: &Arc<Entry>) -> bool {
        let state = lock(&self.state);
        let here = state.mounts.contains_key(&directory.mount.id);
        here && !state.directly_in(directory).iter().any(|mount| mount.is_locked())
    }

    /// All mounts, by number.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Mount>> {
        lock(&self.state).mounts.values().cloned().collect()
    }
}

impl State {
    /// Puts mounts in a table, of which this is the state.
    pub(super) fn enter(&mut self, table: &Arc<Mutex<Self>>, mounts: &[Arc<Mount>]) {
        for mount in mounts {
            *lock(&mount.table) = Arc::downgrade(table);
            self.mounts.insert(mount.id, Arc::clone(mount));
        }
    }

    /// Whether what is mounted at `root` may leave its place: the root of a mount of this
    /// table, but not the root of all.
    fn check_free(&self, root: &Arc<Entry>) -> Result<(), Errno> {
        let mount = &root.mount;
        if mount.root().is_none_or(|r| !Arc::ptr_eq(&r, root)) || mount.place().is_none() {
            return Err(Errno::INVAL);
        }
        // It shows what it covers to nobody who could not see it before.
        if mount.is_locked() || !self.mounts.contains_key(&mount.id) {
            return Err(Errno::INVAL);
        }
        Ok(())
    }

    /// What something of a kind is to cover that is mounted at `at`: what is seen there.
    pub(super) fn place_for(&self, at: &Arc<Entry>, kind: Kind) -> Result<Arc<Entry>, Errno> {
        let at = at.top();
        if (at.kind() == Kind::Directory) != (kind == Kind::Directory) {
            return Err(Errno::NOTDIR);
        }
        if !at.can_be_covered() {
            return Err(Errno::OPNOTSUPP);
        }
        // It may be in another namespace, by way of a descriptor.
        if self.mounts.contains_key(&at.mount.id) { Ok(at) } else { Err(Errno::INVAL) }
    }

    /// Whether so many more may be.
    pub(super) fn has_room(&self, more: usize) -> Result<(), Errno> {
        let full = self.mounts.len() + more > MOST || super::count() + more > MOST_IN_ALL;
        if full { Err(Errno::NOSPC) } else { Ok(()) }
    }

    /// What is mounted in mounts, by their numbers.
    pub(super) fn inside(&self) -> HashMap<u64, Vec<Arc<Mount>>> {
        let mut inside: HashMap<u64, Vec<Arc<Mount>>> = HashMap::new();
        for mount in self.mounts.values() {
            if let Some(place) = mount.place() {
                inside.entry(place.mount.id).or_default().push(Arc::clone(mount));
            }
        }
        inside
    }

    /// Mounts of this table and all that are mounted in them, from above to below.
    pub(super) fn below(&self, first: impl IntoIterator<Item = Arc<Mount>>) -> Vec<Arc<Mount>> {
        let mut inside = self.inside();
        let mut found = Vec::from_iter(first);
        let mut next = 0;
        while let Some(above) = found.get(next) {
            found.extend(inside.remove(&above.id).unwrap_or_default());
            next += 1;
        }
        found
    }
}

/// The root of a mount that is in no table yet.
pub(super) fn made(of: Description, node: Node, kind: Kind) -> Arc<Entry> {
    let mount = Mount::new(LAST.fetch_add(1, Ordering::Relaxed) + 1, of);
    let root = Entry::mounted(&mount, node, kind);
    *lock(&mount.root) = Arc::downgrade(&root);
    root
}

/// Puts a mount's root on an entry, which has nothing on it.
pub(super) fn cover(at: &Arc<Entry>, root: &Arc<Entry>) {
    root.stand(Some(at));
    *lock(&root.mount.place) = Some(Arc::clone(at));
    at.set_covering(Some(root));
    at.pin();
}

pub(super) fn uncover(mount: &Mount) {
    let place = lock(&mount.place).take();
    if let Some(place) = place {
        place.set_covering(None);
    }
}
