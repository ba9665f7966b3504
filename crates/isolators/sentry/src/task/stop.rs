//! Job control: stopped and continued processes, and groups that nobody controls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::Kernel;
use crate::signal::{self, Info, NO_CHILD_STOP, SI_KERNEL, SIGCHLD, SIGCONT, SIGHUP, SIGSTOP};

use super::waiter::{Woken, lock};
use super::{Pid, Process, Thread, trace};

const CLD_STOPPED: i32 = 5;
const CLD_CONTINUED: i32 = 6;

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// That a process is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// By this signal.
    pub signal: i32,
    /// Which one of all that ever were.
    pub number: u64,
    /// Threads that wait for its end.
    parked: usize,
    sent: bool,
    /// Whether all do, and the parent knows.
    pub complete: bool,
    /// Whether a wait has told of it.
    pub told: bool,
}

impl Stop {
    /// Whether the parent gets its signal, and no wait tells of it yet.
    pub fn is_being_told(&self) -> bool {
        self.sent && !self.complete
    }

    /// Whether all of so many threads wait now, and the parent is to be told: by which
    /// signal they are stopped.
    fn completes(&mut self, threads: usize) -> Option<i32> {
        let complete = self.parked >= threads && !self.complete && !self.sent;
        self.sent |= complete;
        complete.then_some(self.signal)
    }
}

/// A signal stops a process, unless it is one that a terminal sends and nobody could
/// continue it, or it was continued since the signal was taken, when that was so often
/// already. Its threads stop at their next report.
pub fn stop(kernel: &Arc<Kernel>, process: &Arc<Process>, signal: i32, continued: u64) {
    let threads: Vec<Arc<Thread>> = {
        let mut tree = lock(&kernel.tree);
        let Some(row) = tree.row(process.pid) else { return };
        if signal != SIGSTOP && tree.is_orphaned(row.group) {
            return;
        }
        let Some(row) = tree.row_mut(process.pid) else { return };
        let again = process.continued.load(Ordering::SeqCst) != continued;
        if again || row.ended.is_some() || row.stopped.is_some() {
            return;
        }
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        row.stopped =
            Some(Stop { signal, number, parked: 0, sent: false, complete: false, told: false });
        row.continued = false;
        row.threads.values().cloned().collect()
    };
    threads.iter().for_each(|thread| thread.interrupt());
}

/// Counts a thread in, if its process is stopped, and tells of the stop if it is the last.
/// False if it is not stopped.
pub fn enter_stop(kernel: &Arc<Kernel>, thread: &Arc<Thread>) -> bool {
    let pid = thread.process.pid;
    let complete = {
        let mut tree = lock(&kernel.tree);
        let Some(row) = tree.row_mut(pid) else { return false };
        let threads = row.threads.len();
        let Some(stop) = row.stopped.as_mut() else { return false };
        if thread.doomed.load(Ordering::SeqCst) {
            return true;
        }
        if thread.stop.swap(stop.number, Ordering::SeqCst) != stop.number {
            stop.parked += 1;
        }
        stop.completes(threads)
    };
    if let Some(signal) = complete {
        told(kernel, &thread.process, signal);
    }
    true
}

/// A thread has left a process, which the others may have been waiting for to be stopped.
pub fn recount(kernel: &Arc<Kernel>, process: &Arc<Process>) {
    let complete = {
        let mut tree = lock(&kernel.tree);
        let Some(row) = tree.row_mut(process.pid) else { return };
        let Some(stop) = row.stopped.as_mut() else { return };
        let parked = |thread: &&Arc<Thread>| thread.stop.load(Ordering::SeqCst) == stop.number;
        stop.parked = row.threads.values().filter(parked).count();
        stop.completes(row.threads.len())
    };
    if let Some(signal) = complete {
        told(kernel, process, signal);
    }
}

/// The parent hears that all of a process is stopped: first by the signal, then by waits.
fn told(kernel: &Arc<Kernel>, process: &Arc<Process>, signal: i32) {
    tell(kernel, process, CLD_STOPPED, signal);
    if let Some(row) = lock(&kernel.tree).row_mut(process.pid)
        && let Some(stop) = row.stopped.as_mut()
    {
        stop.complete = true;
    }
    kernel.children.wake();
}

/// Waits while the thread's process is stopped, and nobody traces it. False if it never
/// was.
pub fn park(kernel: &Arc<Kernel>, thread: &Arc<Thread>) -> bool {
    let mut parked = false;
    loop {
        kernel.stops.join(&thread.waiter);
        if !enter_stop(kernel, thread) {
            return parked;
        }
        if thread.doomed.load(Ordering::SeqCst) || thread.is_traced() {
            return true;
        }
        parked = true;
        if thread.waiter.wait(None) == Woken::Interrupted {
            thread.waiter.clear();
        }
    }
}

/// SIGCONT was sent: a stopped process goes on, whatever it does on that signal.
pub fn go_on(kernel: &Arc<Kernel>, process: &Arc<Process>) {
    {
        let mut tree = lock(&kernel.tree);
        let Some(row) = tree.row_mut(process.pid) else { return };
        process.continued.fetch_add(1, Ordering::SeqCst);
        if row.stopped.take().is_none() {
            return;
        }
    }
    for thread in kernel.threads_of(process.pid).iter().filter(|thread| thread.is_traced()) {
        trace::notify_continued(kernel, thread);
    }
    tell(kernel, process, CLD_CONTINUED, SIGCONT);
    if let Some(row) = lock(&kernel.tree).row_mut(process.pid) {
        row.continued = row.stopped.is_none();
    }
    kernel.stops.wake();
    kernel.children.wake();
}

/// Tells the parent, by a signal and to its waits.
fn tell(kernel: &Arc<Kernel>, process: &Arc<Process>, code: i32, value: i32) {
    let father = {
        let tree = lock(&kernel.tree);
        let parent = tree.row(process.pid).map(|row| row.parent);
        parent.and_then(|pid| tree.row(pid)).map(|row| Arc::clone(&row.process))
    };
    let Some(father) = father else { return };
    let action = lock(&father.actions()).get(SIGCHLD);
    if action.flags & NO_CHILD_STOP != 0 {
        return;
    }
    let [user, ..] = lock(&process.credentials()).users;
    let mut info = Info::of_child(code, process.pid, user, value);
    info.set_times(process.usage(kernel));
    signal::send(kernel, &signal::Target::Process(father), info);
}

/// Sends a signal of the kernel's to all processes of a group.
pub fn signal_group(kernel: &Arc<Kernel>, group: Pid, signal: i32) {
    for process in members(kernel, group) {
        signal::send(kernel, &signal::Target::Process(process), Info::new(signal, SI_KERNEL));
    }
}

/// Processes of a group that have not ended.
#[must_use]
pub fn members(kernel: &Kernel, group: Pid) -> Vec<Arc<Process>> {
    let tree = lock(&kernel.tree);
    let live = tree.rows().filter(|(_, row)| row.group == group && row.ended.is_none());
    live.map(|(_, row)| Arc::clone(&row.process)).collect()
}

/// Groups that lose a process that could continue them are hung up and continued, if
/// they are stopped.
pub(super) fn free_orphans(kernel: &Arc<Kernel>, groups: Vec<Pid>) {
    for group in groups {
        let stuck = {
            let tree = lock(&kernel.tree);
            let stopped = tree.rows().any(|(_, r)| r.group == group && r.stopped.is_some());
            stopped && tree.is_orphaned(group)
        };
        if stuck {
            signal_group(kernel, group, SIGHUP);
            signal_group(kernel, group, SIGCONT);
        }
    }
}
