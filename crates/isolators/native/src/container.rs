//! The seam's third level.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use caisson_isolator::{
    Container, ContainerId, ContainerInfo, ContainerStatus, ExecRequest, Resources, SandboxError,
    SpawnedProcess,
};
use caisson_runtime_spec::Status;
use caisson_sys::process_stat::ProcessStat;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::time::Timespec;

use crate::channel::Channel;
use crate::resources::NativeResources;
use crate::sandbox::{destroy, send};
use crate::state::{FirstProcess, Record, StateDir};
use crate::step::{Context, StepError};
use crate::{create, exec, hooks};

/// How long a killed process may take to be gone.
const KILL_SECONDS: i64 = 10;

/// One container.
#[derive(Debug)]
pub(crate) struct NativeContainer {
    id: ContainerId,
    dir: Rc<StateDir>,
    record: Rc<Record>,
    process: Option<SpawnedProcess>,
    resources: NativeResources,
}

impl NativeContainer {
    pub(crate) fn new(
        id: ContainerId,
        dir: Rc<StateDir>,
        record: Record,
        process: Option<SpawnedProcess>,
    ) -> Self {
        let record = Rc::new(record);
        let resources = NativeResources::new(&dir, &record);
        Self { id, dir, record, process, resources }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The first process, if it still lives.
    pub(crate) fn live_process(&self) -> Result<Option<(FirstProcess, OwnedFd)>, StepError> {
        live_process(&self.dir)
    }

    pub(crate) fn status(&self) -> Result<ContainerStatus, SandboxError> {
        Ok(self.status_and_pid()?.0)
    }

    fn status_and_pid(&self) -> Result<(ContainerStatus, i32), SandboxError> {
        let Some(first) = self.dir.first_process()? else {
            // Its creator is still at work, or was killed at it.
            return Ok((ContainerStatus::Creating, 0));
        };
        if open_live(first)?.is_none() {
            return Ok((ContainerStatus::Stopped, 0));
        }
        let status = if self.is_frozen() {
            ContainerStatus::Paused
        } else if self.dir.has_start_socket() {
            ContainerStatus::Created
        } else {
            ContainerStatus::Running
        };
        Ok((status, first.pid))
    }

    fn is_frozen(&self) -> bool {
        self.record.open_cgroup().ok().and_then(|cgroup| cgroup.is_frozen().ok()).unwrap_or(false)
    }

    fn wrong(&self, operation: &'static str, status: ContainerStatus) -> SandboxError {
        SandboxError::WrongStatus { id: self.id.to_string(), operation, status }
    }

    /// Why nobody hears a knock: another caller's was heard, and the socket's
    /// name just not removed yet, or the process was killed.
    fn unheard(&self) -> Result<SandboxError, SandboxError> {
        let status = match self.status()? {
            ContainerStatus::Created => ContainerStatus::Running,
            other => other,
        };
        Ok(self.wrong("start", status))
    }

    /// Kills every process and waits until the first one is gone.
    pub(crate) fn kill_and_wait(&self) -> Result<(), SandboxError> {
        let Some((_, pidfd)) = self.live_process()? else { return Ok(()) };
        send(&pidfd, Signal::KILL)?;
        self.thaw_the_killed()?;
        let limit = Timespec { tv_sec: KILL_SECONDS, tv_nsec: 0 };
        let mut wanted = [PollFd::new(&pidfd, PollFlags::IN)];
        let ended = rustix::io::retry_on_intr(|| poll(&mut wanted, Some(&limit)))
            .context(|| "wait for the first process")?;
        if ended == 0 {
            let cause = format!("it still runs {KILL_SECONDS}s after SIGKILL");
            return Err(StepError::new(format!("kill container {:?}", self.id.as_str()), cause))?;
        }
        Ok(())
    }

    /// On cgroup v1 the frozen do not even die, but for a first thread that is gone
    /// before the others: so this does not ask whether the container runs.
    fn thaw_the_killed(&self) -> Result<(), SandboxError> {
        if !self.is_frozen() {
            return Ok(());
        }
        let cgroup = self.record.open_cgroup()?;
        cgroup.thaw().map_err(|error| error.to_string()).context(|| "thaw the killed container")?;
        Ok(())
    }

    /// Whether processes outlived the first one.
    fn has_others(&self) -> bool {
        self.record
            .open_cgroup()
            .ok()
            .and_then(|cgroup| cgroup.pids(true).ok())
            .is_some_and(|pids| !pids.is_empty())
    }

    pub(crate) fn signal_all(&self, signal: Signal) -> Result<(), SandboxError> {
        let cgroup = self.record.open_cgroup()?;
        if cgroup.is_none() {
            return match self.live_process()? {
                Some((_, pidfd)) => Ok(send(&pidfd, signal)?),
                None => Ok(()),
            };
        }
        cgroup
            .kill_all(signal)
            .map_err(|error| error.to_string())
            .context(|| format!("send signal {signal:?} to all processes"))?;
        Ok(())
    }

    /// Connects to the waiting first process; refused if it is none any more.
    fn knock(&self) -> Result<Option<Channel>, StepError> {
        let step = || "reach the waiting container";
        let flags = SocketFlags::CLOEXEC;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).context(step)?;
        match connect(&socket, &create::start_address(&self.dir)?) {
            Ok(()) => Ok(Some(Channel::over(socket))),
            Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
            Err(error) => Err(error).context(step),
        }
    }
}

