//! mlock(2) and its relatives. The host keeps what it likes in memory; what is locked is
//! noted, for the limit and for procfs.

use std::ops::Range;

use rustix::io::Errno;

use crate::mm::{Areas, Marks, PAGE};
use crate::platform::GUEST_END;
use crate::task::limits::resource;
use crate::task::waiter::lock;
use crate::task::{Caps, Process, Thread};

use super::memory::{map, range};
use super::{Call, Outcome};

const ALL: Range<u64> = 0..GUEST_END;

/// Whole pages of what the arguments name.
fn named(call: &Call<'_>) -> Result<Range<u64>, Errno> {
    let start = call.arg(0) & !(PAGE - 1);
    let length = call.arg(1).checked_add(call.arg(0) - start).ok_or(Errno::INVAL)?;
    range(start, length)
}

/// How much a thread's process may lock; `None` if there is no limit.
fn limit(thread: &Thread) -> Option<u64> {
    let process: &Process = &thread.process;
    let any = lock(&thread.credentials).can(Caps::IPC_LOCK);
    (!any).then(|| lock(&process.limits).soft(resource::MEMLOCK))
}

/// Whether `more` bytes may be locked, of which some are already.
fn allow(call: &Call<'_>, areas: &Areas, more: u64) -> Result<(), Errno> {
    match limit(call.thread) {
        Some(0) => Err(Errno::PERM),
        Some(limit) if areas.locked(&ALL).saturating_add(more) > limit => Err(Errno::NOMEM),
        _ => Ok(()),
    }
}

/// Whether an area with these marks may have `more` bytes more.
///
/// # Errors
/// `EAGAIN` if they are to be locked, and are too many.
pub(super) fn allow_locked(
    thread: &Thread,
    areas: &Areas,
    marks: Marks,
    more: u64,
) -> Result<(), Errno> {
    if !marks.contains(Marks::LOCKED) || more == 0 {
        return Ok(());
    }
    match limit(thread) {
        Some(limit) if areas.locked(&ALL).saturating_add(more) > limit => Err(Errno::AGAIN),
        _ => Ok(()),
    }
}

/// How something that mmap(2) maps with these flags is locked.
///
/// # Errors
/// `EPERM`, `EAGAIN` if it may not be.
pub(super) fn of_new(
    call: &Call<'_>,
    areas: &Areas,
    length: u64,
    flags: u64,
) -> Result<Marks, Errno> {
    let mut marks = areas.future();
    if flags & map::LOCKED != 0 {
        if limit(call.thread) == Some(0) {
            return Err(Errno::PERM);
        }
        marks |= Marks::LOCKED;
    }
    allow_locked(call.thread, areas, marks, length)?;
    Ok(marks)
}

/// Whether what has these marks is to be there at once.
pub(super) fn is_present(marks: Marks) -> bool {
    marks & Marks::LOCKS == Marks::LOCKED
}

fn lock_as(call: &Call<'_>, how: Marks) -> Outcome {
    let at = named(call)?;
    let space = call.thread.space();
    let mut areas = lock(&space.areas);
    if !how.is_empty() {
        allow(call, &areas, at.end - at.start - areas.locked(&at))?;
    }
    // What is in front of a hole is done.
    let end = areas.mapped_up_to(&at);
    if !areas.may_mark(&(at.start..end), how, Marks::LOCKS) {
        return Err(Errno::NOMEM.into());
    }
    areas.lock(&(at.start..end), how);
    if end < at.end { Err(Errno::NOMEM.into()) } else { Ok(0) }
}

pub(super) fn mlock(call: &Call<'_>) -> Outcome {
    lock_as(call, Marks::LOCKED)
}

pub(super) fn mlock2(call: &Call<'_>) -> Outcome {
    const ON_FAULT: u32 = 1;
    match call.uint(2) {
        0 => lock_as(call, Marks::LOCKED),
        ON_FAULT => lock_as(call, Marks::LOCKS),
        _ => Err(Errno::INVAL.into()),
    }
}

pub(super) fn munlock(call: &Call<'_>) -> Outcome {
    lock_as(call, Marks::empty())
}

pub(super) fn mlockall(call: &Call<'_>) -> Outcome {
    const CURRENT: u32 = 1;
    const FUTURE: u32 = 2;
    const ON_FAULT: u32 = 4;
    let flags = call.uint(0);
    if flags == 0 || flags == ON_FAULT || flags & !7 != 0 {
        return Err(Errno::INVAL.into());
    }
    let space = call.thread.space();
    let mut areas = lock(&space.areas);
    match limit(call.thread) {
        Some(0) => return Err(Errno::PERM.into()),
        // What is locked already does not matter for what is to come.
        Some(limit) if flags & CURRENT != 0 && areas.total() > limit => {
            return Err(Errno::NOMEM.into());
        }
        _ => {}
    }
    let how = if flags & ON_FAULT != 0 { Marks::LOCKS } else { Marks::LOCKED };
    areas.lock_future(if flags & FUTURE != 0 { how } else { Marks::empty() });
    if flags & CURRENT != 0 {
        // The vDSO lies behind.
        areas.lock(&ALL, how);
    }
    Ok(0)
}

pub(super) fn munlockall(call: &Call<'_>) -> Outcome {
    let space = call.thread.space();
    let mut areas = lock(&space.areas);
    areas.lock_future(Marks::empty());
    areas.lock(&ALL, Marks::empty());
    Ok(0)
}
