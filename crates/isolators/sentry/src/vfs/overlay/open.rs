//! Open files and directories of an overlay.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::mm::Anchor;
use crate::task::waiter::lock;

use super::super::broker::is_stored_name;
use super::super::tmpfs::AT_ONCE;
use super::super::{
    Attributes, Directory, Entry, File, Glance, Kind, Listed, Walker, access, open,
};
use super::OverlayNode;
use super::lookup::is_whiteout;

/// An open file. It is that of the upper layer from when that is there; what was mapped before
/// stays what it was, as on Linux.
pub(in super::super) struct OverlayFile {
    node: Arc<OverlayNode>,
    lower: Option<Box<dyn File>>,
}

impl OverlayFile {
    /// To read, or what has been copied up.
    ///
    /// # Errors
    /// What the host says.
    pub(in super::super) fn new(
        walker: &Walker<'_>,
        node: &Arc<OverlayNode>,
    ) -> Result<Self, Errno> {
        let lower = match node.above() {
            Some(_) => None,
            None => Some(open::to_read(walker, node.below()?)?),
        };
        Ok(OverlayFile { node: Arc::clone(node), lower })
    }

    fn file(&self) -> Result<&dyn File, Errno> {
        let upper = self.node.upper.get().map(|file| file as &dyn File);
        upper.or(self.lower.as_deref()).ok_or(Errno::IO)
    }
}

impl File for OverlayFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.file()?.read(into, offset)
    }

    fn write(&self, from: &[u8], offset: u64, append: bool) -> Result<usize, Errno> {
        self.file()?.write(from, offset, append)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.file()?.attributes().map(|told| self.node.told(told))
    }

    fn direct(&self) -> Option<u64> {
        self.file().ok()?.direct()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file().ok()?.descriptor()
    }

    fn in_view(&self) -> Option<(BorrowedFd<'_>, Glance)> {
        self.file().ok()?.in_view()
    }

    fn glance(&self, seen: &mut Glance) -> Option<u64> {
        self.file().ok()?.glance(seen)
    }

    fn is_mapped(&self, shared: bool) -> Anchor {
        self.file().map_or_else(|_| Anchor::default(), |file| file.is_mapped(shared))
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.file()?.truncate(size)
    }

    fn allocate(&self, mode: FallocateFlags, offset: u64, length: u64) -> Result<(), Errno> {
        self.file()?.allocate(mode, offset, length)
    }

    fn seek_content(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        self.file()?.seek_content(offset, hole)
    }

    fn sync(&self) -> Result<(), Errno> {
        self.file()?.sync()
    }

    fn sync_range(&self, offset: u64, length: u64, flags: u32) -> Result<(), Errno> {
        self.file()?.sync_range(offset, length, flags)
    }
}

/// An open directory.
pub(in super::super) struct OverlayDirectory(pub(in super::super) Arc<OverlayNode>);

impl File for OverlayDirectory {
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        Err(Errno::ISDIR)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::BADF)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.0.now_there()
    }
}

/// What a listing that is going on reads from.
#[derive(Default)]
enum Pass {
    #[default]
    None,
    /// One layer has it all: of which positions are kept.
    Lower,
    Upper,
    /// All names, as they were when it began.
    Merged(Vec<Listed>),
}

/// The names in an open directory.
pub(in super::super) struct OverlayNames {
    node: Arc<OverlayNode>,
    lowers: Vec<Lower>,
    pass: Mutex<Pass>,
}

/// A lower layer's directory.
struct Lower {
    device: u64,
    names: Box<dyn Directory>,
    /// Names that are to be missing.
    marks: HashSet<Vec<u8>>,
}

impl OverlayNames {
    /// Of a directory.
    ///
    /// # Errors
    /// What the host says.
    pub(in super::super) fn new(
        walker: &Walker<'_>,
        node: &Arc<OverlayNode>,
    ) -> Result<Self, Errno> {
        let one = node.lowers.len() < 2 && node.above().is_none();
        let lowers = node.lowers.iter().map(|lower| {
            let (device, _) = lower.node.id().ok_or(Errno::IO)?;
            node.fs.allow(walker.kernel, lower, access::READ)?;
            let names = open::names(walker, lower)?;
            let marks = if one { HashSet::new() } else { marks(walker, lower, &*names)? };
            Ok(Lower { device, names, marks })
        });
        let lowers = lowers.collect::<Result<_, Errno>>()?;
        Ok(OverlayNames { node: Arc::clone(node), lowers, pass: Mutex::default() })
    }

