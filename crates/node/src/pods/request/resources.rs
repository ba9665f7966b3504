//! Limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Limits of a container or pod. 0 and empty mean "not set".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodResources {
    /// Microseconds of a CPU period.
    pub cpu_period: i64,
    /// Microseconds of CPU in a period; -1: no limit.
    pub cpu_quota: i64,
    /// Relative weight, as cgroup v1 has it.
    pub cpu_shares: i64,
    /// Bytes.
    pub memory_limit: i64,
    /// -1000 to 1000.
    pub oom_score_adj: i64,
    /// CPUs that may be used, `0-3,5`.
    pub cpuset_cpus: String,
    /// Memory nodes that may be used.
    pub cpuset_mems: String,
    /// Limits of huge pages.
    pub hugepages: Vec<HugepageLimit>,
    /// Files of cgroup v2, as they are written.
    pub unified: BTreeMap<String, String>,
    /// Bytes of memory and swap together; -1: no limit.
    pub memory_swap_limit: i64,
}

/// A limit of huge pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HugepageLimit {
    /// As the kernel names it, `2MB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}
