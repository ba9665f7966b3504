//! On which of the host's processors threads run.

use std::sync::LazyLock;

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

use super::process::HostTid;

/// Those that the sandbox was started with.
static ALL: LazyLock<CpuSet> = LazyLock::new(|| sched_getaffinity(None).unwrap_or_default());

fn set(thread: Option<HostTid>, processors: &CpuSet) {
    let Some(pid) = thread.map_or(Some(None), |thread| Pid::from_raw(thread.0).map(Some)) else {
        return;
    };
    // A thread that is gone needs none.
    let _ = sched_setaffinity(pid, processors);
}

/// A guest's thread, or the calling one, runs on any but this one.
pub fn keep_off(thread: Option<HostTid>, processor: usize) {
    let mut others = *ALL;
    others.unset(processor);
    set(thread, &others);
}

/// A guest's thread, or the calling one, runs anywhere again.
pub fn run_anywhere(thread: Option<HostTid>) {
    set(thread, &ALL);
}
