//! Which controllers a set of limits needs.

use crate::controllers::Controllers;
use crate::error::LimitError;
use crate::layout::LayoutKind;
use caisson_runtime_spec::Resources;

/// `(JSON path, controller)` of every kind of limit that is present. Device
/// rules don't count: they can't be had without permission, and runc does
/// without them in rootless containers.
pub(crate) fn requested_controllers(resources: &Resources) -> Vec<(&'static str, Controllers)> {
    let mut asked = Vec::new();
    if let Some(memory) = &resources.memory
        && [memory.limit, memory.reservation, memory.swap].iter().any(|v| v.is_some_and(|v| v != 0))
    {
        asked.push(("linux.resources.memory", Controllers::MEMORY));
    }
    if let Some(cpu) = &resources.cpu {
        let time = cpu.shares.is_some_and(|v| v != 0)
            || cpu.quota.is_some_and(|v| v != 0)
            || cpu.period.is_some_and(|v| v != 0)
            || cpu.burst.is_some()
            || cpu.idle.is_some()
            || cpu.realtime_runtime.is_some_and(|v| v != 0)
            || cpu.realtime_period.is_some_and(|v| v != 0);
        if time {
            asked.push(("linux.resources.cpu", Controllers::CPU));
        }
        if cpu.cpus.is_some() || cpu.mems.is_some() {
            asked.push(("linux.resources.cpu.cpus/mems", Controllers::CPUSET));
        }
    }
    if resources.pids.as_ref().is_some_and(|pids| pids.limit.is_some()) {
        asked.push(("linux.resources.pids.limit", Controllers::PIDS));
    }
    if resources.block_io.is_some() {
        asked.push(("linux.resources.blockIO", Controllers::IO));
    }
    if !resources.hugepage_limits.is_empty() {
        asked.push(("linux.resources.hugepageLimits", Controllers::HUGETLB));
    }
    if let Some(network) = &resources.network {
        if network.class_id.is_some_and(|id| id != 0) {
            asked.push(("linux.resources.network.classID", Controllers::NET_CLS));
        }
        if !network.priorities.is_empty() {
            asked.push(("linux.resources.network.priorities", Controllers::NET_PRIO));
        }
    }
    if !resources.rdma.is_empty() {
        asked.push(("linux.resources.rdma", Controllers::RDMA));
    }
    if !resources.unified.is_empty() {
        asked.push(("linux.resources.unified", Controllers::UNIFIED));
    }
    asked
}

/// Refuses limits that the cgroup version can't have.
pub(crate) fn check_version(resources: &Resources, kind: LayoutKind) -> Result<(), LimitError> {
    if kind != LayoutKind::Unified && !resources.unified.is_empty() {
        return Err(LimitError::Unavailable {
            field: "linux.resources.unified".into(),
            reason: "this host uses cgroup v1; `unified` needs cgroup v2".to_owned(),
        });
    }
    if kind == LayoutKind::Unified
        && let Some(network) = &resources.network
    {
        let field = if network.class_id.is_some_and(|id| id != 0) {
            "linux.resources.network.classID"
        } else if network.priorities.is_empty() {
            return Ok(());
        } else {
            "linux.resources.network.priorities"
        };
        return Err(LimitError::Unavailable {
            field: field.into(),
            reason: "this host uses cgroup v2, which has no network controllers".to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_version;
    use crate::layout::LayoutKind;

    #[test]
    fn what_a_version_lacks_is_refused_by_name() {
        for (json, kind, field) in [
            (r#"{"unified":{"memory.high":"1"}}"#, LayoutKind::Hybrid, "unified"),
            (r#"{"network":{"classID":1}}"#, LayoutKind::Unified, "network.classID"),
            (
                r#"{"network":{"priorities":[{"name":"lo","priority":1}]}}"#,
                LayoutKind::Unified,
                "network.priorities",
            ),
        ] {
            let resources = serde_json::from_str(json).unwrap();
            let said = check_version(&resources, kind).unwrap_err().to_string();
            assert!(said.contains(field), "{said}");
        }
        for (json, kind) in [
            (r#"{"network":{"classID":1}}"#, LayoutKind::Legacy),
            (r#"{"network":{"classID":0,"priorities":[]}}"#, LayoutKind::Unified),
            (r#"{"unified":{"memory.high":"1"}}"#, LayoutKind::Unified),
        ] {
            assert!(check_version(&serde_json::from_str(json).unwrap(), kind).is_ok(), "{json}");
        }
    }
}
