//! What is mapped is changed: decided here, made by the stub, then noted.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::mm::{Area, Areas, Backing, Marks, PAGE, Protection, Space, round_up};
use crate::platform::context::Register;
use crate::platform::{GUEST_END, HostCall};
use crate::signal;
use crate::task::Thread;
use crate::task::waiter::lock;

use super::limits::allow_memory;
use super::{Call, Failure, Framed, approved, locking};

/// Numbers of the calls that a stub makes.
pub(super) mod host {
    pub(in super::super) const CLOSE: u64 = 3;
    pub(in super::super) const MMAP: u64 = 9;
    pub(in super::super) const MPROTECT: u64 = 10;
    pub(in super::super) const MUNMAP: u64 = 11;
    pub(in super::super) const MREMAP: u64 = 25;
}

/// Flags of mmap(2).
pub(super) mod map {
    pub(in super::super) const SHARED: u64 = 1;
    pub(in super::super) const PRIVATE: u64 = 2;
    pub(in super::super) const SHARED_VALIDATE: u64 = 3;
    pub(in super::super) const FIXED: u64 = 0x10;
    pub(in super::super) const ANONYMOUS: u64 = 0x20;
    pub(in super::super) const LOW: u64 = 0x40;
    pub(in super::super) const GROWS_DOWN: u64 = 0x100;
    pub(in super::super) const LOCKED: u64 = 0x2000;
    pub(in super::super) const NORESERVE: u64 = 0x4000;
    pub(in super::super) const POPULATE: u64 = 0x8000;
    pub(in super::super) const HUGETLB: u64 = 0x4_0000;
    pub(in super::super) const HUGE_SHIFT: u32 = 26;
    pub(in super::super) const FIXED_NOREPLACE: u64 = 0x10_0000;
    /// All that there were before `MAP_SHARED_VALIDATE`, which has others refused.
    pub(in super::super) const EVER: u64 = 0x7c07_f9f3;
}

/// Whole pages from `start` on.
pub(super) fn range(start: u64, length: u64) -> Result<Range<u64>, Errno> {
    if !start.is_multiple_of(PAGE) {
        return Err(Errno::INVAL);
    }
    let length = round_up(length).ok_or(Errno::NOMEM)?;
    let end = start.checked_add(length).filter(|e| *e <= GUEST_END).ok_or(Errno::NOMEM)?;
    Ok(start..end)
}

/// What to note once the host has made a call.
pub(super) type Note = Box<dyn FnOnce(&mut Areas) + Send>;

/// Has the stub make a call that changes the space, whose turn the caller took;
/// the guest gets `answer` if it succeeds.
pub(super) fn change(
    call: &Call<'_>,
    space: Arc<Space>,
    frame: &Frame,
    host: HostCall,
    answer: i64,
    note: Note,
) {
    let saved = frame.clone();
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        if result >= 0 {
            note(&mut lock(&space.areas));
        }
        space.pass_turn();
        finish(kernel, thread, id, saved, if result < 0 { result } else { answer });
    };
    call.kernel.order(call.thread, call.id, frame, host, Box::new(then));
}

pub(super) fn finish(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    mut frame: Frame,
    value: i64,
) {
    frame.context.set(Register::Rax, value.cast_unsigned());
    signal::resume(kernel, thread, id, &mut frame);
}

/// Takes the turn; gives it back if `f` decides that nothing is to be changed.
pub(super) fn in_turn<T>(
    call: &Call<'_>,
    f: impl FnOnce(&Arc<Space>) -> Result<T, Failure>,
) -> Result<(Arc<Space>, T), Failure> {
    let space = call.thread.space();
    space.take_turn()?;
    match f(&space) {
        Ok(decided) => Ok((space, decided)),
        Err(failure) => {
            space.pass_turn();
            Err(failure)
        }
    }
}

/// What is to be mapped.
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) area: Area,
    pub(super) descriptor: Option<OwnedFd>,
    pub(super) host_flags: u64,
    pub(super) offset: u64,
    /// What the guest gets in place of the address.
    pub(super) answer: Option<i64>,
}

/// Has the stub map it. The caller has the turn; the guest gets the address,
/// or what is to be told instead.
pub(super) fn make(call: &Call<'_>, frame: &Frame, space: Arc<Space>, mapping: Mapping) -> Framed {
    let Mapping { start, area, descriptor, host_flags, offset, answer } = mapping;
    space.settle(call.thread.tid, &(start..area.end)).inspect_err(|_| space.pass_turn())?;
    let number = match &descriptor {
        None => u64::MAX,
        Some(fd) => match call.kernel.listener.give(call.id, fd.as_fd()) {
            Ok(number) => number.into(),
            Err(errno) => {
                space.pass_turn();
                return Err(errno.into());
            }
        },
    };
    let length = area.end - start;
    let args = [start, length, area.protection.0, host_flags | map::FIXED, number, offset];
    let note: Note = Box::new(move |areas| areas.insert(start, area));
    let host = HostCall { number: host::MMAP, args };
    if descriptor.is_none() {
        change(call, space, frame, host, answer.unwrap_or(start.cast_signed()), note);
        return Ok(None);
    }
    // The stub's copy of the descriptor goes again before anything else.
    let saved = frame.clone();
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        if result >= 0 {
            note(&mut lock(&space.areas));
        }
        let args = [number, 0, 0, 0, 0, 0];
        let close = HostCall { number: host::CLOSE, args };
        let last = saved.clone();
        let closed = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, _: i64| {
            space.pass_turn();
            let told = answer.filter(|_| result >= 0).unwrap_or(result);
            finish(kernel, thread, id, last, told);
        };
        kernel.order(thread, id, &saved, close, Box::new(closed));
    };
    call.kernel.order(call.thread, call.id, frame, host, Box::new(then));
    Ok(None)
}

