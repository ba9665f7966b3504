//! Call sites that are rewritten, so that a call which the stub can answer is none.
//!
//! A site has reported before it is touched: what ends at the address that the host
//! told is a `syscall` that was executed. What is in front of it is replaced if it is
//! `mov $number, %eax` of that very number, or what libc's `syscall()` or `read()` has
//! there ([`super::site_forms`]), and is not the tail of something longer. The
//! `syscall` itself stays, so that a thread which is in it, or is set back to it, finds
//! it. Only code of files that is mapped privately and can't be written is touched.
//!
//! While it is changed nobody executes it: its page loses that right first, by a call of the
//! host's that reaches all processors, and gets it back afterwards. Threads that come
//! there meanwhile fault, and go on when the change is made ([`came_too_early`]).

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::mm::{Area, Backing, Marks, PAGE, Protection, Site, Space};
use crate::platform::context::{Context, Register};
use crate::platform::desks::{self, Desks};
use crate::platform::fast::{self, GETPID, GETTID, SITE, TRAMPOLINE};
use crate::platform::{HostCall, Slot, post};
use crate::signal;
use crate::task::waiter::lock;
use crate::task::{Process, Status, Thread, exit_process};

use super::memory::{host, map};
use super::site_forms::{AFTER, BEFORE, CALL, Form};
use super::{RESTART, posted, views};

const READ_EXECUTE: u64 = 5;
const READ_WRITE: u64 = 3;

/// What pages of trampolines are called in `/proc/[pid]/maps`.
const TRAMPOLINES: &str = "[calls]";

/// How long a thread of the sentry waits for a site to be changed.
const A_MOMENT: Duration = Duration::from_millis(1);

/// Reports after which a site is worth rewriting.
const RIPE: u32 = 64;

fn is_answered(number: u64) -> bool {
    matches!(number, GETPID | GETTID)
}

/// A call was reported; true if its site is to be rewritten, or what is in view to be changed,
/// and the call made again.
pub fn called(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    call: &HostCall,
    at: u64,
) -> bool {
    if views::called(kernel, thread, id, call) {
        return true;
    }
    let Some(call) = ripe(kernel, thread, call.number, at) else { return false };
    thread.site.store(call, Ordering::SeqCst);
    // With a signal for it the host sets the thread back to the call.
    thread.kick();
    kernel.listener.answer(id, RESTART);
    true
}

/// The same of a call that came with its frame, which is given back if the call is to be served.
pub fn called_framed(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    mut frame: Frame,
) -> Option<Frame> {
    let (number, at) = (frame.context.get(Register::Rax), frame.context.get(Register::Rip));
    let Some(call) = ripe(kernel, thread, number, at) else { return Some(frame) };
    frame.make_again();
    rewrite(kernel, thread, id, frame, call);
    None
}

/// Where the call is whose thread has just reported from `at`, if its site is to be rewritten.
fn ripe(kernel: &Arc<Kernel>, thread: &Arc<Thread>, number: u64, at: u64) -> Option<u64> {
    let answered = is_answered(number);
    if !answered && !posted::may_be(kernel, number) || !fast::possible() {
        return None;
    }
    if !answered && !thread.posting.is_quick() {
        return None;
    }
    let space = thread.space();
    if !answered && thread.posting.has_desk.load(Ordering::SeqCst) {
        posted::invite(kernel, thread);
    } else if !thread.posting.told.load(Ordering::SeqCst)
        || !answered && may_have_desk(thread, &space)
    {
        // Another thread may have had the site rewritten.
        arrived(thread);
    }
    let call = at.wrapping_sub(CALL as u64);
    if !lock(&space.sites).count(call, RIPE) {
        return None;
    }
    let judged = if answered { are_judged(thread) } else { !posted::is_let(thread, number) };
    if thread.is_traced() || judged || thread.doomed.load(Ordering::SeqCst) {
        return None;
    }
    let needs_desks = !answered && space.desks.get().is_none();
    let rewritten = lock(&space.sites).find(|site| site.call == call).is_some();
    let is_one = replaceable(&space, call, number).is_some() || rewritten && needs_desks;
    is_one.then_some(call)
}

