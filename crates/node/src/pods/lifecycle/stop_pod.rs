//! Stopping a pod.

use std::time::{Duration, Instant};

use caisson_shim::client::{
    ClientError, CollectError, collect, exit_record, find_program, is_alive,
};
use caisson_shim::{ExitRecord, names};

use super::run_pod::no_supervisor;
use crate::clock::now_nanos;
use crate::metadata::{Phase, PodPhase, PodRecord};
use crate::pods::table::PodEntry;
use crate::pods::view::PodEventKind;
use crate::pods::{PodError, Pods, Step, cgroups, network, shared_memory};

/// How long containers may take to die, and their supervisor to leave.
const ENDING: Duration = Duration::from_secs(60);
const NETWORK: Duration = Duration::from_secs(120);

impl Pods {
    /// Stops a pod: kills what runs in it, and takes its network back. A pod
    /// that is stopped, or not there, is fine.
    ///
    /// # Errors
    /// [`PodError`]; what is left is tried again by the next call.
    pub fn stop_pod(&self, id: &str) -> Result<(), PodError> {
        let pod = match self.table().pod(id) {
            Ok(pod) => pod,
            Err(PodError::NoPod(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.operate("stop pod", &pod.id, |step| {
            let gate = pod.write_gate();
            self.stop_locked(&pod, step)?;
            drop(gate);
            Ok(String::new())
        })
        .map(drop)
    }

    /// As [`Pods::stop_pod`], by who holds the gate.
    pub(super) fn stop_locked(&self, pod: &PodEntry, step: &Step<'_>) -> Result<(), PodError> {
        let record = pod.live().record.clone();
        if record.outcome.stopped_at.is_some() {
            return Ok(());
        }
        step.step("end its containers", ENDING);
        self.end_supervisor(&pod.id)?;
        self.note_ends(&pod.id);
        step.step("take its network back", NETWORK);
        if let Err(error) = self.release(&record) {
            // Nothing runs in it any more, whatever else is left of it.
            self.note_unready(pod, &error);
            return Err(error);
        }
        let outcome = {
            let mut live = pod.live();
            live.record.phase = PodPhase::Stopped;
            live.record.outcome.stopped_at = Some(now_nanos());
            live.record.outcome.cgroup = None;
            live.record.outcome.clone()
        };
        self.engine().metadata().advance_pod(&pod.id, PodPhase::Stopped, &outcome)?;
        self.write_pod_event("stop", pod);
        self.tell(PodEventKind::Stopped, &pod.id, &pod.id);
        Ok(())
    }

    fn note_unready(&self, pod: &PodEntry, error: &PodError) {
        let outcome = {
            let mut live = pod.live();
            live.record.phase = PodPhase::Stopped;
            live.record.outcome.error = Some(error.to_string());
            live.record.outcome.clone()
        };
        // Without it the next engine finds its supervisor gone.
        let _ = self.engine().metadata().advance_pod(&pod.id, PodPhase::Stopped, &outcome);
        self.tell(PodEventKind::Stopped, &pod.id, &pod.id);
    }

    /// Kills what runs in a pod and waits until its supervisor is gone.
    /// Idempotent.
    pub(super) fn end_supervisor(&self, pod: &str) -> Result<(), PodError> {
        let dir = self.pod_dir(pod);
        let end = Instant::now() + ENDING;
        let alive = || {
            is_alive(&dir)
                .map_err(|e| PodError::io(format!("look at the lock in {}", dir.display()), e))
        };
        let mut pause = Duration::from_micros(200);
        let mut told = false;
        while alive()? {
            if !told {
                match self.shim(pod).and_then(|shim| Ok(shim.shutdown(true)?)) {
                    Ok(()) => told = true,
                    // One that is just coming or going does not answer.
                    Err(PodError::Supervisor(
                        ClientError::NotListening { .. } | ClientError::Broken { .. },
                    )) => {}
                    Err(error) => return Err(error),
                }
            }
            if Instant::now() > end {
                return Err(PodError::Deadline {
                    what: "ending the supervisor".to_owned(),
                    id: pod.to_owned(),
                    limit: ENDING,
                });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        if !told && dir.join(names::CONFIG).exists() {
            // It was killed; so perhaps was its guard.
            let program = find_program().ok_or_else(no_supervisor)?;
            match collect(&program, &dir) {
                Ok(()) | Err(CollectError::Alive(_)) => {}
                Err(error) => return Err(PodError::failed("clear a dead pod away", error)),
            }
        }
        Ok(())
    }

    /// Notes how the containers of a pod ended whose supervisor is gone.
    pub(super) fn note_ends(&self, pod: &str) {
        let dir = self.pod_dir(pod);
        for container in self.table().containers_of(pod) {
            if !matches!(container.phase(), Phase::Created | Phase::Running) {
                continue;
            }
            let exit = exit_record(&dir, &container.id)
                .unwrap_or_else(|| ExitRecord::lost("its supervisor was lost"));
            self.note_exit(&container, &exit);
        }
    }

    /// Takes back what a pod holds beside its directory. Idempotent.
    pub(super) fn release(&self, record: &PodRecord) -> Result<(), PodError> {
        network::disconnect(self.engine(), &record.id)?;
        shared_memory::unmount_from(&self.pod_dir(&record.id))?;
        if let Some(state) = &record.outcome.cgroup {
            cgroups::remove(&record.id, state)?;
        }
        Ok(())
    }
}
