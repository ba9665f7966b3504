//! Tasks that were being made, and are not to be after all.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::kernel::Kernel;

use super::exit::end_process;
use super::stop::recount;
use super::waiter::lock;
use super::{Status, Thread, pid_namespace};

/// The host made no task: takes the guest's side away again.
pub(super) fn undo(kernel: &Arc<Kernel>, thread: &Arc<Thread>, shared: bool) {
    let place = lock(&thread.place).clone();
    if shared {
        // Its process may have ended it meanwhile.
        if !thread.doomed.swap(true, Ordering::SeqCst) {
            place.space.leave();
        }
        place.space.free_slot(place.slot);
    }
    thread.leave_undo_list(kernel);
    let pids = thread.process.pids();
    let mut tree = lock(&kernel.tree);
    pid_namespace::leave(&mut tree, &pids, thread.tid);
    let Some(row) = tree.row_mut(thread.process.pid) else { return };
    if !Arc::ptr_eq(&row.process, &thread.process) {
        return;
    }
    if thread.process.pid == thread.tid {
        tree.remove(thread.tid);
    } else {
        row.threads.remove(&thread.tid);
        drop(tree);
        recount(kernel, &thread.process);
    }
}

/// A thread ends that may be forking: a child that has not been there yet never is. The host
/// makes none any more, or one that is ended when it reports.
pub(super) fn abandon(kernel: &Arc<Kernel>, thread: &Thread) {
    let Some((child, cookie)) = lock(&thread.making).take() else { return };
    {
        let place = lock(&child.place);
        if place.counted {
            return;
        }
        // It looks under the same lock.
        child.doomed.store(true, Ordering::SeqCst);
    }
    kernel.forget_arrival(cookie);
    if let Some(row) = lock(&kernel.tree).row_mut(child.process.pid)
        && Arc::ptr_eq(&row.process, &child.process)
    {
        row.exit_signal = 0;
    }
    end_process(kernel, &child.process, Status::Killed(9, false));
    undo(kernel, &child, false);
}