/// Whether there is a desk of which a thread has not been told.
fn may_have_desk(thread: &Thread, space: &Space) -> bool {
    space.desks.get().is_some()
        && Desks::place(lock(&thread.place).slot).is_some()
        && !thread.is_traced()
        && !lock(&space.sites).is_off()
}

/// How the site of a call may be rewritten.
fn replaceable(space: &Space, call: u64, number: u64) -> Option<Form> {
    let from = call.checked_sub(BEFORE as u64)?;
    let end = {
        let areas = lock(&space.areas);
        let (start, area) = areas.at(call)?;
        let private = matches!(area.backing, Backing::File { shared: false, .. });
        if !private || area.protection.0 != READ_EXECUTE || start > from {
            return None;
        }
        area.end.min(call.checked_add(AFTER as u64)?)
    };
    let mut bytes = [0; BEFORE + AFTER];
    let there = bytes.get_mut(..usize::try_from(end - from).ok()?)?;
    space.memory.read(from, there).ok()?;
    let form = Form::of(&bytes, u32::try_from(number).ok()?)?;
    // What is changed in two places is changed in one page.
    let page = |at: u64| at & !(PAGE - 1);
    let in_one = |stone: u64| page(form.start(call)) == page(stone + SITE as u64 - 1);
    form.stepping_stone(call).is_none_or(in_one).then_some(form)
}

pub(super) enum Step {
    Call(HostCall),
    Write(u64, Vec<u8>),
    /// The stub has the page.
    Desks(Desks),
    /// What the space is to know of the call before.
    Note(Box<dyn FnOnce(&Space) + Send>),
    /// The site gets its trampoline, there; the stub has the page, which may be new.
    Add(u64, Site),
}

/// The thread waits with a frame, set back to the call of the site.
pub fn rewrite(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, mut frame: Frame, call: u64) {
    let space = thread.space();
    let number = frame.context.get(Register::Rax);
    let there = frame.context.get(Register::Rip) == call;
    if !there || space.take_turn().is_err() {
        signal::resume(kernel, thread, id, &mut frame);
        return;
    }
    let give = |page: BorrowedFd<'_>| kernel.listener.give(id, page);
    let Some(steps) = steps(thread, &space, (call, number), give) else {
        let mut sites = lock(&space.sites);
        // Another thread may just have done it.
        if sites.find(|site| site.call == call).is_none() {
            sites.leave(call);
        }
        drop(sites);
        space.pass_turn();
        signal::resume(kernel, thread, id, &mut frame);
        return;
    };
    run(kernel, thread, id, (frame, space), steps);
}

