//! Mounts: which file system is where in the tree of names.

mod options;
mod table;
mod text;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

pub use options::{MountOptionError, Options};
pub use table::MountTable;

use crate::task::waiter::lock;

use super::Entry;

bitflags::bitflags! {
    /// Flags of a mount, as mount(2) numbers them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// `MS_RDONLY`
        const READ_ONLY = 1;
        /// `MS_NOSUID`
        const NO_SUID = 2;
        /// `MS_NODEV`
        const NO_DEVICES = 4;
        /// `MS_NOEXEC`
        const NO_EXECUTE = 8;
        /// `MS_NOATIME`
        const NO_ACCESS_TIMES = 1 << 10;
        /// `MS_NODIRATIME`
        const NO_DIRECTORY_ACCESS_TIMES = 1 << 11;
        /// `MS_RELATIME`
        const RELATIVE_ACCESS_TIMES = 1 << 21;
        /// `MS_NOSYMFOLLOW`
        const NO_LINKS = 1 << 8;
    }
}

/// A mount.
#[derive(Debug)]
pub struct Mount {
    /// Its number.
    pub id: u32,
    /// Type of its file system, as `/proc/mounts` says it.
    pub kind: String,
    /// What is mounted.
    pub source: Vec<u8>,
    /// Path of its root in that file system.
    pub inside: Vec<u8>,
    /// Options of the file system.
    pub options: String,
    /// Device number of its files.
    pub device: u64,
    flags: AtomicU32,
    /// The mount that it is in, and the entry that it covers.
    place: Mutex<Option<Arc<Entry>>>,
    root: Mutex<Weak<Entry>>,
}

/// What a mount is made of, but its root.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// Type of its file system.
    pub kind: String,
    /// What is mounted.
    pub source: Vec<u8>,
    /// Path of its root in that file system.
    pub inside: Vec<u8>,
    /// Options of the file system.
    pub options: String,
    /// Device number of its files.
    pub device: u64,
    /// Flags.
    pub flags: MountFlags,
}

impl Mount {
    fn new(id: u32, of: Description) -> Arc<Self> {
        Arc::new(Mount {
            id,
            kind: of.kind,
            source: of.source,
            inside: of.inside,
            options: of.options,
            device: of.device,
            flags: AtomicU32::new(of.flags.bits()),
            place: Mutex::default(),
            root: Mutex::default(),
        })
    }

    /// Its flags now.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::SeqCst))
    }

    /// Gives it other flags.
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::SeqCst);
    }

    /// The entry that it covers; `None` for the root of all, and what is no longer there.
    #[must_use]
    pub fn place(&self) -> Option<Arc<Entry>> {
        lock(&self.place).clone()
    }

    /// Its root, unless it is gone.
    #[must_use]
    pub fn root(&self) -> Option<Arc<Entry>> {
        lock(&self.root).upgrade()
    }

    /// One that is in no tree: what is in it is seen through another file system.
    #[must_use]
    pub(super) fn hidden(of: Description) -> Arc<Self> {
        Mount::new(0, of)
    }
}
