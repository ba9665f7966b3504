//! Acting on a container that runs.

use std::time::Duration;

use caisson_shim::ExitRecord;
use caisson_shim::client::{ClientError, Container, exit_record};

use super::create::event;
use super::error::ContainerError;
use super::status::{ContainerView, Status};
use crate::engine::Engine;
use crate::metadata::{ContainerRecord, Phase};
use crate::request::{ResourceRequest, RestartPolicy};

/// Seconds between the stop signal and SIGKILL where nobody says otherwise.
const STOP_TIMEOUT: u32 = 10;

/// How a container is stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct StopOptions {
    /// Seconds until SIGKILL; the container's own setting if absent. Negative:
    /// it never comes.
    pub timeout: Option<i64>,
    /// The signal, if not the container's own.
    pub signal: Option<i32>,
}

impl Engine {
    /// Asks a container to end, and ends it when the time is over. One that does
    /// not run is fine as it is. Returns its id.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn stop(&self, name: &str, options: StopOptions) -> Result<String, ContainerError> {
        let view = self.container(name)?;
        let id = view.record.id.clone();
        if !matches!(view.status, Status::Running | Status::Paused | Status::Restarting) {
            return Ok(id);
        }
        let own = view.record.document.request.stop_timeout.unwrap_or(STOP_TIMEOUT);
        let seconds = options.timeout.unwrap_or(i64::from(own));
        let grace = u64::try_from(seconds).ok().map(Duration::from_secs);
        let stopped = self.shim(&id).and_then(|shim| shim.stop(grace, options.signal));
        match stopped {
            Ok(_) | Err(ClientError::NotListening { .. } | ClientError::Broken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.metadata().note(&event("stop", &view.record))?;
        self.settle(&id)?;
        Ok(id)
    }

    /// Sends a signal. Returns the container's id.
    ///
    /// # Errors
    /// [`ContainerError::WrongStatus`] unless it runs.
    pub fn kill(&self, name: &str, signal: i32) -> Result<String, ContainerError> {
        let (view, shim) = self.running(name, "start it first")?;
        shim.signal(signal, false)?;
        let number = signal.to_string();
        self.metadata().note(&event("kill", &view.record).with("signal", number))?;
        Ok(view.record.id)
    }

    /// Freezes a container.
    ///
    /// # Errors
    /// [`ContainerError::WrongStatus`] unless it runs.
    pub fn pause(&self, name: &str) -> Result<String, ContainerError> {
        let (view, shim) = self.running(name, "only what runs can be paused")?;
        shim.pause()?;
        self.metadata().note(&event("pause", &view.record))?;
        Ok(view.record.id)
    }

    /// Thaws a container.
    ///
    /// # Errors
    /// [`ContainerError::WrongStatus`] unless it is frozen.
    pub fn unpause(&self, name: &str) -> Result<String, ContainerError> {
        let (view, shim) = self.running(name, "only what is paused can be resumed")?;
        shim.resume()?;
        self.metadata().note(&event("unpause", &view.record))?;
        Ok(view.record.id)
    }

    /// Waits until a container has ended for good, and settles it. For one that
    /// has ended already, its last exit code.
    ///
    /// # Errors
    /// [`ContainerError::WrongStatus`] if it was never started.
    pub fn wait(&self, name: &str) -> Result<u8, ContainerError> {
        let view = self.container(name)?;
        let record = &view.record;
        if record.phase == Phase::Created {
            return Err(ContainerError::WrongStatus {
                name: record.name.clone(),
                status: "created, not started",
                hint: "start it first",
            });
        }
        if view.status == Status::Exited && view.live.is_none() {
            return Ok(record.outcome.exit_code);
        }
        self.wait_for(record)
    }

    /// Waits for a container that is known to run, and settles it.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn wait_for(&self, record: &ContainerRecord) -> Result<u8, ContainerError> {
        let exit = self.shim(&record.id).and_then(|shim| shim.wait(None));
        // Read before anybody removes it.
        let noted = || exit_record(&self.paths.pod(&record.id), &record.id);
        let code = match exit {
            Ok(exit) => Some(exit.code),
            Err(_) => noted().map(|exit| exit.code),
        };
        let settled = self.settle(&record.id)?;
        Ok(code
            .or_else(|| settled.map(|settled| settled.outcome.exit_code))
            .unwrap_or(ExitRecord::LOST))
    }

    /// Changes limits and restart policy of a container, running or not.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn update(
        &self,
        name: &str,
        change: &dyn Fn(&mut ResourceRequest),
        restart: Option<RestartPolicy>,
    ) -> Result<String, ContainerError> {
        let mut view = self.container(name)?;
        let request = &mut view.record.document.request;
        let before = crate::oci_spec::resources(&request.resources);
        change(&mut request.resources);
        let limits = crate::oci_spec::resources(&request.resources);
        if let Some(policy) = restart {
            request.restart = policy;
        }
        if matches!(view.status, Status::Running | Status::Paused | Status::Restarting) {
            let shim = self.shim(&view.record.id)?;
            if limits != before {
                shim.update(limits)?;
            }
            if let Some(policy) = restart {
                shim.set_restart(super::start::restart_policy(policy))?;
            }
        }
        let mut metadata = self.metadata();
        metadata.amend(&view.record)?;
        metadata.note(&event("update", &view.record))?;
        Ok(view.record.id)
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`crate::metadata::MetadataError::NameTaken`].
    pub fn rename(&self, name: &str, new: &str) -> Result<String, ContainerError> {
        let record = self.metadata().find(name)?;
        if !crate::identity::is_name(new) {
            return Err(ContainerError::Name(new.to_owned()));
        }
        let mut metadata = self.metadata();
        metadata.rename(&record.id, new)?;
        metadata.note(&event("rename", &record).with("oldName", record.name.as_str()))?;
        Ok(record.id)
    }

    /// A container that runs, and its supervisor.
    ///
    /// # Errors
    /// [`ContainerError::WrongStatus`].
    pub fn running(
        &self,
        name: &str,
        hint: &'static str,
    ) -> Result<(ContainerView, Container), ContainerError> {
        let view = self.container(name)?;
        match view.status {
            Status::Running | Status::Paused | Status::Restarting => {
                let shim = self.shim(&view.record.id)?;
                Ok((view, shim))
            }
            other => Err(ContainerError::WrongStatus {
                name: view.record.name,
                status: other.as_str(),
                hint,
            }),
        }
    }
}
