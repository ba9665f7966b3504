//! Bringing in one layer.

use std::io::{BufReader, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rustix::fs::{Mode, OFlags};

use super::decode::{Decoder, Hashed, Metered};
use super::fetch::{Fetch, Fetched, OpenBlob};
use super::{LayerError, LayerJob, Meter, Shared, space};
use crate::buffers::{self, buffers};
use crate::content::{Claim, Ingest};
use crate::locked_file::StoreIoError;
use crate::snapshot::{Building, SnapshotClaim};
use crate::store::Store;
use crate::unpack::{self, SkipReason, UnpackOptions, Unpacked};
use crate::{Digest, LayerState};

/// Buffers on the way from the registry to the unpacking.
const DEPTH: usize = 6;

/// What bringing in one layer needs.
pub(super) struct OneLayer<'a> {
    pub(super) store: &'a Store,
    pub(super) job: &'a LayerJob,
    pub(super) index: usize,
    pub(super) open: Option<&'a OpenBlob<'a>>,
    pub(super) meter: &'a Meter<'a>,
    pub(super) options: &'a UnpackOptions,
    pub(super) stop: &'a AtomicBool,
}

/// A layer whose blob is in the store.
pub(super) enum Brought {
    /// Its snapshot, too.
    Present {
        /// And the blob was before.
        existed: bool,
    },
    /// Its snapshot can be committed when the lower ones are.
    Unpacked(Building, Unpacked),
}

impl Brought {
    /// Whether there was nothing to do.
    pub(super) fn existed(&self) -> bool {
        matches!(self, Self::Present { existed: true })
    }

    /// Completes the snapshot from those of the layers `below`, and commits it.
    pub(super) fn commit(
        self,
        shared: &Shared<'_>,
        digest: &Digest,
        chain: &Digest,
        below: &[LayerJob],
    ) -> Result<(), LayerError> {
        let Self::Unpacked(building, unpacked) = self else { return Ok(()) };
        let store = shared.store;
        let mut lowers = Vec::with_capacity(below.len());
        for job in below.iter().rev() {
            let path = store.snapshots.path(&job.chain);
            lowers.push(open_dir(&path).map_err(LayerError::store(digest))?);
        }
        let lowers: Vec<_> = lowers.iter().map(AsFd::as_fd).collect();
        let target = open_dir(&building.path()).map_err(LayerError::store(digest))?;
        let finished = unpack::finish(target.as_fd(), unpacked.deferred, &lowers, shared.options)
            .map_err(LayerError::unpack(digest))?;
        building.commit().map_err(LayerError::store(digest))?;
        let bytes = unpacked.bytes.saturating_add(finished.copied);
        store
            .meta
            .add_snapshot(chain, bytes, unpacked.entries)
            .map_err(LayerError::store(digest))?;
        if let Some((path, reason)) = unpacked.skipped.examples.first() {
            let what = match reason {
                SkipReason::Device => "a device".to_owned(),
                SkipReason::Xattr(name) => format!("the attribute {name}"),
                SkipReason::Aufs => "data of AUFS".to_owned(),
            };
            let more = unpacked.skipped.count.saturating_sub(1);
            let line = format!("layer {digest}: left out {what} ({path:?}), and {more} more");
            shared.meter.message(&line);
        }
        Ok(())
    }
}

fn open_dir(path: &Path) -> Result<OwnedFd, StoreIoError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(StoreIoError::on("open", path))
}

/// One attempt to unpack while fetching.
enum Attempt {
    Done(Unpacked),
    /// What was there from an earlier attempt is damaged.
    Stale,
}

