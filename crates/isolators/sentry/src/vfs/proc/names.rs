//! Names in procfs that do not change.

use crate::task::user_namespace::FIRST;

use super::super::namespace_file::FIRST_PIDS;

/// What every process has, and most of it every thread.
pub(super) const OF_PROCESS: [&str; 37] = [
    "auxv",
    "cgroup",
    "cmdline",
    "comm",
    "coredump_filter",
    "cpuset",
    "cwd",
    "environ",
    "exe",
    "fd",
    "fdinfo",
    "gid_map",
    "io",
    "limits",
    "maps",
    "mem",
    "mountinfo",
    "mounts",
    "mountstats",
    "net",
    "ns",
    "oom_adj",
    "oom_score",
    "oom_score_adj",
    "pagemap",
    "personality",
    "root",
    "setgroups",
    "smaps",
    "smaps_rollup",
    "stat",
    "statm",
    "status",
    "task",
    "timerslack_ns",
    "uid_map",
    "wchan",
];
/// What only a process has.
pub(super) const NOT_OF_THREAD: [&str; 3] = ["mountstats", "task", "timerslack_ns"];
/// Kinds of namespaces, each with the number of the first one.
pub(super) const NAMESPACES: [(&str, u64); 10] = [
    ("cgroup", 4_026_531_835),
    ("ipc", 4_026_531_839),
    ("mnt", 4_026_531_840),
    ("net", 4_026_531_992),
    ("pid", FIRST_PIDS),
    ("pid_for_children", FIRST_PIDS),
    ("time", 4_026_531_834),
    ("time_for_children", 4_026_531_834),
    ("user", FIRST),
    ("uts", 4_026_531_838),
];

/// The one of `names` that is this.
pub(super) fn known<const N: usize>(names: [&'static str; N], name: &[u8]) -> Option<&'static str> {
    names.into_iter().find(|n| n.as_bytes() == name)
}
