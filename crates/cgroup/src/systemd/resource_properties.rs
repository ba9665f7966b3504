//! Limits as unit properties (systemd.resource-control(5)).

use super::property::UnitProperty;
use super::value::Value;
use crate::error::LimitError;
use crate::v2::convert::{cpu_weight, swap_max};
use caisson_runtime_spec::{Cpu, Resources};
use std::collections::BTreeMap;

const DEFAULT_PERIOD: u64 = 100_000;

/// A unit's properties for the limits, and the CPU quota to be written to the
/// file where systemd rounds it.
#[derive(Debug, Default)]
pub(super) struct ResourceProperties {
    pub(super) list: Vec<UnitProperty>,
    pub(super) quota: Option<i64>,
}

impl ResourceProperties {
    fn push(&mut self, name: &str, value: Value) {
        self.list.push(UnitProperty::new(name, value));
    }

    fn push_u64(&mut self, name: &str, value: u64) {
        self.push(name, Value::U64(value));
    }
}

/// All limits that systemd knows; `version` is systemd's.
pub(super) fn properties(
    resources: &Resources,
    unified: bool,
    version: u32,
) -> Result<ResourceProperties, LimitError> {
    let mut out = ResourceProperties::default();
    let nonzero = |value: Option<i64>| value.filter(|v| *v != 0).map(i64::cast_unsigned);
    if let Some(memory) = &resources.memory {
        if let Some(limit) = nonzero(memory.limit) {
            // -1 becomes systemd's "infinity".
            out.push_u64(if unified { "MemoryMax" } else { "MemoryLimit" }, limit);
        }
        if unified {
            if let Some(low) = nonzero(memory.reservation) {
                out.push_u64("MemoryLow", low);
            }
            if let Some(swap) = swap_max(memory)? {
                out.push_u64("MemorySwapMax", swap.cast_unsigned());
            }
        }
    }
    if let Some(cpu) = &resources.cpu {
        let shares = cpu.shares.unwrap_or(0);
        // systemd 252: weight 0 is idle.
        let idle = unified && cpu.idle == Some(1) && version >= 252;
        if idle {
            out.push_u64("CPUWeight", 0);
        } else if shares != 0 {
            if unified {
                out.push_u64("CPUWeight", cpu_weight(shares));
            } else {
                out.push_u64("CPUShares", shares);
            }
        }
        let quota = cpu.quota.unwrap_or(0);
        out.quota = bandwidth(&mut out.list, quota, cpu.period.unwrap_or(0), version);
        cpusets(&mut out, cpu, version)?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        out.push_u64("TasksMax", u64::try_from(limit).map_or(u64::MAX, |limit| limit.max(1)));
    }
    if !unified
        && let Some(weight) = resources.block_io.as_ref().and_then(|io| io.weight)
        && weight != 0
    {
        out.push_u64("BlockIOWeight", weight.into());
    }
    if unified {
        from_unified(&mut out, &resources.unified, version)?;
    }
    Ok(out)
}

/// `CPUQuotaPerSecUSec=` is a percentage inside systemd: microseconds per second
/// are rounded up to whole 10 ms, lest the unit get less than was asked for.
/// Returns the quota to write to the file if it was rounded.
fn bandwidth(list: &mut Vec<UnitProperty>, quota: i64, period: u64, version: u32) -> Option<i64> {
    if period != 0 && version >= 242 {
        list.push(UnitProperty::new("CPUQuotaPeriodUSec", Value::U64(period)));
    }
    if quota == 0 && period == 0 {
        return None;
    }
    let period = if period == 0 { DEFAULT_PERIOD } else { period };
    let mut rounded = None;
    let per_second = match u64::try_from(quota) {
        Ok(quota) if quota > 0 => {
            let exact = quota.saturating_mul(1_000_000) / period;
            let up = exact.checked_next_multiple_of(10_000).unwrap_or(exact);
            if up != exact {
                rounded = i64::try_from(up.saturating_mul(period) / 1_000_000).ok();
            }
            up
        }
        _ => u64::MAX,
    };
    list.push(UnitProperty::new("CPUQuotaPerSecUSec", Value::U64(per_second)));
    rounded
}

fn cpusets(out: &mut ResourceProperties, cpu: &Cpu, version: u32) -> Result<(), LimitError> {
    let sets = [
        ("AllowedCPUs", &cpu.cpus, "linux.resources.cpu.cpus"),
        ("AllowedMemoryNodes", &cpu.mems, "linux.resources.cpu.mems"),
    ];
    for (name, set, field) in sets {
        if let Some(set) = set.as_deref().filter(|set| !set.is_empty() && version >= 244) {
            let bits = mask(set).ok_or_else(|| {
                LimitError::invalid(field, format!("{set:?} is no list such as 0-3,7"))
            })?;
            out.push(name, Value::Bytes(bits));
        }
    }
    Ok(())
}

/// CPUs beyond any machine's; bounds the mask that hostile input can make.
const MAX_CPU: usize = 1 << 16;

