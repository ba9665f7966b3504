//! A container's processes and limits.
//!
//! What the kernel tells by the cgroup is read there: that costs no program.
//! What the runtime keeps account of (limits, pausing) is its own to do.

use std::rc::Rc;

use caisson_cgroup::stats::Stats;
use caisson_cgroup::{Cgroup, OomEvents};
use caisson_isolator::{ContainerId, ContainerStatus, Resources, SandboxError};
use caisson_runtime_spec::Resources as ResourceLimits;
use rustix::process::Pid;

use crate::NAME;
use crate::container::status_of;
use crate::runtime::{Given, Settings};
use crate::state::{StateDir, open_cgroup};
use caisson_foreign::process::{namespace_members, own_pid};
use caisson_foreign::step::Context as _;

/// The cgroup's side of a container.
#[derive(Debug)]
pub(crate) struct OciResources {
    settings: Rc<Settings>,
    id: ContainerId,
    dir: Rc<StateDir>,
}

impl OciResources {
    pub(crate) fn new(settings: &Rc<Settings>, id: &ContainerId, dir: &Rc<StateDir>) -> Self {
        Self { settings: Rc::clone(settings), id: id.clone(), dir: Rc::clone(dir) }
    }

    fn wrong(&self, operation: &'static str, status: ContainerStatus) -> SandboxError {
        SandboxError::WrongStatus { id: self.id.to_string(), operation, status }
    }

    /// The container's cgroup; `None` if the runtime gave it none.
    fn cgroup(&self) -> Result<Option<Cgroup>, SandboxError> {
        let Some(first) = self.dir.first()? else { return Ok(None) };
        Ok(Some(open_cgroup(&first.cgroup)?).filter(|cgroup| !cgroup.is_none()))
    }

    fn needed_cgroup(&self, operation: &str) -> Result<Cgroup, SandboxError> {
        self.cgroup()?.ok_or_else(|| SandboxError::Unsupported {
            isolator: NAME,
            operation: format!(
                "{operation} container {}: its runtime has made no cgroup for it",
                self.id
            ),
        })
    }

    /// Sends `signal` to every process.
    pub(crate) fn signal_all(&self, signal: i32) -> Result<(), SandboxError> {
        let step = || "send a signal to all processes";
        let Some(cgroup) = self.cgroup()? else {
            return Ok(self.settings.signal(&self.dir, &self.id, signal)?);
        };
        let signal = caisson_sys::signals::numbered(signal).ok_or("there is none").context(step)?;
        cgroup.kill_all(signal).context(step)
    }
}

impl Resources for OciResources {
    fn processes(&self) -> Result<Vec<Pid>, SandboxError> {
        let step = || "list the container's processes";
        if let Some(cgroup) = self.cgroup()? {
            return cgroup.pids(true).context(step);
        }
        let (_, first) = status_of(&self.dir)?;
        let members = if first == 0 { Vec::new() } else { namespace_members(first) };
        Ok(members.into_iter().filter_map(Pid::from_raw).collect())
    }

    fn stats(&self) -> Result<Stats, SandboxError> {
        self.needed_cgroup("measure")?.stats().context(|| "read the container's counters")
    }

    fn update(&self, limits: &ResourceLimits) -> Result<(), SandboxError> {
        let status = status_of(&self.dir)?.0;
        if matches!(status, ContainerStatus::Stopped | ContainerStatus::Creating) {
            return Err(self.wrong("update", status));
        }
        let file = format!("call-{}.json", own_pid());
        self.dir.save(&file, limits)?;
        let path = self.dir.path().join(&file).to_string_lossy().into_owned();
        let args = ["--resources".to_owned(), path];
        let updated = self.settings.call(&self.dir, &self.id, "update", &args, &Given::default());
        self.dir.forget(&file);
        Ok(updated.map(drop)?)
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), SandboxError> {
        let operation = if frozen { "pause" } else { "resume" };
        let status = status_of(&self.dir)?.0;
        match (frozen, status) {
            (true, ContainerStatus::Created | ContainerStatus::Running)
            | (false, ContainerStatus::Paused) => {}
            _ => return Err(self.wrong(operation, status)),
        }
        let called = self.settings.call(&self.dir, &self.id, operation, &[], &Given::default());
        Ok(called.map(drop)?)
    }

    fn watch_oom(&self) -> Result<OomEvents, SandboxError> {
        let cgroup = self.needed_cgroup("watch")?;
        cgroup.oom_events().context(|| "watch for out-of-memory kills")
    }
}
