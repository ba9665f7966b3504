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

use super::super::walk::names;
use super::super::{Entry, Kind, Node};
use super::end::{dissolve, end};
use super::sharing::{Groups, How};
use super::table::{MOST_IN_ALL, State, cover, made};
use super::{Description, Mount, MountFlags, MountTable};

/// A copy of a table, and the roots of its mounts.
type Copied = (Arc<MountTable>, HashMap<u64, Arc<Entry>>);

/// What is to be done with each copy of a mount.
type Each<'a> = &'a mut dyn FnMut(&Arc<Mount>, &Mount);

/// Which mounts, with these roots, are left out with what is in them.
type Skip<'a> = &'a dyn Fn(&Mount, &Entry) -> Result<bool, Errno>;

/// Copies of mounts, which are in no table yet.
pub(super) struct Copies {
    /// The root of the first.
    pub(super) root: Arc<Entry>,
    /// All of them.
    pub(super) all: Vec<Arc<Mount>>,
    /// Roots of mounts and of their copies, by number of the mount.
    roots: HashMap<u64, (Arc<Entry>, Arc<Entry>)>,
}

impl Copies {
    /// Copies what is at `source`, and mounts in it, which come from above to below; `strict`:
    /// none is left out because its place is gone.
    ///
    /// # Errors
    /// What looking up says of a place; what `skip` says.
    pub(super) fn make(
        kernel: &Kernel,
        source: &Arc<Entry>,
        order: &[Arc<Mount>],
        leaving_out: (bool, Skip<'_>),
        each: Each<'_>,
    ) -> Result<Self, Errno> {
        let mut copies = Copies::begin(source, &mut *each);
        copies
            .fill(kernel, order, leaving_out, each)
            .inspect_err(|_| dissolve(&end(&copies.all)))?;
        Ok(copies)
    }

    /// A copy of what is at `source`, without what is mounted in it.
    fn begin(source: &Arc<Entry>, each: Each<'_>) -> Self {
        let of = same_mount(source, source.mount.flags());
        let root = made(of, source.node.clone(), source.kind());
        each(&root.mount, &source.mount);
        let roots = HashMap::from([(source.mount.id, (Arc::clone(source), Arc::clone(&root)))]);
        Copies { all: vec![Arc::clone(&root.mount)], root, roots }
    }

    /// Copies mounts into the copy of what they are in.
    fn fill(
        &mut self,
        kernel: &Kernel,
        order: &[Arc<Mount>],
        (strict, skip): (bool, Skip<'_>),
        each: Each<'_>,
    ) -> Result<(), Errno> {
        for mount in order {
            let Some((root, place)) = mount.root().zip(mount.place()) else { continue };
            let Some((own, copy)) = self.roots.get(&place.mount.id) else { continue };
            if skip(mount, &root)? {
                continue;
            }
            let at = match again(kernel, (own, copy), &place) {
                Ok(at) => at,
                // Where it is mounted is gone.
                Err(Errno::NOENT) if !mount.is_locked() && !strict => continue,
                Err(errno) => return Err(errno),
            };
            let copy = made(same_mount(&root, mount.flags()), root.node.clone(), root.kind());
            each(&copy.mount, mount);
            self.all.push(Arc::clone(&copy.mount));
            cover(&at, &copy);
            self.roots.insert(mount.id, (root, copy));
        }
        Ok(())
    }
}

impl MountTable {
    /// A copy for a namespace of its own, where `owner`'s capabilities count; if that is
    /// another one than here, nothing that is mounted in it can be taken away. Also returns
    /// where the roots of its mounts are, by the number of what they are copies of.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many; what looking up says of the place of one that can't be
    /// left out.
    pub fn copy(&self, kernel: &Kernel, owner: &Space, locks: bool) -> Result<Copied, Errno> {
        let mut groups = self.family.groups();
        let (top, order) = {
            let state = lock(&self.state);
            if super::count() + state.mounts.len() > MOST_IN_ALL {
                return Err(Errno::NOSPC);
            }
            let top = state.mounts.get(&state.base);
            let top = top.and_then(|top| top.root()).ok_or(Errno::INVAL)?;
            let order = state.below([Arc::clone(&top.mount)]).into_iter().skip(1);
            (top, order.collect::<Vec<_>>())
        };
        let how = if locks { How::Below } else { How::Same };
        let mut each = |copy: &Arc<Mount>, of: &Mount| {
            copy.lock_as(of, locks, of.id != top.mount.id);
            groups.copied(copy, of, how);
        };
        let Copies { root, all, roots } =
            Copies::make(kernel, &top, &order, (locks, &is_namespace), &mut each)?;
        let base = root.mount.id;
        let new = MountTable {
            state: Arc::new(Mutex::new(State { owner: owner.clone(), base, ..State::default() })),
            owner: owner.clone(),
            number: new_number(),
            top: OnceLock::from(root),
            changing: Mutex::default(),
            family: Arc::clone(&self.family),
        };
        lock(&new.state).enter(&new.state, &all);
        let roots = roots.into_iter().map(|(id, (_, copy))| (id, copy)).collect();
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
        let mut groups = self.family.groups();
        let to = lock(&self.state).place_for(target, source.kind())?;
        let (root, tree) = self.copy_tree(kernel, &mut groups, source, recursive)?;
        // Only now, when nothing is missing, does it show.
        let mounted = self.spread(kernel, &mut groups, (&to, &root, &tree), true);
        mounted.inspect_err(|_| dissolve(&end(&tree)))
    }

    /// Whether a file stands for this namespace, or one that was made before. Such is never
    /// mounted here, so that none holds itself, however many are between.
    pub(super) fn is_in(&self, node: &Node) -> bool {
        node.mounts().is_some_and(|mounts| mounts.number <= self.number)
    }

    /// A copy of what is at `source`, in no table, with what is mounted in it if `recursive`:
    /// its root, and all its mounts.
    pub(super) fn copy_tree(
        &self,
        kernel: &Kernel,
        groups: &mut Groups,
        source: &Arc<Entry>,
        recursive: bool,
    ) -> Result<(Arc<Entry>, Vec<Arc<Mount>>), Errno> {
        // Files of namespaces are bound from wherever they are.
        let namespace = matches!(source.node, Node::Namespace(_));
        let order = {
            let state = lock(&self.state);
            if !namespace && !state.mounts.contains_key(&source.mount.id) {
                return Err(Errno::INVAL);
            }
            let inside = state.directly_in(source);
            // What a mount hides that stays where it is would show.
            if !recursive && inside.iter().any(|mount| mount.is_locked()) {
                return Err(Errno::INVAL);
            }
            let order = if recursive { state.below(inside) } else { Vec::new() };
            state.has_room(order.len() + 1)?;
            order
        };
        if source.mount.sharing().unbindable {
            return Err(Errno::INVAL);
        }
        let mut each = |copy: &Arc<Mount>, of: &Mount| {
            if of.id != source.mount.id {
                copy.stay_as(of);
            }
            groups.copied(copy, of, How::Same);
        };
        let skip = |mount: &Mount, _: &Entry| match mount.sharing().unbindable {
            // What it hides would show.
            true if mount.is_locked() => Err(Errno::PERM),
            unbindable => Ok(unbindable),
        };
        let copies = Copies::make(kernel, source, &order, (false, &skip), &mut each)?;
        Ok((copies.root, copies.all))
    }
}

impl State {
    /// What is mounted at an entry or below it in the same mount.
    pub(super) fn directly_in(&self, source: &Arc<Entry>) -> Vec<Arc<Mount>> {
        let is_inside = |mount: &&Arc<Mount>| {
            let place = mount.place().filter(|place| place.mount.id == source.mount.id);
            place.is_some_and(|place| place.path_below(source).is_some())
        };
        self.mounts.values().filter(is_inside).map(Arc::clone).collect()
    }
}

/// Whether a mount with this root is a namespace of mounts. Others get no copy of it: one that was
/// made after it never holds it.
pub(super) fn is_namespace(_: &Mount, root: &Entry) -> Result<bool, Errno> {
    Ok(root.node.mounts().is_some())
}

/// Where an entry is among copies of mounts; `None` if it is gone there.
#[must_use]
pub fn moved(
    kernel: &Kernel,
    roots: &HashMap<u64, Arc<Entry>>,
    entry: &Arc<Entry>,
) -> Option<Arc<Entry>> {
    let own = entry.mount.root()?;
    again(kernel, (&own, roots.get(&entry.mount.id)?), entry).ok()
}

/// Where an entry at or below `own` is in `copy`, which is a copy of that.
fn again(
    kernel: &Kernel,
    (own, copy): (&Arc<Entry>, &Arc<Entry>),
    entry: &Arc<Entry>,
) -> Result<Arc<Entry>, Errno> {
    if Arc::ptr_eq(own, entry) {
        return Ok(Arc::clone(copy));
    }
    let path = entry.path_below(own).ok_or(Errno::NOENT)?;
    found_in(kernel, copy, &names(&path).collect::<Vec<_>>(), entry)
}

/// What is to be `entry`, by names below the root of another mount of its file system.
pub(super) fn found_in(
    kernel: &Kernel,
    root: &Arc<Entry>,
    names: &[&[u8]],
    entry: &Arc<Entry>,
) -> Result<Arc<Entry>, Errno> {
    let mut at = Arc::clone(root);
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

/// What another mount of the same file system says of itself.
#[must_use]
pub fn same_mount(entry: &Arc<Entry>, flags: MountFlags) -> Description {
    if let Node::Host(node) = &entry.node {
        node.fs.share();
    }
    let mount = &entry.mount;
    let root = mount.root();
    let below = root.and_then(|root| entry.path_below(&root)).unwrap_or_else(|| b"/".to_vec());
    let inside = match (mount.inside.as_slice(), below.as_slice()) {
        // Told without a slash.
        _ if matches!(entry.node, Node::Namespace(_)) && !entry.is_root() => entry.name(),
        (above, b"/") => above.to_vec(),
        (b"/", below) => below.to_vec(),
        (above, below) => [above, below].concat(),
    };
    Description {
        kind: mount.kind.clone(),
        source: mount.source.clone(),
        inside,
        options: mount.options.clone(),
        device: mount.device,
        flags,
        owner: mount.owner.clone(),
        kept: mount.kept_flags(),
        veils: Arc::clone(&mount.veils),
    }
}
