//! The whole config.json.

use std::path::Path;

use caisson_rootpath::Root as RootDir;
use caisson_runtime_spec::{Linux, Resources, Root, Spec, VERSION};

use super::capabilities::{CapabilityError, available, bounding_set};
use super::devices::{DeviceError, devices};
use super::mounts::{Denied, EtcFiles, mounts};
use super::namespaces::{NamespacePaths, NetworkNamespace, namespaces};
use super::process::first_process;
use super::resources::resources;
use super::seccomp_profile::ProfileError;
use super::security;
use super::user::{UserError, look_up};
use crate::metadata::ContainerRecord;
use crate::request::NamespaceMode;
use crate::rootless::maps_group;

/// The group that terminals belong to, on every distribution.
const TTY_GROUP: u32 = 5;

/// The cgroup that holds those of containers, unless they ask for another.
pub(crate) const CGROUP_PARENT: &str = "/caisson";

/// All that a configuration is made of.
#[derive(Clone, Copy, Debug)]
pub struct SpecInput<'a> {
    /// What was asked, and what runs.
    pub record: &'a ContainerRecord,
    /// The container's root file system, to look users up in.
    pub root: &'a RootDir,
    /// Files that stand in for the image's.
    pub files: &'a EtcFiles,
    /// The network namespace.
    pub network: &'a NetworkNamespace,
    /// Namespaces that others lend.
    pub namespaces: &'a NamespacePaths,
    /// Host name inside; `None` where the host's UTS namespace is shared.
    pub hostname: &'a str,
    /// Whether the host has only cgroup v2.
    pub cgroup_v2: bool,
    /// Whether the engine is root of a user namespace only.
    pub rootless: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// There is no such user or group.
    #[error(transparent)]
    User(#[from] UserError),
    /// There is no such capability.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// A device can't be given.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The filter of system calls makes no sense.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// Makes the configuration. `root.path` is `rootfs`, below the bundle.
///
/// # Errors
/// [`SpecError`].
pub fn build(input: &SpecInput<'_>) -> Result<Spec, SpecError> {
    let document = &input.record.document;
    let request = &document.request;
    let identity = look_up(input.root, &document.program.user, &request.group_add)?;
    let bounding = bounding_set(&request.security, &available())?;
    let devices = devices(request, input.rootless)?;
    let (masked_paths, readonly_paths) = security::hidden_paths(&request.security);
    let mut process = first_process(input.record, &identity, &bounding, input.hostname);
    process.apparmor_profile = security::apparmor(&request.security);
    let mut mount_label = None;
    if let Some((label, files)) = security::selinux(&request.security) {
        process.selinux_label = Some(label);
        mount_label = Some(files);
    }
    let own_network = *input.network != NetworkNamespace::Host;
    let mut sysctl = request.sysctls.clone();
    if own_network && matches!(input.network, NetworkNamespace::New | NetworkNamespace::Join(_)) {
        // As docker does: low ports and ping need no capability.
        sysctl
            .entry("net.ipv4.ip_unprivileged_port_start".to_owned())
            .or_insert_with(|| "0".to_owned());
        if !input.rootless {
            sysctl
                .entry("net.ipv4.ping_group_range".to_owned())
                .or_insert_with(|| "0 2147483647".to_owned());
        }
    }
    let mut limits = resources(&request.resources);
    limits.devices = devices.rules;
    // A user without privileges has no cgroup to make others in, unless it was
    // given one. Then what can't be limited must not be asked for.
    let parent = match request.cgroup_parent.as_deref() {
        None if input.rootless => None,
        None => Some(CGROUP_PARENT),
        own => own,
    };
    if parent.is_none() {
        limits.devices.clear();
    }
    let denied = Denied {
        new_sys: input.rootless && !own_network,
        tty_group: input.rootless && !maps_group(TTY_GROUP),
    };
    let mut mounts = mounts(request, &document.mounts, input.files, denied);
    mounts.extend(devices.binds);
    let uts_shared = request.namespaces.uts == NamespaceMode::Host;
    Ok(Spec {
        oci_version: VERSION.to_owned(),
        process: Some(process),
        root: Some(Root { path: "rootfs".to_owned(), readonly: request.read_only }),
        hostname: (!uts_shared).then(|| input.hostname.to_owned()),
        domainname: request.domainname.clone().filter(|_| !uts_shared),
        mounts,
        annotations: request.annotations.clone(),
        linux: Some(Linux {
            sysctl,
            resources: Some(limits).filter(|limits| *limits != Resources::default()),
            cgroups_path: parent.map(|parent| {
                Path::new(parent).join(&input.record.id).to_string_lossy().into_owned()
            }),
            namespaces: namespaces(
                &request.namespaces,
                input.network,
                input.namespaces,
                input.cgroup_v2,
            ),
            devices: devices.nodes,
            seccomp: security::seccomp(&request.security, &bounding)?,
            masked_paths,
            readonly_paths,
            mount_label,
            ..Linux::default()
        }),
        ..Spec::default()
    })
}
