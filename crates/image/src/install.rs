//! The last part of pull, load and build: manifest, configuration and layers
//! into the store, then the record.

use std::time::Duration;

use crate::content::ContentError;
use crate::layers::{self, LayerError, LayerJob, OpenBlob};
use crate::manifest::{ImageConfig, InvalidImageConfig, InvalidManifest, Manifest};
use crate::meta::{ImageRecord, MetaError, NewImage, SnapshotFormat};
use crate::snapshot::chain_ids;
use crate::store::{Lease, Store, StoreError};
use crate::timestamp::parse_rfc3339;
use crate::{Descriptor, Digest, Platform, ProgressSink, Reference};

/// Why an image could not be brought into the store.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The manifest is none of an image that can be unpacked.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// The configuration is malformed.
    #[error(transparent)]
    Config(#[from] InvalidImageConfig),
    /// A layer failed.
    #[error(transparent)]
    Layer(Box<LayerError>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LayerError> for InstallError {
    fn from(error: LayerError) -> Self {
        Self::Layer(Box::new(error))
    }
}

impl From<ContentError> for InstallError {
    fn from(error: ContentError) -> Self {
        Self::Store(error.into())
    }
}

impl From<MetaError> for InstallError {
    fn from(error: MetaError) -> Self {
        Self::Store(error.into())
    }
}

impl InstallError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Layer(error) => error.is_no_space(),
            Self::Store(error) => error.is_no_space(),
            Self::Manifest(_) | Self::Config(_) => false,
        }
    }
}

/// An image whose manifest and configuration are at hand.
pub(crate) struct Arrival<'a> {
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) manifest_bytes: &'a [u8],
    pub(crate) manifest: &'a Manifest,
    pub(crate) config_bytes: &'a [u8],
    /// Names that lead to it from now on.
    pub(crate) names: &'a [Reference],
    /// Repositories that offer it, and by which digest.
    pub(crate) digests: &'a [(Reference, Digest)],
}

/// Brings the image in. Where `open` is not given, the layers' blobs are in
/// the store. When the disk is full, nothing of the image is left; after any
/// other error, what was fetched is kept for the next attempt.
pub(crate) fn install(
    store: &Store,
    lease: Lease<'_>,
    arrival: &Arrival<'_>,
    open: Option<&OpenBlob<'_>>,
    sink: &dyn ProgressSink,
) -> Result<ImageRecord, InstallError> {
    let result = try_install(store, &lease, arrival, open, sink);
    match &result {
        Ok(_) => {}
        Err(error) if error.is_no_space() => {
            drop(lease);
            let mine = arrival.manifest.layers.iter().map(|layer| &layer.digest);
            // The error to show is that the disk is full.
            let _ = store.content.discard_ingests(mine);
            let _ = store.collect_garbage(Duration::ZERO);
        }
        // What was fetched spares the next attempt the same.
        Err(_) if open.is_some() => lease.abandon(),
        Err(_) => {}
    }
    result
}

fn try_install(
    store: &Store,
    lease: &Lease<'_>,
    arrival: &Arrival<'_>,
    open: Option<&OpenBlob<'_>>,
    sink: &dyn ProgressSink,
) -> Result<ImageRecord, InstallError> {
    let layers = arrival.manifest.image_layers()?;
    let config = ImageConfig::parse(arrival.config_bytes, layers.len())?;
    let chain = chain_ids(&config.rootfs.diff_ids);
    let config_descriptor = &arrival.manifest.config;
    let own = [&arrival.descriptor.digest, &config_descriptor.digest];
    lease.hold_blobs(own.into_iter().chain(layers.iter().map(|(layer, _)| &layer.digest)))?;
    lease.hold_snapshots(&chain)?;
    let jobs: Vec<LayerJob> = layers
        .into_iter()
        .zip(config.rootfs.diff_ids.iter().zip(&chain))
        .map(|((descriptor, compression), (diff_id, chain))| LayerJob {
            descriptor: descriptor.clone(),
            compression,
            diff_id: diff_id.clone(),
            chain: chain.clone(),
        })
        .collect();
    let mut known = false;
    for image in store.meta.by_manifest(&arrival.descriptor.digest)? {
        known |= store.is_complete(&image)?;
    }
    store.content.put(&arrival.descriptor.digest, arrival.manifest_bytes)?;
    store.content.put(&config_descriptor.digest, arrival.config_bytes)?;
    layers::bring_in(store, &jobs, open, sink)?;
    if !known {
        // From here on the image is said to be there.
        store.content.sync()?;
    }
    let text = String::from_utf8_lossy(arrival.config_bytes);
    let row = store.meta.add(&NewImage {
        manifest: arrival.descriptor,
        platform: &platform_of(&config),
        format: SnapshotFormat::Overlay,
        config_descriptor,
        config: &text,
        created: config.created.as_deref().and_then(parse_rfc3339),
        layers: &arrival.manifest.layers,
        chain: &chain,
        extra: &[],
        names: arrival.names,
        digests: arrival.digests,
    })?;
    store.meta.checkpoint();
    let gone = || StoreError::Gone { image: config_descriptor.digest.to_string() };
    Ok(store.meta.by_row(row)?.ok_or_else(gone)?)
}

/// What the configuration says it is for. Some tools leave it out: what they
/// make is for the machine they ran on, and the likeliest one is this.
fn platform_of(config: &ImageConfig) -> Platform {
    let said = config.platform();
    let readable = said.to_string().parse::<Platform>().is_ok();
    if readable { said } else { Platform::host() }
}
