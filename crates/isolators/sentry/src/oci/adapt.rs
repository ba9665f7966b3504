//! What of a configuration the host does, and what is refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use caisson_isolator::SandboxError;
use caisson_runtime_spec::mount_options::MountAttr;
use caisson_runtime_spec::{Linux, Mount, NamespaceKind, Seccomp, Spec, clean_path, sysctl};

use super::NAME;
use crate::task::OuterIds;
use crate::task::filter::Filter;
use crate::vfs::MountFlags;
use crate::vfs::mount::Propagation;
use crate::vfs::setup::{Layout, Medium, MountRequest, Options, Overlay};

/// File systems that the container's own kernel has.
const OF_THE_KERNEL: [&str; 9] =
    ["proc", "sysfs", "tmpfs", "ramfs", "mqueue", "devtmpfs", "devpts", "cgroup", "cgroup2"];
/// Those that it lacks; they show the host's kernel, so they are left out.
const LEFT_OUT: [&str; 3] = ["securityfs", "debugfs", "tracefs"];

/// The annotation that says where what the container writes goes.
pub(super) const OVERLAY: &str = "caisson.sentry.overlay2";
/// Says whether the host changes the root file system while the container runs.
pub(super) const FILE_ACCESS: &str = "caisson.sentry.file-access";
pub(super) const SHARED: &str = "shared";

fn refuse(what: impl Into<String>) -> SandboxError {
    SandboxError::Unsupported { isolator: NAME, operation: what.into() }
}

/// The configuration that `caisson-native` makes the container's surroundings by;
/// `joins_pids`: the PID namespace that it joins is one of a sandbox's.
///
/// # Errors
/// [`SandboxError::Unsupported`], for what there is no such thing as here.
pub(super) fn adapt(mut spec: Spec, joins_pids: bool) -> Result<Spec, SandboxError> {
    let hooks = spec.hooks.as_ref();
    if hooks.is_some_and(|hooks| !hooks.start_container.is_empty()) {
        return Err(refuse("run hooks.startContainer: they are programs of the container"));
    }
    let linux = spec.linux.get_or_insert_default();
    for namespace in &mut linux.namespaces {
        // The numbering is the sandbox's; on the host's side it means nothing.
        if namespace.kind == NamespaceKind::Pid && joins_pids {
            namespace.path = None;
        }
    }
    for (kind, what) in [(NamespaceKind::Pid, "pid"), (NamespaceKind::Mount, "mount")] {
        match linux.namespace(kind) {
            Some(own) if own.path.as_deref().is_none_or(str::is_empty) => {}
            Some(_) => {
                return Err(refuse(format!(
                    "join a {what} namespace (linux.namespaces) but one of a container in the \
                     same sandbox"
                )));
            }
            None => {
                return Err(refuse(format!(
                    "do without a {what} namespace of its own (linux.namespaces)"
                )));
            }
        }
    }
    let users = linux.namespace(NamespaceKind::User);
    let maps = users.is_some();
    if users.is_some_and(|users| users.path.as_deref().is_some_and(|path| !path.is_empty())) {
        return Err(refuse("join a user namespace (linux.namespaces)"));
    }
    if linux.personality.take().is_some_and(|wanted| wanted.domain.number() != 0) {
        return Err(refuse("run 32-bit programs (linux.personality)"));
    }
    if let Some(seccomp) = linux.seccomp.take()
        && seccomp.listener_path.is_some()
    {
        return Err(refuse("notify of calls (linux.seccomp.listenerPath)"));
    }
    linux.memory_policy = None;
    // Its kernel hides them.
    linux.masked_paths.clear();
    linux.readonly_paths.clear();
    for mount in &spec.mounts {
        let path = clean_path(&mount.destination);
        let inside = ["/proc", "/sys"].iter().any(|top| path.starts_with(top));
        if inside && place(mount) == Place::Native {
            let at = &mount.destination;
            return Err(refuse(format!("mount at {at:?}: /proc and /sys are its kernel's")));
        }
    }
    spec.mounts.retain(|mount| match place(mount) {
        Place::Native => true,
        // The terminal that the host gives away is in these.
        Place::Kernel => {
            let path = clean_path(&mount.destination);
            path == Path::new("/dev")
                || path == Path::new("/dev/pts")
                // Who is root of a user namespace may make a procfs where he sees one.
                || (maps && path == Path::new("/proc"))
        }
        Place::Nowhere => false,
    });
    if let Some(process) = &mut spec.process {
        // Labels of the host's mean nothing to the container's kernel.
        process.apparmor_profile = None;
        process.selinux_label = None;
    }
    if let Some(linux) = &mut spec.linux {
        linux.mount_label = None;
    }
    Ok(spec)
}

/// Who mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The host, for what comes from it; the kernel shows it as a bind mount.
    Native,
    /// The container's kernel.
    Kernel,
    /// Nobody.
    Nowhere,
}

