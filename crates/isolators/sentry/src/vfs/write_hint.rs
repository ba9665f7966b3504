//! How long what is written to a file is said to last (`F_SET_RW_HINT`): kept with the file as
//! long as it is open where that was asked or said.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock, Mutex, Weak};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::OpenFile;

type Hints = HashMap<(u64, u64), Weak<AtomicU64>>;

static HINTS: LazyLock<Mutex<Hints>> = LazyLock::new(Mutex::default);

impl OpenFile {
    /// What was said of the file, whoever said it.
    ///
    /// # Errors
    /// What the host says.
    pub fn write_hint(&self) -> Result<Arc<AtomicU64>, Errno> {
        if let Some(hint) = self.hint.get() {
            return Ok(Arc::clone(hint));
        }
        let attributes = self.file.attributes()?;
        let mut hints = lock(&HINTS);
        let known = hints.entry((attributes.device, attributes.inode)).or_default();
        let hint = known.upgrade().unwrap_or_else(|| {
            let hint = Arc::default();
            *known = Arc::downgrade(&hint);
            hint
        });
        if hints.len() > 64 {
            hints.retain(|_, hint| hint.strong_count() > 0);
        }
        drop(hints);
        Ok(Arc::clone(self.hint.get_or_init(|| hint)))
    }
}
