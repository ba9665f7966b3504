//! What a user asks of a container: plain data, kept in the database as it is.
//!
//! Only a request names paths, devices and handlers of the host. What an image
//! says is another type (`caisson_image`'s configuration) and is merged in
//! `oci_spec`, which never lets it reach those.

mod device;
mod env_file;
mod limits;
mod mount;
mod namespaces;
mod restart;
mod security;
mod size;

pub use device::{DeviceRequest, parse_device_rule};
pub use env_file::{EnvFileError, read_env_file};
pub use limits::{ResourceRequest, parse_cpus, parse_ulimit};
pub use mount::{
    MountRequest, MountSource, is_volume_name, parse_mount, parse_tmpfs, parse_volume,
};
pub use namespaces::{NamespaceMode, NamespaceRequest};
pub use restart::RestartPolicy;
pub use security::{SeccompChoice, SecurityRequest};
pub use size::{parse_duration, parse_size};

use std::collections::BTreeMap;

use caisson_runtime_spec::Rlimit;
use serde::{Deserialize, Serialize};

/// Why an option's text means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {reason}")]
pub struct OptionError {
    /// What was given.
    pub text: String,
    /// What would do.
    pub reason: String,
}

impl OptionError {
    pub(crate) fn new(text: &str, reason: impl Into<String>) -> Self {
        Self { text: text.chars().take(200).collect(), reason: reason.into() }
    }
}

/// A new container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerRequest {
    /// Its name; a made-up one if absent.
    pub name: Option<String>,
    /// The image, as the user wrote it.
    pub image: String,
    /// Arguments, in place of the image's.
    pub command: Vec<String>,
    /// The program, in place of the image's; an empty list removes that.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value`, over the image's.
    pub env: Vec<String>,
    /// Working directory, in place of the image's.
    pub working_dir: Option<String>,
    /// `user[:group]`, names or numbers, in place of the image's.
    pub user: Option<String>,
    /// Supplementary groups, names or numbers.
    pub group_add: Vec<String>,
    /// Host name; the start of the id if absent.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// A pseudo-terminal.
    pub tty: bool,
    /// Standard input stays open.
    pub open_stdin: bool,
    /// Whoever created it also shows its output (`docker run` without `-d`).
    pub attached: bool,
    /// Labels over the image's.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the OCI configuration.
    pub annotations: BTreeMap<String, String>,
    /// Signal that asks it to end, in place of the image's.
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL; 10 if absent.
    pub stop_timeout: Option<u32>,
    /// Removed when it has ended.
    pub auto_remove: bool,
    /// Started again when it has ended.
    pub restart: RestartPolicy,
    /// Handler; the node's default if absent.
    pub handler: Option<String>,
    /// A small init is the first process.
    pub init: bool,
    /// The platform that the image was chosen for.
    pub platform: Option<String>,
    /// Networks, names and ports.
    pub network: NetworkRequest,
    /// Mounts, volumes and temporary file systems.
    pub mounts: Vec<MountRequest>,
    /// Containers whose volumes it takes over (`id[:ro]`).
    pub volumes_from: Vec<String>,
    /// Bytes of `/dev/shm`; 64 MiB if absent.
    pub shm_size: Option<u64>,
    /// The root file system can't be written.
    pub read_only: bool,
    /// Privileges.
    pub security: SecurityRequest,
    /// Devices of the host.
    pub devices: Vec<DeviceRequest>,
    /// Further cgroup rules for devices, as in `c 1:3 rwm`.
    pub device_cgroup_rules: Vec<String>,
    /// Limits of the process.
    pub ulimits: Vec<Rlimit>,
    /// Kernel parameters of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Limits of the cgroup.
    pub resources: ResourceRequest,
    /// The cgroup that the container's is made below.
    pub cgroup_parent: Option<String>,
    /// Namespaces.
    pub namespaces: NamespaceRequest,
    /// The log.
    pub log: LogRequest,
}

/// Networks, names and ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkRequest {
    /// `bridge`, `host`, `none`, `container:ID` or a CNI network; the node's
    /// default if absent.
    pub mode: Option<String>,
    /// Published ports, in docker's `-p` syntax.
    pub publish: Vec<String>,
    /// Publish every port that the image exposes.
    pub publish_all: bool,
    /// Ports that it says it serves (`80/tcp`), beside the image's.
    pub expose: Vec<String>,
    /// Name servers, in place of the host's.
    pub dns: Vec<String>,
    /// Search domains, in place of the host's.
    pub dns_search: Vec<String>,
    /// Resolver options, in place of the host's.
    pub dns_options: Vec<String>,
    /// `name:address` for the hosts file.
    pub extra_hosts: Vec<String>,
    /// Further names on its network.
    pub aliases: Vec<String>,
    /// A fixed hardware address.
    pub mac_address: Option<String>,
    /// A fixed address.
    pub ip: Option<String>,
}

/// The log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogRequest {
    /// `json-file`, `k8s-file` or `none`; the node's default if absent.
    pub driver: Option<String>,
    /// Bytes after which it is rotated.
    pub max_size: Option<u64>,
    /// How many rotated files are kept.
    pub max_files: Option<u32>,
}
