//! Calls that are not there yet.

use super::view::{
    ContainerFilter, ContainerStats, FilesystemUsage, MetricDescriptor, PodFilter, PodMetrics,
    PodStats, RuntimeStatus,
};
use super::{PodError, Pods};

fn not_yet<T>(what: &str) -> Result<T, PodError> {
    Err(PodError::Unsupported(format!("{what} is not in this build")))
}

impl Pods {
    /// What the containers that fit use.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn container_stats(
        &self,
        _filter: &ContainerFilter,
    ) -> Result<Vec<ContainerStats>, PodError> {
        not_yet("statistics")
    }

    /// What the pods that fit use.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn pod_stats(&self, _filter: &PodFilter) -> Result<Vec<PodStats>, PodError> {
        not_yet("statistics")
    }

    /// The metrics that pods have.
    #[must_use]
    pub fn metric_descriptors(&self) -> &'static [MetricDescriptor] {
        &[]
    }

    /// The metrics of all pods that stand.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn pod_metrics(&self) -> Result<Vec<PodMetrics>, PodError> {
        not_yet("metrics")
    }

    /// What images take, and what containers write.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn image_filesystems(
        &self,
    ) -> Result<(Vec<FilesystemUsage>, Vec<FilesystemUsage>), PodError> {
        not_yet("figures of file systems")
    }

    /// What the engine says of itself.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn runtime_status(&self) -> Result<RuntimeStatus, PodError> {
        not_yet("the engine's status")
    }
}
