//! One supervisor per pod: it holds the pod's containers and namespaces, keeps
//! logs and exit statuses, restarts, and lets clients attach to containers and
//! run programs in them.
//!
//! This library is the supervisor's configuration, its protocol, its
//! [`client`], and, for the program `caisson-shim`, the supervisor itself.
//!
//! # A pod's directory
//!
//! | Name | What | Who writes it |
//! |---|---|---|
//! | `shim.json` | [`PodConfig`] | the node, before [`client::launch`] |
//! | `bundle/config.json` | the OCI configuration of a container that names no other bundle, `root.path` being `rootfs` | the node |
//! | `lock` | held (F_OFD_SETLK, fcntl(2)) for as long as the supervisor lives | the supervisor |
//! | `shim.sock` | where it listens, 0600 | the supervisor |
//! | `task.sock` | where it serves containerd, if it does ([`ContainerdConfig`]) | the supervisor |
//! | `shim.log` | warnings that nobody else hears | the supervisor |
//! | `containers/<id>` | [`ContainerConfig`] of each container, from before it is made until it is removed | the supervisor |
//! | `mounts/<id>/` | where the host's mounts are attached that a container's bind mounts show, in the supervisor's mount namespace | the supervisor |
//! | `exit/<id>` | [`ExitRecord`], once the container has ended for good | the supervisor, its guard, or [`client::collect`] |
//!
//! The directory is the node's to make (0700) and to remove, after the
//! supervisor is gone. Mounts are in a mount namespace of the supervisor's own:
//! they vanish with it, and nobody else sees them.
//!
//! # When somebody dies
//!
//! * The launcher, before it has committed: the pod goes away as a whole.
//! * The launcher, later: nothing happens to the pod.
//! * The supervisor: its guard, a copy of it that sleeps until then, kills every
//!   container, removes what it had, and writes an exit record of unknown
//!   status ([`ExitRecord::LOST`]) for each that had none.
//! * Both: containers may run on until [`client::collect`] does the same.

pub mod client;
mod config;
mod containerd;
mod description;
mod event;
mod exit;
mod fault;
mod launch;
mod protocol;
mod status;
pub mod supervisor;
mod wire;

pub use caisson_containerd::task::MountRequest;
pub use config::{
    ContainerConfig, ContainerdConfig, ForeignShim, LogConfig, LogDriver, NamespaceKind,
    OciRuntime, PodConfig, RestartPolicy, RootfsMount, SentryOptions, StdinMode,
};
pub use description::Description;
pub use event::{Event, Happening};
pub use exit::{ExecExit, ExitRecord, now_nanos};
pub use fault::{Fault, FaultKind};
pub use launch::{Launch, LaunchReply};
pub use protocol::{
    AttachSpec, ContainerRequest, ExecIo, ExecSpec, OnStall, Request, Response, Started,
};
pub use status::{PodState, State, Status};

/// The names in a pod's directory.
pub mod names {
    /// The supervisor's configuration.
    pub const CONFIG: &str = "shim.json";
    /// The lock that shows that a supervisor lives.
    pub const LOCK: &str = "lock";
    /// Where the supervisor listens.
    pub const SOCKET: &str = "shim.sock";
    /// Where it serves containerd, if it does.
    pub const TASK_SOCKET: &str = "task.sock";
    /// What the name of a directory ends in that is being removed.
    pub(crate) const GONE: &str = "gone";
    /// The directory of the containers' configurations.
    pub const CONTAINERS: &str = "containers";
    /// The directory of how containers ended.
    pub const EXIT: &str = "exit";
    /// The directory of places for the host's mounts that containers show, one
    /// below it for each container.
    pub(crate) const MOUNTS: &str = "mounts";
    /// The OCI bundle of a container that names no other.
    pub const BUNDLE: &str = "bundle";
}
