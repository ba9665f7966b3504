//! Where a traced thread stops, and how it goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::kernel::{Frame, Kernel};
use crate::platform::context::Register;
use crate::signal::{self, Info, NO_CHILD_STOP, SI_USER, SIGCHLD};
use crate::task::waiter::{Woken, lock};
use crate::task::{Pid, Restart, Thread, dismiss};

use super::{Kind, Mode, Phase, SIGTRAP, Stopped, Trace, events, options};

const CLD_TRAPPED: i32 = 4;
const CLD_STOPPED: i32 = 5;
/// The processor's trap flag.
const TRAP_FLAG: u64 = 0x100;
/// `TRAP_TRACE`
const TRAP_TRACE: i32 = 2;
const ENOSYS: u64 = 38;
/// Numbers of calls are below it.
pub const LAST: u64 = 0x4000_0000;
/// No call.
const NO_CALL: u64 = u64::MAX;

/// Whether a thread is there to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It goes on.
    Stays,
    /// It has ended; its report was answered.
    Gone,
}

#[derive(Clone, Copy)]
struct Told {
    code: i32,
    kind: Kind,
    info: Option<Info>,
    original: u64,
}

/// Tells the tracer of a stop: by a signal and to its waits.
fn tell(kernel: &Arc<Kernel>, thread: &Arc<Thread>, tracer: Pid, code: i32, kind: Kind) {
    let who = lock(&kernel.tree).row(tracer).map(|row| Arc::clone(&row.process));
    let Some(who) = who else { return };
    let action = lock(&who.actions()).get(SIGCHLD);
    if action.handler != signal::IGNORE && action.flags & NO_CHILD_STOP == 0 {
        let [user, ..] = lock(&thread.credentials).users;
        let cause = if kind == Kind::Group { CLD_STOPPED } else { CLD_TRAPPED };
        let info = Info::of_child(cause, thread.tid, user, code & 0x7f);
        signal::send(kernel, &signal::Target::Process(who), info);
    }
    kernel.children.wake();
}

/// Stops until the tracer lets it go on; the signal that it goes on with, and what the stop
/// has become. `None` if it ended; then its report was answered.
fn stop(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
    told: Told,
) -> Option<(i32, Option<Stopped>)> {
    let tracer = {
        let mut trace = lock(&thread.trace);
        let Some(tracer) = trace.tracer else { return Some((told.code, None)) };
        let Told { code, kind, info, original } = told;
        let mut frame = frame.clone();
        if trace.mode.steps() {
            let flags = frame.context.get(Register::Flags);
            frame.context.set(Register::Flags, flags & !TRAP_FLAG);
        }
        trace.go = None;
        trace.continued = false;
        if kind == Kind::Event(events::STOP) {
            trace.trap = false;
        }
        trace.stop = Some(Stopped {
            id: *id,
            frame,
            original,
            code,
            kind,
            info,
            told: false,
            listening: false,
            bases: None,
        });
        tracer
    };
    tell(kernel, thread, tracer, told.code, told.kind);
    loop {
        kernel.stops.join(&thread.waiter);
        {
            let mut trace = lock(&thread.trace);
            if thread.doomed.load(Ordering::SeqCst) {
                if let Some(stopped) = trace.stop.take() {
                    (*id, *frame) = (stopped.id, stopped.frame);
                }
                drop(trace);
                dismiss(kernel, thread, *id, frame.address);
                return None;
            }
            if let Some(signal) = trace.go.take()
                && let Some(stopped) = trace.stop.take()
            {
                (*id, *frame) = (stopped.id, stopped.frame.clone());
                if trace.seized && trace.continued {
                    trace.trap = true;
                }
                return Some((signal, Some(stopped)));
            }
        }
        if thread.waiter.wait(None) == Woken::Interrupted {
            thread.waiter.clear();
        }
    }
}

