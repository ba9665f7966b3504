//! Starting a container of a pod.

use std::time::Duration;

use crate::clock::now_nanos;
use crate::metadata::{Phase, PodPhase};
use crate::pods::table::locked;
use crate::pods::view::PodEventKind;
use crate::pods::{PodError, Pods};

const SUPERVISOR: Duration = Duration::from_secs(120);

impl Pods {
    /// Starts a container. A call for one that is just being started joins.
    ///
    /// # Errors
    /// [`PodError::State`] if it was started already; why its program could not
    /// be executed: then it has ended, with the reason `StartError`.
    pub fn start_container(&self, id: &str) -> Result<(), PodError> {
        let container = self.table().container(id)?;
        self.operate("start container", &container.id, |step| {
            let pod = self.table().pod(&container.pod)?;
            let pod_gate = pod.read_gate();
            let gate = locked(&container.gate);
            let wrong = |state: &str| PodError::State {
                what: "start container",
                id: container.id.clone(),
                state: state.to_owned(),
            };
            if pod.phase() != PodPhase::Ready {
                return Err(wrong("in a pod that is not ready"));
            }
            match container.phase() {
                Phase::Created => {}
                Phase::Running => return Err(wrong("running")),
                _ => return Err(wrong("ended")),
            }
            step.step("have the supervisor start it", SUPERVISOR);
            let shim = self.live_container(&container.pod, &container.id)?;
            let began = now_nanos();
            if let Err(error) = shim.start() {
                let error = PodError::from(error);
                self.note_start_error(&container, &error);
                return Err(error);
            }
            self.note_started(&container, began);
            drop(gate);
            drop(pod_gate);
            Ok(String::new())
        })
        .map(drop)
    }

    fn note_start_error(&self, container: &crate::pods::table::ContainerEntry, error: &PodError) {
        let outcome = {
            let mut live = container.live();
            live.record.phase = Phase::Exited;
            let outcome = &mut live.record.outcome;
            outcome.start_error = Some(error.to_string());
            outcome.started = None;
            outcome.finished = Some(now_nanos());
            outcome.exit_code = 128;
            outcome.clone()
        };
        let _ =
            self.engine().metadata().advance_pod_container(&container.id, Phase::Exited, &outcome);
        self.write_event("die", container);
        self.tell(PodEventKind::Stopped, &container.pod, &container.id);
    }
}
