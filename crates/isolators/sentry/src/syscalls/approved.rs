//! Changes of an address space without an order: the host makes the guest's own
//! call, or the stub maps what the answer says.
//!
//! All arguments are in registers, of which the kernel has its own copy: what
//! was judged is what is made, whatever other threads do meanwhile. Each is
//! noted before it is made, and is in flight until its thread's next report. A
//! host that refuses one (for want of maps or, with strict overcommit, of memory)
//! tells the guest; our list is then wrong, to that guest's disadvantage alone.

use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::mm::{Area, Backing, Flight, Marks, Protection, Space, round_up};
use crate::platform::MAP_LIMIT;
use crate::platform::context::{Context, Register};
use crate::signal;
use crate::task::Thread;
use crate::task::waiter::{lock, never_waits};

use super::memory::{map, range};
use super::{Call, Failure, Outcome};

/// With more areas than this each change is ordered and its result seen: the host
/// has a limit (65,530), and more of them than we do.
const MANY: usize = 30_000;

/// Flags of mmap(2) for private memory, and those that make no difference to it: of the latter
/// one is `MAP_STACK`.
const PLAIN: u64 = map::PRIVATE | map::ANONYMOUS;
const WITHOUT_EFFECT: u64 = map::NORESERVE | 0x2_0000;

/// Whether all that `at` touches is private memory.
pub(super) fn is_plain(space: &Space, at: &Range<u64>) -> bool {
    lock(&space.areas).within(at).all(|area| area.backing == Backing::Anonymous)
}

/// Whether what `at` has is gone, as far as others are concerned, once it is noted: a thread
/// need not make what it has posted, and files that it maps yet are to be held.
fn may_be_posted(space: &Space, at: &Range<u64>) -> Result<(), Failure> {
    if never_waits() && !is_plain(space, at) { Err(Failure::NeedsFrame) } else { Ok(()) }
}

/// Notes a change of `at` that `thread` is about to make.
fn depart(
    thread: &Thread,
    space: &Space,
    at: Range<u64>,
    (by_stub, heap): (bool, Option<(u64, u64)>),
) -> Result<(), Errno> {
    let host = lock(&thread.place).host.ok_or(Errno::INTR)?;
    space.depart(Flight { thread: thread.tid, host, range: at, heap, by_stub });
    thread.flying.store(true, std::sync::atomic::Ordering::SeqCst);
    Ok(())
}

/// In the space's turn: has `judge` look whether the host may make the call, and
/// notes with `note` that it does.
pub(super) fn approve(
    call: &Call<'_>,
    at: Range<u64>,
    judge: impl FnOnce(&Space) -> Result<(), Failure>,
    note: impl FnOnce(&Space),
) -> Outcome {
    let few = |space: &Space| {
        if lock(&space.areas).count() > MANY { Err(Failure::NeedsFrame) } else { judge(space) }
    };
    approve_any(call, at, few, note)
}

/// The same however many areas there are: of what can't be ordered.
pub(super) fn approve_any(
    call: &Call<'_>,
    at: Range<u64>,
    judge: impl FnOnce(&Space) -> Result<(), Failure>,
    note: impl FnOnce(&Space),
) -> Outcome {
    let space = call.thread.space();
    space.take_turn()?;
    let judged = judge(&space)
        .and_then(|()| Ok(space.settle(call.thread.tid, &at)?))
        .and_then(|()| Ok(depart(call.thread, &space, at, (false, None))?));
    if judged.is_ok() {
        note(&space);
    }
    space.pass_turn();
    judged.and(Err(Failure::Host))
}

/// `MAP_FIXED` of private memory. Others the filter leaves to [`super::memory`], but those that
/// are posted are seen by no filter.
pub(super) fn mmap(call: &Call<'_>) -> Outcome {
    let [start, length, protection, flags, _, offset] = call.args;
    let plain = flags & !WITHOUT_EFFECT == PLAIN | map::FIXED;
    if !plain || protection & !7 != 0 || length > MAP_LIMIT || start < 0x1_0000 {
        return Err(Failure::NeedsFrame);
    }
    let at = range(start, length)?;
    if at.is_empty() || !offset.is_multiple_of(crate::mm::PAGE) {
        return Err(Errno::INVAL.into());
    }
    let (end, backing, protection) = (at.end, Backing::Anonymous, Protection(protection));
    let area = Area { end, protection, backing, name: "", label: None, marks: Marks::empty() };
    let (judged, data) = (at.clone(), protection.0 & 2 != 0);
    let judge = |space: &Space| {
        may_be_posted(space, &judged)?;
        let areas = lock(&space.areas);
        if !areas.future().is_empty() {
            return Err(Failure::NeedsFrame);
        }
        let more = judged.end - judged.start - areas.mapped(&judged);
        Ok(super::limits::allow_memory(call, &areas, more, data)?)
    };
    approve(call, at, judge, |space| lock(&space.areas).insert(start, area))
}

