//! Which namespaces are made, joined or shared with the host.

use caisson_runtime_spec::{Namespace, NamespaceKind};

use crate::request::{NamespaceMode, NamespaceRequest};

/// The network namespace of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkNamespace {
    /// A new one with loopback only.
    New,
    /// The host's.
    Host,
    /// One that is there already, by its file.
    Join(String),
}

/// Files of namespaces that other containers lend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespacePaths {
    /// For `--pid container:…`.
    pub pid: Option<String>,
    /// For `--ipc container:…`.
    pub ipc: Option<String>,
    /// For `--uts container:…`.
    pub uts: Option<String>,
    /// For `--cgroupns container:…`.
    pub cgroup: Option<String>,
}

/// The list for config.json. `cgroup_v2` tells whether the host has only
/// cgroup v2, where a container has a cgroup namespace unless it asks not to.
pub(super) fn namespaces(
    request: &NamespaceRequest,
    network: &NetworkNamespace,
    paths: &NamespacePaths,
    cgroup_v2: bool,
) -> Vec<Namespace> {
    let mut list = vec![Namespace { kind: NamespaceKind::Mount, path: None }];
    let mut add = |kind, mode: &NamespaceMode, path: &Option<String>, own: bool| match mode {
        NamespaceMode::Host => {}
        NamespaceMode::Default if !own => {}
        NamespaceMode::Default | NamespaceMode::Private => {
            list.push(Namespace { kind, path: None });
        }
        NamespaceMode::Container(_) => list.push(Namespace { kind, path: path.clone() }),
    };
    add(NamespaceKind::Pid, &request.pid, &paths.pid, true);
    add(NamespaceKind::Ipc, &request.ipc, &paths.ipc, true);
    add(NamespaceKind::Uts, &request.uts, &paths.uts, true);
    add(NamespaceKind::Cgroup, &request.cgroup, &paths.cgroup, cgroup_v2);
    match network {
        NetworkNamespace::Host => {}
        NetworkNamespace::New => {
            list.push(Namespace { kind: NamespaceKind::Network, path: None });
        }
        NetworkNamespace::Join(path) => {
            list.push(Namespace { kind: NamespaceKind::Network, path: Some(path.clone()) });
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_choices() {
        let kinds = |request: &NamespaceRequest, network, v2| -> Vec<NamespaceKind> {
            namespaces(request, network, &NamespacePaths::default(), v2)
                .into_iter()
                .map(|namespace| namespace.kind)
                .collect()
        };
        use NamespaceKind as K;
        let mut request = NamespaceRequest::default();
        assert_eq!(
            kinds(&request, &NetworkNamespace::New, false),
            [K::Mount, K::Pid, K::Ipc, K::Uts, K::Network]
        );
        assert!(kinds(&request, &NetworkNamespace::Host, true).contains(&K::Cgroup));
        request.pid = NamespaceMode::Host;
        request.cgroup = NamespaceMode::Private;
        assert_eq!(
            kinds(&request, &NetworkNamespace::Host, false),
            [K::Mount, K::Ipc, K::Uts, K::Cgroup]
        );
    }
}
