//! Collecting what nothing refers to.
//!
//! Mark and sweep in one writing transaction: whoever wants to use content
//! that may be swept first writes a lease, which waits for the sweep to end,
//! and looks afterwards whether the content is there. Nothing is removed that
//! a record, a living lease or an ingest needs.

mod prune;
mod quota;
mod usage;
mod verify;

use std::time::Duration;

pub use prune::{PruneFilter, PruneReport};
pub use usage::StoreUsage;
pub use verify::{Problem, VerifyReport};

use crate::locked_file::{StoreIoError, names};
use crate::meta::{self, MetaError};
use crate::store::{Store, StoreError, remove_dead};

/// How long what was fetched by an attempt that did not end well is kept for
/// the next one, unless something is removed or pruned.
pub(crate) const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) blobs: usize,
    pub(crate) snapshots: usize,
    pub(crate) reclaimed: u64,
}

impl Store {
    /// Removes blobs and snapshots that nothing needs. What a lease held whose
    /// holder has died is kept until it is `age` old.
    pub(crate) fn collect_garbage(&self, age: Duration) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        let sizes: std::collections::BTreeMap<String, u64> =
            self.meta.snapshot_sizes()?.into_iter().collect();
        let lease_dir = self.lease_dir();
        self.meta.write::<_, StoreError>("collect garbage in", |t| {
            let on = |e| MetaError::on("collect garbage in", self.meta.path())(e);
            // Files without rows are of those that died before they held anything.
            for lease in meta::leases(t).map_err(on)?.into_iter().chain(names(&lease_dir)?) {
                if remove_dead(&lease_dir, &lease, age)? {
                    meta::delete_lease(t, &lease).map_err(on)?;
                }
            }
            let needed = meta::needed(t).map_err(on)?;
            for (digest, size) in self.content.list()? {
                if !needed.blobs.contains(&digest.to_string()) && self.content.remove(&digest)? {
                    swept.blobs += 1;
                    swept.reclaimed += size;
                }
            }
            for chain in self.snapshots.list()? {
                let name = chain.to_string();
                if !needed.chains.contains(&name) {
                    self.snapshots.retire(&chain)?;
                    t.execute("DELETE FROM image_snapshots WHERE chain = ?1", [&name])
                        .map_err(on)?;
                    swept.snapshots += 1;
                    swept.reclaimed += sizes.get(&name).copied().unwrap_or(0);
                }
            }
            Ok(())
        })?;
        self.snapshots.collect()?;
        Ok(swept)
    }

    /// Removes what crashes have left: unfinished snapshots at once; unfinished
    /// downloads, and what was complete of them, after a week. Cheap when there
    /// is none; called by whatever adds to the store.
    pub fn collect_leftovers(&self) -> Result<(), StoreError> {
        self.snapshots.collect()?;
        self.content.collect_ingests(Some(KEEP))?;
        if self.has_dead_lease()? {
            self.collect_garbage(KEEP)?;
        }
        Ok(())
    }

    fn has_dead_lease(&self) -> Result<bool, StoreIoError> {
        let dir = self.lease_dir();
        let mut dead = false;
        for name in names(&dir)? {
            dead |= remove_dead(&dir, &name, KEEP)?;
        }
        Ok(dead)
    }
}
