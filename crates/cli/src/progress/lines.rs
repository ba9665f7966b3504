//! Progress where no terminal is: a line when a layer's state changes, and
//! one for all now and then. No control characters.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use caisson_image::{Digest, LayerState, ProgressEvent};

use super::{counts, is_last, word};
use crate::output::{printable, sizes, times};

/// Between two lines for all layers together.
const EVERY: Duration = Duration::from_secs(10);

/// Writes lines to standard error.
pub(crate) struct Lines {
    state: Mutex<State>,
}

struct State {
    /// What was said last of each layer.
    said: BTreeMap<usize, &'static str>,
    began: Instant,
    last_total: Instant,
    /// What was there before anything was transferred.
    head_start: Option<u64>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::at(Instant::now())) }
    }

    pub(crate) fn event(&self, event: &ProgressEvent<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = state.line(event, Instant::now()) {
            // Nobody is told where standard error is closed.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

impl State {
    fn at(now: Instant) -> Self {
        Self { said: BTreeMap::new(), began: now, last_total: now, head_start: None }
    }

    /// What to say about `event`, if anything.
    fn line(&mut self, event: &ProgressEvent<'_>, now: Instant) -> Option<String> {
        match *event {
            ProgressEvent::Layers { count, bytes } => {
                *self = Self::at(now);
                let layers = if count == 1 { "layer" } else { "layers" };
                Some(format!("{count} {layers}, {}", sizes::human(bytes)))
            }
            ProgressEvent::Layer { index, digest, state } => self.layer(index, digest, state),
            ProgressEvent::Total { fetched, bytes, .. } => self.total(fetched, bytes, now),
            ProgressEvent::Message(text) => Some(printable(text)),
            _ => None,
        }
    }

    fn layer(&mut self, index: usize, digest: &Digest, state: LayerState) -> Option<String> {
        let word = word(state)?;
        // That everything waits at first goes without saying.
        let waits = state == LayerState::Waiting && !self.said.contains_key(&index);
        if waits || self.said.insert(index, word) == Some(word) {
            return None;
        }
        let size =
            counts(state).map_or(String::new(), |(_, all)| format!(" {}", sizes::human(all)));
        let id: String = digest.hex().chars().take(12).collect();
        Some(format!("{id}: {word}{}", if is_last(state) { "" } else { &size }))
    }

    fn total(&mut self, fetched: u64, bytes: u64, now: Instant) -> Option<String> {
        let before = *self.head_start.get_or_insert(fetched);
        if fetched >= bytes || now.duration_since(self.last_total) < EVERY {
            return None;
        }
        self.last_total = now;
        let elapsed = now.duration_since(self.began).as_millis().max(1);
        let moved = u128::from(fetched.saturating_sub(before));
        let speed = u64::try_from(moved * 1000 / elapsed).unwrap_or(u64::MAX);
        let left = match (bytes - fetched).checked_div(speed) {
            Some(seconds) => format!(", {} left", times::rough(Duration::from_secs(seconds))),
            None => String::new(),
        };
        let percent = u128::from(fetched) * 100 / u128::from(bytes);
        Some(format!(
            "total: {} of {} ({percent} %), {}/s{left}",
            sizes::human(fetched),
            sizes::human(bytes),
            sizes::human(speed)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        format!("sha256:{}", "ab".repeat(32)).parse().unwrap()
    }

    #[test]
    fn a_line_for_each_change_and_no_flood() {
        let now = Instant::now();
        let mut state = State::at(now);
        let digest = digest();
        let mut lines = Vec::new();
        let mut states = vec![LayerState::Waiting];
        states.extend((0..1000).map(|done| LayerState::Downloading { done, total: 1000 }));
        states.extend([LayerState::Verifying, LayerState::Done]);
        for state_of_layer in states {
            let event = ProgressEvent::Layer { index: 0, digest: &digest, state: state_of_layer };
            lines.extend(state.line(&event, now));
        }
        assert_eq!(
            lines,
            ["abababababab: downloading 1kB", "abababababab: verifying", "abababababab: done"]
        );
    }

    #[test]
    fn the_total_comes_now_and_then() {
        let now = Instant::now();
        let mut state = State::at(now);
        let total = |fetched| ProgressEvent::Total { fetched, unpacked: 0, bytes: 4_000_000 };
        assert_eq!(state.line(&total(0), now), None);
        let later = now + Duration::from_secs(10);
        let line = state.line(&total(1_000_000), later).unwrap();
        assert_eq!(line, "total: 1MB of 4MB (25 %), 100kB/s, 30 seconds left");
        assert_eq!(state.line(&total(1_100_000), later), None);
    }

    #[test]
    fn messages_have_no_control_characters() {
        let mut state = State::at(Instant::now());
        let line = state.line(&ProgressEvent::Message("a\x1b[1m\nb"), Instant::now()).unwrap();
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
