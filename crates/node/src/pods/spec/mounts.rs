//! Mounts: the standard ones, the files of names, and what is asked for.

use std::path::Path;

use caisson_runtime_spec::{IdMapping, Mount, Propagation as RootPropagation};

use super::image_volume::{self, Volume};
use crate::oci_spec::mounts::kernel_mounts;
pub(super) use crate::oci_spec::mounts::mount;
use crate::pods::PodError;
use crate::pods::names;
use crate::pods::request::{ContainerMount, Propagation};

/// What decides about the standard mounts.
pub(super) struct Surroundings<'a> {
    /// The pod's directory.
    pub(super) pod_dir: &'a Path,
    /// Whether everything is allowed.
    pub(super) privileged: bool,
    /// Whether the IPC namespace is the host's.
    pub(super) host_ipc: bool,
    /// Whether the network namespace is the host's.
    pub(super) host_network: bool,
    /// Whether there is a user namespace.
    pub(super) mapped: bool,
}

/// Mounts in their order, and how the root is to propagate.
pub(super) struct Mounts {
    pub(super) list: Vec<Mount>,
    pub(super) propagation: Option<RootPropagation>,
}

/// All mounts. `volumes` are those of the request's image volumes, one for each
/// of its mounts.
pub(super) fn mounts(
    around: &Surroundings<'_>,
    asked: &[ContainerMount],
    volumes: &[Option<Volume>],
) -> Result<Mounts, PodError> {
    let mut list = standard(around);
    for (destination, name) in [
        ("/etc/resolv.conf", names::RESOLV_CONF),
        ("/etc/hostname", names::HOSTNAME),
        ("/etc/hosts", names::HOSTS),
    ] {
        let source = around.pod_dir.join(name);
        list.push(mount(destination, "bind", &source.to_string_lossy(), &["rbind", "rprivate"]));
    }
    list.retain(|standard| {
        !asked.iter().any(|own| Path::new(&own.container_path) == Path::new(&standard.destination))
    });
    let mut propagation = None;
    let mut own = Vec::with_capacity(asked.len());
    for (asked, volume) in asked.iter().zip(volumes) {
        if !asked.container_path.starts_with('/') || asked.container_path.contains('\0') {
            let reason = format!("{:?} is not absolute", asked.container_path);
            return Err(PodError::invalid("mounts.container_path", reason));
        }
        own.push(match volume {
            Some(volume) => image_volume::mount(asked, &volume.layers, around.mapped)?,
            None => bind(around, asked, &mut propagation)?,
        });
    }
    // An outer mount must not hide an inner one.
    own.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    list.extend(own);
    Ok(Mounts { list, propagation })
}

fn bind(
    around: &Surroundings<'_>,
    asked: &ContainerMount,
    propagation: &mut Option<RootPropagation>,
) -> Result<Mount, PodError> {
    let invalid = |reason: &str| {
        let at = format!("mounts[{}]", asked.container_path);
        Err(PodError::invalid(at, reason))
    };
    if !asked.host_path.starts_with('/') {
        return invalid("host_path is not absolute");
    }
    if let Err(error) = std::fs::metadata(&asked.host_path) {
        if error.kind() != std::io::ErrorKind::NotFound {
            return Err(PodError::io(format!("look at {}", asked.host_path), error));
        }
        // As everybody does for a path that is not there.
        std::fs::create_dir_all(&asked.host_path)
            .map_err(|e| PodError::io(format!("make {}", asked.host_path), e))?;
    }
    let mut mount = mount(&asked.container_path, "bind", &asked.host_path, &["rbind"]);
    mount.options.push(
        match asked.propagation {
            Propagation::Private => "rprivate",
            Propagation::HostToContainer => {
                propagation.get_or_insert(RootPropagation::RSlave);
                "rslave"
            }
            Propagation::Bidirectional if !around.privileged => {
                return invalid("bidirectional propagation needs a privileged container");
            }
            Propagation::Bidirectional => {
                *propagation = Some(RootPropagation::RShared);
                "rshared"
            }
        }
        .to_owned(),
    );
    if asked.recursive_read_only {
        if !asked.readonly {
            return invalid("recursive_read_only needs readonly");
        }
        if asked.propagation != Propagation::Private {
            return invalid("recursive_read_only needs private propagation");
        }
        mount.options.push("rro".to_owned());
    } else {
        mount.options.push(if asked.readonly { "ro" } else { "rw" }.to_owned());
    }
    mount.options.extend(asked.options.iter().cloned());
    if asked.uid_mappings.is_empty() != asked.gid_mappings.is_empty() {
        return invalid("needs both uid_mappings and gid_mappings, or none");
    }
    let map = |ids: &[crate::pods::request::IdMapping]| -> Vec<IdMapping> {
        ids.iter()
            .map(|m| IdMapping { container_id: m.container, host_id: m.host, size: m.length })
            .collect()
    };
    mount.uid_mappings = map(&asked.uid_mappings);
    mount.gid_mappings = map(&asked.gid_mappings);
    Ok(mount)
}

