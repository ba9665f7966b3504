//! Copies of mounts with what is mounted in them: for a namespace, and at another place.
//!
//! Where they are mounted is looked up in the file system that it is in, without anybody's
//! permissions: what covers something is never left out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::user_namespace::{Space, new_number};
use crate::task::waiter::lock;

use super::super::setup::same_mount;
use super::super::{Entry, Kind, Node};
use super::end::{dissolve, end};
use super::table::{MOST_IN_ALL, State, cover, made};
use super::{Mount, MountTable};

/// A copy of a table, and the roots of its mounts.
type Copied = (Arc<MountTable>, HashMap<u32, Arc<Entry>>);

impl MountTable {
    /// A copy for a namespace of its own, where `owner`'s capabilities count; if that is
    /// another one than here, nothing that is mounted in it can be taken away. Also returns
    /// where the roots of its mounts are, by the number of what they are copies of.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many; what looking up says of the place of one that can't be
    /// left out.
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
            changing: Mutex::default(),
        };
        let mut roots = HashMap::new();
        let top = state.mounts.values().find(|mount| mount.place().is_none());
        let order = top.map(|top| state.below([top.id])).unwrap_or_default();
        for id in order {
            let found = state.mounts.get(&id).and_then(|mount| Some((mount, mount.root()?)));
            let Some((mount, root)) = found else { continue };
            if root.node.mounts().is_some() {
                continue;
            }
            let place = match mount.place() {
                Some(place) => {
                    let own = place.mount.root();
                    let Some(above) = own.zip(roots.get(&place.mount.id)) else { continue };
                    match (found_in(kernel, (&above.0, above.1), &place), locks) {
                        (Ok(place), _) => Some(place),
                        // Where it is mounted is gone.
                        (Err(Errno::NOENT), false) if !mount.is_locked() => continue,
                        (Err(errno), _) => return Err(errno),
                    }
                }
                None => None,
            };
            let of = same_mount(&root, mount.flags());
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

    /// Mounts what is at `source` at `target` too, with what is mounted in it if `recursive`.
    ///
    /// # Errors
    /// As mount(2) with `MS_BIND`: `EINVAL` if something would show that a mount hides; what
    /// looking up says of the place of one that can't be left out.
    pub fn bind(
        &self,
        kernel: &Kernel,
        (source, target): (&Arc<Entry>, &Arc<Entry>),
        recursive: bool,
    ) -> Result<(), Errno> {
        if self.is_in(&source.node) {
            return Err(Errno::INVAL);
        }
        let mut state = lock(&self.state);
        let target = state.place_for(target, source.kind())?;
        let (new, all) = match state.copy_tree(kernel, source, recursive) {
            Ok(copied) => copied,
            Err((errno, roots)) => {
                drop(state);
                dissolve(&roots);
                return Err(errno);
            }
        };
        // Only now, when nothing is missing, does it show.
        cover(&target, &new);
        state.mounts.extend(all.into_iter().map(|mount| (mount.id, mount)));
        Ok(())
    }
}

impl MountTable {
    /// Whether a file stands for this namespace, or one that was made before. Such is never
    /// mounted here, so that none holds itself, however many are between.
    pub(super) fn is_in(&self, node: &Node) -> bool {
        node.mounts().is_some_and(|mounts| mounts.number <= self.number)
    }
}

/// The root of a copy, and all its mounts; or why there is none, and what to dissolve.
type CopiedTree = Result<(Arc<Entry>, Vec<Arc<Mount>>), (Errno, Vec<Arc<Entry>>)>;

