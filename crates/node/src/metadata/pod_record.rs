//! What is kept of a pod and of its containers.

use caisson_cgroup::CgroupState;
use caisson_image::Digest;
use caisson_net::{Interface, PortMapping};
use serde::{Deserialize, Serialize};

use super::Phase;
use crate::pods::request::{PodContainerRequest, PodRequest};
use crate::pods::view::ContainerUser;

/// How far a pod's life has come, as the engine last knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPhase {
    /// Being made.
    Creating,
    /// It stands.
    Ready,
    /// Stopped, or found dead.
    Stopped,
    /// Being removed.
    Removing,
}

impl PodPhase {
    /// Its name, for people too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Stopped => "stopped",
            Self::Removing => "removing",
        }
    }

    pub(super) fn from_name(name: &str) -> Self {
        match name {
            "creating" => Self::Creating,
            "ready" => Self::Ready,
            "stopped" => Self::Stopped,
            // Of no use to anybody, so it may go.
            _ => Self::Removing,
        }
    }
}

/// What lasts of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodDocument {
    /// What was asked.
    pub request: PodRequest,
    /// The handler's name.
    pub handler: String,
}

/// What was made of a pod, and how it went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodOutcome {
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// Its published ports.
    pub ports: Vec<PortMapping>,
    /// Its cgroup.
    pub cgroup: Option<CgroupState>,
    /// Whether its cgroup's limits are ours to set.
    pub own_limits: bool,
    /// The first process of its built-in init, for a shared PID namespace.
    pub init: bool,
    /// Host name inside.
    pub hostname: String,
    /// When it was stopped, nanoseconds since 1970.
    pub stopped_at: Option<u64>,
    /// Why it is not ready, if nobody asked for that.
    pub error: Option<String>,
}

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRecord {
    /// 64 hex digits.
    pub id: String,
    /// How far it has come.
    pub phase: PodPhase,
    /// When it was made, nanoseconds since 1970.
    pub created: u64,
    /// What does not change.
    pub document: PodDocument,
    /// How it went.
    pub outcome: PodOutcome,
}

/// What lasts of a pod's container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerDocument {
    /// What was asked; its limits are those of now.
    pub request: PodContainerRequest,
    /// The image's id.
    pub image: Digest,
    /// The image by a repository's digest, else its id.
    pub image_ref: String,
    /// The same of image volumes, in the order of the request's mounts; empty
    /// for other mounts.
    pub volume_refs: Vec<String>,
    /// Who runs.
    pub user: ContainerUser,
    /// The signal that asks it to end.
    pub stop_signal: i32,
    /// Its log, absolute; empty for none.
    pub log_path: String,
}

/// How a pod's container went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerOutcome {
    /// Its first process, as it was made.
    pub pid: Option<i32>,
    /// When it was started, nanoseconds since 1970.
    pub started: Option<u64>,
    /// When it ended.
    pub finished: Option<u64>,
    /// Its exit code, as a shell reports it.
    pub exit_code: u8,
    /// Whether it was killed for lack of memory.
    pub oom_killed: bool,
    /// Why it could not be started.
    pub start_error: Option<String>,
    /// Why its end is not known.
    pub lost: Option<String>,
}

/// What is kept of a pod's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodContainerRecord {
    /// 64 hex digits.
    pub id: String,
    /// Its pod.
    pub pod: String,
    /// How far it has come.
    pub phase: Phase,
    /// When it was made, nanoseconds since 1970.
    pub created: u64,
    /// What lasts.
    pub document: ContainerDocument,
    /// How it went.
    pub outcome: ContainerOutcome,
}
