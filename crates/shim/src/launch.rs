//! The conversation between a launcher and a new supervisor.

use serde::{Deserialize, Serialize};

use crate::{Fault, NamespaceKind};

/// The first message to a new supervisor, on the launch socket. Descriptors:
/// one for each of `namespaces`; three standard streams if `stdio`; then `held`
/// ones to keep open.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Launch {
    /// The pod's directory, absolute.
    pub pod_dir: std::path::PathBuf,
    /// The namespaces that come along, each kind once.
    pub namespaces: Vec<NamespaceKind>,
    /// Whether the only container gets the launcher's own streams.
    pub stdio: bool,
    /// How many descriptors the supervisor keeps for as long as it lives.
    pub held: u32,
}

/// What a new supervisor says on the launch socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaunchReply {
    /// The containers are made and wait to be started. From here the launcher
    /// owes [`LaunchReply::Committed`].
    Ready {
        /// The supervisor.
        shim_pid: i32,
        /// Each container's first process, in the order of `shim.json`.
        pids: Vec<i32>,
    },
    /// They could not be made; nothing is left.
    Failed(Fault),
    /// The launcher's word: the pod stays, whatever becomes of the launcher.
    Committed,
}
