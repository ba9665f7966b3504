//! Whether there is room on the disk.

use super::{LayerError, LayerJob};
use crate::locked_file::StoreIoError;
use crate::manifest::LayerCompression;
use crate::store::Store;

/// Bytes that this user may still write to the store's file system.
pub(super) fn available(store: &Store) -> Result<u64, StoreIoError> {
    let root = store.settings().root.as_path();
    let found =
        rustix::fs::statvfs(root).map_err(StoreIoError::on("ask the free space of", root))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Bytes that the layers still need: certainly, and probably. Compressed ones
/// are taken to be three times as large unpacked.
fn need(store: &Store, jobs: &[LayerJob]) -> (u64, u64) {
    let (mut least, mut likely) = (0_u64, 0_u64);
    for job in jobs {
        let size = job.descriptor.size;
        let factor = if job.compression == LayerCompression::None { 1 } else { 3 };
        if !matches!(store.content.size(&job.descriptor.digest), Ok(Some(_))) {
            least = least.saturating_add(size);
            likely = likely.saturating_add(size);
        }
        if !store.snapshots.exists(&job.chain) {
            likely = likely.saturating_add(size.saturating_mul(factor));
        }
    }
    (least, likely)
}

/// Refuses what certainly does not fit, by disk or by quota.
pub(super) fn check(store: &Store, jobs: &[LayerJob]) -> Result<(), LayerError> {
    let Some(first) = jobs.first() else { return Ok(()) };
    let digest = &first.descriptor.digest;
    let (least, likely) = need(store, jobs);
    if likely == 0 {
        return Ok(());
    }
    store.make_room(likely).map_err(LayerError::store(digest))?;
    let free = available(store).map_err(LayerError::store(digest))?;
    if least > free { Err(full(store, jobs)) } else { Ok(()) }
}

/// The error for a disk that is full.
pub(super) fn full(store: &Store, jobs: &[LayerJob]) -> LayerError {
    let available = available(store).unwrap_or(0);
    let (_, needed) = need(store, jobs);
    LayerError::NoSpace { path: store.settings().root.clone(), needed, available }
}
