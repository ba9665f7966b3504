//! What regular files are open for. What is executed is not written, and what may be written is
//! not executed: whoever comes first keeps the others away.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};

use rustix::io::Errno;

use crate::task::WaitQueue;
use crate::task::waiter::lock;

use super::leases::Lease;
use super::weak_table::find_or_keep;

/// Device and inode.
type Id = (u64, u64);

/// What somebody has a file for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To read it alone.
    Reading,
    /// To write it.
    Writing,
    /// To execute it, and so to read it.
    Executing,
    /// Made as a file in memory, which counts as neither.
    Making,
}

/// How many have a file for what, and their leases.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) readers: usize,
    pub(super) writers: usize,
    pub(super) programs: usize,
    pub(super) leases: Vec<Lease>,
}

/// Who uses a file.
#[derive(Debug, Default)]
pub struct Uses {
    state: Mutex<State>,
    /// Those who wait for the end of a lease.
    pub(super) freed: WaitQueue,
}

/// Files that may have several nodes, by device and inode.
type Table = LazyLock<Mutex<HashMap<Id, Weak<Uses>>>>;

/// The host's, which may be in several folders that are served.
static HOST: Table = LazyLock::new(Mutex::default);
/// Those of overlays, each name of which has a node.
static OVERLAYS: Table = LazyLock::new(Mutex::default);

impl State {
    /// How many have it for that, if they are counted.
    fn count(&mut self, purpose: Purpose) -> Option<&mut usize> {
        match purpose {
            Purpose::Reading => Some(&mut self.readers),
            Purpose::Writing => Some(&mut self.writers),
            Purpose::Executing => Some(&mut self.programs),
            Purpose::Making => None,
        }
    }
}

impl Uses {
    /// Of the host's file of this device and inode.
    #[must_use]
    pub(super) fn of_host(id: Id) -> Arc<Self> {
        Uses::find(&HOST, id)
    }

    /// Of an overlay's.
    #[must_use]
    pub(super) fn of_overlay(id: Id) -> Arc<Self> {
        Uses::find(&OVERLAYS, id)
    }

    fn find(table: &Table, id: Id) -> Arc<Self> {
        find_or_keep(&mut lock(table), id, Arc::default)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Somebody comes to use the file.
    ///
    /// # Errors
    /// `ETXTBSY` if it is executed, and was to be written; or the other way round.
    pub fn begin(self: &Arc<Self>, purpose: Purpose) -> Result<Arc<FileUse>, Errno> {
        let mut counts = self.state();
        let others = match purpose {
            Purpose::Writing => counts.programs,
            Purpose::Executing => counts.writers,
            Purpose::Reading | Purpose::Making => 0,
        };
        if others > 0 {
            return Err(Errno::TXTBSY);
        }
        if let Some(count) = counts.count(purpose) {
            *count += 1;
        }
        drop(counts);
        Ok(Arc::new(FileUse { file: Arc::clone(self), purpose }))
    }
}

/// A file is used for as long as this is there: by who has it open, by what was mapped of that,
/// by a program.
#[derive(Debug)]
pub struct FileUse {
    pub(super) file: Arc<Uses>,
    pub(super) purpose: Purpose,
}

impl Drop for FileUse {
    fn drop(&mut self) {
        let mut counts = self.file.state();
        if let Some(count) = counts.count(self.purpose) {
            *count -= 1;
        }
        let leased = !counts.leases.is_empty();
        drop(counts);
        if leased {
            self.end_lease();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_ends_it() {
        let file = Uses::of_host((u64::MAX, 7));
        let begin = |purpose| Uses::of_host((u64::MAX, 7)).begin(purpose);
        let (one, other) = (begin(Purpose::Writing).unwrap(), begin(Purpose::Writing).unwrap());
        drop(one);
        assert_eq!(begin(Purpose::Executing).err(), Some(Errno::TXTBSY));
        drop(other);
        let program = begin(Purpose::Executing).unwrap();
        let reader = begin(Purpose::Reading).unwrap();
        assert_eq!(file.begin(Purpose::Writing).err(), Some(Errno::TXTBSY));
        drop(program);
        assert!(file.begin(Purpose::Writing).is_ok());
        drop(reader);
    }
}