impl OneLayer<'_> {
    /// Has the blob in the store, and its content unpacked unless it is.
    pub(super) fn bring(&self) -> Result<Brought, LayerError> {
        let digest = &self.job.descriptor.digest;
        let failed = LayerError::store(digest);
        let claim = self.store.snapshots.claim(&self.job.chain).map_err(failed)?;
        match claim {
            SnapshotClaim::Present => Ok(Brought::Present { existed: self.blob_alone()? }),
            SnapshotClaim::Mine(mut building) => {
                let mut fresh = false;
                loop {
                    match self.attempt(&building, fresh)? {
                        Attempt::Done(unpacked) => {
                            return Ok(Brought::Unpacked(building, unpacked));
                        }
                        Attempt::Stale if fresh => {
                            let source = "it changes between two transfers".into();
                            return Err(LayerError::Fetch { digest: digest.clone(), source });
                        }
                        Attempt::Stale => {
                            fresh = true;
                            self.meter.restart(self.index);
                            building.empty().map_err(LayerError::store(digest))?;
                        }
                    }
                }
            }
        }
    }

    /// The snapshot is there; has the blob there too. Whether it was.
    fn blob_alone(&self) -> Result<bool, LayerError> {
        loop {
            match self.claim_blob(false)? {
                None => return Ok(true),
                Some(ingest) => match self.fetch()?.run(ingest, None)? {
                    Fetched::Committed => return Ok(false),
                    // It was removed: anew.
                    Fetched::StaleStart => self.meter.restart(self.index),
                    Fetched::Unwanted => return Err(self.given_up()),
                },
            }
        }
    }

    fn given_up(&self) -> LayerError {
        LayerError::GivenUp { digest: self.job.descriptor.digest.clone() }
    }

    fn claim_blob(&self, fresh: bool) -> Result<Option<Ingest>, LayerError> {
        let descriptor = &self.job.descriptor;
        let failed = LayerError::store(&descriptor.digest);
        match self.store.content.ingest(&descriptor.digest, descriptor.size) {
            Ok(Claim::Present) => Ok(None),
            Ok(Claim::Mine(mut ingest)) => {
                if fresh {
                    ingest.restart().map_err(failed)?;
                }
                Ok(Some(*ingest))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn fetch(&self) -> Result<Fetch<'_>, LayerError> {
        let descriptor = &self.job.descriptor;
        let missing = || crate::content::ContentError::Missing(descriptor.digest.clone());
        let open = self.open.ok_or_else(|| LayerError::store(&descriptor.digest)(missing()))?;
        let (index, meter, stop) = (self.index, self.meter, self.stop);
        Ok(Fetch { descriptor, index, open, meter, stop })
    }

    fn attempt(&self, building: &Building, fresh: bool) -> Result<Attempt, LayerError> {
        let Some(ingest) = self.claim_blob(fresh)? else {
            self.meter.all_fetched(self.index);
            let digest = &self.job.descriptor.digest;
            let file = self.store.content.open_blob(digest).map_err(LayerError::store(digest))?;
            return self
                .unpack(BufReader::with_capacity(buffers::SIZE, file), building)
                .map(Attempt::Done);
        };
        let resumed = ingest.existing() > 0;
        let fetch = self.fetch()?;
        let (sender, reader) = buffers(DEPTH);
        let (fetched, unpacked) = std::thread::scope(|scope| {
            let fetching = scope.spawn(move || fetch.run(ingest, Some(&sender)));
            let unpacked = self.unpack(reader, building);
            (fetching.join(), unpacked)
        });
        let Ok(fetched) = fetched else { return Err(self.given_up()) };
        match (fetched, unpacked) {
            (Ok(Fetched::Committed), Ok(unpacked)) => Ok(Attempt::Done(unpacked)),
            (Ok(Fetched::StaleStart), _) => Ok(Attempt::Stale),
            // The unpacking side gave up, maybe over a damaged start.
            (Ok(Fetched::Unwanted), Err(error)) if resumed && !error.is_no_space() => {
                if self.stop.load(std::sync::atomic::Ordering::Relaxed) {
                    Err(self.given_up())
                } else {
                    Ok(Attempt::Stale)
                }
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(Fetched::Unwanted), Ok(_)) => Err(self.given_up()),
        }
    }

    fn unpack(
        &self,
        compressed: impl std::io::BufRead + Send,
        building: &Building,
    ) -> Result<Unpacked, LayerError> {
        let digest = || self.job.descriptor.digest.clone();
        let limit = self.store.settings().max_layer_bytes;
        let room = space::available(self.store).map_err(|e| LayerError::store(&digest())(e))?;
        let metered = Metered { input: compressed, meter: self.meter, index: self.index };
        let decoder = Decoder::new(metered, self.job.compression)
            .map_err(|source| LayerError::Decompress { digest: digest(), source })?;
        let mut hashed = Hashed::new(decoder, &self.job.diff_id, limit.min(room));
        let target = open_dir(&building.path()).map_err(|e| LayerError::store(&digest())(e))?;
        let unpacked = unpack::unpack_layer(hashed.by_ref(), target.as_fd(), self.options);
        if hashed.exceeded() {
            return Err(if room < limit {
                space::full(self.store, std::slice::from_ref(self.job))
            } else {
                LayerError::TooLarge { digest: digest(), limit }
            });
        }
        let unpacked = unpacked.map_err(LayerError::unpack(&digest()))?;
        self.meter.state(self.index, LayerState::Verifying);
        let found = hashed
            .finish()
            .map_err(|source| LayerError::Decompress { digest: digest(), source })?;
        if found == self.job.diff_id {
            Ok(unpacked)
        } else {
            let ids = Box::new((self.job.diff_id.clone(), found));
            Err(LayerError::WrongDiffId { digest: digest(), ids })
        }
    }
}
