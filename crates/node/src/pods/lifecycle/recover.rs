//! What an earlier process left: taken over, finished, or undone.

use std::collections::BTreeSet;

use caisson_shim::client::is_alive;

use crate::metadata::{Phase, PodContainerRecord, PodPhase, PodRecord};
use crate::pods::table::{ContainerEntry, PodEntry};
use crate::pods::{PodError, Pods};

impl Pods {
    /// Reads the database, and asks the supervisors. What fails for one pod does
    /// not keep the others from being found.
    pub(in crate::pods) fn recover(&self) -> Result<(), PodError> {
        let (pods, containers) = {
            let metadata = self.engine().metadata();
            (metadata.list_pods()?, metadata.list_pod_containers()?)
        };
        let mut known = BTreeSet::new();
        for record in pods.records {
            match record.phase {
                PodPhase::Creating | PodPhase::Removing => self.clear(&record, &containers.records),
                PodPhase::Ready | PodPhase::Stopped => {
                    known.insert(record.id.clone());
                    self.table().add_pod(PodEntry::new(record));
                }
            }
        }
        for record in containers.records {
            let kept = known.contains(&record.pod)
                && !matches!(record.phase, Phase::Creating | Phase::Removing);
            if kept {
                self.table().add_container(ContainerEntry::new(record));
            } else {
                // A supervisor that does not know it does not mind.
                let _ = self.undo_container(&record);
            }
        }
        for pod in self.table().pods() {
            if pod.phase() == PodPhase::Ready {
                self.find_again(&pod);
            }
        }
        self.engine().collect();
        Ok(())
    }

    /// Removes what is left of a pod that was half made or half removed.
    fn clear(&self, record: &PodRecord, containers: &[PodContainerRecord]) {
        // Whatever fails is tried again by the next start.
        if self.end_supervisor(&record.id).is_err() {
            return;
        }
        for container in containers.iter().filter(|container| container.pod == record.id) {
            let _ = self.forget_container(container);
        }
        let _ = self.undo_pod(record);
    }

    fn find_again(&self, pod: &PodEntry) {
        let alive = is_alive(&self.pod_dir(&pod.id)).unwrap_or(true);
        if alive && self.follow(&pod.id).is_ok() {
            self.check_containers(pod);
            return;
        }
        let why = match self.pod_dir(&pod.id).exists() {
            true => "its supervisor was killed",
            false => "the machine was restarted",
        };
        self.lose(pod, why);
    }

    /// Containers that the supervisor knows nothing of have ended, or were never
    /// complete.
    fn check_containers(&self, pod: &PodEntry) {
        let Ok(state) = self.shim(&pod.id).and_then(|shim| Ok(shim.state()?)) else { return };
        let dir = self.pod_dir(&pod.id);
        for container in self.table().containers_of(&pod.id) {
            let unknown = !state.containers.iter().any(|known| known.id == container.id);
            if unknown && matches!(container.phase(), Phase::Created | Phase::Running) {
                let lost = || caisson_shim::ExitRecord::lost("its supervisor does not know it");
                let exit = caisson_shim::client::exit_record(&dir, &container.id);
                self.note_exit(&container, &exit.unwrap_or_else(lost));
            }
        }
    }
}
