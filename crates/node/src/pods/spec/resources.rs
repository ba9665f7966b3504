//! Limits.

use caisson_runtime_spec::{Cpu, HugepageLimit, Memory, Resources};

use crate::pods::PodError;
use crate::pods::request::PodResources;

/// The limits for the cgroup. `unified` tells whether the host has cgroup v2
/// only: files of v2 can't be asked for elsewhere.
pub(in crate::pods) fn resources(
    asked: &PodResources,
    unified: bool,
) -> Result<Resources, PodError> {
    let positive = |field: &str, value: i64| match u64::try_from(value) {
        Ok(0) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(_) => {
            Err(PodError::invalid(format!("resources.{field}"), format!("{value} is negative")))
        }
    };
    let set = |value: i64| Some(value).filter(|value| *value != 0);
    if !asked.unified.is_empty() && !unified {
        let what = "resources.unified on a host without cgroup v2";
        return Err(PodError::Unsupported(what.to_owned()));
    }
    let swap = set(asked.memory_swap_limit);
    let memory = Memory {
        limit: set(asked.memory_limit),
        // Without swap accounting nothing can be said about it.
        swap: swap.filter(|_| has_swap_accounting(unified)),
        ..Memory::default()
    };
    let cpu = Cpu {
        shares: positive("cpu_shares", asked.cpu_shares)?,
        quota: set(asked.cpu_quota),
        period: positive("cpu_period", asked.cpu_period)?,
        cpus: Some(asked.cpuset_cpus.clone()).filter(|list| !list.is_empty()),
        mems: Some(asked.cpuset_mems.clone()).filter(|list| !list.is_empty()),
        ..Cpu::default()
    };
    let sizes = hugepage_sizes();
    Ok(Resources {
        memory: Some(memory).filter(|memory| *memory != Memory::default()),
        cpu: Some(cpu).filter(|cpu| *cpu != Cpu::default()),
        hugepage_limits: asked
            .hugepages
            .iter()
            // A kubelet sends 0 for every size. Without such pages that holds anyway;
            // without the controller nothing could be limited, or asked for.
            .filter(|limit| limit.limit > 0 || sizes.contains(&limit.page_size))
            .map(|limit| HugepageLimit { page_size: limit.page_size.clone(), limit: limit.limit })
            .collect(),
        unified: asked.unified.clone(),
        ..Resources::default()
    })
}

fn has_swap_accounting(unified: bool) -> bool {
    unified || std::path::Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists()
}

/// Whether some hierarchy that containers are in limits huge pages.
fn limits_hugepages() -> bool {
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    v2.split_whitespace().any(|name| name == "hugetlb")
        || std::path::Path::new("/sys/fs/cgroup/hugetlb").exists()
}

/// Sizes of huge pages that cgroups know here: `2MB`…
fn hugepage_sizes() -> Vec<String> {
    if !limits_hugepages() {
        return Vec::new();
    }
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            Some(match kib {
                kib if kib >= 1 << 20 => format!("{}GB", kib >> 20),
                kib if kib >= 1 << 10 => format!("{}MB", kib >> 10),
                kib => format!("{kib}KB"),
            })
        })
        .collect()
}

/// `old` with what `new` sets.
pub(in crate::pods) fn merge(old: PodResources, new: PodResources) -> PodResources {
    let number = |old: i64, new: i64| if new == 0 { old } else { new };
    let text = |old: String, new: String| if new.is_empty() { old } else { new };
    let mut unified = old.unified;
    unified.extend(new.unified);
    PodResources {
        cpu_period: number(old.cpu_period, new.cpu_period),
        cpu_quota: number(old.cpu_quota, new.cpu_quota),
        cpu_shares: number(old.cpu_shares, new.cpu_shares),
        memory_limit: number(old.memory_limit, new.memory_limit),
        oom_score_adj: number(old.oom_score_adj, new.oom_score_adj),
        cpuset_cpus: text(old.cpuset_cpus, new.cpuset_cpus),
        cpuset_mems: text(old.cpuset_mems, new.cpuset_mems),
        hugepages: match new.hugepages.is_empty() {
            true => old.hugepages,
            false => new.hugepages,
        },
        unified,
        memory_swap_limit: number(old.memory_swap_limit, new.memory_swap_limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_is_nothing_set_and_updates_keep_the_rest() {
        assert_eq!(resources(&PodResources::default(), true).unwrap(), Resources::default());
        let old =
            PodResources { memory_limit: 1 << 26, cpu_shares: 512, ..PodResources::default() };
        let made = resources(&old, true).unwrap();
        assert_eq!(made.memory.unwrap().limit, Some(1 << 26));
        assert_eq!(made.cpu.unwrap().shares, Some(512));
        let new = merge(old, PodResources { cpu_shares: 2, ..PodResources::default() });
        assert_eq!((new.cpu_shares, new.memory_limit), (2, 1 << 26));
        let mut bad = PodResources { cpu_period: -1, ..PodResources::default() };
        assert!(resources(&bad, true).is_err());
        bad.cpu_period = 0;
        bad.unified.insert("memory.high".to_owned(), "1".to_owned());
        assert!(resources(&bad, false).is_err() && resources(&bad, true).is_ok());
    }
}
