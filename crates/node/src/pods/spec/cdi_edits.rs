//! What CDI devices change of a configuration.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use caisson_runtime_spec::{
    Device, DeviceCgroup, DeviceKind, DeviceRuleKind, Hook, Hooks, IntelRdt, Mount, NetDevice, Spec,
};

use super::cdi_file::{Edits, Node, Rdt};
use crate::oci_spec::set_variable;
use crate::pods::PodError;

fn invalid(reason: impl Into<String>) -> PodError {
    PodError::invalid("cdi_devices", reason)
}

/// Changes `spec` as a device wants it.
pub(super) fn apply(spec: &mut Spec, edits: &Edits) -> Result<(), PodError> {
    if let Some(process) = &mut spec.process {
        for variable in &edits.env {
            set_variable(&mut process.env, variable);
        }
        for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
            if !process.user.additional_gids.contains(gid) {
                process.user.additional_gids.push(*gid);
            }
        }
    }
    for mount in &edits.mounts {
        let options = match mount.options.is_empty() {
            true => vec!["rbind".to_owned(), "ro".to_owned()],
            false => mount.options.clone(),
        };
        let kind = mount.r#type.clone().filter(|kind| !kind.is_empty());
        spec.mounts.push(Mount {
            destination: mount.container_path.clone(),
            kind: Some(kind.unwrap_or_else(|| "bind".to_owned())),
            source: Some(mount.host_path.clone()),
            options,
            ..Mount::default()
        });
    }
    for hook in &edits.hooks {
        let own = Hook {
            path: hook.path.clone(),
            args: hook.args.clone(),
            env: hook.env.clone(),
            timeout: hook.timeout,
        };
        let hooks = spec.hooks.get_or_insert_with(Hooks::default);
        match hook.hook_name.as_str() {
            "prestart" => hooks.prestart.push(own),
            "createRuntime" => hooks.create_runtime.push(own),
            "createContainer" => hooks.create_container.push(own),
            "startContainer" => hooks.start_container.push(own),
            "poststart" => hooks.poststart.push(own),
            "poststop" => hooks.poststop.push(own),
            other => return Err(invalid(format!("no hook is called {other:?}"))),
        }
    }
    let Some(linux) = &mut spec.linux else {
        return Ok(());
    };
    if let Some(rdt) = &edits.intel_rdt {
        // The last one wins, as a container has one class.
        linux.intel_rdt = Some(intel_rdt(rdt)?);
    }
    for device in &edits.net_devices {
        let name = Some(device.name.clone()).filter(|name| !name.is_empty());
        linux.net_devices.insert(device.host_interface_name.clone(), NetDevice { name });
    }
    for node in &edits.device_nodes {
        let (device, rule) = device(node)?;
        linux.devices.retain(|other| other.path != device.path);
        linux.devices.push(device);
        let limits = linux.resources.get_or_insert_with(Default::default);
        limits.devices.extend(rule);
    }
    Ok(())
}

/// Whether the host has it, the isolator finds.
fn intel_rdt(rdt: &Rdt) -> Result<IntelRdt, PodError> {
    if rdt.enable_cmt || rdt.enable_mbm {
        let what = "intelRdt.enableCMT and enableMBM of a CDI device: describe it by \
                    cdiVersion 1.1.0 and enableMonitoring";
        return Err(PodError::Unsupported(what.to_owned()));
    }
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Ok(IntelRdt {
        clos_id: text(&rdt.clos_id),
        schemata: rdt.schemata.clone(),
        l3_cache_schema: text(&rdt.l3_cache_schema),
        mem_bw_schema: text(&rdt.mem_bw_schema),
        enable_monitoring: rdt.enable_monitoring,
    })
}

