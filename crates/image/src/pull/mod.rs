//! From a registry into the store.

mod error;

use std::sync::Arc;

pub use error::PullError;

use crate::install::{Arrival, install};
use crate::layers::OpenedBlob;
use crate::manifest::{Document, ImageConfig, MAX_MANIFEST, Manifest, NoSuchPlatform};
use crate::meta::ImageRecord;
use crate::policy::Policy;
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

/// What to pull.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// The image.
    pub reference: Reference,
    /// For which platform; this machine's by default.
    pub platform: Option<Platform>,
    /// When to ask the registry.
    pub when: PullPolicy,
    /// Which images are accepted; all by default. Asked whenever the registry
    /// is, before anything is stored.
    pub policy: Option<Arc<Policy>>,
}

impl PullRequest {
    /// Pulls for this machine when the image is not here.
    #[must_use]
    pub fn new(reference: Reference) -> Self {
        Self { reference, platform: None, when: PullPolicy::Missing, policy: None }
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
    let (descriptor, bytes, manifest, digests) = select(client, reference, wanted, resolved)?;
    if let Some(policy) = &request.policy {
        policy.check(client, reference, &digests)?;
    }
    let name = canonical(reference);
    let digests: Vec<(Reference, Digest)> =
        digests.into_iter().map(|digest| (reference.clone(), digest)).collect();
    let lease = store.lease("pull")?;
    lease.hold_blobs([&descriptor.digest, &manifest.config.digest])?;
    let config = config(store, client, reference, &manifest)?;
    check_platform(request, wanted, &manifest, &config, sink)?;
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
    install(store, lease, &arrival, Some(&open), sink).map_err(|source| PullError::Install {
        image: reference.familiar(),
        source: Box::new(source),
    })
}

/// A manifest that no index led to may be for another platform: refused where
/// one was asked for.
fn check_platform(
    request: &PullRequest,
    wanted: &Platform,
    manifest: &Manifest,
    config: &[u8],
    sink: &dyn ProgressSink,
) -> Result<(), PullError> {
    // What is malformed is refused later, with its reason.
    let Ok(config) = ImageConfig::parse(config, manifest.layers.len()) else { return Ok(()) };
    let found = config.platform();
    if found.satisfies(wanted) || found.architecture.is_empty() {
        return Ok(());
    }
    let image = request.reference.familiar();
    if request.platform.is_some() {
        let (wanted, available) = (wanted.clone(), vec![found]);
        let source = Box::new(NoSuchPlatform { wanted, available });
        return Err(PullError::Platform { image, source });
    }
    sink.event(ProgressEvent::Message(&format!("{image} is for {found}, not for {wanted}")));
    Ok(())
}

/// From an index to the manifest for the platform. Also the digests of both, the
/// manifest's last.
fn select(
    client: &RegistryClient,
    reference: &Reference,
    wanted: &Platform,
    resolved: (Descriptor, Vec<u8>),
) -> Result<(Descriptor, Vec<u8>, Manifest, Vec<Digest>), PullError> {
    let (mut descriptor, mut bytes) = resolved;
    let mut digests = Vec::new();
    for _ in 0..MAX_INDEXES {
        digests.push(descriptor.digest.clone());
        match Document::parse(&bytes, &descriptor.media_type)
            .map_err(PullError::manifest(reference))?
        {
            Document::Manifest(manifest) => {
                if descriptor.media_type.is_empty() {
                    descriptor.media_type = crate::manifest::OCI_MANIFEST.to_owned();
                }
                return Ok((descriptor, bytes, manifest, digests));
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
