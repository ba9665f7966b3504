//! Progress on standard error: bars on a terminal, plain lines elsewhere,
//! nothing where `--quiet` asks for nothing.

mod bars;
mod lines;

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use caisson_image::{LayerState, ProgressEvent, ProgressSink};

use crate::context::Context;
use crate::output::printable;

/// Shows what pulls, pushes and loads tell.
pub(crate) struct Progress {
    form: Form,
    /// Whether there were layers to tell of.
    worked: AtomicBool,
}

enum Form {
    Quiet,
    /// A line for each change.
    Lines(lines::Lines),
    /// A bar for each layer, and one for all.
    Bars(bars::Bars),
}

impl Progress {
    /// Chooses by `quiet` and by what standard error is.
    pub(crate) fn new(context: &Context, quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        let form = match quiet {
            true => Form::Quiet,
            false if context.stderr_is_terminal() && !dumb => Form::Bars(bars::Bars::new()),
            false => Form::Lines(lines::Lines::new()),
        };
        Self { form, worked: AtomicBool::new(false) }
    }

    /// Says one line to people.
    pub(crate) fn say(&self, line: &str) {
        self.event(ProgressEvent::Message(line));
    }

    /// Takes the bars away and says a last line below what they leave.
    pub(crate) fn end(self, line: &str) {
        if matches!(self.form, Form::Quiet) {
            return;
        }
        drop(self);
        // Nobody is told where standard error is closed.
        let _ = writeln!(std::io::stderr(), "{}", printable(line));
    }

    /// Whether there were layers to tell of.
    pub(crate) fn worked(&self) -> bool {
        self.worked.load(Ordering::Relaxed)
    }
}

impl ProgressSink for Progress {
    fn event(&self, event: ProgressEvent<'_>) {
        if let ProgressEvent::Layers { .. } = event {
            self.worked.store(true, Ordering::Relaxed);
        }
        match &self.form {
            Form::Quiet => {}
            Form::Lines(lines) => lines.event(&event),
            Form::Bars(bars) => bars.event(&event),
        }
    }
}

/// What people call a state; unknown ones are not told.
fn word(state: LayerState) -> Option<&'static str> {
    Some(match state {
        LayerState::Waiting => "waiting",
        LayerState::Exists => "already there",
        LayerState::Downloading { .. } => "downloading",
        LayerState::Uploading { .. } => "uploading",
        LayerState::Unpacking { .. } => "unpacking",
        LayerState::Verifying => "verifying",
        LayerState::Mounted { .. } => "mounted from another repository",
        LayerState::Done => "done",
        _ => return None,
    })
}

/// Bytes so far and at the end, of states that count them.
fn counts(state: LayerState) -> Option<(u64, u64)> {
    match state {
        LayerState::Downloading { done, total }
        | LayerState::Uploading { done, total }
        | LayerState::Unpacking { done, total } => Some((done, total)),
        _ => None,
    }
}

/// Whether nothing follows.
fn is_last(state: LayerState) -> bool {
    matches!(state, LayerState::Exists | LayerState::Mounted { .. } | LayerState::Done)
}
