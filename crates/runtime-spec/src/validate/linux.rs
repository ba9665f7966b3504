//! `linux`, except for resources and seccomp.

use super::fault::{Check, absolute, each, fault, text, texts};
use super::{identity, resources, seccomp};
use crate::index_list::{self, NODE_MAX};
use crate::linux::{
    Device, DeviceKind, IntelRdt, Linux, MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode,
    NamespaceKind, TimeOffset,
};
use crate::sysctl;

/// Highest numbers of a device in the kernel's `dev_t`.
const MAJOR_MAX: i64 = (1 << 12) - 1;
const MINOR_MAX: i64 = (1 << 20) - 1;

/// Longest name of a network device (`IFNAMSIZ` less the final NUL).
const NET_DEVICE_NAME_MAX: usize = 15;

pub(super) fn check(linux: &Linux) -> Check {
    namespaces(linux)?;
    identity::check(linux)?;
    time_offsets(linux)?;
    for (name, value) in &linux.sysctl {
        let path = || format!("sysctl[{name:?}]");
        if let Err(reason) = sysctl::check(name, linux) {
            return fault(path(), reason);
        }
        if value.contains('\0') {
            return fault(path(), "contains a NUL byte");
        }
    }
    let cgroups_path = linux.cgroups_path.as_deref().unwrap_or_default();
    if cgroups_path.contains(['\0', '\n']) {
        return fault("cgroupsPath", format!("{cgroups_path:?} cannot be a path of a cgroup"));
    }
    each("devices", &linux.devices, device)?;
    net_devices(linux)?;
    hidden_paths(linux)?;
    text("mountLabel", linux.mount_label.as_deref().unwrap_or_default())?;
    if let Some(rdt) = &linux.intel_rdt {
        intel_rdt(rdt).map_err(|fault| fault.under("intelRdt"))?;
    }
    if let Some(policy) = &linux.memory_policy {
        memory_policy(policy).map_err(|fault| fault.under("memoryPolicy"))?;
    }
    if let Some(limits) = &linux.resources {
        resources::check(limits).map_err(|fault| fault.under("resources"))?;
    }
    match &linux.seccomp {
        Some(filter) => seccomp::check(filter).map_err(|fault| fault.under("seccomp")),
        None => Ok(()),
    }
}

fn namespaces(linux: &Linux) -> Check {
    let mut seen = 0_u32;
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let kind = namespace.kind;
        if seen & kind.clone_flag() != 0 {
            return fault(format!("namespaces[{index}].type"), format!("{kind} is given twice"));
        }
        seen |= kind.clone_flag();
    }
    each("namespaces", &linux.namespaces, |namespace| match &namespace.path {
        Some(path) => absolute("path", path),
        None => Ok(()),
    })
}

fn time_offsets(linux: &Linux) -> Check {
    let Some(offsets) = &linux.time_offsets else {
        return Ok(());
    };
    match linux.namespace(NamespaceKind::Time) {
        None => return fault("timeOffsets", "has no effect without a time namespace"),
        Some(namespace) if namespace.path.is_some() => {
            return fault("timeOffsets", "cannot change a time namespace that is joined by path");
        }
        Some(_) => {}
    }
    let clock = |path: &str, offset: &Option<TimeOffset>| match offset {
        Some(offset) if offset.nanosecs >= 1_000_000_000 => {
            fault(path, format!("{} is a second or more", offset.nanosecs))
        }
        _ => Ok(()),
    };
    clock("timeOffsets.boottime.nanosecs", &offsets.boottime)?;
    clock("timeOffsets.monotonic.nanosecs", &offsets.monotonic)
}

fn device(device: &Device) -> Check {
    absolute("path", &device.path)?;
    identity::id("uid", device.uid.unwrap_or(0))?;
    identity::id("gid", device.gid.unwrap_or(0))?;
    if device.kind == DeviceKind::Fifo {
        return Ok(());
    }
    for (path, number, max) in
        [("major", device.major, MAJOR_MAX), ("minor", device.minor, MINOR_MAX)]
    {
        if !(0..=max).contains(&number) {
            return fault(path, format!("{number} is not within 0..={max}"));
        }
    }
    Ok(())
}

