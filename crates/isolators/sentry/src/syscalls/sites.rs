//! Call sites that are rewritten, so that a call which the stub can answer is none.
//!
//! A site has reported before it is touched: what ends at the address that the host
//! told is a `syscall` that was executed. The five bytes in front of it are replaced
//! if they are `mov $number, %eax` of that very number, or what libc's `syscall()` has
//! there, and nothing in front of them makes them the tail of something longer. The
//! `syscall` itself stays, so that a thread which is in it, or is set back to it, finds
//! it. Only code of files that is mapped privately and can't be written is touched, and
//! only while its thread is the only one that could be executing it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::mm::{Area, Backing, Marks, PAGE, Protection, Space};
use crate::platform::context::{Context, Register};
use crate::platform::desks::{self, Desks};
use crate::platform::fast::{self, GETPID, GETTID, SITE, TRAMPOLINE};
use crate::platform::{HostCall, Slot, post};
use crate::signal;
use crate::task::waiter::lock;
use crate::task::{Process, Thread};

use super::memory::{host, map};
use super::{RESTART, posted};

/// Bytes of a site with its `syscall`.
const WHOLE: usize = SITE + 2;
/// Bytes in front of it that are looked at.
const LEAD: usize = 3;
const READ_EXECUTE: u64 = 5;

/// Reports after which a site is worth rewriting: with an answer in the stub, without.
const RIPE: u32 = 64;
const RIPE_TO_POST: u32 = 128;

fn is_answered(number: u64) -> bool {
    matches!(number, GETPID | GETTID)
}

/// A call was reported; true if its site is to be rewritten, and the call made again.
pub fn called(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, number: u64, at: u64) -> bool {
    let answered = is_answered(number);
    if !answered && !posted::may_be(kernel, number) || !fast::possible() {
        return false;
    }
    if !answered && !thread.posting.is_quick() {
        return false;
    }
    let space = thread.space();
    let desk = thread.posting.has_desk.load(Ordering::SeqCst);
    if !answered && desk {
        posted::invite(kernel, thread);
    } else if !answered && space.desks.get().is_some() {
        // Another thread had the page mapped.
        arrived(thread);
    }
    let site = at.wrapping_sub(WHOLE as u64);
    let ripe = if answered { RIPE } else { RIPE_TO_POST };
    if space.users() > 1 || !lock(&space.sites).count(site, ripe) {
        return false;
    }
    let judged = if answered { are_judged(thread) } else { !posted::is_let(thread, number) };
    if thread.is_traced() || judged || thread.doomed.load(Ordering::SeqCst) {
        return false;
    }
    let needs_desks = !answered && space.desks.get().is_none();
    let rewritten = lock(&space.sites).trampoline(site).is_some();
    if replaceable(&space, site, number).is_none() && !(rewritten && needs_desks) {
        return false;
    }
    thread.site.store(site, Ordering::SeqCst);
    // With a signal for it the host sets the thread back to the call.
    thread.kick();
    kernel.listener.answer(id, RESTART);
    true
}

/// The bytes of a site that may be replaced.
fn replaceable(space: &Space, site: u64, number: u64) -> Option<[u8; SITE]> {
    let range = site..site.checked_add(WHOLE as u64)?;
    {
        let areas = lock(&space.areas);
        let (start, area) = areas.at(site)?;
        let private = matches!(area.backing, Backing::File { shared: false, .. });
        let lead = site.checked_sub(LEAD as u64)?;
        if !private || area.protection.0 != READ_EXECUTE || start > lead || area.end < range.end {
            return None;
        }
    }
    let bytes: [u8; LEAD + WHOLE] = space.memory.read_array(site.checked_sub(LEAD as u64)?).ok()?;
    is_site(&bytes, u32::try_from(number).ok()?)
}

