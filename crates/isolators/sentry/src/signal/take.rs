//! Taking a signal that waits.

use crate::task::Thread;
use crate::task::waiter::lock;

use super::{Info, SI_TIMER};

/// The first of `wanted` that waits for a thread, or for its process.
#[must_use]
pub fn take(thread: &Thread, wanted: u64) -> Option<Info> {
    let own = lock(&thread.signals).pending.take(wanted);
    let info = own.or_else(|| lock(&thread.process.pending).take(wanted))?;
    if info.code() == SI_TIMER {
        lock(&thread.process.timers).taken(&info);
    }
    Some(info)
}
