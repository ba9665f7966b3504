//! Renames, whatever file system it is.

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::change::alter;
use super::inotify::{self, event};
use super::tmpfs::New;
use super::{Entry, Kind, Node, Resolve, Walker, access, arriving, permit};

const NO_REPLACE: u32 = 1;
const EXCHANGE: u32 = 2;
const WHITEOUT: u32 = 4;

/// Whether a directory is this, or below it.
fn holds(entry: &Arc<Entry>, directory: &Arc<Entry>) -> bool {
    let mut above = Some(Arc::clone(directory));
    while let Some(at) = above {
        if Arc::ptr_eq(&at, entry) {
            return true;
        }
        above = at.parent();
    }
    false
}

impl Walker<'_> {
    /// Renames, with flags of renameat2(2).
    ///
    /// # Errors
    /// As renameat2(2).
    pub fn rename(&self, old: &Resolve, new: &Resolve, flags: u32) -> Result<(), Errno> {
        // From one directory to another one at a time: two could each bring a directory into
        // the other one. Of each container by itself, as a paused one stays here.
        let moves = !Arc::ptr_eq(&old.parent, &new.parent);
        let _one_at_a_time = moves.then(|| lock(&self.kernel.files.moving));
        let _changing = Entry::changing_both(&old.parent, &new.parent);
        let now = (self.by_now(old)?, self.by_now(new)?);
        let (old, new) = (now.0.as_ref().unwrap_or(old), now.1.as_ref().unwrap_or(new));
        let entry = old.entry.as_ref().ok_or(Errno::NOENT)?;
        if old.parent.mount.id != new.parent.mount.id {
            return Err(Errno::XDEV);
        }
        if flags & NO_REPLACE != 0 && new.entry.is_some() {
            return Err(Errno::EXIST);
        }
        if flags & EXCHANGE != 0 && new.entry.is_none() {
            return Err(Errno::NOENT);
        }
        if flags & WHITEOUT != 0 && !matches!(old.parent.node, Node::Tmp(_)) {
            // As file systems without them, and as an overlay.
            return Err(Errno::INVAL);
        }
        if new.slash && entry.kind() != Kind::Directory {
            return Err(Errno::NOTDIR);
        }
        if old.parent.holds_fast(&old.name) || new.parent.holds_fast(&new.name) {
            return Err(Errno::BUSY);
        }
        // A directory does not come into itself, nor does what is above it.
        if holds(entry, &new.parent) {
            return Err(Errno::INVAL);
        }
        if let Some(replaced) = &new.entry
            && holds(replaced, &old.parent)
        {
            return Err(if flags & EXCHANGE != 0 { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        let (above, owner) = self.directory_to_change(&old.parent)?;
        self.check_sticky(&above, entry)?;
        let (above, _) = self.directory_to_change(&new.parent)?;
        if let Some(replaced) = &new.entry {
            self.check_sticky(&above, replaced)?;
        }
        let back = new.entry.as_ref().filter(|_| flags & EXCHANGE != 0);
        if old.parent.node.id() != new.parent.node.id() {
            // What `..` is in a directory changes.
            for moved in [Some(entry), back].into_iter().flatten() {
                if moved.kind() == Kind::Directory {
                    let directory = moved.attributes(self.kernel)?;
                    permit(&self.credentials, &directory, access::WRITE)?;
                }
            }
        }
        if flags & EXCHANGE == 0 && self.is_same_file(old, new) {
            return Ok(());
        }
        if let Some(replaced) = new.entry.as_ref().filter(|_| flags & EXCHANGE == 0)
            && entry.kind() == Kind::Directory
            && replaced.holds_mounts()
        {
            return Err(Errno::NOTEMPTY);
        }
        let _expected = (
            arriving::expect(&new.parent, &new.name, entry),
            back.map(|back| arriving::expect(&old.parent, &old.name, back)),
        );
        let mut found = (0, 0);
        match (&old.parent.node, &new.parent.node) {
            (Node::Host(from), Node::Host(to)) => {
                let broker = &self.kernel.files.broker;
                self.leave_place(entry, true);
                if let Some(replaced) = &new.entry {
                    let is_held = flags & EXCHANGE != 0 || Arc::strong_count(replaced) > 2;
                    self.leave_place(replaced, is_held);
                }
                [from, to].iter().for_each(|directory| directory.expect_change());
                found = (from.now().outside, to.now().outside);
                let source = (from.handle(broker)?, old.name.as_slice());
                let target = (to.handle(broker)?, new.name.as_slice());
                broker.rename(source, target, flags).inspect_err(|_| {
                    old.parent.doubt(&old.name);
                    new.parent.doubt(&new.name);
                })?;
                from.vanished(&old.name);
                if let Some(replaced) = &new.entry {
                    alter(replaced);
                    if let (true, Node::Host(node)) = (flags & EXCHANGE != 0, &replaced.node) {
                        from.appeared(&old.name, node.kind(), node.id().1);
                    }
                }
                alter(entry);
                if let Node::Host(node) = &entry.node {
                    to.appeared(&new.name, node.kind(), node.id().1);
                }
            }
            (Node::Tmp(from), Node::Tmp(to)) => {
                let mark = || from.file_system().unnamed(New { owner, ..New::WHITEOUT });
                let mark = (flags & WHITEOUT != 0).then(mark).transpose()?;
                from.rename(&old.name, to, &new.name, flags, mark)?;
            }
            (Node::Overlay(from), Node::Overlay(to)) => {
                if let Some(replaced) = &new.entry {
                    replaced.node.hold(self.kernel)?;
                }
                from.rename(self.kernel, &old.name, to, &new.name, flags)?;
            }
            _ => return Err(Errno::PERM),
        }
        Entry::renamed(old, new, flags & EXCHANGE != 0, found);
        let is_directory = entry.kind() == Kind::Directory;
        let cookie = inotify::cookie();
        let (from, to) = (event::MOVED_FROM, event::MOVED_TO);
        if old.parent.node.id() == new.parent.node.id() {
            inotify::in_directory(&old.parent, &old.name, event::RENAMED, is_directory, cookie);
        }
        inotify::in_directory(&old.parent, &old.name, from, is_directory, cookie);
        inotify::in_directory(&new.parent, &new.name, to, is_directory, cookie);
        inotify::to_itself(entry, event::MOVE_SELF);
        if let Some(replaced) = new.entry.as_ref().filter(|_| flags & EXCHANGE == 0) {
            inotify::to_itself(replaced, event::ATTRIBUTES);
            self.unlinked(replaced, false);
        }
        Ok(())
    }

    /// What a name stands for now that no other change is made in its directory; `None` if that
    /// is what was found.
    pub(super) fn by_now(&self, found: &Resolve) -> Result<Option<Resolve>, Errno> {
        let (parent, name, slash) = (Arc::clone(&found.parent), found.name.clone(), found.slash);
        if parent.is_known(&name, found.entry.as_ref()) {
            return Ok(None);
        }
        let entry = match parent.lookup(self.kernel, &name, false) {
            Err(Errno::NOENT) => None,
            other => Some(other?.top()),
        };
        Ok(Some(Resolve { parent, name, entry, slash }))
    }

    /// Two names of one file: a rename leaves both.
    fn is_same_file(&self, old: &Resolve, new: &Resolve) -> bool {
        let id = |found: &Resolve| {
            let entry = found.entry.as_ref()?;
            let attributes = entry.attributes(self.kernel).ok()?;
            (attributes.kind() != Kind::Directory).then_some((attributes.device, attributes.inode))
        };
        id(old).is_some_and(|first| id(new) == Some(first))
    }
}
