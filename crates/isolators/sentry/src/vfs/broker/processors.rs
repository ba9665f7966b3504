//! On which of the host's processors the broker runs.

use crate::platform::affinity;

/// Where requests come from, and this thread runs.
#[derive(Debug, Default)]
pub(super) struct Processors {
    own: Option<u16>,
    /// The last request's, and how many came from there in a row.
    last: u16,
    row: u32,
    /// How many came from elsewhere than `own`.
    astray: u32,
}

impl Processors {
    /// Goes to where several in a row have come from; anywhere, if they come from everywhere.
    pub(super) fn follow(&mut self, processor: u16) {
        const ROW: u32 = 3;
        const MOST_ASTRAY: u32 = 8;
        self.row = if processor == self.last { self.row.saturating_add(1) } else { 1 };
        self.last = processor;
        if self.row >= ROW && self.own != Some(processor) {
            self.own = Some(processor);
            affinity::stay_on(processor.into());
        }
        let Some(own) = self.own else { return };
        self.astray = if processor == own { 0 } else { self.astray + 1 };
        if self.astray >= MOST_ASTRAY {
            (self.own, self.astray) = (None, 0);
            affinity::run_anywhere(None);
        }
    }
}
