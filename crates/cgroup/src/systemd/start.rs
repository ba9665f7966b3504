//! Bringing a container's unit into being, and what systemd leaves to do.

use crate::cgroup::Cgroup;
use crate::controllers::Controllers;
use crate::create::{CreateError, Made, make};
use crate::dir::read_file;
use crate::error::FileError;
use crate::join::write_pid;
use crate::layout::LayoutKind;
use crate::systemd::property::UnitProperty;
use caisson_runtime_spec::Resources;
use rustix::fs::{AtFlags, Uid};
use rustix::io::Errno;
use rustix::process::Pid;

impl Cgroup {
    /// With the systemd driver: starts the unit with the container's first
    /// process, which must not have been let loose yet, then makes what systemd
    /// does not (hierarchies that it does not know), and writes all limits.
    /// Without that driver nothing is done.
    ///
    /// After an error the caller kills the process and calls [`Cgroup::delete`].
    pub fn start_unit(
        &self,
        pid: Pid,
        resources: Option<&Resources>,
        extra: &[UnitProperty],
    ) -> Result<(), CreateError> {
        let Some(unit) = &self.unit else { return Ok(()) };
        let default = Resources::default();
        let resources = resources.unwrap_or(&default);
        crate::requested::check_version(resources, self.kind)?;
        let raw = pid.as_raw_nonzero().get();
        let unified = self.kind == LayoutKind::Unified;
        let resources = unit.start(raw.unsigned_abs(), resources, unified, extra)?;
        if unified {
            crate::v2::controllers::enable(self, Some(&resources))?;
        } else {
            self.join_others(&raw.to_string(), &resources)?;
        }
        self.apply(&resources, false)?;
        Ok(())
    }

    /// v1: systemd makes the unit's cgroup in those hierarchies only of which
    /// it sets a property.
    fn join_others(&self, pid: &str, resources: &Resources) -> Result<(), CreateError> {
        let theirs = Controllers::SYSTEMD | Controllers::UNIFIED;
        let mut made = Made::default();
        let others = || self.nodes.iter().filter(|node| !theirs.intersects(node.controllers));
        for node in others() {
            make(self.root(), self.root_path(), node, &mut made)?;
        }
        crate::v1::cpuset::inherit(self, Some(resources))?;
        for node in others() {
            write_pid(self.dir_of(node), pid)?;
        }
        Ok(())
    }

    /// v2: hands the cgroup to a user, so that he can make child cgroups and move
    /// processes among them: owner of the directory and of the files that
    /// `/sys/kernel/cgroup/delegate` names (cgroups(7), "Cgroups delegation").
    pub fn delegate_to(&self, uid: Uid) -> Result<(), FileError> {
        let Some(node) = self.unified_node().filter(|_| self.kind == LayoutKind::Unified) else {
            return Ok(());
        };
        let names = read_file("/sys/kernel/cgroup/delegate").unwrap_or_else(|_| {
            "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".to_owned()
        });
        for name in std::iter::once("").chain(names.lines()) {
            let path = crate::join::join_path(&node.rel, name);
            match rustix::fs::chownat(self.root(), path.as_str(), Some(uid), None, AtFlags::empty())
            {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => {
                    let path = self.dir_of(node).path_of(name);
                    return Err(FileError { action: "chown", path, value: None, errno });
                }
            }
        }
        Ok(())
    }
}
