//! Handles of files: what a file is found by once more without its name.
//!
//! A handle is a file's device, its inode, and how often a file of that inode was gone since
//! handles of it were made. It leads to a file as long as a name of it is known: the one by which
//! the handle was made, or one that is kept. Others are forgotten, as file systems may do.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

use super::mount::Mount;
use super::{Entry, Node, TmpNode};

/// Device and inode.
type Id = (u64, u64);

/// Bytes of a handle: device, inode, how often it was gone.
pub const LENGTH: usize = 20;
/// Files of which it is remembered where they were.
const MOST: usize = 1024;
/// Bytes of a path that is remembered, at most: `PATH_MAX`.
const LONGEST: usize = 4096;
/// Names that are looked through for a file.
const MOST_NAMES: usize = 65_536;

/// Files of which there are handles.
#[derive(Debug, Default)]
pub struct Handles(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: HashMap<Id, Known>,
    /// Those, the oldest first.
    order: VecDeque<Id>,
}

#[derive(Debug, Default)]
struct Known {
    gone: u32,
    /// Names that led to it, from the root of a mount, with `/` in between; `None` if they are
    /// too long.
    path: Option<Vec<u8>>,
}

/// Whether what it stands for can be found by a handle: files of the host's, and of tmpfs and its
/// like.
#[must_use]
pub fn can_be_found(entry: &Entry) -> bool {
    match &entry.node {
        Node::Host(_) => true,
        Node::Tmp(_) => entry.mount.kind != "mqueue",
        _ => false,
    }
}

impl Handles {
    /// The handle of what is found here, which has that device and inode.
    #[must_use]
    pub fn make(&self, entry: &Arc<Entry>, id: Id) -> [u8; LENGTH] {
        let gone = if can_be_found(entry) {
            let path = Some(path_in_mount(entry).join(&b'/')).filter(|path| path.len() <= LONGEST);
            let mut guard = lock(&self.0);
            let state = &mut *guard;
            if !state.known.contains_key(&id) {
                state.order.push_back(id);
            }
            let known = state.known.entry(id).or_default();
            known.path = path;
            let gone = known.gone;
            if state.order.len() > MOST
                && let Some(oldest) = state.order.pop_front()
            {
                state.known.remove(&oldest);
            }
            gone
        } else {
            0
        };
        let mut bytes = [0; LENGTH];
        let all = [&id.0.to_le_bytes()[..], &id.1.to_le_bytes(), &gone.to_le_bytes()].concat();
        bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// Whether there may be handles of a file.
    #[must_use]
    pub fn has(&self, node: &Node) -> bool {
        let Node::Host(node) = node else { return false };
        let state = lock(&self.0);
        !state.order.is_empty() && state.known.contains_key(&node.id())
    }

    /// A file is gone: another one may get its inode.
    pub fn is_gone(&self, node: &Node) {
        if let Some(id) = node.id()
            && let Some(known) = lock(&self.0).known.get_mut(&id)
        {
            known.gone = known.gone.wrapping_add(1);
            known.path = None;
        }
    }

    /// What a handle leads to in a mount. What other mounts cover is not found.
    ///
    /// # Errors
    /// `ESTALE`
    pub fn find(
        &self,
        kernel: &Kernel,
        mount: &Arc<Mount>,
        handle: &[u8],
    ) -> Result<Arc<Entry>, Errno> {
        let handle: &[u8; LENGTH] = handle.try_into().map_err(|_| Errno::STALE)?;
        let (device, rest) = handle.split_first_chunk().ok_or(Errno::STALE)?;
        let (inode, rest) = rest.split_first_chunk().ok_or(Errno::STALE)?;
        let gone = rest.first_chunk().copied().map(u32::from_le_bytes).ok_or(Errno::STALE)?;
        let id = (u64::from_le_bytes(*device), u64::from_le_bytes(*inode));
        let path = match lock(&self.0).known.get(&id) {
            Some(known) if known.gone == gone => known.path.clone(),
            None if gone == 0 => None,
            _ => return Err(Errno::STALE),
        };
        let root = mount.root().ok_or(Errno::STALE)?;
        let is_it = |entry: &Arc<Entry>| can_be_found(entry) && entry.node.id() == Some(id);
        let by = |path: Vec<u8>| {
            let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
            descend(kernel, &root, names)
        };
        let there = path.and_then(by).filter(is_it);
        there.or_else(|| known_name(kernel, &root, id, is_it)).ok_or(Errno::STALE)
    }
}

/// Names that lead to it from the root of its mount.
fn path_in_mount(entry: &Arc<Entry>) -> Vec<Vec<u8>> {
    let mut path = Vec::new();
    let mut at = Arc::clone(entry);
    while !at.is_root() {
        let Some(parent) = at.parent() else { break };
        path.push(at.name());
        at = parent;
    }
    path.reverse();
    path
}

/// What such names lead to, if no mount covers any of them.
fn descend<'a>(
    kernel: &Kernel,
    root: &Arc<Entry>,
    path: impl Iterator<Item = &'a [u8]>,
) -> Option<Arc<Entry>> {
    let mut at = Arc::clone(root);
    for name in path {
        at = at.lookup(kernel, name, false).ok()?;
        if at.covered_by().is_some() {
            return None;
        }
    }
    Some(at)
}

/// Names that lead to a file of a file system in memory.
fn path_in_memory(
    root: &Arc<TmpNode>,
    is_it: impl Fn(&Arc<TmpNode>) -> bool,
) -> Option<Vec<Vec<u8>>> {
    // What was found, and where: a name in one before it.
    let mut found = vec![(0, Vec::new(), Arc::clone(root))];
    let mut at = 0;
    while let Some((_, _, node)) = found.get(at) {
        if is_it(node) {
            let mut path = Vec::new();
            while at > 0 {
                let (above, name, _) = found.get(at)?;
                path.push(name.clone());
                at = *above;
            }
            path.reverse();
            return Some(path);
        }
        let children = node.all_children();
        if found.len() + children.len() > MOST_NAMES {
            return None;
        }
        found.extend(children.into_iter().map(|(name, node)| (at, name, node)));
        at += 1;
    }
    None
}

/// One of the names that are kept below `root`.
fn known_name(
    kernel: &Kernel,
    root: &Arc<Entry>,
    id: Id,
    is_it: impl Fn(&Arc<Entry>) -> bool,
) -> Option<Arc<Entry>> {
    if let Node::Tmp(node) = &root.node {
        let is_node = |node: &Arc<TmpNode>| (node.file_system().device, node.inode()) == id;
        let path = path_in_memory(node, is_node)?;
        return descend(kernel, root, path.iter().map(Vec::as_slice)).filter(is_it);
    }
    let mut left = vec![Arc::clone(root)];
    for _ in 0..MOST_NAMES {
        let entry = left.pop()?;
        let covered = !entry.is_root() && entry.covered_by().is_some();
        if covered {
            continue;
        }
        if is_it(&entry) {
            // It may stand for something else by now.
            let path = path_in_mount(&entry);
            return descend(kernel, root, path.iter().map(Vec::as_slice)).filter(is_it);
        }
        left.extend(lock(&entry.children).values().cloned());
    }
    None
}
