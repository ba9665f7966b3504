//! A container's processes and limits.

use std::rc::Rc;

use caisson_cgroup::OomEvents;
use caisson_cgroup::stats::Stats;
use caisson_foreign::step::Context as _;
use caisson_isolator::{ContainerId, ContainerStatus, Resources, SandboxError};
use caisson_runtime_spec::Resources as ResourceLimits;
use rustix::process::Pid;

use crate::container::{status_of, wrong};
use crate::state::StateDir;
use crate::{NAME, Settings, pod};

/// The shim's side of them.
#[derive(Debug)]
pub(crate) struct ShimResources {
    settings: Rc<Settings>,
    id: ContainerId,
    dir: Rc<StateDir>,
}

impl ShimResources {
    pub(crate) fn new(settings: &Rc<Settings>, id: &ContainerId, dir: &Rc<StateDir>) -> Self {
        Self { settings: Rc::clone(settings), id: id.clone(), dir: Rc::clone(dir) }
    }
}

impl Resources for ShimResources {
    fn processes(&self) -> Result<Vec<Pid>, SandboxError> {
        let pids = pod::connect(&self.settings)?.pids(self.id.as_str())?;
        Ok(pids.into_iter().filter_map(Pid::from_raw).collect())
    }

    fn stats(&self) -> Result<Stats, SandboxError> {
        Ok(pod::connect(&self.settings)?.stats(self.id.as_str())?)
    }

    fn update(&self, limits: &ResourceLimits) -> Result<(), SandboxError> {
        let status = status_of(&self.settings, &self.id)?.0;
        if matches!(status, ContainerStatus::Stopped | ContainerStatus::Creating) {
            return Err(wrong(&self.id, "update", status));
        }
        let limits = serde_json::to_vec(limits).context(|| "write the limits")?;
        Ok(pod::connect(&self.settings)?.update(self.id.as_str(), &limits)?)
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), SandboxError> {
        let operation = if frozen { "pause" } else { "resume" };
        let status = status_of(&self.settings, &self.id)?.0;
        match (frozen, status) {
            (true, ContainerStatus::Created | ContainerStatus::Running)
            | (false, ContainerStatus::Paused) => {}
            _ => return Err(wrong(&self.id, operation, status)),
        }
        let mut shim = pod::connect(&self.settings)?;
        match frozen {
            true => Ok(shim.pause(self.id.as_str())?),
            false => Ok(shim.resume(self.id.as_str())?),
        }
    }

    /// By the cgroup that the configuration names, if the shim has made it.
    fn watch_oom(&self) -> Result<OomEvents, SandboxError> {
        let cgroup = self.dir.cgroup()?.ok_or_else(|| SandboxError::Unsupported {
            isolator: NAME,
            operation: format!("watch container {}: it has no cgroup of its own", self.id),
        })?;
        cgroup.oom_events().context(|| "watch for out-of-memory kills")
    }
}
