//! The directories of the layer on disk: opened once and kept for a while,
//! made where paths need them, removed where later entries replace them.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use caisson_rootpath::open_beneath;
use rustix::fs::{
    AtFlags, Dir as DirStream, FileType, Mode, OFlags, mkdirat, readlinkat, unlinkat,
};
use rustix::io::Errno;

use super::error::EntryFault;
use super::limits::Limits;
use super::path::{names, path_of};
use super::tree::{DirId, Opaque, ROOT, Tree};

/// Descriptors that are kept open.
const OPEN_DIRS: usize = 48;
/// Links that one path may cross, as the kernel allows.
const MAX_LINKS: u32 = 40;
/// Mode of directories until the layer is complete.
pub(crate) const WORK_MODE: Mode = Mode::RWXU;

pub(crate) struct Dirs<'a> {
    pub(crate) tree: Tree,
    root: BorrowedFd<'a>,
    limits: &'a Limits,
    open: HashMap<DirId, (Rc<OwnedFd>, u64)>,
    clock: u64,
    /// Directories made, and replaced ones made again.
    made: u64,
    /// The last parent directory, and the path by which it was found.
    last: Option<(Vec<u8>, DirId)>,
}

/// `O_PATH` descriptor of a directory, no link crossed.
pub(crate) fn open_dir(dir: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    open_beneath(dir, path_of(path), flags | OFlags::DIRECTORY)
        .map_err(|error| error.errno().unwrap_or(Errno::INVAL))
}

impl<'a> Dirs<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>, limits: &'a Limits) -> Self {
        Self {
            tree: Tree::new(),
            root,
            limits,
            open: HashMap::new(),
            clock: 0,
            made: 0,
            last: None,
        }
    }

    /// A descriptor to work below (`O_PATH`).
    pub(crate) fn open(&mut self, dir: DirId) -> Result<Rc<OwnedFd>, EntryFault> {
        self.clock += 1;
        if let Some((fd, used)) = self.open.get_mut(&dir) {
            *used = self.clock;
            return Ok(Rc::clone(fd));
        }
        let mut above = dir;
        let near = loop {
            if above == ROOT {
                break None;
            }
            above = self.tree.get(above).parent;
            if let Some((fd, _)) = self.open.get(&above) {
                break Some(Rc::clone(fd));
            }
        };
        let path = self.tree.path_from(above, dir);
        let from = near.as_ref().map_or(self.root, |fd| fd.as_fd());
        let fd = open_dir(from, path.as_bytes(), OFlags::PATH)
            .map_err(EntryFault::os("open its directory"))?;
        let fd = Rc::new(fd);
        if self.open.len() >= OPEN_DIRS {
            let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id);
            oldest.map(|id| self.open.remove(&id));
        }
        self.open.insert(dir, (Rc::clone(&fd), self.clock));
        Ok(fd)
    }

    /// The directory that `path` leads to. Symbolic links that this layer has
    /// made are followed inside the layer's root, as text; with `make`, what
    /// is missing is made. `None` where something is missing otherwise.
    pub(crate) fn resolve(&mut self, path: &[u8], make: bool) -> Result<Option<DirId>, EntryFault> {
        if let Some((last, dir)) = &self.last
            && last == path
            && !self.tree.get(*dir).is_gone
        {
            return Ok(Some(*dir));
        }
        let mut current = ROOT;
        let mut pending: Vec<Vec<u8>> = names(path).rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == b".." {
                current = self.tree.get(current).parent;
                continue;
            }
            if let Some(child) = self.tree.child(current, &name) {
                current = child;
                continue;
            }
            if make && let Some(child) = self.make(current, &name)? {
                current = child;
                continue;
            }
            let fd = self.open(current)?;
            match readlinkat(&*fd, path_of(&name), Vec::new()) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(EntryFault::LinkLoop);
                    }
                    let target = target.as_bytes();
                    if target.starts_with(b"/") {
                        current = ROOT;
                    }
                    pending.extend(names(target).rev().map(<[u8]>::to_vec));
                }
                Err(Errno::NOENT) => return Ok(None),
                // Not a link.
                Err(Errno::INVAL) => {
                    return Err(EntryFault::NotADirectory(path_of(&name).to_owned()));
                }
                Err(errno) => return Err(EntryFault::os("read a link on the way")(errno)),
            }
        }
        if links == 0 {
            self.last = Some((path.to_vec(), current));
        }
        Ok(Some(current))
    }

    /// Makes a directory; `None` if the name is taken.
    pub(crate) fn make(&mut self, parent: DirId, name: &[u8]) -> Result<Option<DirId>, EntryFault> {
        let above = self.tree.get(parent);
        for (what, found, limit) in [
            ("components of a path", above.depth as u64 + 1, self.limits.path_depth as u64),
            (
                "bytes of a path",
                (above.path_bytes + 1 + name.len()) as u64,
                self.limits.path_bytes as u64,
            ),
            ("directories", self.made + 1, self.limits.entries),
        ] {
            if found > limit {
                return Err(EntryFault::Limit { what, found, limit });
            }
        }
        let fd = self.open(parent)?;
        match mkdirat(&*fd, path_of(name), WORK_MODE) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(None),
            Err(errno) => return Err(EntryFault::os("make a directory")(errno)),
        }
        self.made += 1;
        Ok(Some(self.tree.add(parent, name)))
    }

    /// Removes whatever has this name.
    pub(crate) fn remove(&mut self, parent: DirId, name: &[u8]) -> Result<(), EntryFault> {
        match self.tree.child(parent, name) {
            Some(dir) => self.remove_dir(dir),
            None => {
                let fd = self.open(parent)?;
                match unlinkat(&*fd, path_of(name), AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(errno) => Err(EntryFault::os("remove what an earlier entry made")(errno)),
                }
            }
        }
    }

    /// All directories below are known, so this goes from the leaves up, each
    /// holding only files by then.
    fn remove_dir(&mut self, dir: DirId) -> Result<(), EntryFault> {
        let os = EntryFault::os("remove a directory that an earlier entry made");
        self.last = None;
        let parent = self.tree.get(dir).parent;
        let parent_fd = self.open(parent)?;
        let subtree = self.tree.remove(dir);
        for id in &subtree {
            self.open.remove(id);
        }
        for id in subtree.iter().rev() {
            let path = self.tree.path_from(parent, *id);
            let fd = open_dir(&*parent_fd, path.as_bytes(), OFlags::RDONLY).map_err(&os)?;
            for item in DirStream::read_from(&fd).map_err(&os)? {
                let item = item.map_err(&os)?;
                if item.file_type() != FileType::Directory {
                    unlinkat(&fd, item.file_name(), AtFlags::empty()).map_err(&os)?;
                }
            }
            unlinkat(&*parent_fd, path_of(path.as_bytes()), AtFlags::REMOVEDIR).map_err(&os)?;
        }
        Ok(())
    }

    /// Lower layers don't show through in this directory.
    pub(crate) fn set_opaque(&mut self, dir: DirId, opaque: Opaque) {
        let node = self.tree.get_mut(dir);
        if node.opaque != Opaque::Replaced {
            node.opaque = opaque;
        }
    }
}
