//! Ends: of threads, of processes, of stubs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::kernel::{Frame, Kernel};
use crate::mm::Space;
use crate::platform::HostCall;
use crate::platform::context::Context;
use crate::signal::{self, Info, NO_CHILD_WAIT, SI_USER, SIGCHLD};
use crate::syscalls::futex;
use crate::vfs::FileTable;

use super::leaving::settled;
use super::namespaces::leave_ipc;
use super::pid_namespace::PidNamespace;
use super::robust;
use super::stop::{free_orphans, recount};
use super::unmade::abandon;
use super::waiter::lock;
use super::{Pid, Process, Status, Thread, trace};

const CLD_EXITED: i32 = 1;
const CLD_KILLED: i32 = 2;
const CLD_DUMPED: i32 = 3;

thread_local! {
    /// Ends that one has led to which this thread of the sentry is at.
    static ENDS: RefCell<Option<VecDeque<End>>> = const { RefCell::new(None) };
}

/// Which process is to end, and how.
type End = (Arc<Kernel>, Arc<Process>, Status);

/// Ends a process with all its threads. The caller answers the call of its own
/// thread, if it has one; a stub that is gone needs no answer.
///
/// An end can lead to others, and these to more than there is stack for: one that leads to
/// this one comes to its own end first.
pub fn exit_process(kernel: &Arc<Kernel>, process: &Arc<Process>, status: Status) {
    let first = ENDS.with_borrow_mut(|ends| match ends {
        Some(ends) => {
            ends.push_back((Arc::clone(kernel), Arc::clone(process), status));
            false
        }
        None => {
            *ends = Some(VecDeque::new());
            true
        }
    });
    if !first {
        return;
    }
    end_process(kernel, process, status);
    let next = || {
        ENDS.with_borrow_mut(|ends| {
            let next = ends.as_mut().and_then(VecDeque::pop_front);
            if next.is_none() {
                *ends = None;
            }
            next
        })
    };
    while let Some((kernel, process, status)) = next() {
        end_process(&kernel, &process, status);
    }
}

/// [`exit_process`] at once.
pub(super) fn end_process(kernel: &Arc<Kernel>, process: &Arc<Process>, status: Status) {
    let home = process.kernel();
    let kernel = home.as_ref().unwrap_or(kernel);
    let (threads, parent, zombies, controlled, mourners) = {
        let mut tree = lock(&kernel.tree);
        let Some(row) = tree.row_mut(process.pid) else { return };
        if row.ended.is_some() || !Arc::ptr_eq(&row.process, process) {
            return;
        }
        row.ended = Some(status);
        row.stopped = None;
        let threads = std::mem::take(&mut row.threads);
        for thread in threads.values() {
            trace::leaves(kernel, thread, row.group);
        }
        {
            let space = threads.values().next().map(|thread| thread.space());
            let own = threads.values().filter(|thread| lock(&thread.place).counted).count();
            if let Some(space) = space.as_ref().filter(|space| space.users() == own) {
                lock(&process.counting).own.add(Arc::clone(&space.stub));
            }
            let mut accounts = lock(&process.accounts);
            accounts.leave(space.as_ref().map(|space| &*space.stub));
            accounts.closed = true;
            let mut spent = lock(&kernel.used.ended);
            *spent = spent.plus(accounts.past);
        }
        let parent = row.parent;
        let controlled = tree.controlled(process.pid);
        let children = tree.rows().filter(|(_, r)| r.parent == process.pid && r.death_signal != 0);
        let mourners: Vec<_> =
            children.map(|(_, r)| (Arc::clone(&r.process), r.death_signal)).collect();
        let heir = tree.heir(process.pid);
        let zombies = tree.orphan(process.pid, heir);
        (threads, parent, zombies, controlled, mourners)
    };
    process.leaves(threads.values().cloned());
    for thread in threads.values() {
        retire(kernel, thread);
        if !thread.is_served() {
            settled(thread);
        }
    }
    lock(&process.timers).clear();
    leave_ipc(kernel, process);
    process.leave_namespaces(kernel);
    process.aio.clear();
    let files = std::mem::replace(&mut *lock(&process.files), FileTable::empty());
    drop(files);
    // What a leader leaves has no terminal; nobody else has one of its number.
    kernel.terminals.give_up(kernel, process.pid, true);
    if process.pid == 1 {
        kernel.finish(status);
        return;
    }
    if let Some(space) = process.leads() {
        end_namespace(kernel, space, process.pid);
    }
    for zombie in zombies {
        announce(kernel, zombie);
    }
    let [user, ..] = lock(&process.credentials()).users;
    for (child, number) in mourners {
        let info = Info::from_user(number, SI_USER, process.pid, user);
        signal::send(kernel, &signal::Target::Process(child), info);
    }
    free_orphans(kernel, controlled);
    if let Some(ended) = kernel.forget_outside(process.pid) {
        lock(&kernel.tree).remove(process.pid);
        ended(status);
    }
    let mut held = false;
    if kernel.tracees.any.load(Ordering::SeqCst) {
        trace::tracer_ended(kernel, process.pid);
        // The first thread's comes last.
        for thread in threads.values().rev() {
            held |= trace::ended(kernel, thread, parent, status);
        }
    }
    if !held {
        announce(kernel, process.pid);
    } else if let Some(row) = lock(&kernel.tree).row_mut(process.pid) {
        row.held = true;
    }
    kernel.stops.wake();
}

