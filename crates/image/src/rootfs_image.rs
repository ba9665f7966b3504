//! Images made from a directory.

use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::content::{ContentError, Hasher, NewIngest};
use crate::gc::KEEP;
use crate::install::{Arrival, InstallError, install};
use crate::layer_writer::{LayerSource, LayerWriteError, LayerWriteOptions, write_layer};
use crate::manifest::{
    History, ImageConfig, LayerCompression, Manifest, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use crate::meta::ImageRecord;
use crate::store::{Store, StoreError};
use crate::timestamp::format_rfc3339;
use crate::{Algorithm, Descriptor, Digest, Platform, ProgressSink, Reference};

/// Bytes that are written at once.
const CHUNK: usize = 256 << 10;

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The directory can't be opened.
    #[error("open {}: {source}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its files can't be written as a layer.
    #[error("make a layer of {}: {source}", path.display())]
    Layer {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: Box<LayerWriteError>,
    },
    /// The layer can't be compressed or stored.
    #[error("store the layer of {}: {source}", path.display())]
    Store {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: Box<StoreError>,
    },
    /// The image can't be brought in.
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// What to make.
#[derive(Clone, Debug)]
pub struct BuildRequest<'a> {
    /// The directory with the root file system.
    pub rootfs: &'a Path,
    /// A name for the image.
    pub name: Option<&'a Reference>,
    /// How it is to be run. The members that speak of layers and history are
    /// filled in; platform and time of making too, where they are empty.
    pub config: ImageConfig,
    /// How the layer is compressed.
    pub compression: LayerCompression,
    /// Write this owner and group for all files, instead of their own.
    pub owner: Option<(u32, u32)>,
}

/// Makes an image of one layer from a directory. The same tree, configuration
/// and time of making give the same image.
pub fn build_from_rootfs(
    store: &Store,
    request: &BuildRequest<'_>,
    sink: &dyn ProgressSink,
) -> Result<ImageRecord, BuildError> {
    let result = build(store, request, sink);
    if result.is_err() {
        // A layer without its image.
        let _ = store.collect_garbage(KEEP);
    }
    result
}

fn build(
    store: &Store,
    request: &BuildRequest<'_>,
    sink: &dyn ProgressSink,
) -> Result<ImageRecord, BuildError> {
    let path = request.rootfs;
    let failed =
        |source: StoreError| BuildError::Store { path: path.to_owned(), source: Box::new(source) };
    store.collect_leftovers().map_err(failed)?;
    let lease = store.lease("build").map_err(failed)?;
    let ingest = store.content.ingest_new().map_err(|e| failed(e.into()))?;
    let (ingest, diff_id) = write(request, ingest)?;
    let (digest, _) = ingest.digest();
    lease.hold_blobs([&digest]).map_err(failed)?;
    let (digest, size) = ingest.commit().map_err(|e| failed(e.into()))?;
    let media_type = match request.compression {
        LayerCompression::None => OCI_LAYER,
        LayerCompression::Gzip => OCI_LAYER_GZIP,
        LayerCompression::Zstd => OCI_LAYER_ZSTD,
    };
    let layer = descriptor(media_type, digest, size);
    let config = complete(request.config.clone(), diff_id);
    let encode = |value: Result<Vec<u8>, serde_json::Error>| {
        value.map_err(|e| failed(source_error(path, e.into())))
    };
    let config_bytes = encode(serde_json::to_vec(&config))?;
    let own = Digest::sha256(&config_bytes);
    let manifest =
        Manifest::oci(descriptor(OCI_CONFIG, own, config_bytes.len() as u64), vec![layer]);
    let bytes = encode(serde_json::to_vec(&manifest))?;
    let own = descriptor(OCI_MANIFEST, Digest::sha256(&bytes), bytes.len() as u64);
    let names: Vec<Reference> = request.name.into_iter().cloned().collect();
    let arrival = Arrival {
        descriptor: &own,
        manifest_bytes: &bytes,
        manifest: &manifest,
        config_bytes: &config_bytes,
        names: &names,
        digests: &[],
    };
    Ok(install(store, lease, &arrival, None, sink)?)
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
        artifact_type: None,
    }
}

fn source_error(path: &Path, source: io::Error) -> StoreError {
    ContentError::Source { name: path.display().to_string(), source }.into()
}

/// Fills in what the layer decides, and what is empty.
fn complete(mut config: ImageConfig, diff_id: Digest) -> ImageConfig {
    let host = Platform::host();
    if config.architecture.is_empty() {
        config.architecture = host.architecture;
        config.variant = host.variant;
    }
    if config.os.is_empty() {
        config.os = host.os;
    }
    let created = config.created.get_or_insert_with(|| format_rfc3339(SystemTime::now())).clone();
    config.rootfs.diff_ids = vec![diff_id];
    config.history = vec![History {
        created: Some(created),
        created_by: Some("caisson image build-from-rootfs".to_owned()),
        ..History::default()
    }];
    config
}

/// Writes the layer; the digest of its uncompressed form.
fn write(request: &BuildRequest<'_>, ingest: NewIngest) -> Result<(NewIngest, Digest), BuildError> {
    let path = request.rootfs;
    let open = |source: rustix::io::Errno| BuildError::Open {
        path: path.to_owned(),
        source: source.into(),
    };
    let flags =
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let dir = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(open)?;
    let failed = |source: io::Error| BuildError::Store {
        path: path.to_owned(),
        source: Box::new(source_error(path, source)),
    };
    let out = BufWriter::with_capacity(CHUNK, Stored(ingest));
    let compressor = match request.compression {
        LayerCompression::None => Compressor::Plain(out),
        LayerCompression::Gzip => {
            let level = flate2::Compression::default();
            Compressor::Gzip(flate2::write::GzEncoder::new(out, level))
        }
        LayerCompression::Zstd => {
            Compressor::Zstd(zstd::stream::write::Encoder::new(out, 3).map_err(failed)?)
        }
    };
    let mut hashed = BufWriter::with_capacity(
        CHUNK,
        Hashed { out: compressor, hasher: Hasher::new(Algorithm::Sha256) },
    );
    let options = LayerWriteOptions {
        source: LayerSource::Directory,
        nanoseconds: true,
        owner: request.owner,
    };
    write_layer(dir.as_fd(), &mut hashed, &options)
        .map_err(|source| BuildError::Layer { path: path.to_owned(), source: Box::new(source) })?;
    let hashed = hashed.into_inner().map_err(|e| failed(e.into_error()))?;
    let ingest = hashed.out.finish().map_err(failed)?;
    Ok((ingest, hashed.hasher.finish()))
}

/// An ingest as a writer.
struct Stored(NewIngest);

impl Write for Stored {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| match error {
            ContentError::Io(error) => error.source,
            other => io::Error::other(other),
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Compressor {
    Plain(BufWriter<Stored>),
    Gzip(flate2::write::GzEncoder<BufWriter<Stored>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<Stored>>),
}

impl Compressor {
    fn finish(self) -> io::Result<NewIngest> {
        let out = match self {
            Self::Plain(out) => out,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        Ok(out.into_inner().map_err(io::IntoInnerError::into_error)?.0)
    }
}

impl Write for Compressor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(out) => out.write(bytes),
            Self::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes what passes.
struct Hashed {
    out: Compressor,
    hasher: Hasher,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
