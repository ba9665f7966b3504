//! What a layer needs of the layers below it.

use super::path::RelPath;

/// Handed from [`super::unpack_layer`] to [`super::finish`].
#[derive(Debug, Default)]
#[must_use = "the layer is complete only after `finish`"]
pub struct Deferred {
    /// Directories that paths imply and no entry describes, parents first.
    pub(crate) implied: Vec<RelPath>,
    /// Hard links to files that this layer lacks.
    pub(crate) links: Vec<DeferredLink>,
    /// Nothing of the lower layers shows.
    pub(crate) opaque_root: bool,
}

#[derive(Debug)]
pub(crate) struct DeferredLink {
    pub(crate) index: u64,
    pub(crate) path: RelPath,
    pub(crate) target: RelPath,
}

impl Deferred {
    /// Nothing is left to do; `finish` may be called all the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.implied.is_empty() && self.links.is_empty() && !self.opaque_root
    }
}
