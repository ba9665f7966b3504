//! Changes to the tree of names, whatever file system it is.
//! Permissions are checked here, what the file system itself knows is not.
//!
//! From before a name is changed until what is known of it is changed too, its directory's
//! [`Entry::changing`] is held, so that what is known does not end up as it was before another
//! change. The order of locks: that of renames, those of directories by their addresses, then
//! what a file system has of its own (`TmpFs::naming`, an overlay's names), children and places
//! of entries, what is known of the host's. None of those later ones is held while one of these
//! is taken, nor is any while a call may wait for the guest; the broker waits for nobody.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::{Caps, Credentials};

use super::broker::Found;
use super::host::Since;
use super::inotify::{self, event};
use super::tmpfs::New;
use super::{Attributes, Entry, HostNode, Kind, Node, Resolve, Walker};

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub enum Make<'a> {
    /// A directory, with permissions.
    Directory(u32),
    /// A link that leads there.
    Link(&'a [u8]),
    /// A file, FIFO, socket or device: type, permissions, number.
    Node(Kind, u32, u64),
}

impl<'a> Make<'a> {
    fn new_file(self, above: &Attributes, owner: (u32, u32)) -> New<'a> {
        let (kind, permissions, number, text) = match self {
            Make::Directory(mode) => (Kind::Directory, mode | above.mode & 0o2000, 0, &b""[..]),
            Make::Link(target) => (Kind::Link, 0o777, 0, target),
            Make::Node(kind, mode, number) => (kind, mode, number, &b""[..]),
        };
        New { kind, permissions, owner, number, text }
    }
}

/// The mode of a new file: who is not in a directory's group makes no programs that run as it.
pub(super) fn new_mode(who: &Credentials, above: &Attributes, mode: u32) -> u32 {
    const GROUP_PROGRAM: u32 = 0o2010;
    let gives = mode & GROUP_PROGRAM == GROUP_PROGRAM && above.mode & 0o2000 != 0;
    if gives && !who.keeps_group_id((above.user, above.group)) { mode & !0o2000 } else { mode }
}

/// What is known of a file of the host's may not be true any more.
pub(super) fn alter(entry: &Entry) {
    if let Node::Host(node) = &entry.node {
        node.alter();
    }
}

