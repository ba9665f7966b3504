//! Advice about memory: madvise(2), process_madvise(2).

use rustix::io::Errno;

use crate::mm::{Marks, Space};
use crate::task::waiter::lock;
use crate::task::{Caps, may_trace};

use super::memory::range;
use super::{Call, Failure, Outcome, approved, process_vm};

/// What a `MADV_*` notes of areas: marks that they get, and that they lose.
fn noted(advice: u64) -> Option<(Marks, Marks)> {
    let none = Marks::empty();
    let order = Marks::SEQUENTIAL | Marks::RANDOM;
    Some(match advice {
        0 => (none, order),
        1 => (Marks::RANDOM, order),
        2 => (Marks::SEQUENTIAL, order),
        10 => (Marks::NOT_INHERITED, none),
        11 => (none, Marks::NOT_INHERITED),
        12 => (Marks::MERGEABLE, none),
        13 => (none, Marks::MERGEABLE),
        14 => (Marks::HUGE, Marks::NOT_HUGE),
        15 => (Marks::NOT_HUGE, Marks::HUGE),
        16 => (Marks::NOT_DUMPED, none),
        17 => (none, Marks::NOT_DUMPED),
        18 => (Marks::WIPED, none),
        19 => (none, Marks::WIPED),
        _ => return None,
    })
}

/// Nothing of it changes what is mapped, so the host can answer for itself.
pub(super) fn madvise(call: &Call<'_>) -> Outcome {
    // What the host does with guest memory as it is: willneed, dontneed, free, remove,
    // cold, pageout, populate, dontneed though locked, collapse.
    const PASSED: [u64; 10] = [3, 4, 8, 9, 20, 21, 22, 23, 24, 25];
    // What may not be done to what is locked.
    const UNLOCKED: [u64; 5] = [4, 8, 9, 20, 21];
    // Of which the host is not told: mergeable, dump.
    const OWN: [u64; 4] = [12, 13, 16, 17];
    const WIPE: u64 = 18;
    let at = range(call.arg(0), call.arg(1)).map_err(|_| Errno::INVAL)?;
    // An `int`: the host ignores the upper half, too.
    let advice = call.uint(2).into();
    let marks = noted(advice);
    if at.is_empty() {
        return Err(Failure::Host);
    }
    let space = call.thread.space();
    let Some((gets, loses)) = marks else {
        if !PASSED.contains(&advice) {
            return Err(Errno::INVAL.into());
        }
        let locked = UNLOCKED.contains(&advice) && lock(&space.areas).is_marked(&at, Marks::LOCKED);
        return Err(if locked { Errno::INVAL.into() } else { Failure::Host });
    };
    if OWN.contains(&advice) {
        let mut areas = lock(&space.areas);
        if !areas.may_mark(&at, gets, loses) {
            return Err(Errno::AGAIN.into());
        }
        areas.mark(&at, gets, loses);
        return if areas.is_mapped(&at) { Ok(0) } else { Err(Errno::NOMEM.into()) };
    }
    if advice == WIPE && !approved::is_plain(&space, &at) {
        return Err(Errno::INVAL.into());
    }
    // The host's forks heed it; ours is noted with it, for who is listed in the child.
    let noted = at.clone();
    let judge = |space: &Space| {
        let may = lock(&space.areas).may_mark(&noted, gets, loses);
        if may { Ok(()) } else { Err(Errno::AGAIN.into()) }
    };
    approved::approve_any(call, at, judge, |space| {
        lock(&space.areas).mark(&noted, gets, loses);
    })
}

/// Hints about another process's memory, which have no effect.
pub(super) fn process_madvise(call: &Call<'_>) -> Outcome {
    // Will need, cold, page out, collapse.
    const KNOWN: [u32; 4] = [3, 20, 21, 25];
    if call.uint(4) != 0 {
        return Err(Errno::INVAL.into());
    }
    let pieces = process_vm::ranges(&call.memory(), call.arg(1), call.arg(2))?;
    let (target, _) = super::pidfd::process(call, 0)?;
    if !KNOWN.contains(&call.uint(3)) {
        return Err(Errno::INVAL.into());
    }
    let who = super::identity::who(call);
    if target.pid != call.thread.process.pid && !may_trace(&who, &target, true) {
        return Err(Errno::ACCESS.into());
    }
    who.require(Caps::SYS_NICE)?;
    let first = call.kernel.first_thread(target.pid);
    let space = first.ok_or(Errno::SRCH)?.own_space();
    let mut done = 0_u64;
    for (start, length) in pieces {
        let at = range(start, length);
        let mapped = at.and_then(|at| match lock(&space.areas).is_mapped(&at) {
            true => Ok(()),
            false => Err(Errno::NOMEM),
        });
        match mapped {
            Ok(()) => done += length,
            Err(errno) if done == 0 => return Err(errno.into()),
            Err(_) => break,
        }
    }
    Ok(i64::try_from(done).unwrap_or(0))
}
