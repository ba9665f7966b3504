//! Calls that wait without a thread of the sentry's ([`crate::workers`]): they are left
//! where they would wait, and made again from the start when what they wait for may be
//! there, with the file that they were made on, and no longer than until the same end.
//!
//! They are those that have done nothing by then.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::platform::HostCall;
use crate::task::Thread;
use crate::task::waiter::{Leave, lock};
use crate::vfs::OpenFile;
use crate::workers::Parked;

use super::{Call, Held};

/// Whether a call can be left where it waits.
pub(super) fn leave(call: &Call<'_>, number: u64) -> Leave {
    /// `MSG_WAITALL`
    const ALL: u32 = 0x100;
    match number {
        // read, accept, wait4, accept4
        0 | 43 | 61 | 288 => Leave::Endless,
        // recvfrom, recvmsg
        45 if call.uint(3) & ALL == 0 => Leave::Endless,
        47 if call.uint(2) & ALL == 0 => Leave::Endless,
        // poll, select, epoll_wait
        7 | 23 | 232 => Leave::Any,
        // ppoll, epoll_pwait, if they keep the mask of signals
        271 if call.arg(3) == 0 => Leave::Any,
        281 if call.arg(4) == 0 => Leave::Any,
        _ => Leave::Never,
    }
}

/// The file that a call is made on by its first argument, which it keeps while it waits.
pub(super) fn file(call: &Call<'_>, number: u64) -> Option<Held> {
    const BY_FILE: [u64; 7] = [0, 43, 45, 47, 232, 281, 288];
    let file = BY_FILE.contains(&number).then(|| call.file(0).ok()).flatten()?;
    Some((call.uint(0), file))
}

/// Parks a call that was left, until `end`; false if it is to be made again at once.
pub(super) fn park(call: &Call<'_>, number: u64, end: Option<Instant>) -> bool {
    let (kernel, thread) = (Arc::clone(call.kernel), Arc::clone(call.thread));
    let held = call.held.clone();
    let (id, host) = (call.id, HostCall { number, args: call.args });
    // What it was made on is in use meanwhile.
    thread.begin();
    let work = move || {
        if thread.doomed.load(Ordering::SeqCst) {
            thread.kick();
            kernel.listener.answer(id, 0);
            drop(held);
        } else {
            super::serve(&kernel, &thread, id, host, (end, held));
        }
        thread.finish();
    };
    let parked = Parked::new(&call.kernel.machine.workers, end, Box::new(work));
    if !call.thread.waiter.park(parked) {
        // Its own event is being served still.
        call.thread.finish();
        return false;
    }
    if let Some(end) = end {
        set_alarm(call.kernel, call.thread, end);
    }
    true
}

/// Has a thread's parked call end then. There is one alarm for each thread, which may come
/// too early: most waits end before their time.
fn set_alarm(kernel: &Arc<crate::kernel::Kernel>, thread: &Arc<Thread>, end: Instant) {
    let mut alarm = lock(&thread.alarm);
    // One that has ended takes its alarm back under the same lock.
    if thread.doomed.load(Ordering::SeqCst) || alarm.is_some_and(|(at, _)| at <= end) {
        return;
    }
    if let Some((_, key)) = alarm.take() {
        kernel.alarms.cancel(key);
    }
    let weak: Weak<Thread> = Arc::downgrade(thread);
    let action = move |kernel: &Arc<crate::kernel::Kernel>| {
        let Some(thread) = weak.upgrade() else { return };
        *lock(&thread.alarm) = None;
        if let Some(later) = thread.waiter.expire(Instant::now()) {
            set_alarm(kernel, &thread, later);
        }
    };
    *alarm = Some((end, kernel.alarms.set(kernel, end, Box::new(action))));
}

/// What a call was made on.
pub(super) fn held(held: Option<&Held>, number: u32) -> Option<Arc<OpenFile>> {
    held.filter(|(of, _)| *of == number).map(|(_, file)| Arc::clone(file))
}
