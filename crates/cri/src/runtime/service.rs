//! The 37 calls. Each is a translation, a call of the engine, and a translation
//! back.

use std::sync::Arc;
use std::time::Duration;

use caisson_node::pods::view::PodFilter;
use caisson_node::pods::{PodError, Pods};
use caisson_streaming::StreamingServer;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::{checkpoint, events, exec, node};
use crate::blocking::blocking;
use crate::call::about;
use crate::config::Live;
use crate::images::{Parts, parts};
use crate::v1::runtime_service_server::RuntimeService;
use crate::{error, show, translate, v1};

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    pub(super) pods: Pods,
    pub(super) config: Live,
    pub(super) streaming: Arc<StreamingServer>,
    stopping: watch::Receiver<bool>,
}

type Answer<T> = Result<Response<T>, Status>;

impl Runtime {
    /// What never ends by itself ends once `stopping` holds true.
    pub(crate) fn new(
        pods: Pods,
        config: Live,
        streaming: Arc<StreamingServer>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { pods, config, streaming, stopping }
    }

    /// Calls the engine on a thread that may wait.
    pub(super) async fn on<T, F>(&self, work: F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: FnOnce(&Pods) -> Result<T, PodError> + Send + 'static,
    {
        let pods = self.pods.clone();
        blocking(move || work(&pods).map_err(error::of_pods)).await
    }

    async fn list_pods(
        &self,
        filter: Option<v1::PodSandboxFilter>,
    ) -> Result<Vec<v1::PodSandbox>, Status> {
        let filter = translate::pod_filter(filter)?;
        self.on(move |pods| Ok(pods.pods(&filter)?.into_iter().map(show::pod).collect())).await
    }

    async fn list(
        &self,
        filter: Option<v1::ContainerFilter>,
    ) -> Result<Vec<v1::Container>, Status> {
        let filter = translate::container_filter(filter)?;
        let list = move |pods: &Pods| pods.containers(&filter);
        Ok(self.on(list).await?.into_iter().map(show::container).collect())
    }

    async fn stats(
        &self,
        filter: Option<v1::ContainerStatsFilter>,
    ) -> Result<Vec<v1::ContainerStats>, Status> {
        let filter = translate::stats_filter(filter);
        let stats = move |pods: &Pods| pods.container_stats(&filter);
        Ok(self.on(stats).await?.into_iter().map(show::container_stats).collect())
    }

    async fn pod_stats(
        &self,
        filter: Option<v1::PodSandboxStatsFilter>,
    ) -> Result<Vec<v1::PodSandboxStats>, Status> {
        let from = filter.unwrap_or_default();
        let id = (!from.id.is_empty()).then_some(from.id);
        let filter = PodFilter { id, state: None, labels: from.label_selector };
        let stats = move |pods: &Pods| pods.pod_stats(&filter);
        Ok(self.on(stats).await?.into_iter().map(show::pod_stats).collect())
    }

    async fn metrics(&self) -> Result<Vec<v1::PodSandboxMetrics>, Status> {
        let metrics = self.on(Pods::pod_metrics).await?;
        Ok(metrics.into_iter().map(show::pod_metrics).collect())
    }
}

/// An id from a request, which must have one.
pub(super) fn id(field: &str, text: String) -> Result<String, Status> {
    if text.is_empty() {
        return Err(Status::invalid_argument(format!("{field} is empty")));
    }
    about(&text);
    Ok(text)
}

#[tonic::async_trait]
impl RuntimeService for Runtime {
    async fn version(&self, request: Request<v1::VersionRequest>) -> Answer<v1::VersionResponse> {
        Ok(Response::new(node::version(&request.into_inner())))
    }

