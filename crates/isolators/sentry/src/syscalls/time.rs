//! Clocks and sleeping.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::kernel::{Frame, Kernel};
use crate::platform::context::Register;
use crate::platform::{COARSE, HostCall};
use crate::signal;
use crate::task::waiter::{Woken, lock};
use crate::task::{Process, Restart, Thread};
use crate::time::ThreadClock;

use super::{Call, Failure, Framed, Outcome};

/// A time that a guest gave as seconds and nanoseconds.
///
/// # Errors
/// `EINVAL` if it is none.
pub(super) fn duration(seconds: i64, nanoseconds: i64) -> Result<Duration, Errno> {
    let seconds = u64::try_from(seconds).map_err(|_| Errno::INVAL)?;
    let nanoseconds = u32::try_from(nanoseconds).map_err(|_| Errno::INVAL)?;
    if nanoseconds >= 1_000_000_000 {
        return Err(Errno::INVAL);
    }
    // Centuries are enough, and fit.
    Ok(Duration::new(seconds.min(1 << 33), nanoseconds))
}

/// The present plus a time.
///
/// # Errors
/// `EINVAL` if it is none.
pub(super) fn after(seconds: i64, nanoseconds: i64) -> Result<Instant, Errno> {
    Ok(Instant::now() + duration(seconds, nanoseconds)?)
}

/// Milliseconds as poll(2) has them: less than zero is no limit.
pub(super) fn deadline_of_millis(millis: i32) -> Option<Instant> {
    u64::try_from(millis).ok().map(|m| Instant::now() + Duration::from_millis(m))
}

pub(super) fn read_timespec(call: &Call<'_>, address: u64) -> Result<(i64, i64), Errno> {
    let (seconds, nanoseconds) = call.memory().read_pair(address)?;
    Ok((seconds.cast_signed(), nanoseconds.cast_signed()))
}

fn write_timespec(call: &Call<'_>, address: u64, time: (i64, i64)) -> Result<(), Failure> {
    let bytes: Vec<u8> = [time.0, time.1].iter().flat_map(|n| n.to_le_bytes()).collect();
    call.memory().write(address, &bytes)?;
    Ok(())
}

/// A relative time at `address`; none at address zero.
pub(super) fn deadline_at(call: &Call<'_>, address: u64) -> Result<Option<Instant>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let (seconds, nanoseconds) = read_timespec(call, address)?;
    after(seconds, nanoseconds).map(Some)
}

/// An absolute time of the wall clock, or of the monotonic one.
pub(super) fn absolute(call: &Call<'_>, address: u64, wall: bool) -> Result<Instant, Errno> {
    use rustix::time::{ClockId, clock_gettime};
    let (seconds, nanoseconds) = read_timespec(call, address)?;
    duration(seconds, nanoseconds)?;
    let now = clock_gettime(if wall { ClockId::Realtime } else { ClockId::Monotonic });
    let distance = (i128::from(seconds) - i128::from(now.tv_sec)) * 1_000_000_000
        + i128::from(nanoseconds - now.tv_nsec);
    let distance = u64::try_from(distance.max(0)).unwrap_or(u64::MAX >> 1);
    Ok(Instant::now() + Duration::from_nanos(distance))
}

/// A clock.
pub(super) enum Clock {
    /// One of the host's, which all share.
    Host(ClockId),
    /// One that wakes the machine, by its number: to be read only.
    Alarm,
    /// Processor time; of the own code only, if so.
    Processor { whose: Whose, user: bool },
}

/// Whose processor time.
pub(super) enum Whose {
    Process(Arc<Process>),
    /// Of the caller's process.
    Thread(Arc<Thread>),
}

