//! Which directories this layer has made, by name: what the file system can't
//! tell cheaply. Files are not kept here.

use std::collections::HashMap;

use super::entry::{Time, Xattr};
use super::path::RelPath;

/// A directory of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DirId(usize);

/// The layer's root.
pub(crate) const ROOT: DirId = DirId(0);

/// What an entry says about a directory.
#[derive(Clone, Debug)]
pub(crate) struct DirMeta {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    pub(crate) atime: Time,
    pub(crate) xattrs: Vec<Xattr>,
}

/// Does the directory hide what lower layers have in it, and why?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Opaque {
    #[default]
    No,
    /// `.wh..wh..opq` lies in it.
    Marked,
    /// There was a whiteout of the same name.
    Replaced,
}

#[derive(Debug)]
pub(crate) struct Dir {
    pub(crate) parent: DirId,
    pub(crate) name: Box<[u8]>,
    pub(crate) opaque: Opaque,
    /// `None`: only implied by a path.
    pub(crate) meta: Option<Box<DirMeta>>,
    pub(crate) depth: usize,
    pub(crate) path_bytes: usize,
    /// Removed again by a later entry.
    pub(crate) is_gone: bool,
    children: HashMap<Box<[u8]>, DirId>,
}

#[derive(Debug)]
pub(crate) struct Tree {
    dirs: Vec<Dir>,
    root: Dir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { dirs: Vec::new(), root: new_dir(ROOT, b"", 0, 0) }
    }

    pub(crate) fn get(&self, id: DirId) -> &Dir {
        // Ids come from `add` alone; the root stands in for what can't be.
        id.0.checked_sub(1).and_then(|at| self.dirs.get(at)).unwrap_or(&self.root)
    }

    pub(crate) fn get_mut(&mut self, id: DirId) -> &mut Dir {
        id.0.checked_sub(1).and_then(|at| self.dirs.get_mut(at)).unwrap_or(&mut self.root)
    }

    pub(crate) fn child(&self, dir: DirId, name: &[u8]) -> Option<DirId> {
        self.get(dir).children.get(name).copied()
    }

    pub(crate) fn add(&mut self, parent: DirId, name: &[u8]) -> DirId {
        let above = self.get(parent);
        let dir = new_dir(parent, name, above.depth + 1, above.path_bytes + 1 + name.len());
        self.dirs.push(dir);
        let id = DirId(self.dirs.len());
        self.get_mut(parent).children.insert(name.into(), id);
        id
    }

    /// All directories, parents before their children.
    pub(crate) fn ids(&self) -> impl DoubleEndedIterator<Item = DirId> + use<> {
        (0..=self.dirs.len()).map(DirId)
    }

    /// Takes a directory and all below it out of the tree; returns them,
    /// parents first.
    pub(crate) fn remove(&mut self, dir: DirId) -> Vec<DirId> {
        let parent = self.get(dir).parent;
        let name = self.get(dir).name.clone();
        self.get_mut(parent).children.remove(&name);
        let mut gone = vec![dir];
        let mut at = 0;
        while let Some(id) = gone.get(at).copied() {
            let node = self.get_mut(id);
            node.is_gone = true;
            gone.extend(std::mem::take(&mut node.children).into_values());
            at += 1;
        }
        gone
    }

    /// Path from the directory `above` (an ancestor) down to `dir`.
    pub(crate) fn path_from(&self, above: DirId, dir: DirId) -> RelPath {
        let mut names = Vec::new();
        let mut at = dir;
        while at != above && at != ROOT {
            let node = self.get(at);
            names.push(&node.name);
            at = node.parent;
        }
        let mut path = RelPath::default();
        for name in names.iter().rev() {
            path.push(name);
        }
        path
    }

    pub(crate) fn path(&self, dir: DirId) -> RelPath {
        self.path_from(ROOT, dir)
    }

    /// Do lower layers show through at the directory itself?
    pub(crate) fn is_merged(&self, dir: DirId) -> bool {
        if self.get(dir).opaque == Opaque::Replaced {
            return false;
        }
        let mut at = dir;
        while at != ROOT {
            at = self.get(at).parent;
            if self.get(at).opaque != Opaque::No {
                return false;
            }
        }
        true
    }
}

fn new_dir(parent: DirId, name: &[u8], depth: usize, path_bytes: usize) -> Dir {
    Dir {
        parent,
        name: name.into(),
        opaque: Opaque::No,
        meta: None,
        depth,
        path_bytes,
        is_gone: false,
        children: HashMap::new(),
    }
}
