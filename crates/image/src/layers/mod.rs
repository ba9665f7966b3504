//! Layers of an image: fetched and unpacked, several at once.
//!
//! Each layer that is missing has a thread that unpacks and, if its blob is
//! missing too, one that fetches. Layers are claimed from the lowest up, and a
//! snapshot is committed when those below it are: what a layer only implies
//! (parents, targets of hard links) is then there to look at. Whoever holds a
//! blob's lock never waits for a snapshot, and whoever waits for a snapshot
//! holds none above it that its maker needs, so processes that bring in the
//! same layers in any order wait for each other but not in a circle.

mod decode;
mod error;
mod fetch;
mod meter;
mod one;
mod options;
mod space;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

pub(crate) use decode::{Decoder, detect};
pub use error::LayerError;
pub(crate) use fetch::{OpenBlob, OpenedBlob};
pub(crate) use meter::Meter;
use one::{Brought, OneLayer};

use crate::manifest::LayerCompression;
use crate::store::Store;
use crate::unpack::UnpackOptions;
use crate::{Descriptor, Digest, LayerState, ProgressSink};

/// One layer to have.
#[derive(Clone, Debug)]
pub(crate) struct LayerJob {
    pub(crate) descriptor: Descriptor,
    pub(crate) compression: LayerCompression,
    pub(crate) diff_id: Digest,
    /// Its chain id.
    pub(crate) chain: Digest,
}

/// What the threads of one image share.
struct Shared<'a> {
    store: &'a Store,
    jobs: &'a [LayerJob],
    open: Option<&'a OpenBlob<'a>>,
    meter: &'a Meter<'a>,
    options: &'a UnpackOptions,
    /// Somebody failed: everybody ends.
    stop: AtomicBool,
    /// The next job to take.
    next: AtomicUsize,
    /// Layers that are unpacked and wait for lower ones, by place.
    waiting: Mutex<Waiting>,
    error: Mutex<Option<LayerError>>,
}

struct Waiting {
    brought: Vec<Option<Brought>>,
    /// How many layers, from the lowest, are committed.
    committed: usize,
}

/// Makes sure that the blob and the snapshot of each layer are in the store.
/// The caller holds a lease on them. Without `open`, blobs must be there.
pub(crate) fn bring_in(
    store: &Store,
    jobs: &[LayerJob],
    open: Option<&OpenBlob<'_>>,
    sink: &dyn ProgressSink,
) -> Result<(), LayerError> {
    let meter = Meter::new(sink, jobs.iter().map(|job| &job.descriptor));
    space::check(store, jobs)?;
    let options = options::for_this_process(store.settings().max_layer_bytes);
    let shared = Shared {
        store,
        jobs,
        open,
        meter: &meter,
        options: &options,
        stop: AtomicBool::new(false),
        next: AtomicUsize::new(0),
        waiting: Mutex::new(Waiting { brought: jobs.iter().map(|_| None).collect(), committed: 0 }),
        error: Mutex::new(None),
    };
    let threads = store.settings().parallel.clamp(1, 16).min(jobs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| shared.work());
        }
    });
    // Unfinished snapshots go before the disk is looked at.
    drop(shared.waiting);
    meter.finish();
    let error = shared.error.into_inner().unwrap_or_else(PoisonError::into_inner);
    match error {
        None => Ok(()),
        Some(error) if error.is_no_space() => Err(space::full(store, jobs)),
        Some(error) => Err(error),
    }
}

impl Shared<'_> {
    /// One of the threads: takes layers until none is left.
    fn work(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.jobs.get(index) else { return };
            let one = OneLayer {
                store: self.store,
                job,
                index,
                open: self.open,
                meter: self.meter,
                options: self.options,
                stop: &self.stop,
            };
            let result = one.bring().and_then(|brought| self.commit(index, brought));
            if let Err(error) = result {
                self.stop.store(true, Ordering::Relaxed);
                let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
                let given_up = matches!(*first, Some(LayerError::GivenUp { .. }));
                if first.is_none() || given_up {
                    *first = Some(error);
                }
            }
        }
    }

    /// Commits every layer whose lower ones are committed.
    fn commit(&self, index: usize, brought: Brought) -> Result<(), LayerError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = waiting.brought.get_mut(index) {
            *slot = Some(brought);
        }
        while !self.stop.load(Ordering::Relaxed) {
            let at = waiting.committed;
            let Some(brought) = waiting.brought.get_mut(at).and_then(Option::take) else { break };
            let below = self.jobs.get(..at).unwrap_or_default();
            let state = if brought.existed() { LayerState::Exists } else { LayerState::Done };
            let job = self.jobs.get(at).map(|job| (&job.descriptor.digest, &job.chain));
            if let Some((digest, chain)) = job {
                brought.commit(self, digest, chain, below)?;
            }
            self.meter.state(at, state);
            waiting.committed += 1;
        }
        Ok(())
    }
}
