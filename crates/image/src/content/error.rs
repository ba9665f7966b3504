//! What can be wrong with content.

use crate::Digest;
use crate::locked_file::{StoreIoError, no_space};

/// Why content could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The file system answered so.
    #[error(transparent)]
    Io(#[from] StoreIoError),
    /// What came is not what was announced.
    #[error("content does not match its digest: {expected} was announced, {found} came")]
    WrongDigest {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// More or less came than was announced.
    #[error("content {digest} has a wrong size: {expected} bytes were announced, {found} came")]
    WrongSize {
        /// Which content.
        digest: Digest,
        /// Bytes announced.
        expected: u64,
        /// Bytes that came, as far as they were counted.
        found: u64,
    },
    /// Something that is read into memory is larger than it may be.
    #[error("content {digest} has {size} bytes; what is read at once may have {limit}")]
    TooLarge {
        /// Which content.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// It is not in the store.
    #[error("content {0} is not in the store; pull or load its image again")]
    Missing(Digest),
    /// A stream could not be read.
    #[error("read the content of {name}: {source}")]
    Source {
        /// What it is called.
        name: String,
        /// Why.
        source: std::io::Error,
    },
}

impl ContentError {
    /// Whether the file system is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Io(error) => error.is_no_space(),
            Self::Source { source, .. } => no_space(source),
            _ => false,
        }
    }
}
