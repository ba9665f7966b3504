//! Ends: of tracees, which their tracers hear of first, and of tracers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::kernel::Kernel;
use crate::signal::{self, Info, SIGCHLD};
use crate::task::exit::{announce, exit_process};
use crate::task::waiter::lock;
use crate::task::{Pid, Status, Thread};

use super::{detach, options};

/// A tracee that has ended, of which its tracer has not heard.
#[derive(Debug)]
pub struct Ended {
    /// Who is to hear of it.
    pub tracer: Pid,
    /// The thread.
    pub tid: Pid,
    /// Its process's group.
    pub group: Pid,
    /// Its real user.
    pub user: u32,
    /// How.
    pub status: Status,
    /// It was the first thread: its parent hears of the process only then.
    pub first: bool,
}

/// A thread of this group is taken from the tree, which is locked, and is about to end: until
/// [`ended`] its tracer still has it to wait for.
pub fn leaves(kernel: &Kernel, thread: &Thread, group: Pid) {
    if let Some(tracer) = thread.tracer() {
        lock(&kernel.tracees.leaving).push((tracer, thread.tid, group));
    }
}

/// A thread ends. Whether its process's parent has to wait until the tracer has heard of
/// it. Not to be called with the tree locked.
pub fn ended(kernel: &Arc<Kernel>, thread: &Arc<Thread>, parent: Pid, status: Status) -> bool {
    let held = record(kernel, thread, parent, status);
    lock(&kernel.tracees.leaving).retain(|(_, tid, _)| *tid != thread.tid);
    if any(kernel) {
        kernel.children.wake();
    }
    held
}

fn record(kernel: &Arc<Kernel>, thread: &Arc<Thread>, parent: Pid, status: Status) -> bool {
    let taken = std::mem::take(&mut lock(&thread.trace).tracer);
    let Some(tracer) = taken else { return false };
    let first = thread.tid == thread.process.pid;
    if first && tracer == parent {
        return false;
    }
    // Before it is known that the tracer lives: its end takes what is here.
    let mut ends = lock(&kernel.tracees.ends);
    let (who, group) = {
        let tree = lock(&kernel.tree);
        let who = tree.row(tracer).filter(|row| row.ended.is_none());
        let group = tree.row(thread.process.pid).map_or(0, |row| row.group);
        (who.map(|row| Arc::clone(&row.process)), group)
    };
    let Some(who) = who else { return false };
    let [user, ..] = lock(&thread.credentials).users;
    let record = Ended { tracer, tid: thread.tid, group, user, status, first };
    ends.push(record);
    drop(ends);
    let (code, value) = match status {
        Status::Exited(code) => (1, i32::from(code)),
        Status::Killed(signal, core) => (if core { 3 } else { 2 }, i32::from(signal)),
    };
    let mut info = Info::of_child(code, thread.tid, user, value);
    info.set(SIGCHLD, code);
    signal::send(kernel, &signal::Target::Process(who), info);
    first
}

/// A process ends that may trace others: they go on without it, or end with it.
pub fn tracer_ended(kernel: &Arc<Kernel>, pid: Pid) {
    let threads: Vec<Arc<Thread>> = {
        let tree = lock(&kernel.tree);
        tree.rows().flat_map(|(_, row)| row.threads.values().cloned()).collect()
    };
    for thread in threads {
        let dies = {
            let mut trace = lock(&thread.trace);
            if trace.tracer != Some(pid) {
                continue;
            }
            let dies = trace.has(options::EXIT_KILL);
            detach(kernel, &thread, &mut trace, 0);
            dies
        };
        if dies {
            exit_process(kernel, &thread.process, Status::Killed(9, false));
        }
    }
    let held: Vec<Pid> = {
        let mut ends = lock(&kernel.tracees.ends);
        let held = ends.iter().filter(|end| end.tracer == pid && end.first).map(|end| end.tid);
        let held = held.collect();
        ends.retain(|end| end.tracer != pid);
        held
    };
    for pid in held {
        announce(kernel, pid);
    }
}

/// Whether anybody was ever traced here.
pub(super) fn any(kernel: &Kernel) -> bool {
    kernel.tracees.any.load(Ordering::SeqCst)
}
