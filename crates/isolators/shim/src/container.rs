//! The seam's third level.

use std::rc::Rc;
use std::time::Duration;

use caisson_containerd::task::{ProcessState, Target, status};
use caisson_foreign::step::{Context as _, warn};
use caisson_isolator::{
    Container, ContainerId, ContainerInfo, ContainerStatus, ExecRequest, Resources, SandboxError,
    SpawnedProcess,
};
use rustix::process::{Pid, Signal};

use crate::create::{lives, target};
use crate::resources::ShimResources;
use crate::shim::Shim;
use crate::state::StateDir;
use crate::{Settings, exec, pod, removal};

/// How long what was killed may take to end.
const DYING: Duration = Duration::from_secs(5);

/// One container.
#[derive(Debug)]
pub(crate) struct ShimContainer {
    settings: Rc<Settings>,
    id: ContainerId,
    dir: Rc<StateDir>,
    process: Option<SpawnedProcess>,
    resources: ShimResources,
}

impl ShimContainer {
    pub(crate) fn new(
        settings: Rc<Settings>,
        id: ContainerId,
        dir: Rc<StateDir>,
        process: Option<SpawnedProcess>,
    ) -> Self {
        let resources = ShimResources::new(&settings, &id, &dir);
        Self { settings, id, dir, process, resources }
    }

    fn wrong(&self, operation: &'static str, status: ContainerStatus) -> SandboxError {
        wrong(&self.id, operation, status)
    }

    /// Kills it, whether the shim helps or not.
    fn kill(&self, all: bool) -> Result<(), SandboxError> {
        let why = match self.send(&target(&self.id), Signal::KILL.as_raw(), all) {
            // What has this signal ends.
            Ok(()) if removal::has_ended(&self.dir, all, DYING)? => return Ok(()),
            Ok(()) => "the shim says that it is killed, but not that it has ended".to_owned(),
            // Of none, all have it.
            Err(SandboxError::WrongStatus { .. }) if all => return Ok(()),
            Err(SandboxError::Step { step, source }) => format!("{step}: {source}"),
            Err(other) => return Err(other),
        };
        warn(&format!("container {}: {why}; killed without the shim", self.id));
        removal::kill(&self.id, &self.dir)
    }

    /// Sends a signal to one of its processes, or to all.
    fn send(&self, target: &Target, signal: i32, all: bool) -> Result<(), SandboxError> {
        caisson_sys::signals::numbered(signal)
            .ok_or("there is no such signal")
            .context(|| "signal the container")?;
        match pod::connect(&self.settings)?.kill(target, signal, all) {
            Err(error) if error.means_unknown() => {
                Err(self.wrong("signal", ContainerStatus::Stopped))
            }
            other => Ok(other?),
        }
    }
}

pub(crate) fn wrong(
    id: &ContainerId,
    operation: &'static str,
    status: ContainerStatus,
) -> SandboxError {
    SandboxError::WrongStatus { id: id.to_string(), operation, status }
}

/// What the container is doing, by the shim's word, and its first process if
/// that lives.
pub(crate) fn status_of(
    settings: &Settings,
    id: &ContainerId,
) -> Result<(ContainerStatus, i32), SandboxError> {
    let state = pod::connect(settings).and_then(|mut shim| state(&mut shim, id))?;
    let Some(state) = state else { return Ok((ContainerStatus::Stopped, 0)) };
    let status = match state.status {
        status::CREATED => ContainerStatus::Created,
        status::RUNNING => ContainerStatus::Running,
        status::PAUSED | status::PAUSING => ContainerStatus::Paused,
        _ => return Ok((ContainerStatus::Stopped, 0)),
    };
    let pid = i32::try_from(state.pid).unwrap_or_default();
    Ok((status, if lives(pid) { pid } else { 0 }))
}

fn state(shim: &mut Shim, id: &ContainerId) -> Result<Option<ProcessState>, SandboxError> {
    match shim.state(&target(id)) {
        Err(error) if error.means_unknown() => Ok(None),
        other => Ok(Some(other?)),
    }
}

impl Container for ShimContainer {
    fn info(&self) -> Result<ContainerInfo, SandboxError> {
        let (status, pid) = status_of(&self.settings, &self.id)?;
        let not_found = || SandboxError::NotFound(self.id.to_string());
        let record = self.dir.record()?.ok_or_else(not_found)?;
        Ok(record.info(self.id.clone(), status, pid))
    }

    fn start(&self) -> Result<(), SandboxError> {
        match status_of(&self.settings, &self.id)?.0 {
            ContainerStatus::Created => {}
            other => return Err(self.wrong("start", other)),
        }
        pod::connect(&self.settings)?.start(&target(&self.id))?;
        Ok(())
    }

    fn exec(&self, request: ExecRequest) -> Result<SpawnedProcess, SandboxError> {
        match status_of(&self.settings, &self.id)?.0 {
            ContainerStatus::Running => {}
            ContainerStatus::Paused if request.ignore_paused => {}
            other => return Err(self.wrong("exec in", other)),
        }
        exec::exec(&self.settings, &self.dir, &self.id, &request)
    }

    fn signal(&self, signal: i32, all: bool) -> Result<(), SandboxError> {
        if signal == Signal::KILL.as_raw() {
            return self.kill(all);
        }
        let status = status_of(&self.settings, &self.id)?.0;
        if status == ContainerStatus::Stopped && !all {
            return Err(self.wrong("signal", status));
        }
        if signal == 0 {
            // Whether there is somebody to be sent one (kill(2)).
            return Ok(());
        }
        match self.send(&target(&self.id), signal, all) {
            // Of none, all have it.
            Err(SandboxError::WrongStatus { .. }) if all => Ok(()),
            other => other,
        }
    }

    fn signal_exec(&self, process: Pid, signal: i32) -> Result<(), SandboxError> {
        let found = exec::find(&self.dir, &self.id, process)?;
        let found = found
            .ok_or_else(|| format!("process {} stands for none of its", process.as_raw_nonzero()))
            .context(|| "signal a program")?;
        self.send(&found, signal, false)
    }

    fn first_process(&self) -> Option<&SpawnedProcess> {
        self.process.as_ref()
    }

    fn resources(&self) -> &dyn Resources {
        &self.resources
    }
}
