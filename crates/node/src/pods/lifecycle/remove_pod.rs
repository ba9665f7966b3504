//! Removing a pod.

use std::time::Duration;

use super::run_pod::remove_dir;
use crate::metadata::PodPhase;
use crate::pods::view::PodEventKind;
use crate::pods::{PodError, Pods};

const QUICK: Duration = Duration::from_secs(30);

impl Pods {
    /// Removes a pod with all its containers, stopping it first if it stands.
    /// One that is not there is fine.
    ///
    /// # Errors
    /// [`PodError`]; what is left is tried again by the next call.
    pub fn remove_pod(&self, id: &str) -> Result<(), PodError> {
        let pod = match self.table().pod(id) {
            Ok(pod) => pod,
            Err(PodError::NoPod(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.operate("remove pod", &pod.id, |step| {
            let gate = pod.write_gate();
            if self.table().pod(&pod.id).is_err() {
                return Ok(String::new());
            }
            self.stop_locked(&pod, step)?;
            step.step("remove its containers", QUICK);
            for container in self.table().containers_of(&pod.id) {
                self.remove_stopped(&container)?;
            }
            step.step("forget it", QUICK);
            let outcome = pod.live().record.outcome.clone();
            self.engine().metadata().advance_pod(&pod.id, PodPhase::Removing, &outcome)?;
            remove_dir(&self.pod_dir(&pod.id))?;
            self.engine().metadata().forget_pod(&pod.id)?;
            self.table().drop_pod(&pod.id);
            self.shared.samples.forget(&pod.id);
            drop(gate);
            self.write_pod_event("destroy", &pod);
            self.tell(PodEventKind::Deleted, &pod.id, &pod.id);
            Ok(String::new())
        })
        .map(drop)
    }
}