/// Copies mounts, from above to below, into the copy of what they are in; adds them to `all`.
fn copy_into(
    kernel: &Kernel,
    (source, new): (&Arc<Entry>, &Arc<Entry>),
    order: &[Arc<Mount>],
    all: &mut Vec<Arc<Mount>>,
) -> Result<(), Errno> {
    let mut roots = HashMap::from([(source.mount.id, (Arc::clone(source), Arc::clone(new)))]);
    for mount in order {
        let Some((root, place)) = mount.root().zip(mount.place()) else { continue };
        let Some((own, copy)) = roots.get(&place.mount.id) else { continue };
        let at = match found_in(kernel, (own, copy), &place) {
            Ok(at) => at,
            // Where it is mounted is gone.
            Err(Errno::NOENT) if !mount.is_locked() => continue,
            Err(errno) => return Err(errno),
        };
        let copy = made(same_mount(&root, mount.flags()), root.node.clone(), root.kind());
        copy.mount.stay_as(mount);
        all.push(Arc::clone(&copy.mount));
        cover(&at, &copy);
        roots.insert(mount.id, (root, copy));
    }
    Ok(())
}

impl State {
    /// A copy of what is at `source`, in no table, with what is mounted in it if `recursive`.
    pub(super) fn copy_tree(
        &self,
        kernel: &Kernel,
        source: &Arc<Entry>,
        recursive: bool,
    ) -> CopiedTree {
        let plain = |errno| (errno, Vec::new());
        // Files of namespaces are bound from wherever they are.
        let namespace = matches!(source.node, Node::Namespace(_));
        if !namespace && !self.mounts.contains_key(&source.mount.id) {
            return Err(plain(Errno::INVAL));
        }
        let inside = self.directly_in(source);
        // What a mount hides that stays where it is would show.
        if !recursive && inside.iter().any(|mount| mount.is_locked()) {
            return Err(plain(Errno::INVAL));
        }
        let all = self.below(inside.iter().filter(|_| recursive).map(|mount| mount.id));
        let order = all.iter().filter_map(|id| self.mounts.get(id)).map(Arc::clone);
        let order: Vec<_> = order.collect();
        self.has_room(order.len() + 1).map_err(plain)?;
        let of = same_mount(source, source.mount.flags());
        let new = made(of, source.node.clone(), source.kind());
        let mut all = vec![Arc::clone(&new.mount)];
        match copy_into(kernel, (source, &new), &order, &mut all) {
            Ok(()) => Ok((new, all)),
            Err(errno) => Err((errno, end(&all))),
        }
    }

    /// What is mounted at an entry or below it in the same mount.
    pub(super) fn directly_in(&self, source: &Arc<Entry>) -> Vec<Arc<Mount>> {
        let is_inside = |mount: &&Arc<Mount>| {
            let place = mount.place().filter(|place| place.mount.id == source.mount.id);
            place.is_some_and(|place| place.path_below(source).is_some())
        };
        self.mounts.values().filter(is_inside).map(Arc::clone).collect()
    }
}

/// Where an entry is among copies of mounts; `None` if it is gone there.
#[must_use]
pub fn moved(
    kernel: &Kernel,
    roots: &HashMap<u32, Arc<Entry>>,
    entry: &Arc<Entry>,
) -> Option<Arc<Entry>> {
    let own = entry.mount.root()?;
    found_in(kernel, (&own, roots.get(&entry.mount.id)?), entry).ok()
}

/// Where an entry at or below `own` is in `copy`, which is a copy of that.
fn found_in(
    kernel: &Kernel,
    (own, copy): (&Arc<Entry>, &Arc<Entry>),
    entry: &Arc<Entry>,
) -> Result<Arc<Entry>, Errno> {
    let mut at = Arc::clone(copy);
    if Arc::ptr_eq(own, entry) {
        return Ok(at);
    }
    let path = entry.path_below(own).ok_or(Errno::NOENT)?;
    let names: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|name| !name.is_empty()).collect();
    for (index, name) in names.iter().enumerate() {
        let last = index + 1 == names.len();
        at = match at.lookup(kernel, name, false) {
            Ok(child) => child,
            // Some are there only to be mounted on.
            Err(_) if matches!(entry.node, Node::Point) => {
                at.add_point(name, if last { entry.kind() } else { Kind::Directory })
            }
            Err(errno) => return Err(errno),
        };
    }
    Ok(at)
}
