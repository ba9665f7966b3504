//! Blocking: a guest thread's sentry thread waits until something that it
//! listens on changes, a signal interrupts it, or time is up.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::time::Resting;
use crate::workers::{self, Parked, Wait};

/// Locks without regard to poison: a sentry thread that panics ends the process.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks two, in the same order as anybody else who locks both; `None` if they are one.
pub fn lock_both<'a, T>(
    one: &'a Mutex<T>,
    other: &'a Mutex<T>,
) -> Option<(MutexGuard<'a, T>, MutexGuard<'a, T>)> {
    match std::ptr::from_ref(one).cmp(&std::ptr::from_ref(other)) {
        std::cmp::Ordering::Less => {
            let first = lock(one);
            Some((first, lock(other)))
        }
        std::cmp::Ordering::Greater => {
            let first = lock(other);
            Some((lock(one), first))
        }
        std::cmp::Ordering::Equal => None,
    }
}

/// How long a wait is if nobody can be had who serves others meanwhile: it ends as if a
/// signal had come, and the guest makes its call again.
const SHORT: Duration = Duration::from_millis(2);

/// Whether a call that would wait is left instead, as if a signal had come, to be parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It waits.
    Never,
    /// If its wait has no end.
    Endless,
    /// If its wait has no end, or one that is not near.
    Any,
    /// It never waits.
    Always,
}

/// A nearer end is waited for.
const NEAR: Duration = Duration::from_millis(2);

thread_local! {
    static LEAVE: Cell<Leave> = const { Cell::new(Leave::Never) };
    /// It was left: until when it would have waited.
    static LEFT: Cell<Option<Option<Instant>>> = const { Cell::new(None) };
}

/// Runs `f`, which makes a call; the second value tells that it was left, and until when
/// it is to wait.
pub fn leaving<T>(leave: Leave, f: impl FnOnce() -> T) -> (T, Option<Option<Instant>>) {
    LEAVE.set(leave);
    let result = f();
    LEAVE.set(Leave::Never);
    (result, LEFT.take())
}

/// Whether the call that is made is left wherever it would wait.
#[must_use]
pub fn never_waits() -> bool {
    LEAVE.get() == Leave::Always
}

/// The call that is made would wait for others of the sentry: whether it is left instead, as
/// it never waits.
#[must_use]
pub fn is_left() -> bool {
    let leaves = never_waits();
    if leaves {
        LEFT.set(Some(None));
    }
    leaves
}

#[derive(Debug, Default)]
struct State {
    parked: Option<Parked>,
    /// A thread of the sentry's waits.
    waits: bool,
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
    forward: Forward,
    /// Who is told that its thread goes on.
    resting: Option<Arc<Resting>>,
}

/// Where a call goes.
#[derive(Default)]
enum Forward {
    /// To who waits.
    #[default]
    Here,
    There(Box<dyn Fn() + Send + Sync>),
    /// There, if nobody else has taken it of those who have it like that; says whether it was
    /// taken.
    OfMany(Box<dyn Fn() -> bool + Send + Sync>),
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
    /// That of a thread, for whose process these rest.
    #[must_use]
    pub fn of(resting: &Arc<Resting>) -> Self {
        Waiter { resting: Some(Arc::clone(resting)), ..Waiter::default() }
    }

    /// In which nobody waits: a call runs `forward`, which must not wait.
    #[must_use]
    pub fn forwarding(forward: Box<dyn Fn() + Send + Sync>) -> Self {
        Waiter { forward: Forward::There(forward), ..Waiter::default() }
    }

    /// The same, but that a queue calls no more than one of these, the first for which
    /// `forward` says that somebody is woken. It runs under the queue's lock.
    #[must_use]
    pub fn exclusive(forward: Box<dyn Fn() -> bool + Send + Sync>) -> Self {
        Waiter { forward: Forward::OfMany(forward), ..Waiter::default() }
    }

    /// Ends a wait, the present or the next one, until [`Self::clear`].
    pub fn interrupt(&self) {
        let mut state = lock(&self.state);
        state.interrupted = true;
        self.tell(state);
    }

    /// [`Self::interrupt`] for a signal, under the lock of the list that it is put in.
    pub fn signal(&self) {
        let mut state = lock(&self.state);
        state.signalled = true;
        self.tell(state);
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

    /// Whether somebody waits, or is parked.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let state = lock(&self.state);
        state.waits || state.parked.is_some()
    }

    fn call(&self) {
        match &self.forward {
            Forward::Here => {}
            Forward::There(forward) => return forward(),
            Forward::OfMany(forward) => {
                forward();
                return;
            }
        }
        let mut state = lock(&self.state);
        state.woken = true;
        self.tell(state);
    }

