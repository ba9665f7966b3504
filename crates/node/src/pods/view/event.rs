//! What happened.

use super::{ContainerStatus, PodStatus};

/// What happened to a container, or to a pod's sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PodEventKind {
    /// It was made.
    Created,
    /// It runs.
    Started,
    /// It has ended.
    Stopped,
    /// It was removed.
    Deleted,
}

/// An event.
#[derive(Clone, Debug)]
pub struct PodEvent {
    /// The container, or the pod for what happened to the sandbox.
    pub id: String,
    /// What happened.
    pub kind: PodEventKind,
    /// When, nanoseconds since 1970.
    pub time: u64,
    /// The pod as it was then; `None` once it is gone.
    pub pod: Option<PodStatus>,
    /// Its containers as they were then.
    pub containers: Vec<ContainerStatus>,
}
