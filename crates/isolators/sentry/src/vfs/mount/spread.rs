//! What is mounted in a shared mount, or taken away there, in its peers and their slaves.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::user_namespace::same as same_owner;
use crate::task::waiter::lock;

use super::super::Entry;
use super::super::walk::names;
use super::copies::{Copies, found_in, is_namespace};
use super::end::{dissolve, end};
use super::sharing::{Groups, How, Propagation};
use super::table::{State, cover, uncover};
use super::{Mount, MountTable, Standing};

/// A copy that is to be mounted.
struct Spread {
    at: Arc<Entry>,
    root: Arc<Entry>,
    tree: Vec<Arc<Mount>>,
    table: Arc<Mutex<State>>,
}

impl Spread {
    /// Mounts it, unless nobody is there any more.
    fn put(&self) {
        let Spread { at, root, tree, table } = self;
        let mut state = lock(table);
        if state.ended {
            drop(state);
            dissolve(&end(tree));
            return;
        }
        // What has been there stays on top.
        let above = at.covered_by();
        if let Some(above) = &above {
            uncover(&above.mount);
        }
        cover(at, root);
        state.enter(table, tree);
        if let Some(above) = &above {
            cover(&root.top(), above);
        }
    }
}

/// What is being mounted, and its copies for others.
struct Spreading<'a> {
    kernel: &'a Kernel,
    groups: &'a mut Groups,
    /// Where it is mounted.
    to: &'a Arc<Entry>,
    table: &'a MountTable,
    /// The first one, and those in it from above to below.
    tree: &'a [Arc<Mount>],
    /// Mounts that tables are to have besides.
    pending: HashMap<*const Mutex<State>, usize>,
}

impl MountTable {
    /// Mounts at `to` what begins at `root`, with `tree` as all its mounts, from above to below,
    /// and all copies of it that there are to be; or nothing. `is_new`: it is in no table yet.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many; `EINVAL` if it is a namespace of mounts that would be
    /// in others; what looking up says of a place that can't be left out.
    pub(super) fn spread(
        &self,
        kernel: &Kernel,
        groups: &mut Groups,
        (to, root, tree): (&Arc<Entry>, &Arc<Entry>, &[Arc<Mount>]),
        is_new: bool,
    ) -> Result<(), Errno> {
        Spreading { kernel, groups, to, table: self, tree, pending: HashMap::new() }
            .mount(root, is_new)
    }
}

impl Spreading<'_> {
    fn mount(mut self, root: &Arc<Entry>, is_new: bool) -> Result<(), Errno> {
        if is_new {
            lock(&self.table.state).has_room(self.tree.len())?;
            self.pending.insert(Arc::as_ptr(&self.table.state), self.tree.len());
        }
        let mut copies = Vec::new();
        if self.to.mount.is_shared() {
            let before: Vec<_> = self.tree.iter().map(|mount| mount.sharing()).collect();
            self.tree.iter().for_each(|mount| self.groups.make(mount, Propagation::Shared));
            if let Err(errno) = self.copy_all(&mut copies) {
                for (mount, before) in self.tree.iter().zip(before) {
                    self.groups.put(mount, before);
                }
                for copy in &copies {
                    dissolve(&end(&copy.tree));
                }
                return Err(errno);
            }
        }
        {
            let mut state = lock(&self.table.state);
            if is_new {
                state.enter(&self.table.state, self.tree);
            } else {
                uncover(&root.mount);
            }
            cover(self.to, root);
        }
        copies.iter().for_each(Spread::put);
        Ok(())
    }

    fn copy_all(&mut self, copies: &mut Vec<Spread>) -> Result<(), Errno> {
        let group = self.to.mount.sharing().group;
        for peer in self.groups.members(group) {
            if peer.id != self.to.mount.id {
                self.copy(copies, &peer, None, How::Same)?;
            }
        }
        let mut left = VecDeque::from([(group, None)]);
        while let Some((group, of)) = left.pop_front() {
            for slave in self.groups.slaves(group) {
                self.copy(copies, &slave, of, How::Slave)?;
            }
            for below in self.groups.below(group) {
                let mut first = None;
                for peer in self.groups.members(below) {
                    let made = match first {
                        Some(_) => self.copy(copies, &peer, first, How::Same)?,
                        None => self.copy(copies, &peer, of, How::SharedSlave)?,
                    };
                    first = first.or(made);
                }
                left.push_back((below, first.or(of)));
            }
        }
        Ok(())
    }

    /// Copies what is mounted, or the copy of this number, for a mount; the number of that.
    fn copy(
        &mut self,
        copies: &mut Vec<Spread>,
        to: &Arc<Mount>,
        of: Option<usize>,
        how: How,
    ) -> Result<Option<usize>, Errno> {
        // It may be in no namespace, or show another part of the file system.
        let Some(table) = to.table() else { return Ok(None) };
        let Some(at) = counterpart(self.kernel, self.to, to) else { return Ok(None) };
        let source = match of.and_then(|number| copies.get(number)) {
            Some(copy) => copy.tree.clone(),
            None => self.tree.to_vec(),
        };
        let pending = self.pending.entry(Arc::as_ptr(&table)).or_default();
        *pending += source.len();
        let owner = {
            let state = lock(&table);
            state.has_room(*pending)?;
            state.owner.clone()
        };
        let locks = !same_owner(&owner, &self.table.owner);
        let (root, tree) = self.copy_tree(&source, how, locks)?;
        copies.push(Spread { at, root, tree, table });
        Ok(Some(copies.len() - 1))
    }

    fn copy_tree(
        &mut self,
        source: &[Arc<Mount>],
        how: How,
        locks: bool,
    ) -> Result<(Arc<Entry>, Vec<Arc<Mount>>), Errno> {
        let (first, rest) = source.split_first().ok_or(Errno::INVAL)?;
        let root = first.root().ok_or(Errno::INVAL)?;
        // Whose namespace it would be in may be made before.
        if root.node.mounts().is_some() {
            return Err(Errno::INVAL);
        }
        let groups = &mut *self.groups;
        let mut each = |copy: &Arc<Mount>, of: &Mount| {
            copy.lock_as(of, locks, of.id != first.id);
            groups.copied(copy, of, how);
        };
        let copies = Copies::make(self.kernel, &root, rest, (false, &is_namespace), &mut each)?;
        // Who is there may take it away again, as a whole.
        copies.root.mount.unlock();
        Ok((copies.root, copies.all))
    }
}

