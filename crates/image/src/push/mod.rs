//! From the store to a registry.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::content::ContentError;
use crate::layers::Meter;
use crate::manifest::MAX_MANIFEST;
use crate::meta::{ImageRecord, MetaError};
use crate::registry::Uploaded;
use crate::store::{Store, StoreError};
use crate::{
    Descriptor, Digest, LayerState, ProgressSink, Reference, RegistryClient, RegistryError,
};

/// Why an image could not be pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry did not take it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The image can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ContentError> for PushError {
    fn from(error: ContentError) -> Self {
        Self::Store(error.into())
    }
}

impl From<MetaError> for PushError {
    fn from(error: MetaError) -> Self {
        Self::Store(error.into())
    }
}

/// Sends the image to `target`, which names repository and tag, as it is: its
/// digest, which is returned, does not change. Blobs that the registry has are
/// not sent; those that it has in another repository are mounted from there.
pub fn push(
    store: &Store,
    client: &RegistryClient,
    image: &ImageRecord,
    target: &Reference,
    sink: &dyn ProgressSink,
) -> Result<Digest, PushError> {
    let lease = store.lease("push")?;
    let mut blobs: Vec<&Descriptor> = Vec::new();
    for blob in image.layers.iter().chain([&image.config_descriptor]) {
        if blobs.iter().all(|other| other.digest != blob.digest) {
            blobs.push(blob);
        }
    }
    lease.hold_blobs(blobs.iter().map(|blob| &blob.digest).chain([&image.manifest.digest]))?;
    let meter = Meter::new(sink, blobs.iter().copied());
    let work = Work {
        store,
        client,
        target,
        blobs: &blobs,
        meter: &meter,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        error: Mutex::new(None),
    };
    let threads = store.settings().parallel.clamp(1, 16).min(blobs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work.run());
        }
    });
    meter.finish();
    if let Some(error) = work.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let bytes = store.content.read(&image.manifest.digest, MAX_MANIFEST as u64)?;
    let digest = client.put_manifest(target, &image.manifest.media_type, &bytes)?;
    store.meta.add_digest(image.row, &target.name(), &digest)?;
    Ok(digest)
}

/// What the threads share.
struct Work<'a> {
    store: &'a Store,
    client: &'a RegistryClient,
    target: &'a Reference,
    blobs: &'a [&'a Descriptor],
    meter: &'a Meter<'a>,
    next: AtomicUsize,
    stop: AtomicBool,
    error: Mutex<Option<PushError>>,
}

impl Work<'_> {
    fn run(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(blob) = self.blobs.get(index) else { return };
            if let Err(error) = self.send(index, blob) {
                self.stop.store(true, Ordering::Relaxed);
                self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    }

    fn send(&self, index: usize, blob: &Descriptor) -> Result<(), PushError> {
        let open = || -> io::Result<Box<dyn Read + Send>> {
            let file = self.store.content.open_blob(&blob.digest).map_err(io::Error::other)?;
            Ok(Box::new(Counted { file, index, done: 0, meter: self.meter }))
        };
        let from = self.origin(&blob.digest)?;
        let state = match self.client.upload_blob(self.target, blob, &open, from.as_ref())? {
            Uploaded::Existed => LayerState::Exists,
            Uploaded::Mounted => LayerState::Mounted { total: blob.size },
            Uploaded::Sent => LayerState::Done,
        };
        self.meter.state(index, state);
        Ok(())
    }

    /// Another repository of the same registry that has, or had, the blob.
    fn origin(&self, blob: &Digest) -> Result<Option<Reference>, PushError> {
        let known = self.store.meta.repositories_with(blob)?;
        let mut known = known.iter().filter_map(|name| name.parse::<Reference>().ok());
        Ok(known.find(|other| {
            other.registry() == self.target.registry()
                && other.repository() != self.target.repository()
        }))
    }
}

/// Tells how much has gone out.
struct Counted<'a> {
    file: std::fs::File,
    index: usize,
    done: u64,
    meter: &'a Meter<'a>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.done += count as u64;
        self.meter.uploaded(self.index, self.done);
        Ok(count)
    }
}
