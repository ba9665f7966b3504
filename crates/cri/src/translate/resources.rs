//! Limits.

use caisson_node::pods::request::{HugepageLimit, PodResources};

use crate::v1;

/// The same limits.
pub(crate) fn resources(from: v1::LinuxContainerResources) -> PodResources {
    let hugepage =
        |limit: v1::HugepageLimit| HugepageLimit { page_size: limit.page_size, limit: limit.limit };
    PodResources {
        cpu_period: from.cpu_period,
        cpu_quota: from.cpu_quota,
        cpu_shares: from.cpu_shares,
        memory_limit: from.memory_limit_in_bytes,
        oom_score_adj: from.oom_score_adj,
        cpuset_cpus: from.cpuset_cpus,
        cpuset_mems: from.cpuset_mems,
        hugepages: from.hugepage_limits.into_iter().map(hugepage).collect(),
        unified: from.unified,
        memory_swap_limit: from.memory_swap_limit_in_bytes,
    }
}
