//! Counting what containers could leave behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::{WaitOptions, wait};

use crate::error::BenchError;

/// Collects children that have ended; returns how many.
pub(crate) fn reap_orphans() -> usize {
    let mut reaped = 0;
    while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {
        reaped += 1;
    }
    reaped
}

/// What exists at one moment and bears a mark in its name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Lines of this mount namespace's mount table. It is private: no other
    /// program mounts into it.
    pub(crate) mounts: BTreeSet<String>,
    /// cgroup directories whose path contains the mark.
    pub(crate) cgroups: BTreeSet<String>,
    /// Descendants of this process, which is their reaper, with their names.
    pub(crate) processes: BTreeSet<String>,
    /// Entries of the runtime's state directory whose names contain the mark.
    pub(crate) state: BTreeSet<String>,
}

impl Census {
    /// Takes the census of `mark` and of the state directory `root`.
    pub(crate) fn take(mark: &str, root: &Path) -> Result<Self, BenchError> {
        let mountinfo = "/proc/self/mountinfo";
        let mounts = fs::read_to_string(mountinfo).map_err(BenchError::path("read", mountinfo))?;
        let mut census = Self {
            // Without mount ids: they differ even where nothing changed.
            mounts: mounts.lines().map(|l| l.splitn(3, ' ').skip(2).collect()).collect(),
            ..Self::default()
        };
        cgroups(Path::new("/sys/fs/cgroup"), mark, &mut census.cgroups);
        let children = format!("/proc/self/task/{}/children", std::process::id());
        let children = fs::read_to_string(&children).map_err(BenchError::path("read", children))?;
        for pid in children.split_whitespace() {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            census.processes.insert(format!("{pid} {}", name.trim()));
        }
        if root.exists() {
            let entries = fs::read_dir(root).map_err(BenchError::path("list", root))?;
            census.state = entries
                .filter_map(Result::ok)
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .filter(|name| name.contains(mark))
                .collect();
        }
        Ok(census)
    }

    /// What is here and was not in `before`, one line per thing.
    pub(crate) fn since(&self, before: &Self) -> Vec<String> {
        [
            ("mount", &self.mounts, &before.mounts),
            ("cgroup", &self.cgroups, &before.cgroups),
            ("process", &self.processes, &before.processes),
            ("state", &self.state, &before.state),
        ]
        .into_iter()
        .flat_map(|(kind, now, then)| now.difference(then).map(move |t| format!("{kind} {t}")))
        .collect()
    }
}

fn cgroups(directory: &Path, mark: &str, found: &mut BTreeSet<String>) {
    // Other programs' cgroups come and go meanwhile: a directory that can't
    // be listed any more holds nothing of ours.
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            let path = entry.path();
            if path.to_string_lossy().contains(mark) && path.join("cgroup.procs").exists() {
                found.insert(path.display().to_string());
            }
            cgroups(&path, mark, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_kind() {
        let before = Census::default();
        let mut after = Census::default();
        after.cgroups.insert("/sys/fs/cgroup/pids/x".into());
        after.state.insert("x".into());
        assert_eq!(after.since(&before), ["cgroup /sys/fs/cgroup/pids/x", "state x"]);
        assert!(before.since(&after).is_empty());
    }

    #[test]
    fn this_process_can_be_counted() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("no-cgroup-has-this-name"), "").unwrap();
        fs::write(root.path().join("other"), "").unwrap();
        let census = Census::take("no-cgroup-has-this-name", root.path()).unwrap();
        assert!(census.cgroups.is_empty());
        assert!(!census.mounts.is_empty());
        assert_eq!(census.state.len(), 1);
    }
}