pub(super) fn munmap(call: &Call<'_>, frame: &Frame) -> Framed {
    let at = range(call.arg(0), call.arg(1)).map_err(|_| Errno::INVAL)?;
    if at.is_empty() {
        return Err(Errno::INVAL.into());
    }
    let (space, ()) = in_turn(call, |space| Ok(space.settle(call.thread.tid, &at)?))?;
    let args = [at.start, at.end - at.start, 0, 0, 0, 0];
    let host = HostCall { number: host::MUNMAP, args };
    change(call, space, frame, host, 0, Box::new(move |areas| areas.remove(&at)));
    Ok(None)
}

pub(super) fn mprotect(call: &Call<'_>, frame: &Frame) -> Framed {
    const GROWS_DOWN: u64 = 0x100_0000;
    const GROWS: u64 = 0x300_0000;
    let at = range(call.arg(0), call.arg(1))?;
    let protection = call.arg(2);
    if protection & !(7 | GROWS) != 0 {
        return Err(Errno::INVAL.into());
    }
    if at.is_empty() {
        return Ok(Some(0));
    }
    if protection & GROWS == GROWS {
        return Err(Errno::INVAL.into());
    }
    let (space, at) = in_turn(call, |space| {
        let areas = lock(&space.areas);
        let mut at = at;
        if protection & GROWS != 0 {
            // From where an area that grows starts; none grows upwards.
            let first = areas.iter().find(|(_, area)| area.end > at.start);
            let (start, area) = first.filter(|(start, _)| *start < at.end).ok_or(Errno::NOMEM)?;
            if protection & GROWS != GROWS_DOWN || !area.marks.contains(Marks::GROWS) {
                return Err(Errno::INVAL.into());
            }
            at.start = start;
        }
        if !areas.is_mapped(&at) {
            return Err(Errno::NOMEM.into());
        }
        if !areas.may_get(&at, Protection(protection)) {
            return Err(Errno::ACCESS.into());
        }
        drop(areas);
        space.settle(call.thread.tid, &at)?;
        Ok(at)
    })?;
    let protection = protection & 7;
    let args = [at.start, at.end - at.start, protection, 0, 0, 0];
    let host = HostCall { number: host::MPROTECT, args };
    let note: Note = Box::new(move |areas| areas.protect(&at, Protection(protection)));
    change(call, space, frame, host, 0, note);
    Ok(None)
}

pub(super) fn brk(call: &Call<'_>, frame: &Frame) -> Framed {
    let wanted = call.arg(0);
    let (space, (start, old)) = in_turn(call, |space| Ok(lock(&space.areas).heap))?;
    let pages = (round_up(old), round_up(wanted));
    let keep = |value: u64| {
        space.pass_turn();
        Ok(Some(value.cast_signed()))
    };
    let (Some(from), Some(to)) = pages else { return keep(old) };
    if wanted < start || to > GUEST_END {
        return keep(old);
    }
    if from == to {
        lock(&space.areas).heap = (start, wanted);
        return keep(wanted);
    }
    let (low, high) = (from.min(to), from.max(to));
    space.settle(call.thread.tid, &(low..high)).inspect_err(|_| space.pass_turn())?;
    if to < from {
        let host = HostCall { number: host::MUNMAP, args: [to, from - to, 0, 0, 0, 0] };
        let note: Note = Box::new(move |areas| {
            areas.remove(&(to..from));
            areas.heap = (start, wanted);
        });
        change(call, space, frame, host, wanted.cast_signed(), note);
        return Ok(None);
    }
    let marks = {
        let areas = lock(&space.areas);
        let free =
            areas.is_free(&(from..to)) && allow_memory(call, &areas, to - from, true).is_ok();
        if free { locking::of_new(call, &areas, to - from, 0).ok() } else { None }
    };
    let Some(marks) = marks else { return keep(old) };
    let backing = Backing::Anonymous;
    let protection = Protection(3);
    let area = Area { end: to, protection, backing, name: "[heap]", label: None, marks };
    let heap = Some(((start, old), wanted));
    if approved::map_in_stub(call, &space, frame, &area, from, heap)? {
        return Ok(None);
    }
    let flags = map::PRIVATE | map::ANONYMOUS | map::FIXED | map::NORESERVE;
    let host = HostCall { number: host::MMAP, args: [from, to - from, 3, flags, u64::MAX, 0] };
    let note: Note = Box::new(move |areas| {
        areas.insert(from, area);
        areas.heap = (start, wanted);
    });
    change(call, space, frame, host, wanted.cast_signed(), note);
    Ok(None)
}

