//! What the supervisor knows while it runs.

use std::os::fd::OwnedFd;
use std::time::Instant;

use caisson_cgroup::OomEvents;
use caisson_isolator::ExitStatus;
use caisson_sys::signal_fd::SignalFd;

use super::client::{Client, ClientId};
use super::execs::Execs;
use super::guard::Guard;
use super::log::Log;
use super::pod::Pod;
use super::restart::BackOff;
use super::streams::Streams;
use super::worker::Worker;
use crate::wire::Incoming;
use crate::{ExitRecord, Fault, RestartPolicy, State, Status};

/// What the container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A worker makes it.
    Creating,
    /// It waits to be started.
    Created,
    /// A worker starts it.
    Starting,
    /// It runs.
    Running,
    /// It has ended; a worker removes what it had.
    Removing,
    /// It is made again then.
    Waiting(Instant),
    /// It has ended for good.
    Stopped,
}

/// One run of the container.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) pid: Option<i32>,
    pub(super) streams: Streams,
    pub(super) started: Option<(u64, Instant)>,
    pub(super) ended: Option<(ExitStatus, u64)>,
    pub(super) oom_watch: Option<OomEvents>,
    pub(super) oom: bool,
    pub(super) paused: bool,
    pub(super) error: Option<Fault>,
}

/// Who is to hear of a worker's outcome.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Create,
    Start(Option<ClientId>),
    Remove,
    /// Frozen or thawed.
    Freeze(ClientId, bool),
    Exec(ClientId),
    Answer(ClientId),
    /// Nobody.
    Unheard,
}

/// The launcher, until it has committed.
#[derive(Debug)]
pub(super) struct Launcher {
    pub(super) socket: OwnedFd,
    pub(super) incoming: Incoming,
}

/// The end that somebody wants.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Of the container, for good.
    pub(super) stop: bool,
    /// When to kill it.
    pub(super) kill_at: Option<Instant>,
    /// Of the supervisor, too.
    pub(super) leave: bool,
    /// It is about to leave, and does then.
    pub(super) leaves_at: Option<Instant>,
    /// The exit command was started.
    pub(super) command_ran: bool,
    /// The launch failed: there never was a pod.
    pub(super) failed: bool,
}

/// The supervisor.
pub(super) struct Supervisor {
    pub(super) pod: Pod,
    pub(super) guard: Guard,
    pub(super) signals: SignalFd,
    pub(super) listener: OwnedFd,
    pub(super) launcher: Option<Launcher>,
    pub(super) clients: Vec<Client>,
    pub(super) next_client: u64,
    pub(super) workers: Vec<(Purpose, Worker)>,
    pub(super) log: Log,
    pub(super) phase: Phase,
    pub(super) run: Run,
    pub(super) execs: Execs,
    pub(super) created_at: u64,
    pub(super) restarts: u32,
    pub(super) policy: RestartPolicy,
    pub(super) back_off: BackOff,
    pub(super) ending: Ending,
    pub(super) last_exit: Option<ExitRecord>,
    /// The client whose leaving ends the input (`StdinMode::Once`).
    pub(super) input_client: Option<ClientId>,
    pub(super) input_done: bool,
    pub(super) buffer: Vec<u8>,
    /// When to let go of code that was needed for what has happened since.
    pub(super) rest_at: Option<Instant>,
}

impl Supervisor {
    /// For [`crate::Request::State`].
    pub(super) fn state(&self) -> State {
        let status = match self.phase {
            Phase::Creating if self.restarts > 0 => Status::Restarting,
            Phase::Creating => Status::Creating,
            Phase::Created | Phase::Starting if self.restarts > 0 => Status::Restarting,
            Phase::Created | Phase::Starting => Status::Created,
            Phase::Running | Phase::Removing if self.run.paused => Status::Paused,
            Phase::Running | Phase::Removing => Status::Running,
            Phase::Waiting(_) => Status::Restarting,
            Phase::Stopped => Status::Stopped,
        };
        let last = self.last_exit.as_ref();
        State {
            id: self.pod.id.to_string(),
            status,
            pid: self.run.pid.filter(|_| self.run.ended.is_none()),
            shim_pid: rustix::process::getpid().as_raw_nonzero().get(),
            created_at: self.created_at,
            started_at: self
                .run
                .started
                .map(|(at, _)| at)
                .or_else(|| last.and_then(|exit| exit.started_at)),
            exit: self.last_exit.clone(),
            restarts: self.restarts,
            terminal: self.pod.has_terminal(),
            log_dropped: self.log.dropped(),
            execs: self.execs.running(),
            attached: u32::try_from(self.clients.iter().filter_map(Client::attached).count())
                .unwrap_or(u32::MAX),
            oom: self.run.oom || last.is_some_and(|exit| exit.oom),
        }
    }

    pub(super) fn client(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.id == id)
    }
}
