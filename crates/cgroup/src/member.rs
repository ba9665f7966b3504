//! The cgroup that somebody else has made for a process.

use crate::cgroup::{Cgroup, Node};
use crate::dir::read_file;
use crate::error::FileError;
use crate::layout::{Layout, LayoutError, own_cgroups};
use rustix::process::Pid;

/// Why a process's cgroup could not be found.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// `/proc/PID/cgroup` can't be read: the process is gone.
    #[error("can't read the process's cgroups: {0}")]
    Read(#[from] FileError),
    /// The host's hierarchies can't be found.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl Cgroup {
    /// The cgroup that `pid` is in, hierarchy by hierarchy. Those in which it
    /// is where the caller is, or at the root, or outside of what is mounted
    /// here, are left out: nothing of them is the process's own. Perhaps
    /// nothing is left then ([`Cgroup::is_none`]).
    ///
    /// # Errors
    /// [`MemberError`].
    pub fn of_process(pid: Pid) -> Result<Cgroup, MemberError> {
        let text = read_file(&format!("/proc/{}/cgroup", pid.as_raw_nonzero()))?;
        let mut layout = Layout::detect()?;
        if !layout.hierarchies().iter().all(|hierarchy| layout.has_mount(hierarchy)) {
            layout = Layout::from_mountinfo()?;
        }
        let mut nodes = Vec::new();
        for hierarchy in layout.hierarchies() {
            let line = own_cgroups(&text).find(|(name, _)| *name == hierarchy.name);
            let Some((_, path)) = line else { continue };
            let path = layout.below_mount(hierarchy, path)?;
            let outside = path.split('/').any(|part| part == "..");
            if path.is_empty() || outside || path == layout.own_cgroup(hierarchy)? {
                continue;
            }
            let slash = if hierarchy.mount.is_empty() { "" } else { "/" };
            nodes.push(Node {
                controllers: hierarchy.controllers,
                rel: format!("{}{slash}{path}", hierarchy.mount),
                mount_len: hierarchy.mount.len(),
            });
        }
        let kind = layout.kind();
        let (root, root_path) = layout.into_root();
        Ok(Cgroup { kind, root, root_path, nodes, rootless: false, unit: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CgroupConfig, Driver};
    use std::process::{Command, Stdio};

    #[test]
    fn what_is_the_callers_own_is_nobodys() {
        let own = Cgroup::of_process(rustix::process::getpid()).unwrap();
        assert!(own.is_none(), "{own:?}");
    }

    #[test]
    fn a_members_cgroup_is_the_one_that_was_made() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: needs root");
            return;
        }
        let id = format!("caisson-member-{}", std::process::id());
        let config = CgroupConfig {
            id: &id,
            cgroups_path: None,
            driver: Driver::Cgroupfs,
            rootless: false,
            scope_prefix: "test",
        };
        let made = Cgroup::create(&config, None).unwrap();
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        made.attach(pid).unwrap();
        let found = Cgroup::of_process(pid).unwrap().state();
        made.kill_all(rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        let gone = Cgroup::of_process(pid).is_err();
        made.delete().unwrap();
        assert_eq!(found, made.state());
        assert!(gone);
    }
}
