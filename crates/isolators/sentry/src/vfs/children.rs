//! The names that an entry keeps, and what becomes of them as names change.
//!
//! A directory has one entry as long as anybody holds it: who stands in it would not see what
//! others do by another one. So an entry is taken out only if its name is gone or stands for
//! something else; what is not sure is looked at again ([`Entry::doubt`]).

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use crate::kernel::Kernel;
use crate::task::waiter::lock;

use super::entry::{CACHE_LIMIT, CACHED, DEEPEST, let_some_go};
use super::host::{Since, many_handles};
use super::{Entry, HostNode, Node, Resolve, arriving};

/// Keeps a name among others of its directory, in place of what was known of it.
fn put(
    mut children: MutexGuard<'_, HashMap<Vec<u8>, Arc<Entry>>>,
    name: &[u8],
    child: &Arc<Entry>,
) {
    let before = children.insert(name.to_vec(), Arc::clone(child));
    drop(children);
    match before {
        Some(before) if !matches!(before.node, Node::Point) => before.clear(0),
        _ => drop(CACHED.fetch_add(1, Ordering::Relaxed)),
    }
}

impl Entry {
    /// Whether something is mounted below, or may be.
    pub(super) fn holds_mounts(&self) -> bool {
        let mut left: Vec<Arc<Entry>> = lock(&self.children).values().cloned().collect();
        while let Some(entry) = left.pop() {
            if entry.is_fast() {
                return true;
            }
            left.extend(lock(&entry.children).values().cloned());
        }
        false
    }

    /// A name of the host's may stand for something else now: it is looked at before it is
    /// believed.
    pub(super) fn doubt(&self, name: &[u8]) {
        if let Some(child) = lock(&self.children).get(name) {
            child.found.store(u64::MAX, Ordering::SeqCst);
        }
    }

