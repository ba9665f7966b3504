//! Calls of threads that are watched: by a tracer, by filters of their own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::platform::HostCall;
use crate::platform::context::Register;
use crate::signal::{self, Info};
use crate::task::filter::Verdict;
use crate::task::limits::resource;
use crate::task::trace::{self, Entry, Leaving, Mode, Phase, events};
use crate::task::waiter::lock;
use crate::task::{Restart, Status, Thread, dismiss, exit_process, recount, retire};

use super::table::{self, Handler, Row};
use super::{Call, Failure};

const EXIT: u64 = 60;
const EXIT_GROUP: u64 = 231;
const FUTEX: u64 = 202;

/// What becomes of a call that was reported without registers.
pub(super) enum Before {
    /// It is served.
    Serve,
    /// It is answered so.
    Answer(i64),
    /// It has no result.
    Fail(Failure),
    /// Its registers are needed first.
    Frame,
}

/// A call was reported without registers.
pub(super) fn before(call: &Call<'_>, number: u64, at: u64) -> Before {
    let thread = call.thread;
    if thread.is_traced() && needs_frame(call, number) {
        return Before::Frame;
    }
    if !thread.is_guarded() {
        return Before::Serve;
    }
    let made = (number, call.args);
    let (passed, tells) = {
        let mut trace = lock(&thread.trace);
        (std::mem::take(&mut trace.passed) == Some(made), trace.tells(events::SECCOMP))
    };
    match super::seccomp::judge(call, number, at) {
        Verdict::Allow | Verdict::Log => Before::Serve,
        // It was asked already who is to say so.
        Verdict::Trace(_) | Verdict::Notify if passed => {
            thread.let_be(made);
            Before::Serve
        }
        Verdict::Notify => match super::notices::ask(call, number, at) {
            Ok(None) => {
                thread.let_be(made);
                Before::Serve
            }
            Ok(Some(value)) => Before::Answer(value),
            Err(failure) => Before::Fail(failure),
        },
        Verdict::Errno(value) => Before::Answer(-i64::from(value)),
        Verdict::Trace(_) if !tells => Before::Answer(-i64::from(Errno::NOSYS.raw_os_error())),
        _ => Before::Frame,
    }
}

/// Whether a tracer needs the registers of a call that was reported without.
fn needs_frame(call: &Call<'_>, number: u64) -> bool {
    let thread = call.thread;
    let wanted = {
        let mut trace = lock(&thread.trace);
        // Code that was changed meanwhile may make another one: that is a call of its own.
        if matches!(trace.phase, Phase::Entered(before) if before != number) {
            trace.phase = Phase::Outside;
        }
        match (trace.phase, trace.mode) {
            (Phase::Entered(_), _) => None,
            (_, Mode::Run) => {
                Some([EXIT, EXIT_GROUP].contains(&number) && trace.tells(events::EXIT))
            }
            _ => Some(true),
        }
    };
    if let Some(wanted) = wanted {
        return wanted && thread.is_traced();
    }
    trace::served(thread);
    // What came while it was stopped interrupts the call; behind the call it reports.
    super::signals::look_again(call);
    thread.kick();
    false
}

/// How a call with registers goes on.
pub(super) enum Next {
    /// It is served with them.
    Serve,
    /// It has been seen to.
    Done,
}

