//! The tree of names, and how a path is walked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

use super::host::{many_handles, most_handles};
use super::mount::Mount;
use super::{Attributes, File, Kind, Node, Walker};

/// A name in a mount, and what it stands for.
#[derive(Debug)]
pub struct Entry {
    pub(super) place: Mutex<(Option<Arc<Entry>>, Vec<u8>)>,
    /// What it stands for.
    pub node: Node,
    kind: Kind,
    /// The mount that it is in.
    pub mount: Arc<Mount>,
    pub(super) children: Mutex<HashMap<Vec<u8>, Arc<Entry>>>,
    /// Root of what is mounted here.
    covering: Mutex<Option<Arc<Entry>>>,
    /// Held while a name in it is changed.
    pub(super) changing: Mutex<()>,
    /// Whether it was looked up since names were last let go.
    used: AtomicBool,
    /// Whether its name was taken away.
    pub(super) nameless: AtomicBool,
    /// Of a host's directory: [`Since::outside`] when the name was found.
    pub(super) found: AtomicU64,
}

pub(super) static CACHED: AtomicUsize = AtomicUsize::new(0);
/// Names that are cached at most, give or take [`TRIM_AFTER`].
pub(super) const CACHE_LIMIT: usize = 32_768;
static ADDED: AtomicUsize = AtomicUsize::new(0);
/// Names that are added before unused ones are looked for once more.
const TRIM_AFTER: usize = 512;
/// How deep the cache is walked: a guest can nest directories deeper than this thread's
/// stack goes.
pub(super) const DEEPEST: usize = 200;

impl Drop for Entry {
    fn drop(&mut self) {
        // A guest can nest directories, and mounts on each other, deeper than this thread's
        // stack goes.
        let take = |own: &mut Entry| {
            let above = own.place.get_mut().unwrap_or_else(PoisonError::into_inner).0.take();
            let over = own.covering.get_mut().unwrap_or_else(PoisonError::into_inner).take();
            (above, over)
        };
        let (mut next, over) = take(self);
        let mut left = Vec::from_iter(over);
        while let Some(entry) = next.take().or_else(|| left.pop()) {
            if let Some(mut entry) = Arc::into_inner(entry) {
                let (above, over) = take(&mut entry);
                left.extend(over);
                next = above;
            }
        }
    }
}

impl Entry {
    /// A child that is not cached.
    #[must_use]
    pub fn new(parent: &Arc<Entry>, name: &[u8], node: Node, kind: Kind) -> Arc<Self> {
        Entry::at((Some(Arc::clone(parent)), name.to_vec()), &parent.mount, node, kind)
    }

    /// The root of a mount.
    #[must_use]
    pub(super) fn mounted(mount: &Arc<Mount>, node: Node, kind: Kind) -> Arc<Self> {
        Entry::at((None, Vec::new()), mount, node, kind)
    }

    fn at(
        place: (Option<Arc<Entry>>, Vec<u8>),
        mount: &Arc<Mount>,
        node: Node,
        kind: Kind,
    ) -> Arc<Self> {
        Arc::new(Entry {
            place: Mutex::new(place),
            node,
            kind,
            mount: Arc::clone(mount),
            children: Mutex::default(),
            covering: Mutex::default(),
            changing: Mutex::default(),
            used: AtomicBool::new(true),
            nameless: AtomicBool::new(false),
            found: AtomicU64::new(0),
        })
    }

