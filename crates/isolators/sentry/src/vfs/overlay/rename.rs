//! Renames in an overlay.

use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

use super::super::Kind;
use super::OverlayNode;

const NO_REPLACE: u32 = 1;
const EXCHANGE: u32 = 2;

impl OverlayNode {
    /// Renames, with flags of renameat2(2). The caller knows that a directory does not come
    /// into itself, and that both names are not one file's.
    ///
    /// # Errors
    /// As renameat2(2); `EXDEV` for a directory of a lower layer, unless this overlay can keep
    /// in mind where it was.
    pub fn rename(
        self: &Arc<Self>,
        kernel: &Kernel,
        from: &[u8],
        other: &Arc<OverlayNode>,
        to: &[u8],
        flags: u32,
    ) -> Result<(), Errno> {
        if !Arc::ptr_eq(&self.fs, &other.fs) {
            return Err(Errno::XDEV);
        }
        if flags & !(NO_REPLACE | EXCHANGE) != 0 {
            return Err(Errno::INVAL);
        }
        let exchanges = flags & EXCHANGE != 0;
        loop {
            self.copy_up(kernel, true)?;
            other.copy_up(kernel, true)?;
            self.child(kernel, from, false)?.prepare(kernel)?;
            if exchanges {
                other.child(kernel, to, false)?.prepare(kernel)?;
            }
            let changing = self.fs.changing();
            // The names may stand for others by now, that were not copied.
            let moved = self.find(kernel, from, false)?;
            if moved.above().is_none() {
                continue;
            }
            if !exchanges {
                let replaced = self.replace(kernel, (from, &moved), other, (to, flags));
                drop(changing);
                return replaced.map(drop);
            }
            let second = other.find(kernel, to, false)?;
            if second.above().is_some() {
                return self.exchange((from, &moved), other, (to, &second));
            }
        }
    }

    /// Copies it up, if it can be renamed.
    fn prepare(self: &Arc<Self>, kernel: &Kernel) -> Result<(), Errno> {
        if self.kind == Kind::Directory && !self.lowers.is_empty() && self.fs.moved.is_none() {
            return Err(Errno::XDEV);
        }
        self.copy_up(kernel, true).map(drop)
    }

    fn exchange(
        self: &Arc<Self>,
        (from, moved): (&[u8], &Arc<OverlayNode>),
        other: &Arc<OverlayNode>,
        (to, second): (&[u8], &Arc<OverlayNode>),
    ) -> Result<(), Errno> {
        let above = |node: &OverlayNode| node.above().cloned().ok_or(Errno::IO);
        moved.part(other)?;
        second.part(self)?;
        above(self)?.rename(from, &above(other)?, to, EXCHANGE, None)?;
        moved.settle(other, to)?;
        second.settle(self, from)
    }

    /// Returns what it takes the place of.
    fn replace(
        self: &Arc<Self>,
        kernel: &Kernel,
        (from, moved): (&[u8], &Arc<OverlayNode>),
        other: &Arc<OverlayNode>,
        (to, flags): (&[u8], u32),
    ) -> Result<Option<Arc<OverlayNode>>, Errno> {
        let above = |node: &OverlayNode| node.above().cloned().ok_or(Errno::IO);
        let (source, target) = (above(self)?, above(other)?);
        let replaced = match other.find(kernel, to, false) {
            Ok(_) if flags & NO_REPLACE != 0 => return Err(Errno::EXIST),
            Ok(replaced) => Some(replaced),
            Err(Errno::NOENT) if !other.is_gone() => None,
            Err(errno) => return Err(errno),
        };
        if let Some(replaced) = &replaced {
            match (moved.kind == Kind::Directory, replaced.kind == Kind::Directory) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) => replaced.check_empty(kernel)?,
                (false, false) => {}
            }
        }
        let mark = self.mark(kernel, from)?;
        moved.part(other)?;
        match &replaced {
            Some(replaced) => replaced.leave(&target, to)?,
            // The mark of a missing name.
            None if target.child(to).is_ok() => target.remove(to, false)?,
            None => {}
        }
        source.rename(from, &target, to, 0, None)?;
        if let Some(mark) = mark {
            source.adopt(from, &mark)?;
        }
        self.name(from, None);
        moved.settle(other, to)?;
        Ok(replaced)
    }

    /// Before it comes into another place, for which there may be no room: lower layers have
    /// nothing to do with it there.
    fn part(&self, parent: &OverlayNode) -> Result<(), Errno> {
        let is_remembered = self.fs.moved.is_some() && !self.lowers.is_empty();
        if self.kind != Kind::Directory || is_remembered || parent.lowers.is_empty() {
            return Ok(());
        }
        self.fs.set_opaque(self.above().ok_or(Errno::IO)?)
    }

    /// It is in another place now.
    fn settle(self: &Arc<Self>, parent: &Arc<OverlayNode>, name: &[u8]) -> Result<(), Errno> {
        *lock(&self.place) = Some((Arc::clone(parent), name.to_vec()));
        parent.name(name, Some(self));
        let upper = self.above().ok_or(Errno::IO)?;
        if let Some(moved) = &self.fs.moved
            && self.kind == Kind::Directory
            && !self.lowers.is_empty()
        {
            lock(moved).insert(upper.inode(), self.lowers.clone());
        }
        Ok(())
    }
}