/// A call of a watched thread was reported with registers.
pub(super) fn enter(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
) -> Next {
    let traced = thread.is_traced();
    if !traced || matches!(lock(&thread.trace).phase, Phase::Serving(_)) {
        let number = frame.context.get(Register::Rax);
        let number = match judged(kernel, thread, id, frame, number) {
            Judged::Let(number) => number,
            Judged::Done => return Next::Done,
        };
        forget_answers(thread);
        if number >= trace::LAST && traced {
            signal::resume(kernel, thread, *id, frame);
            return Next::Done;
        }
        return Next::Serve;
    }
    let number = match trace::entry(kernel, thread, id, frame) {
        Entry::Gone => return Next::Done,
        Entry::Serve(number) => number,
    };
    if number >= trace::LAST {
        trace::served(thread);
        signal::resume(kernel, thread, *id, frame);
        return Next::Done;
    }
    let number = match judged(kernel, thread, id, frame, number) {
        Judged::Let(number) => number,
        Judged::Done => return Next::Done,
    };
    if number >= trace::LAST {
        forget_answers(thread);
        trace::served(thread);
        signal::resume(kernel, thread, *id, frame);
        return Next::Done;
    }
    if [EXIT, EXIT_GROUP].contains(&number) {
        let code = (frame.context.get(Register::Rdi) & 0xff) << 8;
        if trace::event(kernel, thread, id, frame, events::EXIT, code) == Leaving::Gone {
            return Next::Done;
        }
    }
    let row = table::find(number);
    // Of those that are served with registers, too, these are served so whatever they ask.
    let memory = (9..=11).contains(&number);
    if memory || matches!(row, Some(Row { handler: Handler::Framed(_), .. })) {
        forget_answers(thread);
        trace::served(thread);
        return Next::Serve;
    }
    if number == FUTEX && super::futex::waits_on_host(frame.context.args()) {
        forget_answers(thread);
        trace::served(thread);
        wait_on_host(kernel, thread, *id, frame);
        return Next::Done;
    }
    // It makes the call again, which is not stopped any more.
    frame.make_again();
    signal::resume(kernel, thread, *id, frame);
    Next::Done
}

/// The call is served: what was said of it does not hold for the next one.
fn forget_answers(thread: &Thread) {
    thread.let_be.store(false, Ordering::SeqCst);
    lock(&thread.trace).passed = None;
}

/// A futex on which threads of the stub wait on the host: this one does, too, by an order
/// that its signals interrupt.
fn wait_on_host(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, frame: &Frame) {
    let args = frame.context.args();
    let call = HostCall { number: FUTEX, args };
    let mut frame = frame.clone();
    let own = frame.clone();
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        if let Some(nested) = lock(&thread.nested).take() {
            frame.address = nested;
        }
        let timed = args.get(3).is_some_and(|time| *time != 0);
        let mut value = result;
        if (-516..=-512).contains(&result) || result == -i64::from(Errno::INTR.raw_os_error()) {
            if super::futex::is_relative(args) && timed {
                value = -i64::from(Errno::INTR.raw_os_error());
            } else {
                *lock(&thread.restart) = Some(Restart::IfAsked);
            }
        }
        if lock(&thread.restart).is_some() {
            frame.make_again();
            value = i64::try_from(FUTEX).unwrap_or(0);
        }
        frame.context.set(Register::Rax, value.cast_unsigned());
        signal::resume(kernel, thread, id, &mut frame);
    };
    kernel.order_aside(thread, id, &own, call, (true, Box::new(then)));
}

/// Whether filters let rt_sigreturn(2) be; else the thread goes on without it, or has ended.
pub fn may_return(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
) -> bool {
    const RT_SIGRETURN: u64 = 15;
    matches!(judged(kernel, thread, id, frame, RT_SIGRETURN), Judged::Let(_))
}

/// What filters made of a call with registers.
enum Judged {
    /// It is made: this one, if the tracer chose another.
    Let(u64),
    /// The thread goes on without it, or has ended.
    Done,
}

