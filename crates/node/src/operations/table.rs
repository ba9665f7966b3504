//! The operations that run.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record;
use crate::pods::view::OperationView;

/// What an operation ended with.
pub type Outcome<T, E> = Result<T, E>;

/// How [`Operations::run`] came to its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined<T, E> {
    /// This caller did the work.
    Ran(Outcome<T, E>),
    /// Another caller did it meanwhile.
    Waited(Outcome<T, E>),
    /// Whoever did it ended without a result.
    Abandoned,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    since: Instant,
    limit: Duration,
}

#[derive(Debug)]
enum Progress<T, E> {
    Runs,
    Ended(Outcome<T, E>),
    Abandoned,
}

#[derive(Debug)]
struct Shared<T, E> {
    name: &'static str,
    began: Instant,
    step: Mutex<Step>,
    progress: Mutex<(Progress<T, E>, u32)>,
    ended: Condvar,
}

/// An operation that runs, as it tells where it is.
#[derive(Debug)]
pub struct Operation<'a, T, E> {
    shared: &'a Shared<T, E>,
}

impl<T, E> Operation<'_, T, E> {
    /// Says which step comes now, and how long it may take. Whoever does the
    /// step keeps to that limit.
    pub fn step(&self, name: &'static str, limit: Duration) {
        record::step(name);
        *locked(&self.shared.step) = Step { name, since: Instant::now(), limit };
    }

    /// The step that runs, and its limit.
    #[must_use]
    pub fn current(&self) -> (&'static str, Duration) {
        let step = locked(&self.shared.step);
        (step.name, step.limit)
    }
}

/// All operations that run, by key.
#[derive(Debug)]
pub struct Operations<T, E> {
    running: Mutex<BTreeMap<String, Arc<Shared<T, E>>>>,
}

impl<T, E> Default for Operations<T, E> {
    fn default() -> Self {
        Self { running: Mutex::new(BTreeMap::new()) }
    }
}

fn locked<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    // What is behind it is whole after each statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Clone, E: Clone> Operations<T, E> {
    /// Runs `work` unless an operation of this key runs: then waits for that
    /// one and takes its result.
    pub fn run(
        &self,
        name: &'static str,
        key: &str,
        work: impl FnOnce(&Operation<'_, T, E>) -> Outcome<T, E>,
    ) -> Joined<T, E> {
        let now = Instant::now();
        let shared = {
            let mut running = locked(&self.running);
            if let Some(other) = running.get(key).cloned() {
                drop(running);
                record::begin(name, key);
                let joined = wait(&other);
                let failed = !matches!(joined, Joined::Waited(Ok(_)));
                record::end(failed, true);
                return joined;
            }
            let step = Step { name: "begin", since: now, limit: Duration::ZERO };
            let shared = Arc::new(Shared {
                name,
                began: now,
                step: Mutex::new(step),
                progress: Mutex::new((Progress::Runs, 0)),
                ended: Condvar::new(),
            });
            running.insert(key.to_owned(), Arc::clone(&shared));
            shared
        };
        // Should `work` panic, those who wait must not wait for ever.
        let guard = Guard { operations: self, key, shared: &shared };
        record::begin(name, key);
        let outcome = work(&Operation { shared: &shared });
        record::end(outcome.is_err(), false);
        guard.end(Progress::Ended(outcome.clone()));
        Joined::Ran(outcome)
    }

    /// Those that run now, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<OperationView> {
        let running = locked(&self.running);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut list: Vec<OperationView> = running
            .iter()
            .map(|(key, shared)| {
                let step = locked(&shared.step);
                OperationView {
                    operation: shared.name,
                    key: key.clone(),
                    step: step.name,
                    step_ms: millis(step.since.elapsed()),
                    limit_ms: millis(step.limit),
                    total_ms: millis(shared.began.elapsed()),
                    waiters: locked(&shared.progress).1,
                }
            })
            .collect();
        list.sort_by_key(|view| std::cmp::Reverse(view.total_ms));
        list
    }
}

fn wait<T: Clone, E: Clone>(shared: &Shared<T, E>) -> Joined<T, E> {
    let mut progress = locked(&shared.progress);
    progress.1 += 1;
    loop {
        match &progress.0 {
            Progress::Ended(outcome) => return Joined::Waited(outcome.clone()),
            Progress::Abandoned => return Joined::Abandoned,
            Progress::Runs => {}
        }
        progress = shared.ended.wait(progress).unwrap_or_else(PoisonError::into_inner);
    }
}

struct Guard<'a, T: Clone, E: Clone> {
    operations: &'a Operations<T, E>,
    key: &'a str,
    shared: &'a Shared<T, E>,
}

impl<T: Clone, E: Clone> Guard<'_, T, E> {
    fn end(&self, progress: Progress<T, E>) {
        locked(&self.operations.running).remove(self.key);
        locked(&self.shared.progress).0 = progress;
        self.shared.ended.notify_all();
    }
}

impl<T: Clone, E: Clone> Drop for Guard<'_, T, E> {
    fn drop(&mut self) {
        if matches!(locked(&self.shared.progress).0, Progress::Runs) {
            self.end(Progress::Abandoned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;

    #[test]
    fn a_retry_joins_and_sees_the_step() {
        let operations: Operations<u32, String> = Operations::default();
        let runs = AtomicU32::new(0);
        let (release, released) = channel::<()>();
        let (started, has_started) = channel::<()>();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                operations.run("make", "pod 1", move |operation| {
                    runs.fetch_add(1, Ordering::SeqCst);
                    operation.step("connect", Duration::from_secs(9));
                    started.send(()).unwrap();
                    released.recv().unwrap();
                    Ok(7)
                })
            });
            has_started.recv().unwrap();
            let second = scope.spawn(|| operations.run("make", "pod 1", |_| panic!("twice")));
            let seen = loop {
                let list = operations.list();
                if list[0].waiters == 1 {
                    break list;
                }
                std::thread::yield_now();
            };
            assert_eq!((seen.len(), seen[0].step, seen[0].limit_ms), (1, "connect", 9000));
            // Another key does not wait.
            let other = operations.run("make", "pod 2", |_| Err("no".to_owned()));
            assert_eq!(other, Joined::Ran(Err("no".to_owned())));
            release.send(()).unwrap();
            assert_eq!(first.join().unwrap(), Joined::Ran(Ok(7)));
            assert_eq!(second.join().unwrap(), Joined::Waited(Ok(7)));
        });
        assert!(operations.list().is_empty());
    }

    #[test]
    fn a_panic_does_not_leave_others_waiting() {
        let operations: Arc<Operations<u32, String>> = Arc::default();
        let ours = Arc::clone(&operations);
        let broken = std::thread::spawn(move || {
            ours.run("make", "x", |_| -> Outcome<u32, String> {
                std::thread::sleep(Duration::from_millis(100));
                panic!("on purpose")
            })
        });
        while operations.list().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(operations.run("make", "x", |_| Ok(1)), Joined::Abandoned);
        assert!(broken.join().is_err());
        assert_eq!(operations.run("make", "x", |_| Ok(1)), Joined::Ran(Ok(1)));
    }
}
