//! The seam's second level: a sandbox of one container with the same name.
//!
//! Pods of several containers are several sandboxes that share namespaces by
//! path, as the configuration says.

use std::rc::Rc;

use caisson_isolator::{
    Container, ContainerId, ContainerRequest, ContainerStatus, Sandbox, SandboxError,
};
use caisson_runtime_spec::Status;
use rustix::process::{Signal, pidfd_send_signal};

use crate::container::NativeContainer;
use crate::isolator::Settings;
use crate::state::{Record, StateDir};
use crate::step::{Context, StepError};
use crate::{create, hooks, intel_rdt, lsm};

/// One container's place.
#[derive(Debug)]
pub(crate) struct NativeSandbox {
    settings: Settings,
    id: ContainerId,
    dir: Rc<StateDir>,
}

impl NativeSandbox {
    pub(crate) fn new(settings: Settings, id: ContainerId, dir: StateDir) -> Self {
        Self { settings, id, dir: Rc::new(dir) }
    }

    fn open(&self) -> Result<Option<NativeContainer>, SandboxError> {
        let Some(record) = self.dir.record()? else { return Ok(None) };
        Ok(Some(NativeContainer::new(self.id.clone(), Rc::clone(&self.dir), record, None)))
    }
}

impl Sandbox for NativeSandbox {
    fn create_container(
        &self,
        request: ContainerRequest,
    ) -> Result<Box<dyn Container>, SandboxError> {
        if request.id != self.id {
            return Err(SandboxError::Unsupported {
                isolator: crate::NAME,
                operation: format!("put container {} into sandbox {}", request.id, self.id),
            });
        }
        if let Some(process) = &request.spec.process {
            lsm::check(process)?;
        }
        if let Some(linux) = &request.spec.linux {
            lsm::check_mount_label(linux)?;
        }
        let created = create::create(&self.settings, &self.dir, &request)?;
        Ok(Box::new(NativeContainer::new(
            self.id.clone(),
            Rc::clone(&self.dir),
            created.record,
            Some(created.process),
        )))
    }

    fn container(&self, id: &ContainerId) -> Result<Box<dyn Container>, SandboxError> {
        let not_found = || SandboxError::NotFound(id.to_string());
        if *id != self.id {
            return Err(not_found());
        }
        Ok(Box::new(self.open()?.ok_or_else(not_found)?))
    }

    fn containers(&self) -> Result<Vec<ContainerId>, SandboxError> {
        Ok(vec![self.id.clone()])
    }

    fn delete(&self, force: bool) -> Result<(), SandboxError> {
        let Some(container) = self.open()? else {
            // Creation was cut off before anything was made.
            if force {
                return Ok(self.dir.remove()?);
            }
            return Err(SandboxError::WrongStatus {
                id: self.id.to_string(),
                operation: "delete",
                status: ContainerStatus::Creating,
            });
        };
        match container.status()? {
            ContainerStatus::Stopped => {}
            ContainerStatus::Created => container.kill_and_wait()?,
            // Its processes are known by their cgroup only.
            ContainerStatus::Creating if force => {
                let _ = container.signal_all(Signal::KILL);
            }
            _ if force => container.kill_and_wait()?,
            status => {
                return Err(SandboxError::WrongStatus {
                    id: self.id.to_string(),
                    operation: "delete",
                    status,
                });
            }
        }
        destroy(&self.dir, container.record())
    }
}

/// Removes all that is left of a container whose first process has ended, and
/// runs its poststop hooks.
pub(crate) fn destroy(dir: &StateDir, record: &Record) -> Result<(), SandboxError> {
    let cgroup = record.open_cgroup()?;
    if !record.own_pids {
        // Some may have outlived the first one. What is left after this,
        // the removal of the cgroup reports.
        let _ = cgroup.kill_all(Signal::KILL);
    }
    cgroup
        .delete()
        .map_err(|error| error.to_string())
        .context(|| "remove the container's cgroup")?;
    record.remove_host_mounts()?;
    if let Some(path) = &record.resctrl {
        intel_rdt::remove(path);
    }
    dir.remove()?;
    let state = record.state_document(Status::Stopped, 0);
    for warning in hooks::run_all("poststop", &record.poststop, &state) {
        crate::warn(&warning);
    }
    Ok(())
}

/// Sends `signal` by pidfd; a process that is gone is no error.
pub(crate) fn send(pidfd: &std::os::fd::OwnedFd, signal: Signal) -> Result<(), StepError> {
    match pidfd_send_signal(pidfd, signal) {
        Err(error) if create::is_gone(error) => Ok(()),
        other => other.context(|| format!("send signal {signal:?}")),
    }
}