/// What is to be done, in the space's turn; `None` if the site stays as it is.
fn steps(
    thread: &Thread,
    space: &Space,
    (call, number): (u64, u64),
    give: impl FnOnce(BorrowedFd<'_>) -> Result<u32, Errno>,
) -> Option<VecDeque<Step>> {
    let posts = !is_answered(number);
    let form = replaceable(space, call, number);
    if lock(&space.sites).is_off() {
        return None;
    }
    let mut steps = VecDeque::new();
    if let Some(form) = form {
        steps.extend(trampoline_and_jump(thread, space, (call, form))?);
    }
    if posts && space.desks.get().is_none() {
        // What is given is closed by these steps, so nothing fails from here on.
        for step in map_desks(give)?.into_iter().rev() {
            steps.push_front(step);
        }
    }
    (!steps.is_empty()).then_some(steps)
}

/// Where the next trampoline goes, and whether its page is new. The caller has the turn.
fn room(space: &Space, call: u64) -> Option<(u64, bool)> {
    let areas = lock(&space.areas);
    let mut sites = lock(&space.sites);
    while let Some(room) = sites.room(call) {
        let page = room & !(PAGE - 1);
        let is_there = areas.at(page).is_some_and(|(_, area)| {
            let own = area.backing == Backing::Anonymous && area.name == TRAMPOLINES;
            own && area.protection.0 == READ_EXECUTE
        });
        if is_there {
            return Some((room, false));
        }
        // The guest has mapped something else there.
        sites.forget(page);
    }
    let (start, _) = areas.at(call)?;
    let page = areas.find(0, PAGE, Some(start))?;
    sites.may_begin(page, call).then_some((page, true))
}

fn trampoline_and_jump(
    thread: &Thread,
    space: &Space,
    (call, form): (u64, Form),
) -> Option<Vec<Step>> {
    let (room, is_new) = room(space, call)?;
    let page = room & !(PAGE - 1);
    let trampoline: [u8; TRAMPOLINE] = fast::trampoline(room, call, form.replaced())?;
    let changes = form.changes(call, room)?;
    let text = form.start(call) & !(PAGE - 1);
    // No further than it is written: others may execute the next page, and can't be waited for.
    let end = changes.iter().map(|(at, bytes)| at + bytes.len() as u64).max()?;
    let length = (end - text).next_multiple_of(PAGE);
    space.settle(thread.tid, &(text..text + length)).ok()?;
    space.settle(thread.tid, &(page..page + PAGE)).ok()?;
    let mut steps = Vec::new();
    if is_new {
        let flags = map::PRIVATE | map::FIXED | map::ANONYMOUS | map::NORESERVE;
        let args = [page, PAGE, READ_EXECUTE, flags, u64::MAX, 0];
        steps.push(Step::Call(HostCall { number: host::MMAP, args }));
    }
    steps.push(Step::Add(room, Site { start: form.start(call), call }));
    let protect = |start: u64, length: u64, protection: u64| {
        let args = [start, length, protection, 0, 0, 0];
        Step::Call(HostCall { number: host::MPROTECT, args })
    };
    for (start, length, changes) in
        [(page, PAGE, vec![(room, trampoline.to_vec())]), (text, length, changes)]
    {
        // Nobody executes what is changed.
        steps.push(protect(start, length, READ_WRITE));
        steps.extend(changes.into_iter().map(|(at, bytes)| Step::Write(at, bytes)));
        steps.push(protect(start, length, READ_EXECUTE));
    }
    Some(steps)
}

/// A site's trampoline is there, in a page that is noted now if it is new.
fn add(space: &Space, room: u64, site: Site) {
    let mut areas = lock(&space.areas);
    let mut sites = lock(&space.sites);
    if sites.add(room, site) {
        let (backing, protection) = (Backing::Anonymous, Protection(READ_EXECUTE));
        let (page, marks) = (room & !(PAGE - 1), Marks::empty());
        let end = page + PAGE;
        areas
            .insert(page, Area { end, protection, backing, name: TRAMPOLINES, label: None, marks });
    }
}

/// A thread has faulted: whether it wanted to execute a page with a site, or a trampoline, which
/// was being changed. Then it has been waited for that, though not for long.
pub fn came_too_early(thread: &Thread, context: &Context, address: u64) -> bool {
    /// The fault was that of an instruction.
    const FETCH: u64 = 0x10;
    let (space, page) = (thread.space(), address & !(PAGE - 1));
    if context.error_code() & FETCH == 0 || !lock(&space.sites).changes(page) {
        return false;
    }
    // If it is not made by then the thread comes again.
    space.wait_for_turn(A_MOMENT);
    lock(&space.areas).at(page).is_some_and(|(_, a)| a.protection.0 & 4 != 0)
}

/// Has the stub map the page of desks, of which a fork's child has no copy.
fn map_desks(give: impl FnOnce(BorrowedFd<'_>) -> Result<u32, Errno>) -> Option<[Step; 4]> {
    let (desks, page) = Desks::new().ok()?;
    let number = give(page.as_fd()).ok()?;
    let place = (Desks::start(), desks::SIZE, READ_WRITE);
    Some(map_beyond(place, (number, 0), Step::Desks(desks)))
}

/// Has the stub map a file, by a descriptor that it was given, where its guest maps nothing and
/// a fork's child has no copy: where, how long and with what rights; from what offset.
pub(super) fn map_beyond(
    (start, length, rights): (u64, u64, u64),
    (number, offset): (u32, u64),
    mapped: Step,
) -> [Step; 4] {
    const MADVISE: u64 = 28;
    /// `MADV_DONTFORK`
    const NOT_FORKED: u64 = 10;
    let call = |number, args| Step::Call(HostCall { number, args });
    let flags = map::SHARED | map::FIXED;
    [
        call(host::MMAP, [start, length, rights, flags, number.into(), offset]),
        call(MADVISE, [start, length, NOT_FORKED, 0, 0, 0]),
        mapped,
        call(host::CLOSE, [number.into(), 0, 0, 0, 0, 0]),
    ]
}

/// Whether a call gives a page back the right to be executed.
fn gives_back(call: &HostCall) -> bool {
    call.number == host::MPROTECT && call.args.get(2) == Some(&READ_EXECUTE)
}

/// Whether a step is still to be made after a call that failed: what it may have begun is
/// ended.
fn is_left(failed: &HostCall, step: &Step) -> bool {
    let Step::Call(call) = step else { return false };
    let same = failed.number == call.number && failed.args.first() == call.args.first();
    call.number == host::CLOSE || same && gives_back(call)
}

/// Makes the steps that are left. After one that failed nothing is written, so that the
/// worst is a trampoline to which nothing leads.
pub(super) fn run(
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
                    if result < 0 && gives_back(&call) {
                        let answer = format!("sites: the host's answer to {call:?}: {result}");
                        return give_up(kernel, thread, &space, &answer);
                    }
                    if result < 0 {
                        steps.retain(|step| is_left(&call, step));
                    }
                    run(kernel, thread, id, (saved, space), steps);
                };
                kernel.order(thread, id, &frame, call, Box::new(then));
                return;
            }
            Step::Write(at, bytes) => {
                if space.memory.write(at, &bytes).is_err() {
                    // The next call gives the page back.
                    steps.retain(|step| matches!(step, Step::Call(_)));
                    steps.truncate(1);
                }
            }
            Step::Add(room, site) => {
                add(&space, room, site);
                arrived(thread);
            }
            Step::Note(note) => note(&space),
            Step::Desks(desks) => {
                let _ = space.desks.set(Arc::new(desks));
                arrived(thread);
            }
        }
    }
    space.pass_turn();
    signal::resume(kernel, thread, id, &mut frame);
}

