//! Containers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pods::request::{ContainerMount, PodContainerRequest, PodResources};

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerState {
    /// Made, not started.
    Created,
    /// It runs.
    Running,
    /// It has ended.
    Exited,
    /// Nobody knows.
    Unknown,
}

/// A container in a list.
#[derive(Clone, Debug)]
pub struct ContainerSummary {
    /// Its id.
    pub id: String,
    /// Its pod.
    pub pod: String,
    /// What was asked for: name, image, labels, annotations.
    pub request: Arc<PodContainerRequest>,
    /// The id of its image.
    pub image_id: String,
    /// The image by a digest reference where it has one, else its id.
    pub image_ref: String,
    /// Its state.
    pub state: ContainerState,
    /// When it was made, nanoseconds since 1970.
    pub created_at: u64,
}

/// A container in full.
#[derive(Clone, Debug)]
pub struct ContainerStatus {
    /// As in lists.
    pub summary: ContainerSummary,
    /// When it was started; 0: never.
    pub started_at: u64,
    /// When it ended; 0: not yet.
    pub finished_at: u64,
    /// Its exit code, as a shell reports it.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `ContainerStatusUnknown`,
    /// `StartError`; empty while it has not ended.
    pub reason: String,
    /// More about it, for people.
    pub message: String,
    /// Its log, absolute; empty: none.
    pub log_path: String,
    /// Its mounts.
    pub mounts: Vec<MountStatus>,
    /// Its limits as they are now.
    pub resources: Option<PodResources>,
    /// Who it runs as; `None` before that is known.
    pub user: Option<ContainerUser>,
    /// The signal that asks it to end, such as `SIGTERM`.
    pub stop_signal: String,
    /// Its first process on the host, while it has one.
    pub pid: Option<i32>,
    /// For people, if asked for.
    pub info: BTreeMap<String, String>,
}

/// A mount as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountStatus {
    /// As it was asked for.
    pub request: ContainerMount,
    /// For an image volume the reference of the image that was taken.
    pub image_ref: String,
}

/// Identity of a container's first process.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContainerUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}
