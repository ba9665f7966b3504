//! Mounts: docker's default ones, the files of names, and what is asked for.

use std::path::{Path, PathBuf};

use caisson_runtime_spec::Mount;

use crate::metadata::MountRecord;
use crate::request::{ContainerRequest, NamespaceMode};

/// Docker's size of `/dev/shm`, in bytes.
const SHM_SIZE: u64 = 64 << 20;

/// Files of the node that stand in for the image's.
#[derive(Clone, Debug, Default)]
pub struct EtcFiles {
    /// `/etc/hosts`.
    pub hosts: Option<PathBuf>,
    /// `/etc/hostname`.
    pub hostname: Option<PathBuf>,
    /// `/etc/resolv.conf`.
    pub resolv_conf: Option<PathBuf>,
}

/// What the surroundings do not allow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Denied {
    /// A new `/sys`: in a user namespace that does not own the network
    /// namespace. The host's is bound instead.
    pub(super) new_sys: bool,
    /// Giving terminals to the group `tty` (5): it has no id here.
    pub(super) tty_group: bool,
}

/// What the container is mounted with, in the order of mounting.
pub(super) fn mounts(
    request: &ContainerRequest,
    recorded: &[MountRecord],
    files: &EtcFiles,
    denied: Denied,
) -> Vec<Mount> {
    let mut list = defaults(request, denied);
    for (destination, source) in [
        ("/etc/resolv.conf", &files.resolv_conf),
        ("/etc/hostname", &files.hostname),
        ("/etc/hosts", &files.hosts),
    ] {
        if let Some(source) = source {
            let source = source.to_string_lossy();
            list.push(mount(destination, "bind", &source, &["rbind", "rprivate"]));
        }
    }
    let mut asked: Vec<Mount> = recorded.iter().map(requested).collect();
    // An outer mount must not hide an inner one.
    asked.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    list.retain(|standard| {
        !asked.iter().any(|own| Path::new(&own.destination) == Path::new(&standard.destination))
    });
    list.extend(asked);
    list
}

fn defaults(request: &ContainerRequest, denied: Denied) -> Vec<Mount> {
    let privileged = request.security.privileged;
    let kernel = ["nosuid", "noexec", "nodev"];
    let shm = format!("size={}", request.shm_size.unwrap_or(SHM_SIZE));
    let mut list = kernel_mounts(privileged, denied.new_sys);
    if denied.tty_group {
        for entry in &mut list {
            entry.options.retain(|option| !option.starts_with("gid="));
        }
    }
    if request.namespaces.ipc == NamespaceMode::Host {
        for path in ["/dev/mqueue", "/dev/shm"] {
            list.push(mount(path, "bind", path, &["rbind", "nosuid", "noexec", "nodev"]));
        }
    } else {
        list.push(mount("/dev/mqueue", "mqueue", "mqueue", &kernel));
        list.push(mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm],
        ));
    }
    list
}

fn requested(record: &MountRecord) -> Mount {
    let mut options: Vec<&str> = Vec::new();
    let has = |names: &[&str]| record.options.iter().any(|o| names.contains(&o.as_str()));
    let kind = if record.kind == "tmpfs" {
        if !has(&["exec", "noexec"]) {
            options.push("noexec");
        }
        if !has(&["suid", "nosuid"]) {
            options.push("nosuid");
        }
        if !has(&["dev", "nodev"]) {
            options.push("nodev");
        }
        "tmpfs"
    } else {
        if !has(&["bind", "rbind"]) {
            options.push("rbind");
        }
        let propagation = [
            "private",
            "rprivate",
            "slave",
            "rslave",
            "shared",
            "rshared",
            "unbindable",
            "runbindable",
        ];
        if !has(&propagation) {
            options.push("rprivate");
        }
        "bind"
    };
    options.extend(record.options.iter().map(String::as_str).filter(|o| !matches!(*o, "z" | "Z")));
    if !record.writable {
        // Mounts below it are no way around.
        options.push(if kind == "bind" { "rro" } else { "ro" });
    }
    let source = if kind == "tmpfs" { "tmpfs" } else { &record.source };
    mount(&record.destination, kind, source, &options)
}

/// What of the kernel's every container sees. With `bind_sys`, /sys is the
/// host's: a new one can't be mounted.
pub(crate) fn kernel_mounts(privileged: bool, bind_sys: bool) -> Vec<Mount> {
    let access = if privileged { "rw" } else { "ro" };
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        if bind_sys {
            mount("/sys", "bind", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"])
        } else {
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access])
        },
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", access]),
    ]
}

/// A mount of these options.
pub(crate) fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: &str, destination: &str, writable: bool) -> MountRecord {
        MountRecord {
            kind: kind.to_owned(),
            volume: None,
            source: "/src".to_owned(),
            destination: destination.to_owned(),
            writable,
            options: Vec::new(),
        }
    }

    #[test]
    fn asked_mounts_replace_default_ones_and_are_in_order() {
        let asked = [
            record("bind", "/a/b/c", true),
            record("tmpfs", "/dev/shm", true),
            record("bind", "/a", false),
            record("bind", "/etc/hosts/", true),
        ];
        let files = EtcFiles { hosts: Some("/node/hosts".into()), ..EtcFiles::default() };
        let list = mounts(&ContainerRequest::default(), &asked, &files, Denied::default());
        let at = |path: &str| list.iter().position(|m| m.destination == path).unwrap();
        assert!(at("/a") < at("/a/b/c"));
        assert_eq!(list.iter().filter(|m| m.destination == "/dev/shm").count(), 1);
        assert!(list.iter().all(|m| m.source.as_deref() != Some("/node/hosts")));
        assert_eq!(list[at("/a")].options, ["rbind", "rprivate", "rro"]);
        assert_eq!(list[at("/dev/shm")].options, ["noexec", "nosuid", "nodev"]);
    }

    #[test]
    fn kernel_file_systems_are_read_only_unless_privileged() {
        let mut request = ContainerRequest::default();
        let access = |request: &ContainerRequest, path: &str| {
            let list = mounts(request, &[], &EtcFiles::default(), Denied::default());
            list.iter().find(|m| m.destination == path).unwrap().options.last().unwrap().clone()
        };
        assert_eq!(access(&request, "/sys"), "ro");
        assert_eq!(access(&request, "/sys/fs/cgroup"), "ro");
        request.security.privileged = true;
        assert_eq!(access(&request, "/sys"), "rw");
        request.shm_size = Some(4096);
        assert_eq!(access(&request, "/dev/shm"), "size=4096");
    }
}
