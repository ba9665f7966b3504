//! Timers that fire once or again and again.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::kernel::Kernel;
use crate::syscalls::system::processors;
use crate::task::Process;
use crate::task::waiter::lock;

use super::{Alarms, Key, ThreadClock};

/// What a timer counts.
#[derive(Clone)]
pub enum Source {
    /// Time that passes.
    Wall,
    /// Processor time of a process; in its own code only, if so.
    Processor(Weak<Process>, bool),
    /// Processor time of a thread.
    Thread(Arc<ThreadClock>),
}

/// Gets how often it fired since it was last told: more than once if the
/// interval is shorter than the sentry's pace.
type Fire = Box<dyn Fn(&Arc<Kernel>, u64) + Send + Sync>;

#[derive(Default)]
struct State {
    key: Option<(Key, Weak<Alarms>)>,
    /// When it fires next, in the source's time.
    next: Option<Duration>,
    interval: Duration,
    /// What the source showed when it was last looked at.
    seen: Duration,
    /// It has no alarm until it is roused.
    rests: bool,
    /// Counts settings, so that an alarm of a former one does nothing.
    serial: u64,
}

impl State {
    fn cancel(&mut self) {
        self.rests = false;
        if let Some((key, alarms)) = self.key.take()
            && let Some(alarms) = alarms.upgrade()
        {
            alarms.cancel(key);
        }
    }
}

/// A timer.
pub struct Timer {
    source: Source,
    fire: Fire,
    state: Mutex<State>,
}

/// Alarms of one timer are no closer than this: an interval of a nanosecond must
/// not keep the sentry busy.
const PACE: Duration = Duration::from_micros(100);
/// Processor time is looked at no more often than this.
const LOOK: Duration = Duration::from_millis(1);
/// The same, if none was used meanwhile, as who waits on the host uses none: Linux looks as often.
const IDLE: Duration = Duration::from_millis(4);

/// What the clock of [`Source::Wall`] says when the kernel starts: times before that are times,
/// too, and a timer that was to fire then has fired often since.
const BEGIN: Duration = Duration::from_secs(1 << 33);

impl Timer {
    /// A timer that is not set.
    #[must_use]
    pub fn new(source: Source, fire: Fire) -> Arc<Self> {
        Arc::new(Timer { source, fire, state: Mutex::default() })
    }

    /// The source's time; `None` if it is gone.
    #[must_use]
    pub fn now(&self, kernel: &Arc<Kernel>) -> Option<Duration> {
        match &self.source {
            Source::Wall => Some(BEGIN + kernel.booted.elapsed()),
            Source::Thread(clock) => clock.now(kernel),
            Source::Processor(process, user) => Some(process.upgrade()?.usage(kernel).shown(*user)),
        }
    }

    /// Whether its own time is what its clock shows, and nobody else's.
    #[must_use]
    pub fn is_of_thread(&self) -> bool {
        matches!(self.source, Source::Thread(_))
    }

    /// Has it fire at `first` in the source's time (`None`: never), and every
    /// `interval` from then on, unless that is zero. Returns what was left, and
    /// the interval, of the former setting.
    pub fn set(
        self: &Arc<Self>,
        kernel: &Arc<Kernel>,
        first: Option<Duration>,
        interval: Duration,
    ) -> (Duration, Duration) {
        let now = self.now(kernel).unwrap_or_default();
        let mut state = lock(&self.state);
        let old = left(&state, now);
        state.cancel();
        state.serial += 1;
        (state.next, state.interval) = (first, interval);
        self.schedule(kernel, &mut state, now, Duration::ZERO);
        old
    }

    /// What is left, zero if it is not set, and the interval.
    #[must_use]
    pub fn get(&self, kernel: &Arc<Kernel>) -> (Duration, Duration) {
        let now = self.now(kernel).unwrap_or_default();
        left(&lock(&self.state), now)
    }