/// What becomes of a call.
pub enum Entry {
    /// This one is made, if it can be with registers; else the thread makes it again.
    Serve(u64),
    /// The thread has ended.
    Gone,
}

/// With the registers of a thread that makes a call: stops before it if the tracer wants
/// that. The number is in `rax` afterwards, as the tracer left it.
pub fn entry(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: &mut u64, frame: &mut Frame) -> Entry {
    let number = frame.context.get(Register::Rax);
    let (stops, emulates, good) = {
        let mut trace = lock(&thread.trace);
        if trace.tracer.is_none() || trace.phase != Phase::Outside {
            return Entry::Serve(number);
        }
        trace.phase = Phase::Entered(number);
        let emulates = trace.mode.emulates();
        (emulates || trace.mode == Mode::Calls, emulates, trace.has(options::GOOD))
    };
    if !stops {
        return Entry::Serve(number);
    }
    frame.context.set(Register::Rax, ENOSYS.wrapping_neg());
    let code = if good { SIGTRAP | 0x80 } else { SIGTRAP };
    let told = Told { code, kind: Kind::Entry, info: Some(trap(code)), original: number };
    let Some((signal, stopped)) = stop(kernel, thread, id, frame, told) else {
        return Entry::Gone;
    };
    // The upper half of a number does not count. For none the answer is there.
    let chosen = stopped.map_or(number, |stopped| stopped.original) & 0xffff_ffff;
    let chosen = if emulates { NO_CALL } else { chosen };
    if chosen < LAST {
        frame.context.set(Register::Rax, chosen);
    }
    inject(kernel, thread, signal);
    let mut trace = lock(&thread.trace);
    if trace.phase != Phase::Outside {
        trace.phase = Phase::Entered(chosen);
    }
    Entry::Serve(chosen)
}

fn trap(code: i32) -> Info {
    Info::new(SIGTRAP, code)
}

/// After a stop that is no signal's, the tracer can send one.
fn inject(kernel: &Arc<Kernel>, thread: &Arc<Thread>, signal: i32) {
    if (1..=signal::MAX).contains(&signal) {
        let info = Info::new(signal, signal::SI_KERNEL);
        signal::send(kernel, &signal::Target::Thread(Arc::clone(thread)), info);
    }
}

/// A call with registers is being served.
pub fn served(thread: &Thread) {
    let mut trace = lock(&thread.trace);
    if let Phase::Entered(number) = trace.phase {
        trace.phase = Phase::Serving(number);
    }
}

/// Stops for an event, if the tracer wants to know of it.
pub fn event(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
    event: u32,
    message: u64,
) -> Leaving {
    let original = {
        let mut trace = lock(&thread.trace);
        if !trace.tells(event) {
            return Leaving::Stays;
        }
        trace.message = message;
        match trace.phase {
            Phase::Outside => NO_CALL,
            Phase::Entered(number) | Phase::Serving(number) => number,
        }
    };
    let code = SIGTRAP | i32::try_from(event << 8).unwrap_or(0);
    let told = Told { code, kind: Kind::Event(event), info: Some(trap(code)), original };
    match stop(kernel, thread, id, frame, told) {
        None => Leaving::Gone,
        Some((signal, _)) => {
            inject(kernel, thread, signal);
            Leaving::Stays
        }
    }
}

/// Stops because a filter asks the tracer about a call; the number that it leaves. `None`
/// if the thread has ended.
pub fn filtered(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
    (number, data): (u64, u64),
) -> Option<u64> {
    lock(&thread.trace).message = data;
    let code = SIGTRAP | i32::try_from(events::SECCOMP << 8).unwrap_or(0);
    let kind = Kind::Event(events::SECCOMP);
    let told = Told { code, kind, info: Some(trap(code)), original: number };
    let (signal, stopped) = stop(kernel, thread, id, frame, told)?;
    inject(kernel, thread, signal);
    Some(stopped.map_or(number, |stopped| stopped.original) & 0xffff_ffff)
}

