//! From a registry into the store.

mod error;

use std::sync::Arc;

pub use error::PullError;

use crate::install::{Arrival, install};
use crate::layers::OpenedBlob;
use crate::manifest::{Document, MAX_MANIFEST, Manifest};
use crate::meta::ImageRecord;
use crate::store::{Store, canonical};
use crate::{Descriptor, Digest, Platform, ProgressEvent, ProgressSink, Reference, RegistryClient};

/// The most indexes that lead to one another.
const MAX_INDEXES: usize = 3;

/// When to ask the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Always; what is here already is not fetched again.
    Always,
    /// When the image is not here.
    #[default]
    Missing,
    /// Always, but what is here will do when the registry can't be asked.
    Newer,
    /// Never.
    Never,
}

/// Decides whether an image is accepted: by the client that can ask for its
/// signatures, the reference, and the digest that the registry has under it.
/// The error says why not.
pub type AcceptImage = dyn Fn(&RegistryClient, &Reference, &Digest) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    + Send
    + Sync;

/// What to pull.
#[derive(Clone)]
pub struct PullRequest {
    /// The image.
    pub reference: Reference,
    /// For which platform; this machine's by default.
    pub platform: Option<Platform>,
    /// When to ask the registry.
    pub when: PullPolicy,
    /// Asked whenever the registry is, before anything is stored.
    pub accept: Option<Arc<AcceptImage>>,
}

impl std::fmt::Debug for PullRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullRequest")
            .field("reference", &self.reference)
            .field("platform", &self.platform)
            .field("when", &self.when)
            .finish_non_exhaustive()
    }
}

impl PullRequest {
    /// Pulls for this machine when the image is not here.
    #[must_use]
    pub fn new(reference: Reference) -> Self {
        Self { reference, platform: None, when: PullPolicy::Missing, accept: None }
    }
}

/// Has the image in the store, unpacked, as `request` says.
///
/// Layers are downloaded and unpacked at the same time, several at once; what
/// another process is just fetching is waited for. What was fetched by an
/// attempt that was cut short is not fetched again.
pub fn pull(
    store: &Store,
    client: &RegistryClient,
    request: &PullRequest,
    sink: &dyn ProgressSink,
) -> Result<ImageRecord, PullError> {
    let reference = &request.reference;
    let wanted = request.platform.clone().unwrap_or_else(Platform::host);
    let here = local(store, reference, &wanted, request.platform.is_some())?;
    match (request.when, here) {
        (PullPolicy::Missing | PullPolicy::Never, Some(image)) => Ok(image),
        (PullPolicy::Never, None) => Err(PullError::NotHere(reference.clone())),
        (PullPolicy::Newer, Some(image)) => match fetch(store, client, request, &wanted, sink) {
            Err(PullError::Registry(error)) => {
                let line = format!("using the image that is here: {error}");
                sink.event(ProgressEvent::Message(&line));
                Ok(image)
            }
            other => other,
        },
        (PullPolicy::Always | PullPolicy::Newer | PullPolicy::Missing, _) => {
            fetch(store, client, request, &wanted, sink)
        }
    }
}

/// The image in the store, if all of it is there.
fn local(
    store: &Store,
    reference: &Reference,
    wanted: &Platform,
    asked_for: bool,
) -> Result<Option<ImageRecord>, PullError> {
    let mut images = store.by_reference(reference)?;
    // Whoever loaded an image of another platform and names none means it.
    if asked_for || images.iter().any(|image| image.platform.satisfies(wanted)) {
        images.retain(|image| image.platform.satisfies(wanted));
    }
    for image in images {
        if store.is_complete(&image)? {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

fn fetch(
    store: &Store,
    client: &RegistryClient,
    request: &PullRequest,
    wanted: &Platform,
    sink: &dyn ProgressSink,
) -> Result<ImageRecord, PullError> {
    store.collect_leftovers()?;
    let reference = &request.reference;
    let resolved = client.resolve(reference)?;
    let top = resolved.0.digest.clone();
    if let Some(accept) = &request.accept {
        accept(client, reference, &top)
            .map_err(|source| PullError::NotAccepted { image: reference.familiar(), source })?;
    }
    let (descriptor, bytes, manifest) = select(client, reference, wanted, resolved)?;
    let name = canonical(reference);
    let mut digests: Vec<(Reference, Digest)> = vec![(reference.clone(), top)];
    if digests.iter().all(|(_, digest)| *digest != descriptor.digest) {
        digests.push((reference.clone(), descriptor.digest.clone()));
    }
    let lease = store.lease("pull")?;
    lease.hold_blobs([&descriptor.digest, &manifest.config.digest])?;
    let config = config(store, client, reference, &manifest)?;
    let arrival = Arrival {
        descriptor: &descriptor,
        manifest_bytes: &bytes,
        manifest: &manifest,
        config_bytes: &config,
        names: &[name],
        digests: &digests,
    };
    let open = |blob: &Descriptor, offset: u64| {
        let stream = client.blob(reference, blob, offset)?;
        Ok(OpenedBlob { start: stream.start(), reader: Box::new(stream) })
    };
    let image = install(store, lease, &arrival, Some(&open), sink).map_err(|source| {
        PullError::Install { image: reference.familiar(), source: Box::new(source) }
    })?;
    if !image.platform.satisfies(wanted) {
        let line = format!("{} is for {}, not {wanted}", image.title(), image.platform);
        sink.event(ProgressEvent::Message(&line));
    }
    Ok(image)
}

/// From an index to the manifest for the platform.
fn select(
    client: &RegistryClient,
    reference: &Reference,
    wanted: &Platform,
    resolved: (Descriptor, Vec<u8>),
) -> Result<(Descriptor, Vec<u8>, Manifest), PullError> {
    let (mut descriptor, mut bytes) = resolved;
    for _ in 0..MAX_INDEXES {
        match Document::parse(&bytes, &descriptor.media_type)
            .map_err(PullError::manifest(reference))?
        {
            Document::Manifest(manifest) => {
                if descriptor.media_type.is_empty() {
                    descriptor.media_type = crate::manifest::OCI_MANIFEST.to_owned();
                }
                return Ok((descriptor, bytes, manifest));
            }
            Document::Index(index) => {
                let entry = index.select(wanted).map_err(|source| PullError::Platform {
                    image: reference.familiar(),
                    source: Box::new(source),
                })?;
                let (media_type, found) = client.manifest(reference, &entry.digest)?;
                descriptor = Descriptor {
                    media_type,
                    size: found.len() as u64,
                    platform: None,
                    ..entry.clone()
                };
                bytes = found;
            }
        }
    }
    Err(PullError::IndexesOnly(reference.clone()))
}

/// The configuration's bytes, from the store if they are there.
fn config(
    store: &Store,
    client: &RegistryClient,
    reference: &Reference,
    manifest: &Manifest,
) -> Result<Vec<u8>, PullError> {
    let descriptor = &manifest.config;
    let limit = MAX_MANIFEST as u64;
    if let Ok(bytes) = store.content.read(&descriptor.digest, limit) {
        return Ok(bytes);
    }
    Ok(client.blob_bytes(reference, descriptor, limit)?)
}