/// What of another mount of the same file system `entry` is, which is in a mount with peers;
/// `None` if that does not show it. Names on the way may have changed since one of them was
/// bound.
fn counterpart(kernel: &Kernel, entry: &Arc<Entry>, of: &Mount) -> Option<Arc<Entry>> {
    let (own, root) = (entry.mount.root()?, of.root()?);
    let within = entry.path_below(&own)?;
    let path: Vec<_> = names(&entry.mount.inside).chain(names(&within)).collect();
    let rest = path.strip_prefix(names(&of.inside).collect::<Vec<_>>().as_slice())?;
    let found = found_in(kernel, &root, rest, entry).ok()?;
    (found.node.id() == entry.node.id()).then_some(found)
}

/// All that see what is mounted in a mount.
fn audience(groups: &Groups, mount: &Mount) -> Vec<Arc<Mount>> {
    let mut all = Vec::new();
    let mut left = VecDeque::from([mount.sharing().group]);
    while let Some(group) = left.pop_front() {
        all.extend(groups.members(group).into_iter().filter(|peer| peer.id != mount.id));
        all.extend(groups.slaves(group));
        left.extend(groups.below(group));
    }
    all
}

/// What peers and slaves of the place have where a mount is.
fn copies_of(kernel: &Kernel, groups: &Groups, mount: &Mount) -> Vec<Arc<Mount>> {
    let Some(place) = mount.place().filter(|place| place.mount.is_shared()) else {
        return Vec::new();
    };
    let there = |other: Arc<Mount>| {
        let covering = counterpart(kernel, &place, &other).and_then(|at| at.covered_by());
        covering.filter(|_| other.table().is_some()).map(|root| Arc::clone(&root.mount))
    };
    audience(groups, &place.mount).into_iter().filter_map(there).collect()
}

/// Whether one that would go with a mount is in use. One with something in it stays.
pub(super) fn has_busy_copy(
    kernel: &Kernel,
    groups: &Groups,
    mount: &Mount,
    standing: &Standing,
) -> bool {
    let copies = copies_of(kernel, groups, mount);
    let inside = inside_of(&copies);
    copies.iter().any(|copy| {
        let within = inside.get(&copy.id);
        let goes = within.is_none_or(|within| within.iter().all(|other| is_on_top(other, copy)));
        goes && copy.is_in_use(standing)
    })
}

