//! Taking a signal that waits.

use std::sync::atomic::Ordering;

use crate::task::Thread;
use crate::task::waiter::lock;

use super::{Info, SI_TIMER};

/// The first of `wanted` that waits for a thread, or for its process.
#[must_use]
pub fn take(thread: &Thread, wanted: u64) -> Option<Info> {
    take_counted(thread, wanted).map(|(info, _)| info)
}

/// The same, with how often its process had been continued then.
pub(super) fn take_counted(thread: &Thread, wanted: u64) -> Option<(Info, u64)> {
    // Under the lock of the list: a SIGCONT takes stops back under it, and counts afterwards.
    let counted = |info: Info| (info, thread.process.continued.load(Ordering::SeqCst));
    let own = lock(&thread.signals).pending.take(wanted).map(counted);
    let shared = || lock(&thread.process.pending).take(wanted).map(counted);
    let (info, continued) = own.or_else(shared)?;
    if info.code() == SI_TIMER {
        lock(&thread.process.timers).taken(&info);
    }
    Some((info, continued))
}