/// The clock of a number.
///
/// # Errors
/// `EINVAL`
pub(super) fn clock(call: &Call<'_>, id: i32) -> Result<Clock, Errno> {
    let own = || Whose::Process(Arc::clone(&call.thread.process));
    match id {
        0 => Ok(Clock::Host(ClockId::Realtime)),
        1 => Ok(Clock::Host(ClockId::Monotonic)),
        2 => Ok(Clock::Processor { whose: own(), user: false }),
        3 => Ok(Clock::Processor { whose: Whose::Thread(Arc::clone(call.thread)), user: false }),
        4 => Ok(Clock::Host(ClockId::MonotonicRaw)),
        5 => Ok(Clock::Host(ClockId::RealtimeCoarse)),
        6 => Ok(Clock::Host(ClockId::MonotonicCoarse)),
        7 => Ok(Clock::Host(ClockId::Boottime)),
        8 | 9 => Ok(Clock::Alarm),
        // Atomic time, whose distance nobody has set.
        11 => Ok(Clock::Host(ClockId::Realtime)),
        10 | 12.. => Err(Errno::INVAL),
        // clock_getcpuclockid(3): a number of a process or thread, upside down.
        _ => {
            let (pid, user) = (call.id_of(!(id >> 3)), id & 3 == 1);
            if id & 3 == 3 {
                return Err(Errno::INVAL);
            }
            let tree = lock(&call.kernel.tree);
            let whose = if id & 4 == 0 {
                if pid == 0 {
                    own()
                } else {
                    Whose::Process(
                        tree.row(pid).map(|r| Arc::clone(&r.process)).ok_or(Errno::INVAL)?,
                    )
                }
            } else if pid == 0 {
                Whose::Thread(Arc::clone(call.thread))
            } else {
                let thread = tree.thread(pid).cloned().ok_or(Errno::INVAL)?;
                if thread.process.pid != call.thread.process.pid {
                    return Err(Errno::INVAL);
                }
                Whose::Thread(thread)
            };
            Ok(Clock::Processor { whose, user })
        }
    }
}

/// What a clock shows now.
///
/// # Errors
/// `EINVAL` if there is none; `EOPNOTSUPP` for threads.
pub(super) fn now(call: &Call<'_>, id: i32) -> Result<Duration, Errno> {
    match clock(call, id)? {
        // What the guest's vDSO says where that can tell, so that neither is ever
        // behind the other.
        Clock::Host(clock) => {
            match u32::try_from(id).ok().and_then(|id| call.kernel.clock.now(id)) {
                Some(now) => Ok(Duration::from_nanos(now)),
                None => {
                    let now = clock_gettime(clock);
                    duration(now.tv_sec, now.tv_nsec)
                }
            }
        }
        Clock::Alarm => {
            let clock = if id == 8 { ClockId::Realtime } else { ClockId::Boottime };
            let now = clock_gettime(clock);
            duration(now.tv_sec, now.tv_nsec)
        }
        Clock::Processor { whose: Whose::Process(process), user } => {
            Ok(process.usage(call.kernel).shown(user))
        }
        Clock::Processor { whose: Whose::Thread(_), .. } => Err(Errno::OPNOTSUPP),
    }
}

fn write_time(call: &Call<'_>, address: u64, time: Duration) -> Outcome {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    write_timespec(call, address, (seconds, time.subsec_nanos().into()))?;
    Ok(0)
}

pub(super) fn clock_gettime_(call: &Call<'_>) -> Outcome {
    match clock(call, call.int(0))? {
        // The caller's own, as the host numbers it, too.
        Clock::Processor { whose: Whose::Thread(_), .. } if call.int(0) == 3 => Err(Failure::Host),
        Clock::Processor { whose: Whose::Thread(_), .. } => Err(Failure::NeedsFrame),
        _ => write_time(call, call.arg(1), now(call, call.int(0))?),
    }
}

