//! Moving processes into the cgroup.

use crate::cgroup::{Cgroup, Node};
use crate::controllers::Controllers;
use crate::dir::{CgroupDir, read_file};
use crate::error::FileError;
use crate::layout::{LayoutKind, own_cgroups};
use crate::systemd::unit::UnitError;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use std::time::Duration;

/// Joining failed, in the child. Carries no allocation, so that it can be made
/// between `clone` and `execve` and sent through a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("can't join the container's cgroup (hierarchy of {controllers:?}): {errno}")]
pub struct JoinError {
    /// The hierarchy that refused.
    pub controllers: Controllers,
    /// The kernel's answer.
    pub errno: Errno,
}

/// A process could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused.
    #[error("can't move process {pid} into the container's cgroup: {source}")]
    Refused {
        /// The process.
        pid: i32,
        /// The file and the errno.
        source: FileError,
    },
    /// The cgroup can't be opened.
    #[error("can't join a cgroup of the container: {0}")]
    Open(#[source] FileError),
    /// The container has no cgroup of that controller.
    #[error("the container has no cgroup of the controller {0:?}")]
    NoController(String),
    /// A sub-cgroup's path leads out of the container's cgroup.
    #[error("bad sub cgroup path: {0:?}")]
    SubPath(String),
    /// systemd refused.
    #[error(transparent)]
    Unit(#[from] UnitError),
}

/// Descriptors through which a freshly cloned child puts itself into the cgroup.
///
/// They are opened by the runtime while it is privileged; the kernel checks
/// permission against the opener's credentials. All are close-on-exec.
#[derive(Debug)]
pub struct Joiner {
    files: Vec<(Controllers, OwnedFd)>,
    unified: Option<OwnedFd>,
}

impl Joiner {
    /// The v2 directory, for `clone3(CLONE_INTO_CGROUP)` (Linux 5.7). A child
    /// cloned with it is in the v2 hierarchy already and joins the others with
    /// [`Joiner::join_self`].
    #[must_use]
    pub fn clone_into_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling process, which must have one thread only. Allocates
    /// nothing and takes no lock.
    ///
    /// v1 members are written as `0` to `tasks`, not as a pid to
    /// `cgroup.procs`: for one thread that moves itself the kernel
    /// (`cgroup_procs_write_start`) skips the write side of the threadgroup
    /// per-CPU rwsem, which costs an RCU grace period (milliseconds) in every
    /// hierarchy, because the caller can neither exit nor exec meanwhile.
    pub fn join_self(&self) -> Result<(), JoinError> {
        for (controllers, file) in &self.files {
            rustix::io::retry_on_intr(|| rustix::io::write(file, b"0"))
                .map_err(|errno| JoinError { controllers: *controllers, errno })?;
        }
        Ok(())
    }

    /// Files by which others can be moved into the cgroup: each takes a process's number,
    /// as its writer sees it. For processes with one thread.
    pub fn writable(&self) -> Result<Vec<OwnedFd>, Errno> {
        let mut files = Vec::with_capacity(self.files.len() + 1);
        for (_, file) in &self.files {
            files.push(rustix::io::fcntl_dupfd_cloexec(file, 3)?);
        }
        if let Some(dir) = &self.unified {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            files.push(rustix::fs::openat(dir, "cgroup.procs", flags, Mode::empty())?);
        }
        Ok(files)
    }

    /// All descriptors, for a child that closes everything else.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.files.iter().map(|(_, file)| file.as_fd()).chain(self.clone_into_fd())
    }
}

impl Cgroup {
    /// Opens what a child needs to join. The v2 hierarchy is joined by
    /// `clone3(CLONE_INTO_CGROUP)` with [`Joiner::clone_into_fd`].
    pub fn joiner(&self) -> Result<Joiner, FileError> {
        self.joiner_with(|_| None, true)
    }

    /// Like [`Cgroup::joiner`] for kernels without `CLONE_INTO_CGROUP`: the v2
    /// hierarchy, too, is joined by writing, to `cgroup.procs`.
    pub fn joiner_by_write(&self) -> Result<Joiner, FileError> {
        self.joiner_with(|_| None, false)
    }

    /// Like [`Cgroup::joiner`] for a cgroup below the container's (`exec
    /// --cgroup`), which must exist.
    pub fn joiner_in(&self, sub: &str) -> Result<Joiner, AttachError> {
        let below = sub_path(sub)?;
        self.joiner_with(|_| Some(below.as_str()), true).map_err(AttachError::Open)
    }

    /// Like [`Cgroup::joiner_in`] with a path for each v1 controller (`exec
    /// --cgroup memory,cpu:path`); hierarchies without one are joined at the
    /// container's own cgroup.
    pub fn joiner_in_each(&self, subs: &[(&str, &str)]) -> Result<Joiner, AttachError> {
        let mut below = Vec::with_capacity(subs.len());
        for (name, sub) in subs {
            let controller = Controllers::from_list(name, ',');
            if !self.nodes.iter().any(|node| node.controllers.intersects(controller)) {
                return Err(AttachError::NoController((*name).to_owned()));
            }
            below.push((controller, sub_path(sub)?));
        }
        let path = |node: &Node| {
            let own = below.iter().find(|(c, _)| node.controllers.intersects(*c));
            own.map(|(_, path)| path.as_str())
        };
        self.joiner_with(path, true).map_err(AttachError::Open)
    }