    async fn run_pod_sandbox(
        &self,
        request: Request<v1::RunPodSandboxRequest>,
    ) -> Answer<v1::RunPodSandboxResponse> {
        let v1::RunPodSandboxRequest { config, runtime_handler } = request.into_inner();
        let config = config.ok_or_else(|| Status::invalid_argument("config is missing"))?;
        let pod = translate::pod(config, runtime_handler)?;
        about(&format!("{}/{}", pod.namespace, pod.name));
        let pod_sandbox_id = self.on(move |pods| pods.run_pod(pod)).await?;
        Ok(Response::new(v1::RunPodSandboxResponse { pod_sandbox_id }))
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<v1::StopPodSandboxRequest>,
    ) -> Answer<v1::StopPodSandboxResponse> {
        let id = id("pod_sandbox_id", request.into_inner().pod_sandbox_id)?;
        self.on(move |pods| pods.stop_pod(&id)).await?;
        Ok(Response::new(v1::StopPodSandboxResponse {}))
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<v1::RemovePodSandboxRequest>,
    ) -> Answer<v1::RemovePodSandboxResponse> {
        let id = id("pod_sandbox_id", request.into_inner().pod_sandbox_id)?;
        self.on(move |pods| pods.remove_pod(&id)).await?;
        Ok(Response::new(v1::RemovePodSandboxResponse {}))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<v1::PodSandboxStatusRequest>,
    ) -> Answer<v1::PodSandboxStatusResponse> {
        let v1::PodSandboxStatusRequest { pod_sandbox_id, verbose } = request.into_inner();
        let id = id("pod_sandbox_id", pod_sandbox_id)?;
        let status = self.on(move |pods| pods.pod_status(&id, verbose)).await?;
        Ok(Response::new(show::pod_status_response(status)))
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<v1::ListPodSandboxRequest>,
    ) -> Answer<v1::ListPodSandboxResponse> {
        let items = self.list_pods(request.into_inner().filter).await?;
        Ok(Response::new(v1::ListPodSandboxResponse { items }))
    }

    type StreamPodSandboxesStream = Parts<v1::StreamPodSandboxesResponse>;

    async fn stream_pod_sandboxes(
        &self,
        request: Request<v1::StreamPodSandboxesRequest>,
    ) -> Answer<Self::StreamPodSandboxesStream> {
        let pods = self.list_pods(request.into_inner().filter).await?;
        let wrap = |pod_sandboxes| v1::StreamPodSandboxesResponse { pod_sandboxes };
        Ok(Response::new(parts(pods, wrap)))
    }

    async fn create_container(
        &self,
        request: Request<v1::CreateContainerRequest>,
    ) -> Answer<v1::CreateContainerResponse> {
        // The pod's configuration is the one that it was made with.
        let v1::CreateContainerRequest { pod_sandbox_id, config, sandbox_config: _ } =
            request.into_inner();
        let pod = id("pod_sandbox_id", pod_sandbox_id)?;
        let config = config.ok_or_else(|| Status::invalid_argument("config is missing"))?;
        let container = translate::container(config)?;
        let container_id = self.on(move |pods| pods.create_container(&pod, container)).await?;
        Ok(Response::new(v1::CreateContainerResponse { container_id }))
    }

    async fn start_container(
        &self,
        request: Request<v1::StartContainerRequest>,
    ) -> Answer<v1::StartContainerResponse> {
        let id = id("container_id", request.into_inner().container_id)?;
        self.on(move |pods| pods.start_container(&id)).await?;
        Ok(Response::new(v1::StartContainerResponse {}))
    }

    async fn stop_container(
        &self,
        request: Request<v1::StopContainerRequest>,
    ) -> Answer<v1::StopContainerResponse> {
        let v1::StopContainerRequest { container_id, timeout } = request.into_inner();
        let id = id("container_id", container_id)?;
        // What is less than nothing is no time at all.
        let grace = Duration::from_secs(u64::try_from(timeout).unwrap_or(0));
        self.on(move |pods| pods.stop_container(&id, grace)).await?;
        Ok(Response::new(v1::StopContainerResponse {}))
    }

    async fn remove_container(
        &self,
        request: Request<v1::RemoveContainerRequest>,
    ) -> Answer<v1::RemoveContainerResponse> {
        let id = id("container_id", request.into_inner().container_id)?;
        self.on(move |pods| pods.remove_container(&id)).await?;
        Ok(Response::new(v1::RemoveContainerResponse {}))
    }

    async fn list_containers(
        &self,
        request: Request<v1::ListContainersRequest>,
    ) -> Answer<v1::ListContainersResponse> {
        let containers = self.list(request.into_inner().filter).await?;
        Ok(Response::new(v1::ListContainersResponse { containers }))
    }

    type StreamContainersStream = Parts<v1::StreamContainersResponse>;

    async fn stream_containers(
        &self,
        request: Request<v1::StreamContainersRequest>,
    ) -> Answer<Self::StreamContainersStream> {
        let containers = self.list(request.into_inner().filter).await?;
        let wrap = |containers| v1::StreamContainersResponse { containers };
        Ok(Response::new(parts(containers, wrap)))
    }

