//! The container state of runtime.md and the message to a seccomp agent.

use crate::lenient::{is_default, null_as_default};
use crate::names::closed_set;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

closed_set! {
    /// Where a container is in its life cycle.
    pub enum Status {
        Creating = "creating",
        Created = "created",
        Running = "running",
        Stopped = "stopped",
    }
}

/// What hooks get on standard input (runtime.md, State).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the specification that the state follows.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Life cycle.
    pub status: Status,
    /// The container's process in the runtime's PID namespace; 0 if there is none.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub pid: i32,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// The config's annotations.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// What a seccomp agent gets along with the descriptors
/// (config-linux.md, The Container Process State).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerProcessState {
    /// Version of the specification.
    pub oci_version: String,
    /// Names of the descriptors of the `SCM_RIGHTS` message, in its order.
    #[serde(default, deserialize_with = "null_as_default")]
    pub fds: Vec<String>,
    /// The process in the runtime's PID namespace.
    pub pid: i32,
    /// `linux.seccomp.listenerMetadata`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub metadata: String,
    /// The container's state.
    pub state: State,
}

/// Name of the seccomp notification descriptor in [`ContainerProcessState::fds`].
pub const SECCOMP_FD_NAME: &str = "seccompFd";
