//! What is made in an overlay, and taken away.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

use super::super::tmpfs::{Names, New};
use super::super::{Kind, TmpNode, access, open, setup};
use super::OverlayNode;

impl OverlayNode {
    /// Makes a file in a directory.
    ///
    /// # Errors
    /// `EEXIST`; `EPERM` for a device that means a missing name; `ENOSPC`, and what the host
    /// says.
    pub fn make(
        self: &Arc<Self>,
        kernel: &Kernel,
        name: &[u8],
        new: New<'_>,
    ) -> Result<Arc<OverlayNode>, Errno> {
        if new.kind == Kind::Character && new.number == 0 {
            return Err(Errno::PERM);
        }
        let is_directory = new.kind == Kind::Directory;
        self.put(kernel, name, is_directory, |directory| directory.make(name, new))
    }

    /// Gives a file, which is none of these, a name in this directory.
    ///
    /// # Errors
    /// `EEXIST`, `EXDEV`, `ENOSPC`, and what the host says.
    pub fn link(
        self: &Arc<Self>,
        kernel: &Kernel,
        name: &[u8],
        file: &Arc<OverlayNode>,
    ) -> Result<(), Errno> {
        if !Arc::ptr_eq(&self.fs, &file.fs) {
            return Err(Errno::XDEV);
        }
        let upper = file.copy_up(kernel, true)?;
        let link = |directory: &TmpNode| {
            directory.link(name, &upper)?;
            Ok(Arc::clone(&upper))
        };
        self.put(kernel, name, false, link).map(drop)
    }

    /// Makes a file without a name.
    ///
    /// # Errors
    /// `EROFS`, `ENOSPC`
    pub fn make_unnamed(&self, new: New<'_>) -> Result<Arc<OverlayNode>, Errno> {
        let upper = self.fs.upper.as_ref().ok_or(Errno::ROFS)?.unnamed(new)?;
        upper.unname();
        OverlayNode::new(&self.fs, None, Some(upper), Vec::new())
    }

    /// Has `make` put something under a name that is missing.
    fn put(
        self: &Arc<Self>,
        kernel: &Kernel,
        name: &[u8],
        is_directory: bool,
        make: impl FnOnce(&TmpNode) -> Result<Arc<TmpNode>, Errno>,
    ) -> Result<Arc<OverlayNode>, Errno> {
        let directory = self.copy_up(kernel, true)?;
        let _changing = self.fs.changing();
        match self.find(kernel, name, false) {
            Ok(_) => return Err(Errno::EXIST),
            Err(Errno::NOENT) if !self.is_gone() => {}
            Err(errno) => return Err(errno),
        }
        let mark = directory.child(name).ok();
        if mark.is_some() {
            directory.remove(name, false)?;
        }
        let restore = || {
            if let Some(mark) = &mark {
                let _ = directory.adopt(name, mark);
            }
        };
        let made = make(&directory).inspect_err(|_| restore())?;
        if mark.is_some() && is_directory {
            self.fs.set_opaque(&made).inspect_err(|_| {
                let _ = directory.remove(name, true);
                restore();
            })?;
        }
        let place = Some((Arc::clone(self), name.to_vec()));
        let node = OverlayNode::new(&self.fs, place, Some(made), Vec::new())?;
        self.name(name, Some(&node));
        Ok(node)
    }

    /// Takes a name away; an empty directory's if `is_directory`.
    ///
    /// # Errors
    /// `ENOENT`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, `ENOSPC`, and what the host says.
    pub fn remove(
        self: &Arc<Self>,
        kernel: &Kernel,
        name: &[u8],
        is_directory: bool,
    ) -> Result<(), Errno> {
        let directory = self.copy_up(kernel, true)?;
        // The last one who has it gives its content back, which nobody else is to wait for.
        self.take_away(kernel, &directory, name, is_directory).map(drop)
    }

    fn take_away(
        self: &Arc<Self>,
        kernel: &Kernel,
        directory: &TmpNode,
        name: &[u8],
        is_directory: bool,
    ) -> Result<Arc<OverlayNode>, Errno> {
        let _changing = self.fs.changing();
        let node = self.find(kernel, name, false)?;
        match (is_directory, node.kind == Kind::Directory) {
            (true, false) => return Err(Errno::NOTDIR),
            (false, true) => return Err(Errno::ISDIR),
            (true, true) => node.check_empty(kernel)?,
            (false, false) => {}
        }
        let mark = self.mark(kernel, name)?;
        node.leave(directory, name)?;
        if let Some(mark) = mark {
            directory.adopt(name, &mark)?;
        }
        self.name(name, None);
        Ok(node)
    }

    /// The mark that a name needs to be missing, if a lower layer has it.
    pub(super) fn mark(&self, kernel: &Kernel, name: &[u8]) -> Result<Option<Arc<TmpNode>>, Errno> {
        if !self.is_below(kernel, name)? {
            return Ok(None);
        }
        let mark = self.fs.upper.as_ref().ok_or(Errno::ROFS)?.unnamed(New::WHITEOUT)?;
        mark.unname();
        Ok(Some(mark))
    }

    /// Takes its name out of the upper layer's directory, if it is there.
    pub(super) fn leave(&self, directory: &TmpNode, name: &[u8]) -> Result<(), Errno> {
        if let Some(upper) = self.above() {
            let is_directory = self.kind == Kind::Directory;
            if is_directory {
                for mark in upper.list(0, usize::MAX) {
                    upper.remove(&mark.name, false)?;
                }
                if let Some(moved) = &self.fs.moved {
                    lock(moved).remove(&upper.inode());
                }
            }
            directory.remove(name, is_directory)?;
        }
        self.gone.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Whether nothing can be seen in a directory.
    pub(super) fn check_empty(self: &Arc<Self>, kernel: &Kernel) -> Result<(), Errno> {
        if let Some(upper) = self.above() {
            let full = upper.nodes(0, usize::MAX).iter().any(|(_, node)| !node.is_whiteout());
            if full {
                return Err(Errno::NOTEMPTY);
            }
        }
        for lower in self.lowers() {
            let walker = setup::root_walker(kernel);
            self.fs.allow(kernel, lower, access::READ)?;
            let names = open::names(&walker, lower)?;
            let mut position = 0;
            loop {
                let part = names.list(position)?;
                let Some(last) = part.last() else { break };
                position = last.next;
                for listed in &part {
                    if matches!(listed.name.as_slice(), b"." | b"..") {
                        continue;
                    }
                    match self.find(kernel, &listed.name, false) {
                        Err(Errno::NOENT) => {}
                        Ok(_) => return Err(Errno::NOTEMPTY),
                        Err(errno) => return Err(errno),
                    }
                }
            }
        }
        Ok(())
    }

    /// Names of the upper layer's directory.
    pub(super) fn names_above(&self) -> Option<Names> {
        self.above().map(|upper| Names(Arc::clone(upper)))
    }
}
