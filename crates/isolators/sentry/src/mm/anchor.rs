//! What is held because it is mapped.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What stays there for as long as it is mapped, if anything has to: a file in memory without a
/// name keeps its room.
#[derive(Clone, Default)]
pub struct Anchor(Option<Arc<dyn Any + Send + Sync>>);

impl Anchor {
    /// Keeps `what`.
    #[must_use]
    pub fn of(what: Arc<dyn Any + Send + Sync>) -> Self {
        Anchor(Some(what))
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Anchor").field(&self.0.is_some()).finish()
    }
}

impl PartialEq for Anchor {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Anchor {}
