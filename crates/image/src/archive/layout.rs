//! Images of an OCI image layout (OCI image-spec, image-layout.md).

use super::gather::Files;
use super::{INDEX, LoadError, names};
use crate::install::{Arrival, install};
use crate::manifest::{Document, Index, MAX_MANIFEST, Manifest};
use crate::meta::ImageRecord;
use crate::store::Store;
use crate::{Descriptor, Platform, ProgressEvent, ProgressSink, Reference};

/// The most indexes that lead to one another.
const MAX_DEPTH: usize = 4;

/// Brings in all images of the layout's index.
pub(super) fn load_layout(
    store: &Store,
    files: &Files<'_>,
    sink: &dyn ProgressSink,
) -> Result<Vec<ImageRecord>, LoadError> {
    let wanted_by = super::OCI_LAYOUT.to_owned();
    let missing = || LoadError::Missing { name: INDEX.to_owned(), wanted_by };
    let (digest, _) = files.blob(INDEX)?.ok_or_else(missing)?;
    let bytes = store.content.read(&digest, MAX_MANIFEST as u64)?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| LoadError::Malformed {
        name: INDEX.to_owned(),
        reason: error.to_string(),
    })?;
    let mut images: Vec<ImageRecord> = Vec::new();
    for entry in &index.manifests {
        let name = names::from_annotations(&entry.annotations);
        let Some((descriptor, bytes, manifest)) = find(store, files, entry, 0)? else {
            continue;
        };
        let image = load_one(store, files, &descriptor, &bytes, &manifest, name, sink)?;
        // Several names of one image are several entries.
        images.retain(|earlier| earlier.row != image.row);
        images.push(image);
    }
    Ok(images)
}

/// The manifest that an entry means: of an index, the one for this machine, or
/// the first that is there. `None` for what is no image, such as signatures.
fn find(
    store: &Store,
    files: &Files<'_>,
    entry: &Descriptor,
    depth: usize,
) -> Result<Option<(Descriptor, Vec<u8>, Manifest)>, LoadError> {
    let name = path_of(entry);
    let Some((digest, size)) = files.blob(&name)? else {
        return if depth == 0 {
            Err(LoadError::Missing { name, wanted_by: INDEX.to_owned() })
        } else {
            Ok(None)
        };
    };
    let bytes = store.content.read(&digest, MAX_MANIFEST as u64)?;
    let document = Document::parse(&bytes, &entry.media_type);
    let malformed = |source| LoadError::Manifest { name: name.clone(), source };
    match document.map_err(malformed)? {
        Document::Manifest(manifest) => {
            if manifest.image_layers().is_err() && depth > 0 {
                return Ok(None);
            }
            let mut descriptor = Descriptor { digest, size, ..entry.clone() };
            if descriptor.media_type.is_empty() {
                descriptor.media_type = crate::manifest::OCI_MANIFEST.to_owned();
            }
            descriptor.annotations.clear();
            descriptor.platform = None;
            Ok(Some((descriptor, bytes, manifest)))
        }
        Document::Index(index) => {
            if depth >= MAX_DEPTH {
                let reason = "indexes lead to indexes, too many times".to_owned();
                return Err(LoadError::Malformed { name, reason });
            }
            let best = index.select(&Platform::host()).ok();
            for candidate in best.into_iter().chain(&index.manifests) {
                if let Some(found) = find(store, files, candidate, depth + 1)? {
                    return Ok(Some(found));
                }
            }
            let wanted_by = name;
            Err(LoadError::Missing { name: "a manifest of an image".to_owned(), wanted_by })
        }
    }
}

fn load_one(
    store: &Store,
    files: &Files<'_>,
    descriptor: &Descriptor,
    bytes: &[u8],
    manifest: &Manifest,
    name: Option<Reference>,
    sink: &dyn ProgressSink,
) -> Result<ImageRecord, LoadError> {
    let lease = store.lease("load")?;
    lease.hold_blobs(manifest.blobs().into_iter().map(|blob| &blob.digest))?;
    for blob in manifest.blobs() {
        if store.content.size(&blob.digest)?.is_none() && files.blob(&path_of(blob))?.is_none() {
            let (name, wanted_by) = (path_of(blob), path_of(descriptor));
            return Err(LoadError::Missing { name, wanted_by });
        }
    }
    let config = store.content.read(&manifest.config.digest, MAX_MANIFEST as u64)?;
    if name.is_none() {
        let line = format!("image {} has no name in the archive", manifest.config.digest);
        sink.event(ProgressEvent::Message(&line));
    }
    let names: Vec<Reference> = name.into_iter().collect();
    let arrival = Arrival {
        descriptor,
        manifest_bytes: bytes,
        manifest,
        config_bytes: &config,
        names: &names,
        digests: &[],
    };
    Ok(install(store, lease, &arrival, None, sink)?)
}

fn path_of(blob: &Descriptor) -> String {
    format!("blobs/{}/{}", blob.digest.algorithm().as_str(), blob.digest.hex())
}
