//! How a file comes into the layer that is written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

use super::super::tmpfs::{New, TmpFile};
use super::super::{Entry, Kind, TmpNode, Walker, access, extended, open, setup};
use super::OverlayNode;

/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;

impl OverlayNode {
    /// The file in the upper layer, where it is copied to if need be; without its content if it
    /// is about to be cut to nothing.
    ///
    /// # Errors
    /// `EROFS` if nothing is written; `ENOSPC`, and what the host says.
    pub fn copy_up(
        self: &Arc<Self>,
        kernel: &Kernel,
        content: bool,
    ) -> Result<Arc<TmpNode>, Errno> {
        if let Some(upper) = self.above() {
            return Ok(Arc::clone(upper));
        }
        let mut missing = vec![Arc::clone(self)];
        let mut next = lock(&self.place).clone();
        while let Some((parent, _)) = next.filter(|(parent, _)| parent.above().is_none()) {
            next = lock(&parent.place).clone();
            missing.push(parent);
        }
        // From above to below.
        for node in missing.iter().rev() {
            node.copy_one(kernel, content || !Arc::ptr_eq(node, self))?;
        }
        self.above().cloned().ok_or(Errno::IO)
    }

    fn copy_one(&self, kernel: &Kernel, content: bool) -> Result<(), Errno> {
        let _alone = lock(&self.copying);
        if self.above().is_some() {
            return Ok(());
        }
        let fs = self.fs.upper.as_ref().ok_or(Errno::ROFS)?;
        let lower = self.below()?;
        let from = lower.attributes(kernel)?;
        if self.fs.maker.as_ref().is_some_and(|maker| !maker.knows((from.user, from.group))) {
            return Err(Errno::OVERFLOW);
        }
        if self.kind == Kind::Regular && content {
            self.fs.permit(&from, access::READ)?;
        }
        let walker = setup::root_walker(kernel);
        let target = if self.kind == Kind::Link { lower.target(&walker)? } else { Vec::new() };
        let new = New {
            kind: self.kind,
            permissions: from.mode & 0o7777,
            owner: (from.user, from.group),
            number: from.number,
            text: &target,
        };
        let copy = fs.unnamed_numbered(new, self.copy_number(fs))?;
        copy.unname();
        if self.kind == Kind::Regular && content {
            copy_content(&walker, lower, &copy)?;
        }
        if matches!(self.kind, Kind::Regular | Kind::Directory) {
            let names = extended::names(kernel, &lower.node)?;
            for name in names.into_iter().filter(|name| !name.starts_with(self.fs.prefix)) {
                let value = extended::value(kernel, &lower.node, &name)?;
                copy.set_extended(&name, Some(&value), None)?;
            }
        }
        // A file with several names is another one from here on, as on Linux.
        let stays = self.kind == Kind::Directory || from.links == 1;
        if stays {
            let inode = self.inode.load(Ordering::SeqCst).to_le_bytes();
            copy.set_extended(&self.fs.name(b"origin"), Some(&inode), None)?;
        }
        copy.set_times(Some(from.accessed), Some(from.modified));
        let _changing = self.fs.changing();
        if !self.is_gone() {
            let place = lock(&self.place).clone();
            match place {
                Some((parent, name)) => {
                    let directory = parent.above().ok_or(Errno::STALE)?;
                    let before = directory.attributes()?;
                    self.fs.permit(&before, access::WRITE | access::EXECUTE)?;
                    directory.adopt(&name, &copy)?;
                    directory.set_times(Some(before.accessed), Some(before.modified));
                }
                // A file that is all of its mount has its name elsewhere.
                None => copy.linked(1),
            }
        }
        if !stays {
            self.inode.store(self.fs.number_above(&copy), Ordering::SeqCst);
        }
        let _ = self.upper.set(TmpFile(copy));
        Ok(())
    }
}

fn copy_content(walker: &Walker<'_>, lower: &Arc<Entry>, copy: &TmpNode) -> Result<(), Errno> {
    let file = open::to_read(walker, lower)?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let count = file.read(&mut piece, at)?;
        let mut rest = piece.get(..count).ok_or(Errno::IO)?;
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            let done = copy.write(rest, at, false)?;
            at += done as u64;
            rest = rest.get(done..).unwrap_or_default();
        }
    }
}