fn place(mount: &Mount) -> Place {
    let kind = mount.kind.as_deref().unwrap_or_default();
    let options = mount.parsed_options();
    if options.bind.is_some() || options.copy_up {
        Place::Native
    } else if OF_THE_KERNEL.contains(&kind) {
        Place::Kernel
    } else if LEFT_OUT.contains(&kind) {
        Place::Nowhere
    } else {
        Place::Native
    }
}

/// What the container's kernel mounts. The sources of its bind mounts are where
/// `caisson-native` has mounted them, in the container's tree.
///
/// # Errors
/// [`SandboxError::Unsupported`], with the option that is not known.
pub(crate) fn layout(spec: &Spec) -> Result<Layout, SandboxError> {
    let mut mounts = Vec::new();
    let dev = |mount: &Mount| clean_path(&mount.destination) == Path::new("/dev");
    if !spec.mounts.iter().any(dev) {
        mounts.push(request("devtmpfs", "/dev", &["nosuid".to_owned()])?);
    }
    for mount in &spec.mounts {
        let path = clean_path(&mount.destination);
        match place(mount) {
            Place::Nowhere => {}
            Place::Kernel => {
                let kind = mount.kind.as_deref().unwrap_or_default();
                let kind = if dev(mount) && kind == "tmpfs" { "devtmpfs" } else { kind };
                if kind.starts_with("cgroup") {
                    // Whichever kind the host has; further options are about that.
                    let mut own = request("cgroup2", &path.to_string_lossy(), &[])?;
                    own.options.flags = flags(mount.parsed_options().attrs.set);
                    mounts.push(own);
                } else {
                    mounts.push(request(kind, &path.to_string_lossy(), &mount.options)?);
                }
            }
            Place::Native => mounts.push(MountRequest {
                kind: "bind".to_owned(),
                target: path.as_os_str().as_bytes().to_vec(),
                source: path,
                options: Options {
                    bind: Some(true),
                    flags: flags(mount.parsed_options().attrs.set),
                    propagation: mount.parsed_options().propagation.last().and_then(propagation),
                    ..Options::default()
                },
            }),
        }
    }
    let linux = spec.linux.as_ref();
    let paths = |paths: Option<&Vec<String>>| {
        let paths = paths.into_iter().flatten();
        paths.map(|path| path.clone().into_bytes()).collect()
    };
    let settings = linux.into_iter().flat_map(|linux| &linux.sysctl);
    let settings = settings.filter_map(|(name, value)| Some((sysctl::path(name)?, value.clone())));
    let resources = linux.and_then(|linux| linux.resources.clone());
    Ok(Layout {
        filter: linux.and_then(|linux| linux.seccomp.as_ref()).map(filter).transpose()?,
        resources: resources.unwrap_or_default(),
        ids: linux.map(ids).unwrap_or_default(),
        devices: linux.map(|linux| linux.devices.clone()).unwrap_or_default(),
        settings: settings.collect(),
        overlay: overlay(spec)?,
        read_only: spec.root.as_ref().is_some_and(|root| root.readonly),
        shared: shared(spec)?,
        mounts,
        propagation: linux
            .and_then(|linux| linux.rootfs_propagation)
            .map(|given| (propagation(&given), given.is_recursive()))
            .and_then(|(what, all)| Some((what?, all))),
        masked: paths(linux.map(|linux| &linux.masked_paths)),
        read_only_paths: paths(linux.map(|linux| &linux.readonly_paths)),
    })
}

/// Who sees what is mounted there, in the container.
fn propagation(given: &caisson_runtime_spec::Propagation) -> Option<Propagation> {
    Propagation::of(given.bit().into()).ok()
}

/// The ids that a container has.
fn ids(linux: &Linux) -> OuterIds {
    let (users, groups) = (&linux.uid_mappings, &linux.gid_mappings);
    if linux.namespace(NamespaceKind::User).is_some() {
        OuterIds { users: users.clone(), groups: groups.clone() }
    } else {
        OuterIds::default()
    }
}

/// The filter of a profile, for the guests' kernel.
fn filter(profile: &Seccomp) -> Result<Arc<Filter>, SandboxError> {
    let step = "config.json: linux.seccomp";
    let compiled = caisson_seccomp::Filter::compile(profile)
        .map_err(|error| SandboxError::step(step, error.to_string()))?;
    Filter::new(compiled.program().to_vec(), None)
        .map_err(|errno| SandboxError::step(step, errno.to_string()))
}

fn overlay(spec: &Spec) -> Result<Overlay, SandboxError> {
    let text = spec.annotations.get(OVERLAY).map_or("none", String::as_str);
    Overlay::parse(text).map_err(|error| refuse(format!("annotation {OVERLAY}={text}: {error}")))
}