/// The first process as written down, if that very process still lives.
pub(crate) fn live_process(dir: &StateDir) -> Result<Option<(FirstProcess, OwnedFd)>, StepError> {
    match dir.first_process()? {
        Some(first) => open_live(first),
        None => Ok(None),
    }
}

fn open_live(first: FirstProcess) -> Result<Option<(FirstProcess, OwnedFd)>, StepError> {
    let Some(pid) = Pid::from_raw(first.pid) else { return Ok(None) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        // EINVAL: the number now is a thread's.
        Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
        Err(error) => return Err(error).context(|| "open the first process"),
    };
    match ProcessStat::read(first.pid) {
        Some(stat) if !stat.is_dead() && stat.start_time == first.start_time => {
            Ok(Some((first, pidfd)))
        }
        _ => Ok(None),
    }
}

impl Container for NativeContainer {
    fn info(&self) -> Result<ContainerInfo, SandboxError> {
        let (status, pid) = self.status_and_pid()?;
        let record = &self.record;
        Ok(ContainerInfo {
            id: self.id.clone(),
            status,
            pid,
            bundle: record.bundle.clone(),
            rootfs: record.rootfs.clone(),
            created: record.created,
            owner_uid: record.owner_uid,
            oci_version: record.oci_version.clone(),
            annotations: record.annotations.clone(),
        })
    }

    fn start(&self) -> Result<(), SandboxError> {
        // Looked at before it may go on: a short program is gone soon after.
        let Some((first, pidfd)) = self.live_process()? else {
            return Err(self.wrong("start", ContainerStatus::Stopped));
        };
        let first = first.pid;
        let pid = Pid::from_raw(first).ok_or("none").context(|| "the first process")?;
        if self.is_frozen() {
            return Err(self.wrong("start", ContainerStatus::Paused));
        }
        let Some(channel) = self.knock()? else {
            return Err(self.unheard()?);
        };
        let result = create::await_exec(
            &channel,
            &SpawnedProcess { pid, pidfd, stands_for: None },
            &self.record,
        );
        if matches!(result, Ok(false)) {
            return Err(self.unheard()?);
        }
        self.dir.remove_start_socket();
        result?;
        if !self.record.poststart.is_empty() {
            let state = self.record.state_document(Status::Running, first);
            if let Err(error) = hooks::run("poststart", &self.record.poststart, &state) {
                // As the runtime-spec has it (runtime.md, "Lifecycle", step 9).
                self.kill_and_wait()?;
                destroy(&self.dir, &self.record)?;
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn exec(&self, request: ExecRequest) -> Result<SpawnedProcess, SandboxError> {
        let live = self.live_process()?;
        let live = live.and_then(|(first, pidfd)| Some((Pid::from_raw(first.pid)?, pidfd)));
        let Some((first, pidfd)) = live else {
            return Err(self.wrong("exec in", ContainerStatus::Stopped));
        };
        if !request.ignore_paused && self.is_frozen() {
            return Err(self.wrong("exec in", ContainerStatus::Paused));
        }
        exec::exec(&self.dir, &self.record, (first, pidfd.as_fd()), &request)
    }

    fn signal(&self, signal: i32, all: bool) -> Result<(), SandboxError> {
        if signal == 0 {
            // Whether there is somebody to be sent one (kill(2)).
            return match self.live_process()? {
                None if !all => Err(self.wrong("signal", ContainerStatus::Stopped)),
                _ => Ok(()),
            };
        }
        let signal = caisson_sys::signals::numbered(signal)
            .ok_or("there is no such signal")
            .context(|| "signal the container")?;
        if all {
            return self.signal_all(signal);
        }
        let live = self.live_process()?;
        // Without a PID namespace of its own its end does not end the others.
        if signal == Signal::KILL && !self.record.own_pids && (live.is_some() || self.has_others())
        {
            return self.signal_all(signal);
        }
        let Some((_, pidfd)) = live else {
            return Err(self.wrong("signal", ContainerStatus::Stopped));
        };
        send(&pidfd, signal)?;
        if signal == Signal::KILL {
            self.thaw_the_killed()?;
        }
        Ok(())
    }

    fn first_process(&self) -> Option<&SpawnedProcess> {
        self.process.as_ref()
    }

    fn resources(&self) -> &dyn Resources {
        &self.resources
    }
}
