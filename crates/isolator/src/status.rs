//! What a container is doing.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// A container's state, as the OCI runtime-spec names them, and `paused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerStatus {
    /// Being made; a crash during creation leaves it here.
    Creating,
    /// Made, waiting for `start`.
    Created,
    /// The user's program runs.
    Running,
    /// Frozen.
    Paused,
    /// The first process has ended.
    Stopped,
}

impl ContainerStatus {
    /// The name that the OCI state document uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl std::fmt::Display for ContainerStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A container as seen from outside.
#[derive(Clone, Debug)]
pub struct ContainerInfo {
    /// Its name.
    pub id: crate::ContainerId,
    /// What it is doing now.
    pub status: ContainerStatus,
    /// The first process in the caller's PID namespace; 0 when stopped.
    pub pid: i32,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root file system.
    pub rootfs: PathBuf,
    /// When it was made.
    pub created: SystemTime,
    /// Who made it.
    pub owner_uid: u32,
    /// `ociVersion` of its configuration.
    pub oci_version: String,
    /// The configuration's annotations.
    pub annotations: std::collections::BTreeMap<String, String>,
}