/// `ERESTARTSYS`, `ERESTARTNOINTR`, `ERESTARTNOHAND`, `ERESTART_RESTARTBLOCK`
fn restart_code(how: Restart) -> u64 {
    let code: u64 = match how {
        Restart::IfAsked => 512,
        Restart::Always => 513,
        Restart::Never | Restart::UnlessStopped(_) => 514,
        Restart::Until(_) => 516,
    };
    code.wrapping_neg()
}

/// After a call: stops if the tracer wants that. The registers are those with which the
/// thread goes on, set back to the call if it is to be made again.
fn exit_stop(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
    number: u64,
) -> Leaving {
    let again = *lock(&thread.restart);
    if let Some(how) = again {
        let at = frame.context.get(Register::Rip);
        frame.context.set(Register::Rip, at.wrapping_add(2));
        frame.context.set(Register::Rax, restart_code(how));
    }
    let code = if lock(&thread.trace).has(options::GOOD) { SIGTRAP | 0x80 } else { SIGTRAP };
    let told = Told { code, kind: Kind::Exit, info: Some(trap(code)), original: number };
    let Some((signal, _)) = stop(kernel, thread, id, frame, told) else { return Leaving::Gone };
    if let Some(how) = again {
        if frame.context.get(Register::Rax) == restart_code(how) {
            frame.make_again();
            frame.context.set(Register::Rax, number);
        } else {
            *lock(&thread.restart) = None;
        }
    }
    inject(kernel, thread, signal);
    Leaving::Stays
}

/// What a traced thread does before it goes on.
pub enum Before {
    /// Nothing more; it takes signals now.
    Signals,
    /// It makes the call for which it stopped, and takes no signal in between.
    Call,
    /// It has ended.
    Gone,
}

/// Stops after a call, after a step over one, and where it was asked to.
pub fn before_resume(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
) -> Before {
    let (phase, mode) = {
        let mut trace = lock(&thread.trace);
        let phase = trace.phase;
        if matches!(phase, Phase::Entered(_)) && trace.tracer.is_some() {
            return Before::Call;
        }
        trace.phase = Phase::Outside;
        (phase, trace.mode)
    };
    if let Phase::Serving(number) = phase {
        match mode {
            Mode::Calls => {
                if exit_stop(kernel, thread, id, frame, number) == Leaving::Gone {
                    return Before::Gone;
                }
            }
            Mode::Step => {
                signal::keep(thread, trap(TRAP_TRACE));
            }
            Mode::Run | Mode::Emulate | Mode::EmulateStep => {}
        }
    }
    while std::mem::take(&mut lock(&thread.trace).trap) {
        let stopped = stopped_by(kernel, thread);
        let signal = stopped.map_or(SIGTRAP, |(signal, number)| {
            lock(&thread.trace).group = number;
            signal
        });
        let code = signal | i32::try_from(events::STOP << 8).unwrap_or(0);
        let info = Some(Info::new(signal, code));
        let kind = Kind::Event(events::STOP);
        let told = Told { code, kind, info, original: NO_CALL };
        if stop(kernel, thread, id, frame, told).is_none() {
            return Before::Gone;
        }
    }
    Before::Signals
}

/// The signal and the number of the group-stop that a thread's process is in.
fn stopped_by(kernel: &Kernel, thread: &Thread) -> Option<(i32, u64)> {
    let tree = lock(&kernel.tree);
    tree.row(thread.process.pid)?.stopped.as_ref().map(|stop| (stop.signal, stop.number))
}

