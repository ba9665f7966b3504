//! The kernel's counters in the terms of those who ask.

use caisson_cgroup::stats::{PsiStats, Stats};

use crate::pods::view::{IoUsage, MemoryUsage, Psi, PsiFigures, SwapUsage};

/// Limits above this stand for none.
const NO_LIMIT: u64 = 1 << 60;

pub(super) fn psi(stats: Option<&PsiStats>) -> Option<Psi> {
    let stats = stats?;
    let figures = |data: &caisson_cgroup::stats::PsiData| PsiFigures {
        // The kernel counts microseconds.
        total: data.total.saturating_mul(1000),
        avg10: data.avg10,
        avg60: data.avg60,
        avg300: data.avg300,
    };
    Some(Psi { full: figures(&stats.full), some: figures(&stats.some) })
}

/// The first of these lines of `memory.stat`: the hierarchical ones of v1 come
/// before those of v2.
fn raw(stats: &Stats, names: [&str; 2]) -> Option<u64> {
    names.iter().find_map(|name| stats.memory.raw.get(*name)).copied()
}

pub(super) fn memory(stats: &Stats, timestamp: u64) -> MemoryUsage {
    let usage = stats.memory.usage.usage;
    let inactive = raw(stats, ["total_inactive_file", "inactive_file"]).unwrap_or(0);
    let working_set = usage.saturating_sub(inactive);
    let limit = Some(stats.memory.usage.limit).filter(|limit| *limit > 0 && *limit < NO_LIMIT);
    MemoryUsage {
        timestamp,
        working_set: Some(working_set),
        available: limit.map(|limit| limit.saturating_sub(working_set)),
        usage: Some(usage),
        rss: raw(stats, ["total_rss", "anon"]),
        page_faults: raw(stats, ["total_pgfault", "pgfault"]),
        major_page_faults: raw(stats, ["total_pgmajfault", "pgmajfault"]),
        psi: psi(stats.memory.psi.as_ref()),
    }
}

pub(super) fn swap(stats: &Stats, timestamp: u64) -> SwapUsage {
    // Of memory and swap together.
    let (memory, both) = (&stats.memory.usage, &stats.memory.swap);
    let usage = both.usage.saturating_sub(memory.usage);
    let limited = both.limit > 0 && both.limit < NO_LIMIT && memory.limit < NO_LIMIT;
    SwapUsage {
        timestamp,
        usage: Some(usage),
        available: limited.then(|| both.limit.saturating_sub(memory.limit).saturating_sub(usage)),
    }
}

pub(super) fn io(stats: &Stats, timestamp: u64) -> IoUsage {
    let bytes = |wanted: &str| {
        let table = &stats.blkio.io_service_bytes_recursive;
        table.iter().filter(|e| e.op.eq_ignore_ascii_case(wanted)).map(|e| e.value).sum()
    };
    IoUsage {
        timestamp,
        psi: psi(stats.blkio.psi.as_ref()),
        read_bytes: bytes("read"),
        written_bytes: bytes("write"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_dropped_is_not_in_the_working_set() {
        let mut stats = Stats::default();
        stats.memory.usage.usage = 100;
        stats.memory.usage.limit = 150;
        stats.memory.raw.insert("inactive_file".to_owned(), 30);
        stats.memory.raw.insert("anon".to_owned(), 5);
        stats.memory.swap.usage = 120;
        stats.memory.swap.limit = 300;
        let made = memory(&stats, 1);
        assert_eq!((made.working_set, made.available, made.rss), (Some(70), Some(80), Some(5)));
        let swapped = swap(&stats, 1);
        assert_eq!((swapped.usage, swapped.available), (Some(20), Some(130)));
        stats.memory.usage.limit = u64::MAX;
        assert_eq!(memory(&stats, 1).available, None);
    }

    #[test]
    fn pressure_in_nanoseconds() {
        let mut stats = PsiStats::default();
        stats.some.total = 2;
        assert_eq!(psi(Some(&stats)).unwrap().some.total, 2000);
        assert!(psi(None).is_none());
    }
}
