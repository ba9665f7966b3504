//! Pods, and filters.

use caisson_node::pods::request::{PodDns, PodPort, PodRequest, PortProtocol};
use caisson_node::pods::view::{ContainerFilter, ContainerState, PodFilter, PodState};
use tonic::Status;

use super::{choice, no_windows, refused, resources, security};
use crate::v1;

/// The pod that a kubelet asks for.
pub(crate) fn pod(config: v1::PodSandboxConfig, handler: String) -> Result<PodRequest, Status> {
    no_windows("config.windows", config.windows.as_ref())?;
    let metadata =
        config.metadata.ok_or_else(|| refused("config.metadata", "it is missing: whose pod?"))?;
    let linux = config.linux.unwrap_or_default();
    Ok(PodRequest {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        attempt: metadata.attempt,
        hostname: config.hostname,
        log_directory: config.log_directory,
        dns: config.dns_config.map(|dns| PodDns {
            servers: dns.servers,
            searches: dns.searches,
            options: dns.options,
        }),
        ports: config.port_mappings.into_iter().map(port).collect::<Result<_, _>>()?,
        labels: config.labels,
        annotations: config.annotations,
        handler,
        cgroup_parent: linux.cgroup_parent,
        sysctls: linux.sysctls,
        overhead: linux.overhead.map(resources),
        resources: linux.resources.map(resources),
        security: security::of_pod(linux.security_context.unwrap_or_default())?,
    })
}

fn port(from: v1::PortMapping) -> Result<PodPort, Status> {
    Ok(PodPort {
        protocol: match choice("config.port_mappings.protocol", from.protocol)? {
            v1::Protocol::Tcp => PortProtocol::Tcp,
            v1::Protocol::Udp => PortProtocol::Udp,
            v1::Protocol::Sctp => PortProtocol::Sctp,
        },
        container_port: from.container_port,
        host_port: from.host_port,
        host_ip: from.host_ip,
    })
}

/// Empty means any.
fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Which pods are wanted.
pub(crate) fn pod_filter(from: Option<v1::PodSandboxFilter>) -> Result<PodFilter, Status> {
    let from = from.unwrap_or_default();
    let state = match from.state {
        None => None,
        Some(value) => Some(match choice("filter.state", value.state)? {
            v1::PodSandboxState::SandboxReady => PodState::Ready,
            v1::PodSandboxState::SandboxNotready => PodState::NotReady,
        }),
    };
    Ok(PodFilter { id: some(from.id), state, labels: from.label_selector })
}

/// Which containers are wanted.
pub(crate) fn container_filter(
    from: Option<v1::ContainerFilter>,
) -> Result<ContainerFilter, Status> {
    let from = from.unwrap_or_default();
    let state = match from.state {
        None => None,
        Some(value) => Some(match choice("filter.state", value.state)? {
            v1::ContainerState::ContainerCreated => ContainerState::Created,
            v1::ContainerState::ContainerRunning => ContainerState::Running,
            v1::ContainerState::ContainerExited => ContainerState::Exited,
            v1::ContainerState::ContainerUnknown => ContainerState::Unknown,
        }),
    };
    let (id, pod) = (some(from.id), some(from.pod_sandbox_id));
    Ok(ContainerFilter { id, pod, state, labels: from.label_selector })
}

/// Whose figures are wanted.
pub(crate) fn stats_filter(from: Option<v1::ContainerStatsFilter>) -> ContainerFilter {
    let from = from.unwrap_or_default();
    let (id, pod) = (some(from.id), some(from.pod_sandbox_id));
    ContainerFilter { id, pod, state: None, labels: from.label_selector }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_needs_its_names_and_linux() {
        let refused = pod(v1::PodSandboxConfig::default(), String::new()).unwrap_err();
        assert!(refused.message().starts_with("config.metadata: "), "{refused}");
        let windows = v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata::default()),
            windows: Some(v1::WindowsPodSandboxConfig::default()),
            ..v1::PodSandboxConfig::default()
        };
        let refused = pod(windows, String::new()).unwrap_err();
        assert_eq!(refused.message(), "config.windows: this is a Linux node");
    }

    #[test]
    fn filters_leave_out_what_is_empty() {
        let found = pod_filter(None).unwrap();
        assert!(found.id.is_none() && found.state.is_none() && found.labels.is_empty());
        let state = Some(v1::ContainerStateValue { state: 2 });
        let found = container_filter(Some(v1::ContainerFilter {
            pod_sandbox_id: "p".to_owned(),
            state,
            ..v1::ContainerFilter::default()
        }));
        let found = found.unwrap();
        assert_eq!(found.state, Some(ContainerState::Exited));
        assert_eq!(found.pod.as_deref(), Some("p"));
        let state = Some(v1::PodSandboxStateValue { state: 5 });
        assert!(pod_filter(Some(v1::PodSandboxFilter { state, ..Default::default() })).is_err());
    }
}
