//! Signals: actions, masks, sending, waiting.

use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;

use crate::kernel::Frame;
use crate::platform::context::Register;
use crate::signal::{
    self, Action, Info, MAX, SI_TKILL, SI_USER, SIGCONT, SIGKILL, SIGSTOP, STACK_DISABLED,
    STACK_DISARMS, STACK_IN_USE, Sender, Target, try_send, unmaskable,
};
use crate::task::waiter::{Woken, lock};
use crate::task::{Process, Restart};
use crate::vfs::{OpenFile, SignalFd, status};

use super::{Call, Failure, Framed, Outcome, time};

const SET_SIZE: u64 = 8;

fn check_size(size: u64) -> Result<(), Errno> {
    if size == SET_SIZE { Ok(()) } else { Err(Errno::INVAL) }
}

/// After a change of the mask: what waits may be let in now, or be for another thread.
pub(super) fn look_again(call: &Call<'_>) {
    let (waiting, held) = {
        let signals = lock(&call.thread.signals);
        let shared = lock(&call.thread.process.pending).set();
        ((signals.pending.set() | shared) & !signals.mask, shared & signals.mask)
    };
    if waiting != 0 {
        call.thread.interrupt();
    }
    if held != 0 {
        signal::retarget(call.kernel, call.thread, held);
    }
}

