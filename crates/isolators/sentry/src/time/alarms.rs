//! What is to happen at a time: one thread of the sentry waits for all of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

/// Runs when its time has come; must not wait.
type Action = Box<dyn FnOnce(&Arc<Kernel>) + Send>;

/// Names an alarm, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Instant, u64);

#[derive(Default)]
struct State {
    queue: BTreeMap<Key, (Arc<Kernel>, Action)>,
    next: u64,
}

/// Alarms, by their time.
#[derive(Default)]
pub struct Alarms {
    state: Mutex<State>,
    changed: Condvar,
}

/// A kernel stack is small; an action does little.
const STACK: usize = 128 << 10;

impl Alarms {
    /// Has `action` run at `at`, or as soon as possible afterwards.
    pub fn set(&self, kernel: &Arc<Kernel>, at: Instant, action: Action) -> Key {
        let mut state = lock(&self.state);
        state.next += 1;
        let key = Key(at, state.next);
        let first = state.queue.first_key_value().is_none_or(|(first, _)| key < *first);
        state.queue.insert(key, (Arc::clone(kernel), action));
        drop(state);
        if first {
            self.changed.notify_one();
        }
        key
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// If the host refuses.
    pub fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let alarms = Arc::clone(self);
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn(move || alarms.serve()).map(drop)
    }

    /// Takes an alarm back. It may be running already.
    pub fn cancel(&self, key: Key) {
        let action = lock(&self.state).queue.remove(&key);
        drop(action);
    }

    fn serve(&self) {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            state = match state.queue.first_entry() {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(first) if first.key().0 <= now => {
                    let (kernel, action) = first.remove();
                    drop(state);
                    action(&kernel);
                    drop(kernel);
                    lock(&self.state)
                }
                Some(first) => {
                    let wait = first.key().0 - now;
                    let waited = self.changed.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
