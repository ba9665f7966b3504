//! Lists: from memory alone.

use crate::pods::view::{ContainerFilter, ContainerSummary, PodFilter, PodSummary, has_labels};
use crate::pods::{PodError, Pods};

fn fits(id: &str, wanted: Option<&String>) -> bool {
    wanted.is_none_or(|wanted| wanted.is_empty() || id.starts_with(wanted.as_str()))
}

impl Pods {
    /// The pods that fit, the newest first.
    ///
    /// # Errors
    /// None yet.
    pub fn pods(&self, filter: &PodFilter) -> Result<Vec<PodSummary>, PodError> {
        let mut list: Vec<PodSummary> = self
            .table()
            .pods()
            .iter()
            .filter(|pod| fits(&pod.id, filter.id.as_ref()))
            .map(|pod| pod.summary())
            .filter(|pod| {
                filter.state.is_none_or(|state| pod.state == state)
                    && has_labels(&pod.request.labels, &filter.labels)
            })
            .collect();
        list.sort_by_key(|pod| std::cmp::Reverse(pod.created_at));
        Ok(list)
    }

    /// The containers that fit, the newest first. A pod's built-in init is none.
    ///
    /// # Errors
    /// None yet.
    pub fn containers(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, PodError> {
        let mut list: Vec<ContainerSummary> = self
            .table()
            .containers()
            .iter()
            .filter(|container| {
                fits(&container.id, filter.id.as_ref()) && fits(&container.pod, filter.pod.as_ref())
            })
            .map(|container| container.summary())
            .filter(|container| {
                filter.state.is_none_or(|state| container.state == state)
                    && has_labels(&container.request.labels, &filter.labels)
            })
            .collect();
        list.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        Ok(list)
    }
}
