//! What pulls, pushes, loads and saves tell while they are at work.

use crate::Digest;

/// Receives events, from several threads at once. It must not block for long:
/// the work waits for it.
pub trait ProgressSink: Sync {
    /// Something happened.
    fn event(&self, event: ProgressEvent<'_>);
}

/// For callers that don't want to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn event(&self, _event: ProgressEvent<'_>) {}
}

/// One thing that happened. Byte counts of layers are of the compressed blob
/// all through, so that they add up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProgressEvent<'a> {
    /// The layers are known now; an event for each layer follows.
    Layers {
        /// How many.
        count: usize,
        /// Bytes of all, none counted twice.
        bytes: u64,
    },
    /// A layer (or another blob, when pushing) is in a new state, or further.
    Layer {
        /// Its place, from 0, lowest first.
        index: usize,
        /// Its blob.
        digest: &'a Digest,
        /// The state.
        state: LayerState,
    },
    /// All layers together. Sent after the events of layers, at most every
    /// 50 ms and once at the end.
    Total {
        /// Bytes that are there, downloaded or before.
        fetched: u64,
        /// Bytes that are unpacked.
        unpacked: u64,
        /// Bytes of all layers.
        bytes: u64,
    },
    /// An archive is being read.
    Reading {
        /// Bytes so far.
        done: u64,
        /// Bytes at the end, where they are known.
        total: Option<u64>,
    },
    /// A line for people.
    Message(&'a str),
}

/// Where a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerState {
    /// Its turn has not come, or another process is at it.
    Waiting,
    /// It was there.
    Exists,
    /// It is coming in, and is unpacked meanwhile.
    Downloading {
        /// Bytes so far.
        done: u64,
        /// Bytes at the end.
        total: u64,
    },
    /// It is going out.
    Uploading {
        /// Bytes so far.
        done: u64,
        /// Bytes at the end.
        total: u64,
    },
    /// All bytes are there, and are being unpacked.
    Unpacking {
        /// Bytes so far, compressed.
        done: u64,
        /// Bytes at the end, compressed.
        total: u64,
    },
    /// Its digests are compared, and it waits for lower layers.
    Verifying,
    /// The registry has taken it from another repository of its own.
    Mounted {
        /// Its size.
        total: u64,
    },
    /// It is complete.
    Done,
}