impl Walker<'_> {
    /// Makes what was not found.
    ///
    /// # Errors
    /// As mknod(2), mkdir(2), symlink(2).
    pub fn make(&self, at: &Resolve, what: Make<'_>) -> Result<(), Errno> {
        self.make_there(at, what)?;
        let is_directory = matches!(what, Make::Directory(_));
        inotify::in_directory(&at.parent, &at.name, event::CREATE, is_directory, 0);
        Ok(())
    }

    fn make_there(&self, at: &Resolve, what: Make<'_>) -> Result<(), Errno> {
        let _changing = at.parent.changing();
        let (above, owner) = self.directory_to_change(&at.parent)?;
        let what = match what {
            Make::Node(kind, mode, number) => {
                Make::Node(kind, new_mode(&self.credentials, &above, mode), number)
            }
            other => other,
        };
        let broker = &self.kernel.files.broker;
        match &at.parent.node {
            Node::Host(host) => {
                host.expect_change();
                let (directory, since) = (host.handle(broker)?, host.now());
                let found = match what {
                    Make::Directory(mode) => {
                        let mode = mode | above.mode & 0o2000;
                        broker.make_directory(directory, &at.name, mode, owner)
                    }
                    Make::Link(target) => broker.symlink(directory, &at.name, target, owner),
                    Make::Node(Kind::Regular, mode, _) => {
                        broker.create(directory, &at.name, mode, owner).map(|(_, found)| found)
                    }
                    // Devices on the host's file systems are the host's.
                    Make::Node(Kind::Character | Kind::Block, ..) => return Err(Errno::PERM),
                    Make::Node(kind, mode, _) => {
                        broker.make_node(directory, &at.name, kind as u32 | mode, owner)
                    }
                };
                let found = found.map_err(|errno| host.is_there(&at.name, errno))?;
                let made = self.made(&at.parent, host, &at.name, (found, since));
                if let (Make::Directory(_), Node::Host(directory)) = (what, &made.node) {
                    directory.is_new(host, since);
                }
                Ok(())
            }
            Node::Tmp(directory) => {
                directory.make(&at.name, what.new_file(&above, owner)).map(drop)
            }
            Node::Overlay(directory) => {
                directory.make(self.kernel, &at.name, what.new_file(&above, owner)).map(drop)
            }
            Node::Proc(_) => Err(Errno::NOENT),
            Node::Point | Node::Namespace(_) => Err(Errno::PERM),
        }
    }

    /// Notes what was made on the host.
    fn made(
        &self,
        parent: &Arc<Entry>,
        host: &HostNode,
        name: &[u8],
        (found, since): (Found, Since),
    ) -> Arc<Entry> {
        let node = host.found(found, since);
        host.appeared(name, node.kind(), node.id().1);
        parent.made(self.kernel, name, node, since)
    }

    /// Makes a regular file that is not there; returns what stands for it, and the host's
    /// descriptor if it came with one, which can be read and written.
    ///
    /// # Errors
    /// As open(2).
    pub fn create(
        &self,
        parent: &Arc<Entry>,
        name: &[u8],
        mode: u32,
    ) -> Result<(Arc<Entry>, Option<OwnedFd>), Errno> {
        let _changing = parent.changing();
        let (above, owner) = self.directory_to_change(parent)?;
        let mode = new_mode(&self.credentials, &above, mode);
        match &parent.node {
            Node::Host(host) => {
                let broker = &self.kernel.files.broker;
                host.expect_change();
                let since = host.now();
                let created = broker.create(host.handle(broker)?, name, mode, owner);
                let (fd, found) = created.map_err(|errno| host.is_there(name, errno))?;
                let entry = self.made(parent, host, name, (found, since));
                inotify::in_directory(parent, name, event::CREATE, false, 0);
                Ok((entry, Some(fd)))
            }
            Node::Tmp(directory) => {
                let kind = Kind::Regular;
                let new = New { kind, permissions: mode, owner, number: 0, text: b"" };
                directory.make(name, new)?;
                inotify::in_directory(parent, name, event::CREATE, false, 0);
                Ok((parent.lookup(self.kernel, name, false)?, None))
            }
            Node::Overlay(directory) => {
                let kind = Kind::Regular;
                let new = New { kind, permissions: mode, owner, number: 0, text: b"" };
                directory.make(self.kernel, name, new)?;
                inotify::in_directory(parent, name, event::CREATE, false, 0);
                Ok((parent.lookup(self.kernel, name, false)?, None))
            }
            Node::Proc(_) => Err(Errno::NOENT),
            Node::Point | Node::Namespace(_) => Err(Errno::PERM),
        }
    }

    /// In a directory like `/tmp`, only owners take names away.
    pub(super) fn check_sticky(&self, parent: &Attributes, entry: &Entry) -> Result<(), Errno> {
        let [_, _, _, user] = self.credentials.users;
        let any = self.credentials.can(Caps::FOWNER);
        if any || parent.mode & 0o1000 == 0 || parent.user == user {
            return Ok(());
        }
        let file = entry.attributes(self.kernel)?;
        let owner = (file.user, file.group);
        let may = file.user == user || self.credentials.can_about(owner, Caps::FOWNER);
        if may { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Takes a name away.
    ///
    /// # Errors
    /// As unlink(2), rmdir(2).
    pub fn remove(&self, found: &Resolve, is_directory: bool) -> Result<(), Errno> {
        let _changing = found.parent.changing();
        let now = self.by_now(found)?;
        let found = now.as_ref().unwrap_or(found);
        let entry = found.entry.as_ref().ok_or(Errno::NOENT)?;
        if found.parent.holds_fast(&found.name) {
            return Err(Errno::BUSY);
        }
        match (is_directory, entry.kind() == Kind::Directory) {
            (true, false) => return Err(Errno::NOTDIR),
            (false, true) => return Err(Errno::ISDIR),
            _ => {}
        }
        if !is_directory && found.slash {
            return Err(Errno::NOTDIR);
        }
        let (above, _) = self.directory_to_change(&found.parent)?;
        self.check_sticky(&above, entry)?;
        // A directory of the host's may be empty where something is mounted in it.
        if is_directory && entry.holds_mounts() {
            return Err(Errno::NOTEMPTY);
        }
        match &found.parent.node {
            Node::Host(host) => {
                // One is the cache's, one is `found`'s.
                self.leave_place(entry, Arc::strong_count(entry) > 2);
                let broker = &self.kernel.files.broker;
                host.expect_change();
                let removed = broker.remove(host.handle(broker)?, &found.name, is_directory);
                removed.inspect_err(|_| found.parent.doubt(&found.name))?;
                host.vanished(&found.name);
                alter(entry);
            }
            Node::Tmp(directory) => directory.remove(&found.name, is_directory)?,
            Node::Overlay(directory) => {
                if Arc::strong_count(entry) > 2 || inotify::anybody() {
                    entry.node.hold(self.kernel)?;
                }
                directory.remove(self.kernel, &found.name, is_directory)?;
            }
            _ => return Err(Errno::PERM),
        }
        found.parent.forget(&found.name);
        entry.nameless.store(true, Ordering::SeqCst);
        if !is_directory {
            inotify::to_itself(entry, event::ATTRIBUTES);
        }
        inotify::in_directory(&found.parent, &found.name, event::DELETE, is_directory, 0);
        self.unlinked(entry, is_directory);
        Ok(())
    }

    /// The name of a file is about to be taken away; who holds it needs more than that.
    pub(super) fn leave_place(&self, entry: &Entry, is_held: bool) {
        if let Node::Host(node) = &entry.node {
            let files = &self.kernel.files;
            let is_held = is_held || inotify::anybody() || files.handles.has(&entry.node);
            node.leave_place(&files.broker, is_held);
        }
    }

    /// Tells of a file that is gone, if a name was its last one.
    pub(super) fn unlinked(&self, entry: &Entry, is_directory: bool) {
        let handles = &self.kernel.files.handles;
        if !inotify::anybody() && !handles.has(&entry.node) {
            return;
        }
        let gone = is_directory
            || matches!(&entry.node, Node::Overlay(node) if node.is_below_and_gone())
            || entry.attributes(self.kernel).is_ok_and(|attributes| attributes.links == 0);
        if gone {
            handles.is_gone(&entry.node);
            inotify::to_itself(entry, event::DELETE_SELF);
        }
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// As link(2).
    pub fn link(&self, entry: &Entry, at: &Resolve) -> Result<(), Errno> {
        if entry.kind() == Kind::Directory {
            return Err(Errno::PERM);
        }
        if entry.mount.id != at.parent.mount.id {
            return Err(Errno::XDEV);
        }
        let changing = at.parent.changing();
        self.directory_to_change(&at.parent)?;
        self.link_there(entry, at)?;
        drop(changing);
        inotify::to_itself(entry, event::ATTRIBUTES);
        inotify::in_directory(&at.parent, &at.name, event::CREATE, false, 0);
        Ok(())
    }

    fn link_there(&self, entry: &Entry, at: &Resolve) -> Result<(), Errno> {
        match (&entry.node, &at.parent.node) {
            (Node::Host(file), Node::Host(to)) => {
                let broker = &self.kernel.files.broker;
                to.expect_change();
                let since = to.now();
                let handles = (file.handle(broker)?, to.handle(broker)?);
                let linked = broker.link(handles.0, handles.1, &at.name);
                let found = linked.map_err(|errno| to.is_there(&at.name, errno))?;
                file.alter();
                self.made(&at.parent, to, &at.name, (found, since));
                Ok(())
            }
            (Node::Tmp(file), Node::Tmp(to)) => to.link(&at.name, file),
            (Node::Overlay(file), Node::Overlay(to)) => to.link(self.kernel, &at.name, file),
            _ => Err(Errno::PERM),
        }
    }
}
