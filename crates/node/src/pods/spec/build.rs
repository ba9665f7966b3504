//! The whole config.json.

use std::path::Path;

use caisson_image::manifest::ImageConfig;
use caisson_rootpath::Root as RootDir;
use caisson_runtime_spec::{
    Capabilities, Linux, Mount, Namespace, NamespaceKind, Process, Root, Spec, User, VERSION,
};
use caisson_shim::NamespaceKind as Held;

use super::image_volume::Volume;
use super::mounts::{Surroundings, mount, mounts};
use super::resources::resources;
use super::{annotations, cdi, cdi_edits, confinement, devices, identity, program};
use crate::oci_spec::set_variable;
use crate::pods::PodError;
use crate::pods::namespaces::Wanted;
use crate::pods::request::{NamespaceChoice, PodContainerRequest, PodRequest};
use crate::pods::view::ContainerUser;

/// Where the built-in init is seen, in its own `/dev`.
const INIT: &str = "/dev/.caisson-init";

/// All that a configuration is made of.
pub(in crate::pods) struct SpecInput<'a> {
    /// The pod's id.
    pub(in crate::pods) pod_id: &'a str,
    /// The pod.
    pub(in crate::pods) pod: &'a PodRequest,
    /// Its directory.
    pub(in crate::pods) pod_dir: &'a Path,
    /// Its host name.
    pub(in crate::pods) hostname: &'a str,
    /// The container.
    pub(in crate::pods) request: &'a PodContainerRequest,
    /// Its image.
    pub(in crate::pods) image: &'a ImageConfig,
    /// Its root file system, to look users up in.
    pub(in crate::pods) root: &'a RootDir,
    /// Its image volumes, one for each mount.
    pub(in crate::pods) volumes: &'a [Option<Volume>],
    /// `linux.cgroupsPath`.
    pub(in crate::pods) cgroup: String,
    /// Whether the host has cgroup v2 only.
    pub(in crate::pods) unified: bool,
}

/// A configuration.
pub(in crate::pods) struct Built {
    pub(in crate::pods) spec: Spec,
    pub(in crate::pods) user: ContainerUser,
}

/// Makes the configuration of a container. `root.path` is `rootfs`, below the
/// bundle.
pub(in crate::pods) fn build(input: &SpecInput<'_>) -> Result<Built, PodError> {
    let request = input.request;
    let security = &request.security;
    let wanted = Wanted::of(input.pod);
    let identity = identity::identity(input.root, &security.run_as, &input.image.config.user)?;
    let program = program::program(request, input.image)?;
    let capabilities = confinement::capabilities(security, identity.uid)?;
    let seccomp = confinement::seccomp(security, &capabilities.bounding)?;
    let (selinux_label, mount_label) = confinement::selinux(security).unzip();
    let devices = devices::devices(request, wanted.user)?;
    let asked = request.resources.clone().unwrap_or_default();
    let mut limits = resources(&asked, input.unified)?;
    limits.devices = devices.rules;
    let around = Surroundings {
        pod_dir: input.pod_dir,
        privileged: security.privileged,
        host_ipc: !wanted.ipc,
        host_network: !wanted.net,
        mapped: wanted.user,
    };
    let mut mounts = mounts(&around, &request.mounts, input.volumes)?;
    mounts.list.extend(devices.binds);
    let mut env = program.env;
    for (name, value) in [("HOSTNAME", input.hostname), ("HOME", identity.home.as_str())] {
        if !env.iter().any(|variable| variable.split('=').next() == Some(name)) {
            set_variable(&mut env, &format!("{name}={value}"));
        }
    }
    let user =
        ContainerUser { uid: identity.uid, gid: identity.gid, groups: identity.groups.clone() };
    let process = Process {
        terminal: request.tty,
        user: User {
            uid: identity.uid,
            gid: identity.gid,
            umask: None,
            additional_gids: identity.groups,
        },
        args: program.args,
        env,
        cwd: program.cwd,
        no_new_privileges: security.no_new_privs,
        apparmor_profile: confinement::apparmor(security)?,
        selinux_label,
        oom_score_adj: Some(oom_score_adj(asked.oom_score_adj)?),
        capabilities: Some(capabilities),
        ..Process::default()
    };
    let private_pids = security.namespaces.pid == NamespaceChoice::Container;
    let own_cgroups = input.unified && !security.privileged;
    let mut spec = Spec {
        oci_version: VERSION.to_owned(),
        process: Some(process),
        root: Some(Root { path: "rootfs".to_owned(), readonly: security.readonly_rootfs }),
        mounts: mounts.list,
        annotations: annotations::of_container(input.pod_id, input.pod, request),
        linux: Some(Linux {
            resources: Some(limits),
            cgroups_path: Some(input.cgroup.clone()),
            namespaces: namespaces(wanted, private_pids, own_cgroups),
            devices: devices.nodes,
            seccomp,
            rootfs_propagation: mounts.propagation,
            masked_paths: hidden(security.privileged, &security.masked_paths),
            readonly_paths: hidden(security.privileged, &security.readonly_paths),
            mount_label,
            ..Linux::default()
        }),
        ..Spec::default()
    };
    for edits in cdi::edits(&cdi::FOLDERS, &cdi::names(request))? {
        cdi_edits::apply(&mut spec, &edits)?;
    }
    Ok(Built { spec, user })
}

