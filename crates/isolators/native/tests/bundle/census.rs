//! Counting what a container may leave behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Directories of this name in any cgroup hierarchy.
pub fn cgroups_named(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), id, &mut found);
    found
}

fn walk(dir: &Path, id: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.filter_map(Result::ok) {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        if entry.file_name().to_string_lossy().contains(id) {
            found.push(path.clone());
        }
        walk(&path, id, found);
    }
}

/// Removes cgroups of this name, deepest first, so that a failed test does not
/// leave them to the next.
pub(super) fn remove_cgroups(id: &str) {
    for path in cgroups_named(id).iter().rev() {
        let _ = std::fs::remove_dir(path);
    }
}

/// What is there of one container, and of this test process.
#[derive(Debug, PartialEq, Eq)]
pub struct Census {
    /// Mount points of the host below the bundle.
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
    /// Processes whose command or environment names the container.
    processes: BTreeSet<String>,
    /// What lies in the state root.
    states: BTreeSet<PathBuf>,
}

impl Census {
    /// Counts what belongs to this bundle.
    pub fn take(bundle: &super::Bundle) -> Self {
        let path = bundle.path().to_str().unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        Self {
            mounts: mounts.lines().filter(|line| line.contains(path)).map(str::to_owned).collect(),
            cgroups: cgroups_named(&bundle.id).into_iter().collect(),
            processes: processes(&bundle.id),
            states: entries(&bundle.state_root()),
        }
    }
}

fn entries(dir: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(entries(&entry.path()));
        }
        all.insert(entry.path());
    }
    all
}

/// Living processes (no zombies) that have to do with the container.
fn processes(id: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let read = |file: &str| {
            let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        if read("cmdline").contains(id) || read("environ").contains(id) {
            let stat = read("stat");
            let dead = stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"));
            if !dead {
                found.insert(format!("{name}: {}", read("cmdline").replace('\0', " ")));
            }
        }
    }
    found
}
