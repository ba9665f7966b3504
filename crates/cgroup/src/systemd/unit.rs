//! A transient unit.

use crate::config::{CgroupConfig, UnitPath};
use serde::{Deserialize, Serialize};

/// Why systemd could not make, change or remove the cgroup.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// Not possible, as with runc.
    #[error("cannot use rootless systemd cgroups manager on cgroup v1")]
    RootlessLegacy,
    /// The host was not booted with systemd.
    #[error("systemd not running on this host, cannot use systemd cgroups manager")]
    NotRunning,
}

/// A unit, as kept in the container's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// Name: `prefix-name.scope`, or `name.slice`.
    pub name: String,
    /// Slice that holds it.
    pub slice: String,
    /// Path of the cgroup below the mount point.
    pub path: String,
    /// Whether the user's own systemd made it.
    #[serde(default)]
    pub user: bool,
}

/// A unit of the system's or the user's systemd.
#[derive(Debug, Clone)]
pub(crate) struct Unit(UnitState);

impl From<UnitState> for Unit {
    fn from(state: UnitState) -> Unit {
        Unit(state)
    }
}

impl Unit {
    pub(crate) fn plan(path: UnitPath, config: &CgroupConfig<'_>) -> Result<Unit, UnitError> {
        let below = if path.slice_path.is_empty() { String::new() } else { path.slice_path + "/" };
        Ok(Unit(UnitState {
            path: below + &path.unit,
            name: path.unit,
            slice: path.slice,
            user: config.rootless,
        }))
    }

    pub(crate) fn state(&self) -> UnitState {
        self.0.clone()
    }

    pub(crate) fn cgroup_path(&self) -> String {
        self.0.path.clone()
    }

    pub(crate) fn stop(&self) -> Result<(), UnitError> {
        Err(UnitError::NotRunning)
    }
}
