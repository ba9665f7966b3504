//! Statistics of v2 controllers, in v1's terms where runc's events want them.

use super::types::{BlkioEntry, BlkioStats, MemoryEntry, PsiData, PsiStats, Stats};
use super::{HugetlbStats, huge_page_sizes, rdma};
use crate::dir::{CgroupDir, parse_u64, value_of};
use crate::error::FileError;
use rustix::io::Errno;
use std::collections::BTreeMap;

pub(super) fn read(dir: CgroupDir<'_>, stats: &mut Stats) -> Result<(), FileError> {
    pids(dir, stats)?;
    memory(dir, stats)?;
    stats.memory.psi = pressure(dir, "memory.pressure")?;
    io(dir, &mut stats.blkio)?;
    stats.blkio.psi = pressure(dir, "io.pressure")?;
    cpu(dir, stats)?;
    stats.cpu.psi = pressure(dir, "cpu.pressure")?;
    for size in huge_page_sizes() {
        let current = match dir.read_u64_if_present(&format!("hugetlb.{size}.rsvd.current"))? {
            None => dir.read_u64_if_present(&format!("hugetlb.{size}.current"))?,
            some => some,
        };
        let Some(usage) = current else { continue };
        let events = dir.read_if_present(&format!("hugetlb.{size}.events"))?.unwrap_or_default();
        let failcnt = value_of(&events, "max").unwrap_or(0);
        stats.hugetlb.insert(size, HugetlbStats { usage, max: 0, failcnt });
    }
    stats.rdma.limit = rdma(dir, "rdma.max")?;
    stats.rdma.current = rdma(dir, "rdma.current")?;
    Ok(())
}

/// `key value` lines.
pub(super) fn flat(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_owned(), parse_u64(value.trim())?))
        })
        .collect()
}

fn pids(dir: CgroupDir<'_>, stats: &mut Stats) -> Result<(), FileError> {
    let Some(current) = dir.read_u64_if_present("pids.current")? else {
        // Without the controller processes can be counted, though not threads.
        let procs = match dir.read_if_present("cgroup.procs") {
            Err(error) if error.errno == Errno::OPNOTSUPP => {
                dir.read_if_present("cgroup.threads")?
            }
            other => other?,
        };
        let count = procs.unwrap_or_default().lines().count();
        stats.pids.current = u64::try_from(count).unwrap_or(u64::MAX);
        return Ok(());
    };
    stats.pids.current = current;
    stats.pids.limit = match dir.read_u64_if_present("pids.max")? {
        None | Some(u64::MAX) => 0,
        Some(limit) => limit,
    };
    Ok(())
}

fn memory(dir: CgroupDir<'_>, stats: &mut Stats) -> Result<(), FileError> {
    let Some(text) = dir.read_if_present("memory.stat")? else { return Ok(()) };
    let memory = &mut stats.memory;
    memory.raw = flat(&text);
    memory.cache = memory.raw.get("file").copied().unwrap_or(0);
    memory.usage = entry(dir, "memory")?;
    let swap = entry(dir, "memory.swap")?;
    // v1 counts memory and swap together; a peak of the sum is not to be had.
    memory.swap = MemoryEntry {
        usage: swap.usage.saturating_add(memory.usage.usage),
        limit: swap.limit.saturating_add(memory.usage.limit),
        max: 0,
        failcnt: swap.failcnt,
    };
    Ok(())
}

fn entry(dir: CgroupDir<'_>, prefix: &str) -> Result<MemoryEntry, FileError> {
    let read = |file: &str| dir.read_u64_if_present(&format!("{prefix}.{file}"));
    let Some(usage) = read("current")? else { return Ok(MemoryEntry::default()) };
    Ok(MemoryEntry {
        usage,
        limit: read("max")?.unwrap_or(0),
        max: read("peak")?.unwrap_or(0),
        failcnt: 0,
    })
}

