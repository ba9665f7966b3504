//! Leases: what must not be collected while somebody is at work.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Store, StoreError};
use crate::Digest;
use crate::locked_file::{Claimed, StoreIoError, make_dirs, try_claim};
use crate::meta::Kind;

/// Keeps blobs and snapshots from being collected, whether they are there yet
/// or not, until it is dropped. Held by a lock on a file, so it ends with its
/// process, however that ends.
#[derive(Debug)]
pub struct Lease<'s> {
    store: &'s Store,
    name: String,
    path: PathBuf,
    abandoned: bool,
    _lock: File,
}

impl<'s> Lease<'s> {
    pub(super) fn start(store: &'s Store, owner: &str) -> Result<Self, StoreError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let dir = store.lease_dir();
        if !dir.exists() {
            make_dirs(&dir, 0o700)?;
        }
        let owner: String =
            owner.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{owner}-{}-{number}", std::process::id());
            let path = dir.join(&name);
            // The same name: of a process that has ended, or of another PID
            // namespace.
            let Some(lock) = try_claim(&path, Claimed::File, true)? else { continue };
            store.meta.end_lease(&name)?;
            return Ok(Self { store, name, path, abandoned: false, _lock: lock });
        }
    }

    /// Ends it as a crash would: what it held stays for a while, for the next
    /// attempt at the same thing.
    pub(crate) fn abandon(mut self) {
        self.abandoned = true;
    }

    /// Keeps blobs. Look only afterwards whether they are there.
    pub fn hold_blobs<'d>(
        &self,
        digests: impl IntoIterator<Item = &'d Digest>,
    ) -> Result<(), StoreError> {
        Ok(self.store.meta.hold(&self.name, Kind::Blob, digests)?)
    }

    /// Keeps snapshots, by chain id. Look only afterwards whether they are
    /// there.
    pub fn hold_snapshots<'d>(
        &self,
        chain: impl IntoIterator<Item = &'d Digest>,
    ) -> Result<(), StoreError> {
        Ok(self.store.meta.hold(&self.name, Kind::Snapshot, chain)?)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.abandoned {
            return;
        }
        // What fails here is collected later: the lock is free then.
        if self.store.meta.end_lease(&self.name).is_ok() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes the file of a lease whose holder has ended, if it was begun at
/// least `age` ago. Whether the lease is gone.
pub(crate) fn remove_dead(dir: &Path, name: &str, age: Duration) -> Result<bool, StoreIoError> {
    let path = dir.join(name);
    let Some(lock) = try_claim(&path, Claimed::File, false)? else { return Ok(!path.exists()) };
    let made =
        lock.metadata().and_then(|m| m.modified()).map_err(StoreIoError::on("stat", &path))?;
    if made.elapsed().unwrap_or_default() < age {
        return Ok(false);
    }
    std::fs::remove_file(&path).map_err(StoreIoError::on("remove", &path))?;
    Ok(true)
}