    async fn container_status(
        &self,
        request: Request<v1::ContainerStatusRequest>,
    ) -> Answer<v1::ContainerStatusResponse> {
        let v1::ContainerStatusRequest { container_id, verbose } = request.into_inner();
        let id = id("container_id", container_id)?;
        let found = self.on(move |pods| pods.container_status(&id, verbose)).await?;
        let status = Some(show::container_status(&found));
        Ok(Response::new(v1::ContainerStatusResponse { status, info: found.info }))
    }

    async fn update_container_resources(
        &self,
        request: Request<v1::UpdateContainerResourcesRequest>,
    ) -> Answer<v1::UpdateContainerResourcesResponse> {
        // Annotations are for runtimes that make something of them.
        let v1::UpdateContainerResourcesRequest { container_id, linux, windows, annotations: _ } =
            request.into_inner();
        let id = id("container_id", container_id)?;
        if windows.is_some() {
            return Err(Status::invalid_argument("windows: this is a Linux node"));
        }
        let Some(linux) = linux else {
            return Err(Status::invalid_argument("linux is missing: which limits?"));
        };
        let limits = translate::resources(linux);
        self.on(move |pods| pods.update_container(&id, limits)).await?;
        Ok(Response::new(v1::UpdateContainerResourcesResponse {}))
    }

    async fn reopen_container_log(
        &self,
        request: Request<v1::ReopenContainerLogRequest>,
    ) -> Answer<v1::ReopenContainerLogResponse> {
        let id = id("container_id", request.into_inner().container_id)?;
        self.on(move |pods| pods.reopen_log(&id)).await?;
        Ok(Response::new(v1::ReopenContainerLogResponse {}))
    }

    async fn exec_sync(
        &self,
        request: Request<v1::ExecSyncRequest>,
    ) -> Answer<v1::ExecSyncResponse> {
        exec::exec_sync(self, request.into_inner()).await.map(Response::new)
    }

    async fn exec(&self, request: Request<v1::ExecRequest>) -> Answer<v1::ExecResponse> {
        exec::exec(self, request.into_inner()).await.map(Response::new)
    }

    async fn attach(&self, request: Request<v1::AttachRequest>) -> Answer<v1::AttachResponse> {
        exec::attach(self, request.into_inner()).await.map(Response::new)
    }

    async fn port_forward(
        &self,
        request: Request<v1::PortForwardRequest>,
    ) -> Answer<v1::PortForwardResponse> {
        exec::port_forward(self, request.into_inner()).await.map(Response::new)
    }

    async fn container_stats(
        &self,
        request: Request<v1::ContainerStatsRequest>,
    ) -> Answer<v1::ContainerStatsResponse> {
        let id = id("container_id", request.into_inner().container_id)?;
        let wanted = v1::ContainerStatsFilter { id: id.clone(), ..Default::default() };
        let stats = self.stats(Some(wanted)).await?.into_iter().next();
        let missing = || error::of_pods(PodError::NoContainer(id));
        Ok(Response::new(v1::ContainerStatsResponse { stats: Some(stats.ok_or_else(missing)?) }))
    }

    async fn list_container_stats(
        &self,
        request: Request<v1::ListContainerStatsRequest>,
    ) -> Answer<v1::ListContainerStatsResponse> {
        let stats = self.stats(request.into_inner().filter).await?;
        Ok(Response::new(v1::ListContainerStatsResponse { stats }))
    }

    type StreamContainerStatsStream = Parts<v1::StreamContainerStatsResponse>;

    async fn stream_container_stats(
        &self,
        request: Request<v1::StreamContainerStatsRequest>,
    ) -> Answer<Self::StreamContainerStatsStream> {
        let stats = self.stats(request.into_inner().filter).await?;
        let wrap = |container_stats| v1::StreamContainerStatsResponse { container_stats };
        Ok(Response::new(parts(stats, wrap)))
    }

    async fn pod_sandbox_stats(
        &self,
        request: Request<v1::PodSandboxStatsRequest>,
    ) -> Answer<v1::PodSandboxStatsResponse> {
        let id = id("pod_sandbox_id", request.into_inner().pod_sandbox_id)?;
        let wanted = v1::PodSandboxStatsFilter { id: id.clone(), ..Default::default() };
        let stats = self.pod_stats(Some(wanted)).await?.into_iter().next();
        let missing = || error::of_pods(PodError::NoPod(id));
        Ok(Response::new(v1::PodSandboxStatsResponse { stats: Some(stats.ok_or_else(missing)?) }))
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: Request<v1::ListPodSandboxStatsRequest>,
    ) -> Answer<v1::ListPodSandboxStatsResponse> {
        let stats = self.pod_stats(request.into_inner().filter).await?;
        Ok(Response::new(v1::ListPodSandboxStatsResponse { stats }))
    }

