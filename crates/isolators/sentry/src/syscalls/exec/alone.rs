//! Who executes a program is its process's only thread from then on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::kernel::Kernel;
use crate::task::waiter::lock;
use crate::task::{Status, Thread, recount, retire, trace};
use crate::workers::let_others_serve;

/// Ends all other threads of a thread's process, and waits until none of their calls is being
/// made any more: what the process becomes, and what it has then, is not theirs to use. False
/// if the thread is to end itself: it was killed, or another one executes a program.
pub(super) fn is_left(kernel: &Arc<Kernel>, thread: &Arc<Thread>) -> bool {
    loop {
        // A call that makes a thread may have been under way.
        let Some(others) = take_others(kernel, thread) else { return false };
        recount(kernel, &thread.process);
        if others.is_empty() {
            return !thread.doomed.load(Ordering::SeqCst);
        }
        for other in &others {
            if other.tid != thread.process.pid {
                trace::ended(kernel, other, 0, Status::Killed(9, false));
            }
            retire(kernel, other);
        }
        while others.iter().any(|other| other.is_served()) {
            if thread.doomed.load(Ordering::SeqCst) {
                return false;
            }
            let_others_serve();
            std::thread::sleep(Duration::from_micros(20));
        }
    }
}

/// Takes the others off the process; `None` if the thread is none of its any more.
fn take_others(kernel: &Kernel, thread: &Arc<Thread>) -> Option<Vec<Arc<Thread>>> {
    let mut tree = lock(&kernel.tree);
    let row = tree.row_mut(thread.process.pid)?;
    if !row.has(thread) {
        return None;
    }
    let mut others = Vec::new();
    row.threads.retain(|_, other| {
        let own = Arc::ptr_eq(other, thread);
        if !own {
            others.push(Arc::clone(other));
        }
        own
    });
    for other in others.iter().filter(|other| other.tid != thread.process.pid) {
        trace::leaves(kernel, other, row.group);
    }
    Some(others)
}