/// Tells the tracer of a group-stop that it has not heard of.
pub fn group_stop(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
) -> Option<Leaving> {
    let (signal, number) = stopped_by(kernel, thread)?;
    let seized = {
        let mut trace = lock(&thread.trace);
        trace.tracer?;
        if trace.group == number {
            return Some(Leaving::Stays);
        }
        trace.group = number;
        trace.seized
    };
    let (code, kind) = if seized {
        let event = i32::try_from(events::STOP << 8).unwrap_or(0);
        (signal | event, Kind::Event(events::STOP))
    } else {
        (signal, Kind::Group)
    };
    let info = seized.then(|| Info::new(signal, code));
    let told = Told { code, kind, info, original: NO_CALL };
    Some(match stop(kernel, thread, id, frame, told) {
        None => Leaving::Gone,
        Some(_) => Leaving::Stays,
    })
}

/// Stops before a signal is delivered; what is to be delivered then. The outer `None` if
/// the thread has ended.
pub fn signal(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
    info: Info,
) -> Option<Option<Info>> {
    let told =
        Told { code: info.signal(), kind: Kind::Signal, info: Some(info), original: NO_CALL };
    let tracer = lock(&thread.trace).tracer;
    let (chosen, stopped) = stop(kernel, thread, id, frame, told)?;
    let Some(stopped) = stopped else { return Some(Some(info)) };
    if chosen == 0 {
        return Some(None);
    }
    let kept = stopped.info.unwrap_or(info);
    let info = if kept.signal() == chosen {
        kept
    } else {
        Info::from_user(chosen, SI_USER, tracer.unwrap_or(0), 0)
    };
    if lock(&thread.signals).mask & signal::bit(chosen) != 0 {
        signal::keep(thread, info);
        return Some(None);
    }
    Some(Some(info))
}

/// SIGCONT came: tracees that listen stop anew, the others do once they go on.
pub fn notify_continued(kernel: &Arc<Kernel>, thread: &Arc<Thread>) {
    let tracer = {
        let mut trace = lock(&thread.trace);
        if !trace.seized {
            return;
        }
        trace.continued = true;
        let Some(tracer) = trace.tracer else { return };
        if !relisten(&mut trace) {
            return;
        }
        tracer
    };
    tell(kernel, thread, tracer, SIGTRAP, Kind::Event(events::STOP));
}

/// A tracee that listens has something to tell: its stop is one of `SIGTRAP` now.
pub(super) fn relisten(trace: &mut Trace) -> bool {
    let Some(stopped) = trace.stop.as_mut().filter(|stopped| stopped.listening) else {
        return false;
    };
    let code = SIGTRAP | i32::try_from(events::STOP << 8).unwrap_or(0);
    stopped.listening = false;
    stopped.told = false;
    stopped.code = code;
    stopped.info = Some(trap(code));
    trace.continued = false;
    true
}

/// `PTRACE_LISTEN`, and an interruption of one that listens: tells at once if there is
/// something to tell.
pub fn listen(kernel: &Arc<Kernel>, thread: &Arc<Thread>, at_once: bool) {
    let tracer = {
        let mut trace = lock(&thread.trace);
        let Some(tracer) = trace.tracer else { return };
        if !(at_once || trace.continued) || !relisten(&mut trace) {
            return;
        }
        tracer
    };
    tell(kernel, thread, tracer, SIGTRAP, Kind::Event(events::STOP));
}

/// Sets the trap flag of a thread that is to make one step.
pub fn arm(thread: &Thread, frame: &mut Frame) {
    if lock(&thread.trace).mode.steps() {
        let flags = frame.context.get(Register::Flags);
        frame.context.set(Register::Flags, flags | TRAP_FLAG);
    }
}

/// A handler's frame was made for a thread that steps: it stops at its first instruction.
pub fn step_into_handler(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
) -> Leaving {
    if !lock(&thread.trace).mode.steps() {
        return Leaving::Stays;
    }
    let told = Told { code: SIGTRAP, kind: Kind::Signal, info: Some(trap(0)), original: NO_CALL };
    match stop(kernel, thread, id, frame, told) {
        None => Leaving::Gone,
        Some(_) => Leaving::Stays,
    }
}
