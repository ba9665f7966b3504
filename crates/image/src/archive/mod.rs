//! Images from and to files: OCI image layouts (directories and archives) and
//! the archives of `docker save`.

mod docker;
mod error;
mod gather;
mod layout;
mod load;
mod names;
mod save;

pub use error::{LoadError, SaveError};
pub use load::{Input, load};
pub use save::{SaveFormat, save, save_layout};

/// The list of manifests in a layout.
const INDEX: &str = "index.json";
/// Says that it is a layout.
const OCI_LAYOUT: &str = "oci-layout";
/// The list of images in a Docker archive.
const DOCKER_MANIFESTS: &str = "manifest.json";
/// Annotation: the full name of an image.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// Annotation: the name of an image, or its tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
