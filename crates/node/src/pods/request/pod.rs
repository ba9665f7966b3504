//! A pod.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{PodResources, PodSecurity};

/// A pod to be run. `(uid, attempt)` names the operation: asking twice for the
/// same one gives the same pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodRequest {
    /// Its name.
    pub name: String,
    /// Its Kubernetes namespace.
    pub namespace: String,
    /// Its unique id, of the orchestrator.
    pub uid: String,
    /// How often the orchestrator has made its sandbox before.
    pub attempt: u32,
    /// Host name inside; must be empty with the host's network.
    pub hostname: String,
    /// Host folder below which its containers' logs lie; may be empty.
    pub log_directory: String,
    /// Name resolution; `None`: the host's.
    pub dns: Option<PodDns>,
    /// Ports to publish.
    pub ports: Vec<PodPort>,
    /// Labels, to filter by.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// The handler's name; empty for the default one.
    pub handler: String,
    /// The cgroup that the pod's own is made below: a path, or a slice of
    /// systemd's (`….slice`). Empty: the engine's own.
    pub cgroup_parent: String,
    /// Sysctls.
    pub sysctls: BTreeMap<String, String>,
    /// What the sandbox itself is reckoned to use. Informational.
    pub overhead: Option<PodResources>,
    /// Limits of all containers together.
    pub resources: Option<PodResources>,
    /// Namespaces, identity and confinement.
    pub security: PodSecurity,
}

/// What goes into a pod's resolv.conf. If all is empty the file is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodDns {
    /// Addresses of name servers.
    pub servers: Vec<String>,
    /// Domains to search.
    pub searches: Vec<String>,
    /// Options of the resolver.
    pub options: Vec<String>,
}

/// A port that the host passes on to the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodPort {
    /// The protocol.
    pub protocol: PortProtocol,
    /// In the pod.
    pub container_port: i32,
    /// On the host; 0: not published.
    pub host_port: i32,
    /// At which of the host's addresses; empty: all.
    pub host_ip: String,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}