/// Nobody can execute a page any more that is code: whoever comes there would fault for ever.
fn give_up(kernel: &Arc<Kernel>, thread: &Thread, space: &Space, why: &str) {
    kernel.log.write(why);
    exit_process(kernel, &thread.process, Status::Killed(9, false));
    // Others that live there end with it.
    space.stub.kill();
    space.pass_turn();
}

/// A thread is in an address space that may have rewritten sites: tells it its ids.
pub fn arrived(thread: &Thread) {
    let place = lock(&thread.place).clone();
    let sites = lock(&place.space.sites);
    if !sites.is_empty() {
        tell(thread, place.slot, &place.space, sites.is_off() || thread.is_traced());
    }
}

fn tell(thread: &Thread, slot: Slot, space: &Space, off: bool) {
    let number = |id: i32| thread.process.number_of(id);
    let id = |id: i32| if off { 0 } else { id.cast_unsigned() };
    fast::tell_ids(&space.memory, slot, id(number(thread.process.pid)), id(number(thread.tid)));
    let desk = space.desks.get().and_then(|_| Desks::place(slot)).filter(|_| !off);
    thread.posting.has_desk.store(desk.is_some(), Ordering::SeqCst);
    thread.posting.told.store(true, Ordering::SeqCst);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_call_has_begun_is_ended() {
        let call = |number, args| HostCall { number, args };
        let protect = |page, to| call(host::MPROTECT, [page, PAGE, to, 0, 0, 0]);
        let (take, give) = (|page| protect(page, READ_WRITE), |page| protect(page, READ_EXECUTE));
        let close = call(host::CLOSE, [3, 0, 0, 0, 0, 0]);
        let all = || {
            let mut steps = vec![Step::Call(close)];
            for page in [0x1000, 0x2000] {
                steps.extend([Step::Call(take(page)), Step::Write(page, vec![0])]);
                steps.push(Step::Call(give(page)));
            }
            steps
        };
        let left = |failed: HostCall| {
            let mut steps = all();
            steps.retain(|step| is_left(&failed, step));
            let calls = steps.into_iter().map(|step| match step {
                Step::Call(call) => call,
                _ => panic!("not a call"),
            });
            calls.collect::<Vec<_>>()
        };
        assert_eq!(left(call(host::MMAP, [0x1000, PAGE, READ_EXECUTE, 0, 0, 0])), [close]);
        assert_eq!(left(take(0x1000)), [close, give(0x1000)]);
        assert_eq!(left(take(0x2000)), [close, give(0x2000)]);
        assert!(gives_back(&give(0x1000)) && !gives_back(&take(0x1000)));
    }
}
