//! Why an image could not be loaded or saved.

use std::path::PathBuf;

use crate::content::ContentError;
use crate::install::InstallError;
use crate::manifest::InvalidManifest;
use crate::meta::MetaError;
use crate::policy::PolicyError;
use crate::store::StoreError;
use crate::unpack::ArchiveError;

/// Why images could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It can't be opened or read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no tar archive, or a malformed one.
    #[error("the archive can't be read: {0}")]
    Archive(#[from] ArchiveError),
    /// It is none of the forms.
    #[error(
        "it is neither an OCI image layout (oci-layout and index.json) nor a Docker archive \
         (manifest.json)"
    )]
    NoImages,
    /// A file that another one names is not there.
    #[error("{name} is not in it, and {wanted_by} names it")]
    Missing {
        /// The file.
        name: String,
        /// Where it is named.
        wanted_by: String,
    },
    /// A file in it is malformed.
    #[error("{name} in it is malformed: {reason}")]
    Malformed {
        /// The file.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A manifest in it is malformed.
    #[error("{name} in it: {source}")]
    Manifest {
        /// The file.
        name: String,
        /// What is wrong.
        source: InvalidManifest,
    },
    /// The signature policy does not allow it.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// An image in it could not be brought in.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LoadError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Install(error) => error.is_no_space(),
            Self::Store(error) => error.is_no_space(),
            _ => false,
        }
    }
}

impl From<ContentError> for LoadError {
    fn from(error: ContentError) -> Self {
        Self::Store(error.into())
    }
}

/// Why images could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The output can't be written.
    #[error("write the archive: {0}")]
    Write(#[from] std::io::Error),
    /// A file of the layout can't be written.
    #[error("write {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The image can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ContentError> for SaveError {
    fn from(error: ContentError) -> Self {
        Self::Store(error.into())
    }
}

impl From<MetaError> for SaveError {
    fn from(error: MetaError) -> Self {
        Self::Store(error.into())
    }
}
