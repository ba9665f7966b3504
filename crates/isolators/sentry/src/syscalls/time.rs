//! Clocks and sleeping.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::platform::COARSE;
use crate::task::Restart;
use crate::task::waiter::Woken;

use super::{Call, Failure, Outcome};

/// The present plus a time.
///
/// # Errors
/// `EINVAL` if it is none.
pub(super) fn after(seconds: i64, nanoseconds: i64) -> Result<Instant, Errno> {
    let seconds = u64::try_from(seconds).map_err(|_| Errno::INVAL)?;
    let nanoseconds = u32::try_from(nanoseconds).map_err(|_| Errno::INVAL)?;
    if nanoseconds >= 1_000_000_000 {
        return Err(Errno::INVAL);
    }
    // Centuries are enough, and fit.
    let wait = Duration::new(seconds.min(1 << 33), nanoseconds);
    Ok(Instant::now() + wait)
}

/// Milliseconds as poll(2) has them: less than zero is no limit.
pub(super) fn deadline_of_millis(millis: i32) -> Option<Instant> {
    u64::try_from(millis).ok().map(|m| Instant::now() + Duration::from_millis(m))
}

fn read_timespec(call: &Call<'_>, address: u64) -> Result<(i64, i64), Errno> {
    let memory = call.memory();
    let seconds = memory.read_u64(address)?.cast_signed();
    Ok((seconds, memory.read_u64(address.wrapping_add(8))?.cast_signed()))
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

fn clock(id: i32) -> Result<ClockId, Errno> {
    match id {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        // Of the sentry's process: what all guests used together.
        2 => Ok(ClockId::ProcessCPUTime),
        3 => Ok(ClockId::ThreadCPUTime),
        4 => Ok(ClockId::MonotonicRaw),
        5 => Ok(ClockId::RealtimeCoarse),
        6 => Ok(ClockId::MonotonicCoarse),
        7 => Ok(ClockId::Boottime),
        _ => Err(Errno::INVAL),
    }
}

/// Seconds and nanoseconds of a clock: what the guest's vDSO says where that can
/// tell, so that neither is ever behind the other.
fn read_clock(call: &Call<'_>, id: i32) -> Result<(i64, i64), Errno> {
    let source = clock(id)?;
    let kept = u32::try_from(id).ok().and_then(|id| call.kernel.clock.now(id));
    let Some(now) = kept.and_then(|now| i64::try_from(now).ok()) else {
        let now = clock_gettime(source);
        return Ok((now.tv_sec, now.tv_nsec));
    };
    Ok((now / 1_000_000_000, now % 1_000_000_000))
}

pub(super) fn clock_gettime_(call: &Call<'_>) -> Outcome {
    let now = read_clock(call, call.int(0))?;
    write_timespec(call, call.arg(1), now)?;
    Ok(0)
}

pub(super) fn clock_getres(call: &Call<'_>) -> Outcome {
    let coarse = matches!(call.int(0), 5 | 6);
    clock(call.int(0))?;
    if call.arg(1) != 0 {
        write_timespec(call, call.arg(1), (0, if coarse { COARSE.cast_signed() } else { 1 }))?;
    }
    Ok(0)
}

pub(super) fn gettimeofday(call: &Call<'_>) -> Outcome {
    let now = read_clock(call, 0)?;
    if call.arg(0) != 0 {
        write_timespec(call, call.arg(0), (now.0, now.1 / 1000))?;
    }
    if call.arg(1) != 0 {
        call.memory().write(call.arg(1), &[0; 8])?;
    }
    Ok(0)
}

pub(super) fn time(call: &Call<'_>) -> Outcome {
    let (now, _) = read_clock(call, 0)?;
    if call.arg(0) != 0 {
        call.memory().write(call.arg(0), &now.to_le_bytes())?;
    }
    Ok(now)
}

/// Sleeps until `deadline`; tells what is left at `left` if a signal comes.
fn sleep(call: &Call<'_>, deadline: Instant, left: u64) -> Outcome {
    loop {
        match call.waiter().wait(Some(deadline)) {
            Woken::TimedOut => return Ok(0),
            Woken::Called => {}
            Woken::Interrupted => {
                if left != 0 {
                    let rest = deadline.saturating_duration_since(Instant::now());
                    let seconds = i64::try_from(rest.as_secs()).unwrap_or(i64::MAX);
                    write_timespec(call, left, (seconds, rest.subsec_nanos().into()))?;
                }
                return Err(Failure::Interrupted(Restart::Never));
            }
        }
    }
}

pub(super) fn nanosleep(call: &Call<'_>) -> Outcome {
    let (seconds, nanoseconds) = read_timespec(call, call.arg(0))?;
    sleep(call, after(seconds, nanoseconds)?, call.arg(1))
}

pub(super) fn clock_nanosleep(call: &Call<'_>) -> Outcome {
    const ABSOLUTE: i32 = 1;
    clock(call.int(0))?;
    let (seconds, nanoseconds) = read_timespec(call, call.arg(2))?;
    if call.int(1) & ABSOLUTE == 0 {
        return sleep(call, after(seconds, nanoseconds)?, call.arg(3));
    }
    after(0, nanoseconds)?;
    let now = read_clock(call, call.int(0))?;
    let billion = 1_000_000_000_i128;
    let distance =
        (i128::from(seconds) - i128::from(now.0)) * billion + i128::from(nanoseconds - now.1);
    let distance = u64::try_from(distance.max(0)).unwrap_or(u64::MAX >> 1);
    sleep(call, Instant::now() + Duration::from_nanos(distance), 0)
}

pub(super) fn times(call: &Call<'_>) -> Outcome {
    if call.arg(0) != 0 {
        call.memory().write(call.arg(0), &[0; 32])?;
    }
    let since = call.kernel.booted.elapsed().as_millis() / 10;
    Ok(i64::try_from(since).unwrap_or(0))
}
