//! Pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ContainerStatus;
use crate::pods::request::PodRequest;

/// Whether a pod can hold containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PodState {
    /// It stands.
    Ready,
    /// It does not: stopped, or lost.
    NotReady,
}

/// A pod in a list.
#[derive(Clone, Debug)]
pub struct PodSummary {
    /// Its id.
    pub id: String,
    /// What was asked for: names, labels, annotations, handler.
    pub request: Arc<PodRequest>,
    /// Its state.
    pub state: PodState,
    /// When it was made, nanoseconds since 1970.
    pub created_at: u64,
}

/// A pod in full.
#[derive(Clone, Debug)]
pub struct PodStatus {
    /// As in lists.
    pub summary: PodSummary,
    /// Its addresses, the first one being the main one; none with the host's
    /// network.
    pub ips: Vec<String>,
    /// The handler that it runs with, the default one by its name.
    pub handler: String,
    /// When all of this was so, nanoseconds since 1970.
    pub timestamp: u64,
    /// Its containers.
    pub containers: Vec<ContainerStatus>,
    /// For people, if asked for: what supervisor, which cgroup, which step.
    pub info: BTreeMap<String, String>,
}
