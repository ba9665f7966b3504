//! Messages of `containerd.task.v2.Task` and `v3.Task`, which are the same.

mod caller;
mod shim;

use serde::{Deserialize, Serialize};

pub use caller::{of_container, pid_of, pids_of, shutdown, update};
pub use shim::{connected, deleted, pids, process, state, waited};

/// The service that our supervisor offers.
pub const SERVICE: &str = "containerd.task.v2.Task";
/// The service of shims of protocol version 3.
pub const SERVICE_V3: &str = "containerd.task.v3.Task";

/// Where a process's streams are: paths of FIFOs, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stdio {
    /// The process has a terminal, whose other side is `stdin` and `stdout`.
    pub terminal: bool,
    /// What it reads.
    pub stdin: String,
    /// What it writes.
    pub stdout: String,
    /// What it writes of errors.
    pub stderr: String,
}

/// What a method works on: a container, or a program that was added to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The container.
    pub id: String,
    /// Empty: the container itself.
    pub exec: String,
}

/// A mount as containerd describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountRequest {
    /// The file system, or `bind`.
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Where, below the root file system; empty: there itself.
    pub target: String,
    /// As for mount(8).
    pub options: Vec<String>,
}

/// A container to make.
#[derive(Clone, Debug, Default)]
pub struct Create {
    /// Its name.
    pub id: String,
    /// The directory of its `config.json`.
    pub bundle: String,
    /// What becomes `rootfs` in its bundle.
    pub rootfs: Vec<MountRequest>,
    /// Its streams.
    pub stdio: Stdio,
    /// What to restore it from; empty: nothing.
    pub checkpoint: String,
    /// Options of the runtime, a `google.protobuf.Any`; empty: none.
    pub options: Vec<u8>,
}

/// A program to add.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    /// The container, and the program's name.
    pub target: Target,
    /// Its streams.
    pub stdio: Stdio,
    /// JSON of an OCI process.
    pub process: Vec<u8>,
}

/// A process now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessState {
    /// The container's bundle.
    pub bundle: String,
    /// Its number, 0 if there is none.
    pub pid: u64,
    /// One of [`status`].
    pub status: u64,
    /// How it has ended.
    pub exit: Exit,
}

/// How a process has ended; all zero if it has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// A shell's: 128 plus the signal for one that was killed.
    pub status: u64,
    /// Nanoseconds since 1970.
    pub at: u64,
}

/// containerd's numbers for what a process is doing.
pub mod status {
    /// Made, not started.
    pub const CREATED: u64 = 1;
    /// Running.
    pub const RUNNING: u64 = 2;
    /// Ended.
    pub const STOPPED: u64 = 3;
    /// Frozen.
    pub const PAUSED: u64 = 4;
    /// About to be frozen.
    pub const PAUSING: u64 = 5;
}
