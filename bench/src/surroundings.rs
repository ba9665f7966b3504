//! Equal surroundings for all runtimes.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, Mode};
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, move_mount, open_tree, unmount,
};

use crate::error::BenchError;

const ENTERED: &str = "CAISSON_BENCH_ENTERED";
const CGROUPS: &str = "/sys/fs/cgroup";

/// Moves this program into a mount namespace of its own and makes it the
/// reaper of orphaned descendants.
///
/// Where the host has a hybrid cgroup layout, every runtime alike sees only
/// its version 1 hierarchies, on a private tmpfs: crun refuses hybrid layouts,
/// and makes plain directories where a hierarchy is merely unmounted.
pub(crate) fn enter() -> Result<(), BenchError> {
    if !rustix::process::geteuid().is_root() {
        return Err(BenchError::Usage("needs root".into()));
    }
    if std::env::var_os(ENTERED).is_none() {
        let exe = std::env::current_exe().map_err(BenchError::system("find this binary"))?;
        let failed = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--"])
            .arg(exe)
            .args(std::env::args_os().skip(1))
            .env(ENTERED, "1")
            .exec();
        return Err(BenchError::system("run unshare(1)")(failed));
    }
    if Path::new(CGROUPS).join("unified/cgroup.procs").exists() {
        hide_unified().map_err(BenchError::system("rebuild the cgroup mounts without unified"))?;
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(BenchError::system("become a child subreaper"))
}

/// Replaces the tree at `/sys/fs/cgroup` by one without `unified`.
fn hide_unified() -> std::io::Result<()> {
    let mut hierarchies: Vec<(OsString, OwnedFd)> = Vec::new();
    let mut links = Vec::new();
    for entry in fs::read_dir(CGROUPS)? {
        let entry = entry?;
        if entry.file_type()?.is_symlink() {
            links.push((entry.file_name(), fs::read_link(entry.path())?));
        } else if entry.file_name() != "unified" && entry.path().join("cgroup.procs").exists() {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            hierarchies.push((entry.file_name(), open_tree(CWD, entry.path(), flags)?));
        }
    }
    unmount(CGROUPS, UnmountFlags::DETACH)?;
    mount("tmpfs", CGROUPS, "tmpfs", MountFlags::empty(), c"mode=755")?;
    for (name, tree) in hierarchies {
        let target = Path::new(CGROUPS).join(name);
        rustix::fs::mkdir(&target, Mode::from_raw_mode(0o755))?;
        move_mount(tree, "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    for (name, to) in links {
        std::os::unix::fs::symlink(to, Path::new(CGROUPS).join(name))?;
    }
    Ok(())
}
