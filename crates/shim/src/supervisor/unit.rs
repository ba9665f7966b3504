//! One container of the pod.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use caisson_cgroup::OomEvents;
use caisson_isolator::{ContainerId, ExitStatus};

use super::client::ClientId;
use super::execs::Execs;
use super::log::Log;
use super::restart::BackOff;
use super::streams::Streams;
use crate::{
    ContainerConfig, ExitRecord, Fault, FaultKind, RestartPolicy, State, Status, now_nanos,
};

const SIGTERM: i32 = 15;
/// How long a container may take to end when the supervisor is told to.
const GRACE: Duration = Duration::from_secs(10);

/// Names a container for as long as the supervisor lives; another one of the
/// same name has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnitKey(pub(super) u64);

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

/// Who asked for a container, and hears whether it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creator {
    Launcher,
    Client(ClientId),
}

/// One run of the container.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) pid: Option<i32>,
    /// Our child, which ends as that process does: mostly itself.
    pub(super) child: Option<i32>,
    pub(super) streams: Streams,
    pub(super) started: Option<(u64, Instant)>,
    pub(super) ended: Option<(ExitStatus, u64)>,
    pub(super) oom_watch: Option<OomEvents>,
    pub(super) oom: bool,
    pub(super) paused: bool,
    /// Why it never ran.
    pub(super) error: Option<Fault>,
    /// Why not all that it had could be removed.
    pub(super) left: Option<Fault>,
    /// How often removing it has failed.
    pub(super) removals: u32,
    /// Its root file system went with it.
    pub(super) unmounted: bool,
}

/// A container.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) key: UnitKey,
    pub(super) id: ContainerId,
    pub(super) config: ContainerConfig,
    pub(super) creator: Creator,
    pub(super) terminal: bool,
    /// Its streams are not ours.
    pub(super) has_own_streams: bool,
    /// The streams it was given, as long as another run needs them.
    pub(super) given_streams: Option<[OwnedFd; 3]>,
    pub(super) log: Log,
    pub(super) phase: Phase,
    pub(super) run: Run,
    pub(super) execs: Execs,
    pub(super) created_at: u64,
    pub(super) restarts: u32,
    pub(super) policy: RestartPolicy,
    pub(super) back_off: BackOff,
    /// Somebody asked for its end, for good.
    pub(super) stop: bool,
    /// When to kill it.
    pub(super) kill_at: Option<Instant>,
    /// To be forgotten when it has ended.
    pub(super) forget: bool,
    pub(super) last_exit: Option<ExitRecord>,
    /// The client whose leaving ends the input (`StdinMode::Once`).
    pub(super) input_client: Option<ClientId>,
    pub(super) input_done: bool,
}

impl Unit {
    pub(super) fn new(
        key: UnitKey,
        id: ContainerId,
        config: ContainerConfig,
        creator: Creator,
        log: Log,
    ) -> Self {
        Self {
            key,
            id,
            creator,
            terminal: false,
            has_own_streams: false,
            given_streams: None,
            log,
            phase: Phase::Creating,
            run: Run::default(),
            execs: Execs::default(),
            created_at: now_nanos(),
            restarts: 0,
            policy: config.restart,
            back_off: BackOff::default(),
            stop: false,
            kill_at: None,
            forget: false,
            last_exit: None,
            input_client: None,
            input_done: false,
            config,
        }
    }

    /// The signal that asks it to end.
    pub(super) fn stop_signal(&self) -> i32 {
        self.config.stop_signal.unwrap_or(SIGTERM)
    }

    /// How long it may take to end when the supervisor is told to.
    pub(super) fn grace(&self) -> Duration {
        self.config.stop_grace_ms.map_or(GRACE, Duration::from_millis)
    }

    /// Whether it has a first process that can be asked something.
    pub(super) fn has_process(&self) -> bool {
        let there = matches!(self.phase, Phase::Created | Phase::Starting | Phase::Running);
        there && self.run.ended.is_none()
    }

    /// Whether a run that ended like this is followed by another one.
    pub(super) fn restarts_after(&self, record: &ExitRecord) -> bool {
        let ran = self.run.started.is_some() || self.restarts > 0;
        ran && !self.stop && self.policy.wants(record.code, self.restarts)
    }

    /// How the current run has ended.
    pub(super) fn record(&self) -> ExitRecord {
        let run = &self.run;
        let (code, signal, at) = match (&run.error, run.ended) {
            (Some(fault), _) => (fault.exit_code(), None, now_nanos()),
            (None, Some((status, at))) => {
                let signal = match status {
                    ExitStatus::Code(_) => None,
                    ExitStatus::Signal(signal) => Some(signal),
                };
                (status.shell_code(), signal, at)
            }
            // Killed by its removal, and not reaped yet.
            (None, None) => (ExitRecord::LOST, Some(9), now_nanos()),
        };
        ExitRecord {
            code,
            signal,
            oom: run.oom,
            started_at: run.started.map(|(at, _)| at),
            finished_at: at,
            restarts: self.restarts,
            stopped: self.stop,
            error: run.error.as_ref().or(run.left.as_ref()).map(ToString::to_string),
        }
    }

    /// For [`crate::ContainerRequest::State`].
    pub(super) fn state(&self, attached: usize) -> State {
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
        let started = self.run.started.map(|(at, _)| at);
        State {
            id: self.id.to_string(),
            status,
            pid: self.run.pid.filter(|_| self.run.ended.is_none()),
            shim_pid: rustix::process::getpid().as_raw_nonzero().get(),
            created_at: self.created_at,
            started_at: started.or_else(|| last.and_then(|exit| exit.started_at)),
            exit: self.last_exit.clone(),
            restarts: self.restarts,
            terminal: self.terminal,
            log_dropped: self.log.dropped(),
            execs: self.execs.running(),
            attached: u32::try_from(attached).unwrap_or(u32::MAX),
            oom: self.run.oom || last.is_some_and(|exit| exit.oom),
        }
    }

    /// Why `operation` can't be done now.
    pub(super) fn wrong_status(&self, operation: &str) -> Fault {
        let is = match self.state(0).status {
            Status::Creating => "being made",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Stopped => "stopped",
        };
        let why = format!("cannot {operation} container {}: it is {is}", self.id);
        Fault::new(FaultKind::WrongStatus, why)
    }
}
