//! Files of the host's, and what is known of them without asking.
//!
//! Attributes, names and the lack of names are kept while nobody else is told to change the
//! folder. What the guest does itself is noted as it is done; what others do all the same is
//! seen within a second ([`KNOWN_FOR`]). Of a folder that is shared nothing is kept.

mod ahead;
mod directory;
mod file;
mod names;
mod node;

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::task::waiter::lock;
use crate::vfs::weak_table::find_or_keep;

pub(super) use directory::HostDirectory;
pub use file::HostFile;
pub(super) use file::direct_alignment;
pub(super) use names::Says;
pub use node::HostNode;
pub use node::limit_handles;
pub(super) use node::{many_handles, most_handles};

/// How long something is believed without a look.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// Files with writable shared mappings that are remembered; with more of them nothing of the
/// folder is believed any more.
const MOST_MAPPED: usize = 4096;

/// Device and inode.
type Id = (u64, u64);

/// A folder of the host's that is served.
#[derive(Debug, Default)]
pub struct HostFs {
    /// Others change it too, the host or another mount of the same: everything is looked up
    /// each time.
    shared: AtomicBool,
    /// Counts every change of any file's attributes, and of any name.
    changed: AtomicU64,
    named: AtomicU64,
    /// Counts all copies that an overlay may have made.
    altered: AtomicU64,
    files: Mutex<HashMap<Id, Weak<Changes>>>,
    mapped: Mutex<Vec<Arc<Changes>>>,
    /// A file or directory of each of the host's file systems of which something was held, by
    /// their device: below the folder there may be several.
    disks: Mutex<BTreeMap<u64, Arc<OwnedFd>>>,
}

/// How often anything in a folder had been changed at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    attributes: u64,
    names: u64,
    /// How often the directory was found changed by others.
    pub outside: u64,
}

/// Counts what happens to a file, whatever its names.
#[derive(Debug, Default)]
struct Changes {
    attributes: AtomicU64,
    /// Changes after which an overlay's descriptors from before may show another file.
    copies: AtomicU64,
    /// Changes of its content by open files.
    contents: AtomicU64,
    /// Open files that can be written.
    writers: AtomicUsize,
    /// Whether it is, or was, mapped so that writes reach it without a call.
    mapped: AtomicBool,
}

impl Changes {
    /// Its content was changed.
    fn content(&self) {
        self.contents.fetch_add(1, Ordering::SeqCst);
    }

    /// All that has happened to it by calls that are noted.
    fn count(&self) -> u64 {
        let counts = [&self.attributes, &self.copies, &self.contents];
        counts.iter().fold(0, |sum, count| sum.wrapping_add(count.load(Ordering::SeqCst)))
    }

    /// Whether it changes by nothing but calls that are noted.
    fn is_quiet(&self) -> bool {
        self.writers.load(Ordering::SeqCst) == 0 && !self.mapped.load(Ordering::SeqCst)
    }
}

impl HostFs {
    /// Of which others know, if `shared`.
    #[must_use]
    pub fn new(shared: bool) -> Arc<Self> {
        Arc::new(HostFs { shared: AtomicBool::new(shared), ..HostFs::default() })
    }

    /// It has another mount now.
    pub fn share(&self) {
        self.shared.store(true, Ordering::SeqCst);
    }

    fn is_shared(&self) -> bool {
        self.shared.load(Ordering::SeqCst)
    }

    /// The counts before something is asked: what is answered after a change is not believed.
    fn now(&self) -> Since {
        Since {
            attributes: self.changed.load(Ordering::SeqCst),
            names: self.named.load(Ordering::SeqCst),
            outside: 0,
        }
    }

    /// The counts of a file.
    fn changes_of(&self, id: Id) -> Arc<Changes> {
        find_or_keep(&mut lock(&self.files), id, Arc::default)
    }

    /// A handle in each of the host's file systems that it is known to reach, by device.
    #[must_use]
    pub fn disks(&self) -> Vec<(u64, Arc<OwnedFd>)> {
        lock(&self.disks).iter().map(|(device, handle)| (*device, Arc::clone(handle))).collect()
    }

    /// Remembers that a file can be written by a mapping, for good.
    fn keep_mapped(&self, changes: &Arc<Changes>) {
        if changes.mapped.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut mapped = lock(&self.mapped);
        if mapped.len() >= MOST_MAPPED {
            self.share();
        } else {
            mapped.push(Arc::clone(changes));
        }
    }
}