/// `0-3,7` as a bit mask, least significant byte first.
fn mask(set: &str) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    for range in set.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > MAX_CPU {
            return None;
        }
        for cpu in first..=last {
            if bytes.len() <= cpu / 8 {
                bytes.resize(cpu / 8 + 1, 0);
            }
            *bytes.get_mut(cpu / 8)? |= 1 << (cpu % 8);
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// Those files of `unified` that have a property. The files are written as well,
/// so one without a property loses nothing but systemd's knowledge of it.
fn from_unified(
    out: &mut ResourceProperties,
    values: &BTreeMap<String, String>,
    version: u32,
) -> Result<(), LimitError> {
    let idle = values.get("cpu.idle").is_some_and(|idle| idle.trim() == "1") && version >= 252;
    for (name, value) in values {
        let value = value.trim();
        let bad = || {
            let field = format!("linux.resources.unified[{name:?}]");
            LimitError::invalid(field, format!("{value:?} is not a value of this file"))
        };
        let number = || match value {
            "max" => Ok(u64::MAX),
            _ => value.parse::<u64>().map_err(|_| bad()),
        };
        let property = match name.as_str() {
            "cpu.idle" if idle => {
                out.push_u64("CPUWeight", 0);
                continue;
            }
            "cpu.max" => {
                let mut fields = value.split_whitespace();
                let quota = match fields.next() {
                    Some("max") => 0,
                    Some(quota) => quota.parse().map_err(|_| bad())?,
                    None => return Err(bad()),
                };
                let period = match fields.next() {
                    Some(period) => period.parse().map_err(|_| bad())?,
                    None => DEFAULT_PERIOD,
                };
                // The file is written with what was asked for, not rounded.
                let _ = bandwidth(&mut out.list, quota, period, version);
                continue;
            }
            "cpuset.cpus" | "cpuset.mems" if version >= 244 => {
                let name = if name == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
                out.push(name, Value::Bytes(mask(value).ok_or_else(bad)?));
                continue;
            }
            "cpu.weight" if !idle => "CPUWeight",
            "memory.high" => "MemoryHigh",
            "memory.low" => "MemoryLow",
            "memory.min" => "MemoryMin",
            "memory.max" => "MemoryMax",
            "memory.swap.max" => "MemorySwapMax",
            "pids.max" => "TasksMax",
            _ => continue,
        };
        let number = number()?;
        out.push_u64(property, if name == "pids.max" { number.max(1) } else { number });
    }
    Ok(())
}

/// `OOMPolicy=`, which can be set at start only (systemd 253).
pub(super) fn oom_policy(resources: &Resources, version: u32) -> Option<UnitProperty> {
    let group = resources.unified.get("memory.oom.group")?;
    let policy = match group.trim() {
        "0" => "continue",
        "1" => "kill",
        _ => return None,
    };
    (version >= 253).then(|| UnitProperty::new("OOMPolicy", Value::Str(policy.to_owned())))
}

#[cfg(test)]
mod conversion_tests {
    use super::*;

    fn of(json: &str, unified: bool, version: u32) -> Vec<(String, Value)> {
        let resources: Resources = serde_json::from_str(json).unwrap();
        let out = properties(&resources, unified, version).unwrap();
        out.list.into_iter().map(|p| (p.name, p.value)).collect()
    }

    fn u(name: &str, value: u64) -> (String, Value) {
        (name.to_owned(), Value::U64(value))
    }

    #[test]
    fn v2_limits() {
        let json = r#"{"memory":{"limit":100,"swap":150,"reservation":50},"pids":{"limit":0},
            "cpu":{"shares":1024,"quota":5005,"period":10000,"cpus":"0,2-3,9"}}"#;
        let all = of(json, true, 252);
        let expected = [
            u("MemoryMax", 100),
            u("MemoryLow", 50),
            u("MemorySwapMax", 50),
            u("CPUWeight", 100),
            u("CPUQuotaPeriodUSec", 10_000),
            u("CPUQuotaPerSecUSec", 510_000),
            ("AllowedCPUs".to_owned(), Value::Bytes(vec![0b1101, 0b10])),
            u("TasksMax", 1),
        ];
        assert_eq!(all, expected);
        let resources: Resources = serde_json::from_str(json).unwrap();
        assert_eq!(properties(&resources, true, 252).unwrap().quota, Some(5100));
    }

    #[test]
    fn v1_and_old_systemd() {
        let json = r#"{"memory":{"limit":-1},"pids":{"limit":-1},"blockIO":{"weight":10},
            "cpu":{"shares":512,"quota":-1,"period":10000,"cpus":"0"}}"#;
        let expected = [
            u("MemoryLimit", u64::MAX),
            u("CPUShares", 512),
            u("CPUQuotaPerSecUSec", u64::MAX),
            u("TasksMax", u64::MAX),
            u("BlockIOWeight", 10),
        ];
        assert_eq!(of(json, false, 219), expected);
    }

    #[test]
    fn unified_map() {
        let json = r#"{"unified":{"memory.max":"max","cpu.max":"50000 100000","pids.max":"0",
            "cpu.idle":"1","cpu.weight":"7","x.y":"z"}}"#;
        let expected = [
            u("CPUWeight", 0),
            u("CPUQuotaPeriodUSec", 100_000),
            u("CPUQuotaPerSecUSec", 500_000),
            u("MemoryMax", u64::MAX),
            u("TasksMax", 1),
        ];
        assert_eq!(of(json, true, 252), expected);
        let bad: Resources = serde_json::from_str(r#"{"unified":{"memory.max":"lots"}}"#).unwrap();
        let error = properties(&bad, true, 252).unwrap_err().to_string();
        assert!(error.contains("memory.max") && error.contains("lots"), "{error}");
    }

    #[test]
    fn masks() {
        assert_eq!(mask("0-7, 8,"), Some(vec![0xff, 1]));
        for bad in ["", "x", "3-1", "99999999"] {
            assert_eq!(mask(bad), None, "{bad}");
        }
    }
}
