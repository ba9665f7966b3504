//! `linux.resources`.

use super::fault::{Check, each, fault, text};
use crate::resources::{BlockIo, Cpu, DeviceCgroup, HugepageLimit, Memory, Resources};

/// Bounds of the period and the quota in microseconds (`kernel/sched/core.c`).
const CPU_PERIOD: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;
const CPU_QUOTA_MIN: i64 = 1_000;

/// Highest weight of cgroup v1's blkio controller.
const WEIGHT_MAX: u16 = 1000;

pub(super) fn check(resources: &Resources) -> Check {
    each("devices", &resources.devices, device_rule)?;
    if let Some(limits) = &resources.memory {
        memory(limits).map_err(|fault| fault.under("memory"))?;
    }
    if let Some(limits) = &resources.cpu {
        cpu(limits).map_err(|fault| fault.under("cpu"))?;
    }
    if let Some(limits) = &resources.block_io {
        block_io(limits).map_err(|fault| fault.under("blockIO"))?;
    }
    each("hugepageLimits", &resources.hugepage_limits, hugepages)?;
    for device in resources.rdma.keys() {
        if !is_word(device) {
            return fault(format!("rdma[{device:?}]"), "is not the name of a device");
        }
    }
    if let Some(network) = &resources.network {
        each("network.priorities", &network.priorities, |entry| {
            if is_word(&entry.name) {
                return Ok(());
            }
            fault("name", format!("{:?} is not the name of an interface", entry.name))
        })?;
    }
    for (file, value) in &resources.unified {
        let path = || format!("unified[{file:?}]");
        if !is_word(file) || file.contains('/') || !file.contains('.') {
            return fault(path(), "is not the name of a file of a cgroup controller");
        }
        if value.contains('\0') {
            return fault(path(), "contains a NUL byte");
        }
    }
    Ok(())
}

/// Whether a name can stand in a line of a cgroup file.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn device_rule(rule: &DeviceCgroup) -> Check {
    match rule.access.as_deref() {
        None => return fault("access", "missing or empty"),
        Some(access) if !access.bytes().all(|letter| b"rwm".contains(&letter)) => {
            return fault("access", format!("{access:?} has letters other than r, w and m"));
        }
        Some(_) => {}
    }
    for (path, number) in [("major", rule.major), ("minor", rule.minor)] {
        // -1 is what runc writes for any number.
        if let Some(number) = number
            && !(-1..=i64::from(u32::MAX)).contains(&number)
        {
            return fault(path, format!("{number} is not a device number"));
        }
    }
    Ok(())
}

fn memory(limits: &Memory) -> Check {
    for (path, bytes) in [
        ("limit", limits.limit),
        ("reservation", limits.reservation),
        ("swap", limits.swap),
        ("kernel", limits.kernel),
        ("kernelTCP", limits.kernel_tcp),
    ] {
        if let Some(bytes) = bytes
            && bytes < -1
        {
            return fault(path, format!("{bytes} is neither a number of bytes nor -1"));
        }
    }
    // 0 is not set; memory and swap together include memory.
    if let (Some(limit), Some(swap)) = (limits.limit, limits.swap)
        && limit > 0
        && swap > 0
        && swap < limit
    {
        return fault("swap", format!("{swap} is below the memory limit {limit}"));
    }
    match limits.swappiness {
        Some(value) if value > 100 => fault("swappiness", format!("{value} is not within 0..=100")),
        _ => Ok(()),
    }
}

fn cpu(limits: &Cpu) -> Check {
    if let Some(period) = limits.period
        && period != 0
        && !CPU_PERIOD.contains(&period)
    {
        return fault("period", format!("{period} is not within 1000..=1000000 microseconds"));
    }
    if let Some(quota) = limits.quota
        && (1..CPU_QUOTA_MIN).contains(&quota)
    {
        return fault("quota", format!("{quota} is below {CPU_QUOTA_MIN} microseconds"));
    }
    if let (Some(quota), Some(burst)) = (limits.quota, limits.burst)
        && u64::try_from(quota).is_ok_and(|quota| quota > 0 && burst > quota)
    {
        return fault("burst", format!("{burst} is above the quota {quota}"));
    }
    if let Some(idle) = limits.idle
        && !(0..=1).contains(&idle)
    {
        return fault("idle", format!("{idle} is neither 0 nor 1"));
    }
    for (path, list) in [("cpus", &limits.cpus), ("mems", &limits.mems)] {
        let Some(list) = list else {
            continue;
        };
        // The kernel's list format has more than ranges (`all`, `0-9:1/2`);
        // only what cannot be a list at all is refused here.
        text(path, list)?;
        if !list.bytes().all(|byte| byte.is_ascii_alphanumeric() || b",-:/ \t\n".contains(&byte)) {
            return fault(path, format!("{list:?} is not a list of numbers"));
        }
    }
    Ok(())
}

fn block_io(limits: &BlockIo) -> Check {
    let weight = |path: &str, value: Option<u16>| match value {
        Some(value) if value > WEIGHT_MAX => fault(path, format!("{value} is above {WEIGHT_MAX}")),
        _ => Ok(()),
    };
    let device = |major: i64, minor: i64| {
        for (path, number) in [("major", major), ("minor", minor)] {
            if !(0..=i64::from(u32::MAX)).contains(&number) {
                return fault(path, format!("{number} is not a device number"));
            }
        }
        Ok(())
    };
    weight("weight", limits.weight)?;
    weight("leafWeight", limits.leaf_weight)?;
    each("weightDevice", &limits.weight_device, |entry| {
        device(entry.major, entry.minor)?;
        weight("weight", entry.weight)?;
        weight("leafWeight", entry.leaf_weight)
    })?;
    for (name, list) in [
        ("throttleReadBpsDevice", &limits.throttle_read_bps_device),
        ("throttleWriteBpsDevice", &limits.throttle_write_bps_device),
        ("throttleReadIOPSDevice", &limits.throttle_read_iops_device),
        ("throttleWriteIOPSDevice", &limits.throttle_write_iops_device),
    ] {
        each(name, list, |entry| device(entry.major, entry.minor))?;
    }
    Ok(())
}

/// `<number><KB|MB|GB>`, which becomes part of a file's name.
fn hugepages(limit: &HugepageLimit) -> Check {
    let size = limit.page_size.as_str();
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    let sound = number.is_some_and(|number| {
        !number.is_empty()
            && !number.starts_with('0')
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    if sound { Ok(()) } else { fault("pageSize", format!("{size:?} is not a size such as 2MB")) }
}
