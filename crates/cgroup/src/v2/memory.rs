//! Memory in v2.

use super::convert::swap_max;
use crate::dir::CgroupDir;
use crate::error::{InField, LimitError};
use caisson_runtime_spec::Memory;
use rustix::io::Errno;

/// Swappiness and `disableOOMKiller` have no v2 files and are ignored, as with runc.
pub(crate) fn apply(dir: CgroupDir<'_>, memory: &Memory) -> Result<(), LimitError> {
    check_usage(dir, memory)?;
    if let Some(swap) = swap_max(memory)? {
        let value = text(swap);
        match dir.write("memory.swap.max", &value) {
            // Without swap accounting neither "none" nor "no limit" needs a file.
            Err(error) if error.errno == Errno::NOENT && matches!(swap, -1 | 0) => {}
            other => other.in_field("linux.resources.memory.swap")?,
        }
    }
    if let Some(limit) = memory.limit.filter(|limit| *limit != 0) {
        dir.write("memory.max", &text(limit)).in_field("linux.resources.memory.limit")?;
    }
    if let Some(low) = memory.reservation.filter(|low| *low != 0) {
        dir.write("memory.low", &text(low)).in_field("linux.resources.memory.reservation")?;
    }
    Ok(())
}

fn text(value: i64) -> String {
    if value == -1 { "max".to_owned() } else { value.to_string() }
}

/// v2 would reclaim and then kill to get below a new limit; `checkBeforeUpdate`
/// asks for a refusal instead, as v1 does it. If the usage can't be read there
/// is nothing to check against.
pub(crate) fn check_usage(dir: CgroupDir<'_>, memory: &Memory) -> Result<(), LimitError> {
    if memory.check_before_update != Some(true) {
        return Ok(());
    }
    let limits = [
        ("linux.resources.memory.swap", "memory+swap limit", memory.swap),
        ("linux.resources.memory.limit", "memory limit", memory.limit),
    ];
    if limits.iter().all(|(_, _, value)| value.unwrap_or(0) <= 0) {
        return Ok(());
    }
    let Ok(usage) = dir.read_u64("memory.current") else { return Ok(()) };
    for (field, name, value) in limits {
        let value = value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        if value > 0 && value <= usage {
            return Err(LimitError::invalid(
                field,
                format!("rejecting {name} {value} <= usage {usage}"),
            ));
        }
    }
    Ok(())
}
