//! `process.scheduler`, `process.ioPriority`, `process.execCPUAffinity`.

use super::fault::{Check, fault};
use crate::index_list::{self, CPU_MAX};
use crate::process::Process;
use crate::scheduling::{Scheduler, SchedulerPolicy};

/// Least runtime of `SCHED_DEADLINE` in nanoseconds (`sched_setattr(2)`).
const DEADLINE_RUNTIME_MIN: u64 = 1024;

pub(super) fn check(process: &Process) -> Check {
    if let Some(attributes) = &process.scheduler {
        scheduler(attributes).map_err(|fault| fault.under("scheduler"))?;
    }
    if let Some(io) = &process.io_priority
        && !(0..=7).contains(&io.priority)
    {
        return fault("ioPriority.priority", format!("{} is not within 0..=7", io.priority));
    }
    if let Some(affinity) = &process.exec_cpu_affinity {
        for (path, list) in [
            ("execCPUAffinity.initial", &affinity.initial),
            ("execCPUAffinity.final", &affinity.final_),
        ] {
            if let Some(list) = list
                && let Err(error) = index_list::parse(list, CPU_MAX)
            {
                return fault(path, error.to_string());
            }
        }
    }
    Ok(())
}

fn scheduler(attributes: &Scheduler) -> Check {
    let Scheduler { policy, nice, priority, .. } = attributes;
    match policy {
        SchedulerPolicy::Iso => {
            return fault("policy", "SCHED_ISO is not implemented by any Linux kernel");
        }
        SchedulerPolicy::Other | SchedulerPolicy::Batch if !(-20..=19).contains(nice) => {
            return fault("nice", format!("{nice} is not within -20..=19"));
        }
        SchedulerPolicy::Fifo | SchedulerPolicy::Rr if !(1..=99).contains(priority) => {
            return fault(
                "priority",
                format!("{priority} is not within 1..=99, as {policy} needs"),
            );
        }
        SchedulerPolicy::Fifo | SchedulerPolicy::Rr => {}
        _ if *priority != 0 => {
            return fault("priority", format!("has no meaning with {policy}"));
        }
        _ => {}
    }
    deadline(attributes)
}

fn deadline(attributes: &Scheduler) -> Check {
    let Scheduler { policy, runtime, deadline, period, .. } = attributes;
    if *policy != SchedulerPolicy::Deadline {
        for (path, value) in [("runtime", runtime), ("deadline", deadline), ("period", period)] {
            if *value != 0 {
                return fault(path, format!("has no meaning with {policy}"));
            }
        }
        return Ok(());
    }
    if *runtime < DEADLINE_RUNTIME_MIN {
        return fault("runtime", format!("{runtime} is below {DEADLINE_RUNTIME_MIN} nanoseconds"));
    }
    if deadline < runtime {
        return fault("deadline", format!("{deadline} is below the runtime {runtime}"));
    }
    if *period != 0 && period < deadline {
        return fault("period", format!("{period} is below the deadline {deadline}"));
    }
    for (path, value) in [("deadline", deadline), ("period", period)] {
        if i64::try_from(*value).is_err() {
            return fault(path, format!("{value} is above the kernel's limit of 2^63 - 1"));
        }
    }
    Ok(())
}
