//! Media types of manifests, configurations and layers.

/// OCI manifest of an image.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI configuration of an image.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer, uncompressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer, zstd (zstd:chunked too: its table of contents is in skippable frames).
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Docker manifest of an image, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker configuration of an image.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

/// What a registry is asked for, the preferred first.
pub const MANIFEST_TYPES: [&str; 4] =
    [OCI_INDEX, DOCKER_MANIFEST_LIST, OCI_MANIFEST, DOCKER_MANIFEST];

/// How a layer's tar archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerCompression {
    /// Not at all.
    None,
    /// RFC 1952, possibly of several members.
    Gzip,
    /// RFC 8878, possibly of several frames.
    Zstd,
}

/// Why a layer can't be unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedLayer {
    /// It is not in the registry, but at its vendor's.
    #[error("layer of type {0:?} is a foreign one, which its vendor forbids to distribute")]
    Foreign(String),
    /// It is encrypted.
    #[error("layer of type {0:?} is encrypted; encrypted layers are not supported")]
    Encrypted(String),
    /// Anything else.
    #[error("layer of type {0:?}: tar, uncompressed, gzip or zstd, is supported")]
    Unknown(String),
}

/// How a layer of this media type is compressed.
///
/// # Errors
///
/// Foreign, encrypted and unknown types are refused by name.
pub fn layer_compression(media_type: &str) -> Result<LayerCompression, UnsupportedLayer> {
    match media_type {
        OCI_LAYER | DOCKER_LAYER => Ok(LayerCompression::None),
        OCI_LAYER_GZIP | DOCKER_LAYER_GZIP => Ok(LayerCompression::Gzip),
        OCI_LAYER_ZSTD | DOCKER_LAYER_ZSTD => Ok(LayerCompression::Zstd),
        other => {
            let name: String = other.chars().take(200).collect();
            Err(if other.contains(".nondistributable.") || other.contains(".foreign.") {
                UnsupportedLayer::Foreign(name)
            } else if other.ends_with("+encrypted") {
                UnsupportedLayer::Encrypted(name)
            } else {
                UnsupportedLayer::Unknown(name)
            })
        }
    }
}

/// The media type without parameters, unless it says nothing.
pub(super) fn specific(announced: &str) -> Option<&str> {
    let name = announced.split(';').next().unwrap_or_default().trim();
    match name {
        "" | "application/json" | "application/octet-stream" | "text/plain" => None,
        name => Some(name),
    }
}

pub(super) fn is_schema1(name: &str) -> bool {
    matches!(
        name,
        "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws"
    )
}
