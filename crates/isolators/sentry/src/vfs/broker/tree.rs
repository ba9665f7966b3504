//! Folders of the host as the broker serves them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, OpenTreeFlags};

/// A copy of the mounts below a folder, which is attached nowhere: what the broker
/// serves. Set-id bits and devices in it mean nothing to the host, and links can't be
/// followed.
///
/// # Errors
/// What the host says; `ENOTDIR` if it is no folder.
pub fn served_tree(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, path, flags)?;
    if !rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode).is_dir() {
        return Err(Errno::NOTDIR);
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW;
    let change = MountAttr {
        set: attributes.bits().into(),
        propagation: MountPropagationFlags::PRIVATE.bits().into(),
        ..MountAttr::default()
    };
    mount_setattr(tree.as_fd(), &change, true)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(tree)
}