fn judged(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
    number: u64,
) -> Judged {
    let mut number = number;
    // Whether the tracer was asked; what it left is judged once more, as on Linux.
    let mut told = false;
    loop {
        let args = frame.context.args();
        if !thread.is_guarded() || thread.is_let_be((number, args)) {
            return Judged::Let(number);
        }
        let call = Call { kernel, thread, args, id: *id, continued: None, held: None };
        let at = frame.context.get(Register::Rip);
        let value = match super::seccomp::judge(&call, number, at) {
            Verdict::Allow | Verdict::Log => return Judged::Let(number),
            Verdict::Trace(_) if told => {
                lock(&thread.trace).passed = Some((number, args));
                return Judged::Let(number);
            }
            Verdict::Trace(data) => {
                if lock(&thread.trace).tells(events::SECCOMP) {
                    match ask_tracer(kernel, thread, id, frame, (number, data)) {
                        Judged::Let(chosen) if chosen < trace::LAST => number = chosen,
                        over => return over,
                    }
                    told = true;
                    continue;
                }
                -i64::from(Errno::NOSYS.raw_os_error())
            }
            Verdict::Errno(value) => -i64::from(value),
            Verdict::Trap(data) => {
                trace::served(thread);
                frame.context.set(Register::Rax, number);
                signal::force(thread, blocked(data, number, frame));
                signal::resume(kernel, thread, *id, frame);
                return Judged::Done;
            }
            Verdict::Notify => match super::notices::ask(&call, number, at) {
                Ok(None) => {
                    if thread.is_traced() {
                        // The call may be made again, which is not asked about.
                        lock(&thread.trace).passed = Some((number, args));
                    }
                    return Judged::Let(number);
                }
                Ok(Some(value)) => value,
                Err(_) => {
                    *lock(&thread.restart) = Some(Restart::IfAsked);
                    frame.make_again();
                    number.cast_signed()
                }
            },
            verdict @ (Verdict::KillThread | Verdict::KillProcess) => {
                kill(kernel, thread, *id, frame, verdict == Verdict::KillProcess);
                return Judged::Done;
            }
        };
        trace::served(thread);
        frame.context.set(Register::Rax, value.cast_unsigned());
        signal::resume(kernel, thread, *id, frame);
        return Judged::Done;
    }
}

/// `siginfo` of a call that a filter traps.
fn blocked(data: u16, number: u64, frame: &Frame) -> Info {
    const SIGSYS: i32 = 31;
    const SYS_SECCOMP: i32 = 1;
    const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
    let mut bytes = *Info::new(SIGSYS, SYS_SECCOMP).bytes();
    let number = u32::try_from(number & 0xffff_ffff).unwrap_or(0);
    let pointer = frame.context.get(Register::Rip).to_le_bytes();
    for (at, value) in [
        (4, &u32::from(data).to_le_bytes()[..]),
        (16, &pointer[..]),
        (24, &number.to_le_bytes()[..]),
        (28, &AUDIT_ARCH_X86_64.to_le_bytes()[..]),
    ] {
        if let Some(room) = bytes.get_mut(at..at + value.len()) {
            room.copy_from_slice(value);
        }
    }
    Info::from_bytes(bytes)
}

/// The tracer decides, by the number that it leaves.
fn ask_tracer(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
    (number, data): (u64, u16),
) -> Judged {
    frame.context.set(Register::Rax, 38_u64.wrapping_neg());
    match trace::filtered(kernel, thread, id, frame, (number, data.into())) {
        None => Judged::Done,
        Some(chosen) => {
            if chosen < trace::LAST {
                frame.context.set(Register::Rax, chosen);
            }
            Judged::Let(chosen)
        }
    }
}

/// A filter ends the thread, or with it the process.
fn kill(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, frame: &Frame, all: bool) {
    let process = &thread.process;
    let number = if lock(&thread.guard).mode() == 1 { 9 } else { 31 };
    let others = {
        let mut tree = lock(&kernel.tree);
        match tree.row_mut(process.pid) {
            // Another one executes a program.
            Some(row) if !row.has(thread) => true,
            Some(row) if !all && row.threads.len() > 1 => {
                trace::leaves(kernel, thread, row.group);
                row.threads.remove(&thread.tid).is_some()
            }
            _ => false,
        }
    };
    if !others {
        let core = number == 31 && lock(&process.limits).soft(resource::CORE) > 0;
        exit_process(kernel, process, Status::Killed(number, core));
        return;
    }
    recount(kernel, process);
    signal::retarget(kernel, thread, u64::MAX);
    trace::ended(kernel, thread, 0, Status::Killed(number, false));
    retire(kernel, thread);
    dismiss(kernel, thread, id, frame.address);
}
