//! Images: from a registry or an archive to a root file system, verified.

mod descriptor;
mod digest;
mod platform;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, InvalidDigest};
pub use platform::{InvalidPlatform, Platform};
