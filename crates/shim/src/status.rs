//! What a pod and its containers are doing.

use serde::{Deserialize, Serialize};

use crate::ExitRecord;

/// A pod now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodState {
    /// The pod.
    pub id: String,
    /// The supervisor.
    pub shim_pid: i32,
    /// Its containers, in the order in which they were made.
    pub containers: Vec<State>,
}

/// What the container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Being made.
    Creating,
    /// Waits for [`crate::ContainerRequest::Start`].
    Created,
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// Has ended and waits to be run again.
    Restarting,
    /// Has ended for good.
    Stopped,
}

/// A container now. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The container.
    pub id: String,
    /// What it does.
    pub status: Status,
    /// Its first process.
    pub pid: Option<i32>,
    /// The supervisor.
    pub shim_pid: i32,
    /// When it was made.
    pub created_at: u64,
    /// When the current or last run began.
    pub started_at: Option<u64>,
    /// How the last run ended.
    pub exit: Option<ExitRecord>,
    /// How often it was run again.
    pub restarts: u32,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Bytes of output that the log could not take.
    pub log_dropped: u64,
    /// Programs that `exec` started and that still run.
    pub execs: u32,
    /// Clients that are attached.
    pub attached: u32,
    /// Out-of-memory kills seen in this run.
    pub oom: bool,
}
