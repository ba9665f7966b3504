//! `shim.json`: what a supervisor is to hold.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How `bundle/config.json` names the network namespace that was handed to
/// [`crate::client::launch`]: the supervisor keeps it under this number.
pub const NETNS_PATH: &str = "/proc/self/fd/10";

/// A supervisor's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShimConfig {
    /// The container's name, as the isolator's ids.
    pub id: String,
    /// The isolator; `native` is the only one yet.
    pub isolator: String,
    /// Where the isolator keeps its state, absolute.
    pub state_root: PathBuf,
    /// Have systemd make the cgroup.
    #[serde(default)]
    pub systemd_cgroup: bool,
    /// Tolerate what a user without root can't have; `None`: find out.
    #[serde(default)]
    pub rootless: Option<bool>,
    /// What becomes `bundle/rootfs`.
    pub rootfs: RootfsMount,
    /// Where output is kept.
    #[serde(default)]
    pub log: LogConfig,
    /// What the container reads.
    #[serde(default)]
    pub stdin: StdinMode,
    /// Whether to run it again when it has ended.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// The signal that asks the container to end; SIGTERM if absent.
    #[serde(default)]
    pub stop_signal: Option<i32>,
    /// How long it may take to end when the supervisor itself is told to
    /// (SIGTERM), milliseconds; ten seconds if absent.
    #[serde(default)]
    pub stop_grace_ms: Option<u64>,
    /// Put `caisson-init` (beside `caisson-shim`) in front of the program as
    /// process 1: it passes signals on and reaps.
    #[serde(default)]
    pub init: bool,
    /// Run, in the host's mount namespace, once the container has ended for
    /// good and the supervisor has let go of everything. Empty: nothing.
    #[serde(default)]
    pub exit_command: Vec<String>,
    /// Stay after the end, to answer questions, until told to go.
    #[serde(default)]
    pub linger: bool,
}

/// The container's root file system.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RootfsMount {
    /// Nothing is mounted: `config.json` names a directory.
    None,
    /// An overlay of directories.
    Overlay {
        /// Read-only layers, the topmost first; at least one.
        lowers: Vec<PathBuf>,
        /// The writable layer and its work directory.
        #[serde(default)]
        upper: Option<(PathBuf, PathBuf)>,
        /// Refuse all writes.
        #[serde(default)]
        read_only: bool,
        /// Keep overlay's marks in `user.*` attributes: in a user namespace.
        #[serde(default)]
        userxattr: bool,
        /// Never wait for the disk; the upper layer does not survive a crash
        /// of the machine.
        #[serde(default)]
        volatile: bool,
    },
}

/// Where the container's output is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The format.
    pub driver: LogDriver,
    /// The file, absolute. Older ones have `.1`, `.2`… behind the name.
    pub path: PathBuf,
    /// When to start a new file, bytes; 0: never.
    pub max_size: u64,
    /// How many files to keep, the current one included; at least 1.
    pub max_files: u32,
}

/// The format of logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Nothing is kept.
    #[default]
    None,
    /// Lines of `{"log":…,"stream":…,"time":…}`, as docker writes them.
    JsonFile,
    /// `<time> <stream> P|F <text>`, as the CRI asks for.
    K8s,
}

/// What the container reads from its standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StdinMode {
    /// Nothing: `/dev/null`.
    #[default]
    Closed,
    /// What attached clients send, as long as it lives.
    Open,
    /// What the first client to attach with input sends; its leaving is the end.
    Once,
}

/// Whether a container that has ended is run again. One that was stopped by
/// request never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// It is not.
    #[default]
    No,
    /// Always.
    Always,
    /// Always; the node also starts it with the machine, unless it was stopped.
    UnlessStopped,
    /// If it failed, and at most so often; 0: without limit.
    OnFailure(u32),
}
