//! Images of an archive that `docker save` or `podman save` wrote.

use std::io::Read as _;

use serde::Deserialize;

use super::gather::Files;
use super::{DOCKER_MANIFESTS, LoadError, names};
use crate::install::{Arrival, install};
use crate::layers::detect;
use crate::manifest::{
    LayerCompression, MAX_MANIFEST, Manifest, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use crate::meta::ImageRecord;
use crate::store::Store;
use crate::{Descriptor, Digest, ProgressSink, Reference};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Brings in all images of `manifest.json`. Each gets an OCI manifest.
pub(super) fn load_docker(
    store: &Store,
    files: &Files<'_>,
    sink: &dyn ProgressSink,
) -> Result<Vec<ImageRecord>, LoadError> {
    let Some((digest, _)) = files.blob(DOCKER_MANIFESTS)? else {
        return Err(LoadError::NoImages);
    };
    let bytes = store.content.read(&digest, MAX_MANIFEST as u64)?;
    let items: Vec<Item> = serde_json::from_slice(&bytes).map_err(|error| {
        let name = DOCKER_MANIFESTS.to_owned();
        LoadError::Malformed { name, reason: error.to_string() }
    })?;
    items.into_iter().map(|item| load_one(store, files, item, sink)).collect()
}

fn load_one(
    store: &Store,
    files: &Files<'_>,
    item: Item,
    sink: &dyn ProgressSink,
) -> Result<ImageRecord, LoadError> {
    let find = |name: &str| -> Result<(Digest, u64), LoadError> {
        let wanted_by = DOCKER_MANIFESTS.to_owned();
        let missing = || LoadError::Missing { name: name.to_owned(), wanted_by };
        files.blob(name)?.ok_or_else(missing)
    };
    let descriptor = |media_type: &str, (digest, size): (Digest, u64)| Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
        artifact_type: None,
    };
    let config = descriptor(OCI_CONFIG, find(&item.config)?);
    let mut layers = Vec::new();
    for layer in item.layers.unwrap_or_default() {
        let blob = find(&layer)?;
        let media_type = match compression(store, &blob.0)? {
            LayerCompression::None => OCI_LAYER,
            LayerCompression::Gzip => OCI_LAYER_GZIP,
            LayerCompression::Zstd => OCI_LAYER_ZSTD,
        };
        layers.push(descriptor(media_type, blob));
    }
    let names: Vec<Reference> =
        item.repo_tags.unwrap_or_default().iter().filter_map(|tag| names::parse(tag)).collect();
    let config_bytes = store.content.read(&config.digest, MAX_MANIFEST as u64)?;
    let manifest = Manifest::oci(config, layers);
    let bytes = serde_json::to_vec(&manifest).map_err(|error| LoadError::Malformed {
        name: DOCKER_MANIFESTS.to_owned(),
        reason: error.to_string(),
    })?;
    let own = descriptor(OCI_MANIFEST, (Digest::sha256(&bytes), bytes.len() as u64));
    let arrival = Arrival {
        descriptor: &own,
        manifest_bytes: &bytes,
        manifest: &manifest,
        config_bytes: &config_bytes,
        names: &names,
        digests: &[],
    };
    Ok(install(store, store.lease("load")?, &arrival, None, sink)?)
}

/// How a blob is compressed, by its first bytes.
fn compression(store: &Store, digest: &Digest) -> Result<LayerCompression, LoadError> {
    let mut start = Vec::new();
    let path = store.content.path(digest);
    store
        .content
        .open_blob(digest)?
        .take(16)
        .read_to_end(&mut start)
        .map_err(|source| LoadError::Read { path, source })?;
    Ok(detect(&start).unwrap_or(LayerCompression::None))
}
