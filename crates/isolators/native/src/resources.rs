//! A container's processes and limits.

use std::rc::Rc;

use caisson_cgroup::stats::Stats;
use caisson_cgroup::{Cgroup, OomEvents};
use caisson_isolator::{ContainerStatus, Resources, SandboxError};
use caisson_runtime_spec::Resources as ResourceLimits;
use rustix::process::Pid;

use crate::container::live_process;
use crate::pid_namespace;
use crate::state::{Record, StateDir};
use crate::step::{Context, StepError};

/// The cgroup's side of a container.
#[derive(Debug)]
pub(crate) struct NativeResources {
    dir: Rc<StateDir>,
    record: Rc<Record>,
}

impl NativeResources {
    pub(crate) fn new(dir: &Rc<StateDir>, record: &Rc<Record>) -> Self {
        Self { dir: Rc::clone(dir), record: Rc::clone(record) }
    }

    fn cgroup(&self) -> Result<Cgroup, StepError> {
        self.record.open_cgroup()
    }

    fn wrong(&self, operation: &'static str, status: ContainerStatus) -> SandboxError {
        SandboxError::WrongStatus { id: self.record.id.clone(), operation, status }
    }
}

impl Resources for NativeResources {
    fn processes(&self) -> Result<Vec<Pid>, SandboxError> {
        let cgroup = self.cgroup()?;
        if cgroup.is_none() {
            let first = live_process(&self.dir)?.and_then(|(first, _)| Pid::from_raw(first.pid));
            return match first {
                Some(first) if self.record.own_pids => Ok(pid_namespace::members(first)?),
                first => Ok(first.into_iter().collect()),
            };
        }
        let pids = cgroup
            .pids(true)
            .map_err(|error| error.to_string())
            .context(|| "list the container's processes")?;
        Ok(pids)
    }

    fn stats(&self) -> Result<Stats, SandboxError> {
        let stats = self
            .cgroup()?
            .stats()
            .map_err(|error| error.to_string())
            .context(|| "read the container's counters")?;
        Ok(stats)
    }

    fn update(&self, limits: &ResourceLimits) -> Result<(), SandboxError> {
        if live_process(&self.dir)?.is_none() {
            return Err(self.wrong("update", ContainerStatus::Stopped));
        }
        self.cgroup()?
            .update(limits)
            .map_err(|error| error.to_string())
            .context(|| "change the container's limits")?;
        Ok(())
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), SandboxError> {
        let operation = if frozen { "pause" } else { "resume" };
        if live_process(&self.dir)?.is_none() {
            return Err(self.wrong(operation, ContainerStatus::Stopped));
        }
        let cgroup = self.cgroup()?;
        let step = || format!("{operation} the container");
        let is_frozen = cgroup.is_frozen().map_err(|error| error.to_string()).context(step)?;
        match (frozen, is_frozen) {
            (false, false) => Err(self.wrong(operation, ContainerStatus::Running)),
            (true, true) => Err(self.wrong(operation, ContainerStatus::Paused)),
            (true, false) => {
                cgroup.freeze().map_err(|error| error.to_string()).context(step)?;
                Ok(())
            }
            (false, true) => {
                cgroup.thaw().map_err(|error| error.to_string()).context(step)?;
                Ok(())
            }
        }
    }

    fn watch_oom(&self) -> Result<OomEvents, SandboxError> {
        let watch = self
            .cgroup()?
            .oom_events()
            .map_err(|error| error.to_string())
            .context(|| "watch for out-of-memory kills")?;
        Ok(watch)
    }
}
