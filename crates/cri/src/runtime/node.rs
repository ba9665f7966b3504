//! The node itself.

use std::collections::BTreeMap;

use caisson_node::pods::Pods;
use caisson_node::pods::view::{CgroupDriver, Condition, RuntimeStatus};
use serde_json::json;
use tonic::Status;

use super::{Runtime, pod_cidr};
use crate::blocking::blocking;
use crate::log::{Level, log};
use crate::v1;

/// What a kubelet sends as its version, and wants back.
const KUBELET_API: &str = "0.1.0";

/// Name and version.
pub(super) fn version(request: &v1::VersionRequest) -> v1::VersionResponse {
    let asked = if request.version.is_empty() { KUBELET_API } else { &request.version };
    v1::VersionResponse {
        version: asked.chars().take(64).collect(),
        runtime_name: "caisson".to_owned(),
        runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_api_version: "v1".to_owned(),
    }
}

/// Conditions, handlers, and with `verbose` what people look at.
pub(super) async fn status(runtime: &Runtime, verbose: bool) -> Result<v1::StatusResponse, Status> {
    let status = runtime.on(Pods::runtime_status).await?;
    let info = if verbose { info(runtime, &status) } else { BTreeMap::new() };
    let handler = |h: &caisson_node::pods::view::HandlerFeatures| v1::RuntimeHandler {
        name: h.name.clone(),
        features: Some(v1::RuntimeHandlerFeatures {
            recursive_read_only_mounts: h.recursive_read_only_mounts,
            user_namespaces: h.user_namespaces,
        }),
    };
    Ok(v1::StatusResponse {
        runtime_handlers: status.handlers.iter().map(handler).collect(),
        features: Some(v1::RuntimeFeatures {
            supplemental_groups_policy: status.supplemental_groups_policy,
            // A user namespace has no power over the node's network.
            user_namespaces_host_network: false,
            mount_options: true,
        }),
        status: Some(v1::RuntimeStatus {
            conditions: vec![
                condition("RuntimeReady", &status.runtime),
                condition("NetworkReady", &status.network),
            ],
        }),
        info,
    })
}

fn condition(kind: &str, from: &Condition) -> v1::RuntimeCondition {
    v1::RuntimeCondition {
        r#type: kind.to_owned(),
        status: from.ready,
        reason: from.reason.clone(),
        message: from.message.clone(),
    }
}

fn info(runtime: &Runtime, status: &RuntimeStatus) -> BTreeMap<String, String> {
    let config = runtime.config.now();
    let paths = runtime.pods.engine().paths();
    let text = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "root": paths.root(),
        "runRoot": paths.run(),
        "cgroupDriver": match status.cgroup_driver {
            CgroupDriver::Cgroupfs => "cgroupfs",
            CgroupDriver::Systemd => "systemd",
        },
        "streaming": runtime.streaming.address().to_string(),
        "pinnedImages": config.pinned(),
        "operations": runtime.pods.operations(),
    });
    BTreeMap::from([("config".to_owned(), text.to_string())])
}

/// Which cgroup driver the kubelet is to use, too.
pub(super) async fn runtime_config(runtime: &Runtime) -> Result<v1::RuntimeConfigResponse, Status> {
    let status = runtime.on(Pods::runtime_status).await?;
    let driver = match status.cgroup_driver {
        CgroupDriver::Cgroupfs => v1::CgroupDriver::Cgroupfs,
        CgroupDriver::Systemd => v1::CgroupDriver::Systemd,
    };
    let linux = v1::LinuxRuntimeConfiguration { cgroup_driver: driver as i32 };
    Ok(v1::RuntimeConfigResponse { linux: Some(linux) })
}

/// The cluster's range of addresses for pods of this node.
pub(super) async fn update_runtime_config(
    runtime: &Runtime,
    request: v1::UpdateRuntimeConfigRequest,
) -> Result<(), Status> {
    let config = request.runtime_config.unwrap_or_default();
    let cidrs = config.network_config.unwrap_or_default().pod_cidr;
    if cidrs.is_empty() {
        return Ok(());
    }
    let cidrs = pod_cidr::parse(&cidrs).map_err(|e| {
        Status::invalid_argument(format!("runtime_config.network_config.pod_cidr: {e}"))
    })?;
    let settings = runtime.pods.engine().settings();
    let Some(template) = settings.serve.cni_template.clone() else {
        log(
            Level::Info,
            "pod range noted, no serve.cni_template to fill",
            &[("range", &cidrs.join(","))],
        );
        return Ok(());
    };
    let dir = settings.network.cni_conf_dirs.as_ref().and_then(|dirs| dirs.first().cloned());
    let dir = dir.unwrap_or_else(|| "/etc/cni/net.d".into());
    let file = blocking(move || {
        pod_cidr::write(&template, &dir, &cidrs)
            .map_err(|e| Status::failed_precondition(e.to_string()))
    });
    match file.await? {
        Some(file) => log(Level::Info, "CNI configuration written", &[("file", &file.display())]),
        None => log(Level::Info, "CNI is configured already; the template is left alone", &[]),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_given_back() {
        let of = |text: &str| version(&v1::VersionRequest { version: text.to_owned() }).version;
        assert_eq!(of(""), "0.1.0");
        assert_eq!(of("v1"), "v1");
        assert_eq!(of(&"x".repeat(100_000)).len(), 64);
    }
}
