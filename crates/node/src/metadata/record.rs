//! What is kept of a container.

use caisson_image::Digest;
use caisson_net::{Interface, PortMapping};
use serde::{Deserialize, Serialize};

use crate::request::ContainerRequest;

/// How far a container's life has come, as the engine last knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Being made. If nobody holds its lock, its maker has died.
    Creating,
    /// Made, never started.
    Created,
    /// Handed to a supervisor.
    Running,
    /// Ended.
    Exited,
    /// Being removed.
    Removing,
}

impl Phase {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Removing => "removing",
        }
    }

    pub(super) fn from_name(name: &str) -> Self {
        match name {
            "creating" => Self::Creating,
            "created" => Self::Created,
            "running" => Self::Running,
            "exited" => Self::Exited,
            // Of no use to anybody, so it may go.
            _ => Self::Removing,
        }
    }
}

/// A mount as it was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRecord {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// The volume's name.
    pub volume: Option<String>,
    /// The path on the host; empty for a tmpfs.
    pub source: String,
    /// The path inside.
    pub destination: String,
    /// Whether it can be written.
    pub writable: bool,
    /// Options beside those.
    pub options: Vec<String>,
}

/// A network as it was set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkRecord {
    /// `bridge`, `host`, `none`…
    pub mode: String,
    /// Interfaces as the network layer reported them.
    pub interfaces: Vec<Interface>,
    /// Ports that are published.
    pub ports: Vec<PortMapping>,
}

/// What the container runs, image and request put together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Program {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// How many of them are the entry point.
    pub entrypoint_len: usize,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory.
    pub working_dir: String,
    /// `user[:group]`, empty for root.
    pub user: String,
    /// Labels, the image's and the request's.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Signal that asks it to end.
    pub stop_signal: i32,
    /// Ports that image and request name, `80/tcp`.
    pub exposed_ports: Vec<String>,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// When it was last started, nanoseconds since 1970.
    pub started: Option<u64>,
    /// When it ended.
    pub finished: Option<u64>,
    /// Its exit code, as a shell reports it.
    pub exit_code: u8,
    /// Whether it was killed for lack of memory.
    pub oom_killed: bool,
    /// Why it could not be started, or why its end is not known.
    pub error: Option<String>,
    /// How often the supervisor started it again.
    pub restarts: u32,
    /// Whether the user asked it to end.
    pub stopped: bool,
    /// Its network, while it runs and as it last was.
    pub network: Option<NetworkRecord>,
}

/// What is kept of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRecord {
    /// 64 hex digits.
    pub id: String,
    /// Unique.
    pub name: String,
    /// How far it has come.
    pub phase: Phase,
    /// When it was made, nanoseconds since 1970.
    pub created: u64,
    /// What does not change after it was made, `update` and limits aside.
    pub document: Document,
    /// How it went.
    pub outcome: Outcome,
}

/// The lasting part of a [`ContainerRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What was asked.
    pub request: ContainerRequest,
    /// The handler's name.
    pub handler: String,
    /// The image's id.
    pub image: Digest,
    /// What runs.
    pub program: Program,
    /// What is mounted.
    pub mounts: Vec<MountRecord>,
}
