//! Putting a detached mount into the container's tree.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use caisson_rootpath::Root;
use caisson_runtime_spec::Propagation;
use caisson_runtime_spec::mount_options::{AttrChange, MountOptions};
use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use rustix::fs::{FileType, Mode, fstat, fstatfs};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::step::{Context, StepError};

const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// Files of procfs that a container manager may cover (lxcfs does).
const PROC_COVERABLE: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// Whether a mount point is to be a directory or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Directory,
    File,
}

impl Shape {
    /// The shape of what is mounted.
    pub(super) fn of(tree: &OwnedFd) -> Result<Self, StepError> {
        let stat = fstat(tree).context(|| "stat a mount source")?;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        Ok(if is_dir { Self::Directory } else { Self::File })
    }
}

/// The mount point, made if it is missing.
///
/// What lies on procfs is refused unless it is coverable by its own name:
/// otherwise an image could turn what later writes to `/proc/self/attr` or
/// `/proc/sys` into writes elsewhere (CVE-2025-52881).
pub(super) fn mount_point(root: &Root, path: &Path, shape: Shape) -> Result<OwnedFd, StepError> {
    let target = match shape {
        Shape::Directory => root.mkdir_all(path, Mode::from_raw_mode(0o755)),
        Shape::File => root.create_file_at(path, Mode::from_raw_mode(0o755)),
    }
    .context(|| "make the mount point")?;
    if is_on_procfs(&target)? {
        let named = path.to_str().is_some_and(|path| PROC_COVERABLE.contains(&path));
        if !named && path != Path::new("/proc") {
            return Err(StepError::new(
                format!("mount at {}", path.display()),
                "the mount point lies inside procfs",
            ));
        }
    }
    Ok(target)
}

pub(super) fn is_on_procfs(fd: &OwnedFd) -> Result<bool, StepError> {
    let stat = fstatfs(fd).context(|| "look at a mount point's file system")?;
    Ok(u64::try_from(stat.f_type).is_ok_and(|magic| magic == PROC_SUPER_MAGIC))
}

/// Attaches `tree` at `target`.
pub(super) fn attach(tree: impl AsFd, target: impl AsFd) -> Result<(), StepError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree.as_fd(), "", target.as_fd(), "", flags).context(|| "attach the mount")
}

/// A detached copy of what a descriptor refers to.
pub(super) fn copy_of(fd: impl AsFd, recursive: bool) -> Result<OwnedFd, StepError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(fd.as_fd(), "", flags).context(|| "copy the mount")
}

/// Applies the options that work on a mount, not on a file system.
pub(super) fn set_attributes(tree: &OwnedFd, options: &MountOptions<'_>) -> Result<(), StepError> {
    change(tree, options.attrs, false)?;
    change(tree, options.recursive_attrs, true)
}

fn change(tree: &OwnedFd, attrs: AttrChange, recursive: bool) -> Result<(), StepError> {
    if attrs == AttrChange::default() {
        return Ok(());
    }
    let attr =
        MountAttr { set: attrs.set.bits(), clear: attrs.clear.bits(), ..MountAttr::default() };
    mount_setattr(tree.as_fd(), &attr, recursive).context(|| "set the mount's attributes")
}

/// Changes how mount events travel, in the order given.
pub(super) fn propagate(tree: &OwnedFd, kinds: &[Propagation]) -> Result<(), StepError> {
    for &kind in kinds {
        let (propagation, recursive) = propagation_flag(kind);
        let attr = MountAttr { propagation, ..MountAttr::default() };
        mount_setattr(tree.as_fd(), &attr, recursive)
            .context(|| format!("set propagation {}", kind.as_str()))?;
    }
    Ok(())
}

/// `MS_*` of a propagation type, and whether it goes for submounts too.
pub(super) fn propagation_flag(kind: Propagation) -> (u64, bool) {
    const UNBINDABLE: u64 = 1 << 17;
    const PRIVATE: u64 = 1 << 18;
    const SLAVE: u64 = 1 << 19;
    const SHARED: u64 = 1 << 20;
    match kind {
        Propagation::Private => (PRIVATE, false),
        Propagation::RPrivate => (PRIVATE, true),
        Propagation::Slave => (SLAVE, false),
        Propagation::RSlave => (SLAVE, true),
        Propagation::Shared => (SHARED, false),
        Propagation::RShared => (SHARED, true),
        Propagation::Unbindable => (UNBINDABLE, false),
        Propagation::RUnbindable => (UNBINDABLE, true),
    }
}