    /// The type of file.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name in the directory that holds it.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        lock(&self.place).1.clone()
    }

    /// The directory that holds it; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Entry>> {
        lock(&self.place).0.clone()
    }

    /// Its path from the root of all.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let mut parts = Vec::new();
        let (mut parent, mut name) = lock(&self.place).clone();
        while let Some(above) = parent {
            parts.push(name);
            (parent, name) = lock(&above.place).clone();
        }
        joined(&parts)
    }

    /// Its path from `root`; `None` if it is not below.
    #[must_use]
    pub fn path_below(self: &Arc<Self>, root: &Arc<Entry>) -> Option<Vec<u8>> {
        let mut parts = Vec::new();
        let mut at = Arc::clone(self);
        // A root may be covered by others: they all are at `/`.
        while !Arc::ptr_eq(&at, root) && !at.stands_on(root) {
            let (parent, name) = lock(&at.place).clone();
            let parent = parent?;
            parts.push(name);
            at = parent;
        }
        Some(joined(&parts))
    }

    /// Whether it is the root of a mount that covers `other`.
    fn stands_on(&self, other: &Arc<Entry>) -> bool {
        let mut mount = Arc::clone(&self.mount);
        if !self.is_root() {
            return false;
        }
        while let Some(place) = mount.place() {
            if Arc::ptr_eq(&place, other) {
                return true;
            }
            if place.mount.root().is_none_or(|root| !Arc::ptr_eq(&root, &place)) {
                return false;
            }
            mount = Arc::clone(&place.mount);
        }
        false
    }

    /// Has the root of a mount stand where `at` is; nowhere, if it is `None`.
    pub(super) fn stand(&self, at: Option<&Arc<Entry>>) {
        let place = at.map(|at| lock(&at.place).clone()).unwrap_or_default();
        *lock(&self.place) = place;
    }

    /// Has the root of a mount cover this, or nothing any more.
    pub(super) fn set_covering(&self, root: Option<&Arc<Entry>>) {
        *lock(&self.covering) = root.map(Arc::clone);
    }

    /// The root of what is mounted right on it.
    pub(super) fn covered_by(&self) -> Option<Arc<Entry>> {
        lock(&self.covering).clone()
    }

    /// Whether it is the root of its mount.
    pub(super) fn is_root(&self) -> bool {
        self.mount.root().is_some_and(|root| std::ptr::eq(&*root, self))
    }

    /// What is to be seen here: the root of the last mount, or this.
    #[must_use]
    pub fn top(self: &Arc<Self>) -> Arc<Entry> {
        let mut top = Arc::clone(self);
        loop {
            let above = lock(&top.covering).clone();
            match above {
                Some(above) => top = above,
                None => return top,
            }
        }
    }

    /// A child that is only there to be mounted on.
    pub fn add_point(self: &Arc<Self>, name: &[u8], kind: Kind) -> Arc<Entry> {
        let child = Entry::new(self, name, Node::Point, kind);
        lock(&self.children).insert(name.to_vec(), Arc::clone(&child));
        child
    }

    /// Names of the children that are only there to be mounted on.
    #[must_use]
    pub fn points(&self) -> Vec<(Vec<u8>, Kind)> {
        let children = lock(&self.children);
        let points = children.iter().filter(|(_, child)| matches!(child.node, Node::Point));
        points.map(|(name, child)| (name.clone(), child.kind)).collect()
    }

    /// Whether something is mounted here, or may be.
    pub(super) fn is_fast(&self) -> bool {
        matches!(self.node, Node::Point) || lock(&self.covering).is_some()
    }

    /// Whether a name here can't be taken away, as something is mounted there.
    #[must_use]
    pub fn holds_fast(&self, name: &[u8]) -> bool {
        lock(&self.children).get(name).is_some_and(|child| child.is_fast())
    }

    /// Attributes now.
    ///
    /// # Errors
    /// What the host says.
    pub fn attributes(&self, kernel: &Kernel) -> Result<Attributes, Errno> {
        match &self.node {
            Node::Host(node) => node.attributes(&kernel.files.broker),
            Node::Tmp(node) => node.attributes(),
            Node::Overlay(node) => node.attributes(kernel),
            Node::Point => Ok(Attributes {
                device: self.mount.device,
                inode: 1,
                mode: self.kind as u32 | 0o755,
                links: 1,
                block_size: 4096,
                ..Attributes::default()
            }),
            Node::Proc(node) => node.attributes(kernel),
            Node::Namespace(file) => file.attributes(),
        }
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// `EINVAL` if it is none.
    pub fn target(&self, walker: &Walker<'_>) -> Result<Vec<u8>, Errno> {
        match &self.node {
            Node::Host(node) if self.kind == Kind::Link => node.target(&walker.kernel.files.broker),
            Node::Tmp(node) => node.target(),
            Node::Overlay(node) => node.target(walker),
            Node::Proc(node) => node.target(walker),
            _ => Err(Errno::INVAL),
        }
    }

    /// A name in a directory; what is mounted there is not looked at. `opens` if it is about to
    /// be opened for reading.
    ///
    /// # Errors
    /// `ENOENT`, and what the host says; `ESTALE` for what was covered in a mount that is no
    /// more.
    pub fn lookup(
        self: &Arc<Self>,
        kernel: &Kernel,
        name: &[u8],
        opens: bool,
    ) -> Result<Arc<Entry>, Errno> {
        let found = loop {
            // Once more, if it was renamed before it could be kept.
            if let Some(found) = self.find(kernel, name, opens).transpose() {
                break found;
            }
        };
        // The mount may have ended meanwhile.
        if self.mount.seals(&self.node, name) { Err(Errno::STALE) } else { found }
    }

    fn find(
        self: &Arc<Self>,
        kernel: &Kernel,
        name: &[u8],
        opens: bool,
    ) -> Result<Option<Arc<Entry>>, Errno> {
        // A name that is known already may get a handle now.
        if many_handles() {
            let_some_go(kernel);
        }
        let cached = lock(&self.children).get(name).map(Arc::clone);
        if let Some(child) = &cached {
            child.used.store(true, Ordering::Relaxed);
            if child.is_fast() {
                return Ok(Some(Arc::clone(child)));
            }
        }
        let (node, kind) = match &self.node {
            Node::Host(directory) => {
                return self.on_host(kernel, directory, name, cached.as_ref(), opens).map(Some);
            }
            Node::Tmp(directory) => {
                let node = directory.child(name).inspect_err(|_| self.forget(name))?;
                match cached.as_ref().map(|child| (child, &child.node)) {
                    Some((child, Node::Tmp(old))) if Arc::ptr_eq(old, &node) => {
                        return Ok(Some(Arc::clone(child)));
                    }
                    _ => {}
                }
                let kind = node.kind();
                (Node::Tmp(node), kind)
            }
            Node::Overlay(directory) => {
                let found = directory.child(kernel, name, opens);
                let node = found.inspect_err(|_| self.forget(name))?;
                match cached.as_ref().map(|child| (child, &child.node)) {
                    Some((child, Node::Overlay(old))) if Arc::ptr_eq(old, &node) => {
                        return Ok(Some(Arc::clone(child)));
                    }
                    _ => {}
                }
                let kind = node.kind();
                (Node::Overlay(node), kind)
            }
            Node::Proc(node) => {
                let (node, kind) = node.lookup(kernel, name)?;
                // Something is mounted in it.
                let pinned = cached.filter(|child| !lock(&child.children).is_empty());
                if let Some(child) = pinned.filter(|_| node.is_lasting()) {
                    return Ok(Some(child));
                }
                let found = Entry::new(self, name, Node::Proc(node), kind);
                self.mount.veils.cover(&found);
                return Ok(Some(found));
            }
            Node::Point | Node::Namespace(_) => return Err(Errno::NOENT),
        };
        Ok(self.keep(name, Entry::new(self, name, node, kind), kernel))
    }

    /// Drops cached names that nobody uses and nobody has looked up since the last time, down to
    /// a depth. `layers` gets what lies below overlays, to be trimmed by itself: it may be
    /// above this entry, whose names are locked.
    fn trim(&self, depth: usize, layers: &mut Vec<Arc<Entry>>) {
        if depth > DEEPEST {
            return;
        }
        let covering = lock(&self.covering).clone();
        if let Some(root) = covering {
            root.trim(depth + 1, layers);
        }
        if let Node::Overlay(node) = &self.node
            && self.is_root()
        {
            // Names of its layers are cached beside its own.
            layers.extend(node.lowers().iter().cloned());
        }
        lock(&self.children).retain(|_, child| {
            child.trim(depth + 1, layers);
            let used = child.used.swap(false, Ordering::Relaxed)
                || child.is_fast()
                || Arc::strong_count(child) > 1
                || !lock(&child.children).is_empty();
            if !used {
                CACHED.fetch_sub(1, Ordering::Relaxed);
            }
            used
        });
    }
}

