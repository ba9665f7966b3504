//! Keeping below the quota.

use std::time::Duration;

use crate::meta::Removed;
use crate::store::{QuotaPolicy, Store, StoreError};

impl Store {
    /// Makes room for `needed` more bytes, as the settings say.
    ///
    /// # Errors
    ///
    /// There is not enough room within the quota.
    pub(crate) fn make_room(&self, needed: u64) -> Result<(), StoreError> {
        let Some(quota) = self.settings().quota else { return Ok(()) };
        let fits = |used: u64| used.saturating_add(needed) <= quota;
        let mut used = self.usage()?.total();
        if !fits(used) && self.settings().quota_policy == QuotaPolicy::Evict {
            let mut images = self.meta.all()?;
            images.retain(|image| image.containers.is_empty());
            images.sort_by_key(|image| (!image.names.is_empty(), image.used));
            for image in images {
                if fits(used) {
                    break;
                }
                if self.meta.remove_record(image.row)? == Removed::Yes {
                    self.collect_garbage(Duration::ZERO)?;
                    used = self.usage()?.total();
                }
            }
        }
        if fits(used) { Ok(()) } else { Err(StoreError::Quota { needed, used, quota }) }
    }
}
