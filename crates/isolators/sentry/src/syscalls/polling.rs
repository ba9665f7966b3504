//! poll(2), select(2) and their relatives.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::io::Errno;

use crate::signal;
use crate::task::Restart;
use crate::task::limits::MOST_FILES;
use crate::task::waiter::{Woken, lock};
use crate::vfs::{OpenFile, Ready};

use super::system::STICKY_TIMEOUTS;
use super::{Call, Failure, Outcome, time};

/// What one file is polled for.
struct Watch {
    file: Option<Arc<OpenFile>>,
    wanted: Ready,
    found: Ready,
}

/// Waits until one of them is ready; returns how many are.
fn poll_all(
    call: &Call<'_>,
    watches: &mut [Watch],
    deadline: Option<Instant>,
) -> Result<usize, Failure> {
    let deadline = call.continued.or(deadline);
    let restart = deadline.map_or(Restart::Never, Restart::Until);
    loop {
        for watch in watches.iter() {
            if let Some(file) = &watch.file {
                file.file.watch(call.waiter());
            }
        }
        let mut count = 0;
        for watch in watches.iter_mut() {
            let mask = watch.wanted | Ready::ERR | Ready::HUP | Ready::NVAL;
            if let Some(file) = &watch.file {
                watch.found = file.file.ready_for(call.thread) & mask;
            }
            count += usize::from(!watch.found.is_empty());
        }
        if count > 0 {
            return Ok(count);
        }
        match call.waiter().wait(deadline) {
            Woken::Called => {}
            Woken::TimedOut => return Ok(0),
            Woken::Interrupted => return Err(Failure::Interrupted(restart)),
        }
    }
}

fn do_poll(call: &Call<'_>, deadline: Option<Instant>) -> Outcome {
    let count = usize::try_from(call.arg(1)).unwrap_or(usize::MAX);
    if count > usize::try_from(call.files().limit()).unwrap_or(0) {
        return Err(Errno::INVAL.into());
    }
    let memory = call.memory();
    let mut bytes = vec![0; count * 8];
    memory.read(call.arg(0), &mut bytes)?;
    let files = call.files();
    let mut watches = Vec::with_capacity(count);
    for entry in bytes.chunks_exact(8) {
        let (number, rest) = entry.split_at(4);
        let number = number.try_into().map_or(-1, i32::from_le_bytes);
        let events = rest.get(..2).and_then(|e| e.try_into().ok()).map_or(0, u16::from_le_bytes);
        let file = u32::try_from(number).ok().map(|n| files.get(n).and_then(OpenFile::opened));
        let missing = matches!(file, Some(Err(_)));
        watches.push(Watch {
            file: file.and_then(Result::ok),
            wanted: Ready::from_bits_truncate(events),
            found: if missing { Ready::NVAL } else { Ready::empty() },
        });
    }
    let ready = poll_all(call, &mut watches, deadline)?;
    // Only `revents` is written: the rest may be in other hands meanwhile.
    for (watch, at) in watches.iter().zip(0_u64..) {
        let address = call.arg(0).wrapping_add(at * 8 + 6);
        memory.write(address, &watch.found.bits().to_le_bytes())?;
    }
    Ok(i64::try_from(ready).unwrap_or(0))
}

pub(super) fn poll(call: &Call<'_>) -> Outcome {
    let deadline = time::deadline_of_millis(call.int(2));
    do_poll(call, deadline)
}

/// Runs `f` with another signal mask, if argument `index` names one.
pub(super) fn with_mask(
    call: &Call<'_>,
    address: u64,
    size: u64,
    f: impl FnOnce() -> Outcome,
) -> Outcome {
    if address == 0 {
        return f();
    }
    if size != 8 {
        return Err(Errno::INVAL.into());
    }
    let mask = call.memory().read_u64(address)?;
    let old = {
        let mut signals = lock(&call.thread.signals);
        let old = signals.mask;
        signals.set_mask(mask);
        old
    };
    super::signals::look_again(call);
    let outcome = f();
    let mut signals = lock(&call.thread.signals);
    if matches!(outcome, Err(Failure::Interrupted(_))) {
        // The handler runs with the temporary mask, and restores the old one.
        signals.saved_mask = Some(old);
    } else {
        signals.set_mask(old);
        drop(signals);
        signal::retarget(call.kernel, call.thread, old);
    }
    outcome
}

