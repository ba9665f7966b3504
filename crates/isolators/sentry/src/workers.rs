//! Threads of the sentry that serve events.
//!
//! One waits for the next event at a time, as the host wakes all who wait for each. It
//! serves the event itself, and then waits again: a call costs no switch between threads
//! of the sentry's. A thread that is about to wait for something else steps aside first
//! ([`step_aside`]): another one takes its place, from those that rest or a new one. Who is
//! kept without having said so (by a disk, by a lock) is noticed by the *watcher*, a
//! thread that looks every half a millisecond while events come, and sleeps otherwise.
//!
//! So there is always somebody who waits for events, or works and has not been at it for
//! longer than two of the watcher's looks, or stepped aside.
//!
//! Many calls wait without a thread: they are *parked* until what they wait for is there,
//! and then made again from the start, by whoever has caused it once its own event is
//! served, or by one that rests, or by the watcher.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::task::waiter::lock;

/// How often the watcher looks.
const LOOK: Duration = Duration::from_micros(500);
/// Looks in a row at which all were at work, before there is to be one more.
const BUSY: u32 = 4;
/// Threads that rest at most.
const MAX_RESTING: usize = 3;
/// Of those, how many are left to waits that nothing can cut short.
const KEPT: usize = 1;

thread_local! {
    static OWN: RefCell<Option<Arc<Workers>>> = const { RefCell::new(None) };
}

/// How a thread waits that steps aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It can be cut short: its guest makes the call again.
    Short,
    /// Until something is done that may need events.
    Whole,
}

/// Starts another worker, which is [called](Workers::join) or not.
type Spawn = Box<dyn Fn(bool) -> bool + Send + Sync>;

/// All of a sandbox.
#[derive(Default)]
pub struct Workers {
    /// Those that wait for an event, or are on their way there.
    waiting: AtomicUsize,
    /// How many more than one may.
    more: AtomicUsize,
    /// Events so far.
    taken: AtomicU64,
    resting: Mutex<Resting>,
    /// How much work there is, for who only looks.
    work: AtomicUsize,
    called: Condvar,
    /// The watcher sleeps.
    asleep: AtomicBool,
    sleep: Mutex<()>,
    roused: Condvar,
    spawn: OnceLock<Spawn>,
}

#[derive(Default)]
struct Resting {
    /// How many rest.
    count: usize,
    /// Of those, how many are to wait for events.
    calls: usize,
    /// What is to be done.
    work: VecDeque<Work>,
}

impl Resting {
    /// Whether more than `kept` rest who have nothing to do.
    fn has_free(&self, kept: usize) -> bool {
        self.count > kept + self.calls + self.work.len()
    }
}

/// Goes on with a parked call.
pub type Work = Box<dyn FnOnce() + Send>;

/// What a worker does next.
pub enum Next {
    /// It waits for an event.
    Event,
    /// This.
    Work(Work),
    /// It is needed no more.
    End,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

/// The calling thread is about to wait: if it is a worker and nobody waits for events,
/// another one does from now on. False if none can be had.
#[must_use]
pub fn step_aside(wait: Wait) -> bool {
    OWN.with_borrow(|own| {
        own.as_ref().is_none_or(|workers| {
            workers.hand_over_work();
            workers.stand_in(wait)
        })
    })
}

/// [`step_aside`] for a wait that nothing can cut short. If nobody can be had, there is
/// nothing else to be done than to wait.
pub fn let_others_serve() {
    let _ = step_aside(Wait::Whole);
}

impl Workers {
    /// How further workers are started; each is to call [`Self::join`] first.
    pub fn set_spawn(&self, spawn: Spawn) {
        let _ = self.spawn.set(spawn);
    }

    /// The calling thread is a worker now; `called` if it was started to wait for events.
    #[must_use]
    pub fn join(self: &Arc<Self>, called: bool) -> Next {
        OWN.set(Some(Arc::clone(self)));
        if called { Next::Event } else { self.next() }
    }

    /// The calling thread waits for no events, but steps aside and does work as a worker.
    pub fn assist(self: &Arc<Self>) {
        OWN.set(Some(Arc::clone(self)));
    }

    /// Does what work there is.
    pub fn do_work(&self) {
        while let Some(work) = self.some_work() {
            work();
        }
    }

