//! Resolution without any link at all: for trees that are being built.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{OFlags, ResolveFlags};

use crate::error::{PathFault, Place, RootPathError};
use crate::root::{may_create, open_how};

const NO_LINKS: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Opens what is at `path` below the directory `dir`, crossing no symbolic
/// link and no mount; close-on-exec. One system call.
///
/// Nothing is created; a device or FIFO would be opened, so ask for `O_PATH`
/// or `O_DIRECTORY` unless it is known to be neither.
///
/// Errors: `ELOOP` where a link is on the way (or at its end), `EXDEV` for
/// `..` that leads out, absolute paths and mounts; as openat2(2).
pub fn open_beneath(dir: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, RootPathError> {
    let fail = |fault: PathFault| {
        RootPathError::new("open without following links", path, Place::ContainerRoot, fault)
    };
    if may_create(flags) {
        return Err(fail(PathFault::BadPath("flags that create")));
    }
    open_how(dir.as_fd(), path, flags, NO_LINKS).map_err(|errno| fail(errno.into()))
}
