//! What can be wrong with the store.

use crate::Digest;
use crate::content::ContentError;
use crate::locked_file::StoreIoError;
use crate::meta::MetaError;

/// Why the store could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system answered so.
    #[error(transparent)]
    Io(#[from] StoreIoError),
    /// The database did.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// A blob is not what it should be.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A layer of an image is not there.
    #[error("layer {chain} of image {image} is not in the store any more: pull or load it again")]
    SnapshotMissing {
        /// The image.
        image: String,
        /// The layer's chain id.
        chain: Digest,
    },
    /// It was there a moment ago.
    #[error("image {image} has just been removed: try again")]
    Gone {
        /// The image.
        image: String,
    },
    /// The quota does not allow it.
    #[error(
        "the image needs {needed} bytes, and {used} of the quota of {quota} are used: \
         remove images (`caisson image prune`) or raise the quota"
    )]
    Quota {
        /// What it needs at least.
        needed: u64,
        /// What is used, without what could be evicted.
        used: u64,
        /// The quota.
        quota: u64,
    },
}

impl StoreError {
    /// Whether the file system is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Io(error) => error.is_no_space(),
            Self::Content(error) => error.is_no_space(),
            Self::Meta(MetaError::Sqlite { source, .. }) => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            _ => false,
        }
    }
}
