//! Manifests and indexes (OCI image-spec manifest.md, image-index.md; Docker
//! image manifest version 2, schema 2).

mod config;
mod media_type;
mod select;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Descriptor, Digest};

pub use config::{ContainerConfig, HealthCheck, History, ImageConfig, InvalidImageConfig, RootFs};
pub use media_type::{
    DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, LayerCompression,
    MANIFEST_TYPES, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST,
    UnsupportedLayer, layer_compression,
};
pub use select::NoSuchPlatform;

/// The longest manifest or index, in bytes.
pub const MAX_MANIFEST: usize = 4 << 20;
/// The most layers an image may have.
pub const MAX_LAYERS: usize = 512;
/// The most manifests an index may list.
pub const MAX_MANIFESTS: usize = 4096;

/// What a registry has under a tag or a digest.
#[allow(clippy::large_enum_variant, reason = "few exist at a time, none is kept")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image, or an artifact.
    Manifest(Manifest),
    /// Several, usually one for each platform.
    Index(Index),
}

/// One image (or artifact): a configuration and layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Empty where the document leaves it out, as OCI allows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// What an artifact is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// What this is about, such as the image that a signature signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form notes.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Empty where the document leaves it out, as OCI allows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// What an artifact is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests, the preferred ones first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// What this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form notes.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Why bytes are no [`Document`], or no image.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// Longer than [`MAX_MANIFEST`].
    #[error("the manifest is longer than {MAX_MANIFEST} bytes ({0})")]
    TooLong(usize),
    /// Not JSON, or not of the right form.
    #[error("the manifest is malformed: {0}")]
    Malformed(String),
    /// Docker's first schema.
    #[error(
        "it is a Docker schema 1 manifest ({0}), which has been obsolete since 2019 and can't be \
         verified by its configuration: push the image again with a current tool"
    )]
    Schema1(String),
    /// Something else than a manifest or an index.
    #[error("its media type {0:?} is no manifest or index of an image")]
    UnknownType(String),
    /// The document calls itself something else than the server or the index
    /// that led to it.
    #[error("it was announced as {announced:?}, but calls itself {actual:?}")]
    TypeMismatch {
        /// By the server or the descriptor.
        announced: String,
        /// In the document.
        actual: String,
    },
    /// Has what a manifest and what an index has.
    #[error("it has both layers and manifests, so it could be read in two ways")]
    Ambiguous,
    /// Too many layers or manifests.
    #[error("it lists {count} {what}, at most {most} are allowed")]
    TooMany {
        /// Layers or manifests.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many may be.
        most: usize,
    },
    /// The configuration is not that of an image.
    #[error("it is no image but an artifact: its configuration is of type {0:?}")]
    Artifact(String),
    /// A layer is of a type that can't be unpacked.
    #[error(transparent)]
    Layer(#[from] UnsupportedLayer),
}

/// Only what tells the kinds of documents apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    schema_version: Option<u32>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a document. `announced` is the media type that the server or a
    /// descriptor gave; empty or general ones, such as `application/json`, don't
    /// count.
    ///
    /// # Errors
    ///
    /// Too long, malformed, of an unknown type, or of another type than
    /// announced.
    pub fn parse(bytes: &[u8], announced: &str) -> Result<Self, InvalidManifest> {
        if bytes.len() > MAX_MANIFEST {
            return Err(InvalidManifest::TooLong(bytes.len()));
        }
        let malformed = |error: serde_json::Error| InvalidManifest::Malformed(error.to_string());
        let shape: Shape = serde_json::from_slice(bytes).map_err(malformed)?;
        let announced = media_type::specific(announced);
        let own = shape.media_type.as_deref().filter(|own| !own.is_empty());
        let type_name = own.or(announced).unwrap_or_default();
        if shape.schema_version == Some(1)
            || shape.fs_layers.is_some()
            || media_type::is_schema1(type_name)
        {
            let name = if type_name.is_empty() { "schemaVersion 1" } else { type_name };
            return Err(InvalidManifest::Schema1(name.to_owned()));
        }
        if let (Some(announced), Some(own)) = (announced, own)
            && announced != own
        {
            return Err(InvalidManifest::TypeMismatch {
                announced: announced.to_owned(),
                actual: own.to_owned(),
            });
        }
        let has_manifest = shape.config.is_some() || shape.layers.is_some();
        if has_manifest && shape.manifests.is_some() {
            return Err(InvalidManifest::Ambiguous);
        }
        let is_index = match type_name {
            OCI_INDEX | DOCKER_MANIFEST_LIST => true,
            OCI_MANIFEST | DOCKER_MANIFEST => false,
            "" => shape.manifests.is_some(),
            other => return Err(InvalidManifest::UnknownType(other.to_owned())),
        };
        if shape.schema_version != Some(2) {
            return Err(InvalidManifest::Malformed("schemaVersion is not 2".to_owned()));
        }
        if is_index {
            let index: Index = serde_json::from_slice(bytes).map_err(malformed)?;
            at_most("manifests", index.manifests.len(), MAX_MANIFESTS)?;
            Ok(Self::Index(index))
        } else {
            let manifest: Manifest = serde_json::from_slice(bytes).map_err(malformed)?;
            at_most("layers", manifest.layers.len(), MAX_LAYERS)?;
            Ok(Self::Manifest(manifest))
        }
    }

    /// The document's own media type; that of OCI where it has none.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self {
            Self::Manifest(manifest) if manifest.media_type.is_empty() => OCI_MANIFEST,
            Self::Manifest(manifest) => &manifest.media_type,
            Self::Index(index) if index.media_type.is_empty() => OCI_INDEX,
            Self::Index(index) => &index.media_type,
        }
    }
}

fn at_most(what: &'static str, count: usize, most: usize) -> Result<(), InvalidManifest> {
    if count > most { Err(InvalidManifest::TooMany { what, count, most }) } else { Ok(()) }
}

impl Manifest {
    /// An OCI manifest of an image.
    #[must_use]
    pub fn oci(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The layers, lowest first, with their compression; only if this is an
    /// image that can be unpacked.
    ///
    /// # Errors
    ///
    /// An artifact, or a layer of a foreign or unknown type.
    pub fn image_layers(&self) -> Result<Vec<(&Descriptor, LayerCompression)>, InvalidManifest> {
        if !matches!(self.config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
            return Err(InvalidManifest::Artifact(self.config.media_type.clone()));
        }
        self.layers.iter().map(|layer| Ok((layer, layer_compression(&layer.media_type)?))).collect()
    }

    /// Every blob that belongs to it, the configuration first, none twice.
    #[must_use]
    pub fn blobs(&self) -> Vec<&Descriptor> {
        let mut seen: Vec<&Digest> = Vec::new();
        let mut blobs = Vec::new();
        for blob in std::iter::once(&self.config).chain(&self.layers) {
            if !seen.contains(&&blob.digest) {
                seen.push(&blob.digest);
                blobs.push(blob);
            }
        }
        blobs
    }
}

/// For members that some tools write as `null`.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