pub(super) fn sigaction(call: &Call<'_>) -> Outcome {
    check_size(call.arg(3))?;
    let number = call.int(0);
    let new = if call.arg(1) == 0 {
        None
    } else {
        let bytes: [u8; 32] = call.memory().read_array(call.arg(1))?;
        let mut words = bytes.chunks_exact(8).map(|w| w.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || words.next().unwrap_or(0);
        Some(Action { handler: next(), flags: next(), restorer: next(), mask: next() })
    };
    if !(1..=MAX).contains(&number) || (new.is_some() && [SIGKILL, SIGSTOP].contains(&number)) {
        return Err(Errno::INVAL.into());
    }
    let process = &call.thread.process;
    let old = {
        let actions = process.actions();
        let mut actions = lock(&actions);
        let old = actions.get(number);
        if let Some(new) = new {
            actions.set(number, Action { mask: new.mask & !unmaskable(), ..new });
        }
        old
    };
    if new.is_some() && lock(&process.actions()).ignores(number) {
        // What waits and is ignored now is gone.
        lock(&process.pending).discard(signal::bit(number));
        for thread in call.kernel.threads_of(process.pid) {
            lock(&thread.signals).pending.discard(signal::bit(number));
        }
    }
    if call.arg(2) != 0 {
        let words = [old.handler, old.flags, old.restorer, old.mask];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        call.memory().write(call.arg(2), &bytes)?;
    }
    Ok(0)
}

pub(super) fn sigprocmask(call: &Call<'_>) -> Outcome {
    check_size(call.arg(3))?;
    let new = if call.arg(1) == 0 { None } else { Some(call.memory().read_u64(call.arg(1))?) };
    let old = {
        let mut signals = lock(&call.thread.signals);
        let old = signals.mask;
        if let Some(new) = new {
            let mask = match call.int(0) {
                0 => old | new,
                1 => old & !new,
                2 => new,
                _ => return Err(Errno::INVAL.into()),
            };
            signals.set_mask(mask);
        }
        old
    };
    if call.arg(2) != 0 {
        call.memory().write(call.arg(2), &old.to_le_bytes())?;
    }
    look_again(call);
    Ok(0)
}

pub(super) fn sigpending(call: &Call<'_>) -> Outcome {
    let set = {
        let signals = lock(&call.thread.signals);
        (signals.pending.set() | lock(&call.thread.process.pending).set()) & signals.mask
    };
    call.memory().write(call.arg(0), &set.to_le_bytes())?;
    Ok(0)
}

fn wait_for_signal(call: &Call<'_>) -> Outcome {
    loop {
        if call.waiter().wait(None) == Woken::Interrupted {
            return Err(Failure::Interrupted(Restart::Never));
        }
    }
}

pub(super) fn sigsuspend(call: &Call<'_>) -> Outcome {
    check_size(call.arg(1))?;
    let mask = call.memory().read_u64(call.arg(0))?;
    {
        let mut signals = lock(&call.thread.signals);
        let old = signals.mask;
        signals.saved_mask.get_or_insert(old);
        signals.set_mask(mask);
    }
    look_again(call);
    wait_for_signal(call)
}

pub(super) fn pause(call: &Call<'_>) -> Outcome {
    wait_for_signal(call)
}

pub(super) fn sigtimedwait(call: &Call<'_>) -> Outcome {
    check_size(call.arg(3))?;
    let wanted = call.memory().read_u64(call.arg(0))? & !unmaskable();
    let deadline: Option<Instant> = call.continued.or(time::deadline_at(call, call.arg(2))?);
    let mut interrupted = false;
    loop {
        call.kernel.signals.join(call.waiter());
        // One that the thread doesn't hold back ends the wait, and is taken all the same.
        if let Some(info) = signal::take(call.thread, wanted) {
            if call.arg(1) != 0 {
                call.memory().write(call.arg(1), info.bytes())?;
            }
            return Ok(info.signal().into());
        }
        if interrupted {
            return Err(Failure::Interrupted(Restart::UnlessStopped(deadline)));
        }
        match call.waiter().wait(deadline) {
            Woken::Called => {}
            Woken::TimedOut => return Err(Errno::AGAIN.into()),
            Woken::Interrupted => interrupted = true,
        }
    }
}

pub(super) fn sender(call: &Call<'_>) -> (Sender, u32) {
    let who = lock(&call.thread.credentials).clone();
    let [real, ..] = who.users;
    (Sender(who), real)
}

/// Whether a process may be sent a signal: SIGCONT by all of its session, too.
pub(super) fn may_send(call: &Call<'_>, who: &Sender, to: &Process, number: i32) -> bool {
    who.may(to)
        || (number == SIGCONT && {
            let tree = lock(&call.kernel.tree);
            let own = tree.row(call.thread.process.pid).map(|row| row.session);
            let theirs = tree.row(to.pid).filter(|row| std::ptr::eq(&raw const *row.process, to));
            own.is_some() && own == theirs.map(|row| row.session)
        })
}

fn check_number(number: i32) -> Result<(), Errno> {
    if (0..=MAX).contains(&number) { Ok(()) } else { Err(Errno::INVAL) }
}

/// Live processes that kill(2) means.
fn targets(call: &Call<'_>, pid: i32) -> Result<Vec<Arc<Process>>, Errno> {
    let own = call.thread.process.pid;
    let tree = lock(&call.kernel.tree);
    let process = &call.thread.process;
    let first = process.pids().and_then(|space| space.first()).unwrap_or(1);
    let pid = call.id_of(pid);
    let group = match pid {
        0 => tree.row(own).map(|r| r.group),
        i32::MIN => return Err(Errno::SRCH),
        -0x7fff_ffff..=-2 => Some(call.id_of(-pid)),
        _ => None,
    };
    let found: Vec<Arc<Process>> = tree
        .rows()
        .filter(|(id, row)| match (pid, group) {
            (-1, _) => ![first, own].contains(id) && process.sees(&row.process),
            (_, Some(group)) => row.group == group,
            // Of any of its threads.
            _ => *id == pid || row.threads.contains_key(&pid),
        })
        .map(|(_, row)| Arc::clone(&row.process))
        .collect();
    if found.is_empty() { Err(Errno::SRCH) } else { Ok(found) }
}

pub(super) fn kill(call: &Call<'_>) -> Outcome {
    let (pid, number) = (call.int(0), call.int(1));
    check_number(number)?;
    let (who, user) = sender(call);
    let (all, own) = (targets(call, pid)?, call.thread.process.pid);
    let allowed: Vec<_> = all.into_iter().filter(|p| may_send(call, &who, p, number)).collect();
    if allowed.is_empty() {
        return Err(Errno::PERM.into());
    }
    if number != 0 {
        for process in allowed {
            let info = Info::from_user(number, SI_USER, own, user);
            send_checked(call, &Target::Process(process), info)?;
        }
    }
    Ok(0)
}

/// The first process only gets what it has a handler for, as in a PID namespace
/// on Linux.
///
/// # Errors
/// As [`try_send`].
pub(super) fn send_checked(call: &Call<'_>, target: &Target, info: Info) -> Result<(), Errno> {
    let process = target.process();
    // What a thread holds back waits: a handler may be set meanwhile.
    let bit = signal::bit(info.signal());
    let held = || {
        let threads = call.kernel.threads_of(process.pid);
        threads.iter().all(|thread| lock(&thread.signals).mask & bit != 0)
    };
    // A tracer hears of all but that.
    let traced = || match target {
        Target::Thread(thread) => thread.is_traced(),
        Target::Process(_) => {
            call.kernel.threads_of(process.pid).iter().any(|thread| thread.is_traced())
        }
    };
    let first = process.is_first_for(&call.thread.process) && info.signal() != 0;
    let first = first && (info.signal() == SIGKILL || !traced());
    if first && lock(&process.actions()).get(info.signal()).handler <= 1 && !held() {
        return Ok(());
    }
    try_send(call.kernel, target, info)
}

fn to_thread(call: &Call<'_>, group: Option<i32>, tid: i32, number: i32, info: Info) -> Outcome {
    check_number(number)?;
    if tid <= 0 || group.is_some_and(|g| g <= 0) {
        return Err(Errno::INVAL.into());
    }
    let tid = call.id_of(tid);
    let thread = lock(&call.kernel.tree).thread(tid).cloned().ok_or(Errno::SRCH)?;
    if group.is_some_and(|group| thread.process.pid != call.id_of(group)) {
        return Err(Errno::SRCH.into());
    }
    let (who, _) = sender(call);
    if !may_send(call, &who, &thread.process, number) {
        return Err(Errno::PERM.into());
    }
    if number != 0 {
        send_checked(call, &Target::Thread(thread), info)?;
    }
    Ok(0)
}

fn own_info(call: &Call<'_>, number: i32) -> Info {
    let (_, user) = sender(call);
    Info::from_user(number, SI_TKILL, call.thread.process.pid, user)
}

pub(super) fn tkill(call: &Call<'_>) -> Outcome {
    to_thread(call, None, call.int(0), call.int(1), own_info(call, call.int(1)))
}

pub(super) fn tgkill(call: &Call<'_>) -> Outcome {
    let info = own_info(call, call.int(2));
    to_thread(call, Some(call.int(0)), call.int(1), call.int(2), info)
}

/// Only to itself may a process claim any cause.
pub(super) fn given_info(
    call: &Call<'_>,
    index: usize,
    number: i32,
    to: i32,
) -> Result<Info, Errno> {
    let mut info = Info::from_bytes(call.memory().read_array(call.arg(index))?);
    let claims = info.code() >= 0 || info.code() == SI_TKILL;
    if claims && to != call.thread.process.pid {
        return Err(Errno::PERM);
    }
    info.set(number, info.code());
    Ok(info)
}

pub(super) fn sigqueueinfo(call: &Call<'_>) -> Outcome {
    let (pid, number) = (call.id_of(call.int(0)), call.int(1));
    check_number(number)?;
    let info = given_info(call, 2, number, pid)?;
    let process = lock(&call.kernel.tree).process(pid).ok_or(Errno::SRCH)?;
    if !may_send(call, &sender(call).0, &process, number) {
        return Err(Errno::PERM.into());
    }
    if number != 0 {
        send_checked(call, &Target::Process(process), info)?;
    }
    Ok(0)
}

pub(super) fn tgsigqueueinfo(call: &Call<'_>) -> Outcome {
    let info = given_info(call, 3, call.int(2), call.id_of(call.int(0)))?;
    to_thread(call, Some(call.int(0)), call.int(1), call.int(2), info)
}

pub(super) fn sigaltstack(call: &Call<'_>) -> Outcome {
    {
        let signals = lock(&call.thread.signals);
        if signals.stack.1 > 0 && signals.stack_flags & STACK_DISARMS == 0 {
            // Whether it is in use is in the stack pointer.
            return Err(Failure::NeedsFrame);
        }
    }
    set_stack(call, 0)
}

pub(super) fn sigaltstack_framed(call: &Call<'_>, frame: &Frame) -> Framed {
    set_stack(call, frame.context.get(Register::Rsp)).map(Some)
}

fn set_stack(call: &Call<'_>, pointer: u64) -> Outcome {
    let memory = call.memory();
    let new = if call.arg(0) == 0 {
        None
    } else {
        let flags = memory.read_u32(call.arg(0).wrapping_add(8))?;
        let base = memory.read_u64(call.arg(0))?;
        Some((base, flags, memory.read_u64(call.arg(0).wrapping_add(16))?))
    };
    let mut signals = lock(&call.thread.signals);
    let (base, size) = signals.stack;
    let state = match size {
        0 => STACK_DISABLED,
        _ if signals.uses_stack(pointer) => STACK_IN_USE,
        _ => 0,
    };
    let flags = state | signals.stack_flags & STACK_DISARMS;
    if let Some(new) = new {
        signals.set_stack(pointer, new)?;
    }
    drop(signals);
    if call.arg(1) != 0 {
        let words = [base, u64::from(flags), size];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        memory.write(call.arg(1), &bytes)?;
    }
    Ok(0)
}

fn make_signalfd(call: &Call<'_>, flags: u32) -> Outcome {
    if flags & !(status::CLOSE_ON_EXEC | status::NONBLOCK) != 0 {
        return Err(Errno::INVAL.into());
    }
    check_size(call.arg(2))?;
    let set = call.memory().read_u64(call.arg(1))? & !unmaskable();
    if call.int(0) != -1 {
        let file = call.file(0)?;
        let own = file.file.own().and_then(|own| own.downcast_ref::<SignalFd>());
        own.ok_or(Errno::INVAL)?.change(set);
        return Ok(call.int(0).into());
    }
    let file = SignalFd::new(call.kernel, &call.thread.process, set);
    let keep = flags & status::NONBLOCK | status::READ_WRITE;
    let file = OpenFile::stream(Box::new(file), keep);
    Ok(call.files().add(file, 0, flags & status::CLOSE_ON_EXEC != 0)?.into())
}

pub(super) fn signalfd(call: &Call<'_>) -> Outcome {
    make_signalfd(call, 0)
}

pub(super) fn signalfd4(call: &Call<'_>) -> Outcome {
    make_signalfd(call, call.uint(3))
}