    fn below(&self, at: usize, position: u64) -> Result<Vec<Listed>, Errno> {
        let Some(lower) = self.lowers.get(at) else { return Ok(Vec::new()) };
        let mut names = lower.names.list(position)?;
        // What a file of the store is called for a moment; none at all would look like the end.
        while self.node.fs.store().is_some()
            && let Some(next) = names.last().map(|last| last.next)
        {
            names.retain(|listed| !is_stored_name(&listed.name));
            if !names.is_empty() {
                break;
            }
            names = lower.names.list(next)?;
        }
        for listed in &mut names {
            listed.inode = match listed.name.as_slice() {
                b"." => self.node.id().1,
                _ => self.node.fs.number((lower.device, listed.inode)),
            };
        }
        Ok(names)
    }

    /// Names of the upper layer; marks of missing names are among `hidden`.
    fn above(&self, position: u64, mut hidden: impl FnMut(&[u8])) -> Vec<Listed> {
        let Some(names) = self.node.names_above() else { return Vec::new() };
        let (fs, own) = (&self.node.fs, self.node.id().1);
        let origin = fs.name(b"origin");
        names.list_as(position, own, |name, node| {
            if node.is_whiteout() {
                hidden(name);
                return None;
            }
            Some(fs.number_by(&origin, node))
        })
    }

    fn merge(&self) -> Result<Vec<Listed>, Errno> {
        let _looking = self.node.fs.looking();
        let (mut all, mut passed) = (Vec::new(), HashSet::new());
        let mut position = 0;
        loop {
            let part = self.above(position, |name| {
                passed.insert(name.to_vec());
            });
            let Some(last) = part.last() else { break };
            position = last.next;
            all.extend(part);
        }
        passed.extend(all.iter().map(|listed| listed.name.clone()));
        for (at, lower) in self.lowers.iter().enumerate() {
            let mut position = 0;
            loop {
                let part = self.below(at, position)?;
                let Some(last) = part.last() else { break };
                position = last.next;
                for listed in part {
                    let is_new = passed.insert(listed.name.clone());
                    if is_new && !lower.marks.contains(&listed.name) {
                        all.push(listed);
                    }
                }
            }
        }
        for (next, listed) in (1..).zip(&mut all) {
            listed.next = next;
        }
        Ok(all)
    }
}

fn marks(
    walker: &Walker<'_>,
    lower: &Arc<Entry>,
    names: &dyn Directory,
) -> Result<HashSet<Vec<u8>>, Errno> {
    let (mut marks, mut position) = (HashSet::new(), 0);
    loop {
        let part = names.list(position)?;
        let Some(last) = part.last() else { return Ok(marks) };
        position = last.next;
        for listed in part.into_iter().filter(|l| l.kind == Kind::Character.entry_type()) {
            if lower
                .lookup(walker.kernel, &listed.name, false)
                .and_then(|found| is_whiteout(walker.kernel, &found))
                .unwrap_or(false)
            {
                marks.insert(listed.name);
            }
        }
    }
}

impl Directory for OverlayNames {
    fn list(&self, position: u64) -> Result<Vec<Listed>, Errno> {
        let mut pass = lock(&self.pass);
        if position == 0 || matches!(*pass, Pass::None) {
            *pass = match (self.node.above().is_some(), self.lowers.len()) {
                (false, 1) => Pass::Lower,
                (true, 0) => Pass::Upper,
                _ => Pass::Merged(self.merge()?),
            };
        }
        match &*pass {
            Pass::Lower => self.below(0, position),
            Pass::Upper => Ok(self.above(position, |_| {})),
            Pass::Merged(all) => {
                let from = usize::try_from(position).unwrap_or(usize::MAX).min(all.len());
                let rest = all.get(from..).unwrap_or_default();
                Ok(rest.get(..AT_ONCE).unwrap_or(rest).to_vec())
            }
            Pass::None => Ok(Vec::new()),
        }
    }
}