    type StreamPodSandboxStatsStream = Parts<v1::StreamPodSandboxStatsResponse>;

    async fn stream_pod_sandbox_stats(
        &self,
        request: Request<v1::StreamPodSandboxStatsRequest>,
    ) -> Answer<Self::StreamPodSandboxStatsStream> {
        let stats = self.pod_stats(request.into_inner().filter).await?;
        let wrap = |pod_sandbox_stats| v1::StreamPodSandboxStatsResponse { pod_sandbox_stats };
        Ok(Response::new(parts(stats, wrap)))
    }

    async fn update_runtime_config(
        &self,
        request: Request<v1::UpdateRuntimeConfigRequest>,
    ) -> Answer<v1::UpdateRuntimeConfigResponse> {
        node::update_runtime_config(self, request.into_inner()).await?;
        Ok(Response::new(v1::UpdateRuntimeConfigResponse {}))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        node::status(self, request.into_inner().verbose).await.map(Response::new)
    }

    async fn checkpoint_container(
        &self,
        request: Request<v1::CheckpointContainerRequest>,
    ) -> Answer<v1::CheckpointContainerResponse> {
        Err(checkpoint::container(self, request.into_inner()).await)
    }

    async fn checkpoint_pod(
        &self,
        request: Request<v1::CheckpointPodRequest>,
    ) -> Answer<v1::CheckpointPodResponse> {
        Err(checkpoint::pod(self, request.into_inner()).await)
    }

    async fn restore_pod(
        &self,
        request: Request<v1::RestorePodRequest>,
    ) -> Answer<v1::RestorePodResponse> {
        Err(checkpoint::restore(self, &request.into_inner()))
    }

    type GetContainerEventsStream = Parts<v1::ContainerEventResponse>;

    async fn get_container_events(
        &self,
        _request: Request<v1::GetEventsRequest>,
    ) -> Answer<Self::GetContainerEventsStream> {
        Ok(Response::new(events::events(&self.pods, self.stopping.clone())))
    }

    async fn list_metric_descriptors(
        &self,
        _request: Request<v1::ListMetricDescriptorsRequest>,
    ) -> Answer<v1::ListMetricDescriptorsResponse> {
        let descriptors = self.pods.metric_descriptors().iter().map(show::descriptor).collect();
        Ok(Response::new(v1::ListMetricDescriptorsResponse { descriptors }))
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _request: Request<v1::ListPodSandboxMetricsRequest>,
    ) -> Answer<v1::ListPodSandboxMetricsResponse> {
        let pod_metrics = self.metrics().await?;
        Ok(Response::new(v1::ListPodSandboxMetricsResponse { pod_metrics }))
    }

    type StreamPodSandboxMetricsStream = Parts<v1::StreamPodSandboxMetricsResponse>;

    async fn stream_pod_sandbox_metrics(
        &self,
        _request: Request<v1::StreamPodSandboxMetricsRequest>,
    ) -> Answer<Self::StreamPodSandboxMetricsStream> {
        let metrics = self.metrics().await?;
        let wrap =
            |pod_sandbox_metrics| v1::StreamPodSandboxMetricsResponse { pod_sandbox_metrics };
        Ok(Response::new(parts(metrics, wrap)))
    }

    async fn runtime_config(
        &self,
        _request: Request<v1::RuntimeConfigRequest>,
    ) -> Answer<v1::RuntimeConfigResponse> {
        node::runtime_config(self).await.map(Response::new)
    }

    async fn update_pod_sandbox_resources(
        &self,
        request: Request<v1::UpdatePodSandboxResourcesRequest>,
    ) -> Answer<v1::UpdatePodSandboxResourcesResponse> {
        let v1::UpdatePodSandboxResourcesRequest { pod_sandbox_id, overhead, resources } =
            request.into_inner();
        let id = id("pod_sandbox_id", pod_sandbox_id)?;
        let overhead = overhead.map(translate::resources);
        let resources = resources.map(translate::resources);
        self.on(move |pods| pods.update_pod(&id, overhead, resources)).await?;
        Ok(Response::new(v1::UpdatePodSandboxResourcesResponse {}))
    }
}
