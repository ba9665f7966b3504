//! Counts bytes and tells of them, not too often.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Descriptor, Digest, LayerState, ProgressEvent, ProgressSink};

/// Between two events of the same kind.
const PACE: Duration = Duration::from_millis(50);

/// The counters of one pull, push or load.
pub(crate) struct Meter<'a> {
    sink: &'a dyn ProgressSink,
    state: Mutex<State>,
}

struct State {
    layers: Vec<Layer>,
    told: Instant,
}

struct Layer {
    digest: Digest,
    size: u64,
    fetched: u64,
    unpacked: u64,
    told: Option<Instant>,
}

impl<'a> Meter<'a> {
    /// Tells of the layers.
    pub(crate) fn new<'d>(
        sink: &'a dyn ProgressSink,
        layers: impl IntoIterator<Item = &'d Descriptor>,
    ) -> Self {
        let layers: Vec<Layer> = layers
            .into_iter()
            .map(|d| Layer {
                digest: d.digest.clone(),
                size: d.size,
                fetched: 0,
                unpacked: 0,
                told: None,
            })
            .collect();
        let bytes = layers.iter().map(|layer| layer.size).sum();
        sink.event(ProgressEvent::Layers { count: layers.len(), bytes });
        for (index, layer) in layers.iter().enumerate() {
            let (digest, state) = (&layer.digest, LayerState::Waiting);
            sink.event(ProgressEvent::Layer { index, digest, state });
        }
        Self { sink, state: Mutex::new(State { layers, told: Instant::now() }) }
    }

    /// A new state of a layer.
    pub(crate) fn state(&self, index: usize, new: LayerState) {
        self.with(index, |layer| {
            if matches!(new, LayerState::Exists | LayerState::Done | LayerState::Mounted { .. }) {
                (layer.fetched, layer.unpacked) = (layer.size, layer.size);
            }
            Some(new)
        });
    }

    /// More bytes have come, or gone out.
    pub(crate) fn fetched(&self, index: usize, bytes: u64) {
        self.with(index, |layer| {
            layer.fetched = layer.fetched.saturating_add(bytes).min(layer.size);
            let (done, total) = (layer.fetched, layer.size);
            layer.is_due().then_some(LayerState::Downloading { done, total })
        });
    }

    /// More bytes have gone out, `done` in all.
    pub(crate) fn uploaded(&self, index: usize, done: u64) {
        self.with(index, |layer| {
            layer.fetched = done.min(layer.size);
            let total = layer.size;
            layer.is_due().then_some(LayerState::Uploading { done, total })
        });
    }

    /// More bytes have been decompressed and unpacked.
    pub(crate) fn unpacked(&self, index: usize, bytes: u64) {
        self.with(index, |layer| {
            layer.unpacked = layer.unpacked.saturating_add(bytes).min(layer.size);
            let (done, total) = (layer.unpacked, layer.size);
            let all_there = layer.fetched == layer.size;
            (all_there && layer.is_due()).then_some(LayerState::Unpacking { done, total })
        });
    }

    /// The blob is there: only unpacking is left.
    pub(crate) fn all_fetched(&self, index: usize) {
        self.with(index, |layer| {
            layer.fetched = layer.size;
            let (done, total) = (layer.unpacked, layer.size);
            Some(LayerState::Unpacking { done, total })
        });
    }

    /// It starts anew.
    pub(crate) fn restart(&self, index: usize) {
        self.with(index, |layer| {
            (layer.fetched, layer.unpacked) = (0, 0);
            Some(LayerState::Downloading { done: 0, total: layer.size })
        });
    }

    /// A line for people.
    pub(crate) fn message(&self, text: &str) {
        self.sink.event(ProgressEvent::Message(text));
    }

    /// The last event of totals.
    pub(crate) fn finish(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell_total(&state);
    }

    fn with(&self, index: usize, change: impl FnOnce(&mut Layer) -> Option<LayerState>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(layer) = state.layers.get_mut(index) else { return };
        let Some(new) = change(layer) else { return };
        layer.told = Some(Instant::now());
        self.sink.event(ProgressEvent::Layer { index, digest: &layer.digest, state: new });
        if state.told.elapsed() >= PACE {
            state.told = Instant::now();
            self.tell_total(&state);
        }
    }

    fn tell_total(&self, state: &State) {
        let sum = |of: fn(&Layer) -> u64| state.layers.iter().map(of).sum();
        self.sink.event(ProgressEvent::Total {
            fetched: sum(|l| l.fetched),
            unpacked: sum(|l| l.unpacked),
            bytes: sum(|l| l.size),
        });
    }
}

impl Layer {
    fn is_due(&self) -> bool {
        self.told.is_none_or(|told| told.elapsed() >= PACE)
    }
}
