//! Which metrics there are, under the names that cAdvisor gave them.

use caisson_cgroup::stats::{PsiData, PsiStats};

use super::facts::Facts;
use crate::pods::view::MetricKind::{self, Counter, Gauge};

/// A metric of containers.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: MetricKind,
    /// `None` where the kernel does not tell.
    pub(super) value: fn(&Facts) -> Option<u64>,
}

const fn known(
    name: &'static str,
    help: &'static str,
    kind: MetricKind,
    value: fn(&Facts) -> Option<u64>,
) -> Known {
    Known { name, help, kind, value }
}

const SECOND: u64 = 1_000_000_000;

/// Limits above this stand for none.
const NO_LIMIT: u64 = 1 << 60;

/// A line of `memory.stat`, of v1 or v2.
fn raw(facts: &Facts, v1: &str, v2: &str) -> Option<u64> {
    let table = &facts.stats.memory.raw;
    Some(table.get(v1).or_else(|| table.get(v2)).copied().unwrap_or(0))
}

fn limit(value: u64) -> Option<u64> {
    Some(if value < NO_LIMIT { value } else { 0 })
}

fn blkio(table: &[caisson_cgroup::stats::BlkioEntry], op: &str) -> Option<u64> {
    let fits = |entry: &&caisson_cgroup::stats::BlkioEntry| entry.op.eq_ignore_ascii_case(op);
    Some(table.iter().filter(fits).map(|entry| entry.value).sum())
}

/// Seconds; the kernel counts microseconds.
fn pressure(stats: Option<&PsiStats>, which: fn(&PsiStats) -> &PsiData) -> Option<u64> {
    stats.map(|stats| which(stats).total / 1_000_000)
}

