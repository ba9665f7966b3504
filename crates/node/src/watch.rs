//! Following what happens.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::clock::now_nanos;
use crate::engine::Engine;
use crate::metadata::{Event, EventFilter, MetadataError};

/// How often the database is asked whether it has changed; the question costs
/// a few microseconds.
const PAUSE: Duration = Duration::from_millis(100);

impl Engine {
    /// Notes an event, such as one about an image.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn note(&self, event: &Event) -> Result<(), MetadataError> {
        self.metadata().note(event)
    }

    /// Hands events to `sink`, until that breaks off: those since
    /// `filter.since` that are known, then, with `follow`, those that come,
    /// until `filter.until`.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn events(
        &self,
        filter: &EventFilter,
        follow: bool,
        sink: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), MetadataError> {
        let mut filter = filter.clone();
        if follow && filter.since.is_none() && filter.until.is_none_or(|until| until > now_nanos())
        {
            filter.after = self.metadata().newest_event()?;
        }
        let mut seen = None;
        loop {
            let over = filter.until.is_some_and(|until| now_nanos() > until);
            let version = self.metadata().data_version()?;
            if seen != Some(version) {
                seen = Some(version);
                let events = self.metadata().events(&filter)?;
                for event in events {
                    filter.after = event.seq;
                    if sink(event).is_break() {
                        return Ok(());
                    }
                }
            }
            if !follow || over {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }
}
