//! Why a tree could not be written as a layer.

use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

/// A layer that was not written (to its end).
#[derive(Debug, Error)]
pub enum LayerWriteError {
    /// One file can't be put into the archive.
    #[error("cannot put {path:?} into a layer: {fault}")]
    File {
        /// Path below the tree's root.
        path: PathBuf,
        /// Why.
        fault: LayerFault,
    },
    /// The archive can't be written.
    #[error("cannot write the layer's archive: {0}")]
    Write(#[source] std::io::Error),
}

/// Why one file can't be put into a layer.
#[derive(Debug, Error)]
pub enum LayerFault {
    /// The kernel refused.
    #[error("cannot {op}: {source}")]
    Os {
        /// What was tried.
        op: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// It became longer or shorter, or another file.
    #[error("it changed while it was read")]
    Changed,
    /// A name that would be read as a whiteout.
    #[error("names that begin with .wh. are reserved for whiteouts")]
    ReservedName,
    /// A device that would be read as a whiteout.
    #[error("a character device 0:0 is a whiteout, which a whole tree has no use for")]
    Whiteout,
    /// Overlay metadata that a layer can't express.
    #[error("it has {0:?}: mount the overlay with redirect_dir=off,metacopy=off")]
    OverlayMetadata(&'static str),
    /// More directories inside each other than a layer may have.
    #[error("more than {0} directories inside each other")]
    TooDeep(usize),
    /// Neither file, directory, link, device nor FIFO.
    #[error("a file of unknown type")]
    UnknownType,
}

impl LayerFault {
    pub(crate) fn os(op: &'static str) -> impl Fn(Errno) -> Self {
        move |source| Self::Os { op, source }
    }
}