pub(super) fn mremap(call: &Call<'_>, frame: &Frame) -> Framed {
    const MAY_MOVE: u64 = 1;
    const FIXED: u64 = 2;
    // MREMAP_DONTUNMAP
    const STAYS: u64 = 4;
    let [old, old_length, new_length, flags, target, _] = call.args;
    let stays = flags & STAYS != 0;
    if flags & !(MAY_MOVE | FIXED | STAYS) != 0
        || (flags & (FIXED | STAYS) != 0 && flags & MAY_MOVE == 0)
        || (stays && old_length != new_length)
        || new_length == 0
        || old_length == 0
    {
        return Err(Errno::INVAL.into());
    }
    let from = range(old, old_length)?;
    let length = round_up(new_length).ok_or(Errno::NOMEM)?;
    let old_length = from.end - from.start;
    let decide = |space: &Arc<Space>| {
        let areas = lock(&space.areas);
        let (start, area) = areas.at(from.start).ok_or(Errno::FAULT)?;
        if area.end < from.end {
            return Err(Errno::FAULT.into());
        }
        let mut moved = Areas::default();
        moved.insert(start, area.clone());
        moved.remove(&(start..from.start));
        let (_, area) = moved.at(from.start).ok_or(Errno::FAULT)?;
        let area = area.clone();
        let more = if stays { length } else { length.saturating_sub(old_length) };
        let private = !area.backing.is_shared();
        allow_memory(call, &areas, more, private && area.protection.0 & 2 != 0)?;
        // What stays is locked no more.
        let more = length.saturating_sub(old_length);
        locking::allow_locked(call.thread, &areas, area.marks, more)?;
        if flags & FIXED != 0 {
            let to = range(target, length)?;
            if to.start < from.end && from.start < to.end {
                return Err(Errno::INVAL.into());
            }
            return Ok((to.start, area));
        }
        let fits = || {
            length <= old_length
                || range(from.end, length - old_length).is_ok_and(|more| areas.is_free(&more))
        };
        let in_place = !stays && fits();
        if in_place {
            return Ok((from.start, area));
        }
        if flags & MAY_MOVE == 0 {
            return Err(Errno::NOMEM.into());
        }
        Ok((areas.find(0, length, None).ok_or(Errno::NOMEM)?, area))
    };
    let (space, (to, area)) = in_turn(call, decide)?;
    if to != from.start && lock(&space.sites).touches(&from) {
        // Its jumps lead to places that are told by their distance.
        space.pass_turn();
        return Err(Errno::NOMEM.into());
    }
    space
        .settle(call.thread.tid, &(to..to + length))
        .and_then(|()| space.settle(call.thread.tid, &from))
        .inspect_err(|_| space.pass_turn())?;
    let args = if stays {
        [from.start, old_length, length, MAY_MOVE | FIXED | STAYS, to, 0]
    } else if to == from.start {
        [from.start, old_length, length, 0, 0, 0]
    } else {
        [from.start, old_length, length, MAY_MOVE | FIXED, to, 0]
    };
    let host = HostCall { number: host::MREMAP, args };
    let note: Note = Box::new(move |areas| {
        if stays {
            areas.lock(&from, Marks::empty());
        } else {
            areas.remove(&from);
        }
        areas.insert(to, Area { end: to + length, ..area });
    });
    change(call, space, frame, host, to.cast_signed(), note);
    Ok(None)
}

pub(super) fn mincore(call: &Call<'_>) -> super::Outcome {
    let at = range(call.arg(0), call.arg(1))?;
    if !lock(&call.thread.space().areas).is_mapped(&at) {
        return Err(Errno::NOMEM.into());
    }
    // The pages are the stub's, and so is the place for the answer.
    Err(Failure::Host)
}

pub(super) fn msync(call: &Call<'_>) -> super::Outcome {
    const KNOWN: u64 = 7;
    const INVALIDATE: u64 = 2;
    const SYNC: u64 = 4;
    let at = range(call.arg(0), call.arg(1))?;
    if call.arg(2) & !KNOWN != 0 || call.arg(2) & 5 == 5 {
        return Err(Errno::INVAL.into());
    }
    let space = call.thread.space();
    let areas = lock(&space.areas);
    if call.arg(2) & INVALIDATE != 0 && areas.is_marked(&at, Marks::LOCKS) {
        return Err(Errno::BUSY.into());
    }
    if !areas.is_mapped(&at) {
        return Err(Errno::NOMEM.into());
    }
    drop(areas);
    // Shared mappings are the file's own pages: reads and writes see them anyway. What is to
    // reach the disk are the stub's pages.
    if call.arg(2) & SYNC != 0 { Err(Failure::Host) } else { Ok(0) }
}
