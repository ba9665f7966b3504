//! `process`: the program, its identity and its limits.

use crate::capabilities::Capabilities;
use crate::lenient::{empty_as_none, is_default, null_as_default};
use crate::names::closed_set;
use crate::scheduling::{CpuAffinity, IoPriority, Scheduler};
use serde::{Deserialize, Serialize};

/// The container's process, or one for `exec` (config.md, Process).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether a pseudo-terminal is attached.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub terminal: bool,
    /// The terminal's size in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// User and groups inside the container.
    #[serde(default, deserialize_with = "null_as_default")]
    pub user: User,
    /// `argv`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment, `NAME=value`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Working directory, absolute inside the container; empty if absent.
    #[serde(default, deserialize_with = "null_as_default")]
    pub cwd: String,
    /// Capability sets; none at all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Resource limits, see `setrlimit(2)`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<Rlimit>,
    /// Whether `PR_SET_NO_NEW_PRIVS` is set.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
    /// AppArmor profile to change to on exec.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub apparmor_profile: Option<String>,
    /// Value for `/proc/self/oom_score_adj`, −1000..=1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// CPU scheduling, see `sched_setattr(2)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// SELinux context of the process.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub selinux_label: Option<String>,
    /// I/O priority, see `ioprio_set(2)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// CPU affinity of processes started by `exec`.
    #[serde(rename = "execCPUAffinity", default, skip_serializing_if = "Option::is_none")]
    pub exec_cpu_affinity: Option<CpuAffinity>,
}

/// Size of a terminal in characters; the kernel's `struct winsize` has 16 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// Ids as seen inside the container's user namespace (config.md, POSIX-platform User).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User id.
    #[serde(default, deserialize_with = "null_as_default")]
    pub uid: u32,
    /// Primary group id.
    #[serde(default, deserialize_with = "null_as_default")]
    pub gid: u32,
    /// `umask(2)` of the process; the runtime's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}

/// One resource limit; `u64::MAX` is `RLIM_INFINITY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rlimit {
    /// Which resource.
    #[serde(rename = "type")]
    pub kind: RlimitKind,
    /// Ceiling of the soft limit.
    pub hard: u64,
    /// The limit that is enforced.
    pub soft: u64,
}

closed_set! {
    /// Resources of `setrlimit(2)`.
    pub enum RlimitKind {
        As = "RLIMIT_AS",
        Core = "RLIMIT_CORE",
        Cpu = "RLIMIT_CPU",
        Data = "RLIMIT_DATA",
        Fsize = "RLIMIT_FSIZE",
        Locks = "RLIMIT_LOCKS",
        Memlock = "RLIMIT_MEMLOCK",
        Msgqueue = "RLIMIT_MSGQUEUE",
        Nice = "RLIMIT_NICE",
        Nofile = "RLIMIT_NOFILE",
        Nproc = "RLIMIT_NPROC",
        Rss = "RLIMIT_RSS",
        Rtprio = "RLIMIT_RTPRIO",
        Rttime = "RLIMIT_RTTIME",
        Sigpending = "RLIMIT_SIGPENDING",
        Stack = "RLIMIT_STACK",
    }
}

impl RlimitKind {
    /// The resource's number in `asm-generic/resource.h` (all architectures
    /// except alpha, mips and sparc).
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Cpu => 0,
            Self::Fsize => 1,
            Self::Data => 2,
            Self::Stack => 3,
            Self::Core => 4,
            Self::Rss => 5,
            Self::Nproc => 6,
            Self::Nofile => 7,
            Self::Memlock => 8,
            Self::As => 9,
            Self::Locks => 10,
            Self::Sigpending => 11,
            Self::Msgqueue => 12,
            Self::Nice => 13,
            Self::Rtprio => 14,
            Self::Rttime => 15,
        }
    }
}
