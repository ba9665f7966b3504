//! Changing limits, and opening logs anew.

use crate::metadata::Phase;
use crate::pods::request::PodResources;
use crate::pods::table::locked;
use crate::pods::{PodError, Pods, cgroups, spec};
use std::sync::Arc;

use super::run_pod::unified;

impl Pods {
    /// Changes a container's limits; what is not set stays. One that waits to be
    /// started, or runs.
    ///
    /// # Errors
    /// [`PodError::State`] if it has ended; the limit that could not be set.
    pub fn update_container(&self, id: &str, resources: PodResources) -> Result<(), PodError> {
        let container = self.table().container(id)?;
        let gate = locked(&container.gate);
        if !matches!(container.phase(), Phase::Created | Phase::Running) {
            return Err(PodError::State {
                what: "change the limits of container",
                id: container.id.clone(),
                state: "ended".to_owned(),
            });
        }
        let limits = spec::resources(&resources, unified())?;
        self.live_container(&container.pod, &container.id)?.update(limits)?;
        let record = {
            let mut live = container.live();
            let mut request = (*live.request).clone();
            let old = request.resources.take().unwrap_or_default();
            request.resources = Some(spec::merge(old, resources));
            live.record.document.request = request.clone();
            live.request = Arc::new(request);
            live.record.clone()
        };
        self.engine().metadata().amend_pod_container(&record)?;
        drop(gate);
        Ok(())
    }

    /// Changes a pod's limits; what is not set stays. Where the orchestrator has
    /// named a parent cgroup, limits are its own to set there, and this only
    /// notes them.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn update_pod(
        &self,
        id: &str,
        overhead: Option<PodResources>,
        resources: Option<PodResources>,
    ) -> Result<(), PodError> {
        let pod = self.table().pod(id)?;
        let gate = pod.write_gate();
        let (own, state) = {
            let live = pod.live();
            (live.record.outcome.own_limits, live.record.outcome.cgroup.clone())
        };
        if let (true, Some(state), Some(wanted)) = (own, &state, &resources) {
            cgroups::update(&pod.id, state, &spec::resources(wanted, unified())?)?;
        }
        let record = {
            let mut live = pod.live();
            let mut request = (*live.request).clone();
            let put = |slot: &mut Option<PodResources>, new: Option<PodResources>| {
                if let Some(new) = new {
                    let old = slot.take().unwrap_or_default();
                    *slot = Some(spec::merge(old, new));
                }
            };
            put(&mut request.overhead, overhead);
            put(&mut request.resources, resources);
            live.record.document.request = request.clone();
            live.request = Arc::new(request);
            live.record.clone()
        };
        self.engine().metadata().amend_pod(&record)?;
        drop(gate);
        Ok(())
    }

    /// Has a container's log opened anew, after it was renamed.
    ///
    /// # Errors
    /// [`PodError::State`] if it does not run.
    pub fn reopen_log(&self, id: &str) -> Result<(), PodError> {
        let container = self.table().container(id)?;
        if container.phase() != Phase::Running {
            return Err(PodError::State {
                what: "reopen the log of container",
                id: container.id.clone(),
                state: "not running".to_owned(),
            });
        }
        Ok(self.live_container(&container.pod, &container.id)?.reopen_log()?)
    }
}