/// Too many names, or handles, are kept.
pub(super) fn let_some_go(kernel: &Kernel) {
    // All may be in use: then it is not tried again for every name.
    if ADDED.fetch_add(1, Ordering::Relaxed) < TRIM_AFTER.min(most_handles() / 8) {
        return;
    }
    ADDED.store(0, Ordering::Relaxed);
    // Those that were looked up since the last time stay, if that is enough.
    let copies = kernel.files.copies();
    let trim = || {
        let mut layers = Vec::new();
        kernel.files.root.trim(0, &mut layers);
        copies.iter().filter_map(|table| table.top()).for_each(|top| top.trim(0, &mut layers));
        let mut seen = Vec::new();
        while let Some(layer) = layers.pop() {
            let at = Arc::as_ptr(&layer);
            if !seen.contains(&at) {
                seen.push(at);
                layer.trim(0, &mut layers);
            }
        }
    };
    trim();
    if CACHED.load(Ordering::Relaxed) > CACHE_LIMIT / 4 * 3 || many_handles() {
        trim();
    }
}

/// A path of names, the last one first.
fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    if parts.is_empty() {
        return b"/".to_vec();
    }
    parts.iter().rev().flat_map(|part| [b"/", part.as_slice()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::mount::Description;
    use super::*;

    #[test]
    fn paths_are_told_from_the_root() {
        let root =
            Entry::mounted(&Mount::hidden(Description::default()), Node::Point, Kind::Directory);
        let a = root.add_point(b"a", Kind::Directory);
        let b = a.add_point(b"b", Kind::Directory);
        assert_eq!(root.path(), b"/");
        assert_eq!(b.path(), b"/a/b");
        assert_eq!(b.path_below(&a).unwrap(), b"/b");
        assert_eq!(a.path_below(&b), None);
    }
}
