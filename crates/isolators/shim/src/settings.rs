//! A foreign shim, and how it is run.

use std::path::PathBuf;

/// What is to be known of a foreign shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The program, absolute.
    pub program: PathBuf,
    /// containerd's namespace: what tells its containers from others'.
    pub namespace: String,
    /// Where the caller answers, for shims that ask: the daemon's socket.
    pub address: String,
    /// The program that a shim is told to publish events with.
    pub publisher: PathBuf,
    /// The runtime's options, a `google.protobuf.Any`; empty: none.
    pub options: Vec<u8>,
    /// Where we keep what is to be known of one pod's containers.
    pub state_root: PathBuf,
    /// The process that holds the descriptors which a configuration names as
    /// `/proc/self/fd/N`, for as long as the containers live.
    pub holder: i32,
    /// Whether the shim's runtime has systemd make the cgroups.
    pub systemd_cgroup: bool,
}