    /// Has who waits look again.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let (parked, waits) = (state.parked.take(), state.waits);
        drop(state);
        match parked {
            Some(parked) => {
                self.goes_on();
                parked.go_on();
            }
            // To tell nobody is a call of the host's, too.
            None if waits => self.changed.notify_all(),
            None => {}
        }
    }

    /// The call that waits here was left, and goes on when it is told; false if it was
    /// told meanwhile.
    #[must_use]
    pub fn park(&self, parked: Parked) -> bool {
        let mut state = lock(&self.state);
        let told = state.woken || state.interrupted || state.signalled;
        if !told {
            state.parked = Some(parked);
        }
        !told
    }

    /// Has a parked call go on whose time is up; until when it waits, if it is not.
    pub fn expire(&self, now: Instant) -> Option<Instant> {
        let state = lock(&self.state);
        let end = state.parked.as_ref()?.end?;
        if end > now {
            return Some(end);
        }
        self.tell(state);
        None
    }

    fn goes_on(&self) {
        if let Some(resting) = &self.resting {
            resting.rouse();
        }
    }

    /// Waits. What was called since the last wait counts.
    pub fn wait(&self, deadline: Option<Instant>) -> Woken {
        let woken = self.wait_here(deadline);
        self.goes_on();
        woken
    }

    fn wait_here(&self, deadline: Option<Instant>) -> Woken {
        let mut state = lock(&self.state);
        let (mut end, mut at_the_end, mut begun) = (deadline, Woken::TimedOut, false);
        loop {
            if std::mem::replace(&mut state.woken, false) {
                return Woken::Called;
            }
            if state.interrupted || state.signalled {
                return Woken::Interrupted;
            }
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) {
                return at_the_end;
            }
            let leaves = match LEAVE.get() {
                Leave::Never => false,
                Leave::Endless => end.is_none(),
                Leave::Any => end.is_none_or(|end| end > now + NEAR),
                Leave::Always => true,
            };
            if leaves {
                LEFT.set(Some(end));
                return Woken::Interrupted;
            }
            let first = !std::mem::replace(&mut begun, true);
            if first {
                drop(state);
                crate::signal::owner::tell();
                state = lock(&self.state);
                if state.woken || state.interrupted || state.signalled {
                    continue;
                }
            }
            if first && !workers::step_aside(Wait::Short) && end.is_none_or(|end| end > now + SHORT)
            {
                (end, at_the_end) = (Some(now + SHORT), Woken::Interrupted);
            }
            state.waits = true;
            state = match end {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let waited =
                        self.changed.wait_timeout(state, end.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.waits = false;
        }
    }
}

/// Those who wait for one thing. Standing in it is cheap to undo: a place is
/// weak, and those who left are dropped at the next wake, or when there are many.
#[derive(Debug, Default)]
pub struct WaitQueue {
    waiting: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    taken: Vec<Weak<Waiter>>,
    /// When there are more, it is looked who has left.
    enough: usize,
}

/// Few enough not to be looked through.
const FEW: usize = 16;

impl WaitQueue {
    /// Adds a waiter until the next wake. Look at the condition after this.
    pub fn join(&self, waiter: &Arc<Waiter>) {
        let mut places = lock(&self.waiting);
        let this = Arc::downgrade(waiter);
        if places.taken.iter().any(|w| w.ptr_eq(&this)) {
            return;
        }
        if places.taken.len() >= places.enough.max(FEW) {
            places.taken.retain(|w| w.strong_count() > 0);
            places.enough = places.taken.len() * 2;
        }
        places.taken.push(this);
    }

    /// The waiter stands in it no more.
    pub fn leave(&self, waiter: &Arc<Waiter>) {
        let this = Arc::downgrade(waiter);
        lock(&self.waiting).taken.retain(|w| !w.ptr_eq(&this));
    }

    /// Calls all of them, but of those that are exclusive only one; whether there was any.
    pub fn wake(&self) -> bool {
        let mut served = false;
        let all: Vec<_> = {
            let mut places = lock(&self.waiting);
            let waiting = std::mem::take(&mut *places);
            let called = waiting.taken.into_iter().filter_map(|place| {
                let waiter = place.upgrade()?;
                match &waiter.forward {
                    Forward::OfMany(_) if served => places.taken.push(place),
                    Forward::OfMany(forward) => served = forward(),
                    _ => return Some(waiter),
                }
                None
            });
            // In the memory of the places, which are as large.
            called.collect()
        };
        all.iter().for_each(|waiter| waiter.call());
        served || !all.is_empty()
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
    fn who_left_is_forgotten_without_a_wake() {
        let queue = WaitQueue::default();
        let stay: Vec<_> = (0..40).map(|_| Arc::new(Waiter::default())).collect();
        stay.iter().for_each(|waiter| queue.join(waiter));
        for _ in 0..10_000 {
            queue.join(&Arc::new(Waiter::default()));
        }
        assert!(lock(&queue.waiting).taken.len() < 200);
        queue.wake();
        for waiter in stay {
            assert_eq!(waiter.wait(Some(Instant::now())), Woken::Called);
        }
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

    #[test]
    fn a_call_is_left_instead_and_parked() {
        let (waiter, queue) = (Arc::new(Waiter::default()), WaitQueue::default());
        let workers = Arc::default();
        let parked = |end| Parked::new(&workers, end, Box::new(|| {}));
        let now = Instant::now();
        let (near, far) = (now + Duration::from_micros(1), now + Duration::from_secs(60));
        let wait = |leave, end| leaving(leave, || waiter.wait(end));
        assert_eq!(wait(Leave::Endless, Some(near)), (Woken::TimedOut, None));
        assert_eq!(wait(Leave::Any, Some(near)), (Woken::TimedOut, None));
        assert_eq!(wait(Leave::Endless, None), (Woken::Interrupted, Some(None)));
        assert_eq!(wait(Leave::Any, Some(far)), (Woken::Interrupted, Some(Some(far))));
        // It is told in between.
        queue.join(&waiter);
        queue.wake();
        assert!(!waiter.park(parked(None)));
        assert_eq!(wait(Leave::Any, None), (Woken::Called, None));
        assert!(waiter.park(parked(Some(far))));
        assert_eq!(waiter.expire(now), Some(far));
        assert!(!workers.has_work());
        waiter.signal();
        assert!(workers.has_work());
        assert_eq!(waiter.expire(far), None);
        assert_eq!(wait(Leave::Any, None), (Woken::Interrupted, None));
    }
}
