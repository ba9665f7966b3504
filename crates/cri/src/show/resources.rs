//! Limits.

use caisson_node::pods::request::PodResources;

use crate::v1;

/// The same limits.
pub(crate) fn resources(from: &PodResources) -> v1::LinuxContainerResources {
    let hugepages = from
        .hugepages
        .iter()
        .map(|limit| v1::HugepageLimit { page_size: limit.page_size.clone(), limit: limit.limit });
    v1::LinuxContainerResources {
        cpu_period: from.cpu_period,
        cpu_quota: from.cpu_quota,
        cpu_shares: from.cpu_shares,
        memory_limit_in_bytes: from.memory_limit,
        oom_score_adj: from.oom_score_adj,
        cpuset_cpus: from.cpuset_cpus.clone(),
        cpuset_mems: from.cpuset_mems.clone(),
        hugepage_limits: hugepages.collect(),
        unified: from.unified.clone(),
        memory_swap_limit_in_bytes: from.memory_swap_limit,
    }
}

#[cfg(test)]
mod tests {
    use crate::v1;

    #[test]
    fn limits_come_back_as_they_went() {
        let limits = v1::LinuxContainerResources {
            cpu_period: 1,
            cpu_quota: -1,
            cpu_shares: 3,
            memory_limit_in_bytes: i64::MAX,
            oom_score_adj: -5,
            cpuset_cpus: "0".to_owned(),
            cpuset_mems: "1".to_owned(),
            hugepage_limits: vec![v1::HugepageLimit { page_size: "2MB".to_owned(), limit: 9 }],
            unified: [("a".to_owned(), "b".to_owned())].into(),
            memory_swap_limit_in_bytes: 10,
        };
        assert_eq!(super::resources(&crate::translate::resources(limits.clone())), limits);
    }
}