/// The first process of a PID namespace has ended: so do all others in it. No further ones
/// come into the tree once it is noted.
fn end_namespace(kernel: &Arc<Kernel>, space: &Arc<PidNamespace>, first: Pid) {
    space.end();
    let inside: Vec<Arc<Process>> = {
        let tree = lock(&kernel.tree);
        let inside =
            tree.rows().filter(|(pid, row)| *pid != first && space.has(&row.process.pids()));
        inside.map(|(_, row)| Arc::clone(&row.process)).collect()
    };
    for process in &inside {
        end_process(kernel, process, Status::Killed(9, false));
    }
    // It has waited for them, if nobody outside does.
    let mut tree = lock(&kernel.tree);
    let own = |pid: Pid| pid == first || inside.iter().any(|process| process.pid == pid);
    for process in &inside {
        let ended = tree.row(process.pid).is_some_and(|row| row.ended.is_some() && own(row.parent));
        if ended {
            tree.remove(process.pid);
        }
    }
}

/// The parent of a process that has ended is told, once nothing that it had is in use by calls
/// of its own; its next one, too, if it ends meanwhile.
pub(super) fn announce(kernel: &Arc<Kernel>, pid: Pid) {
    let process = lock(&kernel.tree).row(pid).map(|row| Arc::clone(&row.process));
    if process.is_none_or(|process| process.puts_off()) {
        return;
    }
    let mut told = None;
    loop {
        let found = {
            let mut tree = lock(&kernel.tree);
            let row = tree.row_mut(pid).filter(|row| row.ended.is_some());
            row.and_then(|row| {
                row.told |= told == Some(row.parent);
                if told == Some(row.parent) {
                    return None;
                }
                told = Some(row.parent);
                Some((Arc::clone(&row.process), row.parent, row.exit_signal, row.ended?))
            })
        };
        let Some((process, parent, exit_signal, status)) = found else { break };
        tell_parent(kernel, &process, parent, exit_signal, status);
    }
    if told.is_some() {
        kernel.children.wake();
    }
}

fn tell_parent(
    kernel: &Arc<Kernel>,
    process: &Arc<Process>,
    parent: i32,
    exit_signal: i32,
    status: Status,
) {
    let father = {
        let tree = lock(&kernel.tree);
        tree.row(parent).map(|row| Arc::clone(&row.process))
    };
    let Some(father) = father else { return };
    if exit_signal == SIGCHLD {
        let action = lock(&father.actions()).get(SIGCHLD);
        if action.handler == signal::IGNORE || action.flags & NO_CHILD_WAIT != 0 {
            // Nobody waits for it: it is gone.
            lock(&kernel.tree).remove(process.pid);
        }
    }
    if exit_signal != 0 {
        let (code, value) = match status {
            Status::Exited(code) => (CLD_EXITED, i32::from(code)),
            Status::Killed(signal, false) => (CLD_KILLED, i32::from(signal)),
            Status::Killed(signal, true) => (CLD_DUMPED, i32::from(signal)),
        };
        let [user, ..] = lock(&process.credentials()).users;
        // That of SIGCHLD is translated where it is taken.
        let pid = match exit_signal {
            SIGCHLD => process.pid,
            _ => father.number_of(process.pid),
        };
        let mut info = Info::of_child(code, pid, user, value);
        info.set_times(lock(&process.accounts).past);
        info.set(exit_signal, code);
        signal::send(kernel, &signal::Target::Process(father), info);
    }
}

/// A thread gives up its place; its stub thread ends, at the latest when it
/// would run guest code again.
pub fn retire(kernel: &Arc<Kernel>, thread: &Arc<Thread>) {
    give_up(kernel, thread, false);
}

