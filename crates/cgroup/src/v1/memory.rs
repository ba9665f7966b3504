//! Memory in v1 (Documentation/admin-guide/cgroup-v1/memory.rst).

use crate::dir::CgroupDir;
use crate::error::{InField, LimitError};
use caisson_runtime_spec::Memory;
use rustix::io::Errno;

const LIMIT_FILE: &str = "memory.limit_in_bytes";
const SWAP_FILE: &str = "memory.memsw.limit_in_bytes";
const LIMIT: &str = "linux.resources.memory.limit";
const SWAP: &str = "linux.resources.memory.swap";

pub(crate) fn is_set(memory: &Memory) -> bool {
    let nonzero = |value: Option<i64>| value.is_some_and(|value| value != 0);
    nonzero(memory.limit)
        || nonzero(memory.swap)
        || nonzero(memory.reservation)
        || memory.swappiness.is_some()
        || memory.disable_oom_killer == Some(true)
}

/// Kernel memory limits are ignored: the kernel does so since 5.16.
/// `useHierarchy`, too: hierarchical accounting can't be turned off since 5.11.
pub(crate) fn apply(dir: CgroupDir<'_>, memory: &Memory, fresh: bool) -> Result<(), LimitError> {
    limit_and_swap(dir, memory, fresh)?;
    if let Some(reservation) = memory.reservation.filter(|value| *value != 0) {
        dir.write("memory.soft_limit_in_bytes", &reservation.to_string())
            .in_field("linux.resources.memory.reservation")?;
    }
    if memory.disable_oom_killer == Some(true) {
        dir.write("memory.oom_control", "1").in_field("linux.resources.memory.disableOOMKiller")?;
    }
    // u64::MAX is what -1, "unset", becomes in some callers.
    if let Some(swappiness) = memory.swappiness.filter(|value| *value != u64::MAX) {
        let field = "linux.resources.memory.swappiness";
        if swappiness > 100 {
            let reason =
                format!("invalid memory swappiness value: {swappiness} (valid range is 0-100)");
            return Err(LimitError::invalid(field, reason));
        }
        dir.write("memory.swappiness", &swappiness.to_string()).in_field(field)?;
    }
    Ok(())
}

/// The kernel keeps `limit <= memsw.limit` at all times, so raising starts with
/// the latter and lowering with the former.
fn limit_and_swap(dir: CgroupDir<'_>, memory: &Memory, fresh: bool) -> Result<(), LimitError> {
    let limit = memory.limit.filter(|value| *value != 0);
    let mut swap = memory.swap.filter(|value| *value != 0);
    if fresh {
        // Both are unlimited in a new cgroup.
        let finite = |value: Option<i64>| value.filter(|value| *value >= 0);
        set_limit(dir, finite(limit))?;
        return set_swap(dir, finite(swap));
    }
    let mut swap_first = false;
    if limit == Some(-1) && swap.is_none() {
        // Memory without a limit means no limit on memory and swap, either;
        // a kernel without swap accounting has no such file.
        swap_first = true;
        dir.write_if_present(SWAP_FILE, "-1").in_field(SWAP)?;
    } else if let (Some(_), Some(wanted)) = (limit, swap) {
        let present = dir.read_u64(LIMIT_FILE).in_field(LIMIT)?;
        swap_first = u64::try_from(wanted).map_or(true, |wanted| present < wanted);
        if swap_first {
            set_swap(dir, swap.take())?;
        }
    }
    set_limit(dir, limit)?;
    if swap_first { Ok(()) } else { set_swap(dir, swap) }
}

fn set_swap(dir: CgroupDir<'_>, value: Option<i64>) -> Result<(), LimitError> {
    match value {
        Some(value) => dir.write(SWAP_FILE, &value.to_string()).in_field(SWAP),
        None => Ok(()),
    }
}

fn set_limit(dir: CgroupDir<'_>, value: Option<i64>) -> Result<(), LimitError> {
    let Some(value) = value else { return Ok(()) };
    match dir.write(LIMIT_FILE, &value.to_string()) {
        Err(error) if error.errno == Errno::BUSY => {
            let usage = dir.read_u64("memory.usage_in_bytes").in_field(LIMIT)?;
            let peak = dir.read_u64("memory.max_usage_in_bytes").in_field(LIMIT)?;
            let reason = format!(
                "unable to set memory limit to {value} (current usage: {usage}, peak usage: {peak})"
            );
            Err(LimitError::invalid(LIMIT, reason))
        }
        other => other.in_field(LIMIT),
    }
}
