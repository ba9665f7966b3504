//! What can go wrong with a layer.

use std::io;

use crate::Digest;
use crate::store::StoreError;
use crate::unpack::UnpackError;

/// Why a layer could not be brought in.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The store failed.
    #[error("layer {digest}: {source}")]
    Store {
        /// The layer's blob.
        digest: Digest,
        /// Why.
        source: Box<StoreError>,
    },
    /// Where it was to come from did not give it.
    #[error("layer {digest} can't be fetched: {source}")]
    Fetch {
        /// The layer's blob.
        digest: Digest,
        /// What the source said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The transfer broke off, again and again.
    #[error("layer {digest}: the transfer broke off after {done} of {size} bytes: {source}")]
    Interrupted {
        /// The layer's blob.
        digest: Digest,
        /// Bytes that came; the next attempt goes on there.
        done: u64,
        /// Bytes there are.
        size: u64,
        /// Why.
        source: io::Error,
    },
    /// It could not be decompressed.
    #[error("layer {digest} can't be decompressed: {source}")]
    Decompress {
        /// The layer's blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// It could not be unpacked.
    #[error("layer {digest}: {source}")]
    Unpack {
        /// The layer's blob.
        digest: Digest,
        /// Why.
        source: Box<UnpackError>,
    },
    /// What came out is not what the image's configuration says.
    #[error("layer {digest}: the configuration says {} of its content, it is {}", ids.0, ids.1)]
    WrongDiffId {
        /// The layer's blob.
        digest: Digest,
        /// What the configuration says, and what it is.
        ids: Box<(Digest, Digest)>,
    },
    /// More came out than may.
    #[error("layer {digest} has more than {limit} bytes when it is decompressed, the limit")]
    TooLarge {
        /// The layer's blob.
        digest: Digest,
        /// The limit of the settings.
        limit: u64,
    },
    /// The disk is full, or would be.
    #[error(
        "not enough space for the image in {}: it needs about {needed} bytes more than what it \
         had, and {available} are free; nothing of it is kept", path.display()
    )]
    NoSpace {
        /// The store.
        path: std::path::PathBuf,
        /// Bytes that it needs, estimated where layers are not unpacked yet.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// Another layer failed; that one's error is the one to show.
    #[error("layer {digest} was given up because another one failed")]
    GivenUp {
        /// The layer's blob.
        digest: Digest,
    },
}

impl LayerError {
    /// A closure for `map_err`.
    pub(super) fn store<E: Into<StoreError>>(digest: &Digest) -> impl FnOnce(E) -> Self + '_ {
        |source| Self::Store { digest: digest.clone(), source: Box::new(source.into()) }
    }

    /// A closure for `map_err`.
    pub(super) fn unpack(digest: &Digest) -> impl FnOnce(UnpackError) -> Self + '_ {
        |source| Self::Unpack { digest: digest.clone(), source: Box::new(source) }
    }

    /// Whether the disk is full.
    pub(crate) fn is_no_space(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Store { source, .. } => source.is_no_space(),
            Self::Unpack { source, .. } => {
                matches!(source.errno(), Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT))
            }
            _ => false,
        }
    }
}
