//! Who uses a mount, so that it is not taken away: open files, mapped ones, names of sockets;
//! and who stands in it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

use super::Mount;

/// Keeps a mount in use.
#[derive(Debug)]
pub struct MountUse(Arc<Mount>);

impl MountUse {
    /// Of this one.
    #[must_use]
    pub fn of(mount: &Arc<Mount>) -> Arc<Self> {
        mount.uses.fetch_add(1, Ordering::SeqCst);
        mount.is_looked_at();
        Arc::new(MountUse(Arc::clone(mount)))
    }

    /// Whether they keep the same one.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Drop for MountUse {
    fn drop(&mut self) {
        self.0.uses.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Mounts in which threads have their roots and working directories, by their numbers.
#[derive(Debug)]
pub struct Standing(HashSet<u64>);

impl Standing {
    /// Those of now.
    #[must_use]
    pub fn now(kernel: &Kernel) -> Self {
        let threads: Vec<_> = {
            let tree = lock(&kernel.tree);
            tree.rows().flat_map(|(_, row)| row.threads.values().cloned()).collect()
        };
        let mut mounts = HashSet::new();
        for thread in threads {
            let fs = thread.fs();
            let directories = lock(&fs.directories);
            mounts.extend([directories.root.mount.id, directories.current.mount.id]);
        }
        Standing(mounts)
    }
}

impl Mount {
    /// Whether somebody uses it or stands in it.
    pub(super) fn is_in_use(&self, standing: &Standing) -> bool {
        self.uses.load(Ordering::SeqCst) > 0 || standing.0.contains(&self.id)
    }

    /// Somebody has come to something in it: it does not expire now.
    pub fn is_looked_at(&self) {
        if self.expires.load(Ordering::Relaxed) {
            self.expires.store(false, Ordering::SeqCst);
        }
    }

    /// Marks it as one that nobody uses; false if it was, and nobody has looked since.
    pub(super) fn begins_to_expire(&self) -> bool {
        !self.expires.swap(true, Ordering::SeqCst)
    }
}
