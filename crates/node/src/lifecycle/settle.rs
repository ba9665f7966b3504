//! What follows the end of a container.

use std::path::Path;
use std::time::{Duration, Instant};

use caisson_shim::client::{CollectError, collect, exit_record, find_program, is_alive};
use caisson_shim::{ExitRecord, names};

use super::create::event;
use super::error::ContainerError;
use crate::container_lock::ContainerLock;
use crate::engine::Engine;
use crate::metadata::{ContainerRecord, Outcome, Phase};
use crate::oci_spec::CGROUP_PARENT;

/// How long a supervisor may take to go after its container has ended.
pub(super) const LEAVING: Duration = Duration::from_secs(30);

impl Engine {
    /// Puts a container that has ended in order: its end is noted, its network
    /// taken back, and it is removed if it is one that removes itself. Does
    /// nothing while it runs, or if all is done already.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn settle(&self, id: &str) -> Result<Option<ContainerRecord>, ContainerError> {
        let lock = match ContainerLock::wait(&self.paths.container(id)) {
            Ok(lock) => lock,
            Err(crate::container_lock::LockError::Gone(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.settle_locked(id, &lock)
    }

    /// As [`Engine::settle`], by whoever has the lock.
    pub(super) fn settle_locked(
        &self,
        id: &str,
        lock: &ContainerLock,
    ) -> Result<Option<ContainerRecord>, ContainerError> {
        let mut record = self.metadata().get(id)?;
        if record.phase != Phase::Running {
            return Ok(Some(record));
        }
        let pod = self.paths.pod(id);
        let Some(exit) = ended(&pod, id)? else {
            return Ok(Some(record));
        };
        self.release_pod(id)?;
        note(&mut record.outcome, &exit);
        record.phase = Phase::Exited;
        let mut died = event("die", &record).with("exitCode", record.outcome.exit_code.to_string());
        if exit.oom {
            died = died.with("oom", "true");
        }
        let remove = record.document.request.auto_remove;
        self.metadata().advance(id, Phase::Exited, &record.outcome, &[died])?;
        match std::fs::remove_dir_all(&pod) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(ContainerError::Directory { path: pod, source });
            }
            _ => {}
        }
        self.release_cgroup_parent();
        if remove {
            self.remove_locked(&record, lock, true)?;
        }
        Ok(Some(record))
    }

    /// Removes what a start left that was broken off: its launcher is dead, for
    /// whoever calls this has the lock, and so its supervisor is about to go,
    /// which is waited for as long as `patience`. The container does not run.
    pub(super) fn clear_pod(&self, id: &str, patience: Duration) -> Result<(), ContainerError> {
        let pod = self.paths.pod(id);
        if pod.exists() {
            let end = Instant::now() + patience;
            let mut pause = Duration::from_micros(200);
            while is_alive(&pod).unwrap_or(true) {
                if Instant::now() > end {
                    return Err(ContainerError::Lingering { pod });
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            if pod.join(names::CONFIG).exists()
                && let Some(program) = find_program()
            {
                // In good order it has removed all itself.
                let _ = collect(&program, &pod);
            }
        }
        self.release_pod(id)?;
        match std::fs::remove_dir_all(&pod) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(ContainerError::Directory { path: pod, source })
            }
            _ => Ok(()),
        }
    }

    /// Removes the parent of containers' cgroups if no container runs. What
    /// others have in it keeps it.
    pub(super) fn release_cgroup_parent(&self) {
        let running = |list: Vec<(String, Phase)>| list.iter().any(|(_, p)| *p == Phase::Running);
        if !self.rootless && !self.metadata().unsettled().is_ok_and(running) {
            caisson_cgroup::remove_unused(CGROUP_PARENT);
        }
    }

    /// Takes back what a pod holds beside its directory.
    pub(super) fn release_pod(&self, id: &str) -> Result<(), ContainerError> {
        Ok(self.network()?.teardown(id)?)
    }
}

/// How the pod ended; `None` while its container runs. Waits for a supervisor
/// that is about to go.
fn ended(pod: &Path, id: &str) -> Result<Option<ExitRecord>, ContainerError> {
    let end = Instant::now() + LEAVING;
    let exit = || exit_record(pod, id);
    let alive = || {
        is_alive(pod).map_err(|error| ContainerError::File {
            path: pod.join(names::LOCK),
            reason: error.to_string(),
        })
    };
    let mut pause = Duration::from_micros(200);
    while alive()? {
        if exit().is_none() || Instant::now() > end {
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    if let Some(record) = exit() {
        return Ok(Some(record));
    }
    if !pod.exists() {
        // Gone with a reboot.
        return Ok(Some(ExitRecord::lost("the machine was restarted")));
    }
    let program = find_program().ok_or(ContainerError::NoSupervisor)?;
    match collect(&program, pod) {
        // One that died before it had made anything has left no record.
        Ok(()) => Ok(exit().or_else(|| Some(ExitRecord::lost("its supervisor was killed")))),
        Err(CollectError::Alive(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes over what the supervisor wrote down.
fn note(outcome: &mut Outcome, exit: &ExitRecord) {
    outcome.started = exit.started_at.or(outcome.started);
    outcome.finished = Some(exit.finished_at);
    outcome.exit_code = exit.code;
    outcome.oom_killed = exit.oom;
    outcome.error.clone_from(&exit.error);
    outcome.restarts = exit.restarts;
    outcome.stopped = exit.stopped;
}