pub(super) fn ppoll(call: &Call<'_>) -> Outcome {
    let deadline = time::deadline_at(call, call.arg(2))?;
    let outcome = with_mask(call, call.arg(3), call.arg(4), || do_poll(call, deadline));
    tell_rest(call, call.arg(2), deadline, false, outcome)
}

/// Has a call that waited until then tell, where its time is, how much of that is left: `micro`
/// in microseconds. Where that can't be written it is let be.
fn tell_rest(
    call: &Call<'_>,
    address: u64,
    deadline: Option<Instant>,
    micro: bool,
    outcome: Outcome,
) -> Outcome {
    let sticky = call.thread.process.personality.load(Ordering::SeqCst) & STICKY_TIMEOUTS != 0;
    let over = matches!(outcome, Ok(_) | Err(Failure::Interrupted(_)));
    if let (Some(end), true) = (deadline, over && !sticky) {
        let end = call.continued.unwrap_or(end);
        let left = end.saturating_duration_since(Instant::now());
        let part = if micro { left.subsec_micros() } else { left.subsec_nanos() };
        let words = [left.as_secs().to_le_bytes(), u64::from(part).to_le_bytes()];
        let _ = call.memory().write(address, &words.concat());
    }
    outcome
}

fn do_select(call: &Call<'_>, deadline: Option<Instant>) -> Outcome {
    let count = usize::try_from(call.int(0)).map_err(|_| Errno::INVAL)?;
    let count = count.min(usize::try_from(MOST_FILES).unwrap_or(0));
    let memory = call.memory();
    let bytes = count.div_ceil(64) * 8;
    let kinds = [Ready::IN | Ready::HUP | Ready::ERR, Ready::OUT | Ready::ERR, Ready::PRI];
    let mut sets = Vec::new();
    for index in 1..=3 {
        let mut set = vec![0_u8; bytes];
        if call.arg(index) != 0 {
            memory.read(call.arg(index), &mut set)?;
        }
        sets.push(set);
    }
    let files = call.files();
    // Who has been told that all are open is not told that one is not, if it is made again.
    let again = call.thread.selects.swap(call.id, Ordering::SeqCst) == call.id;
    let (mut watches, mut places) = (Vec::new(), Vec::new());
    for number in 0..count {
        for (which, (set, kind)) in sets.iter().zip(kinds).enumerate() {
            if set.get(number / 8).is_some_and(|b| b & (1 << (number % 8)) != 0) {
                let (file, found) = match files.get(u32::try_from(number).unwrap_or(u32::MAX)) {
                    Err(_) if again => (None, kind),
                    other => (Some(other?), Ready::empty()),
                };
                watches.push(Watch { file, wanted: kind, found });
                places.push((which, number));
            }
        }
    }
    // An end or error counts as ready only where it is asked for.
    poll_all(call, &mut watches, deadline)?;
    let mut total = 0;
    let mut found = vec![vec![0_u8; bytes]; 3];
    for (watch, (which, number)) in watches.iter().zip(places) {
        // One that was closed since the wait began is ready, as on Linux.
        let gone = files.get(u32::try_from(number).unwrap_or(u32::MAX)).is_err();
        if (gone || watch.found.intersects(watch.wanted))
            && let Some(byte) = found.get_mut(which).and_then(|s| s.get_mut(number / 8))
        {
            *byte |= 1 << (number % 8);
            total += 1;
        }
    }
    for (set, index) in found.iter().zip(1..) {
        if call.arg(index) != 0 {
            memory.write(call.arg(index), set)?;
        }
    }
    Ok(total)
}

pub(super) fn select(call: &Call<'_>) -> Outcome {
    let deadline = match call.arg(4) {
        0 => None,
        address => {
            let (seconds, micros) = time::read_timespec(call, address)?;
            let seconds = seconds.saturating_add(micros / 1_000_000);
            Some(time::after(seconds, micros % 1_000_000 * 1000)?)
        }
    };
    tell_rest(call, call.arg(4), deadline, true, do_select(call, deadline))
}

pub(super) fn pselect6(call: &Call<'_>) -> Outcome {
    let deadline = time::deadline_at(call, call.arg(4))?;
    let (mut address, mut size) = (0, 0);
    if call.arg(5) != 0 {
        (address, size) = call.memory().read_pair(call.arg(5))?;
    }
    let outcome = with_mask(call, address, size, || do_select(call, deadline));
    tell_rest(call, call.arg(4), deadline, false, outcome)
}