fn cpu(dir: CgroupDir<'_>, stats: &mut Stats) -> Result<(), FileError> {
    let text = dir.read_if_present("cpu.stat")?.unwrap_or_default();
    let values = flat(&text);
    let value = |key: &str| values.get(key).copied().unwrap_or(0);
    let nanoseconds = |key: &str| value(key).saturating_mul(1000);
    stats.cpu.usage.total = nanoseconds("usage_usec");
    stats.cpu.usage.user = nanoseconds("user_usec");
    stats.cpu.usage.kernel = nanoseconds("system_usec");
    stats.cpu.throttling.periods = value("nr_periods");
    stats.cpu.throttling.throttled_periods = value("nr_throttled");
    stats.cpu.throttling.throttled_time = nanoseconds("throttled_usec");
    Ok(())
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`
fn io(dir: CgroupDir<'_>, stats: &mut BlkioStats) -> Result<(), FileError> {
    let text = dir.read_if_present("io.stat")?.unwrap_or_default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let device = fields.next().and_then(|device| device.split_once(':'));
        let Some((major, minor)) = device else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for field in fields {
            let Some((key, value)) = field.split_once('=') else { continue };
            let Ok(value) = value.parse() else { continue };
            let (table, op) = match key {
                "rbytes" => (&mut stats.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut stats.io_service_bytes_recursive, "Write"),
                "rios" => (&mut stats.io_serviced_recursive, "Read"),
                "wios" => (&mut stats.io_serviced_recursive, "Write"),
                _ => continue,
            };
            table.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
    Ok(())
}

/// `None` without CONFIG_PSI, or where it is turned off.
fn pressure(dir: CgroupDir<'_>, file: &str) -> Result<Option<PsiStats>, FileError> {
    let text = match dir.read_if_present(file) {
        Err(error) if error.errno == Errno::OPNOTSUPP => return Ok(None),
        other => other?,
    };
    Ok(text.map(|text| parse_pressure(&text)))
}

fn parse_pressure(text: &str) -> PsiStats {
    let mut stats = PsiStats::default();
    for line in text.lines() {
        let Some((kind, fields)) = line.split_once(' ') else { continue };
        let data = match kind {
            "some" => &mut stats.some,
            "full" => &mut stats.full,
            _ => continue,
        };
        *data = parse_averages(fields);
    }
    stats
}

fn parse_averages(fields: &str) -> PsiData {
    let mut data = PsiData::default();
    for field in fields.split_whitespace() {
        let Some((key, value)) = field.split_once('=') else { continue };
        match key {
            "avg10" => data.avg10 = value.parse().unwrap_or(0.0),
            "avg60" => data.avg60 = value.parse().unwrap_or(0.0),
            "avg300" => data.avg300 = value.parse().unwrap_or(0.0),
            "total" => data.total = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;

    #[test]
    fn a_fake_cgroup() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("pids.current", "3\n"),
            ("pids.max", "max\n"),
            ("memory.stat", "anon 7\nfile 4096\n"),
            ("memory.current", "8192\n"),
            ("memory.max", "16384\n"),
            ("memory.peak", "9000\n"),
            ("memory.swap.current", "100\n"),
            ("memory.swap.max", "max\n"),
            (
                "cpu.stat",
                "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 9\nthrottled_usec 1\n",
            ),
            ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:1\n"),
            ("cpu.pressure", "some avg10=1.50 avg60=0.00 avg300=0.00 total=77\n"),
        ];
        for (name, text) in files {
            std::fs::write(root.path().join(name), text).unwrap();
        }
        let fd = rustix::fs::open(root.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty());
        let fd = fd.unwrap();
        let mut stats = Stats::default();
        read(CgroupDir::new(fd.as_fd(), root.path(), ""), &mut stats).unwrap();
        let json = serde_json::to_value(&stats).unwrap();
        let expected = serde_json::json!({
            "cpu": {
                "usage": {"total": 5000, "kernel": 2000, "user": 3000},
                "throttling": {"periods": 9, "throttledTime": 1000},
                "psi": {"some": {"avg10": 1.5, "avg60": 0.0, "avg300": 0.0, "total": 77}},
            },
            "cpuset": {"cpu_exclusive": 0, "mem_hardwall": 0, "mem_exclusive": 0,
                "memory_migrate": 0, "memory_spread_page": 0, "memory_spread_slab": 0,
                "memory_pressure": 0, "sched_load_balance": 0, "sched_relax_domain_level": 0},
            "memory": {
                "cache": 4096,
                "usage": {"limit": 16384, "usage": 8192, "max": 9000, "failcnt": 0},
                "swap": {"limit": u64::MAX, "usage": 8292, "failcnt": 0},
                "raw": {"anon": 7, "file": 4096},
            },
            "pids": {"current": 3},
            "blkio": {
                "ioServiceBytesRecursive": [
                    {"major": 8, "op": "Read", "value": 1}, {"major": 8, "op": "Write", "value": 2}],
                "ioServicedRecursive": [
                    {"major": 8, "op": "Read", "value": 3}, {"major": 8, "op": "Write", "value": 4}],
            },
            "hugetlb": {},
            "intel_rdt": {},
            "network_interfaces": null,
        });
        assert_eq!(json, expected);
    }
}
