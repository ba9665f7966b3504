//! What was left out of a layer, and why.

use std::path::PathBuf;

use super::path::path_of;

/// Examples that are kept.
const EXAMPLES: usize = 32;

/// Why something of an entry is not on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// A device node, which this process may not make (rootless).
    Device,
    /// An extended attribute: a name that images may not set, a file system
    /// or file type that has none, or not permitted.
    Xattr(String),
    /// Data that AUFS kept for itself (`.wh..wh.*`).
    Aufs,
}

impl SkipReason {
    pub(crate) fn xattr(name: &[u8]) -> Self {
        Self::Xattr(String::from_utf8_lossy(name).into_owned())
    }
}

/// What was left out: how often, and the first few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many things were left out.
    pub count: u64,
    /// The first of them: path as in the archive, and why.
    pub examples: Vec<(PathBuf, SkipReason)>,
}

impl Skipped {
    pub(crate) fn add(&mut self, path: &[u8], reason: SkipReason) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push((path_of(path).to_owned(), reason));
        }
    }
}
