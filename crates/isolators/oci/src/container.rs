//! The seam's third level.

use std::rc::Rc;

use caisson_isolator::{
    Container, ContainerId, ContainerInfo, ContainerStatus, ExecRequest, Resources, SandboxError,
    SpawnedProcess,
};

use crate::create;
use crate::message::means_stopped;
use crate::resources::OciResources;
use crate::runtime::{CallError, Given, Settings};
use crate::state::{StateDir, open_cgroup};
use caisson_foreign::step::Context as _;

/// One container.
#[derive(Debug)]
pub(crate) struct OciContainer {
    settings: Rc<Settings>,
    id: ContainerId,
    dir: Rc<StateDir>,
    process: Option<SpawnedProcess>,
    resources: OciResources,
}

impl OciContainer {
    pub(crate) fn new(
        settings: Rc<Settings>,
        id: ContainerId,
        dir: Rc<StateDir>,
        process: Option<SpawnedProcess>,
    ) -> Self {
        let resources = OciResources::new(&settings, &id, &dir);
        Self { settings, id, dir, process, resources }
    }

    pub(crate) fn status(&self) -> Result<ContainerStatus, SandboxError> {
        status_of(&self.dir).map(|(status, _)| status)
    }

    fn wrong(&self, operation: &'static str, status: ContainerStatus) -> SandboxError {
        SandboxError::WrongStatus { id: self.id.to_string(), operation, status }
    }

    /// The runtime's failure, or that the container has ended meanwhile.
    fn failed(&self, operation: &'static str, error: CallError) -> SandboxError {
        let stopped = matches!(self.status(), Ok(ContainerStatus::Stopped));
        match stopped && means_stopped(&error.reason) {
            true => self.wrong(operation, ContainerStatus::Stopped),
            false => error.into(),
        }
    }
}

/// What the container is doing, by what the kernel says, and its first process
/// if that lives.
pub(crate) fn status_of(dir: &StateDir) -> Result<(ContainerStatus, i32), SandboxError> {
    let Some(first) = dir.first()? else { return Ok((ContainerStatus::Creating, 0)) };
    if first.identity.open_live()?.is_none() {
        return Ok((ContainerStatus::Stopped, 0));
    }
    let frozen = || Some(open_cgroup(&first.cgroup).ok()?.is_frozen().unwrap_or(false));
    let status = match (dir.is_started(), frozen()) {
        (_, Some(true)) => ContainerStatus::Paused,
        (true, _) => ContainerStatus::Running,
        (false, _) => ContainerStatus::Created,
    };
    Ok((status, first.identity.pid))
}

impl Container for OciContainer {
    fn info(&self) -> Result<ContainerInfo, SandboxError> {
        let (status, pid) = status_of(&self.dir)?;
        let not_found = || SandboxError::NotFound(self.id.to_string());
        let record = self.dir.record()?.ok_or_else(not_found)?;
        Ok(record.info(self.id.clone(), status, pid))
    }

    fn start(&self) -> Result<(), SandboxError> {
        match self.status()? {
            ContainerStatus::Created => {}
            other => return Err(self.wrong("start", other)),
        }
        // Before: a short program may have ended when the runtime returns.
        self.settings
            .call(&self.dir, &self.id, "start", &[], &Given::default())
            .map_err(|error| self.failed("start", error))?;
        self.dir.mark_started()
    }

    fn exec(&self, request: ExecRequest) -> Result<SpawnedProcess, SandboxError> {
        match self.status()? {
            ContainerStatus::Running => {}
            ContainerStatus::Paused if request.ignore_paused => {}
            other => return Err(self.wrong("exec in", other)),
        }
        create::exec(&self.settings, &self.dir, &self.id, &request)
    }

    fn signal(&self, signal: i32, all: bool) -> Result<(), SandboxError> {
        let status = self.status()?;
        if status == ContainerStatus::Stopped && !all {
            return Err(self.wrong("signal", status));
        }
        if signal == 0 {
            // Whether there is somebody to be sent one (kill(2)).
            return Ok(());
        }
        caisson_sys::signals::numbered(signal)
            .ok_or("there is no such signal")
            .context(|| "signal the container")?;
        if all {
            return self.resources.signal_all(signal);
        }
        // The signal is an argument behind the id.
        self.settings
            .signal(&self.dir, &self.id, signal)
            .map_err(|error| self.failed("signal", error))
    }

    fn first_process(&self) -> Option<&SpawnedProcess> {
        self.process.as_ref()
    }

    fn resources(&self) -> &dyn Resources {
        &self.resources
    }
}
