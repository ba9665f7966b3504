//! mlock(2) and its relatives. What is locked is touched, and noted, for the limit and for
//! procfs; the host keeps of it what it likes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::mm::{Area, Areas, Marks, PAGE};
use crate::platform::{GUEST_END, HostCall};
use crate::task::limits::resource;
use crate::task::waiter::lock;
use crate::task::{Caps, Process, Thread};

use super::memory::{finish, map, range};
use super::{Call, Failure, Framed, Outcome};

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

/// A piece of an area, and the advice that has it be there.
type Piece = (Range<u64>, u64);

/// How the parts of areas in a range are touched when they are locked: as one who writes would,
/// where pages are copied then.
fn pieces<'a>(areas: impl Iterator<Item = (u64, &'a Area)>, at: &Range<u64>) -> Vec<Piece> {
    // MADV_POPULATE_*
    const READ: u64 = 22;
    const WRITE: u64 = 23;
    let piece = |(start, area): (u64, &Area)| {
        let part = start.max(at.start)..area.end.min(at.end);
        // What may not be read is written, or left alone if it can only be executed.
        let (reads, writes) = (area.protection.0 & 1 != 0, area.protection.0 & 2 != 0);
        let advice = if writes && !(reads && area.backing.is_shared()) { WRITE } else { READ };
        (!part.is_empty() && area.protection.0 != 4).then_some((part, advice))
    };
    areas.filter_map(piece).collect()
}

/// Has the stub touch what is locked, piece by piece, and the guest go on; if `tells`, that
/// something can't be there is an error.
fn touch(
    (kernel, thread, id): (&Arc<Kernel>, &Arc<Thread>, u64),
    frame: Frame,
    mut left: std::vec::IntoIter<Piece>,
    tells: bool,
) {
    const MADVISE: u64 = 28;
    // Others may have the memory still when who locks it is gone.
    let doomed = thread.doomed.load(Ordering::SeqCst);
    let Some((piece, advice)) = left.next().filter(|_| !doomed) else {
        return finish(kernel, thread, id, frame, 0);
    };
    let args = [piece.start, piece.end - piece.start, advice, 0, 0, 0];
    let last = frame.clone();
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        if result < 0 && tells {
            let missing = -i64::from(Errno::NOMEM.raw_os_error());
            return finish(kernel, thread, id, last, missing);
        }
        touch((kernel, thread, id), last, left, tells);
    };
    let call = HostCall { number: MADVISE, args };
    kernel.order_aside(thread, id, &frame, call, (false, Box::new(then)));
}

pub(super) fn mlock(_: &Call<'_>) -> Outcome {
    Err(Failure::NeedsFrame)
}

/// What it locks is there afterwards.
pub(super) fn mlock_there(call: &Call<'_>, frame: &Frame) -> Framed {
    lock_as(call, Marks::LOCKED)?;
    let at = named(call)?;
    let left = pieces(lock(&call.thread.space().areas).touched(&at), &at);
    touch((call.kernel, call.thread, call.id), frame.clone(), left.into_iter(), true);
    Ok(None)
}

pub(super) fn mlock2(call: &Call<'_>) -> Outcome {
    const ON_FAULT: u32 = 1;
    match call.uint(2) {
        0 => Err(Failure::NeedsFrame),
        ON_FAULT => lock_as(call, Marks::LOCKS),
        _ => Err(Errno::INVAL.into()),
    }
}

pub(super) fn munlock(call: &Call<'_>) -> Outcome {
    lock_as(call, Marks::empty())
}

const STACK: &str = "[stack]";
const CURRENT: u32 = 1;
const FUTURE: u32 = 2;
const ON_FAULT: u32 = 4;

/// Areas that mlockall(2) locks: of the stack nobody knows how much there is; the vDSO lies
/// behind.
fn lockable(areas: &Areas) -> impl Iterator<Item = (u64, &Area)> {
    areas.iter().filter(|(start, area)| area.name != STACK && *start < GUEST_END)
}

pub(super) fn mlockall(call: &Call<'_>) -> Outcome {
    let flags = call.uint(0);
    if flags == 0 || flags == ON_FAULT || flags & !7 != 0 {
        return Err(Errno::INVAL.into());
    }
    let all = |areas: &Areas| lockable(areas).map(|(start, area)| area.end - start).sum::<u64>();
    let space = call.thread.space();
    let mut areas = lock(&space.areas);
    match limit(call.thread) {
        Some(0) => return Err(Errno::PERM.into()),
        // What is locked already does not matter for what is to come.
        Some(limit) if flags & CURRENT != 0 && all(&areas) > limit => {
            return Err(Errno::NOMEM.into());
        }
        _ => {}
    }
    let how = if flags & ON_FAULT != 0 { Marks::LOCKS } else { Marks::LOCKED };
    areas.lock_future(if flags & FUTURE != 0 { how } else { Marks::empty() });
    if flags & CURRENT != 0 {
        let all: Vec<_> = lockable(&areas).map(|(start, area)| start..area.end).collect();
        all.iter().for_each(|at| areas.lock(at, how));
        if flags & ON_FAULT == 0 {
            return Err(Failure::NeedsFrame);
        }
    }
    Ok(0)
}

/// What there is is there afterwards, as far as it can.
pub(super) fn mlockall_there(call: &Call<'_>, frame: &Frame) -> Framed {
    let left = pieces(lockable(&lock(&call.thread.space().areas)), &ALL);
    touch((call.kernel, call.thread, call.id), frame.clone(), left.into_iter(), false);
    Ok(None)
}

pub(super) fn munlockall(call: &Call<'_>) -> Outcome {
    let space = call.thread.space();
    let mut areas = lock(&space.areas);
    areas.lock_future(Marks::empty());
    areas.lock(&ALL, Marks::empty());
    Ok(0)
}
