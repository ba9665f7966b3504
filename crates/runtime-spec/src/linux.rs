//! `linux`: namespaces, devices and the rest that no other file has.

use crate::lenient::{empty_as_none, is_default, null_as_default};
use crate::mounts::IdMapping;
use crate::names::closed_set;
use crate::resources::Resources;
use crate::seccomp::Seccomp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The Linux section (config-linux.md).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// User ids of a new user namespace.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids of a new user namespace.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
    /// Kernel parameters, by name with dots or slashes.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub sysctl: BTreeMap<String, String>,
    /// Limits of the cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Path of the cgroup, or `slice:prefix:name` for systemd.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub cgroups_path: Option<String>,
    /// Namespaces to create or join; those not listed are the runtime's.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Namespace>,
    /// Device nodes beyond the default ones.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Network devices to move into the container, by name on the host.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub net_devices: BTreeMap<String, NetDevice>,
    /// System call filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// Propagation of the root mount.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub rootfs_propagation: Option<Propagation>,
    /// Paths inside the container that cannot be read.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub masked_paths: Vec<String>,
    /// Paths inside the container that cannot be written.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub readonly_paths: Vec<String>,
    /// SELinux context of the mounts.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub mount_label: Option<String>,
    /// Intel Resource Director Technology.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdt>,
    /// NUMA memory policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicy>,
    /// Execution domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    /// Clock offsets of a new time namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_offsets: Option<TimeOffsets>,
}

impl Linux {
    /// The first namespace of that kind, if listed.
    #[must_use]
    pub fn namespace(&self, kind: NamespaceKind) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| namespace.kind == kind)
    }
}

/// A namespace to create, or to join if it has a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Namespace {
    /// Which namespace.
    #[serde(rename = "type")]
    pub kind: NamespaceKind,
    /// File of the namespace to join, absolute in the runtime's mount namespace.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

closed_set! {
    /// Kinds of namespaces, see `namespaces(7)`.
    pub enum NamespaceKind {
        Pid = "pid",
        Network = "network",
        Mount = "mount",
        Ipc = "ipc",
        Uts = "uts",
        User = "user",
        Cgroup = "cgroup",
        Time = "time",
    }
}

impl NamespaceKind {
    /// The `CLONE_NEW*` bit of `linux/sched.h`.
    #[must_use]
    pub const fn clone_flag(self) -> u32 {
        match self {
            Self::Time => 0x0000_0080,
            Self::Mount => 0x0002_0000,
            Self::Cgroup => 0x0200_0000,
            Self::Uts => 0x0400_0000,
            Self::Ipc => 0x0800_0000,
            Self::User => 0x1000_0000,
            Self::Pid => 0x2000_0000,
            Self::Network => 0x4000_0000,
        }
    }

    /// The file's name in `/proc/<pid>/ns`.
    #[must_use]
    pub const fn proc_name(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            Self::Network => "net",
            other => other.as_str(),
        }
    }
}

/// A device node (config-linux.md, Devices).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Path inside the container; empty if absent.
    #[serde(default, deserialize_with = "null_as_default")]
    pub path: String,
    /// Kind of node.
    #[serde(rename = "type")]
    pub kind: DeviceKind,
    /// Major number; of no meaning for a FIFO.
    #[serde(default, deserialize_with = "null_as_default")]
    pub major: i64,
    /// Minor number; of no meaning for a FIFO.
    #[serde(default, deserialize_with = "null_as_default")]
    pub minor: i64,
    /// Permissions; clients may leave file type bits in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<u32>,
    /// Owner inside the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group inside the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

impl Device {
    /// Permission bits without the file type, 0666 where the mode is absent.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        self.file_mode.map_or(0o666, |mode| mode & 0o7777)
    }
}

closed_set! {
    /// Kinds of device nodes, see `mknod(1)`.
    pub enum DeviceKind {
        Char = "c",
        UnbufferedChar = "u",
        Block = "b",
        Fifo = "p",
    }
}

/// A network device's place inside the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NetDevice {
    /// New name; the old one if absent.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

