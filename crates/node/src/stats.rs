//! What a container uses.

use std::time::Instant;

use caisson_shim::client::ClientError;
use serde::Serialize;

use crate::engine::Engine;
use crate::lifecycle::{ContainerError, ContainerView};
use crate::pods::figures::interfaces::parse;

/// Figures of one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Processor time so far, nanoseconds.
    pub cpu_nanos: u64,
    /// Memory in use without what the kernel can drop, bytes.
    pub memory: u64,
    /// Its limit; the machine's memory if there is none.
    pub memory_limit: u64,
    /// Processes and threads.
    pub tasks: u64,
    /// Bytes that came in over its network.
    pub received: u64,
    /// Bytes that went out.
    pub sent: u64,
    /// Bytes read from block devices.
    pub read: u64,
    /// Bytes written to them.
    pub written: u64,
    /// When.
    #[serde(skip)]
    pub taken: Option<Instant>,
}

impl Sample {
    /// Processors used since `before`, in per cent of one.
    #[must_use]
    pub fn cpu_percent(&self, before: &Self) -> f64 {
        let (Some(now), Some(then)) = (self.taken, before.taken) else {
            return 0.0;
        };
        let wall = now.duration_since(then).as_secs_f64();
        let used = std::time::Duration::from_nanos(self.cpu_nanos.saturating_sub(before.cpu_nanos));
        if wall > 0.0 { used.as_secs_f64() / wall * 100.0 } else { 0.0 }
    }

    /// Memory in per cent of the limit.
    #[must_use]
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 {
            return 0.0;
        }
        // Hundredths of a per cent are exact enough.
        let share = u128::from(self.memory) * 10_000 / u128::from(self.memory_limit);
        f64::from(u32::try_from(share).unwrap_or(u32::MAX)) / 100.0
    }
}

impl Engine {
    /// What a container that runs uses now.
    ///
    /// # Errors
    /// If its supervisor does not answer.
    pub fn sample(&self, view: &ContainerView) -> Result<Sample, ContainerError> {
        let stats = self.shim(&view.record.id).and_then(|shim| shim.stats())?;
        let total = machine_memory();
        let memory = &stats.memory;
        // As docker counts: page cache that can be dropped is not in use.
        let inactive = ["inactive_file", "total_inactive_file"];
        let droppable = inactive.iter().filter_map(|key| memory.raw.get(*key)).max();
        let bytes = |wanted: &str| {
            let table = &stats.blkio.io_service_bytes_recursive;
            table.iter().filter(|e| e.op.eq_ignore_ascii_case(wanted)).map(|e| e.value).sum()
        };
        if stats.pids.current == 0 {
            return self.sample_processes(view, total);
        }
        let (received, sent) = view.live.as_ref().and_then(|live| live.pid).map_or((0, 0), network);
        Ok(Sample {
            cpu_nanos: stats.cpu.usage.total,
            memory: memory.usage.usage.saturating_sub(droppable.copied().unwrap_or(0)),
            memory_limit: memory.usage.limit.min(total),
            tasks: stats.pids.current,
            received,
            sent,
            read: bytes("read"),
            written: bytes("write"),
            taken: Some(Instant::now()),
        })
    }

    /// A container without a cgroup of its own: what its processes use that
    /// run now, shared memory counted for each.
    fn sample_processes(
        &self,
        view: &ContainerView,
        memory_limit: u64,
    ) -> Result<Sample, ContainerError> {
        let rows = self.processes(&view.record.id)?;
        let (received, sent) = view.live.as_ref().and_then(|live| live.pid).map_or((0, 0), network);
        Ok(Sample {
            cpu_nanos: rows.iter().map(|row| row.ticks.saturating_mul(10_000_000)).sum(),
            memory: rows.iter().map(|row| row.resident).sum(),
            memory_limit,
            tasks: rows.len() as u64,
            received,
            sent,
            read: 0,
            written: 0,
            taken: Some(Instant::now()),
        })
    }

    /// Whether an error of [`Engine::sample`] only means that it has ended.
    #[must_use]
    pub fn has_ended(error: &ContainerError) -> bool {
        matches!(
            error,
            ContainerError::Supervisor(
                ClientError::NotListening { .. }
                    | ClientError::Broken { .. }
                    | ClientError::Fault(_)
            )
        )
    }
}

fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib.saturating_mul(1024))
}

/// Bytes in and out of every interface but loopback, as `pid` sees them.
fn network(pid: i32) -> (u64, u64) {
    count(&std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default())
}

fn count(table: &str) -> (u64, u64) {
    parse(table).iter().fold((0, 0), |(received, sent): (u64, u64), interface| {
        (received.saturating_add(interface.rx_bytes), sent.saturating_add(interface.tx_bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn interfaces_are_added_up_without_loopback() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets\n\
            lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n  eth0: 100 2 0 0 0 0 0 0 70 3 0 0 0 0 0 0\n";
        assert_eq!(count(table), (100, 70));
        assert_eq!(count(""), (0, 0));
    }

    #[test]
    fn shares() {
        let now = Instant::now();
        let sample = |cpu, taken| Sample {
            cpu_nanos: cpu,
            memory: 25,
            memory_limit: 100,
            tasks: 1,
            received: 0,
            sent: 0,
            read: 0,
            written: 0,
            taken: Some(taken),
        };
        let (before, after) = (sample(0, now), sample(500_000_000, now + Duration::from_secs(1)));
        assert!((after.cpu_percent(&before) - 50.0).abs() < 0.01);
        assert!((after.memory_percent() - 25.0).abs() < 0.01);
    }
}
