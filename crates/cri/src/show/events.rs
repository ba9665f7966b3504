//! Events.

use caisson_node::pods::view::{PodEvent, PodEventKind};

use super::{container_status, pod_status, time};
use crate::v1;

/// An event, with how things were after it.
pub(crate) fn event(from: &PodEvent) -> v1::ContainerEventResponse {
    let kind = match from.kind {
        PodEventKind::Created => v1::ContainerEventType::ContainerCreatedEvent,
        PodEventKind::Started => v1::ContainerEventType::ContainerStartedEvent,
        PodEventKind::Stopped => v1::ContainerEventType::ContainerStoppedEvent,
        PodEventKind::Deleted => v1::ContainerEventType::ContainerDeletedEvent,
    };
    v1::ContainerEventResponse {
        container_id: from.id.clone(),
        container_event_type: kind as i32,
        created_at: time(from.time),
        pod_sandbox_status: from.pod.as_ref().map(pod_status),
        containers_statuses: from.containers.iter().map(container_status).collect(),
    }
}
