//! Flow control of what we send.
//!
//! SPDY/3.1 lets each side send 64 KiB until the other one asks for more. The
//! implementation that Kubernetes uses neither asks nor keeps to it. So a
//! window counts from the start, but binds only a connection whose client has
//! shown that it speaks of windows at all; for others TCP alone holds us up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::sender::Closed;

/// What the specification begins with.
pub(super) const INITIAL: i64 = 64 * 1024;
const MAX: i64 = 0x7fff_ffff;

/// Whether windows bind.
pub(super) type Binding = Arc<AtomicBool>;

#[derive(Debug)]
pub(super) struct Window {
    binding: Binding,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    free: i64,
    closed: bool,
}

impl Window {
    pub(super) fn new(binding: Binding, free: i64) -> Self {
        let state = Mutex::new(State { free, closed: false });
        Self { binding, state, changed: Notify::new() }
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    /// Takes room for up to `want` bytes, and waits for some where it has to.
    pub(super) async fn take(&self, want: usize) -> Result<usize, Closed> {
        let most = i64::try_from(want).unwrap_or(MAX);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let bound = self.binding.load(Ordering::Relaxed);
                let got = if bound { most.min(state.free) } else { most };
                if state.closed {
                    return Err(Closed);
                }
                if got > 0 || want == 0 {
                    state.free = (state.free - got).max(-MAX);
                    return Ok(usize::try_from(got).unwrap_or(0));
                }
            }
            changed.await;
        }
    }

    /// Gives room: what was taken and not used, or what the other side says.
    pub(super) fn give(&self, bytes: i64) {
        self.update(|state| state.free = state.free.saturating_add(bytes).min(MAX));
    }

    pub(super) fn close(&self) {
        self.update(|state| state.closed = true);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_binds_only_those_who_know_of_it() {
        let binding = Binding::default();
        let window = Window::new(Arc::clone(&binding), 10);
        assert_eq!(window.take(100).await, Ok(100));
        binding.store(true, Ordering::Relaxed);
        let waits = tokio::time::timeout(std::time::Duration::from_millis(5), window.take(1));
        assert!(waits.await.is_err());
        window.give(91);
        assert_eq!(window.take(100).await, Ok(1));
        window.give(i64::MAX);
        assert_eq!(window.take(7).await, Ok(7));
        window.close();
        assert_eq!(window.take(1).await, Err(Closed));
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let window = Arc::new(Window::new(Arc::new(AtomicBool::new(true)), 0));
        let waiting = tokio::spawn({
            let window = Arc::clone(&window);
            async move { window.take(5).await }
        });
        tokio::task::yield_now().await;
        window.give(3);
        assert_eq!(waiting.await.expect("a task"), Ok(3));
    }
}
