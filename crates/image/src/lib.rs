//! Images: from a registry or an archive to a root file system, verified.

mod descriptor;
mod digest;
pub mod manifest;
mod platform;
mod reference;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, InvalidDigest};
pub use platform::{InvalidPlatform, Platform};
pub use reference::{
    DEFAULT_REGISTRY, DEFAULT_TAG, InvalidReference, MAX_REPOSITORY, MAX_TAG, Reference,
};
