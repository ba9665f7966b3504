//! CPU time in v2.

use super::convert::cpu_weight;
use crate::dir::CgroupDir;
use crate::error::{InField, LimitError};
use caisson_runtime_spec::Cpu;
use rustix::io::Errno;

const DEFAULT_PERIOD: u64 = 100_000;

/// Real-time limits have no v2 files and are ignored, as with runc.
pub(crate) fn apply(dir: CgroupDir<'_>, cpu: &Cpu) -> Result<(), LimitError> {
    if let Some(idle) = cpu.idle {
        dir.write("cpu.idle", &idle.to_string()).in_field("linux.resources.cpu.idle")?;
    }
    let weight = cpu_weight(cpu.shares.unwrap_or(0));
    if weight != 0 {
        dir.write("cpu.weight", &weight.to_string()).in_field("linux.resources.cpu.shares")?;
    }
    let quota = cpu.quota.filter(|quota| *quota != 0);
    let period = cpu.period.filter(|period| *period != 0);
    let burst = cpu.burst.map(|burst| burst.to_string());
    let mut burst_left = false;
    if let Some(burst) = &burst {
        // A burst above the present quota is refused; the new quota comes next.
        match dir.write("cpu.max.burst", burst) {
            Err(error) if error.errno == Errno::INVAL && quota.is_some() => burst_left = true,
            other => other.in_field("linux.resources.cpu.burst")?,
        }
    }
    if quota.is_some() || period.is_some() {
        let quota = match quota {
            Some(quota) if quota > 0 => quota.to_string(),
            _ => "max".to_owned(),
        };
        let value = format!("{quota} {}", period.unwrap_or(DEFAULT_PERIOD));
        dir.write("cpu.max", &value).in_field("linux.resources.cpu.quota")?;
        if let Some(burst) = burst.filter(|_| burst_left) {
            dir.write("cpu.max.burst", &burst).in_field("linux.resources.cpu.burst")?;
        }
    }
    Ok(())
}
