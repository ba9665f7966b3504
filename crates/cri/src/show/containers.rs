//! Containers.

use caisson_node::pods::request::{ContainerMount, ImageChoice, Propagation};
use caisson_node::pods::view::{ContainerState, ContainerStatus, ContainerSummary, MountStatus};

use super::pods::mappings;
use super::{resources, time};
use crate::translate::to_signal;
use crate::v1;

/// The name in the pod.
pub(super) fn metadata(from: &ContainerSummary) -> v1::ContainerMetadata {
    v1::ContainerMetadata { name: from.request.name.clone(), attempt: from.request.attempt }
}

fn state(state: ContainerState) -> i32 {
    match state {
        ContainerState::Created => v1::ContainerState::ContainerCreated as i32,
        ContainerState::Running => v1::ContainerState::ContainerRunning as i32,
        ContainerState::Exited => v1::ContainerState::ContainerExited as i32,
        ContainerState::Unknown => v1::ContainerState::ContainerUnknown as i32,
    }
}

fn image(from: &ImageChoice, image_ref: &str) -> v1::ImageSpec {
    v1::ImageSpec {
        image: from.image.clone(),
        annotations: from.annotations.clone(),
        user_specified_image: from.user_specified.clone(),
        runtime_handler: from.handler.clone(),
        image_ref: image_ref.to_owned(),
    }
}

/// A container in a list.
pub(crate) fn container(from: ContainerSummary) -> v1::Container {
    v1::Container {
        metadata: Some(metadata(&from)),
        image: Some(image(&from.request.image, "")),
        image_ref: from.image_ref,
        state: state(from.state),
        created_at: time(from.created_at),
        labels: from.request.labels.clone(),
        annotations: from.request.annotations.clone(),
        image_id: from.image_id,
        pod_sandbox_id: from.pod,
        id: from.id,
    }
}

fn mount(from: &MountStatus) -> v1::Mount {
    let MountStatus { request, image_ref } = from;
    let ContainerMount { propagation, .. } = request;
    let propagation = match propagation {
        Propagation::Private => v1::MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => v1::MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => v1::MountPropagation::PropagationBidirectional,
    };
    v1::Mount {
        container_path: request.container_path.clone(),
        host_path: request.host_path.clone(),
        readonly: request.readonly,
        selinux_relabel: request.selinux_relabel,
        propagation: propagation as i32,
        uid_mappings: mappings(&request.uid_mappings),
        gid_mappings: mappings(&request.gid_mappings),
        recursive_read_only: request.recursive_read_only,
        image: request.image.as_ref().map(|choice| image(choice, image_ref)),
        image_sub_path: request.image_sub_path.clone(),
        mount_options: request.options.clone(),
    }
}

/// A container in full.
pub(crate) fn container_status(from: &ContainerStatus) -> v1::ContainerStatus {
    let summary = &from.summary;
    let user = from.user.as_ref().map(|user| v1::LinuxContainerUser {
        uid: user.uid.into(),
        gid: user.gid.into(),
        supplemental_groups: user.groups.iter().copied().map(i64::from).collect(),
    });
    let limits = from.resources.as_ref().map(resources);
    v1::ContainerStatus {
        id: summary.id.clone(),
        metadata: Some(metadata(summary)),
        state: state(summary.state),
        created_at: time(summary.created_at),
        started_at: time(from.started_at),
        finished_at: time(from.finished_at),
        exit_code: from.exit_code,
        image: Some(image(&summary.request.image, "")),
        image_ref: summary.image_ref.clone(),
        reason: from.reason.clone(),
        message: from.message.clone(),
        labels: summary.request.labels.clone(),
        annotations: summary.request.annotations.clone(),
        mounts: from.mounts.iter().map(mount).collect(),
        log_path: from.log_path.clone(),
        resources: limits.map(|linux| v1::ContainerResources { linux: Some(linux), windows: None }),
        image_id: summary.image_id.clone(),
        user: user.map(|linux| v1::ContainerUser { linux: Some(linux) }),
        stop_signal: to_signal(&from.stop_signal),
    }
}
