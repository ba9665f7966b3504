//! Stopping a container of a pod.

use std::time::Duration;

use caisson_shim::client::ClientError;

use crate::metadata::Phase;
use crate::pods::{PodError, Pods};
use crate::signals;

impl Pods {
    /// Ends a container: its stop signal, and SIGKILL after `grace`, or at once
    /// if that is zero. One that does not run, or is not there, is fine. Callers
    /// do not wait for each other: the one with the shortest grace has its way.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn stop_container(&self, id: &str, grace: Duration) -> Result<(), PodError> {
        let container = match self.table().container(id) {
            Ok(container) => container,
            Err(PodError::NoContainer(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if container.phase() != Phase::Running {
            return Ok(());
        }
        let signal = grace.is_zero().then_some(signals::KILL);
        let stopped = self
            .live_container(&container.pod, &container.id)
            .and_then(|shim| Ok(shim.stop(Some(grace), signal)?));
        match stopped {
            Ok(exit) => {
                self.note_exit(&container, &exit);
                Ok(())
            }
            // The supervisor was lost, and its guard has ended everything.
            Err(PodError::Supervisor(
                ClientError::NotListening { .. } | ClientError::Broken { .. },
            )) if self.has_ended(&container.pod, &container.id) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether a container has ended, as far as the disk tells.
    fn has_ended(&self, pod: &str, container: &str) -> bool {
        let dir = self.pod_dir(pod);
        match caisson_shim::client::exit_record(&dir, container) {
            Some(exit) => {
                if let Ok(container) = self.table().container(container) {
                    self.note_exit(&container, &exit);
                }
                true
            }
            None => false,
        }
    }
}
