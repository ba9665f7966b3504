//! Timers: alarm(2), setitimer(2), timer_create(2), timerfd_create(2).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;

use crate::signal::MAX;
use crate::task::queued::Account;
use crate::task::waiter::lock;
use crate::time::{Notify, PosixTimer, Source, ThreadClock, Timer};
use crate::vfs::{OpenFile, TimerFd, status};

use super::time::{self, Clock, Whose, duration};
use super::{Call, Outcome};

const SIGALRM: i32 = 14;
/// `TIMER_ABSTIME`, `TFD_TIMER_ABSTIME`
const ABSOLUTE: u32 = 1;

fn interval(call: &Call<'_>, which: usize) -> Result<Arc<Timer>, Errno> {
    let process = &call.thread.process;
    lock(&process.timers).interval(which, process).ok_or(Errno::INVAL)
}

/// When a timer fires that is to fire after `wait`, in its own time; never, if that is
/// zero.
fn from_now(call: &Call<'_>, timer: &Timer, wait: Duration) -> Option<Duration> {
    let now = timer.now(call.kernel)?;
    (!wait.is_zero()).then(|| now.saturating_add(wait))
}

pub(super) fn alarm(call: &Call<'_>) -> Outcome {
    let timer = interval(call, 0)?;
    let wait = Duration::from_secs(call.uint(0).into());
    let (left, _) = timer.set(call.kernel, from_now(call, &timer, wait), Duration::ZERO);
    // To the nearest second, but never zero while one is set.
    let mut seconds = left.as_secs();
    if left.subsec_millis() >= 500 || (seconds == 0 && !left.is_zero()) {
        seconds += 1;
    }
    Ok(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn give(call: &Call<'_>, address: u64, setting: (Duration, Duration), micro: bool) -> Outcome {
    let (left, interval) = setting;
    let part = |time: Duration| {
        // Microseconds: rounded up, so that what is set is never told as zero.
        let time = if micro { time + Duration::from_nanos(999) } else { time };
        let fraction = if micro { time.subsec_micros() } else { time.subsec_nanos() };
        [time.as_secs().to_le_bytes(), u64::from(fraction).to_le_bytes()].concat()
    };
    call.memory().write(address, &[part(interval), part(left)].concat())?;
    Ok(0)
}

/// Interval and first time of a `struct itimerspec` or `itimerval`.
fn take(call: &Call<'_>, address: u64, micro: bool) -> Result<(Duration, Duration), Errno> {
    let bytes: [u8; 32] = call.memory().read_array(address)?;
    let mut words = bytes.chunks_exact(8).map(|w| w.try_into().map_or(0, i64::from_le_bytes));
    let scale = if micro { 1000 } else { 1 };
    let mut next = || {
        let seconds = words.next().unwrap_or(0);
        let fraction = words.next().unwrap_or(0).checked_mul(scale).ok_or(Errno::INVAL)?;
        duration(seconds, fraction)
    };
    let interval = next()?;
    Ok((interval, next()?))
}

pub(super) fn getitimer(call: &Call<'_>) -> Outcome {
    let timer = interval(call, usize::try_from(call.int(0)).map_err(|_| Errno::INVAL)?)?;
    give(call, call.arg(1), timer.get(call.kernel), true)
}

pub(super) fn setitimer(call: &Call<'_>) -> Outcome {
    let timer = interval(call, usize::try_from(call.int(0)).map_err(|_| Errno::INVAL)?)?;
    let (again, first) = match call.arg(1) {
        // Linux takes a null pointer as zeros.
        0 => (Duration::ZERO, Duration::ZERO),
        address => take(call, address, true)?,
    };
    let old = timer.set(call.kernel, from_now(call, &timer, first), again);
    if call.arg(2) != 0 { give(call, call.arg(2), old, true) } else { Ok(0) }
}

fn notify(call: &Call<'_>, address: u64) -> Result<(Notify, bool), Errno> {
    const SIGNAL: i32 = 0;
    const NONE: i32 = 1;
    const THREAD: i32 = 2;
    const THREAD_ID: i32 = 4;
    if address == 0 {
        return Ok((Notify::Process(SIGALRM, 0), true));
    }
    let memory = call.memory();
    let value = memory.read_u64(address)?;
    let number = memory.read_u32(address.wrapping_add(8))?.cast_signed();
    let kind = memory.read_u32(address.wrapping_add(12))?.cast_signed();
    if kind != NONE && !(1..=MAX).contains(&number) {
        return Err(Errno::INVAL);
    }
    let notify = match kind {
        // The C library's own thread is no matter of the kernel's.
        SIGNAL | THREAD => Notify::Process(number, value),
        NONE => Notify::None,
        THREAD_ID => {
            let tid = call.id_of(memory.read_u32(address.wrapping_add(16))?.cast_signed());
            let thread = lock(&call.kernel.tree).thread(tid).cloned().ok_or(Errno::INVAL)?;
            if thread.process.pid != call.thread.process.pid {
                return Err(Errno::INVAL);
            }
            Notify::Thread(number, value, Arc::downgrade(&thread))
        }
        _ => return Err(Errno::INVAL),
    };
    Ok((notify, false))
}

pub(super) fn timer_create(call: &Call<'_>) -> Outcome {
    let number = call.int(0);
    let source = match time::clock(call, number)? {
        Clock::Host(_) if matches!(number, 0 | 1 | 7 | 11) => Source::Wall,
        Clock::Host(_) => return Err(Errno::OPNOTSUPP.into()),
        Clock::Alarm => return Err(Errno::PERM.into()),
        Clock::Processor { whose: Whose::Process(process), user } => {
            Source::Processor(Arc::downgrade(&process), user)
        }
        Clock::Processor { whose: Whose::Thread(thread), user: false } => {
            Source::Thread(Arc::new(ThreadClock::of(call.kernel, &thread)?))
        }
        Clock::Processor { whose: Whose::Thread(_), .. } => return Err(Errno::OPNOTSUPP.into()),
    };
    let charge = Account::of_thread(call.thread).charge(false).ok_or(Errno::AGAIN)?;
    let (notify, default) = notify(call, call.arg(1))?;
    let process = &call.thread.process;
    let timer = (number, source);
    let id = lock(&process.timers).make(process, timer, charge, |id| match notify {
        // Without a `sigevent` the value is the timer's id.
        Notify::Process(number, _) if default => {
            Notify::Process(number, u64::from(id.cast_unsigned()))
        }
        other => other,
    });
    if call.memory().write(call.arg(2), &id.to_le_bytes()).is_err() {
        lock(&process.timers).delete(id);
        return Err(Errno::FAULT.into());
    }
    Ok(0)
}

fn made(call: &Call<'_>) -> Result<Arc<PosixTimer>, Errno> {
    lock(&call.thread.process.timers).get(call.int(0)).ok_or(Errno::INVAL)
}

/// When a timer is to fire, in its own time.
fn first(
    call: &Call<'_>,
    timer: &Timer,
    clock: i32,
    time: Duration,
    absolute: bool,
) -> Result<Option<Duration>, Errno> {
    if !absolute || time.is_zero() {
        return Ok(from_now(call, timer, time));
    }
    if timer.is_of_thread() {
        return Ok(Some(time));
    }
    let now = timer.now(call.kernel).unwrap_or_default();
    let theirs = time::now(call, clock)?;
    // The moment itself may have passed: then it fires at once.
    Ok(Some((now + time).saturating_sub(theirs)))
}

pub(super) fn timer_settime(call: &Call<'_>) -> Outcome {
    if call.arg(2) == 0 {
        return Err(Errno::INVAL.into());
    }
    let (again, time) = take(call, call.arg(2), false)?;
    let timer = made(call)?;
    let absolute = call.uint(1) & ABSOLUTE != 0;
    let first = first(call, &timer.timer, timer.clock, time, absolute)?;
    let old = timer.timer.set(call.kernel, first, again);
    if call.arg(3) != 0 { give(call, call.arg(3), old, false) } else { Ok(0) }
}

pub(super) fn timer_gettime(call: &Call<'_>) -> Outcome {
    let timer = made(call)?;
    give(call, call.arg(1), timer.timer.get(call.kernel), false)
}

pub(super) fn timer_getoverrun(call: &Call<'_>) -> Outcome {
    let overrun = made(call)?.overrun.load(Ordering::SeqCst);
    Ok(i64::from(i32::try_from(overrun).unwrap_or(i32::MAX)))
}

pub(super) fn timer_delete(call: &Call<'_>) -> Outcome {
    let deleted = lock(&call.thread.process.timers).delete(call.int(0));
    if deleted { Ok(0) } else { Err(Errno::INVAL.into()) }
}

pub(super) fn timerfd_create(call: &Call<'_>) -> Outcome {
    let (clock, flags) = (call.int(0), call.uint(1));
    if flags & !(status::CLOSE_ON_EXEC | status::NONBLOCK) != 0 {
        return Err(Errno::INVAL.into());
    }
    match clock {
        0 | 1 | 7 => {}
        8 | 9 => return Err(Errno::PERM.into()),
        _ => return Err(Errno::INVAL.into()),
    }
    let keep = flags & status::NONBLOCK | status::READ_WRITE;
    let file = OpenFile::stream(Box::new(TimerFd::new(call.kernel, clock)), keep);
    Ok(call.files().add(file, 0, flags & status::CLOSE_ON_EXEC != 0)?.into())
}

/// Runs `f` with the timer of a descriptor argument.
fn with_timerfd(call: &Call<'_>, f: impl FnOnce(&TimerFd) -> Outcome) -> Outcome {
    let file = call.file(0)?;
    let timer = file.file.own().and_then(|own| own.downcast_ref::<TimerFd>());
    f(timer.ok_or(Errno::INVAL)?)
}

pub(super) fn timerfd_settime(call: &Call<'_>) -> Outcome {
    /// With `TFD_TIMER_CANCEL_ON_SET`: nobody sets the clock.
    const KNOWN: u32 = 3;
    let (again, time) = take(call, call.arg(2), false)?;
    if call.uint(1) & !KNOWN != 0 {
        return Err(Errno::INVAL.into());
    }
    with_timerfd(call, |fd| {
        let absolute = call.uint(1) & ABSOLUTE != 0;
        let first = first(call, &fd.timer, fd.clock, time, absolute)?;
        let old = fd.timer.set(call.kernel, None, Duration::ZERO);
        fd.reset();
        fd.timer.set(call.kernel, first, again);
        if call.arg(3) != 0 { give(call, call.arg(3), old, false) } else { Ok(0) }
    })
}

pub(super) fn timerfd_gettime(call: &Call<'_>) -> Outcome {
    with_timerfd(call, |fd| give(call, call.arg(1), fd.timer.get(call.kernel), false))
}
