//! Threads that another process traces: ptrace(2).
//!
//! A traced thread stops with all its registers at hand, in the sentry thread that serves
//! its report; the tracer's calls work on them there, under the lock of [`Trace`]. A call
//! that was reported without registers is first sent back for them, and made again after
//! the stop before it; a report that was asked for behind it brings the stop after it.

mod end;
mod memory;
mod stop;
mod wait;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub use end::{Ended, ended, leaves, tracer_ended};
pub use memory::{Piece, access, read_bases, set_base};
use rustix::io::Errno;
pub use stop::{
    Before, Entry, LAST, Leaving, arm, before_resume, entry, event, filtered, group_stop, listen,
    notify_continued, served, signal, step_into_handler,
};
pub use wait::{Waited, wait};

use crate::kernel::{Frame, Kernel};
use crate::signal::{Info, SIGSTOP, Target, keep, send};

use super::user_namespace::Space;
use super::waiter::lock;
use super::{Caps, Credentials, Pid, Process, Thread, sees};

/// `SIGTRAP`
pub const SIGTRAP: i32 = 5;
/// `PTRACE_EVENT_*`
pub mod events {
    /// fork(2)
    pub const FORK: u32 = 1;
    /// vfork(2)
    pub const VFORK: u32 = 2;
    /// clone(2)
    pub const CLONE: u32 = 3;
    /// execve(2)
    pub const EXEC: u32 = 4;
    /// The child of vfork(2) has left.
    pub const VFORK_DONE: u32 = 5;
    /// An end.
    pub const EXIT: u32 = 6;
    /// A filter's `SECCOMP_RET_TRACE`.
    pub const SECCOMP: u32 = 7;
    /// Of who was seized: an interruption, or a group-stop.
    pub const STOP: u32 = 128;
}

/// `PTRACE_O_*`
pub mod options {
    /// Stops at calls are told from other SIGTRAPs.
    pub const GOOD: u32 = 1;
    /// The tracee ends with its tracer.
    pub const EXIT_KILL: u32 = 1 << 20;
    /// All that are known.
    pub const KNOWN: u32 = 0xff | EXIT_KILL;
}

/// How a tracee was let go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Until a signal or an event.
    #[default]
    Run,
    /// Until a call, too.
    Calls,
    /// For one instruction.
    Step,
    /// Until a call, which it does not make.
    Emulate,
    /// The same, or for one instruction.
    EmulateStep,
}

impl Mode {
    /// Whether it goes on for one instruction.
    pub(super) fn steps(self) -> bool {
        matches!(self, Mode::Step | Mode::EmulateStep)
    }

    /// Whether the tracer makes its calls for it.
    pub(super) fn emulates(self) -> bool {
        matches!(self, Mode::Emulate | Mode::EmulateStep)
    }
}

/// Where a thread is in a call that its tracer sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// In none.
    #[default]
    Outside,
    /// It has stopped before this one, which it is going to make.
    Entered(u64),
    /// The call is being served.
    Serving(u64),
}

/// What kind of stop a tracee is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Before a call.
    Entry,
    /// After it.
    Exit,
    /// A signal is to be delivered.
    Signal,
    /// The process is stopped.
    Group,
    /// Something of `PTRACE_EVENT_*`.
    Event(u32),
}

/// A stopped tracee.
#[derive(Debug)]
pub struct Stopped {
    /// Names the answer to its report.
    pub id: u64,
    /// Its registers.
    pub frame: Frame,
    /// `orig_rax`
    pub original: u64,
    /// What waits tell: the signal, and above it the event.
    pub code: i32,
    /// Why.
    pub kind: Kind,
    /// Of the signal.
    pub info: Option<Info>,
    /// Whether a wait has told of it.
    pub told: bool,
    /// `PTRACE_LISTEN`
    pub listening: bool,
    /// Bases of fs and gs, once they were asked for.
    pub bases: Option<[u64; 2]>,
}

/// What being traced means to a thread.
#[derive(Debug, Default)]
pub struct Trace {
    /// The process that traces it.
    pub tracer: Option<Pid>,
    /// What that could do when it began.
    rights: Option<Arc<Credentials>>,
    /// Whether by `PTRACE_SEIZE`.
    pub seized: bool,
    /// `PTRACE_O_*`
    pub options: u32,
    /// How it was let go on.
    pub mode: Mode,
    /// Where it is in a call.
    pub phase: Phase,
    /// It is to stop as soon as it can: `PTRACE_INTERRUPT`.
    pub trap: bool,
    /// Its stop.
    pub stop: Option<Stopped>,
    /// With this signal it is to go on.
    pub go: Option<i32>,
    /// The group-stop that it has told of, by number.
    pub group: u64,
    /// For `PTRACE_GETEVENTMSG`.
    pub message: u64,
    /// The call, by number and arguments, about which the tracer, or who listens to a
    /// filter, was asked: it is to be made.
    pub passed: Option<(u64, [u64; 6])>,
    /// SIGCONT came while it was stopped.
    pub continued: bool,
}

impl Trace {
    /// Whether an option is set.
    #[must_use]
    pub fn has(&self, option: u32) -> bool {
        self.tracer.is_some() && self.options & option != 0
    }

    /// Whether who traces it may not trace everybody of this namespace.
    #[must_use]
    pub fn is_watched_by_less(&self, space: &Space) -> bool {
        let may = |rights: &Arc<Credentials>| rights.can_in(space, Caps::SYS_PTRACE);
        self.tracer.is_some() && !self.rights.as_ref().is_some_and(may)
    }