/// A folder of the host's is not the container's to choose.
///
/// # Errors
/// [`SandboxError::Unsupported`]
pub(super) fn refuse_folder(spec: &Spec) -> Result<(), SandboxError> {
    match overlay(spec)?.medium {
        Medium::Folder(path) => Err(refuse(format!(
            "annotation {OVERLAY}: dir={}: a folder is named by the flag --overlay2 alone",
            path.display()
        ))),
        _ => Ok(()),
    }
}

fn shared(spec: &Spec) -> Result<bool, SandboxError> {
    match spec.annotations.get(FILE_ACCESS).map(String::as_str) {
        None | Some("exclusive") => Ok(false),
        Some(SHARED) => Ok(true),
        Some(text) => Err(refuse(format!("annotation {FILE_ACCESS}={text}: exclusive or shared"))),
    }
}

fn request(kind: &str, target: &str, options: &[String]) -> Result<MountRequest, SandboxError> {
    let options = options.iter().map(String::as_str);
    MountRequest::new(kind, OsStr::new(kind), target.as_bytes(), options)
        .map_err(|error| refuse(format!("mount at {target:?}: {error}")))
}

fn flags(set: MountAttr) -> MountFlags {
    let pairs = [
        (MountAttr::RDONLY, MountFlags::READ_ONLY),
        (MountAttr::NOSUID, MountFlags::NO_SUID),
        (MountAttr::NODEV, MountFlags::NO_DEVICES),
        (MountAttr::NOEXEC, MountFlags::NO_EXECUTE),
        (MountAttr::NOATIME, MountFlags::NO_ACCESS_TIMES),
    ];
    let wanted = pairs.into_iter().filter(|(attribute, _)| set.contains(*attribute));
    wanted.fold(MountFlags::empty(), |flags, (_, flag)| flags | flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(linux: &str, more: &str) -> Spec {
        let text =
            format!(r#"{{"ociVersion":"1.3.0","root":{{"path":"x"}},"linux":{{{linux}}}{more}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    const OWN: &str = r#""namespaces":[{"type":"pid"},{"type":"mount"}]"#;

    #[test]
    fn what_is_refused_is_named() {
        for (linux, more, word) in [
            ("", "", "pid namespace"),
            (r#""namespaces":[{"type":"pid","path":"/x"},{"type":"mount"}]"#, "", "pid"),
            (
                r#""namespaces":[{"type":"pid"},{"type":"mount"},{"type":"user","path":"/x"}]"#,
                "",
                "user",
            ),
            (OWN, r#","hooks":{"startContainer":[{"path":"/x"}]}"#, "startContainer"),
            (
                OWN,
                r#","mounts":[{"destination":"/proc/cpuinfo","source":"/x","options":["bind"]}]"#,
                "/proc/cpuinfo",
            ),
            (&format!("{OWN},{}", r#""personality":{"domain":"LINUX32"}"#), "", "32-bit"),
        ] {
            let error = adapt(spec(linux, more), false).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn each_mount_is_made_by_one() {
        let mounts = r#","mounts":[{"destination":"/proc","type":"proc","source":"proc"},
            {"destination":"/dev","type":"tmpfs"},{"destination":"/dev/shm","type":"tmpfs"},
            {"destination":"/dev/mqueue","type":"mqueue"},{"destination":"/dev/pts","type":"devpts"},
            {"destination":"/sys","type":"sysfs"},
            {"destination":"/sys/fs/cgroup","type":"cgroup","options":["ro","cpu"]},
            {"destination":"/run","type":"tmpfs","options":["tmpcopyup"]},
            {"destination":"/dev/./termination-log","source":"/x","options":["rbind","ro"]}]"#;
        let given = spec(OWN, mounts);
        let layout = layout(&given).unwrap();
        let inside: Vec<(&str, &[u8])> =
            layout.mounts.iter().map(|m| (m.kind.as_str(), m.target.as_slice())).collect();
        assert_eq!(
            inside,
            [
                ("proc", &b"/proc"[..]),
                ("devtmpfs", b"/dev"),
                ("tmpfs", b"/dev/shm"),
                ("mqueue", b"/dev/mqueue"),
                ("devpts", b"/dev/pts"),
                ("sysfs", b"/sys"),
                ("cgroup2", b"/sys/fs/cgroup"),
                ("bind", b"/run"),
                ("bind", b"/dev/termination-log"),
            ]
        );
        assert!(layout.mounts.last().unwrap().options.flags.contains(MountFlags::READ_ONLY));
        let native: Vec<String> = adapt(given, false)
            .unwrap()
            .mounts
            .iter()
            .map(|mount| mount.destination.clone())
            .collect();
        assert_eq!(native, ["/dev", "/dev/pts", "/run", "/dev/./termination-log"]);
    }
}
