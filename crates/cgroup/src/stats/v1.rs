//! Statistics of v1 controllers.

use super::types::{BlkioEntry, BlkioStats, CpuStats, CpusetStats, MemoryEntry, Stats};
use super::{HugetlbStats, huge_page_sizes, rdma};
use crate::cgroup::Cgroup;
use crate::controllers::Controllers;
use crate::dir::{CgroupDir, parse_u64};
use crate::error::FileError;

/// Ticks of `cpuacct.stat` are 1/100 s on every architecture (USER_HZ).
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

pub(super) fn read(cgroup: &Cgroup, stats: &mut Stats) -> Result<(), FileError> {
    if let Some(dir) = cgroup.dir(Controllers::CPUSET) {
        cpuset(dir, &mut stats.cpuset)?;
    }
    if let Some(dir) = cgroup.dir(Controllers::MEMORY) {
        memory(dir, stats)?;
    }
    if let Some(dir) = cgroup.dir(Controllers::CPU) {
        throttling(dir, &mut stats.cpu)?;
    }
    if let Some(dir) = cgroup.dir(Controllers::CPUACCT) {
        cpu(dir, &mut stats.cpu)?;
    }
    if let Some(dir) = cgroup.dir(Controllers::PIDS)
        && let Some(current) = dir.read_u64_if_present("pids.current")?
    {
        stats.pids.current = current;
        stats.pids.limit = match dir.read_u64_if_present("pids.max")? {
            None | Some(u64::MAX) => 0,
            Some(limit) => limit,
        };
    }
    if let Some(dir) = cgroup.dir(Controllers::IO) {
        blkio(dir, &mut stats.blkio)?;
    }
    if let Some(dir) = cgroup.dir(Controllers::HUGETLB) {
        hugetlb(dir, stats)?;
    }
    if let Some(dir) = cgroup.dir(Controllers::RDMA) {
        stats.rdma.limit = rdma(dir, "rdma.max")?;
        stats.rdma.current = rdma(dir, "rdma.current")?;
    }
    Ok(())
}

fn cpuset(dir: CgroupDir<'_>, stats: &mut CpusetStats) -> Result<(), FileError> {
    let list = |file: &str| -> Result<Vec<u16>, FileError> {
        let text = dir.read_if_present(file)?.unwrap_or_default();
        Ok(id_list(text.trim()))
    };
    let number =
        |file: &str| -> Result<u64, FileError> { Ok(dir.read_u64_if_present(file)?.unwrap_or(0)) };
    stats.cpus = list("cpuset.cpus")?;
    stats.mems = list("cpuset.mems")?;
    stats.cpu_exclusive = number("cpuset.cpu_exclusive")?;
    stats.mem_hardwall = number("cpuset.mem_hardwall")?;
    stats.mem_exclusive = number("cpuset.mem_exclusive")?;
    stats.memory_migrate = number("cpuset.memory_migrate")?;
    stats.memory_spread_page = number("cpuset.memory_spread_page")?;
    stats.memory_spread_slab = number("cpuset.memory_spread_slab")?;
    stats.memory_pressure = number("cpuset.memory_pressure")?;
    stats.sched_load_balance = number("cpuset.sched_load_balance")?;
    let level = dir.read_if_present("cpuset.sched_relax_domain_level")?;
    stats.sched_relax_domain_level = level.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    Ok(())
}

/// `0-2,7` as numbers.
fn id_list(text: &str) -> Vec<u16> {
    let mut ids = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) {
            ids.extend(first..=last);
        }
    }
    ids
}

fn memory(dir: CgroupDir<'_>, stats: &mut Stats) -> Result<(), FileError> {
    let Some(text) = dir.read_if_present("memory.stat")? else { return Ok(()) };
    let memory = &mut stats.memory;
    memory.raw = super::v2::flat(&text);
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
    memory.usage = memory_entry(dir, "memory")?;
    memory.swap = memory_entry(dir, "memory.memsw")?;
    memory.kernel = memory_entry(dir, "memory.kmem")?;
    memory.kernel_tcp = memory_entry(dir, "memory.kmem.tcp")?;
    Ok(())
}

/// Swap and kernel accounting are optional in the kernel.
fn memory_entry(dir: CgroupDir<'_>, prefix: &str) -> Result<MemoryEntry, FileError> {
    let read = |file: &str| dir.read_u64_if_present(&format!("{prefix}.{file}"));
    let Some(usage) = read("usage_in_bytes")? else { return Ok(MemoryEntry::default()) };
    Ok(MemoryEntry {
        usage,
        max: read("max_usage_in_bytes")?.unwrap_or(0),
        failcnt: read("failcnt")?.unwrap_or(0),
        limit: read("limit_in_bytes")?.unwrap_or(0),
    })
}