/// What else goes when mounts are taken away, which come from above to below; what is mounted
/// on top of such a one stays, in its place.
pub(super) fn also_gone(kernel: &Kernel, groups: &Groups, gone: &[Arc<Mount>]) -> Vec<Arc<Mount>> {
    let own: HashSet<u64> = gone.iter().map(|mount| mount.id).collect();
    let mut found: Vec<Arc<Mount>> = Vec::new();
    let (mut seen, mut free) = (HashSet::new(), HashSet::new());
    for (index, mount) in gone.iter().enumerate() {
        for copy in copies_of(kernel, groups, mount) {
            if !own.contains(&copy.id) && seen.insert(copy.id) {
                // Who takes that away may let it be seen by others what it hides.
                if index == 0 {
                    free.insert(copy.id);
                }
                found.push(copy);
            }
        }
    }
    let inside = inside_of(&found);
    let mut going = HashSet::new();
    let empty = Vec::new();
    // Those in it first.
    for mount in found.iter().rev() {
        let within = inside.get(&mount.id).unwrap_or(&empty);
        // One that is mounted in its own copy takes that away, too.
        let goes = |id: u64| going.contains(&id) || own.contains(&id);
        if within.iter().all(|other| goes(other.id) || is_on_top(other, mount)) {
            going.insert(mount.id);
        }
    }
    // What hides something goes with what it is in.
    for mount in &found {
        let stays =
            |place: &Arc<Entry>| !going.contains(&place.mount.id) && !own.contains(&place.mount.id);
        let locked = mount.is_locked() && !free.contains(&mount.id);
        if locked && mount.place().as_ref().is_none_or(stays) {
            going.remove(&mount.id);
        }
    }
    found.retain(|mount| going.contains(&mount.id));
    let tops = found.iter().filter_map(|mount| {
        let within = inside.get(&mount.id)?;
        let top = within.iter().find(|top| is_on_top(top, mount) && !going.contains(&top.id))?;
        // What that is in may go, too.
        let (mut last, mut place) = (Arc::clone(mount), mount.place()?);
        while going.contains(&place.mount.id) {
            last = Arc::clone(&place.mount);
            place = last.place()?;
        }
        Some((Arc::clone(top), last, place))
    });
    let tops: Vec<_> = tops.collect();
    // What covered all of the last comes last, and is on top of the others.
    for (top, last, place) in tops.iter().rev() {
        let Some((root, table)) = top.root().zip(top.table()) else { continue };
        // What ends with it may wait for the lock.
        let _kept = last.root();
        let state = lock(&table);
        if !state.ended {
            uncover(top);
            uncover(last);
            cover(&place.top(), &root);
        }
    }
    found
}

/// Whether one mount covers all of another.
fn is_on_top(top: &Mount, mount: &Mount) -> bool {
    top.place().zip(mount.root()).is_some_and(|(place, root)| Arc::ptr_eq(&place, &root))
}

/// What is mounted in mounts, by their numbers.
fn inside_of(mounts: &[Arc<Mount>]) -> HashMap<u64, Vec<Arc<Mount>>> {
    let mut tables: Vec<Arc<Mutex<State>>> = Vec::new();
    let mut known = HashSet::new();
    for table in mounts.iter().filter_map(|mount| mount.table()) {
        if known.insert(Arc::as_ptr(&table)) {
            tables.push(table);
        }
    }
    let wanted: HashSet<u64> = mounts.iter().map(|mount| mount.id).collect();
    let mut inside: HashMap<u64, Vec<Arc<Mount>>> = HashMap::new();
    for table in tables {
        let state = lock(&table);
        inside.extend(state.inside().into_iter().filter(|(id, _)| wanted.contains(id)));
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::super::super::{Kind, Node};
    use super::super::Description;
    use super::super::table::made;
    use super::*;

    #[test]
    fn nothing_comes_into_a_namespace_that_has_ended() {
        let table = MountTable::default();
        let top = table.root(Description::default(), Node::Point, Kind::Directory);
        let at = top.add_point(b"a", Kind::Directory);
        let copy = || made(Description::default(), Node::Point, Kind::Directory);
        let spread = |root: Arc<Entry>| Spread {
            at: Arc::clone(&at),
            tree: vec![Arc::clone(&root.mount)],
            root,
            table: Arc::clone(&table.state),
        };
        let (there, late) = (spread(copy()), spread(copy()));
        there.put();
        assert!(Arc::ptr_eq(&at.top(), &there.root));
        assert_eq!(table.all().len(), 2);
        let state = Arc::clone(&table.state);
        drop(table);
        assert!(lock(&state).mounts.is_empty());
        late.put();
        assert!(Arc::ptr_eq(&at.top(), &at));
        assert!(late.root.mount.has_ended() && there.root.mount.has_ended());
        let left = [there, late].map(|spread| Arc::downgrade(&spread.root.mount));
        assert!(left.iter().all(|mount| mount.upgrade().is_none()));
    }
}
