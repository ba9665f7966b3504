//! Progress on a terminal: a bar for each layer, the sum below them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use caisson_image::{Digest, LayerState, ProgressEvent};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::{counts, is_last, word};
use crate::output::printable;

/// Bytes, speed and time left; the bar takes what is left of the line.
const MOVING: &str = "{prefix:12} {msg:11} [{wide_bar}] {decimal_bytes}/{decimal_total_bytes} \
                      {decimal_bytes_per_sec} {eta} left";
const STANDING: &str = "{prefix:12} {msg}";
/// Lines that bars leave free: the sum's and the cursor's.
const LINES_BESIDE: usize = 3;
/// Height of a terminal that does not tell.
const DEFAULT_ROWS: usize = 24;

/// Draws bars on standard error, at most twenty times a second.
pub(crate) struct Bars {
    multi: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: Option<ProgressBar>,
    layers: BTreeMap<usize, Layer>,
    /// Finished bars make room: there are more layers than lines.
    crowded: bool,
}

struct Layer {
    bar: ProgressBar,
    word: &'static str,
    ended: bool,
}

impl Bars {
    pub(crate) fn new() -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { multi, state: Mutex::new(State::default()) }
    }

    pub(crate) fn event(&self, event: &ProgressEvent<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            ProgressEvent::Layers { count, bytes } => self.begin(&mut state, *count, *bytes),
            ProgressEvent::Layer { index, digest, state: of_layer } => {
                self.layer(&mut state, *index, digest, *of_layer);
            }
            ProgressEvent::Total { fetched, unpacked, bytes } => {
                if let Some(total) = &state.total {
                    total.set_length(*bytes);
                    total.set_position(*fetched);
                    if fetched >= bytes && (1..*bytes).contains(unpacked) {
                        total.set_message("unpacking");
                    }
                }
            }
            ProgressEvent::Message(text) => {
                // A terminal that can't be written to can't be told so.
                let _ = self.multi.println(printable(text));
            }
            _ => {}
        }
    }

    /// One image after the other: what is on the screen stays there.
    fn begin(&self, state: &mut State, count: usize, bytes: u64) {
        state.settle(&self.multi);
        let rows = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).map(|size| size.ws_row);
        let rows = rows.ok().filter(|&rows| rows > 0).map_or(DEFAULT_ROWS, usize::from);
        let crowded = count + LINES_BESIDE > rows;
        let total = self.multi.add(bar(bytes, MOVING, "total"));
        *state = State { total: Some(total), layers: BTreeMap::new(), crowded };
    }

    fn layer(&self, state: &mut State, index: usize, digest: &Digest, of_layer: LayerState) {
        let Some(word) = word(of_layer) else { return };
        if state.crowded && !state.layers.contains_key(&index) {
            // It gets a line when it is worked on, and not for good.
            if of_layer == LayerState::Waiting || is_last(of_layer) {
                return;
            }
        }
        if !state.layers.contains_key(&index) {
            let id: String = digest.hex().chars().take(12).collect();
            let bar = self.place(state, index, &id);
            state.layers.insert(index, Layer { bar, word: "", ended: false });
        }
        let Some(layer) = state.layers.get_mut(&index) else { return };
        let changed = layer.word != word;
        layer.word = word;
        if let Some((done, total)) = counts(of_layer) {
            layer.bar.set_length(total);
            layer.bar.set_position(done);
        }
        if changed {
            let moving = counts(of_layer).is_some();
            layer.bar.reset_eta();
            layer.bar.set_style(style(if moving { MOVING } else { STANDING }));
            layer.bar.set_message(word);
        }
        layer.ended = is_last(of_layer);
        if layer.ended && state.crowded {
            layer.bar.finish_and_clear();
            self.multi.remove(&layer.bar);
            // Nothing may be placed beside a bar that is gone.
            state.layers.remove(&index);
        }
    }

    /// A new bar in the order of layers, above the sum.
    fn place(&self, state: &State, index: usize, id: &str) -> ProgressBar {
        let next = state.layers.range(index + 1..).next().map(|(_, layer)| &layer.bar);
        match next.or(state.total.as_ref()) {
            Some(below) => self.multi.insert_before(below, bar(0, STANDING, id)),
            None => self.multi.add(bar(0, STANDING, id)),
        }
    }
}

impl State {
    /// Takes the bars away and leaves a line for each layer that came to its
    /// end: what follows begins on a line of its own.
    fn settle(&mut self, multi: &MultiProgress) {
        for (_, layer) in std::mem::take(&mut self.layers) {
            layer.bar.finish_and_clear();
            if layer.ended && !self.crowded {
                let (id, word) = (layer.bar.prefix(), layer.word);
                // A terminal that can't be written to can't be told so.
                let _ = multi.println(format!("{id:12} {word}"));
            }
            multi.remove(&layer.bar);
        }
        if let Some(total) = self.total.take() {
            total.finish_and_clear();
            multi.remove(&total);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).settle(&self.multi);
    }
}

/// A bar that looks right from its first drawing on: it is drawn when it is
/// put among the others.
fn bar(length: u64, template: &str, prefix: &str) -> ProgressBar {
    ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden())
        .with_finish(ProgressFinish::AndClear)
        .with_style(style(template))
        .with_prefix(prefix.to_owned())
}

/// The style of a template. The templates are constants, which a test reads;
/// one that could not be read would show as indicatif's own default.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    #[test]
    fn the_templates_can_be_read() {
        for template in [super::MOVING, super::STANDING] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