fn standard(around: &Surroundings<'_>) -> Vec<Mount> {
    let kernel = ["nosuid", "noexec", "nodev"];
    let mut list = kernel_mounts(around.privileged, around.mapped && around.host_network);
    let shm = if around.host_ipc {
        if Path::new("/dev/mqueue").exists() {
            list.push(mount("/dev/mqueue", "bind", "/dev/mqueue", &["rbind", "rprivate"]));
        }
        Path::new("/dev/shm").to_owned()
    } else {
        list.push(mount("/dev/mqueue", "mqueue", "mqueue", &kernel));
        crate::pods::shared_memory::path(around.pod_dir)
    };
    let options = ["rbind", "rprivate", "nosuid", "noexec", "nodev"];
    list.push(mount("/dev/shm", "bind", &shm.to_string_lossy(), &options));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(privileged: bool) -> Surroundings<'static> {
        Surroundings {
            pod_dir: Path::new("/run/pod"),
            privileged,
            host_ipc: false,
            host_network: false,
            mapped: false,
        }
    }

    fn asked(at: &str) -> ContainerMount {
        ContainerMount {
            container_path: at.to_owned(),
            host_path: "/".to_owned(),
            ..ContainerMount::default()
        }
    }

    fn made(privileged: bool, asked: &[ContainerMount]) -> Result<Mounts, PodError> {
        mounts(&around(privileged), asked, &vec![None; asked.len()])
    }

    #[test]
    fn asked_mounts_replace_standard_ones_and_are_in_order() {
        let list = made(false, &[asked("/a/b"), asked("/a"), asked("/etc/hosts")]).unwrap().list;
        let at = |path: &str| list.iter().position(|m| m.destination == path).unwrap();
        assert!(at("/a") < at("/a/b"));
        assert_eq!(list.iter().filter(|m| m.destination == "/etc/hosts").count(), 1);
        assert_eq!(list[at("/etc/hosts")].source.as_deref(), Some("/"));
        assert_eq!(list[at("/dev/shm")].source.as_deref(), Some("/run/pod/shm"));
    }

    #[test]
    fn propagation_and_write_protection() {
        let mut both = asked("/m");
        both.propagation = Propagation::Bidirectional;
        assert!(made(false, std::slice::from_ref(&both)).is_err());
        let shared = made(true, &[both.clone()]).unwrap();
        assert_eq!(shared.propagation, Some(RootPropagation::RShared));
        assert_eq!(shared.list.last().unwrap().options, ["rbind", "rshared", "rw"]);
        let rro = ContainerMount { recursive_read_only: true, readonly: true, ..asked("/m") };
        let made_rro = made(false, std::slice::from_ref(&rro)).unwrap();
        assert_eq!(made_rro.list.last().unwrap().options, ["rbind", "rprivate", "rro"]);
        for bad in [
            ContainerMount { readonly: false, ..rro.clone() },
            ContainerMount { propagation: Propagation::HostToContainer, ..rro },
            asked("relative"),
            ContainerMount { host_path: "x".to_owned(), ..asked("/m") },
        ] {
            assert!(made(true, &[bad]).is_err());
        }
    }
}