fn throttling(dir: CgroupDir<'_>, stats: &mut CpuStats) -> Result<(), FileError> {
    let text = dir.read_if_present("cpu.stat")?.unwrap_or_default();
    let values = super::v2::flat(&text);
    let value = |key: &str| values.get(key).copied().unwrap_or(0);
    stats.throttling.periods = value("nr_periods");
    stats.throttling.throttled_periods = value("nr_throttled");
    stats.throttling.throttled_time = value("throttled_time");
    Ok(())
}

fn cpu(dir: CgroupDir<'_>, stats: &mut CpuStats) -> Result<(), FileError> {
    let Some(text) = dir.read_if_present("cpuacct.stat")? else { return Ok(()) };
    let values = super::v2::flat(&text);
    let ticks = |key: &str| values.get(key).copied().unwrap_or(0);
    let usage = &mut stats.usage;
    usage.user = ticks("user").saturating_mul(NANOSECONDS_PER_TICK);
    usage.kernel = ticks("system").saturating_mul(NANOSECONDS_PER_TICK);
    usage.total = dir.read_u64_if_present("cpuacct.usage")?.unwrap_or(0);
    let percpu = dir.read_if_present("cpuacct.usage_percpu")?.unwrap_or_default();
    usage.percpu = percpu.split_whitespace().filter_map(parse_u64).collect();
    // cpu user system
    let modes = dir.read_if_present("cpuacct.usage_all")?.unwrap_or_default();
    for line in modes.lines().skip(1) {
        let mut fields = line.split(' ').skip(1).filter_map(parse_u64);
        if let (Some(user), Some(kernel)) = (fields.next(), fields.next()) {
            usage.percpu_user.push(user);
            usage.percpu_kernel.push(kernel);
        }
    }
    Ok(())
}

/// BFQ with debugging, BFQ, CFQ, and the throttling policy keep tables of their
/// own; the first that has entries counts.
fn blkio(dir: CgroupDir<'_>, stats: &mut BlkioStats) -> Result<(), FileError> {
    for prefix in ["blkio.bfq.", "blkio."] {
        let table = |name: &str| table(dir, &format!("{prefix}{name}"));
        stats.sectors_recursive = table("sectors_recursive")?;
        if !stats.sectors_recursive.is_empty() {
            stats.io_service_time_recursive = table("io_service_time_recursive")?;
            stats.io_wait_time_recursive = table("io_wait_time_recursive")?;
            stats.io_merged_recursive = table("io_merged_recursive")?;
            stats.io_queued_recursive = table("io_queued_recursive")?;
            stats.io_time_recursive = table("time_recursive")?;
        }
        stats.io_serviced_recursive = table("io_serviced_recursive")?;
        if !stats.io_serviced_recursive.is_empty() {
            stats.io_service_bytes_recursive = table("io_service_bytes_recursive")?;
            return Ok(());
        }
    }
    for suffix in ["_recursive", ""] {
        let table = |name: &str| table(dir, &format!("blkio.throttle.{name}{suffix}"));
        stats.io_serviced_recursive = table("io_serviced")?;
        if !stats.io_serviced_recursive.is_empty() {
            stats.io_service_bytes_recursive = table("io_service_bytes")?;
            return Ok(());
        }
    }
    Ok(())
}

/// `8:0 Read 1282048`, or `8:0 6792`; the `Total` line is left out.
fn table(dir: CgroupDir<'_>, file: &str) -> Result<Vec<BlkioEntry>, FileError> {
    let text = dir.read_if_present(file)?.unwrap_or_default();
    let entry = |line: &str| {
        let mut fields = line.split([' ', ':']);
        let major = fields.next()?.parse().ok()?;
        let minor = fields.next()?.parse().ok()?;
        let third = fields.next()?;
        let (op, value) = match fields.next() {
            Some(value) => (third, value),
            None => ("", third),
        };
        Some(BlkioEntry { major, minor, op: op.to_owned(), value: value.parse().ok()? })
    };
    Ok(text.lines().filter_map(entry).collect())
}

fn hugetlb(dir: CgroupDir<'_>, stats: &mut Stats) -> Result<(), FileError> {
    for size in huge_page_sizes() {
        let read = |rsvd: &str, file: &str| {
            dir.read_u64_if_present(&format!("hugetlb.{size}{rsvd}.{file}"))
        };
        let rsvd = if read(".rsvd", "usage_in_bytes")?.is_some() { ".rsvd" } else { "" };
        let Some(usage) = read(rsvd, "usage_in_bytes")? else { continue };
        let entry = HugetlbStats {
            usage,
            max: read(rsvd, "max_usage_in_bytes")?.unwrap_or(0),
            failcnt: read(rsvd, "failcnt")?.unwrap_or(0),
        };
        stats.hugetlb.insert(size, entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_ids() {
        assert_eq!(id_list("0-2,7"), [0, 1, 2, 7]);
        assert!(id_list("").is_empty());
        assert_eq!(id_list("x,3"), [3]);
    }
}