/// [`retire`]; `exits` if the thread waits in its own exit(2), and need not be told.
fn give_up(kernel: &Arc<Kernel>, thread: &Arc<Thread>, exits: bool) {
    let place = {
        // A child that reports for the first time looks under the same lock.
        let place = lock(&thread.place);
        if thread.doomed.swap(true, Ordering::SeqCst) || !place.counted {
            // Its parent is told before it arrives, and nothing of it is to be left then.
            let inherited = lock(&thread.inherited).take();
            drop(place);
            drop(inherited);
            return;
        }
        place.clone()
    };
    abandon(kernel, thread);
    let list = thread.robust_list.load(Ordering::SeqCst);
    if list != 0 {
        robust::release(kernel, &place.space, list, thread.number());
    }
    let address = thread.clear_tid.load(Ordering::SeqCst);
    let shared = place.space.users() > 1;
    if address != 0 && shared && place.space.memory.write(address, &[0; 4]).is_ok() {
        futex::wake_private(kernel, &place.space, address, 1);
    }
    let holds_turn = lock(&thread.order).as_ref().is_some_and(|order| order.holds_turn);
    if holds_turn && place.space.users() == 1 {
        // The stub ends before the change does. Else that is made, and then the turn is passed.
        place.space.pass_turn();
    }
    if !exits {
        thread.interrupt();
    }
    let alarm = lock(&thread.alarm).take();
    if let Some((_, key)) = alarm {
        kernel.alarms.cancel(key);
    }
    futex::ended(kernel, thread);
    place.space.leave();
    let own = std::mem::take(&mut lock(&thread.signals).pending);
    if thread.tid == thread.process.pid {
        // Until somebody has waited for it.
        lock(&thread.process.pending).bury(own);
    }
    if !thread.is_served() {
        settled(thread);
    }
}

/// exit(2) of one thread that waits with `id` in that very call.
pub fn exit_thread(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, code: u8) {
    // Before anybody hears of its end, or of its process's.
    thread.leave_undo_list(kernel);
    let mut left = false;
    let last = {
        let mut tree = lock(&kernel.tree);
        let Some(row) = tree.row_mut(thread.process.pid) else { return };
        if !row.has(thread) {
            // Another one executes a program.
            false
        } else if row.threads.len() > 1 {
            row.threads.remove(&thread.tid);
            trace::leaves(kernel, thread, row.group);
            left = true;
            false
        } else {
            true
        }
    };
    if left {
        recount(kernel, &thread.process);
        signal::retarget(kernel, thread, u64::MAX);
    }
    if last {
        exit_process(kernel, &thread.process, Status::Exited(code));
    } else {
        let parent = lock(&kernel.tree).row(thread.process.pid).map_or(0, |row| row.parent);
        trace::ended(kernel, thread, parent, Status::Exited(code));
        give_up(kernel, thread, true);
    }
    let place = lock(&thread.place).clone();
    let Some(host) = place.host else { return };
    if host.leads(place.space.stub.pid()) {
        // The first thread of a stub stays, and waits, as long as the stub: by
        // its number the memory is reached.
        kernel.detach(host);
        return;
    }
    // Its own call, with its argument in a register: the host makes it.
    kernel.detach(host);
    kernel.listener.let_go_on(id);
    place.space.free_slot(place.slot);
}

/// A thread that is to end waits in its stub, with a context at `address`: makes
/// it exit.
pub fn dismiss(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, address: u64) {
    const EXIT: u64 = 60;
    let place = lock(&thread.place).clone();
    let Some(host) = place.host else { return };
    if host.leads(place.space.stub.pid()) {
        kernel.detach(host);
        return;
    }
    let frame = Frame { address, context: Context::default() };
    let call = HostCall { number: EXIT, args: [0; 6] };
    // Never runs: exit(2) does not return. The number is the host's to reuse,
    // and a new thread with it is attached anew.
    kernel.order(thread, id, &frame, call, Box::new(|_, _, _, _| {}));
}

/// Ends what is left of a container whose first process has ended. Returns once its stubs
/// are gone.
pub fn end_container(kernel: &Arc<Kernel>) {
    const PAUSE: Duration = Duration::from_millis(1);
    const MOST_PAUSES: u32 = 10_000;
    kernel.end_zygote();
    for _ in 0..MOST_PAUSES {
        let left: Vec<Arc<Process>> = {
            let tree = lock(&kernel.tree);
            let own = |process: &Process| process.kernel().is_some_and(|k| Arc::ptr_eq(&k, kernel));
            // Others' too, if they have joined its numbering.
            let all = tree.row(1).is_some_and(|row| own(&row.process));
            let live =
                tree.rows().filter(|(_, row)| row.ended.is_none() && (all || own(&row.process)));
            live.map(|(_, row)| Arc::clone(&row.process)).collect()
        };
        if left.is_empty() && !kernel.machine.has_stubs(kernel) {
            return;
        }
        for process in left {
            exit_process(kernel, &process, Status::Killed(9, false));
        }
        std::thread::sleep(PAUSE);
    }
}

/// A stub process has ended, with all threads in it.
pub fn stub_ended(kernel: &Arc<Kernel>, space: &Arc<Space>, killed_by: i32) {
    let inside: Vec<Arc<Process>> = {
        let tree = lock(&kernel.tree);
        tree.rows()
            .filter(|(_, row)| row.threads.values().any(|thread| thread.lives_in(space)))
            .map(|(_, row)| Arc::clone(&row.process))
            .collect()
    };
    // Nobody asked for it: the host killed it, for want of memory or because
    // its stub was broken by the guest.
    let signal = u8::try_from(killed_by).unwrap_or(9);
    for process in inside {
        exit_process(kernel, &process, Status::Killed(if signal == 0 { 9 } else { signal }, false));
    }
    kernel.detach_all(space);
    space.end();
}
