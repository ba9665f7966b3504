//! The root file system: from the bundle's directory to the process's `/`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use caisson_rootpath::{ProcHandle, ProcScope, Root};
use caisson_runtime_spec::Propagation;
use caisson_runtime_spec::mount_options::{AttrChange, MountAttr as Attr, MountOptions};
use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, move_mount, open_tree, unmount,
};
use rustix::process::{chroot, fchdir, pivot_root};

use super::attach::{propagation_flag, set_attributes};
use super::mask::{self, Cover};
use super::program::make_cwd;
use super::{Console, Init, devices, mounts};
use crate::step::{Context, StepError};
use crate::{fault, host_mounts};

/// Builds the tree and makes it the caller's root.
pub(super) fn build(init: &Init<'_>) -> Result<Option<Console>, StepError> {
    let own_mounts = init.namespaces.has_mount();
    let propagation = init.linux.rootfs_propagation;
    let tree = if own_mounts {
        change_propagation(propagation.unwrap_or(Propagation::RSlave))?;
        make_parent_private(init.rootfs)?;
        attach_root(init.rootfs)?
    } else {
        refuse_hiding(init)?;
        attach_root_on_host(init.rootfs)?
    };
    let root = Root::from_fd(duplicate(&tree)?).context(|| "use the root file system")?;
    rustix::process::umask(Mode::empty());
    let mut cover = match init.linux.masked_paths.is_empty() {
        true => None,
        false => Some(Cover::take()?),
    };
    let joined = mounts::mount_all(init, &root)?;
    fault::point("init-mounts")?;
    devices::create(init.spec, &init.linux.devices, &root, init.namespaces.has_user())?;
    fault::point("init-devices")?;
    let console = open_console(init, &root)?;
    fault::point("init-console")?;
    set_sysctls(init)?;
    if !joined {
        init.join_cgroup()?;
    }
    fault::point("init-cgroup")?;
    // Hooks of the container start in its root, as in runc.
    fchdir(&tree).context(|| "change to the new root")?;
    init.runtime_hooks()?;
    fault::point("init-hooks")?;
    if !own_mounts {
        enter(&tree)?;
    } else if init.no_pivot {
        move_root(&tree, init.rootfs)?;
    } else {
        pivot(&tree, propagation.is_some())?;
    }
    fault::point("init-pivot")?;
    if let Some(kind) = propagation {
        super::attach::propagate(&tree, &[kind])?;
    }
    mounts::finish_dev(init, &root)?;
    for path in &init.linux.readonly_paths {
        mask::make_read_only(&root, path)?;
    }
    if let Some(cover) = &mut cover {
        let paths = &init.linux.masked_paths;
        for (index, path) in paths.iter().enumerate() {
            if !paths.iter().take(index).any(|earlier| earlier == path) {
                cover.mask(&root, path)?;
            }
        }
    }
    if let Some(process) = &init.spec.process {
        make_cwd(process, &root)?;
    }
    if init.spec.root.as_ref().is_some_and(|root| root.readonly) {
        let attrs = AttrChange { set: Attr::RDONLY, clear: Attr::empty() };
        set_attributes(&tree, &MountOptions { attrs, ..MountOptions::default() })
            .context(|| "make the root file system read-only")?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(console)
}

fn duplicate(fd: &OwnedFd) -> Result<OwnedFd, StepError> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3).context(|| "duplicate a descriptor")
}

/// Without a mount namespace what is hidden can be uncovered by whoever gets
/// out of the chroot; so runc, too, does not promise it.
fn refuse_hiding(init: &Init<'_>) -> Result<(), StepError> {
    let unwanted = [
        (!init.linux.masked_paths.is_empty(), "linux.maskedPaths"),
        (!init.linux.readonly_paths.is_empty(), "linux.readonlyPaths"),
    ];
    match unwanted.iter().find(|(used, _)| *used) {
        None => Ok(()),
        Some((_, field)) => Err(StepError::new(
            format!("config.json: {field}"),
            "needs a mount namespace in linux.namespaces",
        )),
    }
}

/// Attaches the root file system where everybody sees it; `delete` takes it
/// away again with all that is mounted in it.
fn attach_root_on_host(path: &Path) -> Result<OwnedFd, StepError> {
    let tree = attach_root(path)?;
    super::attach::propagate(&tree, &[Propagation::RPrivate])?;
    Ok(tree)
}

fn enter(tree: &OwnedFd) -> Result<(), StepError> {
    fchdir(tree).context(|| "change to the new root")?;
    chroot(".").context(|| "chroot to the new root")?;
    rustix::process::chdir("/").context(|| "change to the new root")
}

