//! The calls of the contract, and which are worth a line in the log.

/// Calls that change something.
const CHANGING: [&str; 18] = [
    "RunPodSandbox",
    "StopPodSandbox",
    "RemovePodSandbox",
    "CreateContainer",
    "StartContainer",
    "StopContainer",
    "RemoveContainer",
    "UpdateContainerResources",
    "UpdatePodSandboxResources",
    "UpdateRuntimeConfig",
    "CheckpointContainer",
    "CheckpointPod",
    "RestorePod",
    "Exec",
    "Attach",
    "PortForward",
    "PullImage",
    "RemoveImage",
];

/// Calls that only look, or come every few seconds.
const LOOKING: [&str; 25] = [
    "Version",
    "PodSandboxStatus",
    "ListPodSandbox",
    "StreamPodSandboxes",
    "ListContainers",
    "StreamContainers",
    "ContainerStatus",
    "ReopenContainerLog",
    "ExecSync",
    "ContainerStats",
    "ListContainerStats",
    "StreamContainerStats",
    "PodSandboxStats",
    "ListPodSandboxStats",
    "StreamPodSandboxStats",
    "Status",
    "GetContainerEvents",
    "ListMetricDescriptors",
    "ListPodSandboxMetrics",
    "StreamPodSandboxMetrics",
    "RuntimeConfig",
    "ListImages",
    "StreamImages",
    "ImageStatus",
    "ImageFsInfo",
];

/// A call by the path of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method {
    /// Its name, or `unknown`: never what a client made up.
    pub(super) name: &'static str,
    /// Whether it changes something.
    pub(super) changes: bool,
}

impl Method {
    /// The call of `/package.Service/Method`.
    pub(super) fn of(path: &str) -> Self {
        let last = path.rsplit('/').next().unwrap_or_default();
        let find = |list: &[&'static str]| list.iter().copied().find(|name| *name == last);
        match (find(&CHANGING), find(&LOOKING)) {
            (Some(name), _) => Self { name, changes: true },
            (_, Some(name)) => Self { name, changes: false },
            _ => Self { name: "unknown", changes: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_calls() {
        let of = |path| Method::of(path).name;
        assert_eq!(of("/runtime.v1.RuntimeService/Version"), "Version");
        assert!(Method::of("/runtime.v1.ImageService/PullImage").changes);
        assert_eq!(of("/runtime.v1.RuntimeService/Nonsense"), "unknown");
        assert_eq!(of(""), "unknown");
    }

    #[test]
    fn every_call_of_the_contract_is_listed() {
        let services = crate::contract::services();
        let mut all: Vec<String> = services.into_iter().flat_map(|(_, calls)| calls).collect();
        let mut known: Vec<String> =
            CHANGING.iter().chain(&LOOKING).map(|name| (*name).to_owned()).collect();
        all.sort();
        known.sort();
        assert_eq!(all, known);
    }
}
