//! On which of the host's processors threads run.

use rustix::thread::{CpuSet, Pid, sched_setaffinity};

use super::process::HostTid;

/// All but one; the host takes those of them that the thread's cgroup has.
fn set(thread: Option<HostTid>, but: Option<usize>) {
    let pid = thread.and_then(|thread| Pid::from_raw(thread.0));
    let mut processors = CpuSet::new();
    for processor in (0..CpuSet::MAX_CPU).filter(|processor| Some(*processor) != but) {
        processors.set(processor);
    }
    // A thread that is gone needs none.
    let _ = sched_setaffinity(pid, &processors);
}

/// A guest's thread, or the calling one, runs on any but this one.
pub fn keep_off(thread: Option<HostTid>, processor: usize) {
    set(thread, Some(processor));
}

/// A guest's thread, or the calling one, runs anywhere again.
pub fn run_anywhere(thread: Option<HostTid>) {
    set(thread, None);
}