/// The processor time of a thread: another one of the same stub may ask the host.
pub(super) fn clock_gettime_of_thread(call: &Call<'_>, frame: &Frame) -> Framed {
    const CLOCK_GETTIME: u64 = 228;
    let Clock::Processor { whose: Whose::Thread(thread), user } = clock(call, call.int(0))? else {
        return Err(Errno::INVAL.into());
    };
    let Some(host) = lock(&thread.place).host else {
        // It has been made a moment ago.
        return write_time(call, call.arg(1), Duration::ZERO).map(Some);
    };
    let scratch = lock(&call.thread.place).slot.scratch();
    let args = [host.processor_clock(user), scratch, 0, 0, 0, 0];
    let (mut frame, address, order) = (frame.clone(), call.arg(1), frame);
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        let memory = thread.memory();
        let copy = memory.read_array::<16>(scratch).and_then(|time| memory.write(address, &time));
        let answer = match copy {
            _ if result < 0 => result,
            Ok(()) => 0,
            Err(_) => -i64::from(Errno::FAULT.raw_os_error()),
        };
        frame.context.set(Register::Rax, answer.cast_unsigned());
        signal::resume(kernel, thread, id, &mut frame);
    };
    let host_call = HostCall { number: CLOCK_GETTIME, args };
    let then = (false, Box::new(then) as crate::task::thread::Then);
    call.kernel.order_aside(call.thread, call.id, order, host_call, then);
    Ok(None)
}

pub(super) fn clock_getres(call: &Call<'_>) -> Outcome {
    let coarse = matches!(call.int(0), 5 | 6);
    clock(call, call.int(0))?;
    if call.arg(1) != 0 {
        write_timespec(call, call.arg(1), (0, if coarse { COARSE.cast_signed() } else { 1 }))?;
    }
    Ok(0)
}

/// Nobody sets the machine's clocks from inside.
pub(super) fn clock_settime(call: &Call<'_>) -> Outcome {
    match clock(call, call.int(0))? {
        Clock::Host(ClockId::Realtime) => {
            let (seconds, nanoseconds) = read_timespec(call, call.arg(1))?;
            duration(seconds, nanoseconds)?;
            Err(Errno::PERM.into())
        }
        _ => Err(Errno::INVAL.into()),
    }
}

pub(super) fn settimeofday(_: &Call<'_>) -> Outcome {
    Err(Errno::PERM.into())
}

/// Tells of a clock that nobody keeps in step; changes nothing.
fn adjust(call: &Call<'_>, address: u64) -> Outcome {
    /// `TIME_ERROR`
    const UNSYNCHRONIZED: i64 = 5;
    /// Bits of `modes`: as adjtime(3) does it, which can only be asked for, or read.
    const ADJTIME: u32 = 0x8000;
    const SINGLE_SHOT: u32 = 1;
    const READ_ONLY: u32 = 0x2000;
    let memory = call.memory();
    let modes = memory.read_u32(address)?;
    if modes & (ADJTIME | SINGLE_SHOT) == ADJTIME {
        return Err(Errno::INVAL.into());
    }
    if modes != 0 && modes & (ADJTIME | READ_ONLY) != ADJTIME | READ_ONLY {
        return Err(Errno::PERM.into());
    }
    let time = clock_gettime(ClockId::Realtime);
    let mut bytes = vec![0; 208];
    let mut put = |at: usize, value: i64| {
        if let Some(room) = bytes.get_mut(at..at + 8) {
            room.copy_from_slice(&value.to_le_bytes());
        }
    };
    // Errors, status (STA_UNSYNC), precision, tolerance, time, length of a tick.
    for (at, value) in [(24, 16_000_000), (32, 16_000_000), (40, 0x40), (56, 1), (64, 32_768_000)] {
        put(at, value);
    }
    for (at, value) in [(72, time.tv_sec), (80, time.tv_nsec / 1000), (88, 10_000)] {
        put(at, value);
    }
    memory.write(address, &bytes)?;
    Ok(UNSYNCHRONIZED)
}

pub(super) fn adjtimex(call: &Call<'_>) -> Outcome {
    adjust(call, call.arg(0))
}

pub(super) fn clock_adjtime(call: &Call<'_>) -> Outcome {
    match clock(call, call.int(0))? {
        Clock::Host(_) if call.int(0) == 0 => adjust(call, call.arg(1)),
        _ => Err(Errno::OPNOTSUPP.into()),
    }
}

pub(super) fn gettimeofday(call: &Call<'_>) -> Outcome {
    if call.arg(0) != 0 {
        let now = now(call, 0)?;
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        write_timespec(call, call.arg(0), (seconds, now.subsec_micros().into()))?;
    }
    if call.arg(1) != 0 {
        call.memory().write(call.arg(1), &[0; 8])?;
    }
    Ok(0)
}

