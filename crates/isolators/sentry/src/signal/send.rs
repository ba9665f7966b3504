//! Sending: to a thread, to a process, from another or from the kernel.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::queued::{Account, Charge};
use crate::task::waiter::lock;
use crate::task::{Caps, Credentials, Process, Status, Thread, exit_process, go_on};

use super::{Counted, DefaultAction, Info, SIGCONT, SIGKILL, bit, default_of};

/// For whom a signal is.
#[derive(Clone)]
pub enum Target {
    /// This thread.
    Thread(Arc<Thread>),
    /// Any thread of this process.
    Process(Arc<Process>),
}

impl Target {
    /// The process that it is, or that it is of.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        match self {
            Target::Thread(thread) => &thread.process,
            Target::Process(process) => process,
        }
    }
}

/// Who sends it, for permission.
#[derive(Clone, Debug)]
pub struct Sender(pub Credentials);

impl Sender {
    /// Whether kill(2) lets it signal `process`.
    #[must_use]
    pub fn may(&self, process: &Process) -> bool {
        let theirs = process.who();
        self.is(&theirs) || self.0.can_in(&theirs.space, Caps::KILL)
    }

    /// Whether files tell `process` on its behalf: for that no capability counts, but who root is.
    #[must_use]
    pub(super) fn may_tell(&self, process: &Process) -> bool {
        let [_, effective, ..] = self.0.users;
        effective == 0 || self.is(&process.who())
    }

    fn is(&self, theirs: &Credentials) -> bool {
        let [real, effective, ..] = self.0.users;
        let [target_real, _, target_saved, _] = theirs.users;
        [target_real, target_saved].iter().any(|user| [real, effective].contains(user))
    }
}

/// Queues a signal and sees to it that it is noticed; SIGCONT continues a stopped
/// process whatever it does on it.
///
/// # Errors
/// `EAGAIN` if there is no room for what a real-time signal tells.
pub fn try_send(kernel: &Arc<Kernel>, target: &Target, info: Info) -> Result<(), Errno> {
    send_counted(kernel, target, info, None)
}

/// [`try_send`], where nobody can be told that there is no room.
pub fn send(kernel: &Arc<Kernel>, target: &Target, info: Info) {
    let _ = try_send(kernel, target, info);
}

/// Sends the signal of a timer that has a place for it, and has fired `times`.
pub fn send_of_timer(
    kernel: &Arc<Kernel>,
    target: &Target,
    info: Info,
    (charge, times): (&Arc<Charge>, i32),
) {
    let _ = send_counted(kernel, target, info, Some((charge, times)));
}

fn send_counted(
    kernel: &Arc<Kernel>,
    target: &Target,
    info: Info,
    timer: Option<(&Arc<Charge>, i32)>,
) -> Result<(), Errno> {
    queue(kernel, target, info, timer)?;
    if info.signal() == SIGCONT {
        // Once it waits, so that the first thing that the process does is to handle it.
        go_on(kernel, target.process());
    }
    Ok(())
}

/// Adds a signal to those of a thread that looks for them before it goes on.
pub fn keep(thread: &Thread, info: Info) {
    let account = Account::of_thread(thread);
    let _ = lock(&thread.signals).pending.add(info, &Counted::New(&account));
}

/// Queues a signal and sees to it that it is noticed. What the process ignores
/// is dropped, unless a thread that it is for holds it back.
fn queue(
    kernel: &Arc<Kernel>,
    target: &Target,
    info: Info,
    timer: Option<(&Arc<Charge>, i32)>,
) -> Result<(), Errno> {
    let signal = info.signal();
    let process = target.process();
    let info = info.seen_by(process);
    if signal == SIGKILL {
        exit_process(kernel, process, Status::Killed(9, false));
        return Ok(());
    }
    let threads: Vec<_> = {
        let tree = lock(&kernel.tree);
        let row = tree.row(process.pid);
        if row.is_some_and(|row| row.ended.is_some()) {
            // It is only not waited for yet.
            return Ok(());
        }
        row.map(|row| row.threads.values().cloned().collect()).unwrap_or_default()
    };
    let cancelled = match default_of(signal) {
        DefaultAction::Continue => bit(19) | bit(20) | bit(21) | bit(22),
        DefaultAction::Stop => bit(SIGCONT),
        _ => 0,
    };
    if cancelled != 0 {
        lock(&process.pending).discard(cancelled);
        threads.iter().for_each(|t| lock(&t.signals).pending.discard(cancelled));
    }
    // A tracer hears of all.
    let traced = match target {
        Target::Thread(thread) => thread.is_traced(),
        Target::Process(_) => threads.iter().any(|thread| thread.is_traced()),
    };
    let ignored = !traced && lock(&process.actions()).ignores(signal);
    let blocks = |thread: &Arc<Thread>| lock(&thread.signals).mask & bit(signal) != 0;
    let held_back = || match target {
        Target::Thread(thread) => blocks(thread),
        Target::Process(_) => threads.iter().all(blocks),
    };
    if ignored && !held_back() {
        return Ok(());
    }
    let account;
    let counted = match timer {
        Some((charge, times)) => Counted::Timer(charge, times),
        None => {
            account = match target {
                Target::Thread(thread) => Account::of_thread(thread),
                Target::Process(process) => Account::of_process(process),
            };
            Counted::New(&account)
        }
    };
    match target {
        Target::Thread(thread) => {
            let interrupts = {
                let mut signals = lock(&thread.signals);
                signals.pending.add(info, &counted)?;
                let interrupts = signals.mask & bit(signal) == 0;
                if interrupts {
                    thread.waiter.signal();
                }
                interrupts
            };
            kernel.signals.wake();
            if interrupts {
                thread.rouse();
            }
        }
        Target::Process(process) => {
            let thread = threads.iter().find(|t| !blocks(t));
            {
                // At once: who takes it afterwards forgets the interruption, too.
                let mut pending = lock(&process.pending);
                pending.add(info, &counted)?;
                if let Some(thread) = thread {
                    thread.waiter.signal();
                }
            }
            kernel.signals.wake();
            if let Some(thread) = thread {
                thread.rouse();
                if thread.doomed.load(Ordering::SeqCst) || blocks(thread) {
                    // It does not take it any more, and had nothing to pass on when it said so.
                    retarget(kernel, thread, bit(signal));
                }
            }
        }
    }
    Ok(())
}

/// A thread won't take signals of `held` that wait for any of its process's, as it holds them
/// back now or ends: each is told to another one that takes it.
pub fn retarget(kernel: &Kernel, thread: &Arc<Thread>, held: u64) {
    let process = &thread.process;
    let mut waiting = lock(&process.pending).set() & held;
    if waiting == 0 {
        return;
    }
    for other in kernel.threads_of(process.pid) {
        let takes = waiting & !lock(&other.signals).mask;
        if takes == 0 || Arc::ptr_eq(&other, thread) {
            continue;
        }
        let left = {
            let pending = lock(&process.pending);
            let left = pending.set() & takes != 0;
            if left {
                other.waiter.signal();
            }
            left
        };
        if left {
            other.rouse();
        }
        waiting &= !takes;
    }
}
