//! A container of a pod.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ContainerSecurity, IdMapping, PodResources};

/// A container to be made. `(pod, name, attempt)` names the operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodContainerRequest {
    /// Its name in the pod.
    pub name: String,
    /// How often the orchestrator has made it before.
    pub attempt: u32,
    /// What it is made of.
    pub image: ImageChoice,
    /// Replaces the image's entry point, if not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments, if not empty.
    pub args: Vec<String>,
    /// Replaces the image's working directory, if not empty.
    pub working_dir: String,
    /// Variables, over the image's.
    pub envs: Vec<(String, String)>,
    /// Mounts, in the order of mounting.
    pub mounts: Vec<ContainerMount>,
    /// Devices.
    pub devices: Vec<ContainerDevice>,
    /// Names of CDI devices, `vendor.com/class=name`.
    pub cdi_devices: Vec<String>,
    /// Labels, to filter by.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its log, below the pod's log folder; empty: none.
    pub log_path: String,
    /// Whether its standard input stays open.
    pub stdin: bool,
    /// Whether the first client to attach closes it by leaving.
    pub stdin_once: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Limits.
    pub resources: Option<PodResources>,
    /// Confinement.
    pub security: ContainerSecurity,
    /// The signal that asks it to end, such as `SIGUSR1`; `None`: the image's.
    pub stop_signal: Option<String>,
}

/// An image, as a request names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageChoice {
    /// Its id or a reference.
    pub image: String,
    /// What the user wrote, to be shown.
    pub user_specified: String,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// The handler that it was pulled for.
    pub handler: String,
}

/// How mounts travel between host and container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Not at all.
    #[default]
    Private,
    /// The host's come in.
    HostToContainer,
    /// Both ways; needs a privileged container.
    Bidirectional,
}

/// A mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMount {
    /// Where it is in the container.
    pub container_path: String,
    /// What it is on the host; a folder is made if it is missing. Empty for an
    /// image volume.
    pub host_path: String,
    /// No writing.
    pub readonly: bool,
    /// Give it the container's SELinux label.
    pub selinux_relabel: bool,
    /// How mounts below it travel.
    pub propagation: Propagation,
    /// Ids on the file system, and in the container.
    pub uid_mappings: Vec<IdMapping>,
    /// The same for groups.
    pub gid_mappings: Vec<IdMapping>,
    /// No writing to mounts below it either; with `readonly` and `Private` only.
    pub recursive_read_only: bool,
    /// An image whose files are mounted, read-only.
    pub image: Option<ImageChoice>,
    /// Only this folder of the image.
    pub image_sub_path: String,
    /// Further options of mount(8): `noexec`, `nodev`, `nosuid`…
    pub options: Vec<String>,
}

/// A device, or a folder of devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerDevice {
    /// In the container.
    pub container_path: String,
    /// On the host.
    pub host_path: String,
    /// Some of `r`, `w`, `m`.
    pub permissions: String,
}
