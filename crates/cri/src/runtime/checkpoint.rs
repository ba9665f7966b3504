//! Checkpoints, which no engine of this build can make.

use caisson_node::pods::Pods;
use tonic::Status;

use super::Runtime;
use super::service::id;
use crate::v1;

fn cannot(what: &str, handler: &str) -> Status {
    let handler = if handler.is_empty() { "the default handler" } else { handler };
    Status::unimplemented(format!(
        "cannot {what}: it runs with {handler}, and no isolator of this build can write or read \
         checkpoints; nothing was changed"
    ))
}

/// Why a container is not written to an archive.
pub(super) async fn container(
    runtime: &Runtime,
    request: v1::CheckpointContainerRequest,
) -> Status {
    let found = async {
        let id = id("container_id", request.container_id)?;
        let look = move |pods: &Pods| {
            let container = pods.container_status(&id, false)?.summary;
            Ok((container.id, pods.pod_status(&container.pod, false)?.handler))
        };
        runtime.on(look).await
    };
    match found.await {
        Ok((id, handler)) => cannot(&format!("checkpoint container {id}"), &handler),
        Err(status) => status,
    }
}

/// Why a pod is not written to an archive.
pub(super) async fn pod(runtime: &Runtime, request: v1::CheckpointPodRequest) -> Status {
    let found = async {
        let id = id("pod_sandbox_id", request.pod_sandbox_id)?;
        runtime.on(move |pods| pods.pod_status(&id, false)).await
    };
    match found.await {
        Ok(pod) => cannot(&format!("checkpoint pod {}", pod.summary.id), &pod.handler),
        Err(status) => status,
    }
}

/// Why a pod is not made from an archive.
pub(super) fn restore(runtime: &Runtime, request: &v1::RestorePodRequest) -> Status {
    let wanted = (!request.runtime_handler.is_empty()).then_some(request.runtime_handler.as_str());
    match runtime.pods.engine().handlers().get(wanted) {
        Ok(handler) => {
            cannot(&format!("restore a pod from {:?}", request.checkpoint_path), &handler.name)
        }
        Err(error) => Status::invalid_argument(format!("runtime_handler: {error}")),
    }
}
