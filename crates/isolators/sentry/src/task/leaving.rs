//! The last of tasks that have ended: calls of theirs may be under way still, and have files.
//! Once none is, a process's parent is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::exit::announce;
use super::waiter::lock;
use super::{Process, Thread};

/// What a process waits for that has ended.
#[derive(Default)]
pub(super) struct Leaving {
    /// Threads of which calls may be under way.
    threads: Vec<Arc<Thread>>,
    /// Its parent is to be told as soon as there are none.
    telling: bool,
}

impl Leaving {
    /// Takes those out of which none are: nothing is dropped under the lock. One that has not
    /// heard of its end yet may still make one.
    fn take_over(&mut self) -> Vec<Arc<Thread>> {
        let goes_on =
            |thread: &Arc<Thread>| thread.is_served() || !thread.doomed.load(Ordering::SeqCst);
        let (left, over) = std::mem::take(&mut self.threads).into_iter().partition(goes_on);
        self.threads = left;
        over
    }
}

impl Process {
    /// It ends with these threads, before they are told.
    pub(super) fn leaves(&self, threads: impl Iterator<Item = Arc<Thread>>) {
        lock(&self.leaving).threads = threads.collect();
    }

    /// Whether its parent is to be told later, as [`settled`] does then.
    pub(super) fn puts_off(&self) -> bool {
        let (later, over) = {
            let mut leaving = lock(&self.leaving);
            let over = leaving.take_over();
            leaving.telling = !leaving.threads.is_empty();
            (leaving.telling, over)
        };
        drop(over);
        later
    }

    /// Whether that is so.
    pub(super) fn has_put_off(&self) -> bool {
        lock(&self.leaving).telling
    }
}

/// Nothing is done for a thread any more that has ended, unless its stub reports of an order.
pub(super) fn settled(thread: &Thread) {
    let process = &thread.process;
    let kernel = process.kernel();
    if let Some(kernel) = &kernel {
        thread.leave_undo_list(kernel);
    }
    if lock(&thread.order).is_none() {
        thread.leave_namespaces();
    }
    let (tells, over) = {
        let mut leaving = lock(&process.leaving);
        // Whoever is told, or nobody: threads and their process would hold each other.
        let over = leaving.take_over();
        let last = leaving.threads.is_empty();
        (last && std::mem::take(&mut leaving.telling), over)
    };
    drop(over);
    if let (true, Some(kernel)) = (tells, kernel) {
        announce(&kernel, process.pid);
    }
}
