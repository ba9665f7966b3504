//! Removing a container of a pod.

use std::time::Duration;

use caisson_shim::FaultKind;
use caisson_shim::client::{ClientError, is_alive};

use crate::metadata::Phase;
use crate::pods::table::{ContainerEntry, locked};
use crate::pods::view::PodEventKind;
use crate::pods::{PodError, Pods};

const SUPERVISOR: Duration = Duration::from_secs(120);
const QUICK: Duration = Duration::from_secs(30);

impl Pods {
    /// Removes a container, killing it if it runs. One that is not there is
    /// fine.
    ///
    /// # Errors
    /// [`PodError`]; what is left is tried again by the next call.
    pub fn remove_container(&self, id: &str) -> Result<(), PodError> {
        let container = match self.table().container(id) {
            Ok(container) => container,
            Err(PodError::NoContainer(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.operate("remove container", &container.id, |step| {
            let gate = locked(&container.gate);
            if self.table().container(&container.id).is_err() {
                return Ok(String::new());
            }
            step.step("end it", SUPERVISOR);
            if is_alive(&self.pod_dir(&container.pod)).unwrap_or(false) {
                let done = self
                    .live_container(&container.pod, &container.id)
                    .and_then(|shim| Ok(shim.remove(true)?));
                match done {
                    Ok(()) => {}
                    Err(PodError::Supervisor(ClientError::Fault(fault)))
                        if fault.kind == FaultKind::NotFound => {}
                    // It may be leaving.
                    Err(error) if is_alive(&self.pod_dir(&container.pod)).unwrap_or(true) => {
                        return Err(error);
                    }
                    Err(_) => {}
                }
            }
            step.step("forget it", QUICK);
            self.remove_stopped(&container)?;
            drop(gate);
            Ok(String::new())
        })
        .map(drop)
    }

    /// Removes a container that runs no more.
    pub(super) fn remove_stopped(&self, container: &ContainerEntry) -> Result<(), PodError> {
        let record = container.live().record.clone();
        self.engine().metadata().advance_pod_container(
            &record.id,
            Phase::Removing,
            &record.outcome,
        )?;
        self.forget_container(&record)?;
        self.table().drop_container(&container.id);
        self.shared.samples.forget(&container.id);
        self.shared.files.forget(&container.id);
        self.write_event("destroy", container);
        self.tell(PodEventKind::Deleted, &container.pod, &container.id);
        Ok(())
    }
}