    /// Has no other name in it be changed for a while.
    pub(super) fn changing(&self) -> MutexGuard<'_, ()> {
        lock(&self.changing)
    }

    /// The same of two directories, which may be one.
    pub(super) fn changing_both<'a>(
        one: &'a Arc<Entry>,
        other: &'a Arc<Entry>,
    ) -> (MutexGuard<'a, ()>, Option<MutexGuard<'a, ()>>) {
        match Arc::as_ptr(one).cmp(&Arc::as_ptr(other)) {
            std::cmp::Ordering::Equal => (one.changing(), None),
            std::cmp::Ordering::Less => (one.changing(), Some(other.changing())),
            std::cmp::Ordering::Greater => (other.changing(), Some(one.changing())),
        }
    }

    /// Whether both stand for one file.
    pub(super) fn is_same(&self, other: &Entry) -> bool {
        match (&self.node, &other.node) {
            (Node::Host(own), Node::Host(other)) => {
                own.id() == other.id() && own.kind() == other.kind()
            }
            (Node::Tmp(own), Node::Tmp(other)) => Arc::ptr_eq(own, other),
            (Node::Overlay(own), Node::Overlay(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// Whether a name stands for this, in a file system of our own.
    fn stands_for(&self, name: &[u8], node: &Node) -> bool {
        match (&self.node, node) {
            (Node::Tmp(directory), Node::Tmp(node)) => {
                directory.child(name).is_ok_and(|now| Arc::ptr_eq(&now, node))
            }
            (Node::Overlay(directory), Node::Overlay(node)) => {
                directory.known(name).is_some_and(|now| Arc::ptr_eq(&now, node))
            }
            _ => false,
        }
    }

    /// Forgets a name: it was removed, or may stand for something else now.
    pub fn forget(&self, name: &[u8]) {
        let mut children = lock(&self.children);
        // It may have come since it was missed.
        if children.get(name).is_some_and(|child| self.stands_for(name, &child.node)) {
            return;
        }
        let child = children.remove(name);
        drop(children);
        if let Some(child) = child {
            if !matches!(child.node, Node::Point) {
                CACHED.fetch_sub(1, Ordering::Relaxed);
            }
            child.clear(0);
        }
    }

    /// Forgets what is below.
    fn clear(&self, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let mut children = std::mem::take(&mut *lock(&self.children));
        children.retain(|_, child| {
            child.clear(depth + 1);
            let keep = child.is_fast() || !lock(&child.children).is_empty();
            if !keep {
                CACHED.fetch_sub(1, Ordering::Relaxed);
            }
            keep
        });
        lock(&self.children).extend(children);
    }

    /// Lets everything below go, of a tree that nobody has any more.
    pub(super) fn dissolve(&self) {
        let mut left: Vec<Arc<Entry>> = lock(&self.children).drain().map(|(_, c)| c).collect();
        while let Some(entry) = left.pop() {
            if !matches!(entry.node, Node::Point) {
                CACHED.fetch_sub(1, Ordering::Relaxed);
            }
            left.extend(lock(&entry.children).drain().map(|(_, child)| child));
        }
    }

    /// Whether this is what is known of a name.
    pub(super) fn is_known(&self, name: &[u8], entry: Option<&Arc<Entry>>) -> bool {
        match (lock(&self.children).get(name), entry) {
            (Some(child), Some(entry)) => Arc::ptr_eq(child, entry),
            (None, None) => true,
            _ => false,
        }
    }

    /// The name does not stand for this any more.
    fn take_out(&self, name: &[u8], entry: &Arc<Entry>) {
        let mut children = lock(&self.children);
        match children.get(name) {
            Some(child) if Arc::ptr_eq(child, entry) => {
                children.remove(name);
                CACHED.fetch_sub(1, Ordering::Relaxed);
            }
            Some(child) => child.found.store(u64::MAX, Ordering::SeqCst),
            None => {}
        }
    }

    /// It is called `name` in `parent` from now on, and was found there at that count of changes
    /// by others.
    fn settle(self: &Arc<Self>, parent: &Arc<Entry>, name: &[u8], found: u64) {
        *lock(&self.place) = (Some(Arc::clone(parent)), name.to_vec());
        self.found.store(found, Ordering::SeqCst);
        let children = lock(&parent.children);
        if parent.mount.has_ended() {
            return;
        }
        put(children, name, self);
    }

    /// Follows a rename: what was found as the first is the second from now on, and the other
    /// way round if they were exchanged. `found` is [`Since::outside`] of both directories
    /// before that.
    pub(super) fn renamed(old: &Resolve, new: &Resolve, exchanged: bool, found: (u64, u64)) {
        let Some(entry) = &old.entry else { return };
        old.parent.take_out(&old.name, entry);
        if let Some(other) = new.entry.as_ref().filter(|_| exchanged) {
            new.parent.take_out(&new.name, other);
            other.settle(&old.parent, &old.name, found.0);
        }
        entry.settle(&new.parent, &new.name, found.1);
    }

    /// A file of the host's that was just made or found here.
    pub(super) fn made(
        self: &Arc<Self>,
        kernel: &Kernel,
        name: &[u8],
        node: HostNode,
        since: Since,
    ) -> Arc<Entry> {
        let kind = node.kind();
        let child = Entry::new(self, name, Node::Host(Arc::new(node)), kind);
        child.found.store(since.outside, Ordering::SeqCst);
        self.keep(name, Arc::clone(&child), kernel).unwrap_or(child)
    }

    /// Keeps a name; what is kept already, if that stands for the same. `None` if a name of a
    /// file system of our own has been another's since it was found: the file would have an
    /// entry here, beside the one where it is now.
    pub(super) fn keep(
        &self,
        name: &[u8],
        child: Arc<Entry>,
        kernel: &Kernel,
    ) -> Option<Arc<Entry>> {
        if CACHED.load(Ordering::Relaxed) > CACHE_LIMIT || many_handles() {
            let_some_go(kernel);
        }
        let children = lock(&self.children);
        // Looked at with the lock held: who dissolves its mount comes later, or has been here.
        if self.mount.has_ended() {
            return Some(child);
        }
        // Who renames it comes to its entry later, or has been here.
        let is_own = matches!(child.node, Node::Tmp(_) | Node::Overlay(_));
        if is_own && !self.stands_for(name, &child.node) {
            return None;
        }
        if let Some(entry) = arriving::expected(self, name, &child) {
            return Some(entry);
        }
        if let Some(known) = children.get(name).filter(|known| known.is_same(&child)) {
            known.found.store(child.found.load(Ordering::SeqCst), Ordering::SeqCst);
            return Some(Arc::clone(known));
        }
        if self.mount.is_detached() {
            return Some(child);
        }
        put(children, name, &child);
        Some(child)
    }
}
