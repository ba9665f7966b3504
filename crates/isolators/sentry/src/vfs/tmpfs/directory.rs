//! Directories: names in the order in which they were made, so that a listing can
//! go on where it was, whatever happens meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;

use crate::ipc::queues::Queue;
use crate::task::waiter::lock;

use super::super::{Kind, Listed};
use super::content::Content;
use super::room::FILE;
use super::{New, TmpNode};

/// Positions of `.` and `..`.
const OWN: u64 = 2;
/// Bytes that a name adds to a directory's size, as on Linux.
const NAME_SIZE: u64 = 20;

#[derive(Debug, Default)]
pub(super) struct Entries {
    last: u64,
    order: BTreeMap<u64, (Vec<u8>, Arc<TmpNode>)>,
    names: HashMap<Vec<u8>, u64>,
    /// It was removed: nothing is made in it any more.
    gone: bool,
}

impl Entries {
    pub(super) fn size(&self) -> u64 {
        (self.names.len() as u64 + OWN) * NAME_SIZE
    }

    fn get(&self, name: &[u8]) -> Option<&Arc<TmpNode>> {
        let position = self.names.get(name)?;
        self.order.get(position).map(|(_, node)| node)
    }

    fn insert(&mut self, name: &[u8], node: Arc<TmpNode>) {
        self.last += 1;
        self.order.insert(self.last + OWN, (name.to_vec(), node));
        self.names.insert(name.to_vec(), self.last + OWN);
    }

    pub(super) fn emptied(&mut self) -> Vec<Arc<TmpNode>> {
        self.names.clear();
        std::mem::take(&mut self.order).into_values().map(|(_, node)| node).collect()
    }

    fn take(&mut self, name: &[u8]) -> Option<Arc<TmpNode>> {
        let position = self.names.remove(name)?;
        self.order.remove(&position).map(|(_, node)| node)
    }
}

/// Flags of renameat2(2).
const NO_REPLACE: u32 = 1;
const EXCHANGE: u32 = 2;

impl TmpNode {
    fn entries(&self) -> Result<&Mutex<Entries>, Errno> {
        if let Content::Directory(entries) = &self.content {
            Ok(entries)
        } else {
            Err(Errno::NOTDIR)
        }
    }

    /// What a name in a directory stands for.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`
    pub fn child(&self, name: &[u8]) -> Result<Arc<TmpNode>, Errno> {
        lock(self.entries()?).get(name).cloned().ok_or(Errno::NOENT)
    }

    /// The names in a directory, and what they stand for; none if it is none.
    #[must_use]
    pub fn all_children(&self) -> Vec<(Vec<u8>, Arc<TmpNode>)> {
        self.entries()
            .map_or_else(|_| Vec::new(), |all| lock(all).order.values().cloned().collect())
    }

    /// Makes a file in a directory.
    ///
    /// # Errors
    /// `EEXIST`, `ENOSPC`; `ENOENT` if the directory was removed.
    pub fn make(&self, name: &[u8], new: New<'_>) -> Result<Arc<TmpNode>, Errno> {
        self.make_by(name, new, || self.fs.unnamed(new))
    }

