//! Pods.

use caisson_node::pods::request::{IdMapping, NamespaceChoice, NamespaceOptions, PodRequest};
use caisson_node::pods::view::{PodState, PodStatus, PodSummary};

use super::{container_status, time};
use crate::v1;

/// A pod's names.
pub(crate) fn pod_metadata(request: &PodRequest) -> v1::PodSandboxMetadata {
    v1::PodSandboxMetadata {
        name: request.name.clone(),
        uid: request.uid.clone(),
        namespace: request.namespace.clone(),
        attempt: request.attempt,
    }
}

fn state(state: PodState) -> i32 {
    match state {
        PodState::Ready => v1::PodSandboxState::SandboxReady as i32,
        PodState::NotReady => v1::PodSandboxState::SandboxNotready as i32,
    }
}

/// A pod in a list.
pub(crate) fn pod(from: PodSummary) -> v1::PodSandbox {
    v1::PodSandbox {
        id: from.id,
        metadata: Some(pod_metadata(&from.request)),
        state: state(from.state),
        created_at: time(from.created_at),
        labels: from.request.labels.clone(),
        annotations: from.request.annotations.clone(),
        // As it was asked for: a kubelet compares it.
        runtime_handler: from.request.handler.clone(),
    }
}

fn mode(choice: NamespaceChoice) -> i32 {
    match choice {
        NamespaceChoice::Pod => v1::NamespaceMode::Pod as i32,
        NamespaceChoice::Container => v1::NamespaceMode::Container as i32,
        NamespaceChoice::Node => v1::NamespaceMode::Node as i32,
        NamespaceChoice::Target => v1::NamespaceMode::Target as i32,
    }
}

/// Ranges of ids.
pub(super) fn mappings(from: &[IdMapping]) -> Vec<v1::IdMapping> {
    let one = |m: &IdMapping| v1::IdMapping {
        host_id: m.host,
        container_id: m.container,
        length: m.length,
    };
    from.iter().map(one).collect()
}

fn namespaces(from: &NamespaceOptions) -> v1::NamespaceOption {
    v1::NamespaceOption {
        network: mode(from.network),
        pid: mode(from.pid),
        ipc: mode(from.ipc),
        target_id: from.target.clone(),
        userns_options: from.user.as_ref().map(|user| v1::UserNamespace {
            mode: mode(user.mode),
            uids: mappings(&user.uids),
            gids: mappings(&user.gids),
        }),
    }
}

/// A pod in full.
pub(crate) fn pod_status(from: &PodStatus) -> v1::PodSandboxStatus {
    let summary = &from.summary;
    let mut ips = from.ips.iter().cloned();
    let options = Some(namespaces(&summary.request.security.namespaces));
    v1::PodSandboxStatus {
        id: summary.id.clone(),
        metadata: Some(pod_metadata(&summary.request)),
        state: state(summary.state),
        created_at: time(summary.created_at),
        network: Some(v1::PodSandboxNetworkStatus {
            ip: ips.next().unwrap_or_default(),
            additional_ips: ips.map(|ip| v1::PodIp { ip }).collect(),
        }),
        linux: Some(v1::LinuxPodSandboxStatus { namespaces: Some(v1::Namespace { options }) }),
        labels: summary.request.labels.clone(),
        annotations: summary.request.annotations.clone(),
        runtime_handler: summary.request.handler.clone(),
    }
}

/// The answer with its containers.
pub(crate) fn pod_status_response(from: PodStatus) -> v1::PodSandboxStatusResponse {
    v1::PodSandboxStatusResponse {
        status: Some(pod_status(&from)),
        containers_statuses: from.containers.iter().map(container_status).collect(),
        timestamp: time(from.timestamp),
        info: from.info,
    }
}
