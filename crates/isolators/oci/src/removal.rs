//! Removing a container, whatever became of its runtime.

use std::time::Duration;

use caisson_isolator::{ContainerId, SandboxError};
use rustix::process::Signal;

use crate::message::means_unknown;
use crate::runtime::{Given, Settings};
use crate::state::{StateDir, open_cgroup};
use caisson_foreign::step::{Context as _, warn};

/// How long a killed process may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Kills and removes all of it. The runtime is asked first; what it leaves is
/// removed without it.
pub(crate) fn remove(
    settings: &Settings,
    id: &ContainerId,
    dir: &StateDir,
) -> Result<(), SandboxError> {
    let force = ["--force".to_owned()];
    let deleted = settings.call(dir, id, "delete", &force, &Given::default());
    let first = dir.first()?;
    let record = dir.record()?;
    let mut cgroups = Vec::new();
    for state in first.iter().map(|first| &first.cgroup).chain(record.iter().map(|r| &r.cgroup)) {
        cgroups.push(open_cgroup(state)?);
    }
    for cgroup in &cgroups {
        // What is left after this, the removal of the cgroup reports.
        let _ = cgroup.kill_all(Signal::KILL);
    }
    if let Some(first) = &first
        && !first.identity.kill(KILL_PATIENCE)?
    {
        let why = format!("it still runs {}s after SIGKILL", KILL_PATIENCE.as_secs());
        return Err(why).context(|| format!("kill container {:?}", id.as_str()));
    }
    for cgroup in &cgroups {
        cgroup.delete().context(|| "remove the container's cgroup")?;
    }
    if let Err(error) = deleted {
        // Hooks of the container's end may not have run.
        if !means_unknown(&error.reason) {
            warn(&format!("{error}; removed without it"));
        }
        let left = settings.runtime_root.join(id.as_str());
        if left.is_dir() {
            std::fs::remove_dir_all(&left).context(|| format!("remove {left:?}"))?;
        }
    }
    dir.remove()
}