    /// Joiner for a further process of a running container.
    ///
    /// A container's init may have moved itself into a child cgroup and turned
    /// on controllers (systemd does); then v2 refuses processes in the
    /// container's own cgroup with EBUSY, and the new process belongs beside init,
    /// as runc does it. Use this when `clone3` answered EBUSY.
    pub fn joiner_beside(&self, init: Pid) -> Result<Joiner, FileError> {
        let mut joiner = self.joiner_with(|_| None, true)?;
        let path = format!("/proc/{}/cgroup", init.as_raw_nonzero());
        let text = read_file(&path)?;
        let own = own_cgroups(&text).find(|(name, _)| name.is_empty());
        if let (Some((_, own)), Some(node)) = (own, self.unified_node()) {
            let rel = beside(node, own);
            let dir = CgroupDir::new(self.root(), self.root_path(), &rel);
            joiner.unified = Some(dir.open("", OFlags::PATH | OFlags::DIRECTORY)?);
        }
        Ok(joiner)
    }

    fn joiner_with<'a>(
        &self,
        below: impl Fn(&Node) -> Option<&'a str>,
        clone_into: bool,
    ) -> Result<Joiner, FileError> {
        let mut joiner = Joiner { files: Vec::with_capacity(self.nodes.len()), unified: None };
        for node in &self.nodes {
            let joined;
            let rel = match below(node).filter(|below| !below.is_empty()) {
                None => node.rel.as_str(),
                Some(below) => {
                    joined = join_path(&node.rel, below);
                    joined.as_str()
                }
            };
            let dir = CgroupDir::new(self.root(), self.root_path(), rel);
            if node.is_unified() && clone_into {
                joiner.unified = Some(dir.open("", OFlags::PATH | OFlags::DIRECTORY)?);
            } else {
                let file = if node.is_unified() { "cgroup.procs" } else { "tasks" };
                joiner.files.push((node.controllers, dir.open(file, OFlags::WRONLY)?));
            }
        }
        Ok(joiner)
    }

    /// Moves another process, with all its threads, into the cgroup.
    pub fn attach(&self, pid: Pid) -> Result<(), AttachError> {
        self.attach_below("", pid)
    }

    /// Moves another process into a cgroup below the container's, which must exist.
    pub fn attach_in(&self, sub: &str, pid: Pid) -> Result<(), AttachError> {
        self.attach_below(&sub_path(sub)?, pid)
    }

    fn attach_below(&self, below: &str, pid: Pid) -> Result<(), AttachError> {
        let raw = pid.as_raw_nonzero().get();
        if let Some(unit) = self.unit.as_ref().filter(|unit| unit.is_user()) {
            return Ok(unit.attach(below, raw.unsigned_abs())?);
        }
        for node in &self.nodes {
            let rel = join_path(&node.rel, below);
            let dir = CgroupDir::new(self.root(), self.root_path(), &rel);
            write_pid(dir, &raw.to_string())
                .map_err(|source| AttachError::Refused { pid: raw, source })?;
        }
        Ok(())
    }

    /// Moves another process into the cgroup or, where v2 refuses because the
    /// container uses child cgroups, into the one of the container's init.
    pub fn attach_beside(&self, init: Pid, pid: Pid) -> Result<(), AttachError> {
        match self.attach(pid) {
            Err(AttachError::Refused { source, .. })
                if self.kind == LayoutKind::Unified
                    && matches!(source.errno, Errno::BUSY | Errno::OPNOTSUPP) =>
            {
                let raw = pid.as_raw_nonzero().get();
                let refused = |source| AttachError::Refused { pid: raw, source };
                let path = format!("/proc/{}/cgroup", init.as_raw_nonzero());
                let text = read_file(&path).map_err(refused)?;
                let own = own_cgroups(&text).find(|(name, _)| name.is_empty());
                let (Some((_, own)), Some(node)) = (own, self.unified_node()) else {
                    return Err(refused(source));
                };
                let rel = beside(node, own);
                let dir = CgroupDir::new(self.root(), self.root_path(), &rel);
                write_pid(dir, &raw.to_string()).map_err(refused)
            }
            other => other,
        }
    }
}

/// Where a process is that `/proc/PID/cgroup` shows at `own`. It is the
/// container's init, so it is looked for at or below the container's cgroup
/// first: the mount may show a part of the hierarchy only.
fn beside(node: &Node, own: &str) -> String {
    let below = node.rel.get(node.mount_len..).unwrap_or_default().trim_matches('/');
    let rest = own
        .match_indices(below)
        .filter(|(at, _)| own.get(..*at).is_some_and(|before| before.ends_with('/')))
        .filter_map(|(at, found)| own.get(at + found.len()..))
        .find(|rest| rest.is_empty() || rest.starts_with('/'));
    match rest {
        Some(rest) => join_path(&node.rel, rest),
        None => join_path(node.mount(), own),
    }
}

/// A process that is being forked answers EINVAL for a moment.
pub(crate) fn write_pid(dir: CgroupDir<'_>, pid: &str) -> Result<(), FileError> {
    const TRIES: u32 = 5;
    let mut tries = 0;
    loop {
        match dir.write("cgroup.procs", pid) {
            Err(error) if error.errno == Errno::INVAL && tries < TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(30));
            }
            other => return other,
        }
    }
}

pub(crate) fn join_path(base: &str, below: &str) -> String {
    let below = below.trim_matches('/');
    if base.is_empty() {
        return if below.is_empty() { ".".to_owned() } else { below.to_owned() };
    }
    if below.is_empty() { base.to_owned() } else { format!("{base}/{below}") }
}

fn sub_path(sub: &str) -> Result<String, AttachError> {
    if sub.split('/').any(|part| part == "..") || sub.contains('\0') {
        return Err(AttachError::SubPath(sub.to_owned()));
    }
    Ok(crate::config::clean(sub))
}
