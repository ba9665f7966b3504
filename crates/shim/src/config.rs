//! `shim.json`: what a supervisor is to hold.

use std::path::PathBuf;

use caisson_containerd::task::MountRequest;
use serde::{Deserialize, Serialize};

/// A namespace of the pod that its containers share. The launcher hands over a
/// descriptor of it ([`crate::client::LaunchFds::namespaces`]); it lives as long
/// as the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamespaceKind {
    /// Network.
    Net,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// User and group ids.
    User,
}

impl NamespaceKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Net, Self::Ipc, Self::Uts, Self::User];

    /// How a bundle's `config.json` names the pod's namespace of this kind: the
    /// supervisor, and whatever makes a container for it, has it under this
    /// number.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Net => "/proc/self/fd/10",
            Self::Ipc => "/proc/self/fd/11",
            Self::Uts => "/proc/self/fd/12",
            Self::User => "/proc/self/fd/13",
        }
    }

    /// The number in [`NamespaceKind::path`].
    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::Net => 10,
            Self::Ipc => 11,
            Self::Uts => 12,
            Self::User => 13,
        }
    }
}

/// A supervisor's configuration: a pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodConfig {
    /// The pod's name, for messages.
    pub id: String,
    /// The isolator: `native`, `oci` or `shim`.
    pub isolator: String,
    /// The runtime that the isolator `oci` calls.
    #[serde(default)]
    pub oci: Option<OciRuntime>,
    /// The shim that the isolator `shim` runs.
    #[serde(default)]
    pub shim: Option<ForeignShim>,
    /// Where the isolator keeps its state, absolute.
    pub state_root: PathBuf,
    /// What only the isolator `sentry` asks for.
    #[serde(default)]
    pub sentry: SentryOptions,
    /// Have systemd make the containers' cgroups.
    #[serde(default)]
    pub systemd_cgroup: bool,
    /// Tolerate what a user without root can't have; `None`: find out.
    #[serde(default)]
    pub rootless: Option<bool>,
    /// The cgroup that the supervisor moves itself to, as `/name/name`, in every
    /// hierarchy; made if it is missing, never removed. `None`: it stays in its
    /// launcher's.
    #[serde(default)]
    pub cgroup: Option<String>,
    /// The containers to make at launch. More come by
    /// [`crate::client::Shim::create`].
    #[serde(default)]
    pub containers: Vec<ContainerConfig>,
    /// Run, in the host's mount namespace, once the supervisor has let go of
    /// everything. Empty: nothing.
    #[serde(default)]
    pub exit_command: Vec<String>,
    /// Stay when no container is left to run, to answer questions and to take
    /// new ones, until told to go. Needed for a pod that starts without any.
    #[serde(default)]
    pub linger: bool,
    /// Serve containerd, too.
    #[serde(default)]
    pub containerd: Option<ContainerdConfig>,
    /// How long one step (to make, to start, to remove a container, to execute
    /// a program in it) may take, milliseconds; two minutes if absent. What
    /// takes longer is killed, and the caller hears which step it was.
    #[serde(default)]
    pub step_limit_ms: Option<u64>,
}

/// How the isolator `sentry` makes its sandboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SentryOptions {
    /// TCP and UDP are the host's kernel's, not the sandbox's own: faster, and a weaker
    /// wall.
    pub host_sockets: bool,
}

/// A container of a pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerConfig {
    /// The container's name, as the isolator's ids; nobody else below the same
    /// [`PodConfig::state_root`] may have it.
    pub id: String,
    /// Its OCI bundle, absolute; `bundle` in the pod's directory if absent.
    #[serde(default)]
    pub bundle: Option<PathBuf>,
    /// What becomes `rootfs` in its bundle.
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
    /// Join the PID namespace of this container of the same pod, which must
    /// have been made before. `config.json` must not ask for another.
    #[serde(default)]
    pub share_pids_with: Option<String>,
}

/// A pod that containerd runs, through its protocol of shims.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerdConfig {
    /// containerd's namespace.
    pub namespace: String,
    /// Where containerd hears of events: the socket of its ttrpc server.
    pub events: Option<PathBuf>,
}

/// The container's root file system.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RootfsMount {
    /// Nothing is mounted: `config.json` names a directory.
    None,
    /// These, one after the other.
    Mounts(Vec<MountRequest>),
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
        /// Map the ids of the read-only layers by the pod's user namespace
        /// ([`NamespaceKind::User`]): what belongs to root in them belongs to
        /// the namespace's root in the container. The upper layer's files have
        /// the ids of the host that the namespace's stand for.
        #[serde(default)]
        mapped: bool,
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

/// A shim that others made, of containerd's protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignShim {
    /// The program, absolute.
    pub program: PathBuf,
    /// containerd's namespace, as the shim is told.
    pub namespace: String,
    /// The socket of whoever it works for, as it is told.
    pub address: String,
    /// Options of its runtime: a `google.protobuf.Any`; empty: none.
    #[serde(default)]
    pub options: Vec<u8>,
}

/// A runtime that others made, with runc's command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OciRuntime {
    /// The program, absolute.
    pub program: PathBuf,
    /// Arguments that come before all others.
    #[serde(default)]
    pub args: Vec<String>,
    /// Where it keeps its state (`--root`), absolute.
    pub root: PathBuf,
}
