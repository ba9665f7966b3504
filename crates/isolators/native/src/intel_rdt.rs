//! `linux.intelRdt` by resctrl.

use std::path::{Path, PathBuf};

use caisson_cgroup::resctrl::{Resctrl, ResctrlError};
use caisson_runtime_spec::IntelRdt;
use rustix::process::Pid;

use crate::step::{Context, StepError};

/// A container's classes, checked against the host. Nothing is made yet.
#[derive(Debug)]
pub(crate) struct Classes {
    resctrl: Resctrl,
    removable: Option<PathBuf>,
}

impl Classes {
    /// Fails if the host has no resctrl, or not what is asked for.
    pub(crate) fn open(rdt: &IntelRdt, id: &str) -> Result<Self, StepError> {
        Self::new(Resctrl::open(id, rdt), rdt, id)
    }

    fn new(
        opened: Result<Resctrl, ResctrlError>,
        rdt: &IntelRdt,
        id: &str,
    ) -> Result<Self, StepError> {
        let resctrl = opened.map_err(|error| error.to_string()).context(|| "config.json")?;
        let is_shared = rdt.clos_id.as_deref().is_some_and(|class| !class.is_empty());
        let removable = match (is_shared, rdt.enable_monitoring) {
            (false, _) => Some(resctrl.path()),
            (true, true) => Some(resctrl.path().join("mon_groups").join(id)),
            (true, false) => None,
        };
        Ok(Self { resctrl, removable })
    }

    /// What is the container's own, to be removed with it: its class, or its
    /// monitoring group in a class that others share.
    pub(crate) fn removable(&self) -> Option<PathBuf> {
        self.removable.clone()
    }

    /// Makes the groups and puts the process into them.
    pub(crate) fn apply(&self, rdt: &IntelRdt, pid: Pid) -> Result<(), StepError> {
        self.resctrl
            .create(rdt)
            .and_then(|()| self.resctrl.attach(pid))
            .map_err(|error| error.to_string())
            .context(|| "config.json")
    }

    /// Puts a further process into the groups, which exist.
    pub(crate) fn join(&self, pid: Pid) -> Result<(), StepError> {
        self.resctrl
            .attach(pid)
            .map_err(|error| error.to_string())
            .context(|| "join the container's resctrl groups")
    }
}

/// Removes a group; it may be gone already.
pub(crate) fn remove(path: &Path) {
    let _ = std::fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(root: &Path, rdt: &IntelRdt) -> Classes {
        Classes::new(Resctrl::open_at(root, "c1", rdt), rdt, "c1").unwrap()
    }

    #[test]
    fn only_what_is_the_containers_own_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let own = IntelRdt::default();
        assert_eq!(classes(root.path(), &own).removable(), Some(root.path().join("c1")));
        let shared = IntelRdt { clos_id: Some("gold".to_owned()), ..IntelRdt::default() };
        assert_eq!(classes(root.path(), &shared).removable(), None);
        let watched = IntelRdt { enable_monitoring: true, ..shared };
        let group = root.path().join("gold/mon_groups/c1");
        assert_eq!(classes(root.path(), &watched).removable(), Some(group));
    }

    #[test]
    fn processes_get_into_the_group() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("c1")).unwrap();
        std::fs::write(root.path().join("c1/tasks"), "").unwrap();
        let rdt = IntelRdt::default();
        let classes = classes(root.path(), &rdt);
        classes.apply(&rdt, Pid::from_raw(41).unwrap()).unwrap();
        let tasks = std::fs::read_to_string(root.path().join("c1/tasks")).unwrap();
        assert_eq!(tasks.trim(), "41");
    }

    #[test]
    fn hosts_without_resctrl_are_told_so() {
        let rdt = IntelRdt::default();
        let absent = Path::new("/nonexistent");
        let error = Classes::new(Resctrl::open_at(absent, "c1", &rdt), &rdt, "c1").unwrap_err();
        assert!(error.to_string().contains("no resctrl file system is mounted"), "{error}");
    }
}