fn net_devices(linux: &Linux) -> Check {
    if !linux.net_devices.is_empty() && linux.namespace(NamespaceKind::Network).is_none() {
        return fault("netDevices", "cannot be moved without a network namespace");
    }
    let mut names = Vec::with_capacity(linux.net_devices.len());
    for (host_name, device) in &linux.net_devices {
        let path = || format!("netDevices[{host_name:?}]");
        let name = device.name.as_deref().unwrap_or(host_name);
        for name in [host_name.as_str(), name] {
            if !is_net_device_name(name) {
                return fault(path(), format!("{name:?} cannot be a network device's name"));
            }
        }
        if names.contains(&name) {
            return fault(path(), format!("a second device gets the name {name:?}"));
        }
        names.push(name);
    }
    Ok(())
}

/// The rules of the kernel's `dev_valid_name`.
fn is_net_device_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NET_DEVICE_NAME_MAX
        && !matches!(name, "." | "..")
        && !name.bytes().any(|byte| byte == b'/' || byte == b':' || byte <= b' ' || byte == 0x7f)
}

fn hidden_paths(linux: &Linux) -> Check {
    for (name, paths) in
        [("maskedPaths", &linux.masked_paths), ("readonlyPaths", &linux.readonly_paths)]
    {
        if !paths.is_empty() && linux.namespace(NamespaceKind::Mount).is_none() {
            return fault(name, "would change the host: the container has no mount namespace");
        }
        each(name, paths, |path| absolute("", path))?;
    }
    Ok(())
}

fn intel_rdt(rdt: &IntelRdt) -> Check {
    if let Some(class) = &rdt.clos_id {
        text("closID", class)?;
        // "/" alone is the root class.
        let is_name = !matches!(class.as_str(), "." | "..") && !class.contains(['/', '\n']);
        if class != "/" && !is_name {
            return fault("closID", format!("{class:?} is not the name of a directory"));
        }
    }
    texts("schemata", &rdt.schemata)?;
    each("schemata", &rdt.schemata, |line| {
        if line.contains('\n') { fault("", "contains a newline") } else { Ok(()) }
    })?;
    text("l3CacheSchema", rdt.l3_cache_schema.as_deref().unwrap_or_default())?;
    let Some(schema) = &rdt.mem_bw_schema else {
        return Ok(());
    };
    text("memBwSchema", schema)?;
    if !schema.starts_with("MB:") {
        return fault("memBwSchema", format!("{schema:?} does not begin with \"MB:\""));
    }
    if schema.contains('\n') { fault("memBwSchema", "contains a newline") } else { Ok(()) }
}

/// The rules of `set_mempolicy(2)` for modes, nodes and flags.
fn memory_policy(policy: &MemoryPolicy) -> Check {
    let MemoryPolicy { mode, nodes, flags } = policy;
    if let Some(nodes) = nodes
        && let Err(error) = index_list::parse(nodes, NODE_MAX)
    {
        return fault("nodes", error.to_string());
    }
    let (needs, permits) = match mode {
        MemoryPolicyMode::Default | MemoryPolicyMode::Local => (false, false),
        MemoryPolicyMode::Preferred => (false, true),
        MemoryPolicyMode::Bind
        | MemoryPolicyMode::Interleave
        | MemoryPolicyMode::WeightedInterleave
        | MemoryPolicyMode::PreferredMany => (true, true),
    };
    if nodes.is_some() && !permits {
        return fault("nodes", format!("{mode} takes no nodes"));
    }
    if nodes.is_none() && needs {
        return fault("nodes", format!("missing, {mode} needs it"));
    }
    let has = |flag| flags.contains(&flag);
    if has(MemoryPolicyFlag::StaticNodes) && has(MemoryPolicyFlag::RelativeNodes) {
        return fault("flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other");
    }
    if has(MemoryPolicyFlag::NumaBalancing)
        && !matches!(mode, MemoryPolicyMode::Bind | MemoryPolicyMode::PreferredMany)
    {
        return fault("flags", format!("MPOL_F_NUMA_BALANCING has no meaning with {mode}"));
    }
    Ok(())
}
