//! Timers of processor time that rest: while all threads of a process wait, its clocks stand still,
//! and who goes on has them looked at again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::kernel::Kernel;
use crate::task::Process;
use crate::task::waiter::lock;

use super::Timer;

/// Those of one process's clocks.
#[derive(Default)]
pub struct Resting {
    any: AtomicBool,
    timers: Mutex<Vec<(Weak<Timer>, Weak<Kernel>)>>,
}

impl std::fmt::Debug for Resting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resting").field("any", &self.any).finish_non_exhaustive()
    }
}

impl Resting {
    /// Has a timer of `process` roused by the next thread of that that goes on; false if not all
    /// of them wait.
    pub(super) fn add(&self, kernel: &Arc<Kernel>, process: &Process, timer: &Arc<Timer>) -> bool {
        if !all_wait(kernel, process) {
            return false;
        }
        {
            let mut timers = lock(&self.timers);
            let this = Arc::downgrade(timer);
            timers.retain(|(other, _)| other.strong_count() > 0 && !other.ptr_eq(&this));
            timers.push((this, Arc::downgrade(kernel)));
            self.any.store(true, Ordering::SeqCst);
        }
        // Who has gone on before that has not seen it.
        all_wait(kernel, process)
    }

    /// A thread goes on: it does not wait any more.
    pub fn rouse(&self) {
        if !self.any.load(Ordering::SeqCst) {
            return;
        }
        let timers = {
            let mut timers = lock(&self.timers);
            self.any.store(false, Ordering::SeqCst);
            std::mem::take(&mut *timers)
        };
        for (timer, kernel) in timers {
            if let (Some(timer), Some(kernel)) = (timer.upgrade(), kernel.upgrade()) {
                timer.rouse(&kernel, Duration::ZERO);
            }
        }
    }
}

/// Whether nobody runs whose time a process's clock counts. Who waits on the host is not known
/// to: he may have been woken.
fn all_wait(kernel: &Kernel, process: &Process) -> bool {
    let threads = kernel.threads_of(process.pid);
    let Some(first) = threads.first() else { return false };
    let alone = first.space().users() == threads.len();
    alone && threads.iter().all(|thread| thread.waiter.is_waiting())
}
