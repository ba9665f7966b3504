//! CPU time in v1 (Documentation/scheduler/sched-bwc.rst, sched-rt-group.rst).

use crate::dir::CgroupDir;
use crate::error::{FileError, InField, LimitError};
use caisson_runtime_spec::Cpu;
use rustix::io::Errno;

/// Range of `cpu.shares`; the kernel clamps silently, which would hide a mistake.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

pub(crate) fn is_set(cpu: &Cpu) -> bool {
    cpu.shares.is_some()
        || cpu.quota.is_some()
        || cpu.period.is_some()
        || cpu.burst.is_some()
        || cpu.idle.is_some()
        || cpu.realtime_runtime.is_some()
        || cpu.realtime_period.is_some()
}

pub(crate) fn apply(dir: CgroupDir<'_>, cpu: &Cpu) -> Result<(), LimitError> {
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        let field = "linux.resources.cpu.shares";
        if shares > *SHARES.end() {
            let reason = format!("{shares}: the maximum allowed cpu-shares is {}", SHARES.end());
            return Err(LimitError::invalid(field, reason));
        }
        if shares < *SHARES.start() {
            let reason = format!("{shares}: the minimum allowed cpu-shares is {}", SHARES.start());
            return Err(LimitError::invalid(field, reason));
        }
        dir.write("cpu.shares", &shares.to_string()).in_field(field)?;
    }
    bandwidth(dir, cpu)?;
    if let Some(idle) = cpu.idle {
        dir.write("cpu.idle", &idle.to_string()).in_field("linux.resources.cpu.idle")?;
    }
    real_time(dir, cpu)
}

/// The kernel checks each of period, burst and quota against the present values
/// of the others and against the parent, so a combination that is fine may need
/// a certain order: what is refused at first is tried again after the quota.
fn bandwidth(dir: CgroupDir<'_>, cpu: &Cpu) -> Result<(), LimitError> {
    let quota = cpu.quota.filter(|quota| *quota != 0);
    let again = |result: Result<(), FileError>| match result {
        Ok(()) => Ok(false),
        Err(error) if error.errno == Errno::INVAL && quota.is_some() => Ok(true),
        Err(error) => Err(error),
    };
    let period = cpu.period.filter(|period| *period != 0).map(|period| period.to_string());
    let mut period_left = false;
    if let Some(period) = &period {
        period_left =
            again(dir.write("cpu.cfs_period_us", period)).in_field("linux.resources.cpu.period")?;
    }
    let burst = cpu.burst.map(|burst| burst.to_string());
    let mut burst_left = false;
    if let Some(burst) = &burst {
        // Linux before 5.14 has no burst; runc goes without, too.
        let written = dir.write_if_present("cpu.cfs_burst_us", burst).map(|_| ());
        burst_left = again(written).in_field("linux.resources.cpu.burst")?;
    }
    if let Some(quota) = quota {
        // Any negative value means "no limit"; the kernel takes -1 only.
        let quota = quota.max(-1).to_string();
        dir.write("cpu.cfs_quota_us", &quota).in_field("linux.resources.cpu.quota")?;
    }
    if let Some(period) = period.filter(|_| period_left) {
        dir.write("cpu.cfs_period_us", &period).in_field("linux.resources.cpu.period")?;
    }
    if let Some(burst) = burst.filter(|_| burst_left) {
        dir.write("cpu.cfs_burst_us", &burst).in_field("linux.resources.cpu.burst")?;
    }
    Ok(())
}

/// Period and runtime depend on each other likewise.
fn real_time(dir: CgroupDir<'_>, cpu: &Cpu) -> Result<(), LimitError> {
    let runtime = cpu.realtime_runtime.filter(|runtime| *runtime != 0);
    let period = cpu.realtime_period.filter(|period| *period != 0);
    let mut period_left = false;
    if let Some(period) = period {
        match dir.write("cpu.rt_period_us", &period.to_string()) {
            Err(error) if error.errno == Errno::INVAL && runtime.is_some() => period_left = true,
            other => other.in_field("linux.resources.cpu.realtimePeriod")?,
        }
    }
    if let Some(runtime) = runtime {
        dir.write("cpu.rt_runtime_us", &runtime.to_string())
            .in_field("linux.resources.cpu.realtimeRuntime")?;
    }
    if let Some(period) = period.filter(|_| period_left) {
        dir.write("cpu.rt_period_us", &period.to_string())
            .in_field("linux.resources.cpu.realtimePeriod")?;
    }
    Ok(())
}