fn is_site(bytes: &[u8; LEAD + WHOLE], number: u32) -> Option<[u8; SITE]> {
    /// `mov 8(%rsp), %r9`: the call's number is `syscall()`'s own argument.
    const LAST_ARGUMENT: [u8; SITE] = [0x4c, 0x8b, 0x4c, 0x24, 0x08];
    let ([third, second, first], rest) = bytes.split_first_chunk::<LEAD>()?;
    let (site, call) = rest.split_first_chunk::<SITE>()?;
    if call != [0x0f, 0x05] {
        return None;
    }
    if *site == LAST_ARGUMENT {
        // Six moves come before it; the last is of r8: `4d 89 c8`, `mov %r9, %r8`.
        return ([*third, *second, *first] == [0x4d, 0x89, 0xc8]).then_some(*site);
    }
    let [a, b, c, d] = number.to_le_bytes();
    if *site != [0xb8, a, b, c, d] {
        return None;
    }
    // A prefix for another register or a longer number; an address's second byte; and
    // instructions that end in a number, with addresses of one or two bytes.
    let longer = |byte: &u8| matches!(byte, 0x69 | 0x81 | 0xc7 | 0xf7);
    let alone = !matches!(first, 0x40..=0x4f | 0x0f | 0x8d) && !longer(second) && !longer(third);
    alone.then_some(*site)
}

enum Step {
    Call(HostCall),
    Write(u64, Vec<u8>),
    /// The stub has the page.
    Desks(Desks),
}

/// The thread waits with a frame, set back to the call of the site.
pub fn rewrite(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, mut frame: Frame, site: u64) {
    let space = thread.space();
    let number = frame.context.get(Register::Rax);
    let there = frame.context.get(Register::Rip) == site.wrapping_add(SITE as u64);
    if !there || space.take_turn().is_err() {
        signal::resume(kernel, thread, id, &mut frame);
        return;
    }
    let Some(steps) = steps(thread, &space, site, number, |page| kernel.listener.give(id, page))
    else {
        lock(&space.sites).leave(site);
        space.pass_turn();
        signal::resume(kernel, thread, id, &mut frame);
        return;
    };
    arrived(thread);
    run(kernel, thread, id, (frame, space), steps);
}