pub(super) fn time(call: &Call<'_>) -> Outcome {
    let now = i64::try_from(now(call, 0)?.as_secs()).unwrap_or(i64::MAX);
    if call.arg(0) != 0 {
        call.memory().write(call.arg(0), &now.to_le_bytes())?;
    }
    Ok(now)
}

/// Sleeps until `deadline`; tells what is left at `left` if a signal comes.
fn sleep(call: &Call<'_>, deadline: Instant, left: u64, restart: Restart) -> Outcome {
    loop {
        match call.waiter().wait(Some(deadline)) {
            Woken::TimedOut => return Ok(0),
            Woken::Called => {}
            Woken::Interrupted => {
                if left != 0 {
                    let rest = deadline.saturating_duration_since(Instant::now());
                    write_time(call, left, rest)?;
                }
                return Err(Failure::Interrupted(restart));
            }
        }
    }
}

fn sleep_for(call: &Call<'_>, time: (i64, i64), left: u64) -> Outcome {
    let deadline = after(time.0, time.1)?;
    let deadline = call.continued.unwrap_or(deadline);
    sleep(call, deadline, left, Restart::Until(deadline))
}

pub(super) fn nanosleep(call: &Call<'_>) -> Outcome {
    let time = read_timespec(call, call.arg(0))?;
    sleep_for(call, time, call.arg(1))
}

/// Until a clock of processor time shows more: looked at again and again. One that has gone
/// shows nothing more.
fn sleep_for_processor(
    call: &Call<'_>,
    now: &dyn Fn() -> Option<Duration>,
    (wanted, absolute): (Duration, bool),
) -> Outcome {
    const LOOK: Duration = Duration::from_millis(5);
    let left = if absolute { 0 } else { call.arg(3) };
    let first = now().ok_or(Errno::INVAL)?;
    let until = if absolute { wanted } else { first.saturating_add(wanted) };
    let mut rest = until.saturating_sub(first);
    while !rest.is_zero() {
        match sleep(call, Instant::now() + (rest / 64).max(LOOK), 0, Restart::Never) {
            Err(Failure::Interrupted(_)) if left != 0 => {
                write_time(call, left, rest)?;
                return Err(Errno::INTR.into());
            }
            other => other?,
        };
        rest = now().map_or(rest, |now| until.saturating_sub(now));
    }
    Ok(0)
}

pub(super) fn clock_nanosleep(call: &Call<'_>) -> Outcome {
    const ABSOLUTE: i32 = 1;
    let id = call.int(0);
    let clock = clock(call, id)?;
    // Those that nobody can sleep by: the caller's own, the coarse ones.
    if matches!(clock, Clock::Host(_)) && !matches!(id, 0 | 1 | 7 | 11) || id == 3 {
        return Err(Errno::OPNOTSUPP.into());
    }
    let time = read_timespec(call, call.arg(2))?;
    let wanted = duration(time.0, time.1)?;
    let absolute = call.int(1) & ABSOLUTE != 0;
    match clock {
        Clock::Alarm => Err(Errno::PERM.into()),
        Clock::Processor { whose: Whose::Thread(thread), .. }
            if Arc::ptr_eq(&thread, call.thread) =>
        {
            Err(Errno::INVAL.into())
        }
        Clock::Processor { whose: Whose::Thread(_), user: true } => Err(Errno::OPNOTSUPP.into()),
        Clock::Processor { whose: Whose::Thread(thread), .. } => {
            let clock = ThreadClock::of(call.kernel, &thread)?;
            sleep_for_processor(call, &|| clock.now(call.kernel), (wanted, absolute))
        }
        Clock::Processor { whose: Whose::Process(process), user } => {
            let now = || Some(process.usage(call.kernel).shown(user));
            sleep_for_processor(call, &now, (wanted, absolute))
        }
        Clock::Host(_) if absolute => {
            let distance = wanted.saturating_sub(now(call, id)?);
            sleep(call, Instant::now() + distance, 0, Restart::Never)
        }
        Clock::Host(_) => sleep_for(call, time, call.arg(3)),
    }
}
