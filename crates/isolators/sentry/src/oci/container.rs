//! The seam's third level.

use std::path::PathBuf;

use caisson_cgroup::OomEvents;
use caisson_cgroup::stats::Stats;
use caisson_isolator::{
    Container, ContainerInfo, ContainerStatus, ExecRequest, Resources, SandboxError, SpawnedProcess,
};
use caisson_runtime_spec::Resources as ResourceLimits;
use rustix::process::Pid;

use super::exec::exec;
use super::pause::{is_paused, pause, resume};
use super::update::tell;

/// One container: a native one, whose first process is the sentry.
pub(super) struct SentryContainer {
    native: Box<dyn Container>,
    dir: PathBuf,
}

impl SentryContainer {
    pub(super) fn new(native: Box<dyn Container>, dir: PathBuf) -> Self {
        Self { native, dir }
    }
}

impl Container for SentryContainer {
    fn info(&self) -> Result<ContainerInfo, SandboxError> {
        let mut info = self.native.info()?;
        let running = matches!(info.status, ContainerStatus::Running | ContainerStatus::Created);
        if running && is_paused(info.pid) {
            info.status = ContainerStatus::Paused;
        }
        Ok(info)
    }

    fn start(&self) -> Result<(), SandboxError> {
        let info = self.info()?;
        match info.status {
            ContainerStatus::Paused => {
                let (operation, status) = ("start", info.status);
                Err(SandboxError::WrongStatus { id: info.id.to_string(), operation, status })
            }
            _ => self.native.start(),
        }
    }

    fn exec(&self, request: ExecRequest) -> Result<SpawnedProcess, SandboxError> {
        let info = self.info()?;
        match info.status {
            ContainerStatus::Running => exec(&self.dir, &request),
            // It could not hear of it.
            status => Err(SandboxError::WrongStatus {
                id: info.id.to_string(),
                operation: "exec in",
                status,
            }),
        }
    }

    fn signal(&self, signal: i32, all: bool) -> Result<(), SandboxError> {
        self.native.signal(signal, all)
    }

    fn first_process(&self) -> Option<&SpawnedProcess> {
        self.native.first_process()
    }

    fn resources(&self) -> &dyn Resources {
        self
    }
}

impl Resources for SentryContainer {
    fn processes(&self) -> Result<Vec<Pid>, SandboxError> {
        self.native.resources().processes()
    }

    fn stats(&self) -> Result<Stats, SandboxError> {
        self.native.resources().stats()
    }

    fn update(&self, limits: &ResourceLimits) -> Result<(), SandboxError> {
        self.native.resources().update(limits)?;
        match self.info()?.status {
            ContainerStatus::Stopped => Ok(()),
            status => tell(&self.dir, limits, status == ContainerStatus::Running),
        }
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), SandboxError> {
        let info = self.info()?;
        let operation = if frozen { "pause" } else { "resume" };
        match (frozen, info.status) {
            (true, ContainerStatus::Running | ContainerStatus::Created) => {
                pause(info.pid, &|| self.processes())
            }
            (false, ContainerStatus::Paused) => resume(info.pid, &self.processes()?),
            (_, status) => {
                Err(SandboxError::WrongStatus { id: info.id.to_string(), operation, status })
            }
        }
    }

    fn watch_oom(&self) -> Result<OomEvents, SandboxError> {
        self.native.resources().watch_oom()
    }
}