/// A posted mmap that its thread is let make: where. Anything but private memory is not.
pub(super) fn place(call: &Call<'_>) -> Result<u64, Failure> {
    let [hint, length, protection, flags, _, offset] = call.args;
    if flags & map::FIXED != 0 {
        return match mmap(call) {
            Err(Failure::Host) => Ok(hint),
            other => Err(other.err().unwrap_or(Failure::NeedsFrame)),
        };
    }
    let plain = flags & !WITHOUT_EFFECT == PLAIN && protection & !7 == 0 && offset == 0;
    if !plain || length == 0 || length >= MAP_LIMIT {
        return Err(Failure::NeedsFrame);
    }
    let length = round_up(length).ok_or(Errno::NOMEM)?;
    let space = call.thread.space();
    space.take_turn()?;
    let placed = (|| {
        let at = {
            let areas = lock(&space.areas);
            if areas.count() > MANY || !areas.future().is_empty() {
                return Err(Failure::NeedsFrame);
            }
            super::limits::allow_memory(call, &areas, length, protection & 2 != 0)?;
            let start = areas.find(hint, length, None).ok_or(Failure::Errno(Errno::NOMEM))?;
            start..start + length
        };
        space.settle(call.thread.tid, &at)?;
        depart(call.thread, &space, at.clone(), (false, None))?;
        let (end, backing, protection) = (at.end, Backing::Anonymous, Protection(protection));
        let area = Area { end, protection, backing, name: "", label: None, marks: Marks::empty() };
        lock(&space.areas).insert(at.start, area);
        Ok(at.start)
    })();
    space.pass_turn();
    placed
}

pub(super) fn munmap(call: &Call<'_>) -> Outcome {
    let at = range(call.arg(0), call.arg(1)).map_err(|_| Errno::INVAL)?;
    if at.is_empty() {
        return Err(Errno::INVAL.into());
    }
    let gone = at.clone();
    let judge = |space: &Space| may_be_posted(space, &gone);
    approve(call, at, judge, |space| lock(&space.areas).remove(&gone))
}

pub(super) fn mprotect(call: &Call<'_>) -> Outcome {
    const GROWS: u64 = 0x300_0000;
    let at = range(call.arg(0), call.arg(1))?;
    let protection = call.arg(2);
    if protection & !(7 | GROWS) != 0 {
        return Err(Errno::INVAL.into());
    }
    if at.is_empty() {
        return Ok(0);
    }
    if protection & GROWS != 0 {
        return Err(Failure::NeedsFrame);
    }
    let judged = at.clone();
    let judge = |space: &Space| {
        if !lock(&space.areas).is_mapped(&judged) {
            return Err(Errno::NOMEM.into());
        }
        // The host may refuse to let a file be written, or executed.
        if protection & 6 != 0 && !is_plain(space, &judged) {
            return Err(Failure::NeedsFrame);
        }
        Ok(())
    };
    let changed = at.clone();
    let protection = Protection(protection);
    approve(call, at, judge, |space| lock(&space.areas).protect(&changed, protection))
}

/// Has the stub of a trapped call map private memory at `start`, in the space's
/// turn, which it passes; false if it has to be ordered. The guest gets `start`, or
/// for a heap (what it was before and will be) the call's own argument.
pub(super) fn map_in_stub(
    call: &Call<'_>,
    space: &Arc<Space>,
    frame: &Frame,
    area: &Area,
    start: u64,
    heap: Option<((u64, u64), u64)>,
) -> Result<bool, Failure> {
    let at = start..area.end;
    let length = at.end - at.start;
    // A tracer is to see the call's end.
    let seen = call.thread.is_traced();
    if seen || length >= MAP_LIMIT || lock(&space.areas).count() > MANY {
        return Ok(false);
    }
    let mut order = start;
    let prepared = (|| {
        space.settle(call.thread.tid, &at)?;
        if heap.is_some() {
            let mut context = frame.context;
            context.set_link(length);
            call.memory().write(frame.address, context.bytes())?;
            order |= 1;
        }
        depart(call.thread, space, at, (true, heap.map(|(old, _)| old)))
    })();
    if let Err(errno) = prepared {
        space.pass_turn();
        return Err(errno.into());
    }
    let mut areas = lock(&space.areas);
    areas.insert(start, area.clone());
    if let Some(((from, _), to)) = heap {
        areas.heap = (from, to);
    }
    drop(areas);
    space.pass_turn();
    call.kernel.listener.answer(call.id, order.cast_signed());
    Ok(true)
}

/// A stub could not map what [`map_in_stub`] told it: it is not there.
pub fn missed(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    flight: &Flight,
    (error, address): (i64, u64),
) {
    let space = thread.space();
    let Ok(bytes) = space.memory.read_array(address) else {
        kernel.violation(thread, "a report whose frame can't be read");
        return;
    };
    let mut areas = lock(&space.areas);
    areas.remove(&flight.range);
    let mut value = error.clamp(-4095, -1);
    if let Some(heap) = flight.heap {
        areas.heap = heap;
        value = heap.1.cast_signed();
    }
    drop(areas);
    let mut frame = Frame { address, context: Context::from_bytes(bytes) };
    frame.context.set(Register::Rax, value.cast_unsigned());
    signal::resume(kernel, thread, id, &mut frame);
}