    /// Whether who traces it may look into the program that it runs.
    #[must_use]
    pub fn sees(&self, process: &Process) -> bool {
        self.rights.as_ref().is_some_and(|rights| sees(rights, process))
    }

    /// Whether it is to tell of an event.
    #[must_use]
    pub fn tells(&self, event: u32) -> bool {
        self.has(1 << event)
    }
}

/// What is known of tracees besides themselves.
#[derive(Debug, Default)]
pub struct Tracees {
    /// Whether there ever were any.
    pub any: AtomicBool,
    /// Those that have ended, of which their tracers have not heard.
    pub ends: Mutex<Vec<Ended>>,
    /// Those that are no threads of the tree any more, and are not among `ends` yet: tracer,
    /// thread, group. Locked last.
    leaving: Mutex<Vec<(Pid, Pid, Pid)>>,
}

/// Who traces, and how.
pub struct Tracer {
    /// The process.
    pub pid: Pid,
    /// What it can do, and can do later with what the tracee becomes.
    pub rights: Credentials,
    /// `PTRACE_O_*`
    pub options: u32,
    /// By `PTRACE_SEIZE`.
    pub seized: bool,
}

/// How the tracer of a thread knows another one.
#[must_use]
pub fn told_number(kernel: &Kernel, thread: &Thread, tid: Pid) -> u64 {
    let process = match thread.tracer() {
        Some(tracer) => lock(&kernel.tree).row(tracer).map(|row| Arc::clone(&row.process)),
        None => Some(Arc::clone(&thread.process)),
    };
    let number = process.map_or(0, |process| process.number_of(tid));
    u64::try_from(number).unwrap_or(0)
}

/// Makes `by` the tracer of `thread`, if `may` says so. Under the trace's lock, so that only
/// one does, and that nobody does who might have until the thread executed a program.
///
/// # Errors
/// `EPERM` if it has one, or may not have this one.
pub fn attach(thread: &Arc<Thread>, by: Tracer, may: impl FnOnce() -> bool) -> Result<(), Errno> {
    let Tracer { pid, rights, options, seized } = by;
    let mut trace = lock(&thread.trace);
    if trace.tracer.is_some() || thread.doomed.load(Ordering::SeqCst) || !may() {
        return Err(Errno::PERM);
    }
    // One that a tracer has just let go of may not have gone on yet.
    let (stop, go) = (trace.stop.take(), trace.go.take());
    let rights = Some(Arc::new(rights));
    *trace = Trace { tracer: Some(pid), rights, options, seized, stop, go, ..Trace::default() };
    thread.watch(Some(pid));
    Ok(())
}

/// The same from outside: the thread stops.
///
/// # Errors
/// As [`attach`].
pub fn attach_other(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    by: Tracer,
    may: impl FnOnce() -> bool,
) -> Result<(), Errno> {
    let seized = by.seized;
    attach(thread, by, may)?;
    if !seized {
        let info = Info::new(SIGSTOP, crate::signal::SI_KERNEL);
        send(kernel, &Target::Thread(Arc::clone(thread)), info);
    }
    // One that is stopped with its process tells that now.
    kernel.stops.wake();
    Ok(())
}

/// A child of a traced thread is traced by the same, and stops before it runs.
pub fn inherit(parent: &Thread, child: &Arc<Thread>) {
    let own = lock(&parent.trace);
    let Some(tracer) = own.tracer else { return };
    *lock(&child.trace) = Trace {
        tracer: Some(tracer),
        rights: own.rights.clone(),
        seized: own.seized,
        options: own.options,
        trap: own.seized,
        ..Trace::default()
    };
    if !own.seized {
        keep(child, Info::new(SIGSTOP, crate::signal::SI_KERNEL));
    }
    child.watch(Some(tracer));
}

/// A program was executed: its thread stops for that, or has a signal.
pub fn executed(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
) -> Leaving {
    let (tells, seized, before) = {
        let trace = lock(&thread.trace);
        if trace.tracer.is_none() {
            return Leaving::Stays;
        }
        (trace.tells(events::EXEC), trace.seized, trace.message)
    };
    if tells {
        return event(kernel, thread, id, frame, events::EXEC, before);
    }
    if !seized {
        let [user, ..] = lock(&thread.credentials).users;
        let info = Info::from_user(SIGTRAP, crate::signal::SI_USER, thread.process.pid, user);
        keep(thread, info);
    }
    Leaving::Stays
}

/// A program was executed: `new` takes the place of `old`, whose number is told.
pub fn pass_on(kernel: &Kernel, old: &Thread, new: &Arc<Thread>) {
    let message = told_number(kernel, old, old.tid);
    let mut from = lock(&old.trace);
    if from.tracer.is_none() {
        return;
    }
    let taken = std::mem::take(&mut *from);
    drop(from);
    let tracer = taken.tracer;
    let mut trace = lock(&new.trace);
    *trace = Trace { stop: None, go: None, message, ..taken };
    new.watch(tracer);
}

/// Lets go of a thread; if it is stopped it goes on with `signal`.
pub fn detach(kernel: &Kernel, thread: &Thread, trace: &mut Trace, signal: i32) {
    let mut stop = trace.stop.take();
    if let Some(stopped) = &mut stop {
        stopped.told = true;
    }
    let go = stop.is_some().then_some(signal);
    *trace = Trace { stop, go, ..Trace::default() };
    thread.watch(None);
    kernel.stops.wake();
}