    /// The calling thread has an event to serve.
    pub fn took(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        if self.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.rouse();
        }
    }

    /// Has the watcher look, as nobody waits any more.
    fn rouse(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            let _sleep = lock(&self.sleep);
            self.asleep.store(false, Ordering::SeqCst);
            self.roused.notify_one();
        }
    }

    /// The calling thread has served it: what it does next. It rests until it is needed.
    #[must_use]
    pub fn next(&self) -> Next {
        if let Some(work) = self.some_work() {
            return Next::Work(work);
        }
        // Who counts as waiting does wait: others rely on it.
        let one_more = |waiting| {
            let most = self.more.load(Ordering::Relaxed);
            (waiting <= most).then_some(waiting + 1)
        };
        if self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok() {
            return Next::Event;
        }
        let mut resting = lock(&self.resting);
        if resting.count >= MAX_RESTING && resting.work.is_empty() {
            return Next::End;
        }
        resting.count += 1;
        let next = loop {
            // First who is counted as waiting already.
            if resting.calls > 0 {
                resting.calls -= 1;
                break Next::Event;
            }
            if let Some(work) = resting.work.pop_front() {
                self.work.store(resting.work.len(), Ordering::SeqCst);
                break Next::Work(work);
            }
            resting = self.called.wait(resting).unwrap_or_else(PoisonError::into_inner);
        };
        resting.count -= 1;
        next
    }

    /// Whether there is work.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.work.load(Ordering::SeqCst) > 0
    }

    fn some_work(&self) -> Option<Work> {
        if !self.has_work() {
            return None;
        }
        let mut resting = lock(&self.resting);
        let work = resting.work.pop_front();
        self.work.store(resting.work.len(), Ordering::SeqCst);
        work
    }

    /// Has `work` done soon, without waiting: by the calling worker once it has served its
    /// event, or by somebody else.
    fn have_done(&self, work: Work) {
        let own = OWN.with_borrow(Option::is_some);
        let mut resting = lock(&self.resting);
        let (free, first) = (resting.has_free(0), resting.work.is_empty());
        resting.work.push_back(work);
        self.work.store(resting.work.len(), Ordering::SeqCst);
        drop(resting);
        // Behind the first there is somebody already.
        if !own && (free || first) {
            self.have_worker(free);
        }
        self.rouse();
    }

    /// The calling worker is going to wait, and does not do what it was to do afterwards.
    fn hand_over_work(&self) {
        if self.has_work() {
            let free = lock(&self.resting).count > 0;
            self.have_worker(free);
            self.rouse();
        }
    }

    /// Has somebody do the work: one of those that rest, or a new one.
    fn have_worker(&self, free: bool) -> bool {
        if free {
            self.called.notify_one();
        }
        free || self.spawn.get().is_some_and(|spawn| spawn(false))
    }

    /// There are no more events: the calling thread ends.
    pub fn leave(&self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn stand_in(&self, wait: Wait) -> bool {
        let nobody = self.waiting.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
        if nobody.is_err() {
            return true;
        }
        if self.call(KEPT) || self.spawn.get().is_some_and(|spawn| spawn(true)) {
            return true;
        }
        if wait == Wait::Whole && self.call(0) {
            return true;
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.rouse();
        false
    }

    /// Calls one of those that rest, if more than `kept` do.
    fn call(&self, kept: usize) -> bool {
        let mut resting = lock(&self.resting);
        let enough = resting.has_free(kept);
        if enough {
            resting.calls += 1;
            self.called.notify_one();
        }
        enough
    }

    /// What the watcher does for good, on a machine of so many processors.
    pub fn watch(self: &Arc<Self>, processors: usize) {
        OWN.set(Some(Arc::clone(self)));
        let (mut last, mut busy, mut undone) = (0, 0, 0_u32);
        loop {
            // Whoever was to do it is kept, or on his way.
            undone = if self.has_work() { undone.wrapping_add(1) } else { 0 };
            let free = undone > 0 && lock(&self.resting).count > 0;
            if undone % BUSY == 1 && !self.have_worker(free) {
                self.do_work();
            }
            let taken = self.taken.load(Ordering::Relaxed);
            let waiting = self.waiting.load(Ordering::SeqCst);
            let more = self.more.load(Ordering::Relaxed);
            if waiting > 0 {
                busy = 0;
                if waiting > 1 && more > 0 {
                    self.more.store(more - 1, Ordering::Relaxed);
                }
                if taken == last {
                    self.sleep();
                }
            } else {
                busy += 1;
                if busy >= BUSY {
                    busy = 0;
                    self.more.store((more + 1).min(processors - 1), Ordering::Relaxed);
                }
                if taken == last || busy == 0 {
                    self.stand_in(Wait::Whole);
                }
            }
            last = taken;
            std::thread::sleep(LOOK);
        }
    }

    /// Until an event is taken after which nobody waits, or there is work.
    fn sleep(&self) {
        let mut sleep = lock(&self.sleep);
        self.asleep.store(true, Ordering::SeqCst);
        // Who takes an event says so before it looks whether somebody sleeps.
        let nothing =
            || self.waiting.load(Ordering::SeqCst) > 0 && self.work.load(Ordering::SeqCst) == 0;
        while self.asleep.load(Ordering::SeqCst) && nothing() {
            sleep = self.roused.wait(sleep).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// A call that waits without a thread.
pub struct Parked {
    workers: Arc<Workers>,
    /// When its time is up.
    pub end: Option<Instant>,
    work: Work,
}

impl Parked {
    /// `work` goes on with it.
    #[must_use]
    pub fn new(workers: &Arc<Workers>, end: Option<Instant>, work: Work) -> Self {
        Parked { workers: Arc::clone(workers), end, work }
    }

    /// What it waits for is there, or it is to end.
    pub fn go_on(self) {
        self.workers.have_done(self.work);
    }
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parked").field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Workers whose further threads are only told of.
    fn counted(possible: bool) -> (Arc<Workers>, mpsc::Receiver<bool>) {
        let workers = Arc::new(Workers::default());
        let (tell, hear) = mpsc::channel();
        let tell = Mutex::new(tell);
        workers.set_spawn(Box::new(move |called| {
            lock(&tell).send(called).unwrap();
            possible
        }));
        (workers, hear)
    }

    #[test]
    fn who_steps_aside_is_replaced_once() {
        let (workers, spawned) = counted(true);
        assert!(step_aside(Wait::Short), "no worker yet");
        assert!(matches!(workers.join(false), Next::Event));
        workers.took();
        assert!(step_aside(Wait::Short) && step_aside(Wait::Whole));
        assert_eq!(spawned.try_iter().collect::<Vec<_>>(), [true]);
        // The new one waits: the next one rests until it is called.
        let other = Arc::clone(&workers);
        let (tell, hear) = mpsc::channel();
        std::thread::spawn(move || {
            tell.send(matches!(other.join(false), Next::Event)).unwrap();
        });
        while lock(&workers.resting).count == 0 {
            std::thread::sleep(LOOK);
        }
        workers.took();
        // It is the last: kept for who can't be cut short.
        assert!(step_aside(Wait::Short));
        assert_eq!(spawned.try_iter().collect::<Vec<_>>(), [true]);
        workers.took();
        workers.have_done(Box::new(|| {}));
        assert!(matches!(workers.next(), Next::Work(_)));
        let (none, _told) = counted(false);
        OWN.set(Some(Arc::clone(&none)));
        assert!(!step_aside(Wait::Short) && !step_aside(Wait::Whole));
        OWN.set(Some(Arc::clone(&workers)));
        assert!(workers.call(0));
        assert!(hear.recv_timeout(LIMIT).unwrap());
    }

    #[test]
    fn who_is_kept_is_noticed() {
        let (workers, spawned) = counted(true);
        assert!(matches!(workers.join(false), Next::Event));
        let watcher = Arc::clone(&workers);
        std::thread::spawn(move || watcher.watch(2));
        workers.took();
        assert!(spawned.recv_timeout(LIMIT).unwrap());
        // Its work, too, which it does not come to.
        workers.have_done(Box::new(|| {}));
        while spawned.recv_timeout(LIMIT).unwrap() {}
    }

    #[test]
    fn without_threads_the_watcher_works() {
        let (workers, _spawned) = counted(false);
        let watcher = Arc::clone(&workers);
        std::thread::spawn(move || watcher.watch(2));
        let (tell, hear) = mpsc::channel();
        workers.have_done(Box::new(move || tell.send(()).unwrap()));
        hear.recv_timeout(LIMIT).unwrap();
    }
}