fn change_propagation(kind: Propagation) -> Result<(), StepError> {
    let (flag, recursive) = propagation_flag(kind);
    let mut flags = MountPropagationFlags::from_bits_retain(u32::try_from(flag).unwrap_or(0));
    flags.set(MountPropagationFlags::REC, recursive);
    mount_change("/", flags).context(|| format!("make / {}", kind.as_str()))
}

/// Mounts the root file system on itself: pivot_root(2) wants a mount.
fn attach_root(path: &Path) -> Result<OwnedFd, StepError> {
    let step = || format!("mount the root file system {}", path.display());
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags).context(step)?;
    move_mount(&tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).context(step)?;
    Ok(tree)
}

/// Copies of shared mounts are shared, and neither move_mount(2) nor
/// pivot_root(2) works with those. The mount that holds `path` is the nearest ancestor that is a mount point.
fn make_parent_private(path: &Path) -> Result<(), StepError> {
    for ancestor in path.ancestors() {
        match mount_change(ancestor, MountPropagationFlags::PRIVATE) {
            Ok(()) => return Ok(()),
            Err(Errno::INVAL) => {}
            Err(error) => {
                return Err(error).context(|| format!("make {} private", ancestor.display()));
            }
        }
    }
    Ok(())
}

/// Takes a mount away, or covers it if it is locked (mount_namespaces(7)).
fn hide(point: &Path) -> Result<(), Errno> {
    match mount_change(point, MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC) {
        Ok(()) => {}
        // Gone with one above it, or covered itself.
        Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(error),
    }
    match unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Err(Errno::INVAL | Errno::PERM) => {
            mount("tmpfs", point, "tmpfs", MountFlags::empty(), None::<&std::ffi::CStr>)
        }
        other => other,
    }
}

fn open_console(init: &Init<'_>, root: &Root) -> Result<Option<Console>, StepError> {
    let (Some(socket), Some(process)) = (init.console, &init.spec.process) else {
        return Ok(None);
    };
    Console::open(root, process, socket, true).map(Some)
}

/// Through the runtime's own /proc, whose `sys` shows the namespaces of the
/// caller: the container's can't be trusted.
fn set_sysctls(init: &Init<'_>) -> Result<(), StepError> {
    if init.linux.sysctl.is_empty() {
        return Ok(());
    }
    let proc = ProcHandle::host(Path::new("/proc")).context(|| "use the host's /proc")?;
    for (key, value) in &init.linux.sysctl {
        match proc.write_sysctl(key, value.as_bytes()) {
            // Where the runtime itself is in a container, its /proc/sys may be a mount.
            Err(error) if error.errno() == Some(Errno::XDEV) => ProcHandle::new(ProcScope::Full)
                .and_then(|own| own.write_sysctl(key, value.as_bytes())),
            other => other,
        }
        .context(|| format!("set linux.sysctl {key:?}"))?;
    }
    Ok(())
}

/// Swaps roots and lets go of the host's tree.
fn pivot(tree: &OwnedFd, may_be_shared: bool) -> Result<(), StepError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = openat(CWD, "/", flags, Mode::empty()).context(|| "open the old root")?;
    fchdir(tree).context(|| "change to the new root")?;
    pivot_root(".", ".")
        .context(|| "pivot_root (from an initial ramdisk use --no-pivot, which is weaker)")?;
    fchdir(&old).context(|| "change to the old root")?;
    if may_be_shared {
        // Else the host would see its mounts go.
        let attr = MountAttr {
            propagation: propagation_flag(Propagation::RSlave).0,
            ..MountAttr::default()
        };
        mount_setattr(old.as_fd(), &attr, true).context(|| "detach the old root from the host")?;
    }
    unmount(".", UnmountFlags::DETACH).context(|| "unmount the old root")?;
    rustix::process::chdir("/").context(|| "change to the new root")
}

/// For roots that pivot_root(2) refuses (a ramdisk).
/// The old root stays below the new one, out of reach by name. The kernel lets
/// whoever makes a user and a mount namespace mount a bare procfs or sysfs,
/// with nothing masked, if one is in view (`mount_too_revealing`): so those of
/// the host go first.
fn move_root(tree: &OwnedFd, rootfs: &Path) -> Result<(), StepError> {
    for point in host_mounts::revealing(rootfs)?.iter().rev() {
        hide(point).context(|| format!("hide the host's {}", point.display()))?;
    }
    move_mount(tree, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .context(|| "move the new root to /")?;
    enter(tree)
}
