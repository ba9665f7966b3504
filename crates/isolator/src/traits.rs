//! The three levels: isolator, sandbox, container.

use std::os::fd::BorrowedFd;

use caisson_cgroup::OomEvents;
use caisson_cgroup::stats::Stats;
use caisson_runtime_spec::Resources as ResourceLimits;
use caisson_runtime_spec::features::Features;
use rustix::process::Pid;

use crate::{
    ContainerId, ContainerInfo, ContainerRequest, ExecRequest, SandboxError, SandboxRequest,
    SpawnedProcess,
};

/// Memory and processor that a sandbox costs beside its containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overhead {
    /// Resident bytes.
    pub memory_bytes: u64,
    /// Thousandths of a CPU, idle.
    pub cpu_millis: u32,
}

/// An engine that makes sandboxes. Its state lives in the file system, so that
/// any process may open what another one made.
pub trait Isolator {
    /// The name that handlers use, such as `native`.
    fn name(&self) -> &'static str;

    /// The OCI features document (runtime-spec, features.md).
    fn features(&self) -> Features;

    /// What its version is, in its own words; `None` if it has none to tell.
    fn version(&self) -> Option<String>;

    /// What one sandbox costs, as measured.
    fn overhead(&self) -> Overhead;

    /// Makes an empty sandbox.
    ///
    /// # Errors
    /// [`SandboxError::Exists`] if the name is taken. A failure leaves nothing.
    fn create_sandbox(
        &self,
        request: &SandboxRequest<'_>,
    ) -> Result<Box<dyn Sandbox>, SandboxError>;

    /// Finds a sandbox that this or another process made.
    ///
    /// # Errors
    /// [`SandboxError::NotFound`].
    fn open_sandbox(&self, id: &ContainerId) -> Result<Box<dyn Sandbox>, SandboxError>;

    /// The names of all sandboxes, sorted.
    ///
    /// # Errors
    /// If the state directory can't be read.
    fn sandboxes(&self) -> Result<Vec<ContainerId>, SandboxError>;
}

/// One pod.
pub trait Sandbox {
    /// Makes a container, ready for [`Container::start`].
    ///
    /// # Errors
    /// Any; a failure leaves neither process, mount, cgroup nor state.
    fn create_container(
        &self,
        request: ContainerRequest,
    ) -> Result<Box<dyn Container>, SandboxError>;

    /// Finds a container of this sandbox.
    ///
    /// # Errors
    /// [`SandboxError::NotFound`].
    fn container(&self, id: &ContainerId) -> Result<Box<dyn Container>, SandboxError>;

    /// The names of its containers, sorted.
    ///
    /// # Errors
    /// If the state can't be read.
    fn containers(&self) -> Result<Vec<ContainerId>, SandboxError>;

    /// Removes the sandbox. With `force`, kills what still runs and tolerates
    /// half-made state.
    ///
    /// # Errors
    /// [`SandboxError::WrongStatus`] if something runs and `force` is false.
    fn delete(&self, force: bool) -> Result<(), SandboxError>;

    /// Connects to a TCP port of the sandbox's own loopback interface, IPv4 before IPv6,
    /// and has what comes copied to and from `stream` until either side ends. Only for
    /// sandboxes whose loopback interface is not that of a network namespace.
    ///
    /// # Errors
    /// If nobody listens; [`SandboxError::Unsupported`] where the network namespace is
    /// all that there is.
    fn connect(&self, port: u16, stream: BorrowedFd<'_>) -> Result<(), SandboxError> {
        let _ = stream;
        Err(SandboxError::Unsupported {
            isolator: "this isolator",
            operation: format!("connect to port {port} but in the network namespace"),
        })
    }
}

/// One container.
pub trait Container {
    /// What it is and does now, from the kernel and the state directory.
    ///
    /// # Errors
    /// If the state can't be read.
    fn info(&self) -> Result<ContainerInfo, SandboxError>;

    /// Lets the user's program run. Returns once it was executed.
    ///
    /// # Errors
    /// [`SandboxError::WrongStatus`] unless it is `created`; what hooks or
    /// `execve` reported. If that was a `poststart` hook, the container and
    /// all that it held are gone.
    fn start(&self) -> Result<(), SandboxError>;

    /// Runs a further process inside. The caller reaps it.
    ///
    /// # Errors
    /// [`SandboxError::WrongStatus`]; what `execve` reported.
    fn exec(&self, request: ExecRequest) -> Result<SpawnedProcess, SandboxError>;

    /// Sends `signal` to the first process, or to `all`.
    ///
    /// # Errors
    /// [`SandboxError::WrongStatus`] if it is stopped and `all` is false.
    fn signal(&self, signal: i32, all: bool) -> Result<(), SandboxError>;

    /// Sends `signal` to what [`Container::exec`] has started, by the process
    /// that it gave, which its caller has not reaped.
    ///
    /// # Errors
    /// If it can't be sent.
    fn signal_exec(&self, process: Pid, signal: i32) -> Result<(), SandboxError> {
        let sent = caisson_sys::signals::numbered(signal)
            .ok_or(rustix::io::Errno::INVAL)
            .and_then(|signal| rustix::process::kill_process(process, signal));
        sent.map_err(|error| {
            SandboxError::step(format!("signal process {}", process.as_raw_nonzero()), error)
        })
    }

    /// The first process, if it is this caller's child.
    fn first_process(&self) -> Option<&SpawnedProcess>;

    /// Its resources.
    fn resources(&self) -> &dyn Resources;
}

/// A container's processes and limits.
pub trait Resources {
    /// Every process inside, in the caller's PID namespace.
    ///
    /// # Errors
    /// If the kernel's lists can't be read.
    fn processes(&self) -> Result<Vec<Pid>, SandboxError>;

    /// Counters now.
    ///
    /// # Errors
    /// If the kernel's counters can't be read.
    fn stats(&self) -> Result<Stats, SandboxError>;

    /// Changes limits; what is absent stays as it is.
    ///
    /// # Errors
    /// Names the limit that could not be set.
    fn update(&self, limits: &ResourceLimits) -> Result<(), SandboxError>;

    /// Freezes or thaws every process. Returns once that is so.
    ///
    /// # Errors
    /// [`SandboxError::WrongStatus`].
    fn set_frozen(&self, frozen: bool) -> Result<(), SandboxError>;

    /// A watch on out-of-memory kills.
    ///
    /// # Errors
    /// If the kernel offers none.
    fn watch_oom(&self) -> Result<OomEvents, SandboxError>;
}
