//! What clients ask and supervisors answer.
//!
//! A connection takes one request after the other; each has one answer.
//! [`ContainerRequest::Attach`] and [`Request::Subscribe`] turn the connection
//! into a stream for good. A frame is four bytes of length, little-endian, and
//! that much JSON; descriptors come with its first byte.

use caisson_cgroup::stats::Stats;
use caisson_runtime_spec::{Process, Resources};
use serde::{Deserialize, Serialize};

use crate::{ContainerConfig, ExecExit, ExitRecord, Fault, NamespaceKind, PodState, State};

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// What is the pod doing? [`Response::Pod`].
    Pod,
    /// Makes a container. [`Response::Created`].
    Create(Box<ContainerConfig>),
    /// Asks something of a container.
    Container {
        /// Which one.
        id: String,
        /// What.
        request: ContainerRequest,
    },
    /// Follows what happens from here on. [`Response::Subscribed`]; then a frame
    /// with a [`crate::Event`] for each.
    Subscribe,
    /// A descriptor of a namespace that the launcher handed over, with
    /// [`Response::Done`].
    Namespace(NamespaceKind),
    /// The supervisor leaves. It kills what still runs if `force` is set, and
    /// refuses otherwise. [`Response::Done`] comes when all is removed, right
    /// before the supervisor is gone.
    Shutdown {
        /// Even if containers run.
        force: bool,
    },
}

/// A request to a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerRequest {
    /// What is it doing? [`Response::State`].
    State,
    /// Lets the program run. [`Response::Done`] once it was executed.
    Start,
    /// [`Response::Exit`] once the container has ended for good.
    Wait,
    /// Sends a signal to the first process, or to all.
    Signal {
        /// Its number.
        signal: i32,
        /// To every process of the container.
        all: bool,
    },
    /// Ends the container for good: a signal, then SIGKILL. [`Response::Exit`].
    Stop {
        /// Milliseconds between the two; `None`: SIGKILL never comes.
        grace_ms: Option<u64>,
        /// The first signal, if not the configured one.
        signal: Option<i32>,
    },
    /// Runs a program in the container. [`Response::Exec`] once it was
    /// executed. Descriptors: as [`ExecIo`] says.
    Exec(Box<ExecSpec>),
    /// [`Response::ExecExit`] once it has ended. The status is kept for the
    /// last 64 that have ended.
    WaitExec {
        /// From [`Started::exec`].
        exec: u64,
    },
    /// Sends a signal to a process that `Exec` started.
    SignalExec {
        /// From [`Started::exec`].
        exec: u64,
        /// Its number.
        signal: i32,
    },
    /// Follows the output from here on, and may send input. [`Response::Attached`].
    Attach(AttachSpec),
    /// Sets the size of the container's terminal.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters.
        columns: u16,
    },
    /// Freezes every process.
    Pause,
    /// Thaws them.
    Resume,
    /// Changes limits; what is absent stays.
    Update(Box<Resources>),
    /// Changes the restart policy.
    SetRestart(crate::RestartPolicy),
    /// [`Response::Stats`].
    Stats,
    /// [`Response::Pids`].
    Pids,
    /// Opens the log file anew, after somebody has renamed it.
    ReopenLog,
    /// Ends its standard input, once what was sent has been read.
    CloseStdin,
    /// Connects to a TCP port of its sandbox's own loopback interface; one descriptor
    /// comes with the request, a stream to copy to and from it. [`Response::Done`] once
    /// it is connected.
    Connect {
        /// The port.
        port: u16,
    },
    /// The supervisor forgets it and lets go of its log and its root file
    /// system; the exit record goes, too. Kills it if it still runs and `force`
    /// is set, and refuses otherwise. [`Response::Done`] when all is removed.
    Remove {
        /// Even if it runs.
        force: bool,
    },
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It is done.
    Done,
    /// To [`Request::Pod`].
    Pod(Box<PodState>),
    /// To [`Request::Subscribe`]: what is so before the first event.
    Subscribed(Box<PodState>),
    /// To [`Request::Create`].
    Created {
        /// The container's first process.
        pid: i32,
    },
    /// To [`ContainerRequest::State`].
    State(Box<State>),
    /// To [`ContainerRequest::Wait`] and [`ContainerRequest::Stop`].
    Exit(ExitRecord),
    /// To [`ContainerRequest::Exec`].
    Exec(Started),
    /// To [`ContainerRequest::WaitExec`].
    ExecExit(ExecExit),
    /// To [`ContainerRequest::Attach`]; frames of the stream follow.
    Attached {
        /// Whether the container has a terminal.
        terminal: bool,
    },
    /// To [`ContainerRequest::Stats`].
    Stats(Box<Stats>),
    /// To [`ContainerRequest::Pids`].
    Pids(Vec<i32>),
    /// It can't be done.
    Fault(Fault),
}

/// A process that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Names it in later requests.
    pub exec: u64,
    /// The process, in the supervisor's PID namespace.
    pub pid: i32,
}

/// What to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The program; `terminal` is set from `io`.
    pub process: Process,
    /// Its streams.
    pub io: ExecIo,
}

/// Where a program's streams come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecIo {
    /// `/dev/null`.
    Null,
    /// Three descriptors come with the request.
    Streams,
    /// A terminal; one descriptor comes with the request, a UNIX stream socket
    /// over which the terminal's master is sent.
    Terminal,
}

/// How to attach.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AttachSpec {
    /// Whether input will be sent.
    pub stdin: bool,
    /// Whether to get standard output (with a terminal: all).
    pub stdout: bool,
    /// Whether to get standard error.
    pub stderr: bool,
    /// What to do when this client does not read.
    pub on_stall: OnStall,
    /// Whether this client, if it is still there at the container's end, does
    /// what the exit command is for: then that is not run.
    #[serde(default)]
    pub settles: bool,
}

/// What becomes of a client that does not read what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnStall {
    /// It is waited for: the container waits, too, when it writes.
    Wait,
    /// It is let go of.
    Detach,
}
