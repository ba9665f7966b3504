//! Advice about memory: madvise(2), process_madvise(2).

use rustix::io::Errno;

use crate::task::waiter::lock;
use crate::task::{Caps, may_trace};

use super::memory::range;
use super::{Call, Failure, Outcome, approved, process_vm};

/// `MADV_*` that say whether a fork's child has the memory.
const DONT_FORK: u64 = 10;
const DO_FORK: u64 = 11;

/// Nothing of it changes what is mapped, so the host can answer for itself.
pub(super) fn madvise(call: &Call<'_>) -> Outcome {
    // What the host does with guest memory as it is: normal, random, sequential,
    // willneed, dontneed, free, remove, hugepage, nohugepage, wipeonfork,
    // keeponfork, cold, pageout, populate, dontneed though locked.
    const PASSED: [u64; 17] = [0, 1, 2, 3, 4, 8, 9, 14, 15, 18, 19, 20, 21, 22, 23, 24, 25];
    // Hints without effect here: mergeable, dump.
    const IGNORED: [u64; 4] = [12, 13, 16, 17];
    let at = range(call.arg(0), call.arg(1)).map_err(|_| Errno::INVAL)?;
    // An `int`: the host ignores the upper half, too.
    let advice = call.uint(2).into();
    if IGNORED.contains(&advice) {
        let mapped = lock(&call.thread.space().areas).is_mapped(&at);
        return if mapped { Ok(0) } else { Err(Errno::NOMEM.into()) };
    }
    if matches!(advice, DONT_FORK | DO_FORK) && !at.is_empty() {
        // The host's forks heed it; ours is noted with it, for who is listed in the child.
        let noted = at.clone();
        return approved::approve(
            call,
            at,
            |_| Ok(()),
            |space| lock(&space.areas).inherit(&noted, advice == DO_FORK),
        );
    }
    if !PASSED.contains(&advice) && !at.is_empty() {
        return Err(Errno::INVAL.into());
    }
    Err(Failure::Host)
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
    let first = lock(&call.kernel.tree)
        .row(target.pid)
        .and_then(|row| row.threads.values().next().cloned());
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
