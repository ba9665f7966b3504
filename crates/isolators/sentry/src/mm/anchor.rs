//! What is held because it is mapped.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::vfs::file_use::FileUse;
use crate::vfs::mount::MountUse;

/// What stays there for as long as it is mapped, if anything has to: a file in memory without a
/// name keeps its room.
#[derive(Clone, Default)]
pub struct Anchor {
    kept: Option<Arc<dyn Any + Send + Sync>>,
    mount: Option<Arc<MountUse>>,
    file: Option<Arc<FileUse>>,
}

impl Anchor {
    /// Keeps `what`.
    #[must_use]
    pub fn of(what: Arc<dyn Any + Send + Sync>) -> Self {
        Anchor { kept: Some(what), ..Anchor::default() }
    }

    /// The same, and keeps a mount in use.
    #[must_use]
    pub fn in_mount(self, mount: Option<Arc<MountUse>>) -> Self {
        Anchor { mount, ..self }
    }

    /// The same of a file that was opened for something.
    #[must_use]
    pub fn of_use(self, file: Option<Arc<FileUse>>) -> Self {
        Anchor { file, ..self }
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Anchor").field(&self.kept.is_some()).finish()
    }
}

impl PartialEq for Anchor {
    fn eq(&self, other: &Self) -> bool {
        let kept = match (&self.kept, &other.kept) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        let mount = match (&self.mount, &other.mount) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_of(other),
            _ => false,
        };
        let file = self.file.as_ref().map(Arc::as_ptr) == other.file.as_ref().map(Arc::as_ptr);
        kept && mount && file
    }
}

impl Eq for Anchor {}