/// What is to be done, in the space's turn; `None` if the site stays as it is.
fn steps(
    thread: &Thread,
    space: &Space,
    site: u64,
    number: u64,
    give: impl FnOnce(BorrowedFd<'_>) -> Result<u32, Errno>,
) -> Option<VecDeque<Step>> {
    let posts = !is_answered(number);
    // Nobody comes to be there but by clone(2), which takes the turn.
    if space.users() > 1 {
        return None;
    }
    let bytes = replaceable(space, site, number);
    let mut sites = lock(&space.sites);
    if sites.is_off() {
        return None;
    }
    let mut steps = VecDeque::new();
    if posts && space.desks.get().is_none() {
        steps.extend(map_desks(give)?);
    }
    let Some(bytes) = bytes else { return (!steps.is_empty()).then_some(steps) };
    let (room, page) = match sites.room(site) {
        Some(room) => (room, room & !(PAGE - 1)),
        None => {
            let mut areas = lock(&space.areas);
            let (start, _) = areas.at(site)?;
            let page = areas.find(0, PAGE, Some(start))?;
            if !sites.may_begin(page, site) {
                return None;
            }
            let (backing, protection) = (Backing::Anonymous, Protection(READ_EXECUTE));
            let (end, marks) = (page + PAGE, Marks::empty());
            areas.insert(page, Area { end, protection, backing, name: "[calls]", marks });
            let flags = map::PRIVATE | map::FIXED | map::ANONYMOUS | map::NORESERVE;
            let args = [page, PAGE, READ_EXECUTE, flags, u64::MAX, 0];
            steps.push_back(Step::Call(HostCall { number: host::MMAP, args }));
            (page, page)
        }
    };
    let trampoline: [u8; TRAMPOLINE] = fast::trampoline(room, site + SITE as u64, bytes, posts)?;
    let jump = fast::jump(site, room)?;
    let protect = |start: u64, length: u64, protection: u64| {
        let args = [start, length, protection, 0, 0, 0];
        Step::Call(HostCall { number: host::MPROTECT, args })
    };
    let text = site & !(PAGE - 1);
    let length = (site + WHOLE as u64 - text).next_multiple_of(PAGE);
    space.settle(thread.tid, &(text..text + length)).ok()?;
    space.settle(thread.tid, &(page..page + PAGE)).ok()?;
    sites.add(room, site);
    for (start, length, at, bytes) in
        [(page, PAGE, room, trampoline.to_vec()), (text, length, site, jump.to_vec())]
    {
        steps.push_back(protect(start, length, READ_EXECUTE | 2));
        steps.push_back(Step::Write(at, bytes));
        steps.push_back(protect(start, length, READ_EXECUTE));
    }
    Some(steps)
}

/// Has the stub map the page of desks, of which a fork's child has no copy.
fn map_desks(give: impl FnOnce(BorrowedFd<'_>) -> Result<u32, Errno>) -> Option<[Step; 4]> {
    const MADVISE: u64 = 28;
    /// `MADV_DONTFORK`
    const NOT_FORKED: u64 = 10;
    let (desks, page) = Desks::new().ok()?;
    let number = give(page.as_fd()).ok()?.into();
    let call = |number, args| Step::Call(HostCall { number, args });
    let flags = map::SHARED | map::FIXED;
    Some([
        call(host::MMAP, [Desks::start(), desks::SIZE, 3, flags, number, 0]),
        call(MADVISE, [Desks::start(), desks::SIZE, NOT_FORKED, 0, 0, 0]),
        Step::Desks(desks),
        call(host::CLOSE, [number, 0, 0, 0, 0, 0]),
    ])
}

/// Makes the steps that are left. After one that failed nothing is written, so that the
/// worst is a trampoline to which nothing leads.
fn run(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    (mut frame, space): (Frame, Arc<Space>),
    mut steps: VecDeque<Step>,
) {
    while let Some(step) = steps.pop_front() {
        match step {
            Step::Call(call) => {
                let saved = frame.clone();
                let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id, result| {
                    if result < 0 {
                        steps.retain(|step| matches!(step, Step::Call(_)));
                    }
                    run(kernel, thread, id, (saved, space), steps);
                };
                kernel.order(thread, id, &frame, call, Box::new(then));
                return;
            }
            Step::Write(at, bytes) => {
                if space.memory.write(at, &bytes).is_err() {
                    steps.retain(|step| matches!(step, Step::Call(_)));
                }
            }
            Step::Desks(desks) => {
                let _ = space.desks.set(Arc::new(desks));
                arrived(thread);
            }
        }
    }
    space.pass_turn();
    signal::resume(kernel, thread, id, &mut frame);
}

/// A thread is in an address space that may have rewritten sites: tells it its ids.
pub fn arrived(thread: &Thread) {
    let place = lock(&thread.place).clone();
    let sites = lock(&place.space.sites);
    if !sites.is_empty() {
        tell(thread, place.slot, &place.space, sites.is_off());
    }
}

fn tell(thread: &Thread, slot: Slot, space: &Space, off: bool) {
    let number = |id: i32| thread.process.number_of(id);
    let id = |id: i32| if off { 0 } else { id.cast_unsigned() };
    fast::tell_ids(&space.memory, slot, id(number(thread.process.pid)), id(number(thread.tid)));
    let desk = space.desks.get().and_then(|_| Desks::place(slot)).filter(|_| !off);
    thread.posting.has_desk.store(desk.is_some(), Ordering::SeqCst);
    post::tell_desk(&space.memory, slot, desk);
}

/// Whether filters of the thread have a say about calls that a site makes none of.
pub fn are_judged(thread: &Thread) -> bool {
    thread.is_guarded() && {
        let guard = lock(&thread.guard);
        ![GETPID, GETTID].into_iter().all(|number| guard.lets(number))
    }
}

/// Has every call of a process reported from now on, whatever was rewritten.
pub fn report_all(kernel: &Kernel, process: &Process) {
    for thread in kernel.threads_of(process.pid) {
        let place = lock(&thread.place).clone();
        let mut sites = lock(&place.space.sites);
        sites.turn_off();
        if !sites.is_empty() {
            tell(&thread, place.slot, &place.space, true);
        }
    }
}

/// A thread that was interrupted on the way from a site is set back to it, or behind it
/// if it has its answer.
pub fn unwind(thread: &Thread, context: &mut Context) {
    let pointer = context.get(Register::Rip);
    let place = lock(&thread.place).clone();
    let memory = &place.space.memory;
    if fast::is_inside(pointer) {
        return fast::unwind(memory, place.slot, context);
    }
    if post::is_inside(pointer) {
        return post::unwind(memory, place.slot, place.space.desks.get().map(|d| &**d), context);
    }
    let found = lock(&place.space.sites).at(pointer);
    if let Some((trampoline, site)) = found {
        fast::unwind_trampoline(context, trampoline, (site, site + SITE as u64));
    }
}

/// A thread that reports each of its steps stands at a rewritten site: it is put in front
/// of the call, so that it is not set back from every step in the trampoline.
pub fn step_over(thread: &Thread, context: &mut Context) {
    let site = context.get(Register::Rip);
    let space = thread.space();
    let Some(trampoline) = lock(&space.sites).trampoline(site) else { return };
    // Something else may be mapped there by now.
    if space.memory.read_array::<SITE>(site).ok() != fast::jump(site, trampoline) {
        return;
    }
    let Ok(bytes) = space.memory.read_array::<SITE>(trampoline) else { return };
    match bytes {
        [0xb8, number @ ..] => {
            context.set(Register::Rax, u32::from_le_bytes(number).into());
        }
        _ => {
            let argument = context.get(Register::Rsp).wrapping_add(8);
            let Ok(value) = space.memory.read_u64(argument) else { return };
            context.set(Register::R9, value);
        }
    }
    context.set(Register::Rip, site.wrapping_add(SITE as u64));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_is_a_site_is_one() {
        let with = |lead: [u8; 3], site: [u8; 5], call: [u8; 2]| {
            let mut bytes = [0; 10];
            bytes[..3].copy_from_slice(&lead);
            bytes[3..8].copy_from_slice(&site);
            bytes[8..].copy_from_slice(&call);
            is_site(&bytes, 39).is_some()
        };
        const CALL: [u8; 2] = [0x0f, 0x05];
        let getpid = [0xb8, 39, 0, 0, 0];
        for lead in [[0x0f, 0x1f, 0x00], [0xf3, 0x1e, 0xfa], [0xc3, 0x90, 0x90], [0x48, 0x89, 0xc7]]
        {
            assert!(with(lead, getpid, CALL), "{lead:x?}");
        }
        for (lead, site, call) in [
            ([0x90, 0x90, 0x90], [0xb8, 40, 0, 0, 0], CALL),
            ([0x90, 0x90, 0x90], [0xb9, 39, 0, 0, 0], CALL),
            ([0x90, 0x90, 0x90], getpid, [0x0f, 0x34]),
            // mov $39, %r8d; lea 39(%rax), %edi; movl $39, -72(%rbp), -72(%rsp).
            ([0x90, 0x90, 0x41], getpid, CALL),
            ([0x90, 0x90, 0x8d], getpid, CALL),
            ([0x90, 0xc7, 0x45], getpid, CALL),
            ([0xc7, 0x44, 0x24], getpid, CALL),
            ([0x90, 0x90, 0x90], [0x4c, 0x8b, 0x4c, 0x24, 0x08], CALL),
        ] {
            assert!(!with(lead, site, call), "{lead:x?} {site:x?} {call:x?}");
        }
        assert!(with([0x4d, 0x89, 0xc8], [0x4c, 0x8b, 0x4c, 0x24, 0x08], CALL));
    }
}
