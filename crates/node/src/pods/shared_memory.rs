//! `/dev/shm` of a pod: one tmpfs for all its containers, mounted in the pod's
//! directory for as long as the pod stands.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use super::PodError;

/// Its size, as docker and containerd have it.
const SIZE: &str = "64m";

/// Where it is.
pub(super) fn path(pod_dir: &Path) -> PathBuf {
    pod_dir.join("shm")
}

/// Mounts it, owned by root of the pod.
pub(super) fn mount(pod_dir: &Path, uid: u32, gid: u32) -> Result<(), PodError> {
    let point = path(pod_dir);
    let fail = |errno: Errno| PodError::io(format!("mount {}", point.display()), errno);
    std::fs::create_dir(&point)
        .map_err(|e| PodError::io(format!("make {}", point.display()), e))?;
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail)?;
    for (key, value) in [
        ("source", "shm".to_owned()),
        ("size", SIZE.to_owned()),
        ("mode", "1777".to_owned()),
        ("uid", uid.to_string()),
        ("gid", gid.to_string()),
    ] {
        fsconfig_set_string(&context, key, value).map_err(fail)?;
    }
    fsconfig_create(&context).map_err(fail)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(fail)?;
    move_mount(&tree, "", CWD, &point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(fail)?;
    let attr = MountAttr {
        propagation: u64::from(MountPropagationFlags::PRIVATE.bits()),
        ..MountAttr::default()
    };
    mount_setattr(tree.as_fd(), &attr, false)
        .map_err(|e| PodError::io(format!("mount {}", point.display()), e))
}

/// Takes it away; nothing there is no error.
pub(super) fn unmount_from(pod_dir: &Path) -> Result<(), PodError> {
    let point = path(pod_dir);
    match unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => Err(PodError::io(format!("unmount {}", point.display()), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn it_comes_and_goes() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: needs root");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        mount(temp.path(), 5, 6).unwrap();
        let found = std::fs::metadata(path(temp.path())).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o1777, 5, 6));
        unmount_from(temp.path()).unwrap();
        unmount_from(temp.path()).unwrap();
        std::fs::remove_dir(path(temp.path())).unwrap();
    }
}