/// A node, with what the host says where the description does not.
fn device(node: &Node) -> Result<(Device, Option<DeviceCgroup>), PodError> {
    let host = node.host_path.as_deref().unwrap_or(&node.path);
    let numbers = node.major.zip(node.minor).filter(|(major, minor)| *major != 0 || *minor != 0);
    let complete =
        node.r#type.as_deref() == Some("p") || (node.r#type.is_some() && numbers.is_some());
    let found = match complete {
        true => None,
        false => Some(std::fs::metadata(host).map_err(|e| invalid(format!("device {host}: {e}")))?),
    };
    let kind = match node.r#type.as_deref() {
        Some("c" | "u") => DeviceKind::Char,
        Some("b") => DeviceKind::Block,
        Some("p") => DeviceKind::Fifo,
        Some("") | None => match &found {
            Some(metadata) if metadata.file_type().is_char_device() => DeviceKind::Char,
            Some(metadata) if metadata.file_type().is_block_device() => DeviceKind::Block,
            Some(metadata) if metadata.file_type().is_fifo() => DeviceKind::Fifo,
            _ => return Err(invalid(format!("{host} is no device"))),
        },
        Some(other) => return Err(invalid(format!("no kind of device is called {other:?}"))),
    };
    let (major, minor) = match (&found, numbers) {
        (_, Some(numbers)) => numbers,
        (Some(metadata), None) => (
            i64::from(rustix::fs::major(metadata.rdev())),
            i64::from(rustix::fs::minor(metadata.rdev())),
        ),
        (None, None) => (0, 0),
    };
    let rule_kind = match kind {
        DeviceKind::Block => Some(DeviceRuleKind::Block),
        DeviceKind::Fifo => None,
        _ => Some(DeviceRuleKind::Char),
    };
    let rule = rule_kind.map(|kind| DeviceCgroup {
        allow: true,
        kind: Some(kind),
        major: Some(major),
        minor: Some(minor),
        access: Some(node.permissions.clone().unwrap_or_else(|| "rwm".to_owned())),
    });
    let device = Device {
        path: node.path.clone(),
        kind,
        major,
        minor,
        file_mode: node.file_mode.or_else(|| found.as_ref().map(|m| m.mode() & 0o7777)),
        uid: node.uid.or_else(|| found.as_ref().map(std::fs::Metadata::uid)),
        gid: node.gid.or_else(|| found.as_ref().map(std::fs::Metadata::gid)),
    };
    Ok((device, rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_runtime_spec::{Linux, Process};

    #[test]
    fn edits_go_where_they_belong() {
        let edits: Edits = serde_json::from_str(
            r#"{"env":["A=2"],"deviceNodes":[{"path":"/dev/mine","hostPath":"/dev/null"}],
                "mounts":[{"hostPath":"/usr/lib","containerPath":"/lib2"}],
                "hooks":[{"hookName":"createContainer","path":"/bin/x","args":["x"]}],
                "additionalGids":[0,44],"netDevices":[{"hostInterfaceName":"a0","name":"b0"}],
                "intelRdt":{"closID":"c","schemata":["L3:0=f"]}}"#,
        )
        .unwrap();
        let mut spec = Spec {
            process: Some(Process { env: vec!["A=1".to_owned()], ..Process::default() }),
            linux: Some(Linux::default()),
            ..Spec::default()
        };
        apply(&mut spec, &edits).unwrap();
        let process = spec.process.as_ref().unwrap();
        assert_eq!((process.env[0].as_str(), &*process.user.additional_gids), ("A=2", &[44][..]));
        let linux = spec.linux.as_ref().unwrap();
        assert_eq!((linux.devices[0].major, linux.devices[0].minor), (1, 3));
        assert_eq!(linux.resources.as_ref().unwrap().devices[0].access.as_deref(), Some("rwm"));
        assert_eq!(linux.net_devices["a0"].name.as_deref(), Some("b0"));
        let rdt = linux.intel_rdt.as_ref().unwrap();
        assert_eq!((rdt.clos_id.as_deref(), &*rdt.schemata[0]), (Some("c"), "L3:0=f"));
        assert_eq!(spec.mounts[0].options, ["rbind", "ro"]);
        assert_eq!(spec.hooks.as_ref().unwrap().create_container.len(), 1);
        for bad in [
            r#"{"hooks":[{"hookName":"nope","path":"/x"}]}"#,
            r#"{"deviceNodes":[{"path":"/dev/no-such"}]}"#,
            r#"{"deviceNodes":[{"path":"/etc/passwd"}]}"#,
            r#"{"intelRdt":{"enableCMT":true}}"#,
        ] {
            let edits: Edits = serde_json::from_str(bad).unwrap();
            assert!(apply(&mut spec, &edits).is_err(), "{bad}");
        }
    }
}
