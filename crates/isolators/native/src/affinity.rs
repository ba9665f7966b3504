//! CPU affinity around the move into the container's cgroup.

use caisson_runtime_spec::CpuAffinity;
use caisson_runtime_spec::index_list::{CPU_MAX, parse};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::step::{Context, StepError};

/// Binds the runtime to the CPUs that `exec` asks for before the process
/// exists, which inherits them.
pub(crate) fn take_initial(affinity: Option<&CpuAffinity>) -> Result<(), StepError> {
    let Some(list) = affinity.and_then(|affinity| affinity.initial.as_deref()) else {
        return Ok(());
    };
    take(None, list).context(|| "set process.execCPUAffinity.initial")
}

/// Sets the affinity of a process that is in its cgroup now: the one that it
/// asks for, else none, so that the cgroup's CPUs are what it gets, and not
/// those that the runtime was bound to (as runc).
pub(crate) fn take_final(affinity: Option<&CpuAffinity>) -> Result<(), StepError> {
    match affinity.and_then(|affinity| affinity.final_.as_deref()) {
        Some(list) => take(None, list).context(|| "set process.execCPUAffinity.final"),
        None => {
            reset();
            Ok(())
        }
    }
}

/// The kernel reduces the mask to what the cpuset allows. A failure leaves
/// what was inherited, which is no reason not to start.
pub(crate) fn reset() {
    let mut all = CpuSet::new();
    for cpu in 0..CpuSet::MAX_CPU {
        all.set(cpu);
    }
    let _ = sched_setaffinity(None, &all);
}

fn take(pid: Option<Pid>, list: &str) -> Result<(), StepError> {
    let step = || format!("run on CPUs {list:?}");
    let mut set = CpuSet::new();
    let ranges = parse(list, CPU_MAX).map_err(|error| error.to_string()).context(step)?;
    for cpu in ranges.into_iter().flatten() {
        let cpu = usize::try_from(cpu).ok().filter(|cpu| *cpu < CpuSet::MAX_CPU);
        set.set(cpu.ok_or("there is no such CPU").context(step)?);
    }
    sched_setaffinity(pid, &set).context(step)
}
