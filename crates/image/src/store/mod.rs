//! The store: content, snapshots and records together.

mod error;
mod find;
mod lease;
mod names;

use std::path::{Path, PathBuf};

pub use error::StoreError;
pub use find::FindImageError;
pub use lease::Lease;
pub(crate) use lease::remove_dead;
pub(crate) use names::canonical;
pub use names::{RemoveImageError, RemovedImage};

use crate::Digest;
use crate::content::ContentStore;
use crate::locked_file::make_dirs;
use crate::meta::{ImageRecord, Meta};
use crate::snapshot::SnapshotStore;

/// What to do when an image would go beyond the quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaPolicy {
    /// Refuse it.
    #[default]
    Refuse,
    /// Remove images that no container uses, those without a name first, then
    /// the least recently used ones; refuse if that is not enough.
    Evict,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The directory; made if it is not there.
    pub root: PathBuf,
    /// The most bytes of blobs and snapshots together.
    pub quota: Option<u64>,
    /// What to do when it is reached.
    pub quota_policy: QuotaPolicy,
    /// The most bytes that one layer may have when it is unpacked.
    pub max_layer_bytes: u64,
    /// How many layers are downloaded and unpacked at once, at least 1.
    pub parallel: usize,
}

impl StoreSettings {
    /// The defaults, with the store at `root`: no quota, 64 GiB per layer,
    /// three layers at once.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            quota: None,
            quota_policy: QuotaPolicy::Refuse,
            max_layer_bytes: 64 << 30,
            parallel: 3,
        }
    }
}

/// The images of this machine, or of this user. Several threads and processes
/// may use one at once; whatever kills them, what was complete stays.
#[derive(Debug)]
pub struct Store {
    settings: StoreSettings,
    pub(crate) content: ContentStore,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) meta: Meta,
}

/// The directories that an image's root file system is stacked from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootfsLayers {
    /// Read-only, absolute if the store's root is; the top one first, as
    /// overlayfs wants them. Empty for an image without layers.
    pub lowers: Vec<PathBuf>,
}

impl Store {
    /// Opens the store; takes about a millisecond.
    ///
    /// # Errors
    ///
    /// The directory can't be made or used, or is of another version.
    pub fn open(settings: StoreSettings) -> Result<Self, StoreError> {
        let root = settings.root.as_path();
        if !root.exists() {
            make_dirs(root, 0o700)?;
        }
        let content = ContentStore::open(&root.join("content"))?;
        let snapshots = SnapshotStore::open(&root.join("snapshots"))?;
        let meta = Meta::open(&root.join("meta.db"))?;
        Ok(Self { settings, content, snapshots, meta })
    }

    /// How it was opened.
    #[must_use]
    pub fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// The database, which the engine keeps its own tables in too.
    #[must_use]
    pub fn database_path(&self) -> &Path {
        self.meta.path()
    }

    /// The blobs.
    #[must_use]
    pub fn content(&self) -> &ContentStore {
        &self.content
    }

    /// All images, the newest first.
    pub fn images(&self) -> Result<Vec<ImageRecord>, StoreError> {
        Ok(self.meta.all()?)
    }

    /// Where the image's layers are.
    ///
    /// # Errors
    ///
    /// A layer is not there: something else has removed it.
    pub fn rootfs(&self, image: &ImageRecord) -> Result<RootfsLayers, StoreError> {
        let mut lowers = Vec::with_capacity(image.chain.len());
        for chain in image.chain.iter().rev() {
            if !self.snapshots.exists(chain) {
                let (image, chain) = (image.title(), chain.clone());
                return Err(StoreError::SnapshotMissing { image, chain });
            }
            lowers.push(self.snapshots.path(chain));
        }
        Ok(RootfsLayers { lowers })
    }

    /// Keeps the image as long as the container is there, and notes that it was
    /// used. Once for each container; a second call replaces the first.
    ///
    /// # Errors
    ///
    /// The image has been removed meanwhile.
    pub fn retain(&self, container: &str, image: &ImageRecord) -> Result<(), StoreError> {
        if self.meta.retain(container, image.row)? {
            Ok(())
        } else {
            Err(StoreError::Gone { image: image.title() })
        }
    }

    /// The container is gone. Whether it used an image.
    pub fn release(&self, container: &str) -> Result<bool, StoreError> {
        Ok(self.meta.release(container)?)
    }

    /// Releases the images of containers that are not `alive`, such as those
    /// whose making was cut short. Returns the containers.
    pub fn release_dead(&self, alive: &dyn Fn(&str) -> bool) -> Result<Vec<String>, StoreError> {
        let mut released = Vec::new();
        for container in self.meta.containers()? {
            if !alive(&container) && self.meta.release(&container)? {
                released.push(container);
            }
        }
        Ok(released)
    }

    /// A lease, which holds nothing yet. `owner` is a word for whoever looks
    /// at the directory.
    pub fn lease(&self, owner: &str) -> Result<Lease<'_>, StoreError> {
        Lease::start(self, owner)
    }

    /// Whether all blobs and snapshots of the image are there; not whether they
    /// are what they were.
    pub(crate) fn is_complete(&self, image: &ImageRecord) -> Result<bool, StoreError> {
        let blobs = image.layers.iter().chain([&image.manifest, &image.config_descriptor]);
        for blob in blobs {
            if self.content.size(&blob.digest)? != Some(blob.size) {
                return Ok(false);
            }
        }
        Ok(image.chain.iter().all(|chain: &Digest| self.snapshots.exists(chain)))
    }

    pub(crate) fn lease_dir(&self) -> PathBuf {
        self.settings.root.join("leases")
    }
}
