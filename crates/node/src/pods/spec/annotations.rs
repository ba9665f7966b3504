//! What a configuration says of the pod: annotations, by which hooks and foreign
//! shims know their way about.

use std::collections::BTreeMap;

use crate::pods::request::{PodContainerRequest, PodRequest};

const TYPE: &str = "io.kubernetes.cri.container-type";

/// The container's own, and those that tell whose it is. `pod_id` also names the
/// pod's first container, if that runs nothing.
pub(super) fn of_container(
    pod_id: &str,
    pod: &PodRequest,
    request: &PodContainerRequest,
) -> BTreeMap<String, String> {
    let mut all = request.annotations.clone();
    all.extend(of_pod(pod_id, pod));
    all.extend([
        (TYPE.to_owned(), "container".to_owned()),
        ("io.kubernetes.cri.container-name".to_owned(), request.name.clone()),
        ("io.kubernetes.cri.image-name".to_owned(), request.image.image.clone()),
    ]);
    all
}

/// Those of the pod's first container, if it has one that runs nothing.
pub(super) fn of_sandbox(pod_id: &str, pod: &PodRequest) -> BTreeMap<String, String> {
    let mut all = pod.annotations.clone();
    all.extend(of_pod(pod_id, pod));
    all.insert(TYPE.to_owned(), "sandbox".to_owned());
    all
}

fn of_pod(id: &str, pod: &PodRequest) -> [(String, String); 4] {
    let key = |name: &str| format!("io.kubernetes.cri.sandbox-{name}");
    [
        (key("id"), id.to_owned()),
        (key("name"), pod.name.clone()),
        (key("namespace"), pod.namespace.clone()),
        (key("uid"), pod.uid.clone()),
    ]
}
