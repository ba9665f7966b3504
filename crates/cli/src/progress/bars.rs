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
        state.settle();
        let rows = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).map(|size| size.ws_row);
        let rows = rows.ok().filter(|&rows| rows > 0).map_or(DEFAULT_ROWS, usize::from);
        let crowded = count + LINES_BESIDE > rows;
        let total = self.multi.add(bar(bytes));
        total.set_prefix("total");
        total.set_style(style(MOVING));
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
            let bar = self.place(state, index);
            bar.set_prefix(digest.hex().chars().take(12).collect::<String>());
            state.layers.insert(index, Layer { bar, word: "" });
        }
        let Some(layer) = state.layers.get_mut(&index) else { return };
        let changed = layer.word != word;
        layer.word = word;
        if changed {
            let moving = counts(of_layer).is_some();
            layer.bar.reset();
            layer.bar.set_style(style(if moving { MOVING } else { STANDING }));
            layer.bar.set_message(word);
        }
        if let Some((done, total)) = counts(of_layer) {
            layer.bar.set_length(total);
            layer.bar.set_position(done);
        }
        if is_last(of_layer) && changed {
            if state.crowded {
                layer.bar.finish_and_clear();
                self.multi.remove(&layer.bar);
                // Nothing may be placed beside a bar that is gone.
                state.layers.remove(&index);
            } else {
                layer.bar.abandon();
            }
        }
    }

    /// A new bar in the order of layers, above the sum.
    fn place(&self, state: &State, index: usize) -> ProgressBar {
        let next = state.layers.range(index + 1..).next().map(|(_, layer)| &layer.bar);
        match next.or(state.total.as_ref()) {
            Some(below) => self.multi.insert_before(below, bar(0)),
            None => self.multi.add(bar(0)),
        }
    }
}

impl State {
    /// Leaves the layers' lines as they are and takes the sum's away.
    fn settle(&mut self) {
        for layer in self.layers.values().filter(|layer| !layer.bar.is_finished()) {
            layer.bar.abandon();
        }
        if let Some(total) = &self.total {
            total.finish_and_clear();
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).settle();
    }
}

fn bar(length: u64) -> ProgressBar {
    ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden())
        .with_finish(ProgressFinish::Abandon)
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
