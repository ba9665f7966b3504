//! Calls that are not there yet.

use std::net::TcpStream;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::request::{PodContainerRequest, PodRequest, PodResources};
use super::session::{AttachRequest, AttachSession, ExecOutput, ExecRequest, ExecSession};
use super::view::{
    ContainerFilter, ContainerStats, ContainerStatus, ContainerSummary, FilesystemUsage,
    MetricDescriptor, OperationView, PodEvent, PodFilter, PodMetrics, PodStats, PodStatus,
    PodSummary, RuntimeStatus,
};
use super::{PodError, Pods};

fn not_yet<T>(what: &str) -> Result<T, PodError> {
    Err(PodError::Unsupported(format!("{what} is not in this build")))
}

impl Pods {
    /// Runs a pod; its id. A pod of the same uid and attempt is joined or
    /// returned.
    ///
    /// # Errors
    /// [`PodError`]; then nothing is left.
    pub fn run_pod(&self, _request: PodRequest) -> Result<String, PodError> {
        not_yet("running a pod")
    }

    /// Stops a pod's containers and takes its network back. A pod that is
    /// stopped, or not there, is fine.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn stop_pod(&self, _id: &str) -> Result<(), PodError> {
        not_yet("stopping a pod")
    }

    /// Removes a pod with all its containers. One that is not there is fine.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn remove_pod(&self, _id: &str) -> Result<(), PodError> {
        not_yet("removing a pod")
    }

    /// A pod, by its id or the start of one; `verbose` fills its `info`.
    ///
    /// # Errors
    /// [`PodError::NoPod`].
    pub fn pod_status(&self, _id: &str, _verbose: bool) -> Result<PodStatus, PodError> {
        not_yet("the status of a pod")
    }

    /// The pods that fit, the newest first.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn pods(&self, _filter: &PodFilter) -> Result<Vec<PodSummary>, PodError> {
        not_yet("listing pods")
    }

    /// Changes a pod's limits; what is not set stays.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn update_pod(
        &self,
        _id: &str,
        _overhead: Option<PodResources>,
        _resources: Option<PodResources>,
    ) -> Result<(), PodError> {
        not_yet("changing a pod's limits")
    }

    /// Makes a container in a pod; its id. One of the same name and attempt is
    /// joined or returned.
    ///
    /// # Errors
    /// [`PodError`]; then nothing is left.
    pub fn create_container(
        &self,
        _pod: &str,
        _request: PodContainerRequest,
    ) -> Result<String, PodError> {
        not_yet("making a container")
    }

    /// Starts a container. One that was started already is an error.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn start_container(&self, _id: &str) -> Result<(), PodError> {
        not_yet("starting a container")
    }

    /// Ends a container: its stop signal, and SIGKILL after `grace`. One that
    /// has ended, or is not there, is fine.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn stop_container(&self, _id: &str, _grace: Duration) -> Result<(), PodError> {
        not_yet("stopping a container")
    }

    /// Removes a container, killing it if it runs. One that is not there is
    /// fine.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn remove_container(&self, _id: &str) -> Result<(), PodError> {
        not_yet("removing a container")
    }

    /// A container, by its id or the start of one; `verbose` fills its `info`.
    ///
    /// # Errors
    /// [`PodError::NoContainer`].
    pub fn container_status(&self, _id: &str, _verbose: bool) -> Result<ContainerStatus, PodError> {
        not_yet("the status of a container")
    }

    /// The containers that fit, the newest first.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn containers(&self, _filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, PodError> {
        not_yet("listing containers")
    }

    /// Changes a container's limits; what is not set stays.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn update_container(&self, _id: &str, _resources: PodResources) -> Result<(), PodError> {
        not_yet("changing a container's limits")
    }

    /// Has a container's log opened anew, after it was renamed.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn reopen_log(&self, _id: &str) -> Result<(), PodError> {
        not_yet("reopening a log")
    }

    /// Runs a program to its end; kills it with all that it started once
    /// `timeout` is over.
    ///
    /// # Errors
    /// [`PodError::Deadline`].
    pub fn exec_sync(
        &self,
        _id: &str,
        _command: &[String],
        _timeout: Option<Duration>,
    ) -> Result<ExecOutput, PodError> {
        not_yet("running a program in a container")
    }

    /// Runs a program with streams.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn exec(&self, _id: &str, _request: &ExecRequest) -> Result<ExecSession, PodError> {
        not_yet("running a program in a container")
    }

    /// Attaches to a container that runs.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn attach(&self, _id: &str, _request: AttachRequest) -> Result<AttachSession, PodError> {
        not_yet("attaching to a container")
    }

    /// A connection to a TCP port of the pod's own loopback.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn port_forward(&self, _pod: &str, _port: u16) -> Result<TcpStream, PodError> {
        not_yet("forwarding a port")
    }

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

    /// Everything that happens from here on. A receiver that does not read
    /// loses the oldest.
    #[must_use]
    pub fn events(&self) -> Receiver<PodEvent> {
        std::sync::mpsc::channel().1
    }

    /// What the engine says of itself.
    ///
    /// # Errors
    /// [`PodError`].
    pub fn runtime_status(&self) -> Result<RuntimeStatus, PodError> {
        not_yet("the engine's status")
    }

    /// Operations that run now.
    #[must_use]
    pub fn operations(&self) -> Vec<OperationView> {
        Vec::new()
    }
}
