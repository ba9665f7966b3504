//! Mounts of containers that have no mount namespace: they lie on the host.

use std::path::Path;

use rustix::mount::{UnmountFlags, unmount};

use crate::step::{Context, StepError};

/// How many mounts lie on each other at `path`, by proc_pid_mountinfo(5).
pub(crate) fn stacked(path: &Path) -> Result<usize, StepError> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").context(|| "read mountinfo")?;
    let wanted = path.to_string_lossy().replace(' ', "\\040");
    Ok(text.lines().filter(|line| line.split(' ').nth(4) == Some(&*wanted)).count())
}

/// Takes away what was mounted at `path`, and all below it, since there were
/// `before` mounts.
pub(crate) fn unmount_since(path: &Path, before: usize) -> Result<(), StepError> {
    for _ in before..stacked(path)? {
        unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .context(|| format!("unmount {}", path.display()))?;
    }
    Ok(())
}
