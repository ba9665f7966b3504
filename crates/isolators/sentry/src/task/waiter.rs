//! Blocking: a guest thread's sentry thread waits until something that it
//! listens on changes, a signal interrupts it, or time is up.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Locks without regard to poison: a sentry thread that panics ends the process.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// Whether this thread may not wait for long.
    static HURRIED: Cell<bool> = const { Cell::new(false) };
}

/// Sets whether this thread's waits end soon, as if a signal had come: when no further
/// thread can be had to serve others meanwhile. The guest makes its call again.
pub fn hurry(on: bool) {
    HURRIED.set(on);
}

/// How long such a wait is.
const SHORT: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
struct State {
    woken: bool,
    interrupted: bool,
    /// The same, by a signal that waits.
    signalled: bool,
}

/// The place where one thread waits.
#[derive(Default)]
pub struct Waiter {
    state: Mutex<State>,
    changed: Condvar,
    forward: Option<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// A queue that it stood in was woken: look again.
    Called,
    /// A signal is there.
    Interrupted,
    /// The time is up.
    TimedOut,
}

impl Waiter {
    /// In which nobody waits: a call runs `forward`, which must not wait.
    #[must_use]
    pub fn forwarding(forward: Box<dyn Fn() + Send + Sync>) -> Self {
        Waiter { forward: Some(forward), ..Waiter::default() }
    }

    /// Ends a wait, the present or the next one, until [`Self::clear`].
    pub fn interrupt(&self) {
        lock(&self.state).interrupted = true;
        self.changed.notify_all();
    }

    /// [`Self::interrupt`] for a signal, under the lock of the list that it is put in.
    pub fn signal(&self) {
        lock(&self.state).signalled = true;
        self.changed.notify_all();
    }

    /// Forgets an interruption that has been dealt with.
    pub fn clear(&self) {
        let mut state = lock(&self.state);
        (state.interrupted, state.signalled) = (false, false);
    }

    /// No signal waits: for who holds the locks of the lists.
    pub fn clear_signal(&self) {
        lock(&self.state).signalled = false;
    }

    /// Whether a wait would end at once.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        let state = lock(&self.state);
        state.interrupted || state.signalled
    }

    fn call(&self) {
        if let Some(forward) = &self.forward {
            forward();
            return;
        }
        lock(&self.state).woken = true;
        self.changed.notify_all();
    }

    /// Waits. What was called since the last wait counts.
    pub fn wait(&self, deadline: Option<Instant>) -> Woken {
        if HURRIED.get() {
            let soon = Instant::now() + SHORT;
            return match deadline {
                Some(end) if end <= soon => self.wait_until(deadline),
                _ => match self.wait_until(Some(soon)) {
                    Woken::TimedOut => Woken::Interrupted,
                    woken => woken,
                },
            };
        }
        self.wait_until(deadline)
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Woken {
        let mut state = lock(&self.state);
        loop {
            if std::mem::replace(&mut state.woken, false) {
                return Woken::Called;
            }
            if state.interrupted || state.signalled {
                return Woken::Interrupted;
            }
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let now = Instant::now();
                    if now >= end {
                        return Woken::TimedOut;
                    }
                    let waited = self.changed.wait_timeout(state, end - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Those who wait for one thing. Standing in it is cheap to undo: a place is
/// weak, and those who left are dropped at the next wake.
#[derive(Debug, Default)]
pub struct WaitQueue {
    waiting: Mutex<Vec<Weak<Waiter>>>,
}

impl WaitQueue {
    /// Adds a waiter until the next wake. Look at the condition after this.
    pub fn join(&self, waiter: &Arc<Waiter>) {
        let mut waiting = lock(&self.waiting);
        let this = Arc::downgrade(waiter);
        if !waiting.iter().any(|w| w.ptr_eq(&this)) {
            waiting.push(this);
        }
    }

    /// Calls all of them.
    pub fn wake(&self) {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        for waiter in waiting.iter().filter_map(Weak::upgrade) {
            waiter.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_call_before_the_wait_is_not_lost() {
        let (waiter, queue) = (Arc::new(Waiter::default()), WaitQueue::default());
        queue.join(&waiter);
        queue.wake();
        assert_eq!(waiter.wait(None), Woken::Called);
        let soon = Some(Instant::now() + Duration::from_millis(5));
        assert_eq!(waiter.wait(soon), Woken::TimedOut);
        queue.wake();
        assert_eq!(waiter.wait(soon), Woken::TimedOut, "it stands in the queue no more");
    }

    #[test]
    fn an_interruption_stays_until_it_is_cleared() {
        let waiter = Waiter::default();
        waiter.interrupt();
        assert_eq!(waiter.wait(None), Woken::Interrupted);
        assert_eq!(waiter.wait(None), Woken::Interrupted);
        waiter.clear();
        assert_eq!(waiter.wait(Some(Instant::now())), Woken::TimedOut);
        waiter.signal();
        assert_eq!(waiter.wait(None), Woken::Interrupted);
        waiter.interrupt();
        waiter.clear_signal();
        assert_eq!(waiter.wait(None), Woken::Interrupted, "not by a signal");
    }
}
