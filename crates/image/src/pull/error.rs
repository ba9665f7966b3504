//! Why an image could not be pulled.

use crate::install::InstallError;
use crate::manifest::{InvalidManifest, NoSuchPlatform};
use crate::policy::PolicyError;
use crate::store::StoreError;
use crate::{Reference, RegistryError};

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// It is not here, and the registry was not to be asked.
    #[error("image {} is not here, and is not to be pulled", .0.familiar())]
    NotHere(Reference),
    /// The registry did not give it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The policy does not accept it.
    #[error(transparent)]
    Policy(Box<PolicyError>),
    /// What the registry gave is no manifest.
    #[error("image {image}: {source}")]
    Manifest {
        /// The image.
        image: String,
        /// What is wrong.
        source: Box<InvalidManifest>,
    },
    /// There is none for the platform.
    #[error("image {image}: {source}")]
    Platform {
        /// The image.
        image: String,
        /// What there is.
        source: Box<NoSuchPlatform>,
    },
    /// Indexes lead to indexes.
    #[error("image {}: indexes lead to indexes, too many times", .0.familiar())]
    IndexesOnly(Reference),
    /// It could not be brought in.
    #[error("image {image}: {source}")]
    Install {
        /// The image.
        image: String,
        /// Why.
        source: Box<InstallError>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PolicyError> for PullError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(Box::new(error))
    }
}

impl PullError {
    pub(super) fn manifest(reference: &Reference) -> impl FnOnce(InvalidManifest) -> Self {
        let image = reference.familiar();
        move |source| Self::Manifest { image, source: Box::new(source) }
    }
}