/// All of them.
pub(super) static KNOWN: [Known; 47] = [
    known("container_blkio_device_usage_total", "Bytes read and written", Counter, |f| {
        let table = &f.stats.blkio.io_service_bytes_recursive;
        Some(blkio(table, "read")? + blkio(table, "write")?)
    }),
    known("container_cpu_cfs_periods_total", "Periods of the quota", Counter, |f| {
        Some(f.stats.cpu.throttling.periods)
    }),
    known(
        "container_cpu_cfs_throttled_periods_total",
        "Periods in which the quota was used up",
        Counter,
        |f| Some(f.stats.cpu.throttling.throttled_periods),
    ),
    known(
        "container_cpu_cfs_throttled_seconds_total",
        "Time waited for the quota, seconds",
        Counter,
        |f| Some(f.stats.cpu.throttling.throttled_time / SECOND),
    ),
    known("container_cpu_system_seconds_total", "Time in the kernel, seconds", Counter, |f| {
        Some(f.stats.cpu.usage.kernel / SECOND)
    }),
    known("container_cpu_usage_seconds_total", "Processor time, seconds", Counter, |f| {
        Some(f.stats.cpu.usage.total / SECOND)
    }),
    known("container_cpu_user_seconds_total", "Time in user mode, seconds", Counter, |f| {
        Some(f.stats.cpu.usage.user / SECOND)
    }),
    known("container_file_descriptors", "Open descriptors", Gauge, |f| Some(f.descriptors)),
    known("container_fs_inodes_free", "Free inodes of its file system", Gauge, |f| {
        Some(f.file_system.2)
    }),
    known("container_fs_inodes_total", "Inodes of its file system", Gauge, |f| {
        Some(f.file_system.1)
    }),
    known("container_fs_limit_bytes", "Size of its file system, bytes", Gauge, |f| {
        Some(f.file_system.0)
    }),
    known("container_fs_reads_bytes_total", "Bytes read from devices", Counter, |f| {
        blkio(&f.stats.blkio.io_service_bytes_recursive, "read")
    }),
    known("container_fs_reads_total", "Reads from devices", Counter, |f| {
        blkio(&f.stats.blkio.io_serviced_recursive, "read")
    }),
    known("container_fs_usage_bytes", "What it has written, bytes", Gauge, |f| {
        Some(f.files.used_bytes)
    }),
    known("container_fs_writes_bytes_total", "Bytes written to devices", Counter, |f| {
        blkio(&f.stats.blkio.io_service_bytes_recursive, "write")
    }),
    known("container_fs_writes_total", "Writes to devices", Counter, |f| {
        blkio(&f.stats.blkio.io_serviced_recursive, "write")
    }),
    known("container_hugetlb_max_usage_bytes", "Most huge pages ever, bytes", Gauge, |f| {
        Some(f.stats.hugetlb.values().map(|pages| pages.max).sum())
    }),
    known("container_hugetlb_usage_bytes", "Huge pages, bytes", Gauge, |f| {
        Some(f.stats.hugetlb.values().map(|pages| pages.usage).sum())
    }),
    known("container_last_seen", "When this was so, seconds since 1970", Gauge, |f| {
        Some(f.at / SECOND)
    }),
    known("container_memory_cache", "Page cache, bytes", Gauge, |f| raw(f, "total_cache", "file")),
    known("container_memory_failcnt", "How often the limit was hit", Counter, |f| {
        Some(f.stats.memory.usage.failcnt)
    }),
    known("container_memory_failures_total", "Page faults that waited", Counter, |f| {
        raw(f, "total_pgmajfault", "pgmajfault")
    }),
    known("container_memory_kernel_usage", "Memory of the kernel, bytes", Gauge, |f| {
        match f.stats.memory.kernel.usage {
            0 => raw(f, "kernel", "kernel"),
            usage => Some(usage),
        }
    }),
    known("container_memory_mapped_file", "Mapped files, bytes", Gauge, |f| {
        raw(f, "total_mapped_file", "file_mapped")
    }),
    known("container_memory_max_usage_bytes", "Most memory ever, bytes", Gauge, |f| {
        Some(f.stats.memory.usage.max)
    }),
    known("container_memory_rss", "Anonymous memory, bytes", Gauge, |f| {
        raw(f, "total_rss", "anon")
    }),
    known("container_memory_swap", "Swap, bytes", Gauge, |f| {
        Some(f.stats.memory.swap.usage.saturating_sub(f.stats.memory.usage.usage))
    }),
    known("container_memory_usage_bytes", "Memory, page cache included, bytes", Gauge, |f| {
        Some(f.stats.memory.usage.usage)
    }),
    known(
        "container_memory_working_set_bytes",
        "Memory without what can be dropped at once, bytes",
        Gauge,
        |f| {
            let inactive = raw(f, "total_inactive_file", "inactive_file")?;
            Some(f.stats.memory.usage.usage.saturating_sub(inactive))
        },
    ),
    known("container_oom_events_total", "Kills for lack of memory", Counter, |f| Some(f.ooms)),
    known(
        "container_pressure_cpu_stalled_seconds_total",
        "Time in which all waited for a processor, seconds",
        Counter,
        |f| pressure(f.stats.cpu.psi.as_ref(), |psi| &psi.full),
    ),
    known(
        "container_pressure_cpu_waiting_seconds_total",
        "Time in which some waited for a processor, seconds",
        Counter,
        |f| pressure(f.stats.cpu.psi.as_ref(), |psi| &psi.some),
    ),
    known(
        "container_pressure_io_stalled_seconds_total",
        "Time in which all waited for a device, seconds",
        Counter,
        |f| pressure(f.stats.blkio.psi.as_ref(), |psi| &psi.full),
    ),
    known(
        "container_pressure_io_waiting_seconds_total",
        "Time in which some waited for a device, seconds",
        Counter,
        |f| pressure(f.stats.blkio.psi.as_ref(), |psi| &psi.some),
    ),
    known(
        "container_pressure_memory_stalled_seconds_total",
        "Time in which all waited for memory, seconds",
        Counter,
        |f| pressure(f.stats.memory.psi.as_ref(), |psi| &psi.full),
    ),
    known(
        "container_pressure_memory_waiting_seconds_total",
        "Time in which some waited for memory, seconds",
        Counter,
        |f| pressure(f.stats.memory.psi.as_ref(), |psi| &psi.some),
    ),
    known("container_processes", "Processes", Gauge, |f| Some(f.processes)),
    known("container_sockets", "Open sockets", Gauge, |f| Some(f.sockets)),
    known("container_spec_cpu_period", "Period of the quota, microseconds", Gauge, |f| {
        Some(f.cpu_period)
    }),
    known("container_spec_cpu_quota", "Quota, microseconds; 0 is none", Gauge, |f| {
        Some(f.cpu_quota)
    }),
    known("container_spec_cpu_shares", "Weight", Gauge, |f| Some(f.cpu_shares)),
    known("container_spec_memory_limit_bytes", "Memory limit; 0 is none", Gauge, |f| {
        limit(f.stats.memory.usage.limit)
    }),
    known(
        "container_spec_memory_reservation_limit_bytes",
        "Soft limit; pods have none",
        Gauge,
        |_| Some(0),
    ),
    known("container_spec_memory_swap_limit_bytes", "Limit with swap; 0 is none", Gauge, |f| {
        limit(f.stats.memory.swap.limit)
    }),
    known("container_start_time_seconds", "When it was started, seconds since 1970", Gauge, |f| {
        Some(f.started / SECOND)
    }),
    known("container_threads", "Threads", Gauge, |f| Some(f.stats.pids.current)),
    known("container_threads_max", "Limit of threads; 0 is none", Gauge, |f| {
        limit(f.stats.pids.limit)
    }),
];
