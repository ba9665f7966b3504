//! How much the store holds.

use crate::store::{Store, StoreError};

/// Bytes and counts of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Images.
    pub images: usize,
    /// Images that containers were made from.
    pub images_in_use: usize,
    /// Blobs.
    pub blobs: usize,
    /// Bytes of the blobs.
    pub blob_bytes: u64,
    /// Unpacked layers.
    pub snapshots: usize,
    /// Bytes of their files.
    pub snapshot_bytes: u64,
    /// Bytes that removing all images without containers would free.
    pub reclaimable: u64,
}

impl StoreUsage {
    /// Bytes of blobs and snapshots.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.blob_bytes.saturating_add(self.snapshot_bytes)
    }
}

impl Store {
    /// What the store holds now.
    pub fn usage(&self) -> Result<StoreUsage, StoreError> {
        let images = self.meta.all()?;
        let in_use: Vec<_> = images.iter().filter(|i| !i.containers.is_empty()).collect();
        let blobs = self.content.list()?;
        let snapshots = self.meta.snapshot_sizes()?;
        let mut usage = StoreUsage {
            images: images.len(),
            images_in_use: in_use.len(),
            blobs: blobs.len(),
            blob_bytes: blobs.iter().map(|(_, size)| size).sum(),
            snapshots: snapshots.len(),
            snapshot_bytes: snapshots.iter().map(|(_, bytes)| bytes).sum(),
            reclaimable: 0,
        };
        let kept_blobs: std::collections::BTreeSet<_> = in_use
            .iter()
            .flat_map(|i| i.layers.iter().chain([&i.manifest, &i.config_descriptor]))
            .map(|d| &d.digest)
            .collect();
        let kept_chains: std::collections::BTreeSet<String> =
            in_use.iter().flat_map(|i| &i.chain).map(ToString::to_string).collect();
        let loose_blobs = blobs.iter().filter(|(digest, _)| !kept_blobs.contains(digest));
        let loose_snapshots = snapshots.iter().filter(|(chain, _)| !kept_chains.contains(chain));
        usage.reclaimable = loose_blobs.map(|(_, size)| size).sum::<u64>()
            + loose_snapshots.map(|(_, bytes)| bytes).sum::<u64>();
        Ok(usage)
    }
}
