//! Mounts: which file system is where in the tree of names.

mod context;
mod copies;
mod detached;
mod end;
mod in_use;
mod options;
mod place;
mod sharing;
mod spread;
mod table;
mod text;
mod veils;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

pub use context::{ContextState, FsContext, Stage};
pub use copies::{moved, same_mount};
pub use detached::DetachedTree;
pub use in_use::{MountUse, Standing};
pub use options::{MountOptionError, Options, size_of};
pub use sharing::{Family, Propagation};
pub use table::{Leave, MountTable};
pub use veils::{OfNet, Veils};

use rustix::io::Errno;

use crate::task::user_namespace::Space;
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
    /// Its number, of which no other one ever has the same.
    pub id: u64,
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
    /// Where capabilities count that change the file system.
    pub owner: Space,
    /// Of a procfs: what is covered in it for every process.
    pub veils: Arc<Veils>,
    flags: AtomicU32,
    /// Flags that stay.
    kept: AtomicU32,
    /// Whether it stays where it is.
    locked: AtomicBool,
    /// Whether it is in no namespace.
    detached: AtomicBool,
    /// The tree that it is the first of, while that is in no namespace.
    tree: Mutex<Weak<DetachedTree>>,
    /// The mount that it is in, and the entry that it covers.
    place: Mutex<Option<Arc<Entry>>>,
    root: Mutex<Weak<Entry>>,
    /// The table that it is in.
    table: Mutex<Weak<Mutex<table::State>>>,
    sharing: Mutex<sharing::Sharing>,
    end: end::End,
    /// How many use it ([`MountUse`]).
    uses: AtomicUsize,
    /// Whether it goes when it is asked to expire once more (`MNT_EXPIRE`).
    expires: AtomicBool,
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
    /// Where capabilities count that change the file system.
    pub owner: Space,
    /// Flags that stay.
    pub kept: MountFlags,
    /// Of a procfs: what is covered in it for every process.
    pub veils: Arc<Veils>,
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// How many mounts there are, of all namespaces.
#[must_use]
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

impl Drop for Mount {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Mount {
    fn new(id: u64, of: Description) -> Arc<Self> {
        COUNT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Mount {
            id,
            kind: of.kind,
            source: of.source,
            inside: of.inside,
            options: of.options,
            device: of.device,
            owner: of.owner,
            veils: of.veils,
            flags: AtomicU32::new(of.flags.bits()),
            kept: AtomicU32::new(of.kept.bits()),
            locked: AtomicBool::new(false),
            detached: AtomicBool::new(false),
            tree: Mutex::default(),
            place: Mutex::default(),
            root: Mutex::default(),
            table: Mutex::default(),
            sharing: Mutex::default(),
            end: end::End::default(),
            uses: AtomicUsize::new(0),
            expires: AtomicBool::new(false),
        })
    }

    /// Its number where Linux has an `int` for it.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.id & 0x7fff_ffff
    }

    /// Its flags now.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::SeqCst))
    }

    /// Gives it other flags.
    ///
    /// # Errors
    /// `EPERM` if some are missing that stay.
    pub fn set_flags(&self, flags: MountFlags) -> Result<(), Errno> {
        self.check_flags(flags)?;
        self.flags.store(flags.bits(), Ordering::SeqCst);
        Ok(())
    }

    /// Whether [`Self::set_flags`] would do so.
    ///
    /// # Errors
    /// As that.
    pub fn check_flags(&self, flags: MountFlags) -> Result<(), Errno> {
        if flags.contains(self.kept_flags()) { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Flags that stay: of what a namespace has from above.
    #[must_use]
    pub fn kept_flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.kept.load(Ordering::SeqCst))
    }

    /// Whether it stays where it is: it may hide something from the namespace.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locked.load(Ordering::SeqCst)
    }

    /// Whether it is of a tree that only a descriptor holds: its names are not kept, as nothing
    /// would let go of them.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.detached.load(Ordering::SeqCst)
    }

    /// The tree that begins with it, if that is in no namespace.
    #[must_use]
    pub fn tree(&self) -> Option<Arc<DetachedTree>> {
        lock(&self.tree).upgrade().filter(|tree| !tree.mounts().is_empty())
    }

    /// As the copy of another one: what that must keep, this one must; all of it, if `locks`.
    fn lock_as(&self, other: &Mount, locks: bool, is_inside: bool) {
        const RESTRICTIONS: MountFlags = MountFlags::READ_ONLY
            .union(MountFlags::NO_SUID)
            .union(MountFlags::NO_DEVICES)
            .union(MountFlags::NO_EXECUTE);
        let more = if locks { self.flags() & RESTRICTIONS } else { MountFlags::empty() };
        self.kept.store((other.kept_flags() | more).bits(), Ordering::SeqCst);
        self.locked.store(other.is_locked() || (locks && is_inside), Ordering::SeqCst);
    }

    /// May be taken away.
    fn unlock(&self) {
        self.locked.store(false, Ordering::SeqCst);
    }

    /// The table that it is in, if it is in one.
    fn table(&self) -> Option<Arc<Mutex<table::State>>> {
        lock(&self.table).upgrade().filter(|_| !self.has_ended())
    }

    /// Stays where it is as `other` does.
    fn stay_as(&self, other: &Mount) {
        self.locked.store(other.is_locked(), Ordering::SeqCst);
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
