//! What happens to pods, written down for `caisson events`. What could not be
//! written has happened all the same.

use super::Pods;
use super::table::{ContainerEntry, PodEntry};
use crate::metadata::{Event, EventKind};

impl Pods {
    /// Writes down what was done to a pod.
    pub(super) fn write_pod_event(&self, action: &str, pod: &PodEntry) {
        let request = pod.request();
        let event = Event::now(EventKind::Pod, action, &pod.id)
            .with("name", request.name.as_str())
            .with("namespace", request.namespace.as_str())
            .with("uid", request.uid.as_str());
        let _ = self.engine().note(&event);
    }

    /// Writes down what was done to a container; of one that has died also how.
    pub(super) fn write_event(&self, action: &str, container: &ContainerEntry) {
        let event = {
            let live = container.live();
            let event = Event::now(EventKind::Container, action, &container.id)
                .with("name", live.request.name.as_str())
                .with("image", live.request.image.image.as_str())
                .with("pod", container.pod.as_str());
            let outcome = &live.record.outcome;
            match (action, outcome.oom_killed) {
                ("die", false) => event.with("exitCode", outcome.exit_code.to_string()),
                ("die", true) => {
                    event.with("exitCode", outcome.exit_code.to_string()).with("oom", "true")
                }
                _ => event,
            }
        };
        let _ = self.engine().note(&event);
    }
}
