//! New tasks: clone(2), fork(2), vfork(2).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::mm::Space;
use crate::platform::context::{Register, read_xstate};
use crate::platform::{EventKind, HostCall, StubProcess, XSTATE_OFFSET};
use crate::signal::{self, ThreadSignals};
use crate::syscalls;
use crate::time::Usage;
use crate::vfs::{FileTable, OpenFile, PidFd, Promised, status};

use super::limits::{INFINITY, resource};
use super::namespaces::{self, Namespaces, new};
use super::pid_namespace::{self, Pids};
use super::thread::Place;
use super::trace::{self, Leaving};
use super::tree::Row;
use super::unmade::{abandon, undo};
use super::waiter::{Woken, lock};
use super::{Caps, Pid, Process, Thread};

/// `CLONE_*`
pub(super) mod flags {
    #![allow(missing_docs, reason = "names of the manual page clone(2)")]
    pub(crate) const VM: u64 = 0x100;
    pub(crate) const FS: u64 = 0x200;
    pub(crate) const FILES: u64 = 0x400;
    pub(crate) const SIGHAND: u64 = 0x800;
    pub(crate) const PIDFD: u64 = 0x1000;
    pub(crate) const PTRACE: u64 = 0x2000;
    pub(crate) const VFORK: u64 = 0x4000;
    pub(crate) const PARENT: u64 = 0x8000;
    pub(crate) const THREAD: u64 = 0x1_0000;
    pub(crate) const SYSVSEM: u64 = 0x4_0000;
    pub(crate) const SETTLS: u64 = 0x8_0000;
    pub(crate) const PARENT_SETTID: u64 = 0x10_0000;
    pub(crate) const CHILD_CLEARTID: u64 = 0x20_0000;
    pub(crate) const DETACHED: u64 = 0x40_0000;
    pub(crate) const UNTRACED: u64 = 0x80_0000;
    pub(crate) const CHILD_SETTID: u64 = 0x100_0000;
    pub(crate) const IO: u64 = 0x8000_0000;
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneRequest {
    /// `CLONE_*`, without the signal.
    pub flags: u64,
    /// The child's stack pointer, 0 for the parent's.
    pub stack: u64,
    /// Where the parent's side wants the id.
    pub parent_tid: u64,
    /// Where the parent's side wants a descriptor of the child.
    pub pidfd: u64,
    /// Where the child's side wants it.
    pub child_tid: u64,
    /// The child's thread pointer.
    pub tls: u64,
    /// The signal at its end.
    pub exit_signal: i32,
}

const SUPPORTED: u64 = flags::VM
    | flags::FS
    | flags::FILES
    | flags::SIGHAND
    | flags::PIDFD
    | flags::PTRACE
    | flags::VFORK
    | flags::PARENT
    | flags::THREAD
    | flags::SYSVSEM
    | flags::SETTLS
    | flags::PARENT_SETTID
    | flags::CHILD_CLEARTID
    | flags::DETACHED
    | flags::UNTRACED
    | flags::CHILD_SETTID
    | flags::IO
    | new::ALL;

fn check(request: &CloneRequest) -> Result<(), Errno> {
    let has = |flag: u64| request.flags & flag != 0;
    if request.flags & !SUPPORTED != 0
        || (has(flags::THREAD) && !has(flags::SIGHAND))
        || (has(flags::SIGHAND) && !has(flags::VM))
        || (has(flags::PIDFD) && (has(flags::THREAD) || has(flags::DETACHED)))
        || (has(new::MOUNTS | new::USERS) && has(flags::FS))
        || (has(new::USERS | new::PIDS) && has(flags::THREAD))
        || (has(new::IPC) && has(flags::SYSVSEM))
        || !(0..=signal::MAX).contains(&request.exit_signal)
    {
        return Err(Errno::INVAL);
    }
    Ok(())
}

/// Makes a task that starts with the registers of `frame`, and answers both. `wanted` are
/// numbers that are asked for, from the innermost PID namespace on.
///
/// # Errors
/// As clone(2); then nothing was made, and the caller answers.
pub fn clone(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    frame: &Frame,
    (request, wanted): (CloneRequest, &[Pid]),
) -> Result<(), Errno> {
    check(&request)?;
    if request.flags & flags::PARENT != 0 && thread.process.is_first()
        || request.flags & flags::THREAD != 0 && thread.namespaces().pids.is_some()
    {
        return Err(Errno::INVAL);
    }
    let who = lock(&thread.credentials).clone();
    if request.flags & flags::THREAD == 0 {
        let limit = lock(&thread.process.limits).soft(resource::NPROC);
        let [user, ..] = who.users;
        let free = user == 0 || who.can(Caps::SYS_RESOURCE) || who.can(Caps::SYS_ADMIN);
        if !free && limit != INFINITY {
            let tree = lock(&kernel.tree);
            let own = |row: &Row| lock(&row.process.credentials()).users[0] == user;
            if tree.rows().filter(|(_, row)| own(row)).count() as u64 >= limit {
                return Err(Errno::AGAIN);
            }
        }
    }
    let has = |flag: u64| request.flags & flag != 0;
    let mut made = if has(new::ALL) {
        Some(namespaces::make(kernel, (thread, &who), request.flags)?)
    } else {
        None
    };
    let pids = match &mut made {
        Some(made) => made.take_pids(),
        None => thread.namespaces().pids,
    };
    let pids = pids.or_else(|| thread.process.pids());
    let tid = pid_namespace::new_id(&mut lock(&kernel.tree), &pids, &who, wanted)?;
    // As each side sees it.
    let (number, own_number) =
        (thread.process.number_of(tid), pid_namespace::number_of(&pids, tid));
    let space = thread.space();
    let begun = space.take_turn().and_then(|()| {
        let begun = begin(kernel, thread, frame, (tid, pids.clone()), &request);
        begun.inspect_err(|_| space.pass_turn())
    });
    let (child, child_frame) =
        begun.inspect_err(|_| pid_namespace::leave(&mut lock(&kernel.tree), &pids, tid))?;
    if let Some(made) = made {
        made.enter(kernel, &child);
    }
    let files = Arc::clone(&lock(&thread.process.files));
    let open = || {
        let promised = promise_pidfd(kernel, &files, &child)?;
        let written = thread.memory().write(request.pidfd, &promised.number().to_le_bytes());
        written.map(|()| promised).map_err(|_| Errno::FAULT)
    };
    let pidfd = has(flags::PIDFD).then(open).transpose();
    let pidfd = match pidfd {
        Ok(pidfd) => pidfd,
        Err(errno) => {
            space.pass_turn();
            undo(kernel, &child, has(flags::VM));
            return Err(errno);
        }
    };
    let stack = if has(flags::VM) { child_frame.address } else { 0 };
    let (newborn, there) = (Arc::clone(&child), pidfd.clone());
    // What is shared is not held by one who may never arrive.
    *lock(&child.inherited) = (!has(flags::VM)).then(|| Box::new(space.inherited()));
    let cookie = kernel.expect_arrival(Box::new(move |kernel, event| {
        if !matches!(event.kind, EventKind::Done { result: 0, .. }) {
            return;
        }
        let mut frame = child_frame;
        if !has_flag(request.flags, flags::VM) {
            let stub = Arc::new(StubProcess::new(event.thread.process()));
            // Nothing of it is left if the child has ended meanwhile.
            let (areas, program, sites) = *lock(&newborn.inherited).take().unwrap_or_default();
            let slot = lock(&newborn.place).slot;
            let own = Space::new(stub, areas, slot);
            *lock(&own.program) = program;
            *lock(&own.sites) = sites;
            kernel.adopt(&own);
            let mut place = lock(&newborn.place);
            place.space = Arc::clone(&own);
            place.counted = true;
            if newborn.doomed.load(Ordering::SeqCst) {
                // It was killed before it was there.
                own.leave();
                return;
            }
        }
        there.iter().for_each(|promised| promised.keep());
        kernel.attach(event.thread, &newborn);
        kernel.machine.partner.is_new(Some(event.thread));
        syscalls::sites::arrived(&newborn);
        if request.flags & flags::CHILD_SETTID != 0 {
            let _ = newborn.memory().write(request.child_tid, &own_number.to_le_bytes());
        }
        if newborn.doomed.load(Ordering::SeqCst) {
            newborn.kick();
        }
        signal::resume(kernel, &newborn, event.id, &mut frame);
    }));
    if !has(flags::VM) {
        *lock(&thread.making) = Some((Arc::clone(&child), cookie));
        if thread.doomed.load(Ordering::SeqCst) {
            space.pass_turn();
            abandon(kernel, thread);
            return Err(Errno::INTR);
        }
    }
    if has(flags::VM) && has(flags::PARENT_SETTID) {
        // Before the child runs: its end clears the same word.
        let _ = thread.memory().write(request.parent_tid, &number.to_le_bytes());
    }
    let sharing = flags::VM | flags::FS | flags::FILES | flags::SIGHAND | flags::THREAD;
    let host_flags = if has(flags::VM) { sharing | flags::SYSVSEM } else { flags::PARENT }
        | (request.flags & flags::SETTLS);
    let args = [host_flags, stack, 0, 0, request.tls, cookie];
    let call = HostCall { number: 56, args };
    let parent_frame = frame.clone();
    let made = child;
    let reaped = kernel.ends.reaped();
    kernel.order(
        thread,
        id,
        frame,
        call,
        Box::new(move |kernel, thread, id, result| {
            space.pass_turn();
            *lock(&thread.making) = None;
            let mut frame = parent_frame;
            if result < 0 {
                kernel.forget_arrival(cookie);
                undo(kernel, &made, has_flag(request.flags, flags::VM));
                drop(pidfd);
                // Not with a tracer, who would see a call end that has not.
                if !thread.is_traced() && kernel.has_room_again(result, reaped) {
                    frame.make_again();
                } else {
                    frame.context.set(Register::Rax, result.cast_unsigned());
                }
                signal::resume(kernel, thread, id, &mut frame);
            } else {
                pidfd.iter().for_each(|promised| promised.keep());
                if request.flags & (flags::PARENT_SETTID | flags::VM) == flags::PARENT_SETTID {
                    let _ = thread.memory().write(request.parent_tid, &number.to_le_bytes());
                }
                let (mut id, message) = (id, u64::try_from(number).unwrap_or(0));
                let (event, told) = (event_of(&request), trace::told_number(kernel, thread, tid));
                frame.context.set(Register::Rax, message);
                if request.flags & flags::UNTRACED == 0
                    && thread.is_traced()
                    && trace::event(kernel, thread, &mut id, &mut frame, event, told)
                        == Leaving::Gone
                {
                    return;
                }
                if request.flags & flags::VFORK != 0 {
                    thread.lent.store(true, Ordering::SeqCst);
                    wait_for_exec(kernel, thread, tid);
                    thread.lent.store(false, Ordering::SeqCst);
                    let event = trace::events::VFORK_DONE;
                    if thread.is_traced()
                        && trace::event(kernel, thread, &mut id, &mut frame, event, told)
                            == Leaving::Gone
                    {
                        return;
                    }
                }
                frame.context.set(Register::Rax, message);
                signal::resume(kernel, thread, id, &mut frame);
            }
        }),
    );
    Ok(())
}

/// The guest's side of a task, and what it is to go on with, in the turn of its maker's space.
fn begin(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    frame: &Frame,
    named: (Pid, Pids),
    request: &CloneRequest,
) -> Result<(Arc<Thread>, Frame), Errno> {
    let space = thread.space();
    let shared = has_flag(request.flags, flags::VM);
    let (place, mut child_frame) = if shared {
        prepare_shared(&space, frame)?
    } else {
        // The host copies what is there.
        space.settle(thread.tid, &(0..u64::MAX))?;
        let slot = lock(&thread.place).slot;
        let place = Place { space: Arc::clone(&space), host: None, slot, counted: false };
        (place, frame.clone())
    };
    child_frame.context.set(Register::Rax, 0);
    if request.stack != 0 {
        child_frame.context.set(Register::Rsp, request.stack);
    }
    let slot = place.slot;
    let child = make_thread(kernel, thread, named, place, request).inspect_err(|_| {
        if shared {
            space.leave();
            space.free_slot(slot);
        }
    })?;
    Ok((child, child_frame))
}

/// How a tracer hears of a new task.
fn event_of(request: &CloneRequest) -> u32 {
    match (has_flag(request.flags, flags::VFORK), request.exit_signal) {
        (true, _) => trace::events::VFORK,
        (false, signal::SIGCHLD) => trace::events::FORK,
        _ => trace::events::CLONE,
    }
}

/// A descriptor of a child, in its parent's table alone.
fn promise_pidfd(
    kernel: &Arc<Kernel>,
    files: &Arc<FileTable>,
    child: &Arc<Thread>,
) -> Result<Arc<Promised>, Errno> {
    let file = PidFd::new(kernel, Arc::clone(&child.process));
    let file = OpenFile::stream(Box::new(file), status::READ_WRITE);
    Promised::new(files, file)
}

fn has_flag(all: u64, flag: u64) -> bool {
    all & flag != 0
}

/// A place in the same address space, with a copy of the frame.
fn prepare_shared(space: &Arc<Space>, frame: &Frame) -> Result<(Place, Frame), Errno> {
    let slot = space.enter()?;
    let mut copy = Frame { address: slot.context(), context: frame.context };
    if frame.context.xstate() != 0 {
        let to = slot.context() + XSTATE_OFFSET;
        let state = read_xstate(&space.memory, frame.context.xstate());
        if state.and_then(|state| space.memory.write(to, &state)).is_err() {
            space.leave();
            space.free_slot(slot);
            return Err(Errno::FAULT);
        }
        copy.context.set_xstate(to);
    }
    Ok((Place { space: Arc::clone(space), host: None, slot, counted: true }, copy))
}

/// The guest's side: a thread of the same process, or a process of its own. `EINTR` if the
/// parent's process has ended, or executes a program in another thread.
fn make_thread(
    kernel: &Arc<Kernel>,
    parent: &Arc<Thread>,
    (tid, pids): (Pid, Pids),
    place: Place,
    request: &CloneRequest,
) -> Result<Arc<Thread>, Errno> {
    let has = |flag: u64| request.flags & flag != 0;
    let old = &parent.process;
    let process = if has(flags::THREAD) {
        Arc::clone(old)
    } else {
        let new = copy_process(parent, (tid, pids), request);
        if has(flags::VM) {
            // Its stub is its parent's, which has used some already.
            lock(&new.accounts).base = Usage::of_stub(&place.space.stub);
        }
        let limit = lock(&new.limits).soft(resource::CPU);
        if limit != INFINITY {
            syscalls::watch_processor_time(kernel, &new, limit);
        }
        new
    };
    let signals = {
        let signals = lock(&parent.signals);
        // Linux keeps the alternate stack but for threads.
        let keep = !has(flags::VM) || has(flags::VFORK);
        let (stack, stack_flags) = match keep {
            true => (signals.stack, signals.stack_flags),
            false => ((0, 0), signal::STACK_DISABLED),
        };
        ThreadSignals { mask: signals.mask, stack, stack_flags, ..ThreadSignals::default() }
    };
    let thread = Arc::new(Thread::new(tid, process, place, signals));
    if has(flags::SYSVSEM) {
        thread.share_undo_list(parent);
    }
    thread.guard_as(lock(&parent.guard).clone());
    *lock(&thread.habits) = lock(&parent.habits).inherited();
    let told = || !has(flags::UNTRACED) && lock(&parent.trace).tells(event_of(request));
    if parent.is_traced() && (has(flags::PTRACE) || told()) {
        trace::inherit(parent, &thread);
    }
    thread.affinity.store(parent.affinity.load(Ordering::SeqCst), Ordering::SeqCst);
    // None of those that there are is reset at a fork.
    let policy = parent.policy.load(Ordering::SeqCst) & !syscalls::RESET_ON_FORK;
    thread.policy.store(policy, Ordering::SeqCst);
    if has(flags::THREAD) {
        let fs = parent.fs();
        thread.set_fs(if has(flags::FS) { fs } else { fs.copy() });
        thread.set_namespaces(parent.namespaces());
        let own = lock(&parent.credentials).clone();
        *lock(&thread.credentials) = own;
        let name = lock(&parent.name).clone();
        *lock(&thread.name) = name;
    }
    if has(flags::CHILD_CLEARTID) {
        thread.clear_tid.store(request.child_tid, Ordering::SeqCst);
    }
    let mut tree = lock(&kernel.tree);
    let row = tree.row_mut(old.pid).filter(|row| row.ended.is_none() && row.has(parent));
    let row = row.ok_or(Errno::INTR)?;
    if has(flags::THREAD) {
        row.threads.insert(tid, Arc::clone(&thread));
        tree.give_back(tid);
    } else {
        if pid_namespace::has_ended(&thread.process.pids()) {
            return Err(Errno::NOMEM);
        }
        let (group, session, grand) = (row.group, row.session, row.parent);
        // A sibling ends as its maker does: who it tells has not asked for another signal.
        let (parent, exit_signal) = match has(flags::PARENT) {
            true => (grand, row.exit_signal),
            false => (old.pid, request.exit_signal),
        };
        let mut row = Row::new(Arc::clone(&thread.process), parent, group, session);
        row.exit_signal = exit_signal;
        row.threads.insert(tid, Arc::clone(&thread));
        tree.insert(tid, row);
    }
    drop(tree);
    Ok(thread)
}

fn copy_process(by: &Thread, (pid, pids): (Pid, Pids), request: &CloneRequest) -> Arc<Process> {
    let old = &by.process;
    let shares = |flag: u64| has_flag(request.flags, flag);
    let files = if shares(flags::FILES) {
        Arc::clone(&lock(&old.files))
    } else {
        Arc::new(lock(&old.files).copy())
    };
    let fs = if shares(flags::FS) { by.fs() } else { by.fs().copy() };
    let credentials = lock(&by.credentials).clone();
    let new = Process::new(pid, files, fs, credentials);
    new.dumpable.store(old.dumpable.load(Ordering::SeqCst), Ordering::SeqCst);
    (*lock(&new.seen_from)).clone_from(&lock(&old.seen_from));
    new.personality.store(old.personality.load(Ordering::SeqCst), Ordering::SeqCst);
    if let Some(home) = old.home.get() {
        let _ = new.home.set(home.clone());
    }
    if let Some(pids) = pids {
        let _ = new.pids.set(pids);
    }
    *lock(&new.namespaces) = Namespaces { pids: None, ended: false, ..by.namespaces() };
    new.share_actions(if shares(flags::SIGHAND) {
        old.actions()
    } else {
        Arc::new(Mutex::new(lock(&old.actions()).clone()))
    });
    *lock(&new.limits) = *lock(&old.limits);
    *lock(&new.oom_adjustment) = *lock(&old.oom_adjustment);
    new.no_huge_pages.store(old.no_huge_pages.load(Ordering::SeqCst), Ordering::SeqCst);
    new.nice.store(old.nice.load(Ordering::SeqCst), Ordering::SeqCst);
    (*lock(&new.name)).clone_from(&lock(&by.name));
    (*lock(&new.strings)).clone_from(&lock(&old.strings));
    (*lock(&new.auxiliary)).clone_from(&lock(&old.auxiliary));
    new
}

/// vfork(2): until the child has executed a program, or ended. Only death
/// interrupts.
fn wait_for_exec(kernel: &Arc<Kernel>, thread: &Arc<Thread>, child: Pid) {
    loop {
        kernel.children.join(&thread.waiter);
        let busy = {
            let tree = lock(&kernel.tree);
            tree.row(child).is_some_and(|row| !row.executed && row.ended.is_none())
        };
        if !busy || thread.doomed.load(Ordering::SeqCst) {
            return;
        }
        if thread.waiter.wait(None) == Woken::Interrupted {
            thread.waiter.clear();
        }
    }
}
