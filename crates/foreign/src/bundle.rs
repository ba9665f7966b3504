//! The configuration as a foreign runtime gets it.
//!
//! The caller's configuration speaks of the caller: relative paths start at its
//! bundle, and `/proc/self/fd/N` are its own descriptors. The runtime is
//! another process with another bundle, so both are spelled out.

use std::path::{Path, PathBuf};

use caisson_cgroup::{Cgroup, CgroupConfig, CgroupState, Driver};
use caisson_isolator::{ContainerId, SandboxError};
use caisson_runtime_spec::{Linux, Spec};
use rustix::fs::StatVfsMountFlags;

use crate::step::Context as _;

/// Where a configuration names a descriptor of the caller's.
const OWN_DESCRIPTORS: &str = "/proc/self/fd/";
/// The version of config.json that every runtime takes. Some refuse later ones,
/// none misses a field for the number's sake.
const VERSION: &str = "1.0.2";
/// Where the cgroup is made if the configuration does not say.
const CGROUP_PARENT: &str = "/caisson";

/// Makes `spec` one that is read from another bundle by another process, while
/// process `caller` holds its descriptors. Returns the root file system.
pub fn rewrite(spec: &mut Spec, bundle: &Path, caller: i32) -> PathBuf {
    let rootfs = match &spec.root {
        Some(root) => bundle.join(&root.path),
        None => bundle.to_owned(),
    };
    if let Some(root) = &mut spec.root {
        root.path = rootfs.to_string_lossy().into_owned();
        // Not every runtime keeps what it mounts again as it was.
        let flags = rustix::fs::statvfs(&rootfs).map(|stat| stat.f_flag);
        root.readonly |= flags.is_ok_and(|flags| flags.contains(StatVfsMountFlags::RDONLY));
    }
    for mount in &mut spec.mounts {
        let bind = mount.kind.as_deref() == Some("bind")
            || mount.options.iter().any(|option| option == "bind" || option == "rbind");
        let Some(source) = &mut mount.source else { continue };
        if bind {
            *source = bundle.join(&*source).to_string_lossy().into_owned();
        }
        name_caller(source, caller);
    }
    spec.oci_version = VERSION.to_owned();
    let linux = spec.linux.get_or_insert_with(Linux::default);
    for namespace in &mut linux.namespaces {
        if let Some(path) = &mut namespace.path {
            name_caller(path, caller);
        }
    }
    rootfs
}

/// Where the program is going to make the container's cgroup, as far as that is
/// known. The configuration is given a place if it names none.
///
/// # Errors
/// If it names one that can't be.
pub fn plan_cgroup(
    spec: &mut Spec,
    id: &ContainerId,
    systemd: bool,
    rootless: bool,
) -> Result<CgroupState, SandboxError> {
    let linux = spec.linux.get_or_insert_default();
    let named = linux.cgroups_path.as_ref().is_some_and(|path| !path.is_empty());
    if !named && !systemd && !rootless {
        linux.cgroups_path = Some(format!("{CGROUP_PARENT}/{id}"));
    }
    let config = CgroupConfig {
        id: id.as_str(),
        cgroups_path: linux.cgroups_path.as_deref(),
        driver: if systemd { Driver::Systemd } else { Driver::Cgroupfs },
        rootless,
        scope_prefix: "caisson",
    };
    let planned = Cgroup::plan(&config).context(|| "find the place of the container's cgroup")?;
    Ok(planned.state().clone())
}

fn name_caller(path: &mut String, caller: i32) {
    if let Some(number) = path.strip_prefix(OWN_DESCRIPTORS) {
        *path = format!("/proc/{caller}/fd/{number}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_the_same_to_another_process() {
        let mut spec: Spec = serde_json::from_str(
            r#"{"ociVersion":"1.0.0","root":{"path":"rootfs"},
            "mounts":[{"destination":"/a","type":"bind","source":"a/b"},
                {"destination":"/b","type":"bind","source":"/x"},
                {"destination":"/c","source":"/proc/self/fd/7","options":["rbind"]},
                {"destination":"/proc","type":"proc","source":"proc"}],
            "linux":{"namespaces":[{"type":"network","path":"/proc/self/fd/10"},
                {"type":"pid"},{"type":"ipc","path":"/proc/5/ns/ipc"}]}}"#,
        )
        .unwrap();
        let rootfs = rewrite(&mut spec, Path::new("/run/b"), 42);
        assert_eq!(rootfs, Path::new("/run/b/rootfs"));
        assert_eq!(spec.root.unwrap().path, "/run/b/rootfs");
        let sources: Vec<_> = spec.mounts.iter().map(|m| m.source.as_deref().unwrap()).collect();
        assert_eq!(sources, ["/run/b/a/b", "/x", "/proc/42/fd/7", "proc"]);
        let linux = spec.linux.unwrap();
        let paths: Vec<_> = linux.namespaces.iter().map(|n| n.path.as_deref()).collect();
        assert_eq!(paths, [Some("/proc/42/fd/10"), None, Some("/proc/5/ns/ipc")]);
    }
}
