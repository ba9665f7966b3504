//! Saving images as archives and layouts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use serde::Serialize;

use super::{DOCKER_MANIFESTS, IMAGE_NAME, INDEX, OCI_LAYOUT, REF_NAME, SaveError};
use crate::layers::Decoder;
use crate::manifest::{Index, LayerCompression, OCI_INDEX, layer_compression};
use crate::meta::ImageRecord;
use crate::store::Store;
use crate::{Descriptor, Digest, Reference};

/// In which form images are saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveFormat {
    /// An OCI image layout. It also holds what makes it an archive that
    /// `docker load` reads.
    #[default]
    Oci,
    /// As `docker save` has always written it.
    Docker,
}

/// Content of `oci-layout`.
const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerItem {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes a tar archive of the images to `out`. Nothing in it depends on when
/// it was made.
pub fn save(
    store: &Store,
    images: &[ImageRecord],
    format: SaveFormat,
    out: impl Write,
) -> Result<(), SaveError> {
    let lease = store.lease("save")?;
    for image in images {
        lease.hold_blobs(blobs(image).map(|blob| &blob.digest))?;
    }
    let mut archive = Archive { out: tar::Builder::new(out), written: BTreeSet::new() };
    match format {
        SaveFormat::Oci => {
            archive.bytes(OCI_LAYOUT, LAYOUT)?;
            for image in images {
                for blob in blobs(image) {
                    archive.blob(store, &path_of(&blob.digest), blob)?;
                }
            }
            archive.bytes(INDEX, &index(images)?)?;
            let items: Vec<_> = images.iter().map(|image| item(image, path_of, path_of)).collect();
            archive
                .bytes(DOCKER_MANIFESTS, &serde_json::to_vec(&items).map_err(io::Error::from)?)?;
        }
        SaveFormat::Docker => {
            let config = |digest: &Digest| format!("{}.json", digest.hex());
            let layer = |digest: &Digest| format!("{}/layer.tar", digest.hex());
            for image in images {
                let own = &image.config_descriptor;
                archive.blob(store, &config(&own.digest), own)?;
                for blob in &image.layers {
                    archive.layer(store, &layer(&blob.digest), blob)?;
                }
            }
            let items: Vec<_> = images.iter().map(|image| item(image, config, layer)).collect();
            archive
                .bytes(DOCKER_MANIFESTS, &serde_json::to_vec(&items).map_err(io::Error::from)?)?;
        }
    }
    archive.out.into_inner()?.flush()?;
    Ok(())
}

/// Writes the images as an OCI image layout into the directory `dir`, made if
/// it is not there. Blobs that are in it already are left alone, its index is
/// replaced.
pub fn save_layout(store: &Store, images: &[ImageRecord], dir: &Path) -> Result<(), SaveError> {
    let lease = store.lease("save")?;
    for image in images {
        lease.hold_blobs(blobs(image).map(|blob| &blob.digest))?;
        for blob in blobs(image) {
            let path = dir.join(path_of(&blob.digest));
            let failed = |source| SaveError::File { path: path.clone(), source };
            if path.exists() {
                continue;
            }
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            let mut from = store.content.open_blob(&blob.digest)?;
            // A rename, so that a copy cut short is not taken for a blob.
            let temporary = path.with_extension("tmp");
            let mut to = File::create(&temporary).map_err(failed)?;
            io::copy(&mut from, &mut to).map_err(failed)?;
            std::fs::rename(&temporary, &path).map_err(failed)?;
        }
    }
    for (name, bytes) in [(OCI_LAYOUT, LAYOUT.to_vec()), (INDEX, index(images)?)] {
        let path = dir.join(name);
        let write = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, bytes));
        write.map_err(|source| SaveError::File { path, source })?;
    }
    Ok(())
}

fn blobs(image: &ImageRecord) -> impl Iterator<Item = &Descriptor> {
    image.layers.iter().chain([&image.config_descriptor, &image.manifest])
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// One entry for each name, and for each image without.
fn index(images: &[ImageRecord]) -> Result<Vec<u8>, SaveError> {
    let mut manifests = Vec::new();
    for image in images {
        let entry = Descriptor { platform: Some(image.platform.clone()), ..image.manifest.clone() };
        if image.names.is_empty() {
            manifests.push(entry.clone());
        }
        for name in &image.names {
            let mut entry = entry.clone();
            entry.annotations = BTreeMap::from([
                (IMAGE_NAME.to_owned(), name.to_string()),
                (REF_NAME.to_owned(), name.to_string()),
            ]);
            manifests.push(entry);
        }
    }
    let index = Index {
        schema_version: 2,
        media_type: OCI_INDEX.to_owned(),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: BTreeMap::new(),
    };
    Ok(serde_json::to_vec(&index).map_err(io::Error::from)?)
}

fn item(
    image: &ImageRecord,
    config: impl Fn(&Digest) -> String,
    layer: impl Fn(&Digest) -> String,
) -> DockerItem {
    let tagged = image.names.iter().filter(|name| name.digest().is_none());
    DockerItem {
        config: config(&image.config_descriptor.digest),
        repo_tags: tagged.map(Reference::familiar).collect(),
        layers: image.layers.iter().map(|blob| layer(&blob.digest)).collect(),
    }
}

struct Archive<W: Write> {
    out: tar::Builder<W>,
    written: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    fn add(&mut self, name: &str, size: u64, from: impl Read) -> Result<(), SaveError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o444);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        self.out.append_data(&mut header, name, from.take(size))?;
        Ok(())
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), SaveError> {
        self.add(name, bytes.len() as u64, bytes)
    }

    fn blob(&mut self, store: &Store, name: &str, blob: &Descriptor) -> Result<(), SaveError> {
        if self.written.insert(name.to_owned()) {
            let file = store.content.open_blob(&blob.digest)?;
            self.add(name, blob.size, file)?;
        }
        Ok(())
    }

    /// A layer. What Docker can't decompress everywhere is decompressed: twice,
    /// because its size stands before it.
    fn layer(&mut self, store: &Store, name: &str, blob: &Descriptor) -> Result<(), SaveError> {
        if layer_compression(&blob.media_type).ok() != Some(LayerCompression::Zstd) {
            return self.blob(store, name, blob);
        }
        if self.written.insert(name.to_owned()) {
            let open = || -> Result<_, SaveError> {
                let file =
                    BufReader::with_capacity(256 << 10, store.content.open_blob(&blob.digest)?);
                Ok(Decoder::new(file, LayerCompression::Zstd)?)
            };
            let size = io::copy(&mut open()?, &mut io::sink())?;
            self.add(name, size, open()?)?;
        }
        Ok(())
    }
}
