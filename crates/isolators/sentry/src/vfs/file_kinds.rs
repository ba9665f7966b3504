//! Open files of each kind, as they are made.

use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;

use super::file_use::{FileUse, Purpose};
use super::mount::MountUse;
use super::{Directory, Entry, Epoll, File, Kind, Node, OpenFile, Position, status};

impl OpenFile {
    fn new(file: Box<dyn File>, flags: u32) -> Self {
        OpenFile {
            file,
            directory: None,
            entry: None,
            mount_use: None,
            file_use: None,
            flags: AtomicU32::new(flags),
            position: Position::default(),
            seekable: false,
            epoll: None,
            locked: OnceLock::new(),
            sets: Mutex::default(),
            owner: OnceLock::new(),
            hint: OnceLock::new(),
            read_over: AtomicU64::new(0),
        }
    }

    /// A file that was found, with its names if it is a directory, and with what it is open for.
    #[must_use]
    pub fn found(
        (file, directory): (Box<dyn File>, Option<Box<dyn Directory>>),
        entry: &Arc<Entry>,
        file_use: Option<Arc<FileUse>>,
        flags: u32,
    ) -> Arc<Self> {
        let mut found = OpenFile::new(file, flags);
        found.seekable = matches!(entry.kind(), Kind::Regular | Kind::Directory)
            && !matches!(entry.node, Node::Namespace(_));
        (found.directory, found.entry) = (directory, Some(Arc::clone(entry)));
        found.mount_use = Some(MountUse::of(&entry.mount));
        found.file_use = file_use;
        Arc::new(found)
    }

    /// A new file in memory, which may be executed while it is open to be written.
    ///
    /// # Errors
    /// None, as nobody else has it yet.
    pub fn in_memory(file: Box<dyn File>, entry: &Arc<Entry>) -> Result<Arc<Self>, Errno> {
        let mut new = OpenFile::new(file, status::READ_WRITE);
        new.seekable = true;
        new.entry = Some(Arc::clone(entry));
        new.mount_use = Some(MountUse::of(&entry.mount));
        new.file_use = entry.node.begin(Purpose::Making)?;
        Ok(Arc::new(new))
    }

    /// Device and inode of the file.
    ///
    /// # Errors
    /// What the host says.
    pub fn device_and_inode(&self) -> Result<(u64, u64), Errno> {
        self.file.attributes().map(|told| (told.device, told.inode))
    }

    /// What the file is by to who locks it: see [`Node::identity`].
    ///
    /// # Errors
    /// What the host says.
    pub fn identity(&self) -> Result<(u64, u64), Errno> {
        self.own_identity().map_or_else(|| self.device_and_inode(), Ok)
    }

    /// That, if it is not what the host says.
    pub(super) fn own_identity(&self) -> Option<(u64, u64)> {
        match self.entry.as_ref().map(|entry| &entry.node) {
            Some(Node::Overlay(node)) => Some(node.identity()),
            _ => None,
        }
    }

    /// What is used by who maps it.
    #[must_use]
    pub fn mapped_use(&self) -> Option<Arc<FileUse>> {
        self.entry.as_ref()?.node.mapped_use(self.file_use.as_ref()?)
    }

    /// A file without name and position.
    #[must_use]
    pub fn stream(file: Box<dyn File>, flags: u32) -> Arc<Self> {
        Arc::new(OpenFile::new(file, flags))
    }

    /// A stream that has a name.
    #[must_use]
    pub fn named(file: Box<dyn File>, entry: Option<Arc<Entry>>, flags: u32) -> Arc<Self> {
        let mut named = OpenFile::new(file, flags);
        named.mount_use = entry.as_ref().map(|entry| MountUse::of(&entry.mount));
        named.entry = entry;
        Arc::new(named)
    }

    /// What stands for a set of epoll(7).
    #[must_use]
    pub fn of_epoll(file: Box<dyn File>, epoll: Arc<Epoll>) -> Arc<Self> {
        let mut set = OpenFile::new(file, status::READ_WRITE);
        set.epoll = Some(epoll);
        Arc::new(set)
    }

    /// A file with a position and without a name.
    #[must_use]
    pub fn nameless(file: Box<dyn File>) -> Arc<Self> {
        let mut nameless = OpenFile::new(file, status::READ_WRITE);
        nameless.seekable = true;
        Arc::new(nameless)
    }
}