    /// Makes a message queue in the directory of queues.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn make_queue(
        &self,
        name: &[u8],
        new: New<'_>,
        queue: Arc<Queue>,
    ) -> Result<Arc<TmpNode>, Errno> {
        self.make_by(name, new, || self.fs.unnamed_of(new, Content::Queue(queue), self.fs.number()))
    }

    fn make_by(
        &self,
        name: &[u8],
        new: New<'_>,
        make: impl FnOnce() -> Result<Arc<TmpNode>, Errno>,
    ) -> Result<Arc<TmpNode>, Errno> {
        let _alone = lock(&self.fs.naming);
        let mut entries = self.vacant(name)?;
        let node = make()?;
        entries.insert(name, Arc::clone(&node));
        drop(entries);
        self.touched();
        if new.kind == Kind::Directory {
            self.linked(1);
        }
        Ok(node)
    }

    /// What is in it, where this name is not.
    fn vacant(&self, name: &[u8]) -> Result<MutexGuard<'_, Entries>, Errno> {
        let entries = lock(self.entries()?);
        if entries.gone {
            return Err(Errno::NOENT);
        }
        if entries.get(name).is_some() {
            return Err(Errno::EXIST);
        }
        Ok(entries)
    }

    /// Gives a file so many links more, the first one by this name.
    fn name(&self, name: &[u8], node: &Arc<TmpNode>, links: i64) -> Result<(), Errno> {
        let _alone = lock(&self.fs.naming);
        let mut entries = self.vacant(name)?;
        // The first name is the file's own.
        if lock(&node.changeable).links > 0 {
            self.fs.files.take(FILE)?;
        }
        entries.insert(name, Arc::clone(node));
        node.linked(links);
        Ok(())
    }

    /// A name of it is gone.
    fn unlinked(&self) {
        if self.kind == Kind::Directory {
            self.linked(-2);
            return;
        }
        if lock(&self.changeable).links > 1 {
            self.fs.files.give(FILE);
        }
        self.linked(-1);
    }

    /// Gives a file, which is none of these, a name in this directory.
    ///
    /// # Errors
    /// `EEXIST`, `EXDEV`
    pub fn link(&self, name: &[u8], node: &Arc<TmpNode>) -> Result<(), Errno> {
        if !Arc::ptr_eq(&self.fs, &node.fs) {
            return Err(Errno::XDEV);
        }
        if self.fs.queues.is_some() {
            return Err(Errno::PERM);
        }
        self.name(name, node, 1)?;
        self.touched();
        Ok(())
    }

    /// Gives a file that was made without a name one in this directory, whatever it is.
    ///
    /// # Errors
    /// `EEXIST`; `ENOENT` if the directory was removed.
    pub fn adopt(&self, name: &[u8], node: &Arc<TmpNode>) -> Result<(), Errno> {
        let is_directory = node.kind == Kind::Directory;
        self.name(name, node, 1 + i64::from(is_directory))?;
        self.linked(i64::from(is_directory));
        self.touched();
        Ok(())
    }

    /// Marks a directory as removed.
    fn close(&self) -> Result<(), Errno> {
        let mut inside = lock(self.entries()?);
        if !inside.names.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        inside.gone = true;
        Ok(())
    }

    /// Takes a name away; an empty directory's if `is_directory`.
    ///
    /// # Errors
    /// `ENOENT`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`
    pub fn remove(&self, name: &[u8], is_directory: bool) -> Result<(), Errno> {
        let _alone = lock(&self.fs.naming);
        let mut entries = lock(self.entries()?);
        let node = entries.get(name).cloned().ok_or(Errno::NOENT)?;
        match (is_directory, node.kind == Kind::Directory) {
            (true, false) => return Err(Errno::NOTDIR),
            (false, true) => return Err(Errno::ISDIR),
            (true, true) => node.close()?,
            (false, false) => {}
        }
        entries.take(name);
        drop(entries);
        self.touched();
        if is_directory {
            self.linked(-1);
        }
        node.unlinked();
        Ok(())
    }

    /// Renames, with flags of renameat2(2). The caller knows that a directory does not come
    /// into itself. `left`, a file that has no name yet, no directory, gets the old one.
    ///
    /// # Errors
    /// As renameat2(2).
    pub fn rename(
        &self,
        from: &[u8],
        other: &Arc<TmpNode>,
        to: &[u8],
        flags: u32,
        left: Option<Arc<TmpNode>>,
    ) -> Result<(), Errno> {
        if !Arc::ptr_eq(&self.fs, &other.fs) {
            return Err(Errno::XDEV);
        }
        if self.fs.queues.is_some() {
            return Err(Errno::PERM);
        }
        let _alone = lock(&self.fs.naming);
        let node = self.child(from)?;
        let replaced = other.child(to).ok();
        if lock(other.entries()?).gone {
            return Err(Errno::NOENT);
        }
        let is_directory = node.kind == Kind::Directory;
        if flags & EXCHANGE != 0 {
            let second = replaced.ok_or(Errno::NOENT)?;
            let second_is = second.kind == Kind::Directory;
            lock(self.entries()?).take(from);
            lock(other.entries()?).take(to);
            lock(self.entries()?).insert(from, Arc::clone(&second));
            lock(other.entries()?).insert(to, Arc::clone(&node));
            let moved = i64::from(is_directory) - i64::from(second_is);
            self.linked(-moved);
            other.linked(moved);
        } else {
            if let Some(replaced) = &replaced {
                if flags & NO_REPLACE != 0 {
                    return Err(Errno::EXIST);
                }
                if Arc::ptr_eq(replaced, &node) {
                    return Ok(());
                }
                match (is_directory, replaced.kind == Kind::Directory) {
                    (true, false) => return Err(Errno::NOTDIR),
                    (false, true) => return Err(Errno::ISDIR),
                    (true, true) => replaced.close()?,
                    (false, false) => {}
                }
            }
            let mut entries = lock(self.entries()?);
            entries.take(from);
            if let Some(left) = left {
                entries.insert(from, left);
            }
            drop(entries);
            let mut entries = lock(other.entries()?);
            entries.take(to);
            entries.insert(to, Arc::clone(&node));
            drop(entries);
            if is_directory {
                self.linked(-1);
                other.linked(1);
            }
            if let Some(replaced) = replaced {
                replaced.unlinked();
                other.linked(if is_directory { -1 } else { 0 });
            }
        }
        node.linked(0);
        self.touched();
        other.touched();
        Ok(())
    }

    /// Up to `most` names from a position on.
    #[must_use]
    pub fn list(&self, position: u64, most: usize) -> Vec<Listed> {
        self.list_as(position, most, |_, node| Some(node.inode))
    }

    /// The same with the inode numbers that it is told, and without names for which there is none.
    #[must_use]
    fn list_as(
        &self,
        position: u64,
        most: usize,
        mut number: impl FnMut(&[u8], &TmpNode) -> Option<u64>,
    ) -> Vec<Listed> {
        let Ok(entries) = self.entries() else { return Vec::new() };
        let entries = lock(entries);
        let rest = entries.order.range(position.saturating_add(1)..);
        let listed = rest.filter_map(|(position, (name, node))| {
            let (inode, kind) = (number(name, node)?, node.kind.entry_type());
            Some(Listed { next: *position, inode, kind, name: name.clone() })
        });
        listed.take(most).collect()
    }

    /// The same with the files.
    #[must_use]
    pub fn nodes(&self, position: u64, most: usize) -> Vec<(Vec<u8>, Arc<TmpNode>)> {
        let Ok(entries) = self.entries() else { return Vec::new() };
        let entries = lock(entries);
        let rest = entries.order.range(position.saturating_add(1)..).take(most);
        rest.map(|(_, named)| named.clone()).collect()
    }

    /// Its inode number.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }
}

/// Names that are listed at once: as many short ones as libc's buffer holds.
pub const AT_ONCE: usize = 1024;

/// Names of a directory: `.`, `..` and the others.
pub struct Names(pub Arc<TmpNode>);

impl Names {
    /// As [`super::super::Directory::list`], with other inode numbers: `own` that of the
    /// directory, and those that `number` tells; without names for which it tells none.
    #[must_use]
    pub fn list_as(
        &self,
        position: u64,
        own: u64,
        number: impl FnMut(&[u8], &TmpNode) -> Option<u64>,
    ) -> Vec<Listed> {
        let mut names = Vec::new();
        for (next, name) in [(1, &b"."[..]), (OWN, b"..")] {
            if position < next {
                let (inode, kind) = (own, Kind::Directory.entry_type());
                names.push(Listed { next, inode, kind, name: name.to_vec() });
            }
        }
        names.extend(self.0.list_as(position.max(OWN), AT_ONCE, number));
        names
    }
}

impl super::super::Directory for Names {
    fn list(&self, position: u64) -> Result<Vec<Listed>, Errno> {
        Ok(self.list_as(position, self.0.inode, |_, node| Some(node.inode)))
    }
}
