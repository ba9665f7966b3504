//! What is asked of an isolator.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use caisson_runtime_spec::{Process, Spec};
use rustix::process::Pid;

use crate::ContainerId;

/// What a new sandbox is to be.
#[derive(Clone, Copy, Debug)]
pub struct SandboxRequest<'a> {
    /// Its name.
    pub id: &'a ContainerId,
    /// The configuration that the sandbox is for: the container's own when
    /// it stands alone.
    pub spec: &'a Spec,
}

/// Who takes a pseudo-terminal.
#[derive(Debug)]
pub struct ConsoleSocket {
    /// A connected UNIX stream socket that takes the master descriptor
    /// (SCM_RIGHTS).
    pub socket: OwnedFd,
    /// Whether the terminal leaves newlines as they are (no `ONLCR`,
    /// termios(3)) from before the program runs: who reads the master has a
    /// terminal of its own to add carriage returns, or wants none.
    pub plain_newlines: bool,
}

/// What a new container is to be. The spec has been validated.
#[derive(Debug)]
pub struct ContainerRequest {
    /// Its name.
    pub id: ContainerId,
    /// Absolute path of the bundle; relative paths of the spec start here.
    pub bundle: PathBuf,
    /// Its configuration.
    pub spec: Spec,
    /// Where the pseudo-terminal goes. Needed if and only if `process.terminal`.
    pub console: Option<ConsoleSocket>,
    /// How many descriptors from 3 upwards the process inherits.
    pub preserve_fds: u32,
    /// Change root by moving the mount and `chroot`, not `pivot_root`.
    pub no_pivot: bool,
    /// Stay in the caller's session keyring.
    pub no_new_keyring: bool,
    /// Run on without waiting for [`crate::Container::start`].
    pub start: bool,
}

/// A further process in a running container. The process has been validated.
#[derive(Debug)]
pub struct ExecRequest {
    /// What to run.
    pub process: Process,
    /// As in [`ContainerRequest::console`].
    pub console: Option<ConsoleSocket>,
    /// As in [`ContainerRequest::preserve_fds`].
    pub preserve_fds: u32,
    /// A cgroup below the container's own: `path`, or `controller:path` on
    /// cgroup v1. Empty: the container's own.
    pub cgroups: Vec<String>,
    /// Go ahead although the container is paused.
    pub ignore_paused: bool,
}

/// A process that was started for the caller and is the caller's child.
#[derive(Debug)]
pub struct SpawnedProcess {
    /// Its id in the caller's PID namespace.
    pub pid: Pid,
    /// Stable handle of the same process.
    pub pidfd: OwnedFd,
    /// The process inside that it stands for, and as which it ends, if it is
    /// another one than that: some engines' processes can be nobody's children
    /// but their own.
    pub stands_for: Option<i32>,
}
