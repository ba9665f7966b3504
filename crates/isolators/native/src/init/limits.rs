//! What is set once for a container or process: personality, scheduling,
//! memory policy, resource limits.

use caisson_runtime_spec::{
    IoPriority, IoPriorityClass, Linux, MemoryPolicy, MemoryPolicyMode, Process, Rlimit,
    RlimitKind, Scheduler,
};
use caisson_sys::sched::{self, SchedAttr};
use rustix::process::{Resource, setrlimit};

use crate::step::{Context, StepError};

/// Personality and memory policy, which every process of the container has.
pub(crate) fn apply_container(linux: &Linux) -> Result<(), StepError> {
    if let Some(personality) = &linux.personality {
        sched::set_personality(personality.domain.number())
            .context(|| "set linux.personality.domain")?;
    }
    if let Some(policy) = &linux.memory_policy {
        set_memory_policy(policy)?;
    }
    Ok(())
}

fn set_memory_policy(policy: &MemoryPolicy) -> Result<(), StepError> {
    let mode = policy.flags.iter().fold(policy.mode.number(), |mode, flag| mode | flag.bit());
    let nodes = match policy.mode {
        MemoryPolicyMode::Default | MemoryPolicyMode::Local => Vec::new(),
        _ => node_mask(policy.nodes.as_deref().unwrap_or_default())
            .ok_or("it is no list of node numbers")
            .context(|| "read linux.memoryPolicy.nodes")?,
    };
    sched::set_memory_policy(mode, &nodes).context(|| "set linux.memoryPolicy")
}

/// `0-3,7` as a bit mask; nodes beyond 1023 do not exist (MAX_NUMNODES).
fn node_mask(list: &str) -> Option<Vec<u64>> {
    let mut mask = vec![0_u64; 16];
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        for node in first..=last {
            *mask.get_mut(node / 64)? |= 1 << (node % 64);
        }
    }
    Some(mask)
}

/// Scheduling policy and I/O priority of a process, while it is privileged.
pub(super) fn apply_scheduling(process: &Process) -> Result<(), StepError> {
    if let Some(scheduler) = &process.scheduler {
        set_scheduler(scheduler)?;
    }
    if let Some(IoPriority { class, priority }) = &process.io_priority {
        let class = match class {
            IoPriorityClass::Rt => 1,
            IoPriorityClass::Be => 2,
            IoPriorityClass::Idle => 3,
        };
        sched::set_io_priority(class, u32::try_from(*priority).unwrap_or(u32::MAX))
            .context(|| "set process.ioPriority")?;
    }
    Ok(())
}

fn set_scheduler(scheduler: &Scheduler) -> Result<(), StepError> {
    let attr = SchedAttr {
        policy: scheduler.policy.number(),
        flags: scheduler.flags.iter().fold(0, |bits, flag| bits | flag.bit()),
        nice: scheduler.nice,
        priority: u32::try_from(scheduler.priority).unwrap_or(u32::MAX),
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    };
    sched::set_scheduler(&attr).context(|| "set process.scheduler")
}

/// What is still to be opened before the program is executed needs no more.
const OWN_DESCRIPTORS: u64 = 64;

/// Resource limits, while the process may still raise them: without `last`
/// all but a number of descriptors that would be in our own way, with it that.
pub(super) fn apply_rlimits(limits: &[Rlimit], last: bool) -> Result<(), StepError> {
    let in_the_way =
        |limit: &&Rlimit| limit.kind == RlimitKind::Nofile && limit.soft < OWN_DESCRIPTORS;
    for limit in limits.iter().filter(|limit| in_the_way(limit) == last) {
        let Some(resource) = resource(limit) else { continue };
        let value = |n: u64| (n != u64::MAX).then_some(n);
        let both =
            rustix::process::Rlimit { current: value(limit.soft), maximum: value(limit.hard) };
        setrlimit(resource, both).context(|| {
            let name = limit.kind.as_str();
            format!("set process.rlimits {name} to soft {} hard {}", limit.soft, limit.hard)
        })?;
    }
    Ok(())
}

fn resource(limit: &Rlimit) -> Option<Resource> {
    use caisson_runtime_spec::RlimitKind as Kind;
    Some(match limit.kind {
        Kind::As => Resource::As,
        Kind::Core => Resource::Core,
        Kind::Cpu => Resource::Cpu,
        Kind::Data => Resource::Data,
        Kind::Fsize => Resource::Fsize,
        Kind::Locks => Resource::Locks,
        Kind::Memlock => Resource::Memlock,
        Kind::Msgqueue => Resource::Msgqueue,
        Kind::Nice => Resource::Nice,
        Kind::Nofile => Resource::Nofile,
        Kind::Nproc => Resource::Nproc,
        Kind::Rss => Resource::Rss,
        Kind::Rtprio => Resource::Rtprio,
        Kind::Rttime => Resource::Rttime,
        Kind::Sigpending => Resource::Sigpending,
        Kind::Stack => Resource::Stack,
    })
}

#[cfg(test)]
mod tests {
    use super::node_mask;

    #[test]
    fn node_lists_become_masks() {
        assert_eq!(node_mask("0-3,7").unwrap()[0], 0b1000_1111);
        assert_eq!(node_mask("64").unwrap()[1], 1);
        assert!(node_mask("1024").is_none());
        assert!(node_mask("x").is_none());
    }
}
