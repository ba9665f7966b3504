//! Removing the cgroup.

use crate::cgroup::Cgroup;
use crate::config::clean;
use crate::create::node;
use crate::dir::CgroupDir;
use crate::error::FileError;
use crate::layout::Layout;
use crate::systemd::unit::UnitError;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// How long a busy cgroup is retried: its last process may be dying still.
const DEADLINE: Duration = Duration::from_secs(1);

/// Why a cgroup could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// A directory stays.
    #[error("can't remove the container's cgroup: {0}")]
    Directory(#[from] FileError),
    /// systemd did not stop the unit.
    #[error(transparent)]
    Unit(#[from] UnitError),
}

impl Cgroup {
    /// Removes the container's cgroup from all hierarchies, with the cgroups that
    /// the container made below it. One system call per hierarchy when it is
    /// empty. A cgroup that is gone is no error. All hierarchies are tried even
    /// if one fails.
    pub fn delete(&self) -> Result<(), DeleteError> {
        let stopped = match &self.unit {
            Some(unit) => unit.stop(),
            None => Ok(()),
        };
        let deadline = Instant::now() + DEADLINE;
        let mut result = Ok(());
        for node in &self.nodes {
            if let Err(error) = remove(self.root(), self.dir_of(node), &node.rel, deadline) {
                result = Err(error.into());
            }
        }
        stopped?;
        result
    }
}

/// Removes the cgroup `path`, absolute below each hierarchy's root, wherever it
/// has neither processes nor child cgroups: a parent whose last container has
/// gone. What is in use, is missing or may not be removed stays as it is. Who
/// makes a container's cgroup in it at this moment makes it again.
pub fn remove_unused(path: &str) {
    let below = clean(path);
    let Ok(layout) = Layout::detect() else { return };
    if below.is_empty() {
        return;
    }
    for hierarchy in layout.hierarchies() {
        let _ = rmdir(layout.root(), &node(hierarchy, &below).rel);
    }
}

fn rmdir(root: BorrowedFd<'_>, rel: &str) -> Result<(), Errno> {
    match rustix::io::retry_on_intr(|| rustix::fs::unlinkat(root, rel, AtFlags::REMOVEDIR)) {
        Ok(()) | Err(Errno::NOENT | Errno::NODEV) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn remove(
    root: BorrowedFd<'_>,
    dir: CgroupDir<'_>,
    rel: &str,
    deadline: Instant,
) -> Result<(), FileError> {
    if rmdir(root, rel).is_ok() {
        return Ok(());
    }
    let mut pause = Duration::from_micros(30);
    loop {
        // A read-only mount answers EROFS for a directory that is gone, too.
        match dir.open("", OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => remove_children(fd.as_fd(), deadline),
            Err(error) if error.errno == Errno::NOENT => return Ok(()),
            Err(_) => {}
        }
        let Err(errno) = rmdir(root, rel) else { return Ok(()) };
        if errno != Errno::BUSY || Instant::now() >= deadline {
            let path = dir.path_of("");
            return Err(FileError { action: "rmdir", path, value: None, errno });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Removes child cgroups, deepest first. What fails shows when the parent is
/// removed.
fn remove_children(dir: BorrowedFd<'_>, deadline: Instant) {
    let Ok(entries) = rustix::fs::Dir::read_from(dir) else { return };
    for entry in entries {
        let Ok(entry) = entry else { return };
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory || name == c"." || name == c".." {
            continue;
        }
        if rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).is_ok() {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(child) = rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty()) {
            if Instant::now() < deadline {
                remove_children(child.as_fd(), deadline);
            }
            let _ = rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
        }
    }
}
