//! What clients ask and supervisors answer.
//!
//! A connection takes one request after the other; each has one answer.
//! [`Request::Attach`] turns the connection into a stream for good. A frame is
//! four bytes of length, little-endian, and that much JSON; descriptors come
//! with its first byte.

use caisson_cgroup::stats::Stats;
use caisson_runtime_spec::{Process, Resources};
use serde::{Deserialize, Serialize};

use crate::{ExecExit, ExitRecord, Fault};

/// The first message to a new supervisor, on the launch socket. Descriptors:
/// the network namespace if `netns`; three standard streams if `stdio`; then
/// `held` ones to keep open.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Launch {
    /// The pod's directory, absolute.
    pub pod_dir: std::path::PathBuf,
    /// Whether a network namespace comes along.
    pub netns: bool,
    /// Whether the container gets the launcher's own streams.
    pub stdio: bool,
    /// How many descriptors the supervisor keeps for as long as it lives.
    pub held: u32,
}

/// What a new supervisor says on the launch socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaunchReply {
    /// The container is made and waits for [`Request::Start`]. From here the
    /// launcher owes [`LaunchReply::Committed`].
    Created {
        /// The container's first process.
        pid: i32,
        /// The supervisor.
        shim_pid: i32,
    },
    /// It could not be made; nothing is left.
    Failed(Fault),
    /// The launcher's word: the pod stays, whatever becomes of the launcher.
    Committed,
}

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// What is the container doing? [`Response::State`].
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
    /// The supervisor leaves. It kills the container if that still runs and
    /// `force` is set, and refuses otherwise. [`Response::Done`] comes when all
    /// is removed, right before the supervisor is gone.
    Shutdown {
        /// Even if the container runs.
        force: bool,
    },
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It is done.
    Done,
    /// To [`Request::State`].
    State(Box<State>),
    /// To [`Request::Wait`] and [`Request::Stop`].
    Exit(ExitRecord),
    /// To [`Request::Exec`].
    Exec(Started),
    /// To [`Request::WaitExec`].
    ExecExit(ExecExit),
    /// To [`Request::Attach`]; frames of the stream follow.
    Attached {
        /// Whether the container has a terminal.
        terminal: bool,
    },
    /// To [`Request::Stats`].
    Stats(Box<Stats>),
    /// To [`Request::Pids`].
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

/// What the container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Being made.
    Creating,
    /// Waits for [`Request::Start`].
    Created,
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// Has ended and waits to be run again.
    Restarting,
    /// Has ended for good.
    Stopped,
}

/// To [`Request::State`]. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The container.
    pub id: String,
    /// What it does.
    pub status: Status,
    /// Its first process.
    pub pid: Option<i32>,
    /// The supervisor.
    pub shim_pid: i32,
    /// When it was made.
    pub created_at: u64,
    /// When the current or last run began.
    pub started_at: Option<u64>,
    /// How the last run ended.
    pub exit: Option<ExitRecord>,
    /// How often it was run again.
    pub restarts: u32,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Bytes of output that the log could not take.
    pub log_dropped: u64,
    /// Programs that `exec` started and that still run.
    pub execs: u32,
    /// Clients that are attached.
    pub attached: u32,
    /// Out-of-memory kills seen in this run.
    pub oom: bool,
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