closed_set! {
    /// Mount propagation, see `mount_namespaces(7)`; `r…` includes submounts.
    pub enum Propagation {
        Private = "private",
        RPrivate = "rprivate",
        Slave = "slave",
        RSlave = "rslave",
        Shared = "shared",
        RShared = "rshared",
        Unbindable = "unbindable",
        RUnbindable = "runbindable",
    }
}

impl Propagation {
    /// The `MS_*` bit of `linux/mount.h`, as in `struct mount_attr.propagation`.
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::Unbindable | Self::RUnbindable => 1 << 17,
            Self::Private | Self::RPrivate => 1 << 18,
            Self::Slave | Self::RSlave => 1 << 19,
            Self::Shared | Self::RShared => 1 << 20,
        }
    }

    /// Whether submounts change too (`MS_REC`, `AT_RECURSIVE`).
    #[must_use]
    pub const fn is_recursive(self) -> bool {
        matches!(self, Self::RPrivate | Self::RSlave | Self::RShared | Self::RUnbindable)
    }
}

/// Intel RDT (config-linux.md, IntelRdt).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IntelRdt {
    /// Class of service; the container's id if absent.
    #[serde(
        rename = "closID",
        default,
        deserialize_with = "empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub clos_id: Option<String>,
    /// Lines for the schemata file.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub schemata: Vec<String>,
    /// L3 cache line, superseded by `schemata`.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema: Option<String>,
    /// Memory bandwidth line, superseded by `schemata`.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema: Option<String>,
    /// Whether the container gets a monitoring group of its own.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub enable_monitoring: bool,
}

/// Arguments of `set_mempolicy(2)`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct MemoryPolicy {
    /// Policy.
    pub mode: MemoryPolicyMode,
    /// Nodes as comma-separated ranges.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub nodes: Option<String>,
    /// Mode flags.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<MemoryPolicyFlag>,
}

closed_set! {
    /// Memory policies of `linux/mempolicy.h`.
    pub enum MemoryPolicyMode {
        Default = "MPOL_DEFAULT",
        Bind = "MPOL_BIND",
        Interleave = "MPOL_INTERLEAVE",
        WeightedInterleave = "MPOL_WEIGHTED_INTERLEAVE",
        Preferred = "MPOL_PREFERRED",
        PreferredMany = "MPOL_PREFERRED_MANY",
        Local = "MPOL_LOCAL",
    }
}

impl MemoryPolicyMode {
    /// The mode's number in `linux/mempolicy.h`.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Default => 0,
            Self::Preferred => 1,
            Self::Bind => 2,
            Self::Interleave => 3,
            Self::Local => 4,
            Self::PreferredMany => 5,
            Self::WeightedInterleave => 6,
        }
    }
}

closed_set! {
    /// Mode flags of `linux/mempolicy.h`.
    pub enum MemoryPolicyFlag {
        NumaBalancing = "MPOL_F_NUMA_BALANCING",
        RelativeNodes = "MPOL_F_RELATIVE_NODES",
        StaticNodes = "MPOL_F_STATIC_NODES",
    }
}

impl MemoryPolicyFlag {
    /// The flag's bit in `linux/mempolicy.h`.
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::NumaBalancing => 1 << 13,
            Self::RelativeNodes => 1 << 14,
            Self::StaticNodes => 1 << 15,
        }
    }
}

/// Argument of `personality(2)`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Personality {
    /// Execution domain.
    pub domain: PersonalityDomain,
    /// The specification defines none: ignored with a warning.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

closed_set! {
    /// Execution domains.
    pub enum PersonalityDomain {
        Linux = "LINUX",
        Linux32 = "LINUX32",
    }
}

impl PersonalityDomain {
    /// The domain's number in `linux/personality.h`.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Linux => 0,
            Self::Linux32 => 8,
        }
    }
}

/// Clock offsets, see `time_namespaces(7)`; other clocks are an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TimeOffsets {
    /// `CLOCK_BOOTTIME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boottime: Option<TimeOffset>,
    /// `CLOCK_MONOTONIC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monotonic: Option<TimeOffset>,
}

/// One clock's offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct TimeOffset {
    /// Seconds, may be negative.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub secs: i64,
    /// Nanoseconds, below 10⁹.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub nanosecs: u32,
}