fn hidden(privileged: bool, paths: &[String]) -> Vec<String> {
    if privileged { Vec::new() } else { paths.to_vec() }
}

/// New ones, and those of the pod by the descriptors that its supervisor holds.
fn namespaces(wanted: Wanted, private_pids: bool, own_cgroups: bool) -> Vec<Namespace> {
    let mut list = vec![Namespace { kind: NamespaceKind::Mount, path: None }];
    for (kind, has) in [(NamespaceKind::Pid, private_pids), (NamespaceKind::Cgroup, own_cgroups)] {
        if has {
            list.push(Namespace { kind, path: None });
        }
    }
    for (kind, held, has) in [
        (NamespaceKind::Network, Held::Net, wanted.net),
        (NamespaceKind::Ipc, Held::Ipc, wanted.ipc),
        (NamespaceKind::Uts, Held::Uts, wanted.uts),
        (NamespaceKind::User, Held::User, wanted.user),
    ] {
        if has {
            list.push(Namespace { kind, path: Some(held.path().to_owned()) });
        }
    }
    list
}

/// The score that is asked for; without the right to go below our own, that.
fn oom_score_adj(asked: i64) -> Result<i32, PodError> {
    let range = -1000..=1000;
    let score = i32::try_from(asked).ok().filter(|score| range.contains(score));
    let score = score.ok_or_else(|| {
        PodError::invalid("resources.oom_score_adj", format!("{asked} is not in -1000..=1000"))
    })?;
    let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    let own: i32 = text.trim().parse().unwrap_or(0);
    let available = crate::oci_spec::available();
    let may = available.contains(caisson_runtime_spec::Capability::SysResource);
    Ok(if may { score } else { score.max(own) })
}

/// The configuration of the init that holds a shared PID namespace: our own
/// program, which starts nothing. Its root is an empty folder below the bundle.
pub(in crate::pods) fn init_spec(
    pod_id: &str,
    pod: &PodRequest,
    program: &Path,
    cgroup: String,
) -> Result<Spec, PodError> {
    let wanted = Wanted::of(pod);
    let none = Capabilities::default();
    let security = crate::pods::request::ContainerSecurity {
        seccomp: Some(crate::pods::request::ProfileChoice::RuntimeDefault),
        ..Default::default()
    };
    let kernel = ["nosuid", "noexec", "nodev"];
    Ok(Spec {
        oci_version: VERSION.to_owned(),
        process: Some(Process {
            args: vec![INIT.to_owned(), "--pause".to_owned()],
            cwd: "/".to_owned(),
            no_new_privileges: true,
            oom_score_adj: Some(oom_score_adj(-998)?),
            capabilities: Some(none.clone()),
            ..Process::default()
        }),
        root: Some(Root { path: "rootfs".to_owned(), readonly: true }),
        mounts: vec![
            mount("/proc", "proc", "proc", &kernel),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "mode=755", "size=64k"]),
            Mount {
                destination: INIT.to_owned(),
                kind: Some("bind".to_owned()),
                source: Some(program.to_string_lossy().into_owned()),
                options: ["bind", "ro", "nosuid", "nodev"].map(str::to_owned).to_vec(),
                ..Mount::default()
            },
        ],
        linux: Some(Linux {
            cgroups_path: Some(cgroup),
            namespaces: namespaces(wanted, true, false),
            seccomp: confinement::seccomp(&security, &none.bounding)?,
            ..Linux::default()
        }),
        annotations: annotations::of_sandbox(pod_id, pod),
        ..Spec::default()
    })
}
