//! Finishing or undoing what processes that died have left.

use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::time::Duration;

use caisson_shim::client::is_alive;

use super::error::ContainerError;
use crate::container_lock::ContainerLock;
use crate::engine::Engine;
use crate::metadata::{MetadataError, Phase, PodPhase};

/// How long a supervisor that is about to go is waited for, by a command that
/// came for something else.
const PATIENCE: Duration = Duration::from_secs(2);

impl Engine {
    /// Looks for containers that died half made or half removed, for those
    /// whose supervisor is gone, and for what belongs to nobody, and puts all
    /// of it in order. Quick where there is nothing to do. What fails is left to
    /// the next time.
    pub fn collect(&self) {
        let Ok(unsettled) = self.metadata().unsettled() else {
            return;
        };
        let mut dead = 0;
        for (id, phase) in unsettled {
            if phase == Phase::Running && is_alive(&self.paths.pod(&id)).unwrap_or(true) {
                continue;
            }
            dead += usize::from(self.collect_one(&id));
        }
        dead += self.collect_orphans();
        if dead > 0 {
            self.collect_others();
        }
    }

    /// Puts one container in order if nobody is at work on it; whether its name
    /// is free now.
    pub(super) fn collect_one(&self, id: &str) -> bool {
        let dir = self.paths.container(id);
        if !dir.exists() {
            // The last step of a removal, or the first of a creation, is missing.
            return self.metadata().forget(id, None).is_ok();
        }
        let Ok(Some(lock)) = ContainerLock::try_take(&dir) else {
            return false;
        };
        self.collect_locked(id, &lock).unwrap_or(false)
    }

    fn collect_locked(&self, id: &str, lock: &ContainerLock) -> Result<bool, ContainerError> {
        let found = self.metadata().get(id);
        let record = match found {
            Ok(record) => record,
            Err(MetadataError::NotFound(_)) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        match record.phase {
            Phase::Creating | Phase::Removing => {
                self.clear_pod(id, PATIENCE)?;
                self.remove_locked(&record, lock, true)?;
                Ok(true)
            }
            Phase::Running => {
                self.settle_locked(id, lock)?;
                Ok(!self.metadata().knows(id)?)
            }
            Phase::Created | Phase::Exited => Ok(false),
        }
    }

    /// Directories without an entry in the database: their maker died before
    /// it had one, or their remover after it had none.
    fn collect_orphans(&self) -> usize {
        let mut removed = 0;
        let names = |dir: &std::path::Path| -> BTreeSet<String> {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries
                .map(|entry: DirEntry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        };
        for id in names(&self.paths.containers()) {
            if self.metadata().knows(&id).unwrap_or(true) {
                continue;
            }
            let dir = self.paths.container(&id);
            let Ok(Some(_lock)) = ContainerLock::try_take(&dir) else {
                continue;
            };
            if !self.metadata().knows(&id).unwrap_or(true) && std::fs::remove_dir_all(&dir).is_ok()
            {
                removed += 1;
            }
        }
        for id in names(&self.paths.pods()) {
            let pod = self.paths.pod(&id);
            let known = self.metadata().knows(&id).unwrap_or(true);
            if known || is_alive(&pod).unwrap_or(true) {
                continue;
            }
            if let Some(program) = caisson_shim::client::find_program() {
                // Whatever a killed supervisor left of it.
                let _ = caisson_shim::client::collect(&program, &pod);
            }
            removed += usize::from(std::fs::remove_dir_all(&pod).is_ok());
        }
        removed
    }

    /// Images and addresses held for containers that are no more.
    fn collect_others(&self) {
        let known = |id: &str| self.metadata().knows(id).unwrap_or(true);
        if let Ok(store) = self.store() {
            let _ = store.release_dead(&known);
        }
        if let Ok(network) = self.network() {
            let alive = |id: &str| {
                let metadata = self.metadata();
                let pod = metadata.pod_phase(id);
                match pod {
                    Ok(Some(phase)) => matches!(phase, PodPhase::Creating | PodPhase::Ready),
                    Ok(None) if metadata.knows(id).unwrap_or(true) => {
                        metadata.get(id).is_ok_and(|record| record.phase == Phase::Running)
                    }
                    Ok(None) => false,
                    Err(_) => true,
                }
            };
            let _ = network.collect(&alive);
        }
        let _ = self.metadata().trim_events();
    }
}