    /// Has it fire now as often as it should have by now: its alarm may be late.
    pub fn catch_up(self: &Arc<Self>, kernel: &Arc<Kernel>) {
        let Some(now) = self.now(kernel) else { return };
        let serial = {
            let mut state = lock(&self.state);
            if state.next.is_none_or(|next| now < next) {
                return;
            }
            state.cancel();
            // An alarm that rings at this moment does nothing.
            state.serial += 1;
            state.serial
        };
        self.ring(kernel, serial);
    }

    fn schedule(
        self: &Arc<Self>,
        kernel: &Arc<Kernel>,
        state: &mut State,
        now: Duration,
        least: Duration,
    ) {
        let Some(next) = state.next else { return };
        let (wait, look) = (next.saturating_sub(now), least.max(LOOK));
        let wait = match self.source {
            Source::Wall => wait.max(least),
            Source::Thread(_) => wait.max(look),
            // All processors may be at it, from now on.
            Source::Processor(..) => {
                let most = u32::try_from(processors()).unwrap_or(1).max(1);
                (wait / most).max(look)
            }
        };
        let at = Instant::now() + wait;
        let (timer, serial) = (Arc::downgrade(self), state.serial);
        let ring = move |kernel: &Arc<Kernel>| {
            if let Some(timer) = timer.upgrade() {
                timer.ring(kernel, serial);
            }
        };
        let key = kernel.alarms.set(kernel, at, Box::new(ring));
        state.key = Some((key, Arc::downgrade(&kernel.alarms)));
    }

    fn ring(self: &Arc<Self>, kernel: &Arc<Kernel>, serial: u64) {
        // Outside of the lock: it asks the tree of processes.
        let Some(now) = self.now(kernel) else { return };
        let watched = self.watched();
        let (times, rests) = {
            let mut state = lock(&self.state);
            if state.serial != serial {
                return;
            }
            state.key = None;
            let Some(next) = state.next else { return };
            let times = if now < next {
                0
            } else if state.interval.is_zero() {
                state.next = None;
                1
            } else {
                let missed = (now - next).as_nanos() / state.interval.as_nanos().max(1);
                let missed = u64::try_from(missed).unwrap_or(u64::MAX);
                let step = times_of(state.interval, missed.saturating_add(1));
                state.next = Some(next.saturating_add(step));
                missed.saturating_add(1)
            };
            let idle = std::mem::replace(&mut state.seen, now) == now;
            state.rests = times == 0 && idle && watched.is_some();
            if !state.rests {
                self.schedule(kernel, &mut state, now, PACE);
            }
            (times, state.rests)
        };
        if times > 0 {
            (self.fire)(kernel, times);
        }
        if let Some(process) = watched.filter(|_| rests) {
            // Since it was looked at somebody may have run, and wait again.
            let added = process.resting.add(kernel, &process, self);
            if !added || self.now(kernel) != Some(now) {
                self.rouse(kernel, IDLE);
            }
        }
    }

    /// Whose time it watches, unless it counts time that passes.
    fn watched(&self) -> Option<Arc<Process>> {
        match &self.source {
            Source::Wall => None,
            Source::Thread(clock) => clock.process(),
            Source::Processor(process, _) => process.upgrade(),
        }
    }

    /// If it rests, it has an alarm again.
    pub(super) fn rouse(self: &Arc<Self>, kernel: &Arc<Kernel>, least: Duration) {
        let mut state = lock(&self.state);
        if std::mem::take(&mut state.rests) {
            let now = state.seen;
            self.schedule(kernel, &mut state, now, least);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        lock(&self.state).cancel();
    }
}

fn times_of(interval: Duration, times: u64) -> Duration {
    let nanoseconds = interval.as_nanos().saturating_mul(u128::from(times));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn left(state: &State, now: Duration) -> (Duration, Duration) {
    // A timer that is set has at least a moment left: zero means that it is not.
    let left = state.next.map(|next| next.saturating_sub(now).max(Duration::from_nanos(1)));
    (left.unwrap_or_default(), state.interval)
}
