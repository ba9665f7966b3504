//! What a thread does at the moment: the letter of `stat` and `status`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::task::waiter::lock;
use crate::task::{Row, Thread};

/// How a process is, and one of its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Sleeping,
    /// Nothing but its death ends its wait.
    Waiting,
    Stopped,
    TracingStop,
    Zombie,
}

impl State {
    /// Of thread `id` of a process, as far as its row tells.
    pub(super) fn of_row(row: &Row, id: i32) -> Option<Self> {
        // The first thread's number stays, if it ends before the others.
        let ended = row.ended.is_some() || !row.threads.contains_key(&id);
        match (ended, row.stopped) {
            (true, _) => Some(State::Zombie),
            (false, Some(_)) => Some(State::Stopped),
            (false, None) => None,
        }
    }

    /// Of a thread of a process that is not stopped; `host` is the host's letter for the
    /// stub's.
    pub(super) fn of_thread(thread: &Arc<Thread>, host: Option<char>) -> Self {
        if is_stopped(thread) {
            return State::TracingStop;
        }
        if thread.lent.load(Ordering::SeqCst) {
            return State::Waiting;
        }
        if host == Some('R') {
            return State::Running;
        }
        // A thread whose call is being served sleeps, for the host; one that waits for a futex
        // waits there, or until it is answered.
        let by_futex = || lock(&thread.host_wait).is_some() || lock(&thread.parked).is_some();
        if thread.waiter.is_waiting() || by_futex() { State::Sleeping } else { State::Running }
    }

    /// The letter, and what it stands for.
    pub(super) fn told(self) -> (char, &'static str) {
        match self {
            State::Running => ('R', "running"),
            State::Sleeping => ('S', "sleeping"),
            State::Waiting => ('D', "disk sleep"),
            State::Stopped => ('T', "stopped"),
            State::TracingStop => ('t', "tracing stop"),
            State::Zombie => ('Z', "zombie"),
        }
    }
}

/// Whether a thread is stopped for its tracer.
fn is_stopped(thread: &Thread) -> bool {
    const TRIES: u32 = 1000;
    for _ in 0..TRIES {
        if let Ok(trace) = thread.trace.try_lock() {
            return trace.stop.is_some();
        }
        std::thread::yield_now();
    }
    // It makes a call for its tracer, which it does when it is stopped.
    true
}
