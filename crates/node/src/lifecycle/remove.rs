//! Removing containers.

use std::time::{Duration, Instant};

use caisson_shim::client::ClientError;

use super::create::event;
use super::error::ContainerError;
use super::settle::LEAVING;
use crate::container_lock::{ContainerLock, LockError};
use crate::engine::Engine;
use crate::metadata::{ContainerRecord, Phase, VolumeRecord};
use crate::volumes;

/// How a container is removed.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Even if it runs.
    pub force: bool,
    /// With the volumes that were made for it alone.
    pub volumes: bool,
}

impl Engine {
    /// Removes a container; returns its id.
    ///
    /// # Errors
    /// [`ContainerError::WrongStatus`] if it runs and `force` is not set.
    pub fn remove(&self, name: &str, options: RemoveOptions) -> Result<String, ContainerError> {
        let id = self.metadata().find(name)?.id;
        let lock = match ContainerLock::wait(&self.paths.container(&id)) {
            Ok(lock) => lock,
            Err(LockError::Gone(_)) => {
                // It removed itself, or somebody has taken its directory away.
                self.collect_one(&id);
                return Ok(id);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(record) = self.settle_locked(&id, &lock)? else {
            return Ok(id);
        };
        if !self.metadata().knows(&id)? {
            // It removed itself.
            return Ok(id);
        }
        if record.phase == Phase::Running {
            if !options.force {
                return Err(ContainerError::WrongStatus {
                    name: record.name,
                    status: "running",
                    hint: "stop it first, or remove it with --force",
                });
            }
            let end = Instant::now() + LEAVING;
            loop {
                let sent = self.shim(&id).and_then(|shim| shim.pod().shutdown(true));
                let settled = self.settle_locked(&id, &lock)?;
                if !self.metadata().knows(&id)? {
                    return Ok(id);
                }
                if settled.is_some_and(|record| record.phase != Phase::Running) {
                    break;
                }
                match sent {
                    Ok(()) => break,
                    // One that is leaving, or was killed and is being cleared
                    // away by its guard, does not answer, but is still there.
                    Err(ClientError::NotListening { .. } | ClientError::Broken { .. })
                        if Instant::now() < end =>
                    {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.clear_pod(&id, LEAVING)?;
        let volumes = options.volumes || record.document.request.auto_remove;
        self.remove_locked(&record, &lock, volumes)?;
        Ok(id)
    }

    /// Removes what is there of a container that does not run.
    pub(super) fn remove_locked(
        &self,
        record: &ContainerRecord,
        _lock: &ContainerLock,
        volumes: bool,
    ) -> Result<(), ContainerError> {
        self.metadata().begin_removal(&record.id)?;
        let dir = self.paths.container(&record.id);
        let fail = |source| ContainerError::Directory { path: dir.clone(), source };
        // The lock goes last, so that nobody takes what is half gone for new.
        for entry in std::fs::read_dir(&dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let path = entry.path();
            if entry.file_name() == "lock" {
                continue;
            }
            let removed = if entry.file_type().map_err(fail)?.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.map_err(|source| ContainerError::Directory { path, source })?;
        }
        if volumes {
            let dir = self.paths.volumes();
            let own = |volume: &VolumeRecord| volume.owner.as_deref() == Some(&record.id);
            let own: Vec<_> = self.metadata().volumes()?.into_iter().filter(own).collect();
            // One that another container has taken over stays.
            for volume in &own {
                volumes::forget(&dir, &mut self.metadata(), &volume.name)?;
            }
            if !own.is_empty() {
                volumes::sweep(&dir)?;
            }
        }
        self.store()?.release(&record.id)?;
        self.metadata().forget(&record.id, Some(&event("destroy", record)))?;
        std::fs::remove_dir_all(&dir).map_err(fail)
    }
}
