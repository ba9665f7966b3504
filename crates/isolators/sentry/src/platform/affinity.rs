//! On which of the host's processors threads run.

use std::cell::Cell;
use std::sync::LazyLock;

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

use super::process::HostTid;

/// Those that this process was given, all if it was given no less than its cgroup, which may
/// get others. First looked at by a thread that was never moved.
static GIVEN: LazyLock<CpuSet> = LazyLock::new(|| {
    let mask = || sched_getaffinity(None).ok();
    let given = mask();
    run_on_any(None);
    match given {
        Some(given) if mask() != Some(given) => {
            let _ = sched_setaffinity(None, &given);
            given
        }
        _ => all(),
    }
});

fn all() -> CpuSet {
    let mut processors = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|processor| processors.set(processor));
    processors
}

/// A thread, or the calling one, runs on all that it was given but one; the host takes those of
/// them that the thread's cgroup has. If that has none of them any more, it runs on any.
fn set(thread: Option<HostTid>, but: Option<usize>) {
    let pid = thread.and_then(|thread| Pid::from_raw(thread.0));
    let mut processors = *GIVEN;
    if let Some(but) = but.filter(|but| *but < CpuSet::MAX_CPU) {
        processors.unset(but);
    }
    if sched_setaffinity(pid, &processors).is_err() {
        run_on_any(pid);
    }
}

fn run_on_any(thread: Option<Pid>) {
    // A thread that is gone needs none.
    let _ = sched_setaffinity(thread, &all());
}

thread_local! {
    /// Which one this thread is kept off.
    static OFF: Cell<Option<usize>> = const { Cell::new(None) };
    /// It stays where it was when it last waited, and that is there.
    static SETTLES: Cell<bool> = const { Cell::new(false) };
    static SETTLED: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The processor that the calling thread runs on, at the moment. By the C library, which makes no
/// call for it; rustix opens a file of procfs for its first answer on hosts before Linux 6.4.
#[must_use]
pub fn current() -> usize {
    // SAFETY: takes nothing and gives a number.
    usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

/// Looks at what this process was given, by a call that it may not be let make later.
pub fn remember() {
    LazyLock::force(&GIVEN);
}

/// The calling thread runs on this one alone, until [`run_anywhere`].
pub fn stay_on(processor: usize) {
    if processor >= CpuSet::MAX_CPU {
        return;
    }
    let mut only = CpuSet::new();
    only.set(processor);
    // If it may not it goes on where it may.
    let _ = sched_setaffinity(None, &only);
}

/// Runs `f` on one processor, which it is told: for who is about to wait for another process
/// that goes there, too. The host wakes threads on processors that are idle if it may, which
/// takes those ten times as long as to be switched to.
pub fn staying<T>(f: impl FnOnce(usize) -> T) -> T {
    remember();
    let processor = current();
    if SETTLED.get() == Some(processor) {
        return f(processor);
    }
    stay_on(processor);
    let result = f(processor);
    if SETTLES.get() {
        SETTLED.set(Some(processor));
    } else {
        set(None, OFF.get());
    }
    result
}

/// Whether the calling thread stays, between waits as well, where [`staying`] has had it: for who
/// waits often, and notices that it has lost its processor to others.
pub fn settle(settles: bool) {
    SETTLES.set(settles);
    if !settles && SETTLED.take().is_some() {
        set(None, OFF.get());
    }
}

/// A guest's thread, or the calling one, runs on any but this one.
pub fn keep_off(thread: Option<HostTid>, processor: usize) {
    if thread.is_none() {
        OFF.set(Some(processor));
        SETTLED.set(None);
    }
    set(thread, Some(processor));
}

/// A guest's thread, or the calling one, runs anywhere again.
pub fn run_anywhere(thread: Option<HostTid>) {
    if thread.is_none() {
        OFF.set(None);
        SETTLED.set(None);
    }
    set(thread, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own, which is moved.
    #[test]
    fn who_settles_stays_until_the_end() {
        let count = || sched_getaffinity(None).unwrap().count();
        let test = move || {
            remember();
            let before = count();
            staying(|_| assert_eq!(count(), 1));
            assert_eq!(count(), before);
            settle(true);
            let first = staying(|processor| processor);
            assert_eq!(staying(|processor| (processor, count())), (first, 1));
            assert_eq!(count(), 1);
            settle(false);
            assert_eq!(count(), before);
        };
        std::thread::spawn(test).join().unwrap();
    }
}
