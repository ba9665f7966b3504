//! What a process of the sandbox gives up before it serves: names, rights, identity.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
};
use rustix::process::{Gid, Signal, Uid};
use rustix::thread::{self as own, CapabilitySet, CapabilitySets};

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
#[error("confine a process of the sandbox: {step}: {errno}")]
pub struct WallError {
    step: &'static str,
    errno: Errno,
}

/// An error of this step.
pub fn step(step: &'static str) -> impl Fn(Errno) -> WallError {
    move |errno| WallError { step, errno }
}

/// Nobody's user and group: what the sandbox's processes are on the host. In a user namespace
/// that has no such id, the first that is not root's.
const NOBODY: [u32; 2] = [65_534, 1];

/// Leaves the mounts of the caller's for an empty root that can't be written. The
/// process must be in a mount namespace of its own.
///
/// # Errors
/// [`WallError`]
pub fn empty_root() -> Result<(), WallError> {
    const MAKE: &str = "make an empty file system";
    const ENTER: &str = "enter the empty root";
    let context =
        rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(step(MAKE))?;
    rustix::mount::fsconfig_create(&context).map_err(step(MAKE))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let empty = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(step(MAKE))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(step("leave the host's mounts alone"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty()).map_err(step(ENTER))?;
    let from = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&empty, "", &old, "", from).map_err(step(ENTER))?;
    rustix::process::fchdir(&empty).map_err(step(ENTER))?;
    rustix::process::pivot_root(".", ".").map_err(step(ENTER))?;
    rustix::process::fchdir(&old).map_err(step(ENTER))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(step("leave the old root"))?;
    rustix::process::chdir("/").map_err(step(ENTER))
}

/// A procfs of the PID namespace that this process is in, mounted nowhere, of which
/// there are the folders of processes alone.
///
/// # Errors
/// [`WallError`]
pub fn processes() -> Result<OwnedFd, WallError> {
    const PROC: &str = "make a procfs of its own";
    let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).map_err(step(PROC))?;
    rustix::mount::fsconfig_set_string(&context, "subset", "pid").map_err(step(PROC))?;
    rustix::mount::fsconfig_create(&context).map_err(step(PROC))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(step(PROC))
}

/// Takes the first id that there is.
fn as_nobody(become_one: impl Fn(u32) -> Result<(), Errno>) -> Result<(), WallError> {
    let [first, second] = NOBODY;
    let became = match become_one(first) {
        Err(Errno::INVAL) => become_one(second),
        other => other,
    };
    became.map_err(step("become nobody"))
}

/// Becomes nobody with these capabilities and no way to others.
///
/// # Errors
/// [`WallError`]
pub fn shed(keep: CapabilitySet) -> Result<(), WallError> {
    const DROP: &str = "drop capabilities";
    for capability in CapabilitySet::all().iter() {
        match own::remove_capability_from_bounding_set(capability) {
            // One that this kernel doesn't know.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(step(DROP)(errno)),
        }
    }
    own::set_keep_capabilities(true).map_err(step(DROP))?;
    own::set_thread_groups(&[]).map_err(step("leave all groups"))?;
    as_nobody(|id| {
        own::set_thread_res_gid(Gid::from_raw(id), Gid::from_raw(id), Gid::from_raw(id))
    })?;
    as_nobody(|id| {
        own::set_thread_res_uid(Uid::from_raw(id), Uid::from_raw(id), Uid::from_raw(id))
    })?;
    let sets =
        CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    own::set_capabilities(None, sets).map_err(step(DROP))?;
    own::set_no_new_privs(true).map_err(step("forbid new privileges"))
}

/// Has this process killed when its parent ends. A change of user undoes it.
///
/// # Errors
/// [`WallError`]
pub fn tie() -> Result<(), WallError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(step("tie the process to its parent"))
}
