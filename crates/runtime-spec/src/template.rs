//! The configuration that the `spec` command writes.

use crate::capabilities::{Capabilities, Capability, CapabilitySet};
use crate::linux::{Linux, Namespace, NamespaceKind};
use crate::mounts::{IdMapping, Mount};
use crate::process::{Process, Rlimit, RlimitKind};
use crate::resources::{DeviceCgroup, Resources};
use crate::spec::{Root, Spec};

const MASKED_PATHS: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The default configuration, with the content of runc's: an interactive
/// shell in a read-only `rootfs`. `cgroup_v2` tells whether the host has only
/// cgroup v2, where a cgroup namespace is added.
#[must_use]
pub fn default_spec(cgroup_v2: bool) -> Spec {
    let mut namespaces = vec![
        NamespaceKind::Pid,
        NamespaceKind::Network,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Mount,
    ];
    if cgroup_v2 {
        namespaces.push(NamespaceKind::Cgroup);
    }
    Spec {
        oci_version: crate::VERSION.to_owned(),
        process: Some(process()),
        root: Some(Root { path: "rootfs".to_owned(), readonly: true }),
        hostname: Some("caisson".to_owned()),
        mounts: mounts(),
        linux: Some(Linux {
            resources: Some(Resources {
                devices: vec![DeviceCgroup {
                    access: Some("rwm".to_owned()),
                    ..DeviceCgroup::default()
                }],
                ..Resources::default()
            }),
            namespaces: namespaces.into_iter().map(|kind| Namespace { kind, path: None }).collect(),
            masked_paths: strings(&MASKED_PATHS),
            readonly_paths: strings(&READONLY_PATHS),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}

/// The default configuration for a user without privileges: a user namespace
/// with the one mapping of `euid` and `egid` to root, the host's network and
/// `/sys`, no limits.
#[must_use]
pub fn rootless_spec(cgroup_v2: bool, euid: u32, egid: u32) -> Spec {
    let mut spec = default_spec(cgroup_v2);
    if let Some(linux) = &mut spec.linux {
        linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Network);
        linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
        linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: euid, size: 1 }];
        linux.gid_mappings = vec![IdMapping { container_id: 0, host_id: egid, size: 1 }];
        linux.resources = None;
    }
    for entry in &mut spec.mounts {
        if entry.destination == "/sys" {
            *entry = mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]);
        }
        entry.options.retain(|option| !option.starts_with("uid=") && !option.starts_with("gid="));
    }
    spec
}

fn process() -> Process {
    let capabilities: CapabilitySet =
        [Capability::AuditWrite, Capability::Kill, Capability::NetBindService]
            .into_iter()
            .collect();
    Process {
        terminal: true,
        args: strings(&["sh"]),
        env: strings(&[
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm",
        ]),
        cwd: "/".to_owned(),
        capabilities: Some(Capabilities {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            permitted: capabilities,
            ..Capabilities::default()
        }),
        rlimits: vec![Rlimit { kind: RlimitKind::Nofile, hard: 1024, soft: 1024 }],
        no_new_privileges: true,
        ..Process::default()
    }
}

fn mounts() -> Vec<Mount> {
    let kernel = ["nosuid", "noexec", "nodev"];
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &kernel),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ]
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: strings(options),
        ..Mount::default()
    }
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// The document as `spec` writes it: indented by tabs, in the specification's
/// order of fields.
///
/// # Errors
/// None in practice: a [`Spec`] has only what JSON can express.
pub fn to_json(spec: &Spec) -> serde_json::Result<Vec<u8>> {
    let mut json = Vec::with_capacity(4096);
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    serde::Serialize::serialize(
        spec,
        &mut serde_json::Serializer::with_formatter(&mut json, tabs),
    )?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_read_back_the_same() {
        for spec in [default_spec(false), default_spec(true), rootless_spec(true, 1000, 100)] {
            assert_eq!(Spec::from_slice(&to_json(&spec).unwrap()).unwrap(), spec);
        }
    }

    #[test]
    fn rootless_has_a_user_namespace_and_nothing_that_needs_privileges() {
        let spec = rootless_spec(false, 1000, 100);
        let linux = spec.linux.as_ref().unwrap();
        assert!(linux.namespace(NamespaceKind::User).is_some());
        assert!(linux.namespace(NamespaceKind::Network).is_none());
        assert_eq!(linux.uid_mappings[0].host_id, 1000);
        assert_eq!(linux.gid_mappings[0].host_id, 100);
        assert!(linux.resources.is_none());
        assert!(spec.mounts.iter().all(|m| !m.options.iter().any(|o| o.contains("gid="))));
        assert!(spec.mounts.iter().any(|m| m.destination == "/sys" && m.options[0] == "rbind"));
    }
}
