//! Folders of the host as the broker serves them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, OpenTreeFlags};

use super::super::MountFlags;

/// A copy of the mounts below a folder, or of a file, which is attached nowhere: what the
/// broker serves; without the mounts in it, unless `recursive`. Set-id bits and devices in it
/// mean nothing to the host, and links can't be followed.
///
/// # Errors
/// What the host says.
pub fn served_tree(path: &Path, recursive: bool, flags: MountFlags) -> Result<OwnedFd, Errno> {
    let mut how = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    how.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    let tree = rustix::mount::open_tree(rustix::fs::CWD, path, how)?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW;
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, flags.contains(MountFlags::READ_ONLY));
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, flags.contains(MountFlags::NO_EXECUTE));
    change(&tree, attributes, MountAttrFlags::empty(), recursive)?;
    Ok(tree)
}

/// A folder in which files are made that programs of the guest write, and may execute: a copy of
/// its mount, which is attached nowhere.
///
/// # Errors
/// What the host says.
pub(in super::super) fn store_tree(path: &Path) -> Result<OwnedFd, Errno> {
    let how = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, path, how)?;
    if !FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode).is_dir() {
        return Err(Errno::NOTDIR);
    }
    let set = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW;
    change(&tree, set, MountAttrFlags::MOUNT_ATTR_NOEXEC, false)?;
    Ok(tree)
}

fn change(
    tree: &OwnedFd,
    set: MountAttrFlags,
    clear: MountAttrFlags,
    recursive: bool,
) -> Result<(), Errno> {
    let change = MountAttr {
        set: set.bits().into(),
        clear: clear.bits().into(),
        propagation: MountPropagationFlags::PRIVATE.bits().into(),
        ..MountAttr::default()
    };
    mount_setattr(tree.as_fd(), &change, recursive)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
