//! Members of the cgroup.

use crate::cgroup::Cgroup;
use crate::dir::CgroupDir;
use crate::error::FileError;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

/// Child cgroups deeper than this are not looked at; the kernel's own limit
/// (`cgroup.max.depth`) is unlimited by default, the stack is not.
const MAX_DEPTH: usize = 64;

impl Cgroup {
    /// Processes in the cgroup and, if `recursive`, in its child cgroups.
    /// Empty if the cgroup is gone. Pids of another pid namespace are left out.
    pub fn pids(&self, recursive: bool) -> Result<Vec<Pid>, FileError> {
        let mut pids = Vec::new();
        if let Some(dir) = self.main_dir() {
            collect(dir, recursive, 0, &mut pids)?;
        }
        Ok(pids)
    }

    /// Whether the cgroup's directory exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.main_node().is_some_and(|node| {
            let access = rustix::fs::Access::EXISTS;
            rustix::fs::accessat(&self.root, node.rel.as_str(), access, AtFlags::empty()).is_ok()
        })
    }
}

fn collect(
    dir: CgroupDir<'_>,
    recursive: bool,
    depth: usize,
    pids: &mut Vec<Pid>,
) -> Result<(), FileError> {
    let text = match dir.read_if_present("cgroup.procs") {
        // A threaded v2 cgroup lists threads only.
        Err(error) if error.errno == Errno::OPNOTSUPP => dir.read_if_present("cgroup.threads")?,
        other => other?,
    };
    let Some(text) = text else { return Ok(()) };
    pids.extend(text.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)));
    if !recursive || depth >= MAX_DEPTH {
        return Ok(());
    }
    let fd = match dir.open("", OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(fd) => fd,
        Err(error) if error.errno == Errno::NOENT => return Ok(()),
        Err(error) => return Err(error),
    };
    let path = dir.path_of("");
    let failed = |errno| FileError { action: "list", path: path.clone(), value: None, errno };
    let mut entries = rustix::fs::Dir::read_from(&fd).map_err(failed)?;
    while let Some(entry) = entries.read() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        if entry.file_type() != FileType::Directory {
            continue;
        }
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name != "." && name != ".." {
            collect(CgroupDir::new(fd.as_fd(), &path, name), true, depth + 1, pids)?;
        }
    }
    Ok(())
}
