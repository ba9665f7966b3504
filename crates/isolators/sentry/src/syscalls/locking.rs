//! mlock(2) and its relatives. The host keeps what it likes in memory; what is locked is
//! noted, for the limit and for procfs.

use std::ops::Range;

use rustix::io::Errno;

use crate::mm::{Areas, PAGE};
use crate::platform::GUEST_END;
use crate::task::Caps;
use crate::task::limits::resource;
use crate::task::waiter::lock;

use super::memory::range;
use super::{Call, Outcome};

const ALL: Range<u64> = 0..GUEST_END;

/// Whole pages of what the arguments name.
fn named(call: &Call<'_>) -> Result<Range<u64>, Errno> {
    let start = call.arg(0) & !(PAGE - 1);
    let length = call.arg(1).checked_add(call.arg(0) - start).ok_or(Errno::INVAL)?;
    range(start, length)
}

/// Whether `more` bytes may be locked, of which some are already.
fn allow(call: &Call<'_>, areas: &Areas, more: u64) -> Result<(), Errno> {
    let limit = lock(&call.thread.process.limits).soft(resource::MEMLOCK);
    if lock(&call.thread.credentials).can(Caps::IPC_LOCK) {
        return Ok(());
    }
    match limit {
        0 => Err(Errno::PERM),
        _ if areas.locked(&ALL) + more > limit => Err(Errno::NOMEM),
        _ => Ok(()),
    }
}

pub(super) fn mlock(call: &Call<'_>) -> Outcome {
    let at = named(call)?;
    let space = call.thread.space();
    let mut areas = lock(&space.areas);
    allow(call, &areas, at.end - at.start - areas.locked(&at))?;
    if !areas.is_mapped(&at) {
        return Err(Errno::NOMEM.into());
    }
    if !at.is_empty() {
        areas.lock(&at);
    }
    Ok(0)
}

pub(super) fn mlock2(call: &Call<'_>) -> Outcome {
    const ON_FAULT: u32 = 1;
    if call.uint(2) & !ON_FAULT != 0 {
        return Err(Errno::INVAL.into());
    }
    mlock(call)
}

pub(super) fn munlock(call: &Call<'_>) -> Outcome {
    let at = named(call)?;
    let space = call.thread.space();
    let mut areas = lock(&space.areas);
    if !areas.is_mapped(&at) {
        return Err(Errno::NOMEM.into());
    }
    areas.unlock(&at);
    Ok(0)
}

pub(super) fn mlockall(call: &Call<'_>) -> Outcome {
    const CURRENT: u32 = 1;
    const ON_FAULT: u32 = 4;
    let flags = call.uint(0);
    if flags == 0 || flags == ON_FAULT || flags & !7 != 0 {
        return Err(Errno::INVAL.into());
    }
    let space = call.thread.space();
    let mut areas = lock(&space.areas);
    let more = if flags & CURRENT != 0 { areas.total() - areas.locked(&ALL) } else { 0 };
    allow(call, &areas, more)?;
    if flags & CURRENT != 0 {
        let all: Vec<Range<u64>> = areas.iter().map(|(start, area)| start..area.end).collect();
        // The vDSO lies behind.
        all.iter().filter(|at| at.end <= GUEST_END).for_each(|at| areas.lock(at));
    }
    Ok(0)
}

pub(super) fn munlockall(call: &Call<'_>) -> Outcome {
    lock(&call.thread.space().areas).unlock(&ALL);
    Ok(0)
}
