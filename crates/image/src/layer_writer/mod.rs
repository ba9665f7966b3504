//! Writes a directory tree as a layer: a tar archive that depends on the tree
//! alone, not on the order in which a file system lists it.

mod error;
mod header;
mod walk;

use std::io::Write;
use std::os::fd::BorrowedFd;

pub use error::{LayerFault, LayerWriteError};

use crate::unpack::WhiteoutForm;

/// What the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerSource {
    /// A whole root file system. Names that are reserved for whiteouts, and
    /// devices 0:0, are refused.
    Directory,
    /// The upper directory of an overlay mount: character devices 0:0 and
    /// opaque directories become whiteouts.
    OverlayUpper(WhiteoutForm),
}

/// How to write a layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerWriteOptions {
    /// What the tree is.
    pub source: LayerSource,
    /// Keep modification times to the nanosecond (in PAX records); whole
    /// seconds otherwise.
    pub nanoseconds: bool,
    /// Write this owner and group for everything, as for a tree that was made
    /// without privilege.
    pub owner: Option<(u32, u32)>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerWritten {
    /// Entries, whiteouts counted.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Sockets, which tar archives can't hold: left out.
    pub sockets: u64,
}

/// Writes the tree below the directory `source` to `out` as an uncompressed
/// tar archive: entries sorted by name with whiteouts first, each directory
/// before what is in it, the root as `./`; POSIX ustar with PAX records where
/// something does not fit; owners as numbers; hard links within the tree kept;
/// sparse files in full; `user.*` and `security.capability` attributes.
///
/// No symbolic link is followed and no mount is crossed.
///
/// # Errors
/// Something can't be read, changed while it was read, or has no place in a
/// layer; or `out` failed.
pub fn write_layer(
    source: BorrowedFd<'_>,
    out: &mut impl Write,
    options: &LayerWriteOptions,
) -> Result<LayerWritten, LayerWriteError> {
    walk::Walk::new(out, options).run(source)
}
