//! The container's root file system, in a mount namespace of our own.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use caisson_overlay::{Layer, Overlay};
use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use caisson_sys::unshare::{Unshare, unshare};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount,
};

use super::rootfs_mounts;
use super::step::{Context as _, StepError};
use crate::{NamespaceKind, RootfsMount};

const MOUNT_ATTR_RDONLY: u64 = 1;
/// So many may be mounted at one place.
const MOST_MOUNTS: usize = 16;
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// Enters a mount namespace of our own.
pub(super) fn enter_namespace() -> Result<(), StepError> {
    unshare(Unshare::Mount).context(|| "make a mount namespace")
}

/// Keeps mounts at `point` in this namespace; all others go on being shared with
/// the host as they were.
pub(super) fn isolate(point: &Path) -> Result<(), StepError> {
    // The mount that holds `point` is the nearest ancestor that is a mount
    // point. As a slave it still gets the host's mounts.
    for ancestor in point.ancestors() {
        match mount_change(ancestor, MountPropagationFlags::DOWNSTREAM) {
            Ok(()) => break,
            // `point` itself may have to be made yet.
            Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => {
                let step = || format!("make mount {} a slave", ancestor.display());
                return Err(error).context(step);
            }
        }
    }
    Ok(())
}

/// As [`isolate`], for all that is going to be mounted below `dir`; but mount
/// namespaces that are made of this one get it, too: that of a foreign shim,
/// which lives longer than one container. To be called once.
pub(super) fn share(dir: &Path) -> Result<(), StepError> {
    isolate(dir)?;
    for ancestor in dir.ancestors() {
        match mount_change(ancestor, MountPropagationFlags::SHARED) {
            Ok(()) => break,
            Err(Errno::INVAL) => {}
            Err(error) => {
                return Err(error).context(|| format!("share mount {}", ancestor.display()));
            }
        }
    }
    Ok(())
}

/// Mounts the root file system at `point`, which is made if it is missing. With
/// `label`, an overlay's files have that SELinux label. Whoever is not to see it
/// has been kept away ([`isolate`], [`share`]).
pub(super) fn attach(
    rootfs: &RootfsMount,
    point: &Path,
    label: Option<&str>,
) -> Result<(), StepError> {
    if matches!(rootfs, RootfsMount::None) {
        return Ok(());
    }
    match mkdirat(CWD, point, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).context(|| format!("make {}", point.display())),
    }
    match rootfs {
        RootfsMount::Mounts(mounts) => rootfs_mounts::attach(mounts, point),
        other => attach_overlay(other, point, label),
    }
}

/// Mounts an overlay; nothing else.
pub(super) fn attach_overlay(
    rootfs: &RootfsMount,
    point: &Path,
    label: Option<&str>,
) -> Result<(), StepError> {
    let RootfsMount::Overlay { lowers, upper, read_only, userxattr, volatile, mapped } = rootfs
    else {
        return Ok(());
    };
    let step = || format!("mount the root file system at {}", point.display());
    let mapping = if *mapped { Some(Mapping::open()?) } else { None };
    let open = |path: &PathBuf| match &mapping {
        Some(mapping) => mapping.layer(path),
        None => open_layer(path),
    };
    let lowers = lowers.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let writable = match upper {
        Some((upper, work)) => Some((open_layer(upper)?, open_layer(work)?)),
        None => None,
    };
    let label = label.map(str::to_owned);
    let overlay = Overlay { lowers, writable, userxattr: *userxattr, volatile: *volatile, label };
    let tree = match (overlay.lowers.as_slice(), &overlay.writable) {
        ([], _) => return Err(StepError::new(step(), "it has no layers")),
        // Overlay wants two lower directories where there is no upper one.
        ([only], None) if overlay.label.is_none() => only.copy().context(step)?,
        _ if *mapped => overlay.mount_on_attached(point).context(step)?,
        _ => match overlay.mount(point).context(step)? {
            Some(tree) => tree,
            None => return finish(point, *read_only),
        },
    };
    move_mount(&tree, "", CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).context(step)?;
    finish(point, *read_only || overlay.writable.is_none())
}

fn finish(point: &Path, read_only: bool) -> Result<(), StepError> {
    let step = || format!("prepare the mount at {}", point.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, point, flags, Mode::empty()).context(step)?;
    let attr = MountAttr {
        set: if read_only { MOUNT_ATTR_RDONLY } else { 0 },
        propagation: u64::from(MountPropagationFlags::PRIVATE.bits()),
        ..MountAttr::default()
    };
    mount_setattr(root.as_fd(), &attr, false).context(step)
}

/// Takes away what [`attach`] has mounted; nothing there is no error.
pub(super) fn detach(point: &Path) {
    // Several may lie one on the other.
    for _ in 0..MOST_MOUNTS {
        match unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return,
            Err(error) => {
                let step = format!("unmount {}", point.display());
                return super::step::warn(&StepError::new(step, error));
            }
        }
    }
}

fn open_layer(path: &Path) -> Result<Layer, StepError> {
    Layer::open(path).context(|| format!("open layer {}", path.display()))
}

/// Copies of layers with mapped ids. They are attached nowhere.
struct Mapping {
    user: OwnedFd,
}

impl Mapping {
    /// By the pod's user namespace.
    fn open() -> Result<Self, StepError> {
        let path = NamespaceKind::User.path();
        let user = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .context(|| "open the pod's user namespace")?;
        Ok(Self { user })
    }

    /// Without a path: it has no other name than its descriptor.
    fn layer(&self, path: &Path) -> Result<Layer, StepError> {
        let step = || {
            format!(
                "map the ids of {} (its file system may not support idmapped mounts)",
                path.display()
            )
        };
        let tree = open_layer(path)?.copy().context(step)?;
        let attr = MountAttr {
            set: MOUNT_ATTR_IDMAP,
            userns: Some(self.user.as_fd()),
            ..MountAttr::default()
        };
        mount_setattr(tree.as_fd(), &attr, false).context(step)?;
        Ok(tree.into())
    }
}
