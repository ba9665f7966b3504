//! Removing images that are not used.

use std::time::{Duration, SystemTime};

use crate::meta::{ImageRecord, Removed};
use crate::store::{Store, StoreError};
use crate::{Digest, Reference};

/// Which images to remove. Images that containers were made from never are.
#[derive(Clone, Debug, Default)]
pub struct PruneFilter {
    /// Also those with names, not only dangling ones.
    pub all: bool,
    /// Only those built before this time (came in, where that is not known).
    pub until: Option<SystemTime>,
    /// Only those with all of these labels; `None` for any value.
    pub labels: Vec<(String, Option<String>)>,
    /// None with any of these.
    pub not_labels: Vec<(String, Option<String>)>,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Images, by id, with the names they had.
    pub images: Vec<(Digest, Vec<Reference>)>,
    /// Bytes of blobs, snapshots and unfinished downloads.
    pub reclaimed: u64,
}

impl PruneFilter {
    fn matches(&self, image: &ImageRecord) -> bool {
        let labels = &image.config.config.labels;
        let has = |(key, value): &(String, Option<String>)| {
            labels.get(key).is_some_and(|found| value.as_ref().is_none_or(|v| v == found))
        };
        image.containers.is_empty()
            && (self.all || image.names.is_empty())
            && self.until.is_none_or(|until| image.created.unwrap_or(image.pulled) < until)
            && self.labels.iter().all(has)
            && !self.not_labels.iter().any(has)
    }
}

impl Store {
    /// Removes the images that `filter` matches, and everything that nothing
    /// needs, unfinished downloads that nobody is at included.
    pub fn prune(&self, filter: &PruneFilter) -> Result<PruneReport, StoreError> {
        let mut report = PruneReport::default();
        for image in self.meta.all()? {
            if filter.matches(&image) && self.meta.remove_record(image.row)? == Removed::Yes {
                report.images.push((image.id, image.names));
            }
        }
        report.reclaimed =
            self.collect_garbage(Duration::ZERO)?.reclaimed + self.content.collect_ingests(None)?;
        self.meta.checkpoint();
        Ok(report)
    }
}
