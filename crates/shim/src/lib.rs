//! One supervisor per pod: it holds a container, keeps its logs and its exit
//! status, restarts it, and lets clients attach to it and run programs in it.
//!
//! This library is the supervisor's configuration, its protocol, its
//! [`client`], and, for the program `caisson-shim`, the supervisor itself.
//!
//! # A pod's directory
//!
//! | Name | What | Who writes it |
//! |---|---|---|
//! | `shim.json` | [`ShimConfig`] | the node, before [`client::launch`] |
//! | `bundle/config.json` | the OCI configuration, `root.path` being `rootfs` | the node |
//! | `lock` | held (flock(2)) for as long as the supervisor lives | the supervisor |
//! | `shim.sock` | where it listens, 0600 | the supervisor |
//! | `shim.log` | warnings that nobody else hears | the supervisor |
//! | `exit` | [`ExitRecord`], once the container has ended for good | the supervisor, or [`client::collect`] |
//!
//! The directory is the node's to make (0700) and to remove, after the
//! supervisor is gone. Mounts are in a mount namespace of the supervisor's own:
//! they vanish with it, and nobody else sees them.
//!
//! # When somebody dies
//!
//! * The launcher, before it has committed: the pod goes away as a whole.
//! * The launcher, later: nothing happens to the pod.
//! * The supervisor: its guard, a copy of it that sleeps until then, kills the
//!   container, removes what it had, and writes an exit record of unknown
//!   status ([`ExitRecord::LOST`]).
//! * Both: the container may run on until [`client::collect`] does the same.

pub mod client;
mod config;
mod exit;
mod fault;
mod protocol;
pub mod supervisor;
mod wire;

pub use config::{
    LogConfig, LogDriver, NETNS_PATH, RestartPolicy, RootfsMount, ShimConfig, StdinMode,
};
pub use exit::{ExecExit, ExitRecord, now_nanos};
pub use fault::{Fault, FaultKind};
pub use protocol::{
    AttachSpec, ExecIo, ExecSpec, Launch, LaunchReply, OnStall, Request, Response, Started, State,
    Status,
};

/// The names in a pod's directory.
pub mod names {
    /// The supervisor's configuration.
    pub const CONFIG: &str = "shim.json";
    /// The lock that shows that a supervisor lives.
    pub const LOCK: &str = "lock";
    /// Where the supervisor listens.
    pub const SOCKET: &str = "shim.sock";
    /// How the container ended.
    pub const EXIT: &str = "exit";
    /// The OCI bundle.
    pub const BUNDLE: &str = "bundle";
}
